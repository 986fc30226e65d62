/** Removes events from the log once they are old: a little at a time, so that nothing else waits for it. */
import type { Logger } from "../logger.ts";

/** Rows removed in one turn of the event loop; a full step is followed soon by the next. */
export const PRUNE_ROWS_MAX = 200;
const LOOK_MS = 60_000;
const NEXT_STEP_MS = 100;

/** Events after `seq` that are not older than `notBefore` are kept: a backup still has to get them. */
export interface HeldEvents {
  readonly seq: number;
  /** Unix milliseconds. */
  readonly notBefore: number;
}

export interface RetentionOptions {
  readonly log: {
    /** Removes rows older than `before` (Unix ms), oldest first, up to the first that is held; returns how many. */
    prune(options: { before: number; now: number; rowsMax: number; held?: HeldEvents }): number;
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
    const { log, retentionMs, backfillMs, holdMs = 0, logger } = this.#options;
    try {
      const now = this.#options.now();
      const before = now - Math.max(retentionMs, backfillMs);
      const seq = this.#shippedUpTo();
      const held = seq === undefined ? {} : { held: { seq, notBefore: before - holdMs } };
      return log.prune({ before, now, rowsMax: PRUNE_ROWS_MAX, ...held }) === PRUNE_ROWS_MAX;
    } catch (error) {
      // Full, or its WAL is being restarted: old events do no harm.
      logger.warn("Could not remove old events; trying again later", { error });
      return false;
    }
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #again(delayMs: number): void {
    this.#timer = setTimeout(() => this.#again(this.step() ? NEXT_STEP_MS : LOOK_MS), delayMs);
    this.#timer.unref?.();
  }
}
