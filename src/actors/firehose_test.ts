import { describe, expect, test } from "bun:test";
import { createActor, initialTransition, SimulatedClock, transition } from "xstate";
import { decodeFrame } from "../atproto/mod.ts";
import { isKithError } from "../errors.ts";
import { FakeLog, pending, QUIET, until } from "./_fake_log.ts";
import { Firehose, SUBSCRIBERS_MAX } from "./firehose.ts";
import { type FrameSink, type OutboxEvent, outboxMachine, STALL_MS_MAX } from "./outbox.ts";
import { Sequencer } from "./sequencer.ts";

/** A socket that a test fills and drains. */
class FakeSink implements FrameSink {
  readonly frames: Uint8Array[] = [];
  answer: "sent" | "queued" | "dropped" = "sent";
  closedWith: number | undefined;
  send(frame: Uint8Array): "sent" | "queued" | "dropped" {
    if (this.answer !== "dropped") this.frames.push(frame);
    return this.answer;
  }
  /** What the socket has held back after all sends of one `together()`. */
  afterwards: "sent" | "queued" = "sent";
  together(sends: () => void): "sent" | "queued" {
    sends();
    return this.afterwards;
  }
  close(code: number): void {
    this.closedWith = code;
  }
  get seqs(): number[] {
    return this.frames.map((frame) => (decodeFrame(frame).payload as { seq?: number }).seq ?? -1);
  }
}

class Bench {
  readonly log = new FakeLog();
  now = 1_000;
  readonly sequencer = new Sequencer({ log: this.log, firstSeq: 1, now: () => this.now, logger: QUIET });
  readonly firehose = new Firehose({
    log: this.log,
    sequencer: this.sequencer,
    backfillMs: 100,
    now: () => this.now,
  });
  #key = 0;
  async emit(count: number): Promise<void> {
    const events = Array.from({ length: count }, () =>
      pending("did:plc:a", String(++this.#key).padStart(9, "0")),
    );
    await this.sequencer.hand("did:plc:a", events);
  }
}
const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, at) => from + at);

describe("Firehose.subscribe()", () => {
  test("without a cursor gives live events only", async () => {
    const bench = new Bench();
    await bench.emit(3);
    const sink = new FakeSink();
    const outbox = bench.firehose.subscribe({ cursor: undefined, sink });
    await until(() => outbox?.state === "live");
    await bench.emit(2);
    expect(sink.seqs).toEqual([4, 5]);
  });

  test("with a cursor gives everything after it, then live events, without a gap or a double", async () => {
    const bench = new Bench();
    await bench.emit(1_200);
    const sink = new FakeSink();
    bench.firehose.subscribe({ cursor: 100, sink });
    for (let at = 0; at < 20; at++) await bench.emit(10);
    await until(() => sink.frames.length >= 1_300);
    expect(sink.seqs).toEqual(range(101, 1_400));
  });

  test("sends every subscriber the same bytes", async () => {
    const bench = new Bench();
    await bench.emit(5);
    const sinks = Array.from({ length: 10 }, () => new FakeSink());
    for (const [at, sink] of sinks.entries()) bench.firehose.subscribe({ cursor: at % 2 ? 0 : 2, sink });
    await bench.emit(5);
    await until(() => sinks.every((sink) => sink.seqs.at(-1) === 10));
    for (const sink of sinks) expect(sink.frames.slice(-8)).toEqual(sinks[0]?.frames.slice(-8) ?? []);
  });

  test("tells a subscriber of events that were removed before it could read them", async () => {
    const bench = new Bench();
    await bench.emit(1_200);
    const sink = new FakeSink();
    sink.answer = "queued";
    const outbox = bench.firehose.subscribe({ cursor: 100, sink });
    await until(() => outbox?.state === "stalled");
    bench.log.prune(600);
    sink.answer = "sent";
    outbox?.drained();
    await until(() => outbox?.state === "live");
    expect(sink.seqs).toEqual([101, -1, ...range(601, 1_200)]);
    expect(decodeFrame(sink.frames[1] ?? new Uint8Array())).toMatchObject({
      t: "#info",
      payload: { name: "OutdatedCursor" },
    });
  });

  test("refuses a cursor from the future with an error frame", async () => {
    const bench = new Bench();
    await bench.emit(2);
    const sink = new FakeSink();
    expect(bench.firehose.subscribe({ cursor: 3, sink })).toBeUndefined();
    expect(decodeFrame(sink.frames[0] ?? new Uint8Array())).toMatchObject({
      op: -1,
      payload: { error: "FutureCursor" },
    });
    expect(sink.closedWith).toBe(1008);
    expect(bench.firehose.subscribe({ cursor: 2, sink: new FakeSink() })).toBeDefined();
  });

  test("tells a cursor from before the window, and starts at the window", async () => {
    const bench = new Bench();
    await bench.emit(4);
    bench.now += 1_000;
    await bench.emit(3);
    const sink = new FakeSink();
    bench.firehose.subscribe({ cursor: 2, sink });
    await until(() => sink.frames.length === 4);
    expect(decodeFrame(sink.frames[0] ?? new Uint8Array())).toMatchObject({
      t: "#info",
      payload: { name: "OutdatedCursor" },
    });
    expect(sink.seqs.slice(1)).toEqual([5, 6, 7]);
  });

  test("tells a cursor whose next events were pruned, and says nothing to the cursor 0", async () => {
    const bench = new Bench();
    await bench.emit(6);
    bench.log.prune(3);
    const [outdated, zero, exact] = [new FakeSink(), new FakeSink(), new FakeSink()];
    bench.firehose.subscribe({ cursor: 2, sink: outdated });
    bench.firehose.subscribe({ cursor: 0, sink: zero });
    bench.firehose.subscribe({ cursor: 3, sink: exact });
    await until(() => [outdated, zero, exact].every((sink) => sink.seqs.at(-1) === 6));
    expect(outdated.seqs).toEqual([-1, 4, 5, 6]);
    expect(zero.seqs).toEqual([4, 5, 6]);
    expect(exact.seqs).toEqual([4, 5, 6]);
  });

  test("tells an outdated cursor also where nothing is left in the window", async () => {
    const bench = new Bench();
    await bench.emit(3);
    bench.now += 1_000;
    const sink = new FakeSink();
    const outbox = bench.firehose.subscribe({ cursor: 1, sink });
    await until(() => outbox?.state === "live");
    await bench.emit(1);
    expect(sink.seqs).toEqual([-1, 4]);
  });

  test("is refused past the bound of subscribers", () => {
    const bench = new Bench();
    for (let at = 0; at < SUBSCRIBERS_MAX; at++)
      bench.firehose.subscribe({ cursor: undefined, sink: new FakeSink() });
    expect(() => bench.firehose.assertRoom()).toThrow(`${SUBSCRIBERS_MAX} subscribers`);
  });
});

