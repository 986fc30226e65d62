/**
 * The power is cut at each step of the disk that the retention of events takes, with its checkpoints: what is left is a whole end of the log, it
 * begins after what is told as removed, and no seq can be given again. `KITH_TEST_STEPS` says at how many steps (all: 0), `KITH_TEST_SEED`
 * at which, and what the cuts keep.
 */
import { expect, test } from "bun:test";
import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EventLog, type EventRow, Maintenance } from "../../src/storage/mod.ts";
import { seededRandom } from "../wait.ts";
import { chosenSteps, FaultDisk } from "./fault_disk.ts";
import { tally } from "./tally.ts";

const SEED = Number(process.env.KITH_TEST_SEED ?? 20_261_121);
const STEPS_MAX = Number(process.env.KITH_TEST_STEPS ?? 16);
const EVENTS = 200;
const OLD = 120;
const FRAME_BYTES = 3_000;
const LIMIT_MS = 600_000;

const rowOf = (seq: number): EventRow => ({
  ...{ seq, did: `did:plc:${seq % 5}`, key: String(seq).padStart(13, "0"), kind: "commit" },
  ...{ at: seq, frame: new Uint8Array(FRAME_BYTES).fill(seq % 251) },
});

async function withLog<T>(path: string, use: (log: EventLog) => T | Promise<T>): Promise<T> {
  const onFatal = (error: unknown): never => {
    throw error;
  };
  const maintenance = Maintenance.start({ onFatal });
  const log = await EventLog.open(path, { maintenance, onFatal });
  try {
    return await use(log);
  } finally {
    await log.close();
    await maintenance.stop();
  }
}

async function prune(path: string, env: Readonly<Record<string, string>>): Promise<number | null> {
  const command = [process.execPath, join(import.meta.dir, "prune_process.ts"), path, String(OLD + 1)];
  const child = Bun.spawn(command, { env: { ...process.env, ...env }, stdout: "ignore", stderr: "pipe" });
  const errors = await new Response(child.stderr).text();
  await child.exited;
  if (child.exitCode !== 0 && child.signalCode === null) throw new Error(errors);
  return child.exitCode;
}

/** Throws where it is not a whole end of what was there. */
function judge(log: EventLog): number {
  const removed = log.prunedUpTo();
  const frames = log.read({ after: 0, upTo: EVENTS, rowsMax: EVENTS, bytesMax: Number.POSITIVE_INFINITY });
  const expected = Array.from({ length: EVENTS - removed }, (_, index) => removed + 1 + index);
  expect(frames.map(({ seq }) => seq)).toEqual(expected);
  for (const { seq, frame } of frames) expect(Bun.hash(frame)).toBe(Bun.hash(rowOf(seq).frame));
  expect([log.highWater(), log.lastKey("did:plc:1")]).toEqual([EVENTS, rowOf(EVENTS - 4).key]);
  expect(() => log.append([rowOf(EVENTS)])).toThrow("not above");
  return removed;
}

test(
  `retention outlives a power cut at any of its steps (seed ${SEED})`,
  async () => {
    await using cleanUp = new AsyncDisposableStack();
    const folder = mkdtempSync(join(tmpdir(), "kith-prune-"));
    cleanUp.defer(() => rmSync(folder, { recursive: true, force: true }));
    const [data, kept] = [join(folder, "data"), join(folder, "kept")];
    const path = join(data, "events.sqlite");
    mkdirSync(data);
    await withLog(path, (log) => log.append(Array.from({ length: EVENTS }, (_, index) => rowOf(index + 1))));
    cpSync(data, kept, { recursive: true });
    using disk = FaultDisk.below(data);
    const random = seededRandom(SEED);
    expect(await prune(path, disk.env)).toBe(0);
    expect(await withLog(path, judge)).toBe(OLD);
    const steps = chosenSteps(disk.steps().length, { stepsMax: STEPS_MAX, random });
    const found = new Set<number>();
    for (const [at, step] of steps.entries()) {
      rmSync(data, { recursive: true });
      cpSync(kept, data, { recursive: true });
      disk.cutAt(step, { seed: Math.floor(random() * 2 ** 31) });
      await prune(path, disk.env);
      disk.disarm();
      found.add(await withLog(path, judge));
      // And it goes on from there.
      if (at % 10 === 0) {
        expect(await prune(path, {})).toBe(0);
        expect(await withLog(path, judge)).toBe(OLD);
      }
    }
    expect(found.size).toBeGreaterThan(1);
    tally("cuts in the retention of events", steps.length);
  },
  LIMIT_MS,
);
