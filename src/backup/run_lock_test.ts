import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { all, BackupFixture } from "./_fixture.ts";
import { LOCK_LIFETIME_MS, RunLock } from "./run_lock.ts";

const NOW = Date.parse("2026-01-31T03:12:00Z");
const OTHERS = { host: "elsewhere", process: 1 };

async function withLock(fixture: BackupFixture, content: string): Promise<void> {
  await fixture.destination.put("locks/0123456789abcdef", Buffer.from(content));
}

const take = (fixture: BackupFixture, now = NOW) =>
  RunLock.take(fixture.destination, { host: "here", now: () => now });

describe("RunLock", () => {
  test("keeps a second run out until it is released", async () => {
    using fixture = new BackupFixture();
    const lock = await take(fixture);
    expect(take(fixture)).rejects.toThrow('on "here" is writing a backup there');
    await take(fixture).catch(() => {});
    await lock.release();
    await (await take(fixture)).release();
    expect(await all(fixture.destination.list("locks/"))).toEqual([]);
  });

  test("is gone once it was released, also where it was being renewed", async () => {
    using fixture = new BackupFixture();
    const [renewing, slow] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const { destination } = fixture;
    const put = destination.put.bind(destination);
    const writes: Promise<void>[] = [];
    const renew = async (name: string, bytes: Uint8Array): Promise<void> => {
      renewing.resolve();
      await slow.promise;
      await put(name, bytes);
    };
    destination.put = (name, bytes) => {
      const write = writes.length === 0 ? put(name, bytes) : renew(name, bytes);
      writes.push(write);
      return write;
    };
    const lock = await RunLock.take(destination, { host: "here", now: () => NOW, renewMs: 1 });
    await renewing.promise;
    const released = lock.release();
    // As long as it is renewed it does not end.
    expect(await Promise.race([released, Bun.sleep(20).then(() => "renewing")])).toBe("renewing");
    slow.resolve();
    await Promise.all([released, ...writes]);
    expect(await all(destination.list("locks/"))).toEqual([]);
  });

  test("of two that begin at once one at the most gets it", async () => {
    using fixture = new BackupFixture();
    for (let round = 0; round < 10; round++) {
      const taken = await Promise.allSettled([take(fixture), take(fixture), take(fixture)]);
      const locks = taken.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
      expect(locks.length).toBeLessThanOrEqual(1);
      for (const lock of locks) await lock.release();
      expect(await all(fixture.destination.list("locks/"))).toEqual([]);
    }
  });

  test.each<[title: string, content: object | string, isHeld: boolean]>([
    ["another machine's that is fresh", { ...OTHERS, at: new Date(NOW - 60_000).toISOString() }, true],
    [
      "one that was not renewed",
      { ...OTHERS, at: new Date(NOW - LOCK_LIFETIME_MS - 1).toISOString() },
      false,
    ],
    ["one from tomorrow", { ...OTHERS, at: new Date(NOW + 86_400_000).toISOString() }, false],
    [
      "one of a process here that is gone",
      { host: "here", process: 2 ** 22 - 1, at: new Date(NOW).toISOString() },
      false,
    ],
    [
      "one of a process here that had the same number",
      { host: "here", process: process.pid, at: new Date(NOW).toISOString() },
      false,
    ],
    [
      "one of a process here that lives",
      { host: "here", process: process.ppid, at: new Date(NOW).toISOString() },
      true,
    ],
  ])("%s: %p %p", async (_title, content, isHeld) => {
    using fixture = new BackupFixture();
    await withLock(fixture, typeof content === "string" ? content : JSON.stringify(content));
    const outcome = await take(fixture).then(
      async (lock) => {
        await lock.release();
        return false;
      },
      () => true,
    );
    expect(outcome).toBe(isHeld);
  });

  test("one that is no JSON counts by the time of its file", async () => {
    using fixture = new BackupFixture();
    await withLock(fixture, "");
    writeFileSync(fixture.file("locks/0123456789abcdef"), "{");
    expect(take(fixture, Date.now())).rejects.toThrow("is writing a backup there");
    await take(fixture, Date.now()).catch(() => {});
    await (await take(fixture, Date.now() + LOCK_LIFETIME_MS + 1_000)).release();
  });

  test("assertHeld() refuses once it could not be renewed for a while", async () => {
    using fixture = new BackupFixture();
    let elapsed = 0;
    const options = { host: "here", now: () => NOW, elapsed: () => elapsed };
    const lock = await RunLock.take(fixture.destination, options);
    lock.assertHeld();
    elapsed = LOCK_LIFETIME_MS / 3;
    expect(() => lock.assertHeld()).toThrow("the lock could not be renewed");
    await lock.release();
  });
});
