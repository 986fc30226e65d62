/** Many subscribers, and one that does not read. */
import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { createAccount, createRecord, post } from "../client.ts";
import { decodeFrame, Firehose } from "../firehose.ts";
import { TestServer } from "../harness.ts";
import { waitFor } from "../wait.ts";
import { applyCreates, inParallel, scaled, signUp } from "./load.ts";
import { RawSubscriber } from "./raw_subscriber.ts";

const LIMIT_MS = 300_000;
const WAIT_MS = 120_000;

test(
  "100 subscribers over 1,000 writes get the same bytes",
  async () => {
    await using server = await TestServer.start();
    const accounts = await Promise.all(Array.from({ length: 8 }, (_, i) => signUp(server.url, `user${i}`)));
    const subscribers = await Promise.all(
      Array.from({ length: scaled(100) }, async () => {
        const hash = createHash("sha256");
        const state = { count: 0, lastSeq: 0, hash };
        const firehose = await Firehose.connect(server.url, {
          cursor: 0,
          keep: false,
          onEvent: (event) => {
            state.count += 1;
            state.lastSeq = event.seq;
            hash.update(event.frame);
          },
        });
        return { firehose, state };
      }),
    );
    const writes = Array.from(
      { length: scaled(1_000) },
      (_, i) => () =>
        createRecord(server.url, accounts[i % accounts.length]!, { record: post(`to all ${i}`) }),
    );
    await inParallel(16, writes);
    const expected = writes.length + accounts.length * 4;
    await waitFor(
      "all to have all",
      () => subscribers.every(({ state }) => state.count >= expected),
      WAIT_MS,
    );
    for (const { firehose } of subscribers) {
      firehose.assertClean();
      expect(firehose.closed).toBeUndefined();
      firehose[Symbol.dispose]();
    }
    expect(new Set(subscribers.map(({ state }) => state.count))).toEqual(new Set([expected]));
    expect(new Set(subscribers.map(({ state }) => state.hash.digest("hex"))).size).toBe(1);
  },
  LIMIT_MS,
);

/** More than the kernel's socket buffers and the server's own together can hold. */
const STALL_BYTES = scaled(64) * 1024 * 1024;
/** What the one that does not read may cost, beyond what the same load costs without it. */
const STALL_COST_BYTES_MAX = 40 * 1024 * 1024;
const RECORD_BYTES = 40_000;

test(
  "a subscriber that stops reading costs bounded memory, and misses nothing when it goes on",
  async () => {
    await using server = await TestServer.start();
    const alice = await createAccount(server.url, "alice");
    using fast = await Firehose.connect(server.url, { cursor: 0 });
    const $type = "dev.kith.test.stall";
    const produce = async (bytes: number) => {
      const from = fast.events.length;
      const commits = Math.ceil(bytes / (10 * RECORD_BYTES));
      for (let i = 0; i < commits; i += 1)
        await applyCreates(
          server.url,
          alice,
          Array.from({ length: 10 }, (_, n) => ({ $type, i, n, text: "x".repeat(RECORD_BYTES) })),
        );
      await waitFor("the fast reader", () => fast.events.length >= from + commits, WAIT_MS);
    };
    await produce(STALL_BYTES);
    const before = server.memory();
    await produce(STALL_BYTES);
    const usual = server.memory() - before;

    const stalledAt = fast.lastSeq;
    const since = () => fast.events.map((event) => event.seq).filter((seq) => seq > stalledAt);
    using slow = await RawSubscriber.connect(server.port, stalledAt);
    slow.pause();
    const beforeStall = server.memory();
    await produce(STALL_BYTES);
    const cost = server.memory() - beforeStall;
    console.log(
      `the same load: ${(usual / 1e6).toFixed(0)} MB without, ${(cost / 1e6).toFixed(0)} MB with a stalled reader`,
    );
    expect(cost).toBeLessThan(Math.max(usual, 0) + STALL_COST_BYTES_MAX);

    slow.resume();
    const received = slow.frames;
    const lastOf = () => decodeFrame(received.at(-1) ?? new Uint8Array()).event?.seq;
    await waitFor(
      "the slow reader to catch up or to be told",
      () => slow.ended || (received.length > 0 && lastOf() === fast.lastSeq),
      WAIT_MS,
    );
    const seqs = received.flatMap((frame) => decodeFrame(frame).event?.seq ?? []);
    const expected = since();
    // in order and without a gap as far as it came, and a cursor gives the rest
    expect(seqs).toEqual(expected.slice(0, seqs.length));
    if (slow.ended) expect(decodeFrame(received.at(-1)!).error?.error).toBe("ConsumerTooSlow");
    using resumed = await Firehose.connect(server.url, { cursor: seqs.at(-1) ?? stalledAt });
    await applyCreates(server.url, alice, [{ $type, text: "the end" }]);
    await waitFor(
      "the rest",
      () => resumed.lastSeq === fast.lastSeq && fast.lastSeq > (expected.at(-1) ?? 0),
      WAIT_MS,
    );
    expect([...seqs, ...resumed.events.map((event) => event.seq)]).toEqual(since());
    resumed.assertClean();
    fast.assertClean();
  },
  LIMIT_MS,
);
