import { type EventBody, identityEvent } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import type { Logger } from "../logger.ts";
import type { PendingEvent } from "../storage/mod.ts";
import type { FirehoseLog } from "./firehose.ts";
import type { LogRow, SequencedFrame, SequencerLog } from "./sequencer.ts";

/** An event log in memory whose disk a test holds in its hand. */
export class FakeLog implements SequencerLog, FirehoseLog {
  readonly rows: LogRow[] = [];
  readonly #waiters: (() => void)[] = [];
  readonly #keys = new Map<string, string>();
  /** False: `durable()` waits for `flush()`. */
  diskAnswers = true;
  full = false;
  pruned = 0;
  /** As told with the last append. */
  publishedUpTo: number | undefined;

  lastSeq(): number {
    return this.rows.at(-1)?.seq ?? 0;
  }
  lastKey(did: string): string | undefined {
    return this.#keys.get(did);
  }
  append(rows: readonly LogRow[], publishedUpTo?: number): void {
    if (this.full) throw new KithError("storage_full", "no room");
    this.publishedUpTo = publishedUpTo;
    for (const row of rows) {
      this.rows.push(row);
      this.#keys.set(row.did, row.key);
    }
  }
  dropUnkept(): number {
    return 0;
  }
  durable(): Promise<void> {
    return this.diskAnswers ? Promise.resolve() : new Promise((resolve) => this.#waiters.push(resolve));
  }
  flush(): void {
    for (const release of this.#waiters.splice(0)) release();
  }
  walBytes(): number {
    return 0;
  }
  async checkpoint(): Promise<boolean> {
    return true;
  }
  firstSeqAt(at: number): number {
    return this.rows.find((row) => row.at >= at)?.seq ?? 0;
  }
  prunedUpTo(): number {
    return this.pruned;
  }
  prune(upTo: number): void {
    this.pruned = upTo;
    this.rows.splice(0, this.rows.findLastIndex((row) => row.seq <= upTo) + 1);
  }
  read({ after, upTo, rowsMax }: { after: number; upTo: number; rowsMax: number }): SequencedFrame[] {
    return this.rows.filter(({ seq }) => seq > after && seq <= upTo).slice(0, rowsMax);
  }
}

/** A pending event with a key. */
export function pending(did: string, key: string): PendingEvent {
  const body: EventBody = identityEvent({ did, time: "2026-01-01T00:00:00.000Z" });
  return { key, kind: body.kind, before: body.before, after: body.after };
}

export const QUIET: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => QUIET,
};

/** Resolves once `condition` holds; looks again at each turn of the event loop. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}
