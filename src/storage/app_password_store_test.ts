import { expect, test } from "bun:test";
import { Fixture } from "./_fixture.ts";
import { AccountStore } from "./account_store.ts";
import { AppPasswordStore } from "./app_password_store.ts";
import { Hub } from "./hub.ts";
import { Keyring } from "./keyring.ts";
import { SessionStore } from "./session_store.ts";

const DID = "did:plc:alice";
const PHONE = { did: DID, name: "phone", passwordHash: "h1", privileged: true, createdAt: 2, accountMax: 2 };
const SESSION = { did: DID, familyId: "f", expiresAt: 1_000, now: 0 };

async function open(folder: Fixture) {
  const hub = await Hub.open(folder.file("accounts.sqlite"), folder.options);
  const accounts = new AccountStore(hub, Keyring.open(folder.file("master.key")));
  await accounts.beginAccount({
    did: DID,
    handle: "alice.test",
    email: null,
    passwordHash: "main",
    signingKey: { type: "k256", privateKey: new Uint8Array(32).fill(7) },
    genesisOperation: Uint8Array.of(5),
    now: 1,
  });
  return { hub, accounts, rows: new AppPasswordStore(hub), sessions: new SessionStore(hub) };
}

test("AppPasswordStore.create() keeps names and hashes of an account apart, up to a bound", async () => {
  await using folder = new Fixture();
  const { hub, rows } = await open(folder);
  await rows.create(PHONE);
  await expect(rows.create({ ...PHONE, passwordHash: "h2" })).rejects.toMatchObject({
    code: "invalid_request",
  });
  await rows.create({ ...PHONE, did: "did:plc:bob" });
  await rows.create({ ...PHONE, name: "desk", passwordHash: "h2", privileged: false, createdAt: 1 });
  const third = rows.create({ ...PHONE, name: "third", passwordHash: "h3" });
  await expect(third).rejects.toMatchObject({ message: expect.stringContaining("there are 2 already") });
  expect(rows.list(DID).map(({ name, privileged }) => [name, privileged])).toEqual([
    ["desk", false],
    ["phone", true],
  ]);
  expect(rows.find(DID, "h2")?.name).toBe("desk");
  expect(rows.find("did:plc:bob", "h2")).toBeUndefined();
  await hub.close();
});

test("SessionStore keeps what an app password may, and AppPasswordStore.remove() ends its sessions alone", async () => {
  await using folder = new Fixture();
  const { hub, rows, sessions } = await open(folder);
  await rows.create(PHONE);
  const phone = { ...SESSION, appPasswordName: "phone", secretHash: "h1" };
  expect(await sessions.insert({ ...phone, id: "phone" })).toBe(true);
  expect(await sessions.insert({ ...SESSION, id: "main", familyId: "g", secretHash: "main" })).toBe(true);
  expect(sessions.find("phone")).toMatchObject({ appPasswordName: "phone", appPasswordPrivileged: true });
  expect(sessions.find("main")).toMatchObject({ appPasswordName: null, appPasswordPrivileged: false });
  const next = { nextId: "phone 2", expiresAt: 2_000, graceUntil: 500, now: 10 };
  expect(await sessions.rotate("phone", next)).toMatchObject({ id: "phone 2", appPasswordPrivileged: true });
  await rows.remove(DID, "phone");
  expect([sessions.find("phone"), sessions.find("phone 2")]).toEqual([undefined, undefined]);
  expect(sessions.find("main")).toBeDefined();
  await hub.close();
});

test("SessionStore.insert() adds nothing for a password that is not the one any more", async () => {
  await using folder = new Fixture();
  const { hub, rows, sessions } = await open(folder);
  expect(await sessions.insert({ ...SESSION, id: "a", appPasswordName: "phone", secretHash: "h1" })).toBe(
    false,
  );
  await rows.create(PHONE);
  expect(await sessions.insert({ ...SESSION, id: "b", appPasswordName: "phone", secretHash: "h0" })).toBe(
    false,
  );
  expect(await sessions.insert({ ...SESSION, id: "c", secretHash: "before" })).toBe(false);
  for (const id of ["a", "b", "c"]) expect(sessions.find(id)).toBeUndefined();
  await hub.close();
});

test("AccountStore.finishDeletion() takes the app passwords with it", async () => {
  await using folder = new Fixture();
  const { hub, accounts, rows } = await open(folder);
  await rows.create(PHONE);
  await accounts.finishDeletion(DID);
  expect(rows.list(DID)).toEqual([]);
  await hub.close();
});
