/**
 * Removes blobs that nobody will miss, a little at a time. A look takes one of the accounts that are noted for it, and
 * drops the uploads that no record has come to refer to. A walk goes over all accounts, page by page and over restarts,
 * and removes files that have no row: what a crash, or a bucket that was down, has left. Whether a blob may go is
 * decided in the turn of its repo, never here.
 */
import type { Cid } from "../atproto/mod.ts";
import { isKithError, type KithError } from "../errors.ts";
import type { Logger } from "../logger.ts";
import type { BlobSweep } from "./repo_types.ts";

/** Accounts of one step, of either kind. */
export const STEP_ACCOUNTS_MAX = 20;
/** Blobs dropped in one turn of a repo, and files compared at a time. */
export const SWEEP_BLOBS_MAX = 500;
/** A deactivated account may be moving in: its blobs come long before its records may, so they are kept so long at least. */
export const MOVING_LIFETIME_MS = 30 * 86_400_000;
/** A walk begins so long after the one before has ended. */
export const WALK_EVERY_MS = 7 * 86_400_000;
/** How often it looks what is due, at most and at least. */
const LOOK_MS_MAX = 60_000;
const LOOK_MS_MIN = 250;
/** After a look that failed. */
const RETRY_MS = 10 * 60_000;

interface SweptAccount {
  readonly did: string;
  readonly state: string;
}

export interface BlobSweeperOptions {
  readonly looks: {
    due(now: number, limit: number): readonly string[];
    look(did: string, run: () => Promise<number | undefined>): Promise<void>;
    note(did: string, lookAt: number): Promise<void>;
    walk(): { readonly cursor: string | undefined; readonly nextAt: number };
    moveWalk(walk: { cursor: string | undefined; nextAt: number }): Promise<void>;
  };
  readonly accounts: {
    account(did: string): SweptAccount | undefined;
    listAccounts(page: { cursor?: string; limit: number }): {
      readonly accounts: readonly SweptAccount[];
      readonly cursor?: string;
    };
  };
  readonly repos: {
    sweepBlobs(did: string, sweep: { olderThan: number; limit: number }): Promise<BlobSweep>;
    removeStrays(did: string, cids: readonly Cid[]): Promise<number>;
    /** Runs `remove` while nobody moves in under the DID. False where it was not run. */
    removeRemains(did: string, remove: () => Promise<void>): Promise<boolean>;
  };
  readonly blobs: {
    list(
      did: string,
      page: { limit: number; after?: string },
    ): Promise<readonly { readonly cid: Cid; readonly name: string; readonly storedAt: number }[]>;
    /** Throws where it could not: what is left is looked for again. */
    removeAll(did: string): Promise<void>;
  };
  /** How long a blob is kept that no record refers to. */
  readonly lifetimeMs: number;
  readonly now: () => number;
  readonly logger: Logger;
}