describe("a slow subscriber", () => {
  test("is not pushed to while its socket is full, and misses nothing when it drains", async () => {
    const bench = new Bench();
    const sink = new FakeSink();
    const outbox = bench.firehose.subscribe({ cursor: undefined, sink });
    await until(() => outbox?.state === "live");
    sink.answer = "queued";
    await bench.emit(1);
    expect(outbox?.state).toBe("stalled");
    await bench.emit(2_000);
    expect(sink.frames).toHaveLength(1);
    sink.answer = "sent";
    outbox?.drained();
    await until(() => sink.frames.length === 2_001);
    expect(sink.seqs).toEqual(range(1, 2_001));
    await until(() => outbox?.state === "live");
  });

  test("is not pushed to either where only all sends of a batch together filled its socket", async () => {
    const bench = new Bench();
    const sink = new FakeSink();
    const outbox = bench.firehose.subscribe({ cursor: undefined, sink });
    await until(() => outbox?.state === "live");
    sink.afterwards = "queued";
    await bench.emit(3);
    expect([outbox?.state, outbox?.cursor]).toEqual(["stalled", 3]);
    await bench.emit(2);
    expect(sink.seqs).toEqual(range(1, 3));
    sink.afterwards = "sent";
    outbox?.drained();
    await until(() => sink.frames.length === 5);
    expect(sink.seqs).toEqual(range(1, 5));
  });

  test("is told ConsumerTooSlow where the socket would drop a frame", async () => {
    const bench = new Bench();
    const sink = new FakeSink();
    const outbox = bench.firehose.subscribe({ cursor: undefined, sink });
    await until(() => outbox?.state === "live");
    sink.answer = "dropped";
    await bench.emit(1);
    expect(outbox?.state).toBe("closed");
    expect(sink.closedWith).toBe(1008);
    expect(bench.firehose.subscriberCount).toBe(0);
  });

  test("does not hold up the others", async () => {
    const bench = new Bench();
    const [slow, fast] = [new FakeSink(), new FakeSink()];
    const outboxes = [slow, fast].map((sink) => bench.firehose.subscribe({ cursor: undefined, sink }));
    await until(() => outboxes.every((outbox) => outbox?.state === "live"));
    slow.answer = "queued";
    await bench.emit(50);
    expect(fast.seqs).toEqual(range(1, 50));
  });
});

describe("outboxMachine", () => {
  const after = (...events: OutboxEvent[]): unknown => {
    let [snapshot] = initialTransition(outboxMachine);
    for (const event of events) [snapshot] = transition(outboxMachine, snapshot, event);
    return snapshot.value;
  };

  test.each([
    ["backfilling", []],
    ["backfilling", [{ type: "page" }]],
    ["live", [{ type: "caughtUp" }]],
    ["stalled", [{ type: "full" }]],
    ["stalled", [{ type: "caughtUp" }, { type: "full" }]],
    ["backfilling", [{ type: "caughtUp" }, { type: "full" }, { type: "drained" }]],
    ["live", [{ type: "caughtUp" }, { type: "drained" }]],
    ["closed", [{ type: "tooSlow" }]],
    ["closed", [{ type: "caughtUp" }, { type: "closed" }]],
  ] satisfies [string, OutboxEvent[]][])("is %s after %j", (state, events) => {
    expect(after(...events)).toBe(state);
  });

  test("ends a subscriber that does not drain in time", () => {
    const clock = new SimulatedClock();
    let refused = 0;
    const machine = outboxMachine.provide({
      actions: { sendPage: () => {}, release: () => {}, refuse: () => void refused++ },
    });
    const actor = createActor(machine, { clock }).start();
    actor.send({ type: "full" });
    clock.increment(STALL_MS_MAX);
    expect(actor.getSnapshot().value).toBe("closed");
    expect(refused).toBe(1);
  });
});

test("Firehose.stop() ends every stream and takes no more", async () => {
  const bench = new Bench();
  const sink = new FakeSink();
  bench.firehose.subscribe({ cursor: undefined, sink });
  bench.firehose.stop();
  expect(sink.closedWith).toBe(1012);
  try {
    bench.firehose.assertRoom();
    expect.unreachable();
  } catch (error) {
    expect(isKithError(error, "shutting_down")).toBe(true);
  }
});
