import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KithError } from "../errors.ts";
import type { Logger } from "../logger.ts";
import { EventLog, Maintenance } from "../storage/mod.ts";
import { pending, QUIET, until } from "./_fake_log.ts";
import {
  EventRetention,
  PRUNE_BYTES_MAX,
  PRUNE_ROWS_MAX,
  PRUNE_WAL_BYTES_MAX,
  type RetentionOptions,
} from "./event_retention.ts";
import { Sequencer } from "./sequencer.ts";

const DAY_MS = 86_400_000;
const RETENTION_MS = 7 * DAY_MS;
const NOTHING = { upTo: 0, isHeld: false, isMore: false };

type Prune = RetentionOptions["log"]["prune"];
type Asked = Parameters<Prune>[0];

/** Retention over a log that answers as it is told, with all that it is asked and says. */
function retention(prune: Prune, { backfillMs = 1, walBytes = 0 } = {}) {
  const asked: Asked[] = [];
  const said: string[] = [];
  const say = (message: string) => void said.push(message);
  const logger: Logger = { debug: say, info: say, warn: say, error: say, child: () => logger };
  const sequencer = {
    publishedSeq: 77,
    reliefs: 0,
    relieve: () => {
      sequencer.reliefs += 1;
    },
  };
  const log = {
    walBytes: () => walBytes,
    prune: (options: Asked) => {
      asked.push(options);
      return prune(options);
    },
  };
  const times = { retentionMs: RETENTION_MS, backfillMs, holdMs: 2 * RETENTION_MS };
  const made = new EventRetention({ log, sequencer, ...times, now: () => 10 * RETENTION_MS, logger });
  return { asked, said, sequencer, made, [Symbol.dispose]: () => made.stop() };
}

test("EventRetention.step() removes what is past its age, never what is within the backfill window", () => {
  for (const [backfillMs, before] of [
    [1, 9],
    [2 * RETENTION_MS, 8],
  ] as const) {
    using of = retention(() => NOTHING, { backfillMs });
    expect(of.made.step()).toBe(false);
    expect(of.asked).toEqual([
      {
        ...{ before: before * RETENTION_MS, now: 10 * RETENTION_MS, publishedUpTo: 77 },
        ...{ rowsMax: PRUNE_ROWS_MAX, bytesMax: PRUNE_BYTES_MAX },
      },
    ]);
  }
});

test("EventRetention.step() says where there is more, in bounded steps, and outlives a refusal", () => {
  using full = retention(() => ({ ...NOTHING, isMore: true }));
  expect(full.made.step()).toBe(true);
  using refused = retention(() => {
    throw new Error("no room");
  });
  expect([refused.made.step(), refused.said.length]).toEqual([false, 1]);
  // The log is being restarted: soon again, and nobody needs to know.
  using busy = retention(() => {
    throw new KithError("busy", "its log is being restarted");
  });
  expect([busy.made.step(), busy.said]).toEqual([true, []]);
  expect(PRUNE_ROWS_MAX).toBeLessThanOrEqual(500);
  expect(PRUNE_BYTES_MAX).toBeLessThanOrEqual(2 ** 21);
});

test("EventRetention.step() waits for a checkpoint where the log has much to write back", () => {
  using of = retention(() => NOTHING, { walBytes: PRUNE_WAL_BYTES_MAX });
  expect(of.made.step()).toBe(true);
  expect([of.asked, of.sequencer.reliefs]).toEqual([[], 1]);
});

test("EventRetention.step() holds what a backup has not got, for as long as is set, and tells of both once an hour", () => {
  let answer = { upTo: 30, isHeld: true, isMore: false };
  using of = retention(() => answer);
  let shipped: number | undefined;
  of.made.holdFor(() => shipped);
  of.made.step();
  expect([of.asked[0]?.held, of.said]).toEqual([undefined, []]);
  shipped = 42;
  for (let steps = 0; steps < 3; steps += 1) of.made.step();
  expect(of.asked.at(-1)?.held).toEqual({ seq: 42, notBefore: 7 * RETENTION_MS });
  expect(of.said).toEqual([expect.stringContaining("kept for longer")]);
  // Too old for that too: they go, and with them what only the log had.
  answer = { upTo: 43, isHeld: false, isMore: true };
  for (let steps = 0; steps < 3; steps += 1) of.made.step();
  expect(of.said.slice(1)).toEqual([expect.stringContaining("the backup has not got")]);
});

test("a log that is emptied while no event comes is checkpointed, and events that come meanwhile go out", async () => {
  const folder = mkdtempSync(join(tmpdir(), "kith-retention-"));
  const onFatal = (error: unknown) => {
    throw error;
  };
  const maintenance = Maintenance.start({ onFatal });
  const log = await EventLog.open(join(folder, "events.sqlite"), { maintenance, onFatal });
  const frame = new Uint8Array(100_000);
  for (let seq = 1; seq <= 180; seq += 1) {
    const key = `3${String(seq).padStart(12, "0")}`;
    log.append([{ seq, did: "did:plc:a", key, kind: "commit", at: seq, frame }]);
  }
  expect(log.walBytes()).toBeGreaterThan(PRUNE_WAL_BYTES_MAX);
  const sequencer = new Sequencer({ log, firstSeq: 1_000, now: () => DAY_MS, logger: QUIET });
  const published: number[] = [];
  sequencer.onPublished((frames) => published.push(...frames.map(({ seq }) => seq)));
  const times = { retentionMs: 1, backfillMs: 1, now: () => DAY_MS / 2 };
  const made = new EventRetention({ log, sequencer, ...times, logger: QUIET });
  try {
    let steps = 0;
    const handed: Promise<void>[] = [];
    await until(() => {
      steps += 1;
      if (steps % 50 === 1 && handed.length < 5) {
        const key = `3zzzzzzzzzzz${handed.length}`;
        handed.push(sequencer.hand("did:plc:b", [pending("did:plc:b", key)]));
      }
      const isMore = made.step();
      return !isMore && log.firstSeq() >= 1_000 && log.walBytes() < PRUNE_WAL_BYTES_MAX / 2;
    });
    await Promise.all(handed);
    expect(published).toEqual(handed.map((_, at) => 1_000 + at));
    expect(log.prunedUpTo()).toBe(180);
    // A megabyte of frames a step at most.
    expect(steps).toBeGreaterThan(18);
  } finally {
    made.stop();
    await sequencer.stop();
    await log.close();
    await maintenance.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});
