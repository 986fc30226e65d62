import { heapStats } from "bun:jsc";
import { afterEach, describe, expect, jest, test } from "bun:test";
import { decodeFrame } from "../atproto/mod.ts";
import { isKithError } from "../errors.ts";
import { FakeLog, pending, QUIET, until } from "./_fake_log.ts";
import {
  BACKLOG_EVENTS_MAX,
  BATCH_EVENTS_MAX,
  OTHERS_WRITE_MS,
  type SequencedFrame,
  Sequencer,
} from "./sequencer.ts";

const FIRST_SEQ = 1_000;

function make(log = new FakeLog(), now = () => 5) {
  const sequencer = new Sequencer({ log, firstSeq: FIRST_SEQ, now, logger: QUIET });
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

test("Sequencer publishes nothing before its repo is durable, and nothing of others before it", async () => {
  const { log, sequencer, seen } = make();
  const disk = Promise.withResolvers<void>();
  const first = sequencer.hand("did:plc:a", [pending("did:plc:a", "1")], disk.promise);
  const second = sequencer.hand("did:plc:b", [pending("did:plc:b", "1")], Promise.resolve());
  await until(() => log.rows.length === 2);
  const third = sequencer.hand("did:plc:c", [pending("did:plc:c", "1")]);
  await until(() => log.rows.length === 3);
  expect([seen.length, sequencer.publishedSeq]).toEqual([0, 0]);
  disk.resolve();
  await Promise.all([first, second, third]);
  expect(seen.map(({ seq }) => seq - FIRST_SEQ)).toEqual([0, 1, 2]);
});

test("Sequencer.stop() waits for the disks of repos whose events are in the log", async () => {
  const { log, sequencer, seen } = make();
  const disk = Promise.withResolvers<void>();
  void sequencer.hand("did:plc:a", [pending("did:plc:a", "1")], disk.promise);
  let isStopped = false;
  const stopped = sequencer.stop().then(() => {
    isStopped = true;
  });
  await until(() => log.rows.length === 1);
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
  expect([isStopped, seen.length]).toEqual([false, 0]);
  disk.resolve();
  await stopped;
  expect(seen).toHaveLength(1);
});

test("Sequencer.compare() tells once of a repo that is older than the log, with how far both have come", async () => {
  const told: unknown[] = [];
  const logger = {
    ...QUIET,
    error: (message: string, fields: object = {}) => void told.push([message, fields]),
  };
  const log = new FakeLog();
  const sequencer = new Sequencer({ log, firstSeq: FIRST_SEQ, now: () => 5, logger });
  await sequencer.hand("did:plc:a", [pending("did:plc:a", "3k")]);
  const head = { rev: "3j" };
  sequencer.compare("did:plc:a", { lastTid: "3k", head });
  sequencer.compare("did:plc:b", { lastTid: null, head: null });
  expect([told, sequencer.isOlder("did:plc:a")]).toEqual([[], false]);
  sequencer.compare("did:plc:a", { lastTid: "3j", head });
  sequencer.compare("did:plc:a", { lastTid: "3z", head });
  expect(told).toEqual([
    [
      "A repo is older than what the network was told of it: writes are lost",
      { did: "did:plc:a", told: "3k", last: "3j", rev: "3j", hint: expect.stringContaining("kith verify") },
    ],
  ]);
  expect(sequencer.isOlder("did:plc:a")).toBe(true);
});

describe("Sequencer.answerTime()", () => {
  /** Where nothing but the event may end the wait, however long this machine stands still. */
  const stopTime = (): void => void jest.useFakeTimers();
  afterEach(() => void jest.useRealTimers());

  const HANDED = [
    ["now, where nobody has written before", [], 0, false],
    ["now, where others have not written lately", [["did:plc:b", 0]], OTHERS_WRITE_MS, false],
    ["with the event, where another wrote lately", [["did:plc:b", 0]], OTHERS_WRITE_MS - 1, true],
    [
      "now, where only the account itself wrote lately",
      [
        ["did:plc:b", 0],
        ["did:plc:a", 10],
      ],
      60,
      false,
    ],
  ] as const;
  test.each(HANDED)("is %s", async (_title, before, atMs, waits) => {
    let nowMs = 0;
    const { sequencer, seen } = make(new FakeLog(), () => nowMs);
    stopTime();
    await sequencer.hand("did:plc:a", [pending("did:plc:a", "1")]);
    nowMs = 1_000;
    for (const [did, at] of before) {
      nowMs = 1_000 + at;
      await sequencer.hand(did, [pending(did, "2")]);
    }
    nowMs = 1_000 + atMs;
    const count = seen.length;
    const handed = sequencer.hand("did:plc:a", [pending("did:plc:a", "3")]);
    const answer = sequencer.answerTime(handed);
    expect(answer !== undefined).toBe(waits);
    await answer;
    if (waits) expect(seen).toHaveLength(count + 1);
    await handed;
  });

  test("is the time of the event where others' are under way", async () => {
    const { log, sequencer, seen } = make();
    stopTime();
    log.diskAnswers = false;
    const all = ["1", "2"].map((key) => sequencer.hand("did:plc:a", [pending("did:plc:a", key)]));
    const answer = sequencer.answerTime(all[1] ?? Promise.resolve());
    expect(answer).toBeDefined();
    await until(() => log.rows.length === 2);
    log.flush();
    await answer;
    expect(seen).toHaveLength(2);
    await Promise.all(all);
  });

  test("is now where the log refuses events, until it takes them again", async () => {
    const { log, sequencer, seen } = make();
    log.full = true;
    const one = sequencer.hand("did:plc:a", [pending("did:plc:a", "1")]);
    const two = sequencer.hand("did:plc:b", [pending("did:plc:b", "1")]);
    await sequencer.answerTime(two);
    expect(seen).toEqual([]);
    expect(sequencer.answerTime(two)).toBeUndefined();
    log.full = false;
    await Promise.all([one, two]);
    const more = ["2", "3"].map((key) => sequencer.hand("did:plc:a", [pending("did:plc:a", key)]));
    expect(more.map((each) => sequencer.answerTime(each) !== undefined)).toEqual([true, true]);
    await Promise.all(more);
  });

  test("is now where the log's disk does not answer for long", async () => {
    const { log, sequencer, seen } = make();
    log.diskAnswers = false;
    const all = ["1", "2"].map((key) => sequencer.hand("did:plc:a", [pending("did:plc:a", key)]));
    await Promise.all(all.map((each) => sequencer.answerTime(each)));
    expect(seen).toEqual([]);
    await until(() => log.rows.length === 2);
    log.flush();
    await Promise.all(all);
  });

  test("is now where the log's disk does not answer for long, also where it has answered others meanwhile", async () => {
    const { log, sequencer, seen } = make();
    log.diskAnswers = false;
    const all = ["1", "2"].map((key) => sequencer.hand("did:plc:a", [pending("did:plc:a", key)]));
    await until(() => log.rows.length === 2);
    const late = sequencer.hand("did:plc:b", [pending("did:plc:b", "1")]);
    const answers = [...all, late].map((each) => sequencer.answerTime(each));
    log.flush();
    await Promise.all(answers);
    expect(seen).toHaveLength(2);
    await until(() => log.rows.length === 3);
    log.flush();
    await late;
  });

  test("leaves nothing behind that lives longer than the answer", async () => {
    const { sequencer } = make();
    const promises = () => {
      Bun.gc(true);
      return heapStats().objectTypeCounts.Promise ?? 0;
    };
    const write = async (key: number) => {
      const dids = ["did:plc:a", "did:plc:b"];
      const all = dids.map((did) => sequencer.hand(did, [pending(did, String(key).padStart(6, "0"))]));
      await Promise.all(all.map((each) => sequencer.answerTime(each)));
      // Those that no answer waited for, as where the machine stood still, are not left behind but on their way.
      await Promise.all(all);
    };
    await write(0);
    const before = promises();
    for (let key = 1; key <= 500; key++) await write(key);
    // What is kept of each write would be a thousand; other tests of the process leave some.
    expect(promises() - before).toBeLessThan(400);
  });

  test("is now at a stop, whose events wait for the next start", async () => {
    const { sequencer } = make();
    await sequencer.stop();
    const refused = sequencer.hand("did:plc:a", [pending("did:plc:a", "1")]);
    expect(sequencer.answerTime(refused)).toBeUndefined();
    expect(await refused.catch(() => "refused")).toBe("refused");
  });
});

test("Sequencer.stop() waits for no events that the log refuses, though others of their call are in it", async () => {
  const { log, sequencer, seen } = make();
  const disk = Promise.withResolvers<void>();
  const keys = Array.from({ length: BATCH_EVENTS_MAX + 1 }, (_, at) => String(at).padStart(6, "0"));
  const events = keys.map((key) => pending("did:plc:a", key));
  log.diskAnswers = false;
  void sequencer.hand("did:plc:a", events, disk.promise);
  await until(() => log.rows.length > 0);
  log.full = true;
  log.flush();
  const stopped = sequencer.stop();
  disk.resolve();
  await stopped;
  expect([seen.length, sequencer.backlog]).toEqual([BATCH_EVENTS_MAX, 1]);
});

test("Sequencer keeps in the log up to where all was published, once a start has compared every repo", async () => {
  const { log, sequencer } = make();
  await sequencer.hand("did:plc:a", [pending("did:plc:a", "1")]);
  await sequencer.hand("did:plc:a", [pending("did:plc:a", "2")]);
  expect(log.publishedUpTo).toBeUndefined();
  sequencer.recovered();
  await sequencer.hand("did:plc:a", [pending("did:plc:a", "3")]);
  expect(log.publishedUpTo).toBe(FIRST_SEQ + 1);
});

test("Sequencer collects what comes while the disk is awaited into the next batch", async () => {
  const { log, sequencer, seen } = make();
  log.diskAnswers = false;
  const first = sequencer.hand("did:plc:a", [pending("did:plc:a", "1")]);
  await until(() => log.rows.length === 1);
  const more = ["2", "3", "4"].map((key) => sequencer.hand("did:plc:a", [pending("did:plc:a", key)]));
  expect(log.rows).toHaveLength(1);
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

test("Sequencer.settled() waits for what was handed over before, and not for what comes after, nor for ever", async () => {
  const { log, sequencer, seen } = make();
  await sequencer.settled(60_000);
  const disk = Promise.withResolvers<void>();
  const handed = sequencer.hand("did:plc:a", [pending("did:plc:a", "1")], disk.promise);
  const settled = sequencer.settled(60_000).then(() => seen.length);
  void sequencer.hand("did:plc:b", [pending("did:plc:b", "1")], new Promise(() => {}));
  await sequencer.settled(1);
  expect(seen).toEqual([]);
  disk.resolve();
  await handed;
  expect([await settled, log.rows.length]).toEqual([1, 2]);
});

test("Sequencer keeps everything while the log is full, and goes on where it stood", async () => {
  const { log, sequencer, seen } = make();
  log.full = true;
  const handed = sequencer.hand("did:plc:a", [pending("did:plc:a", "1")]);
  const later = sequencer.hand("did:plc:b", [pending("did:plc:b", "1")]);
  await until(() => sequencer.backlog === 2 && sequencer.refusedSince === 5);
  expect([sequencer.unpublished, sequencer.publishedCount]).toEqual([2, 0]);
  log.full = false;
  await Promise.all([handed, later]);
  expect(seen.map(({ seq }) => seq)).toEqual([FIRST_SEQ, FIRST_SEQ + 1]);
  expect([sequencer.unpublished, sequencer.publishedCount, sequencer.refusedSince]).toEqual([
    0,
    2,
    undefined,
  ]);
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
  expect(() => sequencer.assertRoom()).toThrow("wait to be published");
});

test("Sequencer refuses new writes past its backlog, be they in the log and wait for the disk of a repo", async () => {
  const { sequencer } = make();
  const disk = Promise.withResolvers<void>();
  const events = Array.from({ length: BACKLOG_EVENTS_MAX }, (_, at) =>
    pending("did:plc:a", String(at).padStart(6, "0")),
  );
  const handed = sequencer.hand("did:plc:a", events, disk.promise);
  await until(() => sequencer.publishedSeq === 0 && sequencer.backlog === 0);
  expect(() => sequencer.assertRoom()).toThrow("wait to be published");
  disk.resolve();
  await handed;
  expect(() => sequencer.assertRoom()).not.toThrow();
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
