/** The account of a community on this server: it has no password and no e-mail address, and everything else that accounts have. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createGenesis,
  encodeCbor,
  generatePrivateKey,
  type KeyType,
  signerFromPrivateKey,
} from "../../src/atproto/mod.ts";
import { NativeHost } from "../../src/communities/hosts/native_host.ts";
import { KithError } from "../../src/errors.ts";
import { createPlcClient } from "../../src/identity/mod.ts";
import { ADMIN_PASSWORD, KEY_TYPES } from "../harness.ts";
import { judgeRepo } from "../judges.ts";
import { KithParts } from "../kith_parts.ts";
import { PlcDirectory } from "../plc_directory.ts";
import { waitFor } from "../wait.ts";

const ADMIN = `Basic ${btoa(`admin:${ADMIN_PASSWORD}`)}`;

let plc: PlcDirectory;
let kith: KithParts;
let host: NativeHost;
let rotationKey: string;

beforeAll(async () => {
  plc = await PlcDirectory.start();
  kith = await KithParts.open({ PDS_DID_PLC_URL: plc.url, KITH_LOGIN_FAILURES_MAX: "100" });
  rotationKey = await serverRotationKey(kith);
  host = hostOf(kith);
});
afterAll(async () => {
  await kith?.[Symbol.asyncDispose]();
  await plc?.[Symbol.asyncDispose]();
});

/** From an operation of its own making. */
async function serverRotationKey(parts: KithParts): Promise<string> {
  const account = { handle: "someone.test", email: "someone@example.com", password: "a long password" };
  const { json } = await parts.call("com.atproto.server.createAccount", { input: account });
  const { rotationKeys } = await createPlcClient({ url: plc.url }).data(String(json.did));
  return rotationKeys.at(-1) ?? "";
}

function hostOf({ stores, actors, features, config }: KithParts): NativeHost {
  return new NativeHost({
    accounts: stores.accounts,
    births: features.creator,
    repos: actors.registry,
    handles: features.handles,
    serviceDid: config.serviceDid,
    publicUrl: config.publicUrl,
    handleDomains: config.handleDomains,
    rotationKey,
  });
}

/** A community whose operation is in the directory. */
async function begin(name: string, keyType: KeyType = "k256") {
  const owner = signerFromPrivateKey("p256", generatePrivateKey("p256", randomBytes(32)));
  const privateKey = generatePrivateKey(keyType, randomBytes(32));
  const { didKey } = signerFromPrivateKey(keyType, privateKey);
  const handle = `${name}.test`;
  const { did, operation } = createGenesis({
    signingKey: didKey,
    rotationKeys: [owner.didKey, rotationKey],
    handle,
    pdsEndpoint: kith.config.publicUrl,
    signer: owner,
  });
  await createPlcClient({ url: plc.url }).submit(did, operation);
  const native = {
    signingKey: { type: keyType, privateKey },
    genesis: encodeCbor(operation),
    rotationKey: owner.didKey,
  };
  return { did, handle, native, didKey };
}

async function carOf(did: string): Promise<Uint8Array> {
  const url = `${kith.config.publicUrl}/xrpc/com.atproto.sync.getRepo?did=${did}`;
  const answer = await kith.handler(new Request(url));
  return new Uint8Array((await answer?.arrayBuffer()) ?? new ArrayBuffer());
}

const repoStatus = (did: string) => kith.call("com.atproto.sync.getRepoStatus", { params: { did } });
const caught = (promise: Promise<unknown>) => promise.catch((error: unknown) => error);

test.each(KEY_TYPES)("a community is born active, with a repo signed by its %s key", async (keyType) => {
  const community = await begin(`born-${keyType}`, keyType);
  const { did, handle, didKey } = community;
  expect(await host.hasAccount({ did })).toBe("none");
  await host.preflight({ handle });
  await host.createAccount(community);
  await host.createAccount(community);
  expect(await host.hasAccount({ did })).toBe("active");
  expect((await repoStatus(did)).json).toMatchObject({ did, active: true });
  const { records } = await judgeRepo(await carOf(did), did, didKey);
  expect(records.size).toBe(0);
  const resolved = await kith.call("com.atproto.identity.resolveHandle", { params: { handle } });
  expect(resolved.json).toEqual({ did });
  expect(await caught(host.preflight({ handle }))).toMatchObject({ code: "handle_not_available" });
});

