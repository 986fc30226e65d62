import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  ACCOUNT_DEVICES_MAX,
  DEVICE_ACCOUNTS_MAX,
  DEVICE_IDLE_MS,
  DEVICE_LIFETIME_MS,
  Devices,
  NOT_REMEMBERED_MS,
  OLD_SECRET_MS,
  REMEMBERED_MS,
  SEEN_EVERY_MS,
} from "./devices.ts";
import { ALICE, BOB, NOW, openStores, type Stores } from "./second_factors/stores_fixture.ts";

const SEEN = { userAgent: "a browser", ip: "203.0.113.7" };

let stores: Stores;
beforeAll(async () => {
  stores = await openStores();
});
afterAll(() => stores[Symbol.asyncDispose]());

function make(publicUrl = "https://pds.test") {
  const clock = { now: NOW };
  const warnings: string[] = [];
  const logger = { warn: (message: string) => void warnings.push(message) } as never;
  const devices = new Devices({ rows: stores.devices, publicUrl, logger, now: () => clock.now });
  const open = (setCookie: string | undefined, change: Partial<typeof SEEN> = {}) =>
    devices.open({ ...SEEN, ...change, cookie: setCookie === undefined ? null : pairOf(setCookie) });
  const signIn = async (from?: string, { did = ALICE, remember = true } = {}) =>
    devices.signIn((await open(from)).device, { ...SEEN, did, remember });
  return { clock, warnings, devices, open, signIn };
}

function pairOf(setCookie: string): string {
  return setCookie.split(";")[0] ?? "";
}

const dids = ({ device }: { device: { accounts: readonly { did: string }[] } }) =>
  device.accounts.map(({ did }) => did);

test("Devices.open() gives a new browser a cookie, and stores nothing", async () => {
  const { open } = make();
  const { device, setCookie = "" } = await open(undefined);
  expect(setCookie).toMatch(
    /^__Host-kith-device=[\w-]{22}\.[\w-]{43}; Path=\/; HttpOnly; SameSite=Lax; Secure$/,
  );
  expect(setCookie).not.toContain(device.id);
  expect(await open(setCookie)).toEqual({ device, setCookie: undefined });
  expect(stores.devices.find(device.id)).toBeUndefined();
  for (const wrong of [
    "",
    "__Host-kith-device=",
    "__Host-kith-device=nonsense",
    pairOf(setCookie).slice(7),
  ]) {
    expect((await open(wrong)).setCookie).toBeDefined();
  }
});

test("cookies without https have no prefix and are not Secure", async () => {
  const { setCookie } = await make("http://localhost:2583").open(undefined);
  expect(setCookie).toMatch(/^kith-device=[\w-]{22}\.[\w-]{43}; Path=\/; HttpOnly; SameSite=Lax$/);
});

test("Devices.open() finds the cookie among others", async () => {
  const { devices, open } = make();
  const { device, setCookie = "" } = await open(undefined);
  const cookie = `a=b; x__Host-kith-device=1; ${pairOf(setCookie)}; c=d`;
  expect((await devices.open({ ...SEEN, cookie })).device).toEqual(device);
});

test("Devices.signIn() rotates the secret, keeps the id, and the cookie lasts where that is wished", async () => {
  const { open, signIn } = make();
  const first = await open(undefined);
  const { device, setCookie } = await signIn(first.setCookie);
  expect(device.id).toBe(first.device.id);
  expect(setCookie).toContain("; Max-Age=31536000");
  expect(pairOf(setCookie)).not.toBe(pairOf(first.setCookie ?? ""));
  expect(dids(await open(setCookie))).toEqual([ALICE]);
  const brief = await signIn(undefined, { remember: false });
  expect(brief.setCookie).not.toContain("Max-Age");
  expect(JSON.stringify(stores.devices.find(device.id))).not.toContain(
    pairOf(setCookie).split(".")[1] ?? "-",
  );
});

test("Devices.signIn() refuses where the password was changed meanwhile", async () => {
  const { open, devices } = make();
  const { device } = await open(undefined);
  const refused = devices.signIn(device, { ...SEEN, did: ALICE, remember: true, passwordHash: "old" });
  await expect(refused).rejects.toMatchObject({ code: "auth_required" });
  await devices.signIn(device, { ...SEEN, did: ALICE, remember: true, passwordHash: "hash" });
});

test.each<[string, number, Partial<typeof SEEN>]>([
  ["after five idle minutes", DEVICE_IDLE_MS, {}],
  ["with another address", 1_000, { ip: "198.51.100.1" }],
  ["with another browser's name", 1_000, { userAgent: "another browser" }],
])("Devices.open() rotates the secret %s", async (_, ms, change) => {
  const { open, signIn, clock, warnings } = make();
  const { setCookie } = await signIn();
  clock.now += 1_000;
  expect((await open(setCookie)).setCookie).toBeUndefined();
  clock.now += ms;
  const rotated = await open(setCookie, change);
  expect(rotated.setCookie).toContain("Max-Age");
  expect(dids(rotated)).toEqual([ALICE]);
  // Another request of the same page, under way at the same time.
  const beside = await open(setCookie, change);
  expect([dids(beside), beside.setCookie]).toEqual([[ALICE], undefined]);
  expect(dids(await open(rotated.setCookie, change))).toEqual([ALICE]);
  expect(warnings).toEqual([]);
});

test("two requests at the same time rotate once", async () => {
  const { open, signIn, clock } = make();
  const { setCookie } = await signIn();
  clock.now += DEVICE_IDLE_MS;
  const both = await Promise.all([open(setCookie), open(setCookie)]);
  const cookies = both.flatMap((one) => one.setCookie ?? []);
  expect([both.map(dids), cookies.length]).toEqual([[[ALICE], [ALICE]], 1]);
  clock.now += OLD_SECRET_MS + 1;
  expect(dids(await open(cookies[0]))).toEqual([ALICE]);
});

