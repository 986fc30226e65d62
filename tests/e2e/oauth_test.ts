/**
 * Apps sign in: two clients that know nothing of kith go from the pushed request to calls with DPoP, refresh, and are thrown
 * out. The server runs in this process, so that the test can decide what a person would.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NodeOAuthClient, type NodeSavedSession, type NodeSavedState } from "@atproto/oauth-client-node";
import { loadConfig } from "../../src/config/mod.ts";
import { createServer, type KithServer } from "../../src/server.ts";
import { type Account, createAccount, http, xrpc } from "../client.ts";
import { loopbackMetadata } from "../loopback_client.ts";
import { approve, OAuthApp, REDIRECT } from "../oauth_app.ts";

const SCOPE = "atproto repo:app.bsky.feed.post?action=create blob:image/*";

let server: KithServer;
let alice: Account;
const folder = mkdtempSync(join(tmpdir(), "kith-oauth-"));

beforeAll(async () => {
  const env = { PDS_DATA_DIRECTORY: folder, PDS_DEV_MODE: "true", PDS_PORT: "0", LOG_ENABLED: "false" };
  server = await createServer(loadConfig({ env }).config);
  alice = await createAccount(server.url, "alice");
});

afterAll(async () => {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

const start = (scope = SCOPE): Promise<OAuthApp> => OAuthApp.start(server, { did: alice.did, scope });

const post = (text: string) => ({
  repo: alice.did,
  collection: "app.bsky.feed.post",
  record: { $type: "app.bsky.feed.post", text, createdAt: "2026-01-01T00:00:00Z" },
});

test("oauth4webapi signs in, writes what it may and no more, refreshes, revokes, and is refused", async () => {
  const judge = await start();
  const tokens = await judge.signIn();
  expect(tokens).toMatchObject({ token_type: "dpop", scope: SCOPE, sub: alice.did, expires_in: 900 });

  const written = await judge.call("com.atproto.repo.createRecord", tokens.access_token, post("by an app"));
  expect(written.status).toBe(200);
  expect(written.headers.get("dpop-nonce")).toBeString();
  const { uri } = (await written.json()) as { uri: string };

  const rkey = uri.split("/").at(-1);
  const deletion = { repo: alice.did, collection: "app.bsky.feed.post", rkey };
  const refused = await judge.call("com.atproto.repo.deleteRecord", tokens.access_token, deletion);
  expect([refused.status, await refused.json()]).toEqual([
    403,
    expect.objectContaining({
      error: "ScopeMissingError",
      message: expect.stringContaining("repo:app.bsky.feed.post?action=delete"),
    }),
  ]);

  const session = await judge.call("com.atproto.server.getSession", tokens.access_token);
  const seen = (await session.json()) as object;
  expect(seen).toMatchObject({ did: alice.did, handle: alice.handle });
  expect(Object.keys(seen)).not.toContain("email");

  const renewed = await judge.refresh(tokens.refresh_token ?? "");
  expect((await judge.call("com.atproto.server.getSession", tokens.access_token)).status).toBe(401);
  expect((await judge.call("com.atproto.server.getSession", renewed.access_token)).status).toBe(200);

  await judge.revoke(renewed.access_token);
  const after = await judge.call("com.atproto.server.getSession", renewed.access_token);
  expect(after.status).toBe(401);
  expect(after.headers.get("www-authenticate")).toContain('error="invalid_token"');
  await expect(judge.refresh(renewed.refresh_token ?? "")).rejects.toMatchObject({ error: "invalid_grant" });
});

test("a refresh token that is used twice ends the session", async () => {
  const judge = await start();
  const first = await judge.signIn();
  const second = await judge.refresh(first.refresh_token ?? "");
  await expect(judge.refresh(first.refresh_token ?? "")).rejects.toMatchObject({ error: "invalid_grant" });
  expect((await judge.call("com.atproto.server.getSession", second.access_token)).status).toBe(401);
  await expect(judge.refresh(second.refresh_token ?? "")).rejects.toMatchObject({ error: "invalid_grant" });
});

test("an access token is nothing without the key that it is bound to", async () => {
  const judge = await start();
  const { access_token: token } = await judge.signIn();
  const asBearer = await xrpc(server.url, "com.atproto.server.getSession", { token });
  expect([asBearer.status, asBearer.error]).toEqual([401, "invalid_token"]);
  expect(asBearer.headers.get("www-authenticate")).toStartWith("DPoP ");

  const thief = await start();
  expect((await thief.call("com.atproto.server.getSession", token)).status).toBe(401);

  const headers = { authorization: `DPoP ${token}` };
  const bare = await xrpc(server.url, "com.atproto.server.getSession", { headers });
  expect([bare.status, bare.error]).toEqual([401, "invalid_dpop_proof"]);
  expect(bare.headers.get("dpop-nonce")).toBeString();

  const session = { authorization: `DPoP ${alice.accessJwt}` };
  const mixed = await xrpc(server.url, "com.atproto.server.getSession", { headers: session });
  expect([mixed.status, mixed.error]).toEqual([401, "invalid_token"]);
});

test("what a person takes out of the scope is not granted", async () => {
  const judge = await start();
  const tokens = await judge.signIn({ allowed: "atproto blob:image/*" });
  expect(tokens.scope).toBe("atproto blob:image/*");
  const refused = await judge.call("com.atproto.repo.createRecord", tokens.access_token, post("not allowed"));
  expect(refused.status).toBe(403);
  await expect(judge.signIn({ allowed: "atproto repo:*" })).rejects.toThrow("not a part of what was asked");
});

test("a takedown and a new password end what apps were let in for", async () => {
  const judge = await start();
  const { access_token: token, refresh_token: refresh = "" } = await judge.signIn();
  const admin = { authorization: `Basic ${btoa(`admin:${await adminPassword()}`)}` };
  const answer = await xrpc(server.url, "com.atproto.admin.updateAccountPassword", {
    headers: admin,
    body: { did: alice.did, password: "a new password" },
  });
  expect(answer.status).toBe(200);
  expect((await judge.call("com.atproto.server.getSession", token)).status).toBe(401);
  await expect(judge.refresh(refresh)).rejects.toMatchObject({ error: "invalid_grant" });

  const again = await judge.signIn();
  const subject = { $type: "com.atproto.admin.defs#repoRef", did: alice.did };
  const turn = (applied: boolean) =>
    xrpc(server.url, "com.atproto.admin.updateSubjectStatus", {
      headers: admin,
      body: { subject, takedown: { applied } },
    });
  expect((await turn(true)).status).toBe(200);
  expect((await judge.call("com.atproto.server.getSession", again.access_token)).status).toBe(401);
  await expect(judge.signIn()).rejects.toThrow("may not sign in");
  expect((await turn(false)).status).toBe(200);
  expect((await judge.call("com.atproto.server.getSession", again.access_token)).status).toBe(401);
});

test("@atproto/oauth-client-node signs in, calls, refreshes, and signs out", async () => {
  const states = new Map<string, NodeSavedState>();
  const sessions = new Map<string, NodeSavedSession>();
  const client = new NodeOAuthClient({
    clientMetadata: loopbackMetadata({ redirectUri: REDIRECT, scope: SCOPE }),
    allowHttp: true,
    plcDirectoryUrl: server.config.plcUrl,
    handleResolver: server.url,
    requestLock: async (_name, act) => act(),
    stateStore: storeOf(states),
    sessionStore: storeOf(sessions),
  });
  const callback = await approve(server, (await client.authorize(alice.did, { scope: SCOPE })).href, {
    did: alice.did,
  });
  const { session } = await client.callback(callback.searchParams);
  expect(session.did).toBe(alice.did as `did:plc:${string}`);

  const call = (path: string, init?: RequestInit) => session.fetchHandler(path, init);
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify(post("by the official client"));
  const written = await call("/xrpc/com.atproto.repo.createRecord", { method: "POST", headers, body });
  expect(written.status).toBe(200);

  const before = await session.getTokenInfo(false);
  expect(before.scope).toBe(SCOPE);
  const token = sessions.get(alice.did)?.tokenSet.access_token;
  await session.getTokenInfo(true);
  expect(sessions.get(alice.did)?.tokenSet.access_token).not.toBe(token as string);
  expect((await call("/xrpc/com.atproto.server.getSession")).status).toBe(200);

  const last = sessions.get(alice.did)?.tokenSet.access_token ?? "";
  await session.signOut();
  const judge = await start();
  expect((await judge.call("com.atproto.server.getSession", last)).status).toBe(401);
});

test("both documents of discovery are there, for any page to read", async () => {
  for (const name of ["oauth-authorization-server", "oauth-protected-resource"]) {
    const answer = await http(`${server.url}/.well-known/${name}`);
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toStartWith("application/json");
    expect(answer.headers.get("access-control-allow-origin")).toBe("*");
  }
  const preflight = await http(`${server.url}/oauth/par`, { method: "OPTIONS" });
  expect(preflight.status).toBe(204);
  expect(preflight.headers.get("access-control-allow-headers")).toContain("dpop");
});

function storeOf<T>(map: Map<string, T>) {
  return {
    get: async (key: string) => map.get(key),
    set: async (key: string, value: T) => void map.set(key, value),
    del: async (key: string) => void map.delete(key),
  };
}

async function adminPassword(): Promise<string> {
  const secrets = (await Bun.file(join(folder, "secrets.json")).json()) as Record<string, string>;
  return secrets.PDS_ADMIN_PASSWORD ?? secrets.adminPassword ?? "";
}