describe("nobody signs in to a community", () => {
  let did: string;
  let handle: string;
  beforeAll(async () => {
    const community = await begin("closed");
    ({ did, handle } = community);
    await host.createAccount(community);
  });

  test("with any password: the answer is that of a name that nobody has", async () => {
    const signIn = async (identifier: string, password: string) => {
      const { status, json } = await kith.call("com.atproto.server.createSession", {
        input: { identifier, password },
      });
      return { status, error: json.error, message: json.message };
    };
    const unknown = await signIn("nobody.test", "a password");
    expect(unknown).toMatchObject({ status: 401, error: "AuthenticationRequired" });
    for (const identifier of [did, handle]) {
      for (const password of ["a password", "", " ", "null", "aaaa-bbbb-cccc-dddd"]) {
        expect(await signIn(identifier, password)).toEqual(unknown);
      }
    }
    // An empty address is nobody's.
    expect(await signIn("@", "")).toEqual(unknown);
  });

  test("on the pages, which ask the same", async () => {
    const { sessions } = kith.features.owners;
    for (const [identifier, password] of [
      [handle, ""],
      [handle, "a password"],
      [did, "a password"],
    ] as const) {
      const refused = await caught(sessions.checkOwner({ identifier, password, ip: "127.0.0.1" }));
      const unknown = await caught(
        sessions.checkOwner({ identifier: "nobody.test", password, ip: "127.0.0.1" }),
      );
      expect([(refused as KithError).code, String(refused)]).toEqual(["auth_required", String(unknown)]);
    }
  });

  test("by a code: there is no address to send one to", async () => {
    const { credentials, factors } = kith.features.owners;
    for (const email of ["", "null", handle]) {
      const input = { email };
      const { status } = await kith.call("com.atproto.server.requestPasswordReset", { input });
      expect([200, 400]).toContain(status);
    }
    const code = { token: "AAAAA-BBBBB", password: "a new password" };
    expect(await caught(credentials.resetPassword(code))).toMatchObject({ code: "invalid_token" });
    expect(await caught(credentials.requestAccountDelete(did))).toBeInstanceOf(KithError);
    expect(factors.hasEmail(did)).toBe(false);
    const deletion = { did, password: "", token: "AAAAA-BBBBB" };
    const { status } = await kith.call("com.atproto.server.deleteAccount", { input: deletion });
    expect([400, 401]).toContain(status);
    expect(await host.hasAccount({ did })).toBe("active");
  });
});

describe("the admin sees and handles a community as any account", () => {
  let did: string;
  beforeAll(async () => {
    const community = await begin("watched");
    ({ did } = community);
    await host.createAccount(community);
  });
  const asAdmin = (name: string, given: { params?: Record<string, string>; input?: unknown } = {}) =>
    kith.call(`com.atproto.admin.${name}`, { ...given, token: ADMIN });

  test("in the views, which are as the lexicons have them without an address", async () => {
    const view = { did, handle: "watched.test", invites: [], invitesDisabled: false };
    const one = await asAdmin("getAccountInfo", { params: { did } });
    expect(one).toMatchObject({ status: 200, json: view });
    expect(one.json).not.toHaveProperty("email");
    expect((await asAdmin("getAccountInfos", { params: { dids: did } })).json).toMatchObject({
      infos: [view],
    });
    const all = (await asAdmin("searchAccounts")).json.accounts as { did: string }[];
    expect(all.map((account) => account.did)).toContain(did);
    const found = await asAdmin("searchAccounts", { params: { email: "null" } });
    expect(found).toMatchObject({ status: 200, json: { accounts: [] } });
    const status = await asAdmin("getSubjectStatus", { params: { did } });
    expect(status).toMatchObject({ status: 200, json: { subject: { did } } });
  });

  test("is told that there is no address to write to", async () => {
    const input = { recipientDid: did, senderDid: did, content: "hello" };
    const { status, json } = await asAdmin("sendEmail", { input });
    expect({ status, error: json.error }).toEqual({ status: 400, error: "InvalidRequest" });
  });

  test("takes it down and back, and renames it", async () => {
    const subject = { $type: "com.atproto.admin.defs#repoRef", did };
    for (const applied of [true, false]) {
      const input = { subject, takedown: { applied, ref: "1" } };
      expect((await asAdmin("updateSubjectStatus", { input })).status).toBe(200);
      expect((await repoStatus(did)).json).toMatchObject({ active: !applied });
    }
    const input = { did, handle: "renamed.test" };
    expect((await asAdmin("updateAccountHandle", { input })).status).toBe(200);
    const data = await createPlcClient({ url: plc.url }).data(did);
    expect(data.alsoKnownAs).toEqual(["at://renamed.test"]);
    // The owner's key stays first.
    expect(data.rotationKeys.at(-1)).toBe(rotationKey);
    expect(data.rotationKeys).toHaveLength(2);
  });

  test("may give it an address and a password, as any account", async () => {
    const mail = { account: did, email: "watched@example.com" };
    expect((await asAdmin("updateAccountEmail", { input: mail })).status).toBe(200);
    const input = { did, password: "from the admin" };
    expect((await asAdmin("updateAccountPassword", { input })).status).toBe(200);
    const session = await kith.call("com.atproto.server.createSession", {
      input: { identifier: "renamed.test", password: "from the admin" },
    });
    expect(session).toMatchObject({ status: 200, json: { did } });
  });
});

