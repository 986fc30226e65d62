import { expect, test } from "bun:test";
import { decodeFrame } from "../atproto/mod.ts";
import { isKithError } from "../errors.ts";
import { FakeLog, pending, QUIET, until } from "./_fake_log.ts";
import { BACKLOG_EVENTS_MAX, BATCH_EVENTS_MAX, type SequencedFrame, Sequencer } from "./sequencer.ts";

const FIRST_SEQ = 1_000;

function make(log = new FakeLog()): { log: FakeLog; sequencer: Sequencer; seen: SequencedFrame[] } {
  const sequencer = new Sequencer({ log, firstSeq: FIRST_SEQ, now: () => 5, logger: QUIET });
  const seen: SequencedFrame[] = [];
  sequencer.onPublished((frames) => seen.push(...frames));
  return { log, sequencer, seen };
}

test("Sequencer gives rising seqs and publishes the very bytes it appended", async () => {
  const { log, sequencer, seen } = make();
  await Promise.all([
    sequencer.hand("did:plc:a", [pending("did:plc:a", "1"), pending("did:plc:a", "2")]),
    sequencer.hand("did:plc:b", [pending("did:plc:b", "1")]),
  ]);
  expect(seen.map(({ seq }) => seq)).toEqual([FIRST_SEQ, FIRST_SEQ + 1, FIRST_SEQ + 2]);
  expect(seen.map(({ frame }) => frame)).toEqual(log.rows.map(({ frame }) => frame));
  expect(seen.map(({ frame }) => decodeFrame(frame).payload)).toMatchObject(seen.map(({ seq }) => ({ seq })));
  expect(sequencer.publishedSeq).toBe(FIRST_SEQ + 2);
});

test("Sequencer publishes nothing before the log is durable", async () => {
  const { log, sequencer, seen } = make();
  log.diskAnswers = false;
  const handed = sequencer.hand("did:plc:a", [pending("did:plc:a", "1")]);
  await until(() => log.rows.length === 1);
  expect(seen).toEqual([]);
  expect(sequencer.publishedSeq).toBe(0);
  log.flush();
  await handed;
  expect(seen).toHaveLength(1);
});

test("Sequencer collects what comes while the disk is awaited into the next batch", async () => {
  const { log, sequencer, seen } = make();
  log.diskAnswers = false;
  const first = sequencer.hand("did:plc:a", [pending("did:plc:a", "1")]);
  const more = ["2", "3", "4"].map((key) => sequencer.hand("did:plc:a", [pending("did:plc:a", key)]));
  await until(() => log.rows.length === 1);
  log.diskAnswers = true;
  log.flush();
  await Promise.all([first, ...more]);
  expect(seen.map(({ seq }) => seq - FIRST_SEQ)).toEqual([0, 1, 2, 3]);
});

test("Sequencer passes over events that the log has, by their key", async () => {
  const { log, sequencer } = make();
  await sequencer.hand("did:plc:a", [pending("did:plc:a", "1"), pending("did:plc:a", "2")]);
  await sequencer.hand("did:plc:a", [
    pending("did:plc:a", "1"),
    pending("did:plc:a", "2"),
    pending("did:plc:a", "3"),
  ]);
  expect(log.rows.map(({ key }) => key)).toEqual(["1", "2", "3"]);
  expect(log.rows.map(({ seq }) => seq - FIRST_SEQ)).toEqual([0, 1, 2]);
});

test("Sequencer keeps everything while the log is full, and goes on where it stood", async () => {
  const { log, sequencer, seen } = make();
  log.full = true;
  const handed = sequencer.hand("did:plc:a", [pending("did:plc:a", "1")]);
  const later = sequencer.hand("did:plc:b", [pending("did:plc:b", "1")]);
  await until(() => sequencer.backlog === 2);
  log.full = false;
  await Promise.all([handed, later]);
  expect(seen.map(({ seq }) => seq)).toEqual([FIRST_SEQ, FIRST_SEQ + 1]);
});

test("Sequencer appends in batches within their bound", async () => {
  const log = new FakeLog();
  const sizes: number[] = [];
  const append = log.append.bind(log);
  log.append = (rows) => {
    sizes.push(rows.length);
    append(rows);
  };
  const { sequencer } = make(log);
  const keys = Array.from({ length: BATCH_EVENTS_MAX * 2 + 1 }, (_, at) => String(at).padStart(6, "0"));
  await sequencer.hand(
    "did:plc:a",
    keys.map((key) => pending("did:plc:a", key)),
  );
  expect(sizes).toEqual([BATCH_EVENTS_MAX, BATCH_EVENTS_MAX, 1]);
});

test("Sequencer refuses new writes past its backlog", () => {
  const { log, sequencer } = make();
  log.full = true;
  const event = pending("did:plc:a", "1");
  void sequencer.hand("did:plc:a", new Array(BACKLOG_EVENTS_MAX).fill(event));
  expect(() => sequencer.assertRoom()).toThrow("wait for the event log");
});

test("Sequencer.stop() resolves once everything handed over is published, and takes no more", async () => {
  const { sequencer, seen } = make();
  void sequencer.hand("did:plc:a", [pending("did:plc:a", "1")]);
  await sequencer.stop();
  expect(seen).toHaveLength(1);
  const error: unknown = await sequencer
    .hand("did:plc:a", [pending("did:plc:a", "2")])
    .catch((caught: unknown) => caught);
  expect(isKithError(error, "shutting_down")).toBe(true);
});

test("Sequencer knows what was published before a start, also where retention has removed all of it", async () => {
  const log = new FakeLog();
  const { sequencer } = make(log);
  await sequencer.hand("did:plc:a", [pending("did:plc:a", "1")]);
  log.prune(FIRST_SEQ);
  expect(log.rows).toEqual([]);
  expect(make(log).sequencer.publishedSeq).toBe(FIRST_SEQ);
});