test("an old secret ends the browser's sign-ins once its successor was seen", async () => {
  const { open, signIn, clock, warnings } = make();
  const { setCookie: old } = await signIn();
  clock.now += DEVICE_IDLE_MS;
  const { setCookie: present } = await open(old);
  await open(present);
  clock.now += OLD_SECRET_MS;
  expect(dids(await open(old))).toEqual([ALICE]);
  clock.now += 1;
  const thief = await open(old);
  expect([dids(thief), thief.setCookie]).toEqual([[], expect.any(String)]);
  expect(dids(await open(present))).toEqual([]);
  expect(warnings.length).toBe(1);
});

test("a browser that never got the answer with its new secret goes on, and the lost secret is worth nothing", async () => {
  const { open, signIn, clock } = make();
  const { setCookie: old } = await signIn();
  clock.now += DEVICE_IDLE_MS;
  const { setCookie: lost } = await open(old);
  clock.now += 60_000;
  const again = await open(old);
  expect([dids(again), again.setCookie]).toEqual([[ALICE], expect.any(String)]);
  expect(dids(await open(again.setCookie))).toEqual([ALICE]);
  expect(dids(await open(lost))).toEqual([]);
});

test("a sign-in is good for seven days, then it needs the password; one not to be remembered is gone after 15 minutes", async () => {
  const { open, signIn, clock, devices } = make();
  let { setCookie } = await signIn();
  const brief = await signIn(setCookie, { did: BOB, remember: false });
  setCookie = brief.setCookie;
  expect(brief.device.accounts.map(({ did, needsPassword }) => [did, needsPassword]).sort()).toEqual([
    [ALICE, false],
    [BOB, false],
  ]);
  clock.now += NOT_REMEMBERED_MS;
  let opened = await open(setCookie);
  expect(dids(opened)).toEqual([ALICE]);
  expect(await devices.list(BOB)).toEqual([]);
  clock.now += REMEMBERED_MS - NOT_REMEMBERED_MS;
  opened = await open(opened.setCookie);
  expect(opened.device.accounts).toMatchObject([{ did: ALICE, needsPassword: true }]);
});

test("Devices.open() notes that a browser was seen, not with each request", async () => {
  const { open, signIn, clock } = make();
  const { device, setCookie } = await signIn();
  await open(setCookie);
  clock.now += SEEN_EVERY_MS - 1;
  await open(setCookie);
  expect(stores.devices.find(device.id)?.lastSeenAt).toBe(NOW);
  clock.now += 1;
  await open(setCookie);
  expect(stores.devices.find(device.id)?.lastSeenAt).toBe(NOW + SEEN_EVERY_MS);
});

test("accounts are signed out: here, on another device, on all others", async () => {
  const { open, signIn, devices } = make();
  await devices.signOutOthers(ALICE);
  const here = await signIn();
  const both = await signIn(here.setCookie, { did: BOB });
  const there = await signIn();
  const third = await signIn();
  expect((await devices.list(ALICE)).map(({ id }) => id).sort()).toEqual(
    [here.device.id, there.device.id, third.device.id].sort(),
  );
  await devices.signOutOn(there.device.id, ALICE);
  expect(dids(await open(there.setCookie))).toEqual([]);
  await devices.signOutOthers(ALICE, both.device);
  expect(dids(await open(third.setCookie))).toEqual([]);
  const left = await devices.signOut(both.device, ALICE);
  expect([dids(left), left.setCookie]).toEqual([[BOB], undefined]);
  const empty = await devices.signOut(left.device, BOB);
  expect([dids(empty), empty.setCookie]).toEqual([[], expect.any(String)]);
  expect(empty.device.id).not.toBe(here.device.id);
  const again = await signIn();
  expect(dids(await devices.signOutAll(again.device))).toEqual([]);
  expect(dids(await open(again.setCookie))).toEqual([]);
});

test("a reset of the password, a revocation and a deletion sign out everywhere", async () => {
  const { open, signIn } = make();
  const ends: [string, () => Promise<void>][] = [
    ["reset", () => stores.credentials.setPassword({ did: BOB, passwordHash: "new", now: NOW })],
    ["revoked", () => stores.credentials.revokeAll({ did: BOB, sessionsFrom: NOW })],
    [
      "deleting",
      () =>
        stores.accounts.beginDeletion(BOB, {
          key: "k",
          kind: "account",
          before: Uint8Array.of(),
          after: Uint8Array.of(),
        }),
    ],
  ];
  for (const [title, end] of ends) {
    const { setCookie } = await signIn(undefined, { did: BOB });
    await end();
    expect([title, dids(await open(setCookie))]).toEqual([title, []]);
  }
  await expect(signIn(undefined, { did: BOB })).rejects.toMatchObject({ code: "auth_required" });
});

test("sign-ins are bounded, and what is old is forgotten", async () => {
  const { devices, signIn, clock } = make();
  await devices.signOutOthers(ALICE);
  const first = await signIn();
  for (let count = 0; count < ACCOUNT_DEVICES_MAX; count++) {
    clock.now += 1;
    await signIn();
  }
  const listed = await devices.list(ALICE);
  expect([listed.length, listed.some(({ id }) => id === first.device.id)]).toEqual([
    ACCOUNT_DEVICES_MAX,
    false,
  ]);
  expect(DEVICE_ACCOUNTS_MAX).toBe(20);
  clock.now += DEVICE_LIFETIME_MS + 1;
  for (let count = 0; count < 20; count++) await signIn();
  expect(stores.devices.find(first.device.id)).toBeUndefined();
  expect((await devices.list(ALICE)).length).toBe(20);
});
