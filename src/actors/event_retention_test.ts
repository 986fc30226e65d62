import { expect, test } from "bun:test";
import { QUIET } from "./_fake_log.ts";
import { EventRetention, type HeldEvents, PRUNE_ROWS_MAX } from "./event_retention.ts";

const RETENTION_MS = 7 * 86_400_000;

function retention(
  prune: (options: { before: number; rowsMax: number; held?: HeldEvents }) => number,
  backfillMs = 1,
) {
  const now = () => 10 * RETENTION_MS;
  const times = { retentionMs: RETENTION_MS, backfillMs, holdMs: 2 * RETENTION_MS };
  return new EventRetention({ log: { prune }, ...times, now, logger: QUIET });
}

test("EventRetention.step() removes what is past its age, never what is within the backfill window", () => {
  const asked: number[] = [];
  const prune = ({ before }: { before: number }): number => asked.push(before) * 0;
  for (const backfillMs of [1, 2 * RETENTION_MS]) {
    const made = retention(prune, backfillMs);
    expect(made.step()).toBe(false);
    made.stop();
  }
  expect(asked).toEqual([9 * RETENTION_MS, 8 * RETENTION_MS]);
});

test("EventRetention.step() says where there is more, in bounded steps, and outlives a refusal", () => {
  const full = retention(({ rowsMax }) => rowsMax);
  expect(full.step()).toBe(true);
  full.stop();
  const refused = retention(() => {
    throw new Error("busy");
  });
  expect(refused.step()).toBe(false);
  refused.stop();
  expect(PRUNE_ROWS_MAX).toBeLessThanOrEqual(500);
});

test("EventRetention.step() holds what a backup has not got, for as long as is set", () => {
  const asked: (HeldEvents | undefined)[] = [];
  const made = retention(({ held }) => asked.push(held) * 0);
  let shipped: number | undefined;
  made.holdFor(() => shipped);
  made.step();
  shipped = 42;
  made.step();
  made.stop();
  expect(asked).toEqual([undefined, { seq: 42, notBefore: 7 * RETENTION_MS }]);
});
