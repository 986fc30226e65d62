import { expect, test } from "bun:test";
import { QUIET } from "./_fake_log.ts";
import { EventRetention, PRUNE_ROWS_MAX, RETENTION_MS } from "./event_retention.ts";

function retention(prune: (options: { before: number; rowsMax: number }) => number, backfillMs = 1) {
  return new EventRetention({ log: { prune }, backfillMs, now: () => 10 * RETENTION_MS, logger: QUIET });
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
