/**
 * Apps that hold a key of their own: from documents on their own host through the pages to tokens, by two clients that know nothing
 * of kith. The server listens in this process, so that a test can let days pass; only the name of the app's host is led to loopback.
 */
import { afterAll, afterEach, beforeAll, describe, expect, setSystemTime, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  JoseKey,
  NodeOAuthClient,
  type NodeSavedSession,
  type NodeSavedState,
} from "@atproto/oauth-client-node";
import { loadConfig } from "../../src/config/mod.ts";
import { createServer, type KithServer } from "../../src/server.ts";
import { type Account, createAccount, PASSWORD } from "../client.ts";
import { KeyedApp } from "../keyed_app.ts";
import { OAuthApp } from "../oauth_app.ts";
import { formTo, PageVisitor } from "../page_visitor.ts";

const APP = "https://web.example.org";
const CLIENT_ID = `${APP}/client.json` as const;
const REDIRECT = `${APP}/callback` as const;
const SCOPE = "atproto repo:app.bsky.feed.post?action=create blob:image/*";
const DAY_MS = 24 * 3_600_000;
const GET_SESSION = "com.atproto.server.getSession";

let server: KithServer;
let alice: Account;
let keys: JoseKey[];
const folder = mkdtempSync(join(tmpdir(), "kith-confidential-"));
const METADATA = {
  client_id: CLIENT_ID,
  client_name: "An app with a server",
  client_uri: APP,
  redirect_uris: [REDIRECT] as [typeof REDIRECT],
  scope: SCOPE,
  response_types: ["code"] as ["code"],
  grant_types: ["authorization_code", "refresh_token"] as ["authorization_code", "refresh_token"],
  application_type: "web" as const,
  token_endpoint_auth_method: "private_key_jwt" as const,
  token_endpoint_auth_signing_alg: "ES256",
  dpop_bound_access_tokens: true,
  jwks_uri: `${APP}/jwks.json` as const,
};

/** Where the app has its documents. */
const host = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch: ({ url }) => {
    const { pathname } = new URL(url);
    if (pathname === "/client.json") return Response.json(METADATA);
    if (pathname === "/jwks.json") return Response.json({ keys: keys.map(({ publicJwk }) => publicJwk) });
    return new Response(null, { status: 404 });
  },
});
const { fetch } = globalThis;
const led = Object.assign((input: string | URL | Request, init?: RequestInit) => {
  const url = String(input instanceof Request ? input.url : input);
  return url.startsWith(`${APP}/`)
    ? fetch(host.url.origin + url.slice(APP.length), init)
    : fetch(input, init);
}, fetch);

beforeAll(async () => {
  globalThis.fetch = led;
  keys = [await JoseKey.generate(["ES256"], "key-1")];
  const env = { PDS_DATA_DIRECTORY: folder, PDS_DEV_MODE: "true", PDS_PORT: "0", LOG_ENABLED: "false" };
  server = await createServer(loadConfig({ env }).config);
  alice = await createAccount(server.url, "alice");
});

afterEach(() => void setSystemTime());

afterAll(async () => {
  globalThis.fetch = fetch;
  await server.stop();
  await host.stop(true);
  rmSync(folder, { recursive: true, force: true });
});

const pass = (ms: number) => void setSystemTime(new Date(Date.now() + ms));

function storeOf<T>(map: Map<string, T>) {
  return {
    get: async (key: string) => map.get(key),
    set: async (key: string, value: T) => void map.set(key, value),
    del: async (key: string) => void map.delete(key),
  };
}

/** The official client, with what it stores. */
function official(keyset: JoseKey[]) {
  const sessions = new Map<string, NodeSavedSession>();
  const client = new NodeOAuthClient({
    clientMetadata: METADATA,
    keyset,
    allowHttp: true,
    plcDirectoryUrl: server.config.plcUrl,
    handleResolver: server.url,
    requestLock: async (_name, act) => act(),
    stateStore: storeOf(new Map<string, NodeSavedState>()),
    sessionStore: storeOf(sessions),
  });
  return { client, sessions };
}

const post = (text: string) => ({
  repo: alice.did,
  collection: "app.bsky.feed.post",
  record: { $type: "app.bsky.feed.post", text, createdAt: "2026-01-01T00:00:00Z" },
});

