/** Removes events from the log once they are old: a little at a time, so that nothing else waits for it. */
import { isKithError } from "../errors.ts";
import type { Logger } from "../logger.ts";

/** Rows, and bytes of frames, removed in one turn of the event loop; a full step is followed soon by the next. */
export const PRUNE_ROWS_MAX = 200;
export const PRUNE_BYTES_MAX = 1024 * 1024;
/** With so much in the log's WAL nothing is removed until it was checkpointed. */
export const PRUNE_WAL_BYTES_MAX = 16 * 1024 * 1024;
const LOOK_MS = 60_000;
const NEXT_STEP_MS = 100;
/** What lasts is told again after so long. */
const TELL_EVERY_MS = 60 * 60_000;
const DAY_MS = 24 * 60 * 60_000;

/** Events after `seq` that are not older than `notBefore` are kept: a backup still has to get them. */
export interface HeldEvents {
  readonly seq: number;
  /** Unix milliseconds. */
  readonly notBefore: number;
}

export interface RetentionOptions {
  readonly log: {
    /** Removes rows older than `before` (Unix ms), oldest first, up to `publishedUpTo` and up to the first that is held. */
    prune(options: {
      before: number;
      now: number;
      publishedUpTo: number;
      rowsMax: number;
      bytesMax: number;
      held?: HeldEvents;
    }): { upTo: number; isHeld: boolean; isMore: boolean };
    walBytes(): number;
  };
  readonly sequencer: {
    readonly publishedSeq: number;
    /** Has the log checkpointed where that is due. */
    relieve(): void;
  };
  /** For how long events are kept, in milliseconds. */
  readonly retentionMs: number;
  /** How far back a cursor may reach, in milliseconds: where that is longer, it is for that long. */
  readonly backfillMs: number;
  /** How much longer events are kept that a backup has not got yet. */
  readonly holdMs?: number;
  readonly now: () => number;
  readonly logger: Logger;
}

export class EventRetention {
  readonly #options: RetentionOptions;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #shippedUpTo: () => number | undefined = () => undefined;
  #toldHeldMs = Number.NEGATIVE_INFINITY;
  #toldLostMs = Number.NEGATIVE_INFINITY;

  constructor(options: RetentionOptions) {
    this.#options = options;
    this.#again(LOOK_MS);
  }

  /** From now on events are held that a backup has not got: those after the seq that this tells; undefined holds none. */
  holdFor(shippedUpTo: () => number | undefined): void {
    this.#shippedUpTo = shippedUpTo;
  }

  /** One step. True where there may be more to remove. */
  step(): boolean {
    const { log, sequencer, logger } = this.#options;
    try {
      sequencer.relieve();
      if (log.walBytes() >= PRUNE_WAL_BYTES_MAX) return true;
      return this.#prune();
    } catch (error) {
      // Its WAL is being restarted.
      if (isKithError(error, "busy")) return true;
      // Full: old events do no harm.
      logger.warn("Could not remove old events; trying again later", { error });
      return false;
    }
  }

  #prune(): boolean {
    const { log, sequencer, retentionMs, backfillMs, holdMs = 0 } = this.#options;
    const now = this.#options.now();
    const before = now - Math.max(retentionMs, backfillMs);
    const seq = this.#shippedUpTo();
    const { upTo, isHeld, isMore } = log.prune({
      ...{ before, now, publishedUpTo: sequencer.publishedSeq },
      ...{ rowsMax: PRUNE_ROWS_MAX, bytesMax: PRUNE_BYTES_MAX },
      ...(seq === undefined ? {} : { held: { seq, notBefore: before - holdMs } }),
    });
    if (seq !== undefined && isHeld) this.#tellHeld(seq);
    if (seq !== undefined && upTo > seq) this.#tellLost({ upTo, shippedUpTo: seq });
    return isMore;
  }

  #tellHeld(shippedUpTo: number): void {
    const { holdMs = 0, logger } = this.#options;
    if (performance.now() - this.#toldHeldMs < TELL_EVERY_MS) return;
    this.#toldHeldMs = performance.now();
    logger.warn("Events are kept for longer than they should be, as the backup has not got them", {
      shippedUpTo,
      forDaysMore: holdMs / DAY_MS,
    });
  }

  #tellLost(seqs: { upTo: number; shippedUpTo: number }): void {
    if (performance.now() - this.#toldLostMs < TELL_EVERY_MS) return;
    this.#toldLostMs = performance.now();
    this.#options.logger.error(
      "Events are removed that the backup has not got: it could not be reached for too long",
      {
        ...seqs,
        hint: "A restore would have a gap there. Take a snapshot as soon as the destination answers: it has every repo as it is.",
      },
    );
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #again(delayMs: number): void {
    this.#timer = setTimeout(() => this.#again(this.step() ? NEXT_STEP_MS : LOOK_MS), delayMs);
    this.#timer.unref?.();
  }
}
