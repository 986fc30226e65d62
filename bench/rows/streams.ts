/** The firehose: how late, to how many, and how fast from the beginning. */
import { type RowSet, sampleOf, USERS } from "../bench.ts";
import { createAccounts } from "../calls.ts";
import type { RowInfo } from "../rows.ts";
import { createRecordSpec } from "./writes.ts";

const SUBSCRIBERS = 50;
/** The reference looks for events less and less often, down to once a second. */
const PAUSE_MS = [100, 600] as const;
const IDLE_WRITES = 30;
const IDLE_SECONDS_MAX = 60;
const BELOW_2_MS = { kind: "at-most", value: 2 } as const;

const IDLE: RowInfo = {
  id: "firehose-idle",
  title: "firehose: answer to event after a pause, p99",
  unit: "ms",
  better: "lower",
  goal: BELOW_2_MS,
};

const BUSY: RowInfo = {
  id: "firehose-busy",
  title: `firehose: answer to event while ${USERS} users write, p99`,
  unit: "ms",
  better: "lower",
  goal: BELOW_2_MS,
  remark: "the client's own queue is in it",
};

const FAN_OUT: RowInfo = {
  id: "fan-out",
  title: `fan-out to ${SUBSCRIBERS} subscribers while ${USERS} users write`,
  unit: "events/s",
  better: "higher",
  goal: { kind: "times", atLeast: 10 },
};

const BACKFILL: RowInfo = {
  id: "backfill",
  title: "backfill from cursor 0",
  unit: "events/s",
  better: "higher",
  goal: { kind: "times", atLeast: 5 },
};

const idle: RowSet = {
  rows: [IDLE],
  warms: false,
  measure: async (bench, name) => {
    const peer = await bench.peer(name);
    const lanes = [[createRecordSpec((await bench.users(name))[0]!)]];
    const { port } = peer;
    const usage = await bench.using(peer, () =>
      bench.load.ask({
        kind: "delay",
        port,
        lanes,
        seconds: IDLE_SECONDS_MAX,
        writesMax: bench.scaled(IDLE_WRITES, 10),
        pauseMs: PAUSE_MS,
      }),
    );
    return { [IDLE.id]: sampleOf(usage.result.p99Ms, usage.result.events, usage) };
  },
};

const busy: RowSet = {
  rows: [BUSY],
  measure: async (bench, name) => {
    const peer = await bench.peer(name);
    const lanes = (await bench.users(name)).map((user) => [createRecordSpec(user)]);
    const { port } = peer;
    const usage = await bench.using(peer, () =>
      bench.load.ask({ kind: "delay", port, lanes, seconds: bench.seconds }),
    );
    return { [BUSY.id]: { ...sampleOf(usage.result.p99Ms, usage.result.events, usage) } };
  },
};

/** From the first write until the last subscriber has the last event. */
const fanOut: RowSet = {
  rows: [FAN_OUT],
  measure: async (bench, name) => {
    const peer = await bench.peer(name);
    const lanes = (await bench.users(name)).map((user) => [createRecordSpec(user)]);
    const { port } = peer;
    await bench.subscribers.ask({ kind: "subscribe", port, subscribers: SUBSCRIBERS });
    const usage = await bench.using(peer, async () => {
      const { requests } = await bench.load.ask({ kind: "load", port, lanes, seconds: bench.seconds });
      await bench.subscribers.ask({ kind: "await-events", each: requests });
      return requests;
    });
    const delivered = usage.result * SUBSCRIBERS;
    return { [FAN_OUT.id]: sampleOf((delivered * 1000) / usage.wallMs, delivered, usage) };
  },
};

/** A server of its own, so that both have the same events: those of the accounts' births and of single writes. */
const backfill: RowSet = {
  rows: [BACKFILL],
  measure: async (bench, name) => {
    const { peer, untilSeq } = await bench.once(`backfill ${name}`, async () => {
      const own = await bench.launchUntilEnd(name);
      const { port } = own;
      const lanes = (await createAccounts(own.url, "user", USERS)).map((user) => [createRecordSpec(user)]);
      const requestsMax = bench.scaled(4_000, 1_000);
      await bench.load.ask({ kind: "load", port, lanes, seconds: 600, requestsMax });
      const write = lanes[0]![0]!;
      return { peer: own, untilSeq: await bench.load.ask({ kind: "newest-seq", port, write }) };
    });
    const { port } = peer;
    const usage = await bench.using(peer, () =>
      bench.load.ask({ kind: "backfill", port, untilSeq, seconds: bench.seconds }),
    );
    return {
      [BACKFILL.id]: sampleOf(usage.result.events / usage.result.seconds, usage.result.events, usage),
    };
  },
};

export const STREAMS: readonly RowSet[] = [idle, busy, fanOut, backfill];