describe("@atproto/oauth-client-node with a keyset", () => {
  test("is signed in by the pages, writes, refreshes, and is refused once it has signed out", async () => {
    const { client, sessions } = official(keys);
    const browser = new PageVisitor(server.url);
    const asked = await browser.get((await client.authorize(alice.handle, { scope: SCOPE })).href);
    const consent = await browser.submit(asked, "/sign-in", { identifier: alice.handle, password: PASSWORD });
    expect(consent.html).toContain(CLIENT_ID);
    const back = await browser.submit(consent, "/consent", { decision: "allow" });
    expect(back.away?.href).toStartWith(`${REDIRECT}?`);
    const { session } = await client.callback(back.away?.searchParams ?? new URLSearchParams());
    const write = () =>
      session.fetchHandler("/xrpc/com.atproto.repo.createRecord", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(post("by an app with a key")),
      });
    expect((await write()).status).toBe(200);
    const before = structuredClone(sessions.get(alice.did)?.tokenSet);
    await session.getTokenInfo(true);
    const after = sessions.get(alice.did);
    expect(after?.tokenSet.refresh_token).not.toBe(before?.refresh_token);
    expect((await write()).status).toBe(200);
    const stolen = structuredClone(after);
    await session.signOut();
    if (stolen) sessions.set(alice.did, stolen);
    await expect(client.restore(alice.did, true)).rejects.toThrow();
  });

  test("is let in again without asking, until the member forgets it", async () => {
    const { client } = official(keys);
    const visitor = new PageVisitor(server.url);
    const path = `/account/${alice.did}/apps`;
    const signIn = formTo(await visitor.get(path), "/account/sign-in");
    const fields = { identifier: alice.handle, password: PASSWORD };
    const listed = await visitor.send(signIn, { fields });
    expect(listed.text).toContain("No app has access.");
    expect(listed.text).toContain("Let in without asking");
    expect(listed.text).toContain(CLIENT_ID);
    const browser = new PageVisitor(server.url);
    for (const [name, value] of visitor.cookies) browser.cookies.set(name, value);
    const silently = async () => {
      const url = (await client.authorize(server.url, { scope: SCOPE, prompt: "none" })).href;
      return (await browser.get(url)).away?.searchParams ?? new URLSearchParams();
    };
    const { session } = await client.callback(await silently());
    expect((await visitor.get(path)).text).not.toContain("Let in without asking");
    await session.signOut();
    const forgotten = await visitor.send(formTo(await visitor.get(path), `${path}/forget`));
    expect(forgotten.text).toContain("You will be asked before");
    expect(forgotten.text).not.toContain(CLIENT_ID);
    expect((await silently()).get("error")).toBe("consent_required");
  });
});

describe("oauth4webapi with private_key_jwt", () => {
  const start = (key = keys[0] as JoseKey) =>
    KeyedApp.start(server, { clientId: CLIENT_ID, redirectUri: REDIRECT, scope: SCOPE, did: alice.did, key });
  const refused = { error: "invalid_grant" };

  test("signs in, calls, looks at its token, refreshes, revokes, and is refused", async () => {
    const app = await start();
    const tokens = await app.signIn();
    expect(tokens).toMatchObject({ token_type: "dpop", scope: SCOPE, sub: alice.did, expires_in: 900 });
    expect((await app.call(GET_SESSION, tokens.access_token)).status).toBe(200);
    expect(await app.introspect(tokens.access_token)).toMatchObject({ active: true, sub: alice.did });
    const renewed = await app.refresh(tokens.refresh_token ?? "");
    expect((await app.call(GET_SESSION, tokens.access_token)).status).toBe(401);
    expect(await app.introspect(tokens.access_token)).toEqual({ active: false });
    await app.revoke(renewed.access_token);
    expect((await app.call(GET_SESSION, renewed.access_token)).status).toBe(401);
    await expect(app.refresh(renewed.refresh_token ?? "")).rejects.toMatchObject(refused);
    expect(await app.introspect(renewed.access_token)).toEqual({ active: false });
  });

  test("a session is its key's: another key of the same client gets nothing of it", async () => {
    const app = await start();
    const tokens = await app.signIn();
    const other = await JoseKey.generate(["ES256"], "key-2");
    keys.push(other);
    pass(31_000);
    const thief = await start(other);
    thief.dpop = app.dpop;
    await expect(thief.refresh(tokens.refresh_token ?? "")).rejects.toMatchObject(refused);
    expect((await thief.signIn()).sub).toBe(alice.did);
    const renewed = await app.refresh(tokens.refresh_token ?? "");
    // Nobody has the old key any more, as after a theft of it: what was begun with it ends.
    keys.shift();
    pass(11 * 60_000);
    await expect(app.refresh(renewed.refresh_token ?? "")).rejects.toMatchObject({ error: "invalid_client" });
    await expect(thief.refresh(renewed.refresh_token ?? "")).rejects.toMatchObject(refused);
    expect((await app.call(GET_SESSION, renewed.access_token)).status).toBe(401);
  });

  test("lives longer than a public client, and not for ever", async () => {
    const [web, phone] = [await start(), await OAuthApp.start(server, { did: alice.did, scope: "atproto" })];
    let [ofWeb, ofPhone] = [await web.signIn(), await phone.signIn()];
    pass(13 * DAY_MS);
    [ofWeb, ofPhone] = [
      await web.refresh(ofWeb.refresh_token ?? ""),
      await phone.refresh(ofPhone.refresh_token ?? ""),
    ];
    pass(2 * DAY_MS);
    expect((await phone.call(GET_SESSION, ofPhone.access_token)).status).toBe(401);
    await expect(phone.refresh(ofPhone.refresh_token ?? "")).rejects.toMatchObject(refused);
    pass(80 * DAY_MS);
    expect((await web.call(GET_SESSION, ofWeb.access_token)).status).toBe(401);
    ofWeb = await web.refresh(ofWeb.refresh_token ?? "");
    expect((await web.call(GET_SESSION, ofWeb.access_token)).status).toBe(200);
    pass(90 * DAY_MS);
    await expect(web.refresh(ofWeb.refresh_token ?? "")).rejects.toMatchObject(refused);
  });
});
