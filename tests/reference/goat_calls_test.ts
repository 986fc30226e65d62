/** goat, pdsadmin, the official app's start and the migration tools get the same shapes from kith as from the reference PDS. */
import { describe, expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { JWT_SECRET } from "../harness.ts";
import * as goat from "./cases/goat_calls.ts";
import * as hosts from "./cases/goat_hosts.ts";
import { type Part, playScript } from "./run.ts";

const script: readonly Part[] = [
  ["members", goat.members],
  ["goat: the client", goat.client],
  ["goat: commands", goat.commands],
  ["goat pds admin and pdsadmin", hosts.operators],
  ["goat account migrate and PDS MOover", hosts.migration],
  ["the app's start", goat.appStart],
  ["the distribution", goat.distribution],
];

describe("goat calls", () => {
  const run = playScript(script);

  test("the addresses that Caddy asks about have the distribution's statuses", async () => {
    const { kith } = run.outcome.pair;
    const rows: [domain: string, status: number][] = [
      ["localhost", 200],
      ["gwendolyn.test", 200],
      ["nobody.test", 404],
      ["example.com", 400],
      ["", 400],
    ];
    for (const [domain, status] of rows) {
      const answer = await kith.send("/tls-check", { params: { domain } });
      expect([domain, answer.status]).toEqual([domain, status]);
    }
  });

  test("describeServer's did is a DID, and its domains begin with a dot", async () => {
    const { json } = await run.outcome.pair.kith.send("com.atproto.server.describeServer", {});
    expect(json.did).toMatch(/^did:[a-z]+:/);
    expect(json.availableUserDomains).toEqual([".test"]);
  });

  test("an access token decodes as a JWT with scope and exp", () => {
    const [, claims = ""] = run.outcome.pair.kith.token("gwen").split(".");
    expect(JSON.parse(Buffer.from(claims, "base64url").toString())).toMatchObject({
      scope: "com.atproto.access",
      exp: expect.any(Number),
    });
  });

  test("active: false never comes without a status", async () => {
    const { kith } = run.outcome.pair;
    const did = kith.did("nora");
    const { json: status } = await kith.send("com.atproto.sync.getRepoStatus", { params: { did } });
    const { json: list } = await kith.send("com.atproto.sync.listRepos", { params: { limit: 500 } });
    const { json: session } = await kith.send("com.atproto.server.getSession", { token: kith.token("nora") });
    const listed = (list.repos as { active?: boolean; status?: string }[]).filter(({ active }) => !active);
    expect(listed.length).toBeGreaterThan(0);
    for (const view of [status, session, ...listed]) {
      expect(view.active).toBe(false);
      expect(typeof view.status).toBe("string");
    }
  });

  test("binary answers have their exact length", async () => {
    const { kith } = run.outcome.pair;
    const params = { did: kith.did("gwen"), cid: kith.kept("blob") };
    const blob = await kith.send("com.atproto.sync.getBlob", { params });
    expect(blob.headers.get("content-length")).toBe(String(blob.bytes.length));
    const repo = await kith.send("com.atproto.sync.getRepo", { params: { did: kith.did("gwen") } });
    expect([null, String(repo.bytes.length)]).toContain(repo.headers.get("content-length"));
  });

  test("a preflight names the headers that * does not cover", async () => {
    const answer = await run.outcome.pair.kith.send("com.atproto.server.getSession", {
      method: "OPTIONS",
      headers: { origin: "https://pdsmoover.com", "access-control-request-method": "GET" },
    });
    const allowed = answer.headers.get("access-control-allow-headers")?.toLowerCase().split(", ");
    expect(allowed).toEqual(
      expect.arrayContaining(["authorization", "atproto-proxy", "atproto-accept-labelers"]),
    );
    expect(answer.headers.get("access-control-allow-origin")).toBe("*");
  });

  test("an expired token is a 400 ExpiredToken in JSON: nothing else makes goat refresh", async () => {
    const { kith } = run.outcome.pair;
    const answer = await kith.send("com.atproto.server.getSession", { token: expired(kith.token("gwen")) });
    expect([answer.status, answer.error]).toEqual([400, "ExpiredToken"]);
    expect(answer.headers.get("content-type")).toMatch(/^application\/json/);
  });

  test("refused tokens are answered so that goat, indigo and the app know what to do", async () => {
    const { kith } = run.outcome.pair;
    const refused = await kith.send("com.atproto.server.refreshSession", {
      method: "POST",
      token: "garbage",
    });
    expect([refused.status, refused.error]).toEqual([400, "InvalidToken"]);
    expect(refused.headers.get("content-type")).toMatch(/^application\/json/);
    const wrong = await kith.send("com.atproto.server.createSession", {
      body: { identifier: "gwendolyn.test", password: "wrong" },
    });
    expect([wrong.status, wrong.json.message]).toEqual([401, "Invalid identifier or password"]);
  });
});

/** The same token of kith's, of two hours ago. */
function expired(token: string): string {
  const [header = "", payload = ""] = token.split(".");
  const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as { iat: number; exp: number };
  const old = JSON.stringify({ ...claims, iat: claims.iat - 7_200, exp: claims.iat - 60 });
  const signed = `${header}.${Buffer.from(old).toString("base64url")}`;
  return `${signed}.${createHmac("sha256", JWT_SECRET).update(signed).digest("base64url")}`;
}
