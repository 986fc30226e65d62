import { expect, test } from "bun:test";
import { KithError } from "../errors.ts";
import { EVERYWHERE_FACTOR, LoginLock, networkOf, WAITING_ATTEMPTS_MAX } from "./login_lock.ts";

const MAX = 3;
const LOCK_MS = 60_000;
const IP = "203.0.113.7";

function makeLock() {
  let now = 1_000_000;
  const lock = new LoginLock({ failuresMax: MAX, lockMs: LOCK_MS, now: () => now });
  const settled = (promise: Promise<string>) => promise.catch((error: KithError) => error.code);
  return {
    lock,
    advance: (ms: number) => (now += ms),
    wrong: (account = "alice", ip = IP) =>
      settled(
        lock.attempt({ account, ip }, () => Promise.reject(new KithError("auth_required", "wrong password"))),
      ),
    right: (account = "alice", ip = IP) => settled(lock.attempt({ account, ip }, async () => "in")),
  };
}

test("LoginLock.attempt refuses after so many failures in a row, says for how long, and forgets in time", async () => {
  const { lock, wrong, right, advance } = makeLock();
  await wrong();
  await wrong();
  expect(await right()).toBe("in");
  for (let failure = 1; failure <= MAX; failure++) expect(await wrong()).toBe("auth_required");
  advance(LOCK_MS - 1_500);
  const refused = lock.attempt({ account: "alice", ip: IP }, async () => "in");
  await expect(refused).rejects.toMatchObject({ code: "rate_limited", retryAfterS: 2 });
  expect(await right("bob")).toBe("in");
  advance(1_500);
  expect(await right()).toBe("in");
});

test("LoginLock.attempt counts failures that are long past no more", async () => {
  const { wrong, right, advance } = makeLock();
  await wrong();
  await wrong();
  advance(LOCK_MS);
  await wrong();
  expect(await right()).toBe("in");
});

test("LoginLock.attempt locks one network at a time, and in the end all of them", async () => {
  const { wrong, right } = makeLock();
  for (let network = 1; network < EVERYWHERE_FACTOR; network++) {
    for (let failure = 1; failure <= MAX; failure++)
      await wrong("alice", `2001:db8:0:${network}::${failure}`);
    expect(await wrong("alice", `2001:db8:0:${network}::ffff`)).toBe("rate_limited");
  }
  expect(await right()).toBe("in");
  for (let failure = 1; failure <= MAX; failure++) expect(await wrong()).toBe("auth_required");
  expect(await right("alice", "198.51.100.1")).toBe("rate_limited");
});

test("LoginLock.attempt lets no more wrong passwords through at once than one after the other", async () => {
  const { lock, wrong } = makeLock();
  const answers = await Promise.all(Array.from({ length: 20 }, () => wrong()));
  expect(answers.filter((answer) => answer === "auth_required")).toHaveLength(MAX);
  expect(new Set(answers)).toEqual(new Set(["auth_required", "rate_limited"]));
  // Right ones wait for each other too, and none is refused.
  const held = Promise.withResolvers<void>();
  const entered = Array.from({ length: MAX + WAITING_ATTEMPTS_MAX }, () =>
    lock.attempt({ account: "bob", ip: IP }, () => held.promise),
  );
  const tooMany = lock.attempt({ account: "bob", ip: IP }, () => held.promise);
  await expect(tooMany).rejects.toMatchObject({ code: "busy" });
  held.resolve();
  expect(await Promise.all(entered)).toHaveLength(MAX + WAITING_ATTEMPTS_MAX);
});

test("LoginLock.forget lifts the locks of one account, everywhere", async () => {
  const { lock, wrong, right } = makeLock();
  for (let failure = 1; failure <= MAX; failure++) {
    await wrong();
    await wrong("alice2");
  }
  lock.forget("alice");
  expect([await right(), await right("alice2")]).toEqual(["in", "rate_limited"]);
});

test("LoginLock.attempt counts no failure that is not a wrong password", async () => {
  const { lock, right } = makeLock();
  for (let time = 0; time < 10; time++) {
    const refused = lock.attempt({ account: "alice", ip: IP }, () => {
      return Promise.reject(new KithError("busy", "no"));
    });
    await expect(refused).rejects.toMatchObject({ code: "busy" });
  }
  expect(await right()).toBe("in");
});

test.each([
  ["203.0.113.7", "203.0.113.7"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
  ["2001:DB8::1", "2001:db8:0:0::/64"],
  ["2001:0db8:0001::1", "2001:db8:1:0::/64"],
  ["::1", "0:0:0:0::/64"],
  ["2001:db8:1:2::9", "2001:db8:1:2::/64"],
  ["2001:db8:0:02:ffff::9", "2001:db8:0:2::/64"],
  ["2001:db8:1::2:3:4", "2001:db8:1:0::/64"],
  ["fe80::1%eth0", "fe80:0:0:0::/64"],
  ["", ""],
])("networkOf(%p) is %p", (ip, network) => expect(networkOf(ip)).toBe(network));
