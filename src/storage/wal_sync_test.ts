import { expect, test } from "bun:test";
import { WalSync } from "./wal_sync.ts";

/** A disk whose syncs end when the test says so. */
class Disk {
  started = 0;
  readonly #open: PromiseWithResolvers<void>[] = [];
  readonly sync = (): Promise<void> => {
    this.started += 1;
    const round = Promise.withResolvers<void>();
    this.#open.push(round);
    return round.promise;
  };
  get running(): number {
    return this.#open.length;
  }
  end(): void {
    this.#open.shift()?.resolve();
  }
  fail(error: Error): void {
    this.#open.shift()?.reject(error);
  }
}

/** Lets all promise reactions that are due run. */
const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

test("WalSync.sync() releases a waiter only by a sync that started after its commit", async () => {
  let random = 1;
  const next = (n: number) => {
    random = (random * 48271) % 2147483647;
    return random % n;
  };
  for (let round = 0; round < 50; round += 1) {
    const disk = new Disk();
    const sync = new WalSync("/nowhere", { onFatal: () => {}, sync: disk.sync });
    const waiters: { startedBefore: number; released: boolean }[] = [];
    let ended = 0;
    for (let step = 0; step < 60; step += 1) {
      if (next(3) === 0 && disk.running > 0) {
        disk.end();
        ended += 1;
      } else {
        sync.noteCommit();
        const waiter = { startedBefore: disk.started, released: false };
        waiters.push(waiter);
        void sync.sync().then(() => {
          waiter.released = true;
        });
      }
      if (next(2) === 0) await settle();
      expect(disk.running).toBeLessThanOrEqual(1);
      for (const waiter of waiters) {
        if (waiter.released) expect(ended).toBeGreaterThan(waiter.startedBefore);
      }
    }
    await settle();
    while (disk.running > 0) {
      disk.end();
      await settle();
    }
    expect(waiters.every((waiter) => waiter.released)).toBe(true);
    expect(sync.isDurable()).toBe(true);
  }
});

test("WalSync.sync() shares one sync among all who wait, and needs none when nothing was committed", async () => {
  const disk = new Disk();
  const sync = new WalSync("/nowhere", { onFatal: () => {}, sync: disk.sync });
  await sync.sync();
  expect(disk.started).toBe(0);
  sync.noteCommit();
  const first = [sync.sync(), sync.sync()];
  sync.noteCommit();
  const second = [sync.sync(), sync.sync(), sync.sync()];
  disk.end();
  await Promise.all(first);
  expect(sync.isDurable()).toBe(false);
  await settle();
  disk.end();
  await Promise.all(second);
  expect(disk.started).toBe(2);
});

test("WalSync.sync() releases in order, also who comes while others are being released", async () => {
  const disk = new Disk();
  const sync = new WalSync("/nowhere", { onFatal: () => {}, sync: disk.sync });
  const released: string[] = [];
  const commit = (name: string, then = () => {}) => {
    sync.noteCommit();
    void sync.sync().then(() => {
      released.push(name);
      then();
    });
  };
  commit("a", () => commit("c", () => commit("e")));
  commit("b", () => commit("d"));
  while (disk.running > 0) {
    expect(disk.running).toBe(1);
    disk.end();
    await settle();
  }
  expect([released, disk.started]).toEqual([["a", "b", "c", "d", "e"], 5]);
});

test("WalSync.sync() tells of a failure once, releases nobody and never tries again", async () => {
  const disk = new Disk();
  const fatal: unknown[] = [];
  const sync = new WalSync("/nowhere", { onFatal: (error) => fatal.push(error), sync: disk.sync });
  let released = 0;
  sync.noteCommit();
  void sync.sync().then(() => (released += 1));
  sync.noteCommit();
  void sync.sync().then(() => (released += 1));
  disk.fail(new Error("EIO"));
  await settle();
  void sync.sync().then(() => (released += 1));
  await settle();
  expect(released).toBe(0);
  expect(disk.started).toBe(1);
  expect(fatal).toEqual([new Error("EIO")]);
  expect(sync.isDurable()).toBe(false);
});
