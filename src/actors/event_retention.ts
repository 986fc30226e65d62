/** Removes events from the log once they are old: a little at a time, so that nothing else waits for it. */
import type { Logger } from "../logger.ts";

/** Events are kept for so long, or for the backfill window where that is longer. */
export const RETENTION_MS = 7 * 24 * 3_600_000;
/** Rows removed in one turn of the event loop; a full step is followed soon by the next. */
export const PRUNE_ROWS_MAX = 200;
const LOOK_MS = 60_000;
const NEXT_STEP_MS = 100;

export interface RetentionOptions {
  readonly log: {
    /** Removes rows older than `before` (Unix ms), oldest first; returns how many. */
    prune(options: { before: number; rowsMax: number }): number;
  };
  /** How far back a cursor may reach, in milliseconds. */
  readonly backfillMs: number;
  readonly now: () => number;
  readonly logger: Logger;
}

export class EventRetention {
  readonly #options: RetentionOptions;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: RetentionOptions) {
    this.#options = options;
    this.#again(LOOK_MS);
  }

  /** One step. True where there may be more to remove. */
  step(): boolean {
    const { log, backfillMs, now, logger } = this.#options;
    try {
      const before = now() - Math.max(RETENTION_MS, backfillMs);
      return log.prune({ before, rowsMax: PRUNE_ROWS_MAX }) === PRUNE_ROWS_MAX;
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
