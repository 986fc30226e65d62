import { describe, expect, test } from "bun:test";
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from "jose";
import { isKithError, type KithError } from "../../errors.ts";
import { OAuthRefused } from "./authorization_server.ts";
import {
  askedConsent,
  callback,
  DID,
  fakeServers,
  ISSUER,
  NOW,
  PDS,
  PUBLIC_URL,
  type Sent,
  TOKENS,
} from "./authorization_server_fixture.ts";
import { OAUTH_PATHS } from "./client_documents.ts";

const RESOURCE = `${PDS}/.well-known/oauth-protected-resource`;
const METADATA = `${ISSUER}/.well-known/oauth-authorization-server`;
const whole = {
  issuer: ISSUER,
  authorization_endpoint: `${ISSUER}/authorize`,
  token_endpoint: `${ISSUER}/token`,
  pushed_authorization_request_endpoint: `${ISSUER}/par`,
};
const refusal =
  (error: string, status = 400) =>
  () => ({ status, json: { error } });

const codeOf = async (promise: Promise<unknown>): Promise<string> => {
  try {
    await promise;
    return "";
  } catch (error) {
    if (!isKithError(error)) throw error;
    return (error as KithError).code;
  }
};

describe("AuthorizationServers.of()", () => {
  test("finds the server that the account's own server names", async () => {
    const { servers } = fakeServers();
    expect(await servers.of(PDS)).toMatchObject({ issuer: ISSUER });
  });

  test.each<[string, Record<string, object>, string]>([
    ["no document", { [RESOURCE]: () => ({ status: 404, json: {} }) }, "not_supported"],
    ["a document of another", { [RESOURCE]: { resource: "https://other.example.com" } }, "upstream_failure"],
    ["no server in it", { [RESOURCE]: { resource: PDS } }, "not_supported"],
    [
      "two servers in it",
      { [RESOURCE]: { resource: PDS, authorization_servers: [ISSUER, "https://b.example.com"] } },
      "upstream_failure",
    ],
    [
      "no JSON",
      { [RESOURCE]: () => ({ json: {}, headers: { "content-type": "text/html" } }) },
      "upstream_failure",
    ],
    ...[
      "http://login.example.com",
      "https://127.0.0.1",
      "https://login.local",
      `${ISSUER}/`,
      `${ISSUER}/path`,
      "x",
    ].map((issuer): [string, Record<string, object>, string] => [
      `the server "${issuer}"`,
      { [RESOURCE]: { resource: PDS, authorization_servers: [issuer] } },
      "upstream_failure",
    ]),
    ["another issuer", { [METADATA]: { ...whole, issuer: "https://evil.example.com" } }, "upstream_failure"],
    [
      "no pushed requests",
      { [METADATA]: { ...whole, pushed_authorization_request_endpoint: undefined } },
      "upstream_failure",
    ],
    [
      "a page that is a script",
      { [METADATA]: { ...whole, authorization_endpoint: "javascript:alert(1)" } },
      "upstream_failure",
    ],
    [
      "a page on http",
      { [METADATA]: { ...whole, authorization_endpoint: "http://login.example.com/a" } },
      "upstream_failure",
    ],
    [
      "another server's sign-ins",
      { [METADATA]: { ...whole, protected_resources: ["https://b.example.com"] } },
      "upstream_failure",
    ],
  ])("refuses %s", async (_, answers, code) => {
    const { servers } = fakeServers(answers);
    expect(await codeOf(servers.of(PDS))).toBe(code);
  });
});

