/**
 * An account becomes a community by its owner's consent: one of the server itself, and one of another. Both listen in this process,
 * so that a test can let time pass.
 */
import { afterAll, afterEach, beforeAll, describe, expect, setSystemTime, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "../../src/config/mod.ts";
import { createServer, type KithServer } from "../../src/server.ts";
import { type Account, createAccount, PASSWORD, xrpc } from "../client.ts";
import { PageVisitor } from "../page_visitor.ts";
import { PlcDirectory } from "../plc_directory.ts";
import { comeBack, decideAtKith, does } from "./consent.ts";
import { community, ROOM } from "./group.ts";

const NOTE = "dev.kith.test.note";
const record = { $type: NOTE, text: "by consent" };
const HOUR_MS = 3_600_000;

let plc: PlcDirectory;
let kith: KithServer;
let other: KithServer;
let alice: Account;
let bob: Account;
const folders: string[] = [];

async function open(env: Record<string, string> = {}): Promise<KithServer> {
  const folder = mkdtempSync(join(tmpdir(), "kith-consent-"));
  folders.push(folder);
  const base = {
    PDS_DATA_DIRECTORY: folder,
    PDS_DEV_MODE: "true",
    PDS_PORT: "0",
    LOG_ENABLED: "false",
    KITH_LEXICON_RESOLUTION: "false",
    PDS_DID_PLC_URL: plc.url,
  };
  return await createServer(loadConfig({ env: { ...base, ...env } }).config);
}

beforeAll(async () => {
  plc = await PlcDirectory.start();
  other = await open();
  kith = await open({ ...ROOM, KITH_COMMUNITY_PDS_ALLOWLIST: other.url });
  alice = await createAccount(kith.url, "alice", plc);
  bob = await createAccount(kith.url, "bob", plc);
});
afterEach(() => void setSystemTime());
afterAll(async () => {
  await kith?.stop();
  await other?.stop();
  await plc?.[Symbol.asyncDispose]();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

const letPass = (ms: number) => void setSystemTime(new Date(Date.now() + ms));
const health = (did: string) => does(kith.url, alice, "getHealth", { params: { communityDid: did } });

async function ask(account: Account, by: Account = alice): Promise<string> {
  const answer = await does(kith.url, by, "adopt", { body: { identifier: account.did } });
  expect(answer).not.toHaveProperty("communityDid");
  return String(answer.authorizeUrl);
}

async function adopt(account: Account, by: Account = alice): Promise<void> {
  const { page, decide } = await comeBack(kith.url, await decideAtKith(await ask(account, by), account));
  expect([page.status, page.text]).toEqual([200, expect.stringContaining(`@${by.handle}`)]);
  expect(page.text).toContain(account.did);
  const done = await decide("allow");
  expect([done.status, done.title]).toEqual([200, "The account is a community now"]);
}

/** Adopted, published for, renewed, shut out, let in again, and given up. */
async function lives(account: Account, server: KithServer, hosting: string): Promise<void> {
  const communityDid = account.did;
  await adopt(account);
  const seen = await does(kith.url, alice, "get", { params: { communityDid } });
  expect(seen).toMatchObject({ mode: "adopted", hosting, handle: account.handle, role: "owner" });
  expect(await health(communityDid)).toMatchObject({ status: "healthy" });
  const publish = async () => {
    const body = { communityDid, collection: NOTE, record };
    const { uri } = await does(kith.url, alice, "createRecord", { body });
    const params = { repo: communityDid, collection: NOTE, rkey: String(uri).split("/").at(-1) };
    return (await xrpc(server.url, "com.atproto.repo.getRecord", { params })).json.value;
  };
  expect(await publish()).toEqual(record);
  const blob = await community(kith.url, "uploadBlob", {
    token: alice.accessJwt,
    params: { communityDid },
    body: new Uint8Array([1, 2, 3]),
    headers: { "content-type": "text/plain" },
  });
  expect([blob.status, blob.json]).toMatchObject([200, { blob: { size: 3 } }]);

  letPass(HOUR_MS);
  alice = await signedIn(alice);
  const all = await Promise.all([publish(), publish(), publish()]);
  expect(all).toEqual([record, record, record]);

  // The owner of the account takes it back.
  await revokeAll(server, account);
  expect(await health(communityDid)).toMatchObject({ status: "expired" });
  const shut = await community(kith.url, "createRecord", {
    token: alice.accessJwt,
    body: { communityDid, collection: NOTE, record },
  });
  expect(shut.status).toBe(502);
  const again = await does(kith.url, alice, "reauth", { body: { communityDid } });
  expect(again).toMatchObject({ status: "consentNeeded" });
  const { decide } = await comeBack(kith.url, await decideAtKith(String(again.authorizeUrl), account));
  expect((await decide("allow")).title).toBe("This server is let in again");
  expect(await publish()).toEqual(record);
  expect(await health(communityDid)).toMatchObject({ status: "healthy" });

  const end = await does(kith.url, alice, "delete", { body: { communityDid } });
  expect(String(end.done)).toContain("consent");
  expect(String(end.remains)).not.toContain("Revoke");
}

async function signedIn(account: Account): Promise<Account> {
  const body = { identifier: account.handle, password: PASSWORD };
  const { json } = await xrpc(kith.url, "com.atproto.server.createSession", { body });
  return { ...account, accessJwt: String(json.accessJwt), refreshJwt: String(json.refreshJwt) };
}

/** As the account pages do, which end what an app was allowed. */
async function revokeAll({ url }: KithServer, account: Account): Promise<void> {
  const visitor = new PageVisitor(url);
  const entrance = await visitor.get("/account");
  const credentials = { identifier: account.handle, password: PASSWORD };
  await visitor.submit(entrance, "/sign-in", credentials);
  const apps = await visitor.get(`/account/${account.did}/apps`);
  const form = apps.forms.find(({ action }) => /revoke|apps/.test(action));
  if (!form) throw new Error(`No way to revoke on ${apps.text}`);
  await visitor.send(form);
}

describe("adopt without an app password", () => {
  test("one of another server", async () => {
    await lives(await createAccount(other.url, "zoe", plc), other, "remote");
  });

  test("one of this server, without a socket", async () => {
    await lives(await createAccount(kith.url, "carol", plc), kith, "loopback");
  });

  test("is refused at the account's server, or on our page: nothing comes of it", async () => {
    const yuri = await createAccount(other.url, "yuri", plc);
    const denied = await decideAtKith(await ask(yuri), yuri, "deny");
    expect(denied.searchParams.get("error")).toBe("access_denied");
    const { page } = await comeBack(kith.url, denied);
    expect(page.title).toBe("Nothing was changed");
    const callback = await decideAtKith(await ask(yuri), yuri);
    const german = await comeBack(kith.url, callback, { "Accept-Language": "de" });
    expect(german.page.title).toBe("Soll dieses Konto eine Gemeinschaft werden?");
    expect((await german.decide("deny")).title).toBe("Es hat sich nichts geändert");
    // Neither can be gone back to.
    for (const used of [denied, callback])
      expect((await comeBack(kith.url, used)).page.text).toContain("used already");
    expect(await does(kith.url, alice, "list", {})).toEqual({ communities: [] });
  });

  test("a callback is good once, and for ten minutes", async () => {
    const xena = await createAccount(other.url, "xena", plc);
    const late = await decideAtKith(await ask(xena), xena);
    letPass(11 * 60_000);
    expect((await comeBack(kith.url, late)).page.text).toContain("ten minutes");
    setSystemTime();
    const callback = await decideAtKith(await ask(xena), xena);
    const [first, second] = await Promise.all([comeBack(kith.url, callback), comeBack(kith.url, callback)]);
    const pages = await Promise.all([first.decide("allow"), second.decide("allow")]);
    expect(pages.map(({ status }) => status).toSorted()).toEqual([200, 400]);
    expect((await comeBack(kith.url, callback)).page.status).toBe(400);
    // Whoever comes too late finds that it is one already, and what was given to them is given back.
    const answer = await community(kith.url, "adopt", {
      token: bob.accessJwt,
      body: { identifier: xena.did },
    });
    expect([answer.status, answer.error]).toEqual([400, "AlreadyExists"]);
    await does(kith.url, alice, "delete", { body: { communityDid: xena.did } });
  });

  test("another account's consent, another server's answer and another's state are no use", async () => {
    const [vera, walt] = await Promise.all(
      ["vera", "walt"].map((name) => createAccount(other.url, name, plc)),
    );
    if (!vera || !walt) throw new Error("no accounts");
    // The answer of one question in the other: its code is not that of this verifier.
    const ofVera = await decideAtKith(await ask(vera), vera);
    const ofWalt = await decideAtKith(await ask(walt, bob), walt);
    const mixed = new URL(ofVera);
    mixed.searchParams.set("code", ofWalt.searchParams.get("code") ?? "");
    const swapped = await comeBack(kith.url, mixed);
    expect((await swapped.decide("allow")).status).toBe(502);

    for (const change of [{ iss: "https://evil.example" }, { iss: "" }, { code: "" }, { state: "unknown" }]) {
      const callback = await decideAtKith(await ask(vera), vera);
      for (const [name, value] of Object.entries(change)) callback.searchParams.set(name, value);
      expect([change, (await comeBack(kith.url, callback)).page.status]).toEqual([change, 400]);
    }
    expect(await does(kith.url, alice, "list", {})).toEqual({ communities: [] });
  });

  test("an owner who is none any more gets nothing by a consent that was asked for before", async () => {
    const ulla = await createAccount(other.url, "ulla", plc);
    await adopt(ulla);
    const communityDid = ulla.did;
    const again = await does(kith.url, alice, "reauth", { body: { communityDid } });
    const grant = (subject: string, role: string) => ({ body: { communityDid, subject, role } });
    await does(kith.url, alice, "grant", grant(bob.did, "owner"));
    await does(kith.url, bob, "grant", grant(alice.did, "member"));
    const { decide } = await comeBack(kith.url, await decideAtKith(String(again.authorizeUrl), ulla));
    expect((await decide("allow")).text).toContain("may not do this here any more");
    // What lets the server in is as before.
    const params = { communityDid };
    expect(await does(kith.url, bob, "getHealth", { params })).toMatchObject({ status: "healthy" });
  });

  test("a development server leads its browser from 127.0.0.1 to its own name", async () => {
    const { port } = new URL(kith.url);
    const answer = await fetch(`http://127.0.0.1:${port}/oauth/communities/callback?state=a%20b`);
    const to = `${kith.config.publicUrl}/oauth/communities/callback?state=a%20b`;
    expect([answer.status, answer.headers.get("refresh")]).toEqual([200, `0; url=${to}`]);
  });

  test("refuses accounts that cannot be asked", async () => {
    const rows: [string, number, string][] = [
      ["nobody.test", 400, "HandleNotFound"],
      ["did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", 400, "DidNotFound"],
    ];
    for (const [identifier, ...expected] of rows) {
      const { status, error } = await community(kith.url, "adopt", {
        token: alice.accessJwt,
        body: { identifier },
      });
      expect([identifier, status, error]).toEqual([identifier, ...expected]);
    }
  });
});
