import { expect, test } from "bun:test";
import { Fixture } from "./_fixture.ts";
import { AccountStore } from "./account_store.ts";
import { CredentialStore } from "./credential_store.ts";
import { Hub } from "./hub.ts";
import { Keyring } from "./keyring.ts";
import {
  ACCOUNT_CONSENTS_MAX,
  ACCOUNT_GRANTS_MAX,
  type OAuthGrantRow,
  type OAuthRequestRow,
  OAuthStore,
} from "./oauth_store.ts";

const DID = "did:plc:alice";
const DEVICE = "device";

async function open(folder: Fixture) {
  const hub = await Hub.open(folder.file("accounts.sqlite"), folder.options);
  const accounts = new AccountStore(hub, Keyring.open(folder.file("master.key")));
  await accounts.beginAccount({
    did: DID,
    handle: "alice.test",
    email: null,
    passwordHash: "hash",
    signingKey: { type: "k256", privateKey: new Uint8Array(32).fill(7) },
    genesisOperation: Uint8Array.of(5),
    now: 1,
  });
  await accounts.finishCreation(DID, "active");
  return { hub, accounts, store: new OAuthStore(hub), [Symbol.asyncDispose]: () => hub.close() };
}

const requestRow = (id: string, more: Partial<OAuthRequestRow> = {}): OAuthRequestRow => ({
  id,
  clientId: "client",
  clientAuth: { method: "none" },
  parameters: { state: "s" },
  dpopJkt: "jkt",
  device: null,
  did: null,
  scope: null,
  expanded: null,
  codeHash: null,
  createdAt: 10,
  expiresAt: 100,
  ...more,
});

const grantRow = (id: string, more: Partial<OAuthGrantRow> = {}): OAuthGrantRow => ({
  id,
  did: DID,
  clientId: "client",
  clientAuth: { method: "none" },
  dpopJkt: "jkt",
  scope: "atproto",
  expanded: "atproto",
  device: DEVICE,
  createdAt: 10,
  updatedAt: 10,
  expiresAt: 1_000,
  codeHash: `code ${id}`,
  accessHash: `access ${id}`,
  accessExpiresAt: 50,
  refreshHash: `refresh ${id}`,
  refreshExpiresAt: 500,
  ...more,
});

async function granted(store: OAuthStore, id: string, more: Partial<OAuthGrantRow> = {}): Promise<boolean> {
  const useOnce = { hash: `challenge ${id}`, until: 1_000 };
  await store.addRequest(requestRow(id, { expiresAt: 1_000_000 }), { useOnce, now: 10 });
  await store.bindRequest(id, { device: DEVICE, expiresAt: 1_000_000 });
  const approval = { device: DEVICE, did: DID, scope: "atproto", expanded: "atproto", expiresAt: 1_000_000 };
  await store.approveRequest(id, { ...approval, codeHash: `code ${id}` });
  return store.addGrant(grantRow(id, more), { now: more.createdAt ?? 10 });
}

test("OAuthStore.addGrant() exchanges a code once", async () => {
  await using folder = new Fixture();
  await using at = await open(folder);
  expect(await granted(at.store, "a")).toBe(true);
  expect(at.store.requestByCode("code a")).toBeUndefined();
  expect(await at.store.addGrant(grantRow("b", { codeHash: "code a" }), { now: 10 })).toBe(false);
  expect(at.store.grantByAccessToken("access a")).toEqual(grantRow("a"));
  expect(at.store.grantByCode("code a")?.id).toBe("a");
});

test("OAuthStore.rotateGrant() takes the present refresh token, and ends the grant at any other", async () => {
  await using folder = new Fixture();
  await using at = await open(folder);
  await granted(at.store, "a");
  const next = {
    expanded: "atproto",
    updatedAt: 20,
    accessHash: "x2",
    accessExpiresAt: 70,
    refreshExpiresAt: 600,
  };
  expect(await at.store.rotateGrant("a", "refresh a", { ...next, refreshHash: "r2" })).toBe(true);
  expect(at.store.grantByAccessToken("access a")).toBeUndefined();
  expect(at.store.grantByAccessToken("x2")?.refreshHash).toBe("r2");
  expect(await at.store.rotateGrant("a", "refresh a", { ...next, refreshHash: "r3" })).toBe(false);
  expect(at.store.grant("a")).toBeUndefined();
});

test("OAuthStore.useOnce() forgets after its time", async () => {
  await using folder = new Fixture();
  await using at = await open(folder);
  expect(await at.store.useOnce("h", { until: 100, now: 10 })).toBe(true);
  expect(await at.store.useOnce("h", { until: 200, now: 99 })).toBe(false);
  expect(await at.store.useOnce("h", { until: 200, now: 100 })).toBe(true);
});

