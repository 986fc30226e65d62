/** Does the jobs, in the load generator's process. */
import { percentile } from "../stats.ts";
import { revOf, seqOf } from "./frame_reader.ts";
import type {
  AwaitEventsJob,
  BackfillJob,
  DelayJob,
  DelayResult,
  LoadJob,
  LoadResult,
  NewestSeqJob,
  StreamResult,
  SubscribeJob,
} from "./jobs.ts";
import { type Lane, openLanes } from "./lane.ts";
import { prepareRequest } from "./request_bytes.ts";
import { Subscriber } from "./subscriber.ts";

export async function runLoad({
  port,
  lanes: specs,
  seconds,
  requestsMax = Infinity,
}: LoadJob): Promise<LoadResult> {
  const lanes = await openLanes(
    port,
    specs.map((requests) => requests.map(prepareRequest)),
  );
  const latencies: number[] = [];
  let left = requestsMax;
  let bodyBytes = 0;
  const began = performance.now();
  const deadline = began + seconds * 1000;
  const run = async (lane: Lane): Promise<void> => {
    for (let sent = performance.now(); sent < deadline && left > 0; ) {
      left--;
      const end = await lane.send();
      const now = performance.now();
      bodyBytes += end.bodyBytes;
      latencies.push(now - sent);
      sent = now;
    }
  };
  try {
    await Promise.all(lanes.map(run));
  } finally {
    for (const lane of lanes) lane.close();
  }
  return {
    requests: latencies.length,
    seconds: (performance.now() - began) / 1000,
    bodyBytes,
    p50Ms: percentile(latencies, 0.5),
    p99Ms: percentile(latencies, 0.99),
  };
}

/** The subscribers of this process, from subscribe() to awaitEvents(). */
let subscription:
  | { subscribers: Subscriber[]; counts: number[]; failed: Error | undefined; look(): void }
  | undefined;

export async function subscribe({ port, subscribers: count, cursor }: SubscribeJob): Promise<null> {
  const state: NonNullable<typeof subscription> = {
    subscribers: [],
    counts: Array.from({ length: count }, () => 0),
    failed: undefined,
    look: () => {},
  };
  subscription = state;
  state.subscribers = await Promise.all(
    state.counts.map((_, at) =>
      Subscriber.open({
        port,
        cursor,
        onEvent: () => {
          state.counts[at]! += 1;
          state.look();
        },
        onFailed: (error) => {
          state.failed ??= error;
          state.look();
        },
      }),
    ),
  );
  return null;
}

export async function awaitEvents({ each }: AwaitEventsJob): Promise<null> {
  const state = subscription;
  if (!state) throw new Error("Nobody has subscribed");
  await new Promise<void>((resolve, reject) => {
    state.look = () => {
      if (state.failed) reject(state.failed);
      else if (state.counts.every((count) => count >= each)) resolve();
    };
    state.look();
  });
  for (const subscriber of state.subscribers) subscriber.close();
  subscription = undefined;
  return null;
}

export async function newestSeq({ port, write }: NewestSeqJob): Promise<number> {
  const found = Promise.withResolvers<number>();
  const subscriber = await Subscriber.open({
    port,
    keepEvents: true,
    onEvent: (frame) => found.resolve(seqOf(frame) ?? 0),
    onFailed: found.reject,
  });
  const [lane] = await openLanes(port, [[prepareRequest(write)]]);
  await lane?.send();
  const seq = await found.promise;
  lane?.close();
  subscriber.close();
  return seq;
}

export async function backfill({ port, untilSeq, seconds }: BackfillJob): Promise<StreamResult> {
  const total = { events: 0, seconds: 0, bytes: 0 };
  while (total.seconds < seconds) {
    const done = Promise.withResolvers<void>();
    const began = performance.now();
    const subscriber = await Subscriber.open({
      port,
      cursor: 0,
      keepEvents: true,
      onEvent: (frame) => {
        total.events++;
        if ((seqOf(frame) ?? 0) >= untilSeq) done.resolve();
      },
      onFailed: done.reject,
    });
    await done.promise;
    total.seconds += (performance.now() - began) / 1000;
    total.bytes += subscriber.bytes;
    subscriber.close();
  }
  return total;
}

const REV_IN_ANSWER = /"rev":"([2-7a-z]{13})"/;

/** Pairs each answer with its event by the rev; an event that comes first is 0 ms late. */
export async function measureDelay(job: DelayJob): Promise<DelayResult> {
  const { port, seconds, writesMax = Infinity, pauseMs } = job;
  const eventAt = new Map<string, number>();
  const answers: { rev: string; at: number }[] = [];
  const failed = Promise.withResolvers<never>();
  const subscriber = await Subscriber.open({
    port,
    keepEvents: true,
    onEvent: (frame) => {
      const rev = revOf(frame);
      if (rev !== undefined) eventAt.set(rev, performance.now());
    },
    onFailed: failed.reject,
  });
  const prepared = job.lanes.map((requests) => requests.map(prepareRequest));
  const lanes = await openLanes(port, prepared, { keepBodies: true });
  const deadline = performance.now() + seconds * 1000;
  let left = writesMax;
  const run = async (lane: Lane): Promise<void> => {
    while (performance.now() < deadline && left > 0) {
      left--;
      if (pauseMs) await Bun.sleep(pauseMs[0] + Math.random() * (pauseMs[1] - pauseMs[0]));
      const { body } = await lane.send();
      const at = performance.now();
      const rev = REV_IN_ANSWER.exec(body.toString("latin1"))?.[1];
      if (rev === undefined) throw new Error(`A write's answer has no rev: ${body}`);
      answers.push({ rev, at });
    }
  };
  await Promise.race([failed.promise, Promise.all(lanes.map(run))]);
  const waitedFor = performance.now() + 10_000;
  while (answers.some(({ rev }) => !eventAt.has(rev))) {
    if (performance.now() > waitedFor) throw new Error("Not every write came by on the firehose");
    await Bun.sleep(1);
  }
  for (const lane of lanes) lane.close();
  subscriber.close();
  const delays = answers.map(({ rev, at }) => Math.max(0, eventAt.get(rev)! - at));
  return {
    events: delays.length,
    p50Ms: percentile(delays, 0.5),
    p99Ms: percentile(delays, 0.99),
    maxMs: Math.max(...delays),
  };
}
