import { expect, test } from "bun:test";
import { signerFromPrivateKey } from "../atproto/mod.ts";
import { Fixture } from "./_fixture.ts";
import { AccountStore } from "./account_store.ts";
import { type AdoptedAccount, AdoptionStore } from "./adoption_store.ts";
import { AppPasswordStore } from "./app_password_store.ts";
import { Hub } from "./hub.ts";
import { InviteStore } from "./invite_store.ts";
import { Keyring } from "./keyring.ts";
import { ReferenceHashStore } from "./reference_hashes.ts";
import { SessionStore } from "./session_store.ts";

const OLD_HASH = "aa:bb";
const KEY = new Uint8Array(32).fill(7);
const ALICE: AdoptedAccount = {
  ...{ did: "did:plc:alice", handle: "Alice.test", email: "Alice@example.com", emailConfirmedAt: 5 },
  passwordHash: OLD_HASH,
  signingKey: { type: "k256", privateKey: KEY },
  ...{ createdAt: 3, deactivatedAt: 7, deleteAfter: 9, invitesDisabled: true },
  ...{ status: "takendown", ownerStatus: "deactivated", takedownRef: "T1" },
  appPasswords: [{ name: "phone", passwordHash: "cc:dd", privileged: true, createdAt: 4 }],
  sessions: [
    {
      id: "one",
      familyId: "f",
      expiresAt: 100,
      appPasswordName: "phone",
      next: { id: "two", graceUntil: 50 },
    },
    { id: "two", familyId: "f", expiresAt: 200, appPasswordName: "phone", next: null },
  ],
};
const BOB: AdoptedAccount = {
  ...ALICE,
  ...{
    did: "did:plc:bob",
    handle: null,
    email: null,
    status: "active",
    ownerStatus: "active",
    takedownRef: null,
  },
  ...{ deactivatedAt: null, deleteAfter: null, appPasswords: [], sessions: [] },
};

async function open(folder: Fixture) {
  const hub = await Hub.open(folder.file("accounts.sqlite"), folder.options);
  const keyring = Keyring.open(folder.file("master.key"));
  return { hub, adoption: new AdoptionStore(hub, keyring), accounts: new AccountStore(hub, keyring) };
}

test("AdoptionStore.adoptAccount() writes an account whole, and its repo among the open ones", async () => {
  await using folder = new Fixture();
  const { hub, adoption, accounts } = await open(folder);
  const generation = await adoption.adoptAccount(ALICE);
  expect(accounts.accountByHandle("alice.test")).toMatchObject({
    ...{ did: ALICE.did, email: "alice@example.com", emailConfirmedAt: 5, state: "takendown", generation },
    ...{ createdAt: 3, deactivatedAt: 7, invitesDisabled: true, takedownRef: "T1", movesIn: false },
  });
  expect(accounts.deleteAfter(ALICE.did)).toBe(9);
  expect(accounts.openRepos()).toEqual([{ did: ALICE.did, generation }]);
  expect(accounts.signer(ALICE.did).didKey).toBe(signerFromPrivateKey("k256", KEY).didKey);
  expect(new AppPasswordStore(hub).list(ALICE.did)).toMatchObject([{ name: "phone", privileged: true }]);
  const sessions = new SessionStore(hub);
  expect(sessions.find("two")).toMatchObject({ familyId: "f", appPasswordPrivileged: true, expiresAt: 200 });
  const again = { nextId: "three", expiresAt: 300, graceUntil: 60, now: 40 };
  expect(await sessions.rotate("one", again)).toMatchObject({ id: "two" });
  expect(await adoption.adoptAccount(BOB)).toBe(generation + 1);
  expect(accounts.account(BOB.did)).toMatchObject({ handle: "handle.invalid", email: null, state: "active" });
  expect(adoption.counts()).toMatchObject({ accounts: 2, appPasswords: 1, sessions: 2 });
  await hub.close();
});

test("AdoptionStore.forget() leaves nothing of an account, and its names free", async () => {
  await using folder = new Fixture();
  const { hub, adoption, accounts } = await open(folder);
  await adoption.adoptAccount(ALICE);
  await adoption.forget(ALICE.did);
  expect(adoption.counts()).toMatchObject({ accounts: 0, appPasswords: 0, sessions: 0 });
  expect(accounts.openRepos()).toEqual([]);
  await adoption.adoptAccount({ ...BOB, handle: "alice.test" });
  await hub.close();
});

test("AdoptionStore.adoptInvites() keeps uses and what is disabled", async () => {
  await using folder = new Fixture();
  const { hub, adoption } = await open(folder);
  const code = { uses: 2, forAccount: "admin", createdBy: "admin", createdAt: 1 };
  await adoption.adoptInvites([
    { ...code, code: "a", disabled: false, usedBy: [{ did: "did:plc:x", at: 2 }] },
    { ...code, code: "b", disabled: true, usedBy: [] },
  ]);
  const invites = new InviteStore(hub);
  expect(invites.code("a")).toMatchObject({ uses: 2, used: 1, disabled: false });
  expect([invites.inviteIsUsable("a"), invites.inviteIsUsable("b")]).toEqual([true, false]);
  expect(adoption.counts()).toMatchObject({ invites: 2, inviteUses: 1 });
  await hub.close();
});

test("ReferenceHashStore replaces a hash that still stands, and knows when none is left", async () => {
  await using folder = new Fixture();
  const { hub, adoption, accounts } = await open(folder);
  const none = new ReferenceHashStore(hub);
  expect(none.anyLeft()).toEqual({ passwords: false, appPasswords: false });
  await adoption.adoptAccount({ ...ALICE, takedownRef: null, status: "active" });
  const hashes = new ReferenceHashStore(hub);
  expect(hashes.anyLeft()).toEqual({ passwords: true, appPasswords: true });
  const { did } = ALICE;
  expect(await hashes.replace({ did, from: "other", to: "new" })).toBe(false);
  expect(hashes.anyLeft().passwords).toBe(true);
  expect(await hashes.replace({ did, from: OLD_HASH, to: "new" })).toBe(true);
  expect(accounts.account(did)?.passwordHash).toBe("new");
  expect(await hashes.replaceOfApp({ did, from: "cc:dd", to: "app" })).toBe(true);
  expect(new AppPasswordStore(hub).find(did, "app")?.name).toBe("phone");
  expect(hashes.anyLeft()).toEqual({ passwords: false, appPasswords: false });
  await hub.close();
});
