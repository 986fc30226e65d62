/** The firehose: every subscriber's outbox, and what a cursor means. com.atproto.sync.subscribeRepos */
import { errorFrame } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import type { Logger } from "../logger.ts";
import {
  type FrameSink,
  Outbox,
  type OutboxSource,
  outdatedCursor,
  PAGE_BYTES_MAX,
  PAGE_ROWS_MAX,
} from "./outbox.ts";
import type { SequencedFrame, Sequencer } from "./sequencer.ts";

/** Subscribers at a time by default; a PDS has a handful of relays. */
export const SUBSCRIBERS_MAX = 1_000;

/** The event log as subscribers read it; `storage` has it. */
export interface FirehoseLog {
  lastSeq(): number;
  /** The first seq of an event not older than `at` (Unix ms), or 0 where all are older. */
  firstSeqAt(at: number): number;
  /** The newest seq that retention has removed; 0 where none was. */
  prunedUpTo(): number;
  read(range: { after: number; upTo: number; rowsMax: number; bytesMax: number }): SequencedFrame[];
}

export interface FirehoseOptions {
  readonly log: FirehoseLog;
  readonly sequencer: Sequencer;
  /** How far back a cursor may reach, in milliseconds (PDS_REPO_BACKFILL_LIMIT_MS). */
  readonly backfillMs: number;
  /** `SUBSCRIBERS_MAX` where absent. */
  readonly subscribersMax?: number;
  readonly now: () => number;
  readonly logger?: Logger;
}

const CLOSE_POLICY = 1008;

export class Firehose {
  readonly #options: FirehoseOptions;
  readonly #outboxes = new Set<Outbox>();
  readonly #source: OutboxSource;
  readonly #unlisten: () => void;
  #stopping = false;

  constructor(options: FirehoseOptions) {
    this.#options = options;
    const { log, sequencer } = options;
    this.#source = {
      publishedSeq: () => sequencer.publishedSeq,
      prunedUpTo: () => log.prunedUpTo(),
      page: (after) =>
        log.read({ after, upTo: sequencer.publishedSeq, rowsMax: PAGE_ROWS_MAX, bytesMax: PAGE_BYTES_MAX }),
    };
    this.#unlisten = sequencer.onPublished((frames) => {
      for (const outbox of [...this.#outboxes]) outbox.push(frames);
    });
  }

  get subscriberCount(): number {
    return this.#outboxes.size;
  }

  /** Throws "busy" or "shutting_down" where no further subscriber can be served: asked before the upgrade. */
  assertRoom(): void {
    if (this.#stopping) throw new KithError("shutting_down", "Could not subscribe: the server is stopping");
    const { subscribersMax = SUBSCRIBERS_MAX } = this.#options;
    if (this.#outboxes.size < subscribersMax) return;
    throw new KithError("busy", `Could not subscribe: there are ${subscribersMax} subscribers already`);
  }

  /**
   * Starts a stream. No cursor: live events only. A cursor: every event after it, then live. A cursor from before the
   * backfill window: #info OutdatedCursor, then the window. A cursor from the future: a FutureCursor error frame and the
   * end; then there is no outbox.
   */
  subscribe(options: { cursor: number | undefined; sink: FrameSink }): Outbox | undefined {
    const { cursor, sink } = options;
    const published = this.#options.sequencer.publishedSeq;
    if (cursor !== undefined && cursor > published) {
      sink.send(
        errorFrame("FutureCursor", `The cursor ${cursor} is in the future: the newest event is ${published}`),
      );
      sink.close(CLOSE_POLICY, "FutureCursor");
      return undefined;
    }
    const after = cursor === undefined ? published : this.#startOf(cursor, sink);
    const outbox: Outbox = new Outbox({
      source: this.#source,
      sink,
      after,
      onClosed: () => void this.#outboxes.delete(outbox),
      onFailed: (error) =>
        this.#options.logger?.error("Could not read the event log for a subscriber", {
          after: outbox.cursor,
          error,
        }),
    });
    this.#outboxes.add(outbox);
    return outbox;
  }

  /** The seq after which to start; tells the subscriber where its cursor is too old. */
  #startOf(cursor: number, sink: FrameSink): number {
    const { log, backfillMs, now } = this.#options;
    const oldest = log.firstSeqAt(now() - backfillMs) || log.lastSeq() + 1;
    const before = log.read({ after: cursor, upTo: oldest - 1, rowsMax: 1, bytesMax: 1 });
    const outdated = before.length > 0 || cursor < log.prunedUpTo();
    if (!outdated) return cursor;
    if (cursor > 0) sink.send(outdatedCursor(cursor));
    return oldest - 1;
  }

  /** Ends every stream; subscribers come back with their cursors. */
  stop(): void {
    this.#stopping = true;
    this.#unlisten();
    for (const outbox of [...this.#outboxes]) outbox.shutDown();
  }
}
