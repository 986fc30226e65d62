/** What the load generator is asked for, as it crosses between the two processes. */

/** One request of a lane. A lane sends its requests in a circle. */
export interface RequestSpec {
  readonly method: "GET" | "POST";
  /** With its query. */
  readonly path: string;
  readonly token?: string;
  /** JSON; each COUNT_MARK in it becomes a number that was never sent before. */
  readonly json?: string;
  /** A body that begins as a PNG does, differs each time, and has so many bytes. */
  readonly imageBytes?: number;
}

/** Stands in a body for a number of its own; as long as that number. */
export const COUNT_MARK = "#".repeat(12);

/** Closed loop: each lane has a connection of its own and sends its next request when it has the answer. */
export interface LoadJob {
  readonly kind: "load";
  readonly port: number;
  readonly lanes: readonly (readonly RequestSpec[])[];
  /** Ends after so long, or after so many requests, whichever comes first. */
  readonly seconds: number;
  readonly requestsMax?: number;
}

export interface LoadResult {
  readonly requests: number;
  /** From the first request to the last answer. */
  readonly seconds: number;
  readonly bodyBytes: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Subscribers of the firehose, from now on or from a cursor on. */
export interface SubscribeJob {
  readonly kind: "subscribe";
  readonly port: number;
  readonly subscribers: number;
  readonly cursor?: number;
}

/** Resolves when each subscriber has had so many events; they are closed then. */
export interface AwaitEventsJob {
  readonly kind: "await-events";
  readonly each: number;
}

/** Writes something and tells the seq of its event: where a backfill ends. */
export interface NewestSeqJob {
  readonly kind: "newest-seq";
  readonly port: number;
  readonly write: RequestSpec;
}

/** Reads the firehose from the beginning to the event of this seq, again and again for so long. */
export interface BackfillJob {
  readonly kind: "backfill";
  readonly port: number;
  readonly untilSeq: number;
  readonly seconds: number;
}

/** What all the readings took, from each connection on. */
export interface StreamResult {
  readonly events: number;
  readonly seconds: number;
  readonly bytes: number;
}

/** How long after the answer to a write its event comes. */
export interface DelayJob {
  readonly kind: "delay";
  readonly port: number;
  readonly lanes: readonly (readonly RequestSpec[])[];
  readonly seconds: number;
  readonly writesMax?: number;
  /** Each lane waits so long before a write: at random between the two. */
  readonly pauseMs?: readonly [number, number];
}

export interface DelayResult {
  readonly events: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export type Job = LoadJob | SubscribeJob | AwaitEventsJob | NewestSeqJob | BackfillJob | DelayJob;

export interface JobResults {
  readonly load: LoadResult;
  readonly subscribe: null;
  readonly "await-events": null;
  readonly "newest-seq": number;
  readonly backfill: StreamResult;
  readonly delay: DelayResult;
}

export interface Question {
  readonly id: number;
  readonly job: Job;
}

export interface Reply {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}
