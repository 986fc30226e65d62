/**
 * Counts requests as they are answered. It is in the way of every request, so it does nothing but add to plain numbers; and what a
 * caller sends makes no new counter: methods are those of the server, statuses those of the list.
 */

/** What is counted by a name of its own, where no method of ours is called. */
export type OtherRequest = "passed_on" | "page" | "other";
/** Requests of one kind have one histogram. */
export const REQUEST_KINDS = ["call", "passed_on", "page", "other"] as const;
export type RequestKind = (typeof REQUEST_KINDS)[number];

export interface CountedRequest {
  /** What a call names as its method; undefined where it is no call. */
  readonly nsid: string | undefined;
  readonly isPage: boolean;
  readonly status: number;
  /** Until the headers of the answer were ready. */
  readonly ms: number;
}

/** Statuses that are counted each for itself. */
const STATUSES = [
  ...[101, 200, 204, 206, 302, 303, 304, 400, 401, 403, 404, 405, 409, 413, 415, 416, 426, 429],
  ...[500, 501, 502, 503, 504],
];
const CLASSES = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"];
/** The labels; a status that is not listed counts for its class. */
export const STATUS_LABELS: readonly string[] = [...STATUSES.map(String), ...CLASSES];
const STATUS_MAX = 600;
const SLOTS = Uint8Array.from({ length: STATUS_MAX }, (_, status) => {
  const own = STATUSES.indexOf(status);
  if (own !== -1) return own;
  const ofClass = CLASSES.indexOf(`${Math.floor(status / 100)}xx`);
  return STATUSES.length + (ofClass === -1 ? CLASSES.length - 1 : ofClass);
});
const LAST_SLOT = STATUS_LABELS.length - 1;

/** Upper ends of the histogram's buckets, in seconds. */
export const BUCKETS_S: readonly number[] = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];
const BUCKETS_MS = BUCKETS_S.map((seconds) => seconds * 1_000);

class Timings {
  /** One for each bucket, and one for what took longer. */
  readonly counts = new Float64Array(BUCKETS_MS.length + 1);
  sumMs = 0;

  add(ms: number): void {
    let at = 0;
    // A request that takes a second has more to do than this.
    while (at < BUCKETS_MS.length && ms > (BUCKETS_MS[at] as number)) at++;
    (this.counts[at] as number)++;
    this.sumMs += ms;
  }
}

export class RequestCounts {
  readonly #calls: ReadonlyMap<string, Float64Array>;
  readonly #others: Readonly<Record<OtherRequest, Float64Array>>;
  readonly #timings: Readonly<Record<RequestKind, Timings>>;

  /** `nsids`: the methods that are counted each for itself. */
  constructor(nsids: Iterable<string>) {
    this.#calls = new Map([...nsids].map((nsid) => [nsid, newCounts()]));
    this.#others = { passed_on: newCounts(), page: newCounts(), other: newCounts() };
    this.#timings = {
      call: new Timings(),
      passed_on: new Timings(),
      page: new Timings(),
      other: new Timings(),
    };
  }

  count({ nsid, isPage, status, ms }: CountedRequest): void {
    const call = nsid === undefined ? undefined : this.#calls.get(nsid);
    const other = nsid !== undefined ? "passed_on" : isPage ? "page" : "other";
    const slot = status >= 0 && status < STATUS_MAX ? (SLOTS[status] as number) : LAST_SLOT;
    ((call ?? this.#others[other])[slot] as number)++;
    this.#timings[call === undefined ? other : "call"].add(ms);
  }

  /** Counters that are above 0: the method or kind, the status, the number. */
  *all(): Iterable<readonly [method: string, status: string, count: number]> {
    for (const [method, counts] of [...this.#calls, ...Object.entries(this.#others)]) {
      for (const [slot, count] of counts.entries()) {
        if (count > 0) yield [method, STATUS_LABELS[slot] ?? "other", count];
      }
    }
  }

  /** Of one kind: how many were in each bucket, those that took longer last; and all their time, in seconds. */
  timings(kind: RequestKind): { readonly counts: readonly number[]; readonly sumS: number } {
    const { counts, sumMs } = this.#timings[kind];
    return { counts: [...counts], sumS: sumMs / 1_000 };
  }
}

function newCounts(): Float64Array {
  return new Float64Array(STATUS_LABELS.length);
}
