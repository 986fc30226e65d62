import { describe, expect, test } from "bun:test";
import { isRedirectUriOf, loopbackClient, parseClientId, parseClientMetadata } from "./client_metadata.ts";

const ID = "https://app.example.org/client.json";

function documentWith(redirectUri: string): object {
  return {
    client_id: ID,
    dpop_bound_access_tokens: true,
    response_types: ["code"],
    grant_types: ["authorization_code"],
    scope: "atproto",
    redirect_uris: [redirectUri],
  };
}

describe("redirect URIs that a URL parser takes, but a header, a policy or the public internet would not bear", () => {
  test.each([
    "https://app.example.org/call\r\nback",
    "https://app.example.org/call\tback",
    " https://app.example.org/callback",
    "https://app.example.org/callback\0",
    "https://app.example.org/über",
    "https://app.example.org;script-src/callback",
    "https://app.example.org,x.org/callback",
    "https://*.org/callback",
    "https://localhost./callback",
  ])("%j is refused in a document", (uri) => {
    expect(() => parseClientMetadata(documentWith(uri), { id: ID })).toThrow(/redirect URI/);
  });
});

describe("a loopback redirect URI is the client's own but for the port", () => {
  const rows: readonly [string, boolean][] = [
    ["http://127.0.0.1/callback", true],
    ["http://127.0.0.1:4567/callback", true],
    ["http://[::1]:4567", true],
    ["http://[::1]/", true],
    ["http://127.0.0.1/call\r\nback", false],
    ["http://127.0.0.1/call\tback", false],
    ["http://127.0.0.1/callback\n", false],
    ["http://127.0.0.1/callback\0", false],
    ["http://127.0.0.1/x/../callback", false],
    ["http://127.0.0.1/./callback", false],
    ["http://127.0.0.1:99999/callback", false],
    ["http://[::1]/callback", false],
  ];
  test.each(rows)("%j: %p", (uri, isOwn) => {
    const query = new URLSearchParams();
    query.append("redirect_uri", "http://127.0.0.1/callback");
    query.append("redirect_uri", "http://[::1]:8080/");
    const client = loopbackClient(`http://localhost?${query}`);
    expect(client && isRedirectUriOf(client, uri)).toBe(isOwn);
  });
});

test("a dot at its end makes no name public", () => {
  expect(() => parseClientId("https://localhost./client.json")).toThrow("not public");
});
