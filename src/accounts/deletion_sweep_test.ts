import { expect, jest, test } from "bun:test";
import { KithError } from "../errors.ts";
import { DeletionSweep, SWEEP_ACCOUNTS_MAX, SWEEP_PAUSE_MS, SWEEP_RETRY_MS } from "./deletion_sweep.ts";

const NOW = 1_000_000;

function make(ends: [did: string, deleteAfter: number][]) {
  const rows = new Map(ends);
  const deleted: string[] = [];
  const warnings: unknown[] = [];
  let failure: KithError | undefined;
  const owners = new Set<string>();
  const quiet = { trace() {}, debug() {}, info() {}, warn: (...args: unknown[]) => void warnings.push(args) };
  const logger = { ...quiet, error() {}, fatal() {}, child: () => logger } as never;
  const sweep = new DeletionSweep({
    accounts: {
      endingAccounts: (limit) =>
        [...rows]
          .map(([did, deleteAfter]) => ({ did, deleteAfter }))
          .sort(byEnd)
          .slice(0, limit),
    },
    repos: {
      deleteRepo: async (did, { from }) => {
        expect(from).toEqual(["deactivated"]);
        if (failure) throw failure;
        if (owners.has(did)) throw new KithError("last_owner", "the last owner");
        deleted.push(did);
        rows.delete(did);
      },
    },
    logger,
  });
  return {
    sweep,
    rows,
    deleted,
    warnings,
    owners,
    fail: (error: KithError | undefined) => (failure = error),
  };
}

const byEnd = (a: { deleteAfter: number }, b: { deleteAfter: number }) => a.deleteAfter - b.deleteAfter;

/** Moves the clock on and lets the run that this starts come to its end. */
async function pass(ms: number): Promise<void> {
  jest.advanceTimersByTime(ms);
  for (let turn = 0; turn < 300; turn++) await Promise.resolve();
}

async function withClock(run: () => Promise<void>): Promise<void> {
  jest.useFakeTimers({ now: NOW });
  try {
    await run();
  } finally {
    jest.useRealTimers();
  }
}

test("DeletionSweep deletes what is due, and the rest in its time", () =>
  withClock(async () => {
    const { sweep, deleted, rows } = make([
      ["late", NOW + 90_000],
      ["due", NOW - 1],
    ]);
    sweep.plan();
    await pass(1);
    expect(deleted).toEqual(["due"]);
    await pass(80_000);
    expect(deleted).toEqual(["due"]);
    await pass(10_000);
    expect(deleted).toEqual(["due", "late"]);
    rows.set("new", NOW + 95_000);
    sweep.plan();
    await pass(5_000);
    expect(deleted).toEqual(["due", "late", "new"]);
    await sweep.stop();
  }));

test("DeletionSweep deletes a bounded number at a time", () =>
  withClock(async () => {
    const ends = Array.from(
      { length: SWEEP_ACCOUNTS_MAX + 1 },
      (_, at) => [`did ${at}`, at] as [string, number],
    );
    const { sweep, deleted } = make(ends);
    sweep.plan();
    await pass(1);
    expect(deleted).toHaveLength(SWEEP_ACCOUNTS_MAX);
    await pass(SWEEP_PAUSE_MS);
    expect(deleted).toHaveLength(SWEEP_ACCOUNTS_MAX + 1);
    await sweep.stop();
  }));

test("DeletionSweep tries again later, and leaves who is active again in peace", () =>
  withClock(async () => {
    const { sweep, deleted, rows, warnings, fail } = make([["due", 0]]);
    fail(new KithError("storage_full", "no room"));
    sweep.plan();
    await pass(1);
    expect([deleted, warnings.length]).toEqual([[], 1]);
    fail(new KithError("invalid_request", "the account is active"));
    await pass(SWEEP_RETRY_MS);
    expect([deleted, warnings.length]).toEqual([[], 1]);
    rows.delete("due");
    fail(undefined);
    await pass(SWEEP_RETRY_MS);
    expect(deleted).toEqual([]);
    await sweep.stop();
  }));

test("DeletionSweep tells once of who has to stay, and deletes them when they may go", () =>
  withClock(async () => {
    const { sweep, deleted, warnings, fail } = make([["owner", NOW - 1]]);
    fail(new KithError("last_owner", "the last owner"));
    sweep.plan();
    await pass(1);
    await pass(SWEEP_RETRY_MS);
    await pass(SWEEP_RETRY_MS);
    expect([deleted, warnings.length]).toEqual([[], 1]);
    fail(undefined);
    await pass(SWEEP_RETRY_MS);
    expect(deleted).toEqual(["owner"]);
    await sweep.stop();
  }));

test("DeletionSweep comes to the others, however many have to stay", () =>
  withClock(async () => {
    const ends = Array.from(
      { length: SWEEP_ACCOUNTS_MAX + 1 },
      (_, at) => [`did ${at}`, at] as [string, number],
    );
    const { sweep, deleted, owners } = make(ends);
    for (const [did] of ends.slice(0, SWEEP_ACCOUNTS_MAX)) owners.add(did);
    sweep.plan();
    await pass(1);
    expect(deleted).toEqual([]);
    await pass(SWEEP_RETRY_MS);
    expect(deleted).toEqual([`did ${SWEEP_ACCOUNTS_MAX}`]);
    await sweep.stop();
  }));

test("DeletionSweep.stop() ends it", () =>
  withClock(async () => {
    const { sweep, deleted } = make([["due", NOW + 10]]);
    sweep.plan();
    await sweep.stop();
    sweep.plan();
    await pass(10);
    expect(deleted).toEqual([]);
  }));