describe("a community ends", () => {
  test("by deletion, without a password; its handle is free again and the DID its owner's", async () => {
    const community = await begin("ending");
    const { did, handle } = community;
    await host.createAccount(community);
    expect(await host.removeHalfMade({ did })).toBe("the account on this server is deleted");
    await waitFor("the repo to be gone", async () => (await repoStatus(did)).json.active !== true);
    await waitFor("the handle to be free", () => kith.stores.accounts.accountByHandle(handle) === undefined);
    await host.preflight({ handle });
    expect(await host.hasAccount({ did })).toBe("none");
    expect(await host.removeHalfMade({ did })).toBe("there is no account on this server");
    expect(await caught(host.createAccount(community))).toMatchObject({ code: "already_exists" });
    const { rotationKeys } = await createPlcClient({ url: plc.url }).data(did);
    expect(rotationKeys[0]).toBe(community.native.rotationKey);
  });

  test("before it has begun: nothing of it is left", async () => {
    const { did, handle, native } = await begin("undone");
    const row = { did, handle, email: null, passwordHash: "", genesisOperation: native.genesis, now: 0 };
    await kith.stores.accounts.beginAccount({ ...row, signingKey: native.signingKey });
    expect(await host.hasAccount({ did })).toBe("none");
    expect(await host.removeHalfMade({ did })).toBe("the account on this server is deleted");
    expect(kith.stores.accounts.account(did)).toBeUndefined();
    await host.preflight({ handle });
  });
});

test("a start completes a community whose DID is in the directory, and removes one that never was", async () => {
  const folder = mkdtempSync(join(tmpdir(), "kith-births-"));
  try {
    const landed = await begin("landed");
    const lost = { ...(await begin("lost")), did: "did:plc:ewvi7nxzyoun6zhxrhs64oiz" };
    {
      await using before = await KithParts.open({ PDS_DID_PLC_URL: plc.url }, folder);
      for (const { did, handle, native } of [landed, lost]) {
        await before.stores.accounts.beginAccount({
          ...{ did, handle, email: null, passwordHash: "", signingKey: native.signingKey },
          ...{ genesisOperation: native.genesis, recoveryKey: native.rotationKey, now: Date.now() },
        });
      }
    }
    await using after = await KithParts.open({ PDS_DID_PLC_URL: plc.url }, folder);
    expect(after.stores.accounts.account(landed.did)).toMatchObject({
      ...{ state: "active", email: null, passwordHash: "", recoveryKey: landed.native.rotationKey },
    });
    expect(after.stores.accounts.account(lost.did)).toBeUndefined();
    const { json } = await after.call("com.atproto.sync.getRepoStatus", { params: { did: landed.did } });
    expect(json).toMatchObject({ active: true });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