test("OAuthStore clears what has ended away, a few rows at a time", async () => {
  await using folder = new Fixture();
  await using at = await open(folder);
  const useOnce = (id: string) => ({ hash: `challenge ${id}`, until: 1_000 });
  for (const id of ["a", "b"]) await at.store.addRequest(requestRow(id), { useOnce: useOnce(id), now: 10 });
  await granted(at.store, "g");
  await at.store.addRequest(requestRow("c", { expiresAt: 2_000 }), { useOnce: useOnce("c"), now: 100 });
  expect(["a", "b", "c"].map((id) => at.store.request(id)?.id)).toEqual([undefined, undefined, "c"]);
  expect(at.store.grant("g")?.id).toBe("g");
  await at.store.useOnce("x", { until: 2_000, now: 500 });
  expect(at.store.grant("g")).toBeUndefined();
});

test("OAuthStore bounds the grants and the consents of an account", async () => {
  await using folder = new Fixture();
  await using at = await open(folder);
  for (let i = 0; i <= ACCOUNT_GRANTS_MAX; i++) await granted(at.store, `g${i}`, { updatedAt: i });
  const ids = at.store.grantsOf(DID).map(({ id }) => id);
  expect([ids.length, ids[0], ids.includes("g0")]).toEqual([
    ACCOUNT_GRANTS_MAX,
    `g${ACCOUNT_GRANTS_MAX}`,
    false,
  ]);
  for (let i = 0; i <= ACCOUNT_CONSENTS_MAX; i++) {
    await at.store.rememberConsent({ did: DID, clientId: `c${i}`, scope: "atproto", now: i });
  }
  expect([at.store.consent(DID, "c0"), at.store.consent(DID, "c1")]).toEqual([undefined, "atproto"]);
  const consents = at.store.consentsOf(DID);
  expect(consents[0]).toEqual({
    clientId: `c${ACCOUNT_CONSENTS_MAX}`,
    scope: "atproto",
    updatedAt: ACCOUNT_CONSENTS_MAX,
  });
  expect(consents).toHaveLength(ACCOUNT_CONSENTS_MAX);
  expect(at.store.consentsOf("did:plc:bob")).toEqual([]);
  await at.store.forgetConsent(DID, "c1");
  expect(at.store.consent(DID, "c1")).toBeUndefined();
});

test("OAuthStore.removeGrant() with an account ends its own only", async () => {
  await using folder = new Fixture();
  await using at = await open(folder);
  await granted(at.store, "a");
  expect(await at.store.removeGrant("a", { did: "did:plc:bob" })).toBe(false);
  expect(await at.store.removeGrant("a", { did: DID })).toBe(true);
});

const ENDS: [title: string, end: (at: Awaited<ReturnType<typeof open>>) => Promise<unknown>][] = [
  [
    "a new password",
    ({ hub }) => new CredentialStore(hub).setPassword({ did: DID, passwordHash: "new", now: 20 }),
  ],
  [
    "all credentials revoked",
    ({ hub }) => new CredentialStore(hub).revokeAll({ did: DID, sessionsFrom: 20 }),
  ],
  [
    "a takedown",
    ({ accounts }) =>
      accounts.projectState(
        DID,
        { status: "takendown", ownerStatus: "active", takedownRef: null },
        { now: 20 },
      ),
  ],
  [
    "a deletion",
    ({ accounts }) =>
      accounts.beginDeletion(DID, {
        key: "3a",
        kind: "account",
        before: Uint8Array.of(1),
        after: Uint8Array.of(2),
      }),
  ],
];
test.each(ENDS)("%s ends what apps were let in for, and what is approved", async (_title, end) => {
  await using folder = new Fixture();
  await using at = await open(folder);
  await granted(at.store, "a");
  await at.store.addRequest(requestRow("b"), { useOnce: { hash: "b", until: 99 }, now: 10 });
  await at.store.bindRequest("b", { device: DEVICE, expiresAt: 100 });
  const approval = { device: DEVICE, did: DID, scope: "atproto", expanded: "atproto", expiresAt: 100 };
  await at.store.approveRequest("b", { ...approval, codeHash: "code b" });
  await end(at);
  expect(at.store.grantsOf(DID)).toEqual([]);
  expect(at.store.requestByCode("code b")).toBeUndefined();
});

test("what ends the grants of an account forgets its consents too: a new password, a revocation, a takedown", async () => {
  await using folder = new Fixture();
  await using at = await open(folder);
  const credentials = new CredentialStore(at.hub);
  const takedown = { status: "takendown", ownerStatus: "active", takedownRef: "x" } as const;
  for (const end of [
    () => at.store.removeAllOf(DID),
    () => credentials.setPassword({ did: DID, passwordHash: "new", now: 5 }),
    () => credentials.revokeAll({ did: DID, sessionsFrom: 5 }),
    () => at.accounts.projectState(DID, takedown, { now: 5 }),
  ]) {
    await at.store.rememberConsent({ did: DID, clientId: "c", scope: "atproto", now: 1 });
    await at.store.rememberConsent({ did: "did:plc:bob", clientId: "c", scope: "atproto", now: 1 });
    expect(at.store.consent(DID, "c")).toBe("atproto");
    await end();
    expect(at.store.consent(DID, "c")).toBeUndefined();
    expect(at.store.consent("did:plc:bob", "c")).toBe("atproto");
  }
});