describe("AuthorizationServers.ask()", () => {
  test("pushes the least that publishing needs, signed by our key, and answers the page", async () => {
    const { servers, documents, sent } = fakeServers();
    const url = new URL(
      await servers.ask(await servers.of(PDS), { ...(await askedConsent()), loginHint: "alice.example.com" }),
    );
    const clientId = PUBLIC_URL + OAUTH_PATHS.metadata;
    expect([url.origin + url.pathname, Object.fromEntries(url.searchParams)]).toEqual([
      `${ISSUER}/authorize`,
      { client_id: clientId, request_uri: "urn:example:1" },
    ]);
    const { form, proof } = sent[0] ?? { form: {} as Sent["form"], proof: undefined };
    expect(form).toMatchObject({
      client_id: clientId,
      redirect_uri: PUBLIC_URL + OAUTH_PATHS.callback,
      scope: "atproto repo:* blob:*/*",
      code_challenge_method: "S256",
      login_hint: "alice.example.com",
    });
    expect(proof).toMatchObject({ htm: "POST", htu: `${ISSUER}/par` });
    const jwks = (await documents.at(PUBLIC_URL + OAUTH_PATHS.jwks)) as JSONWebKeySet;
    expect(JSON.stringify(jwks)).not.toContain('"d"');
    await jwtVerify(form.client_assertion ?? "", createLocalJWKSet(jwks), {
      issuer: clientId,
      subject: clientId,
      audience: ISSUER,
    });
  });

  test("asks again with the nonce that the server wants, and for the old broad scope where it knows no other", async () => {
    const { servers, sent } = fakeServers({
      [`${ISSUER}/par`]: ({ proof, form }: { proof?: { nonce?: string }; form: { scope?: string } }) => {
        if (proof?.nonce !== "nonce-1") {
          return { status: 400, headers: { "dpop-nonce": "nonce-1" }, json: { error: "use_dpop_nonce" } };
        }
        if (form.scope !== "atproto transition:generic")
          return { status: 400, json: { error: "invalid_scope" } };
        return { status: 201, json: { request_uri: "urn:example:2", expires_in: 60 } };
      },
    });
    const asked = { ...(await askedConsent()), loginHint: DID };
    expect(await servers.ask(await servers.of(PDS), asked)).toContain("urn%3Aexample%3A2");
    expect(sent.map(({ form }) => form.scope)).toEqual([
      ...["atproto repo:* blob:*/*", "atproto repo:* blob:*/*"],
      ...["atproto transition:generic", "atproto transition:generic"],
    ]);
  });

  test("says what the server says where it refuses", async () => {
    const { servers } = fakeServers({ [`${ISSUER}/par`]: refusal("invalid_client_metadata") });
    const asked = { ...(await askedConsent()), loginHint: DID };
    const error = await servers.ask(await servers.of(PDS), asked).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(OAuthRefused);
    expect((error as OAuthRefused).message).toContain("invalid_client_metadata");
  });

  test("a server that is not on the internet is a development client, without documents and a key", async () => {
    const { servers, documents, sent } = fakeServers(
      {},
      { publicUrl: "http://localhost:2583", devMode: true },
    );
    await servers.ask(await servers.of(PDS), { ...(await askedConsent()), loginHint: DID });
    expect(sent[0]?.form).toMatchObject({ redirect_uri: "http://127.0.0.1:2583/oauth/communities/callback" });
    expect(sent[0]?.form.client_id).toStartWith("http://localhost?redirect_uri=http%3A%2F%2F127.0.0.1%2F");
    expect(sent[0]?.form).not.toHaveProperty("client_assertion");
    expect(await documents.at(`http://localhost:2583${OAUTH_PATHS.metadata}`)).toBeUndefined();
  });
});

describe("AuthorizationServers.exchange()", () => {
  const exchange = async (answer: object, parameters = callback()) => {
    const parts = fakeServers({ [`${ISSUER}/token`]: answer });
    const server = await parts.servers.of(PDS);
    const asked = await askedConsent();
    return { ...parts, asked, done: parts.servers.exchange(server, { parameters, asked }) };
  };

  test("gives what is needed to go on", async () => {
    const { done, asked, sent } = await exchange(TOKENS);
    expect(await done).toEqual({
      issuer: ISSUER,
      clientId: PUBLIC_URL + OAUTH_PATHS.metadata,
      dpopKey: asked.dpopKey as Record<string, unknown>,
      accessToken: "access-1",
      refreshToken: "refresh-1",
      expiresAt: NOW + 3_600_000,
    });
    expect(sent[0]?.form).toMatchObject({ code: "code-1", code_verifier: asked.verifier });
  });

  test.each<[string, object]>([
    ["of another account", { ...TOKENS, sub: "did:plc:another" }],
    ["of nobody", { ...TOKENS, sub: undefined }],
    ["that is bound to no key", { ...TOKENS, token_type: "bearer" }],
    ["for nothing", { ...TOKENS, scope: undefined }],
    ["for signing in alone", { ...TOKENS, scope: "atproto" }],
    ["for some records", { ...TOKENS, scope: "atproto repo:app.bsky.feed.post blob:*/*" }],
    ["for creating alone", { ...TOKENS, scope: "atproto repo:*?action=create blob:*/*" }],
    ["without files", { ...TOKENS, scope: "atproto repo:*" }],
  ])("refuses a consent %s, and gives it back", async (_, answer) => {
    const { done, sent } = await exchange(answer);
    expect(await codeOf(done)).toBe("invalid_credentials");
    expect(sent.at(-1)).toMatchObject({ path: "/revoke", form: { token: "refresh-1" } });
    // There are servers that revoke for the owner of the key alone.
    expect(sent.at(-1)?.proof).toMatchObject({ htu: `${ISSUER}/revoke` });
  });

  test.each<[string, object, URLSearchParams, string]>([
    ["another issuer", TOKENS, callback({ iss: "https://evil.example.com" }), "upstream_failure"],
    ["another state", TOKENS, callback({ state: "state-2" }), "upstream_failure"],
    ["no token to go on with", { ...TOKENS, refresh_token: undefined }, callback(), "upstream_failure"],
    ["endless tokens", { ...TOKENS, access_token: "a".repeat(20_000) }, callback(), "upstream_failure"],
    ["a refusal", refusal("invalid_grant"), callback(), "upstream_failure"],
    ["a broken server", () => ({ status: 500, json: {} }), callback(), "upstream_failure"],
  ])("refuses %s", async (_, answer, parameters, code) => {
    const { done } = await exchange(answer, parameters);
    expect(await codeOf(done)).toBe(code);
  });
});
