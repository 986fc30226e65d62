import { isKithError } from "../errors.ts";
import type { Logger } from "../logger.ts";

/** Accounts deleted in one run, and the least time between two runs while there are more. */
export const SWEEP_ACCOUNTS_MAX = 50;
export const SWEEP_PAUSE_MS = 1_000;
/** After a run in which an account could not be deleted. */
export const SWEEP_RETRY_MS = 60_000;
/** Accounts that are remembered as held back, so that it is told once. */
const HELD_BACK_MAX = 1_000;
/** The longest that a timer is set for; `setTimeout` overflows beyond 24 days. */
const TIMER_MS_MAX = 24 * 3_600_000;

export interface DeletionSweepOptions {
  readonly accounts: {
    /** Deactivated accounts in the order of their end (milliseconds since 1970), `limit` at most. */
    endingAccounts(limit: number): readonly { readonly did: string; readonly deleteAfter: number }[];
  };
  readonly repos: {
    /** Throws where the status is none of `from` in the repo's turn. */
    deleteRepo(did: string, options: { from: readonly ["deactivated"] }): Promise<unknown>;
  };
  readonly logger: Logger;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** Deletes deactivated accounts once the time has come that their owners named: a bounded number at a time. */
export class DeletionSweep {
  readonly #options: DeletionSweepOptions;
  readonly #now: () => number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #run: Promise<void> | undefined;
  #stopped = false;
  readonly #heldBack = new Set<string>();

  constructor(options: DeletionSweepOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** Waits for the next end there is; to be called at the start, and when an account has got one. */
  plan(): void {
    if (this.#run === undefined) this.#wait(0);
  }

  /** Ends it; resolves when a run that is on its way is over. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#run;
  }

  #wait(leastMs: number): void {
    clearTimeout(this.#timer);
    const next = this.#stopped ? undefined : this.#options.accounts.endingAccounts(1)[0];
    if (next === undefined) return;
    const ms = Math.max(leastMs, next.deleteAfter - this.#now());
    this.#timer = setTimeout(() => this.#start(), Math.min(ms, TIMER_MS_MAX));
    // An end in a week must not keep the process from ending.
    this.#timer.unref?.();
  }

  #start(): void {
    this.#run = this.#sweep()
      .catch((error: unknown) => {
        this.#options.logger.error("Could not look for accounts whose time has come", { error });
        return SWEEP_RETRY_MS;
      })
      .then((leastMs) => {
        this.#run = undefined;
        this.#wait(leastMs);
      });
  }

  /** It stays until its community has another owner; that is told once. */
  #holdBack(did: string, error: unknown): void {
    if (this.#heldBack.has(did)) return;
    if (this.#heldBack.size >= HELD_BACK_MAX) this.#heldBack.clear();
    this.#heldBack.add(did);
    this.#options.logger.warn("A deactivated account whose time has come stays: it is a last owner", {
      did,
      error,
    });
  }

  /** One after the other. Resolves with the pause that is due before the next run. */
  async #sweep(): Promise<number> {
    const { accounts, repos, logger } = this.#options;
    let pauseMs = SWEEP_PAUSE_MS;
    // Those who stay are the oldest, and must not keep the others from their turn.
    const limit = SWEEP_ACCOUNTS_MAX + this.#heldBack.size;
    for (const { did, deleteAfter } of accounts.endingAccounts(limit)) {
      if (this.#stopped || deleteAfter > this.#now()) break;
      try {
        await repos.deleteRepo(did, { from: ["deactivated"] });
        this.#heldBack.delete(did);
        logger.info("Deleted a deactivated account, whose time had come", { did });
      } catch (error) {
        pauseMs = SWEEP_RETRY_MS;
        // It has just been activated again.
        if (isKithError(error, "invalid_request")) continue;
        if (isKithError(error, "last_owner")) {
          this.#holdBack(did, error);
          continue;
        }
        logger.warn("Could not delete a deactivated account; trying again later", { did, error });
      }
    }
    return pauseMs;
  }
}
