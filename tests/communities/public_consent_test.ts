/**
 * A server on the internet asks for consent as an app with a key: here at itself, which reads its own documents without a way through
 * the network. It listens in this process; only its public name, and that of the directory, are led to loopback.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "../../src/config/mod.ts";
import { createServer, type KithServer } from "../../src/server.ts";
import { type Account, createAccount, PASSWORD, xrpc } from "../client.ts";
import { PageVisitor } from "../page_visitor.ts";
import { PlcDirectory } from "../plc_directory.ts";
import { does } from "./consent.ts";

const PUBLIC = "https://kith.example.com";
const DIRECTORY = "https://plc.example.com";
const NOTE = "dev.kith.test.note";
const record = { $type: NOTE, text: "by consent" };
const folder = mkdtempSync(join(tmpdir(), "kith-public-consent-"));
const { fetch } = globalThis;

let plc: PlcDirectory;
let kith: KithServer;
let alice: Account;
let carol: Account;

beforeAll(async () => {
  plc = await PlcDirectory.start();
  const env = {
    PDS_DATA_DIRECTORY: folder,
    PDS_HOSTNAME: "kith.example.com",
    PDS_PORT: "0",
    PDS_DID_PLC_URL: DIRECTORY,
    PDS_INVITE_REQUIRED: "false",
    PDS_CRAWLERS: "",
    KITH_LEXICON_RESOLUTION: "false",
    LOG_ENABLED: "false",
  };
  const led = (input: string | URL | Request, init?: RequestInit) => {
    const url = String(input instanceof Request ? input.url : input);
    if (url.startsWith(DIRECTORY)) return fetch(plc.url + url.slice(DIRECTORY.length), init);
    return url.startsWith(`${PUBLIC}/`)
      ? fetch(kith.url + url.slice(PUBLIC.length), init)
      : fetch(input, init);
  };
  globalThis.fetch = Object.assign(led, fetch);
  kith = await createServer(loadConfig({ env }).config);
  alice = await createAccount(kith.url, "alice", plc);
  carol = await createAccount(kith.url, "carol", plc);
});
afterAll(async () => {
  globalThis.fetch = fetch;
  await kith?.stop();
  await plc?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

test("its documents say who it is, and nothing of its private key", async () => {
  const answer = await fetch(`${kith.url}/oauth/communities/client-metadata.json`);
  const metadata = (await answer.json()) as Record<string, unknown>;
  expect([answer.status, answer.headers.get("content-type")]).toEqual([
    200,
    expect.stringContaining("application/json"),
  ]);
  expect(metadata).toMatchObject({
    client_id: `${PUBLIC}/oauth/communities/client-metadata.json`,
    redirect_uris: [`${PUBLIC}/oauth/communities/callback`],
    token_endpoint_auth_method: "private_key_jwt",
    dpop_bound_access_tokens: true,
  });
  const jwks = await (await fetch(String(metadata.jwks_uri).replace(PUBLIC, kith.url))).text();
  expect(JSON.parse(jwks)).toMatchObject({ keys: [{ kty: "EC", crv: "P-256", use: "sig" }] });
  expect(jwks).not.toContain('"d"');
});

test("an account of its own is adopted by consent, published for, and given up", async () => {
  const asked = await does(kith.url, alice, "adopt", { body: { identifier: carol.handle } });
  const url = new URL(String(asked.authorizeUrl));
  expect(url.searchParams.get("client_id")).toBe(`${PUBLIC}/oauth/communities/client-metadata.json`);
  const visitor = new PageVisitor(PUBLIC);
  const signIn = await visitor.get(url.pathname + url.search);
  const credentials = { identifier: carol.handle, password: PASSWORD };
  const consent = await visitor.submit(signIn, "/sign-in", credentials);
  const scope = ["atproto", "repo:*", "blob:*/*"];
  const page = await visitor.submit(consent, "/consent", { scope, decision: "allow" });
  expect([page.title, page.text]).toEqual([
    "Make this account a community?",
    expect.stringContaining(`@${alice.handle}`),
  ]);
  const done = await visitor.submit(page, "/oauth/communities/callback", { decision: "allow" });
  expect(done.title).toBe("The account is a community now");
  const params = { communityDid: carol.did };
  const body = { ...params, collection: NOTE, record };
  const { uri } = await does(kith.url, alice, "createRecord", { body });
  const rkey = String(uri).split("/").at(-1);
  const written = await xrpc(kith.url, "com.atproto.repo.getRecord", {
    params: { repo: carol.did, collection: NOTE, rkey },
  });
  expect(written.json.value).toEqual(record);
  expect(await does(kith.url, alice, "getHealth", { params })).toMatchObject({ status: "healthy" });
  const end = await does(kith.url, alice, "delete", { body: params });
  expect(String(end.remains)).not.toContain("Take the consent back");
});