export class BlobSweeper {
  readonly #options: BlobSweeperOptions;
  readonly #everyMs: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #running: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: BlobSweeperOptions) {
    this.#options = options;
    this.#everyMs = Math.min(LOOK_MS_MAX, Math.max(LOOK_MS_MIN, options.lifetimeMs / 10));
    this.#again();
  }

  #again(): void {
    if (this.#stopped) return;
    this.#timer = setTimeout(() => {
      this.#running = this.step().finally(() => this.#again());
    }, this.#everyMs);
    this.#timer.unref?.();
  }

  /** Resolves when the step that is under way has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  /** Looks at some accounts that are due, and takes the walk a page further. Never rejects. */
  async step(): Promise<void> {
    const { looks, now, logger } = this.#options;
    try {
      for (const did of looks.due(now(), STEP_ACCOUNTS_MAX)) {
        if (this.#stopped) return;
        await this.#look(did);
      }
      await this.#walk();
    } catch (error) {
      if (!this.#stopped) logger.warn("Could not sweep blobs; trying again later", { error });
    }
  }

  async #look(did: string): Promise<void> {
    const { looks, now, logger } = this.#options;
    try {
      await looks.look(did, () => this.#nextLook(did));
    } catch (error) {
      if (this.#stopped || isKithError(error, "shutting_down")) return;
      logger.warn("Could not sweep the blobs of an account; trying again later", { did, error });
      await looks.note(did, now() + RETRY_MS);
    }
  }

  /** Sweeps the account; when to look again, or undefined where nothing is left. */
  async #nextLook(did: string): Promise<number | undefined> {
    const { accounts, repos, blobs, lifetimeMs, now } = this.#options;
    const state = accounts.account(did)?.state;
    if (state === "creating" || state === "deleting") return now() + lifetimeMs;
    if (state === undefined || state === "deleted") {
      const isDone = await repos.removeRemains(did, () => blobs.removeAll(did));
      return isDone ? undefined : now() + RETRY_MS;
    }
    const keepMs = state === "deactivated" ? Math.max(lifetimeMs, MOVING_LIFETIME_MS) : lifetimeMs;
    const { removed, oldestLeft } = await repos.sweepBlobs(did, {
      olderThan: now() - keepMs,
      limit: SWEEP_BLOBS_MAX,
    });
    if (oldestLeft === undefined) return undefined;
    if (removed === SWEEP_BLOBS_MAX) return now();
    // A deactivated account may be active, and its blobs due, long before their time.
    return Math.max(now() + this.#everyMs, Math.min(oldestLeft + keepMs, now() + lifetimeMs));
  }

  async #walk(): Promise<void> {
    const { looks, accounts, now, lifetimeMs, logger } = this.#options;
    const { cursor, nextAt } = looks.walk();
    if (nextAt > now()) return;
    const page = accounts.listAccounts({
      limit: STEP_ACCOUNTS_MAX,
      ...(cursor === undefined ? {} : { cursor }),
    });
    for (const { did, state } of page.accounts) {
      if (this.#stopped) return;
      // One that moves in may do so over the very bucket in which its blobs are already.
      if (state === "deactivated") continue;
      try {
        await this.#walkAccount(did);
      } catch (error) {
        if (isKithError(error, "shutting_down")) return;
        if (isBucketFailure(error)) throw error;
        logger.warn("Could not look for blobs that an account has left", { did, error });
      }
    }
    const every = Math.min(WALK_EVERY_MS, lifetimeMs * 7);
    await looks.moveWalk({ cursor: page.cursor, nextAt: page.cursor === undefined ? now() + every : 0 });
  }

  async #walkAccount(did: string): Promise<void> {
    const { blobs, repos, lifetimeMs, now, logger } = this.#options;
    let removed = 0;
    let seen = 0;
    for (let after: string | undefined; !this.#stopped; ) {
      const page = await blobs.list(did, {
        limit: SWEEP_BLOBS_MAX,
        ...(after === undefined ? {} : { after }),
      });
      seen += page.length;
      // A file may be there before its row is.
      const old = page.filter(({ storedAt }) => storedAt < now() - lifetimeMs);
      if (old.length > 0) {
        removed += await repos.removeStrays(
          did,
          old.map(({ cid }) => cid),
        );
      }
      after = page.at(-1)?.name;
      if (page.length < SWEEP_BLOBS_MAX) break;
    }
    if (removed > 0) logger.info("Removed blob files that had no row", { did, files: removed });
    // What is noted nowhere, for whatever reason, is found by this.
    if (seen > 0) await this.#look(did);
  }
}

function isBucketFailure(error: unknown): error is KithError {
  return isKithError(error, "upstream_failure") || isKithError(error, "timeout");
}

/**
 * Removes all blobs of an account that is dead, or where the bucket fails notes it for the sweeper: a death does not wait
 * for a bucket, and a start does not either.
 */
export async function removeAllOrLater(
  did: string,
  {
    blobs,
    looks,
    now,
    logger,
  }: Pick<BlobSweeperOptions, "now" | "logger"> & {
    readonly blobs: Pick<BlobSweeperOptions["blobs"], "removeAll">;
    readonly looks: Pick<BlobSweeperOptions["looks"], "note">;
  },
): Promise<void> {
  try {
    await blobs.removeAll(did);
  } catch (error) {
    if (!isBucketFailure(error) && !isKithError(error, "busy")) throw error;
    await looks.note(did, now() + RETRY_MS);
    logger.warn("Could not remove the blobs of a deleted account; trying again later", { did, error });
  }
}
