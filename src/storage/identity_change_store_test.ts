import { expect, test } from "bun:test";
import { generatePrivateKey, signerFromPrivateKey } from "../atproto/mod.ts";
import { Fixture } from "./_fixture.ts";
import { AccountStore } from "./account_store.ts";
import { Hub } from "./hub.ts";
import { IdentityChangeStore } from "./identity_change_store.ts";
import { Keyring } from "./keyring.ts";
import { ReservedKeyStore } from "./reserved_key_store.ts";

const ALICE = "did:plc:alice";
const BOB = "did:plc:bob";

const keyOf = (fill: number) => {
  const privateKey = generatePrivateKey("k256", new Uint8Array(32).fill(fill));
  return { type: "k256" as const, privateKey, didKey: signerFromPrivateKey("k256", privateKey).didKey };
};
const [OLD, NEW] = [keyOf(1), keyOf(2)];

async function open(folder: Fixture) {
  const hub = await Hub.open(folder.file("accounts.sqlite"), folder.options);
  const keyring = Keyring.open(folder.file("master.key"));
  const stores = {
    hub,
    accounts: new AccountStore(hub, keyring),
    changes: new IdentityChangeStore(hub, keyring),
    reserved: new ReservedKeyStore(hub, keyring),
  };
  for (const did of [ALICE, BOB]) await begin(stores.accounts, did);
  return stores;
}

async function begin(accounts: AccountStore, did: string, handle = `${did.slice(8)}.test`): Promise<void> {
  const signingKey = { type: OLD.type, privateKey: OLD.privateKey };
  const rest = { email: null, passwordHash: "hash", genesisOperation: Uint8Array.of(5), now: 1 };
  await accounts.beginAccount({ did, handle, signingKey, ...rest });
  await accounts.finishCreation(did, "active");
}

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "none",
    (error) => error.code,
  );

test("IdentityChangeStore.begin() reserves a handle against accounts, changes and sign-ups, until it is given up", async () => {
  await using folder = new Fixture();
  const { hub, accounts, changes } = await open(folder);
  expect(await codeOf(changes.begin({ did: ALICE, handle: "bob.test", now: 2 }))).toBe(
    "handle_not_available",
  );
  await changes.begin({ did: ALICE, handle: "new.test", now: 2 });
  expect(changes.all()).toEqual([{ did: ALICE, handle: "new.test", didKey: null }]);
  // Nobody is found under it yet.
  expect(accounts.accountByHandle("new.test")).toBeUndefined();
  expect(await codeOf(changes.begin({ did: BOB, handle: "new.test", now: 3 }))).toBe("handle_not_available");
  expect(await codeOf(begin(accounts, "did:plc:carol", "new.test"))).toBe("handle_not_available");
  await changes.abandon(ALICE);
  await changes.begin({ did: BOB, handle: "new.test", now: 3 });
  await changes.project(BOB, { handle: "new.test", signingKey: OLD.didKey });
  expect([accounts.account(BOB)?.handle, changes.all()]).toEqual(["new.test", []]);
  // The one before is free.
  await begin(accounts, "did:plc:carol", "bob.test");
  expect(await codeOf(changes.project(ALICE, { handle: "bob.test" }))).toBe("handle_not_available");
  await hub.close();
});

test("IdentityChangeStore keeps a key sealed, signs with it when asked by its name, and puts it into the account", async () => {
  await using folder = new Fixture();
  const { hub, accounts, changes, reserved } = await open(folder);
  await reserved.reserve({ ...NEW, id: NEW.didKey, now: 2 });
  await changes.begin({ did: ALICE, signingKey: NEW, now: 2 });
  const [row] = hub.read<{ signing_key: Uint8Array }>("SELECT signing_key FROM identity_change");
  expect(Buffer.from(row!.signing_key).includes(Buffer.from(NEW.privateKey))).toBe(false);
  expect(await changes.resealKeys()).toBe(1);
  expect(changes.signer(ALICE).didKey).toBe(OLD.didKey);
  expect(changes.signer(ALICE, OLD.didKey).didKey).toBe(OLD.didKey);
  expect(changes.signer(ALICE, NEW.didKey).didKey).toBe(NEW.didKey);
  expect(() => changes.signer(BOB, NEW.didKey)).toThrow(expect.objectContaining({ code: "storage_damaged" }));
  // A file that says nothing of it leaves the change as it is.
  await changes.project(ALICE, { handle: "alice.test", signingKey: OLD.didKey });
  expect([accounts.signer(ALICE).didKey, changes.find(ALICE)?.didKey]).toEqual([OLD.didKey, NEW.didKey]);
  for (let time = 0; time < 2; time++) await changes.project(ALICE, { signingKey: NEW.didKey });
  expect([accounts.signer(ALICE).didKey, changes.find(ALICE)]).toEqual([NEW.didKey, undefined]);
  expect(reserved.find(NEW.didKey)).toBeUndefined();
  expect(changes.signer(ALICE, NEW.didKey).didKey).toBe(NEW.didKey);
  await hub.close();
});

test("IdentityChangeStore forgets a change with its account", async () => {
  await using folder = new Fixture();
  const { hub, accounts, changes } = await open(folder);
  await changes.begin({ did: ALICE, handle: "new.test", now: 2 });
  await accounts.finishDeletion(ALICE);
  expect(changes.all()).toEqual([]);
  await hub.close();
});
