import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeCbor, nextTid } from "../atproto/mod.ts";
import { isKithError } from "../errors.ts";
import { EventLog, Maintenance, type ReferenceEvent } from "../storage/mod.ts";
import { type EventSource, takeEvents } from "./take_events.ts";

const ANN = "did:plc:ann";
const TIME = "2026-01-31T12:00:00.000Z";

function identity(seq: number, { row = ANN, frame = ANN } = {}): ReferenceEvent {
  const event = encodeCbor({ did: frame, handle: "ann.test" });
  return { seq, did: row, eventType: "identity", event, time: TIME, at: Date.parse(TIME) };
}

function sourceOf(events: readonly ReferenceEvent[]): EventSource {
  return {
    highWater: () => events.at(-1)?.seq ?? 0,
    before: () => 0,
    hasUpTo: () => false,
    page: ({ after, limit }) => events.filter(({ seq }) => seq > after).slice(0, limit),
  };
}

async function withLog(use: (log: EventLog) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "kith-take-events-"));
  const onFatal = (error: unknown) => {
    throw error;
  };
  const maintenance = Maintenance.start({ onFatal });
  const log = await EventLog.open(join(folder, "events.sqlite"), { maintenance, onFatal });
  try {
    await use(log);
  } finally {
    await log.close();
    await maintenance.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

test("takeEvents() leaves room above the keys of its events for all that are made here, however high the seqs are", () =>
  withLog(async (log) => {
    const source = sourceOf([identity(5), identity(9e15), identity(9e15 + 1)]);
    const taken = await takeEvents(source, { log, since: 0 });
    expect(taken).toEqual({ events: 3, damaged: 0, lastSeq: 9e15 + 1 });
    expect([log.highWater(), log.lastSeq()]).toEqual([9e15 + 1, 9e15 + 1]);
    const frame = new Uint8Array(1);
    const key = nextTid(null, Date.parse(TIME) * 1000, 0);
    log.append([{ seq: 9e15 + 2, did: ANN, key, kind: "identity", at: Date.parse(TIME), frame }]);
    expect(log.lastKey(ANN)).toBe(key);
  }));

test("takeEvents() leaves an event behind that is of another account than its row says", () =>
  withLog(async (log) => {
    const source = sourceOf([identity(1), identity(2, { frame: "did:plc:ben" }), identity(3)]);
    expect(await takeEvents(source, { log, since: 0 })).toEqual({ events: 2, damaged: 1, lastSeq: 3 });
    expect(log.read({ after: 0, upTo: 9, rowsMax: 9, bytesMax: 9_000 }).map(({ seq }) => seq)).toEqual([
      1, 3,
    ]);
  }));

test("takeEvents() refuses seqs after which there are none left", async () => {
  const refused = takeEvents(sourceOf([identity(Number.MAX_SAFE_INTEGER)]), { log: undefined, since: 0 });
  const error = await refused.catch((thrown: unknown) => thrown);
  expect(isKithError(error, "invalid_request")).toBe(true);
  expect(String(error)).toContain("counted them up to 9007199254740991");
});
