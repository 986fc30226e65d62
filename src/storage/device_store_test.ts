import { expect, test } from "bun:test";
import { Fixture } from "./_fixture.ts";
import { AccountStore } from "./account_store.ts";
import { DeviceStore } from "./device_store.ts";
import { Hub } from "./hub.ts";
import { Keyring } from "./keyring.ts";

const SEEN = { userAgent: "a browser", ip: "203.0.113.7" };
const BOUNDS = { accountsMax: 2, devicesMax: 2, pruneBefore: 0 };

async function open(folder: Fixture) {
  const hub = await Hub.open(folder.file("accounts.sqlite"), folder.options);
  const accounts = new AccountStore(hub, Keyring.open(folder.file("master.key")));
  for (const name of ["alice", "bob", "carol"]) {
    await accounts.beginAccount({
      did: name,
      handle: `${name}.test`,
      email: null,
      passwordHash: "main",
      signingKey: { type: "k256", privateKey: new Uint8Array(32).fill(7) },
      genesisOperation: Uint8Array.of(5),
      now: 1,
    });
    await accounts.finishCreation(name, "active");
  }
  const devices = new DeviceStore(hub);
  const signIn = (id: string, did: string, change: object = {}) =>
    devices.signIn({
      ...{ ...SEEN, ...BOUNDS, id, did, now: 10, remember: true },
      ...{ secretHash: "s0", nextHash: "s1", ...change },
    });
  return { hub, devices, signIn };
}

test("DeviceStore.signIn() wants the password and the secret to be those that hold", async () => {
  await using folder = new Fixture();
  const { hub, devices, signIn } = await open(folder);
  expect(await signIn("d", "alice", { passwordHash: "old" })).toBe(false);
  expect(await signIn("d", "nobody")).toBe(false);
  expect(devices.find("d")).toBeUndefined();
  expect(await signIn("d", "alice", { passwordHash: "main" })).toBe(true);
  expect(await signIn("d", "bob", { secretHash: "wrong", nextHash: "s2" })).toBe(false);
  expect(await signIn("d", "bob", { secretHash: "s1", nextHash: "s2", now: 20, remember: false })).toBe(true);
  expect(devices.find("d")).toEqual({
    ...{ id: "d", ...SEEN, secretHash: "s2", previousHash: "s1", confirmed: false },
    ...{ rotatedAt: 20, createdAt: 10, lastSeenAt: 20 },
  });
  expect(devices.accounts("d")).toEqual([
    { deviceId: "d", did: "bob", authenticatedAt: 20, remember: false },
    { deviceId: "d", did: "alice", authenticatedAt: 10, remember: true },
  ]);
  await hub.close();
});

test("DeviceStore.rotate() is done once for a secret", async () => {
  await using folder = new Fixture();
  const { hub, devices, signIn } = await open(folder);
  await signIn("d", "alice");
  const rotate = (presentHash: string, secretHash: string, nextHash: string) =>
    devices.rotate({ ...SEEN, id: "d", presentHash, secretHash, nextHash, now: 30 });
  expect(await rotate("s1", "s1", "s2")).toBe(true);
  expect(await rotate("s1", "s1", "s3")).toBe(false);
  await devices.seen({ id: "d", secretHash: "s1", now: 40 });
  expect(devices.find("d")).toMatchObject({ confirmed: false, lastSeenAt: 30 });
  expect(await rotate("s2", "s1", "s3")).toBe(true);
  await devices.seen({ id: "d", secretHash: "s3", now: 40 });
  const after = { secretHash: "s3", previousHash: "s1", confirmed: true, lastSeenAt: 40 };
  expect(devices.find("d")).toMatchObject(after);
  await hub.close();
});

test("DeviceStore bounds accounts and devices by age, and prunes what was not seen for long", async () => {
  await using folder = new Fixture();
  const { hub, devices, signIn } = await open(folder);
  await signIn("d", "alice", { now: 1 });
  await signIn("d", "bob", { secretHash: "s1", nextHash: "s2", now: 2 });
  await signIn("d", "carol", { secretHash: "s2", nextHash: "s3", now: 3 });
  expect(devices.accounts("d").map(({ did }) => did)).toEqual(["carol", "bob"]);
  for (const [id, now] of [
    ["e", 4],
    ["f", 5],
    ["g", 6],
  ] as const)
    await signIn(id, "carol", { now });
  expect(devices.devicesOf("carol").map(({ id }) => id)).toEqual(["g", "f"]);
  await signIn("h", "alice", { now: 9, pruneBefore: 6 });
  expect(["d", "e", "f", "g", "h"].filter((id) => devices.find(id))).toEqual(["g", "h"]);
  expect(devices.devicesOf("bob")).toEqual([]);
  await hub.close();
});

test("DeviceStore signs out here, elsewhere and everybody", async () => {
  await using folder = new Fixture();
  const { hub, devices, signIn } = await open(folder);
  await signIn("d", "alice");
  await signIn("d", "bob", { secretHash: "s1", nextHash: "s2" });
  await signIn("e", "alice");
  await devices.authenticated({ id: "e", did: "alice", now: 50 });
  expect(devices.accounts("e")).toMatchObject([{ authenticatedAt: 50 }]);
  await devices.signOutEverywhere("alice", { except: "e" });
  expect([devices.accounts("d").length, devices.accounts("e").length]).toEqual([1, 1]);
  await devices.signOut("d", "bob");
  expect(devices.find("d")).toBeUndefined();
  await devices.end("e");
  expect([devices.find("e"), devices.accounts("e")]).toEqual([undefined, []]);
  await hub.close();
});
