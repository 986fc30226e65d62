import type { Logger } from "../logger.ts";
import type { AttemptArchive, AttemptStore, CommunityAudit, CommunityInviteStore } from "../storage/mod.ts";

const DAY_MS = 24 * 3_600_000;
export const COMMUNITY_SWEEP_MS = 3_600_000;
/** What was done is remembered so long. */
export const AUDIT_LIFETIME_MS = 400 * DAY_MS;
/** An account's password that its maker has not come for is kept so long. */
export const UNTOLD_PASSWORD_LIFETIME_MS = 30 * DAY_MS;
/** Invites that are of no more use are shown so long. */
export const SPENT_INVITE_LIFETIME_MS = 30 * DAY_MS;

export interface CommunitySweepOptions {
  readonly attempts: Pick<AttemptStore, "forgetPasswords">;
  readonly archive: Pick<AttemptArchive, "eraseExpiredKeys" | "prune">;
  readonly audit: Pick<CommunityAudit, "prune">;
  readonly invites: Pick<CommunityInviteStore, "prune">;
  readonly logger: Logger;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** Erases keys of reaped attempts once their tombstones are final, and all else that is old: at the start, and hourly. */
export class CommunitySweep {
  readonly #options: CommunitySweepOptions;
  #timer: ReturnType<typeof setInterval> | undefined;
  #run: Promise<void> = Promise.resolve();

  constructor(options: CommunitySweepOptions) {
    this.#options = options;
  }

  start(): void {
    this.#next();
    this.#timer = setInterval(() => this.#next(), COMMUNITY_SWEEP_MS);
    this.#timer.unref?.();
  }

  /** Resolves when a run that is on its way is over. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#run;
  }

  #next(): void {
    this.#run = this.#run
      .then(() => this.sweep())
      .catch((error: unknown) => {
        this.#options.logger.error("Could not erase what is old of communities", { error });
      });
  }

  /** One run. */
  async sweep(): Promise<void> {
    const { attempts, archive, audit, invites, logger, now } = this.#options;
    const erased = await archive.eraseExpiredKeys(now());
    if (erased > 0) logger.info("Erased the keys of reaped communities", { attempts: erased });
    const untold = await attempts.forgetPasswords(now() - UNTOLD_PASSWORD_LIFETIME_MS);
    if (untold > 0) logger.info("Erased passwords of communities that nobody fetched", { attempts: untold });
    await archive.prune(now() - AUDIT_LIFETIME_MS);
    await audit.prune(now() - AUDIT_LIFETIME_MS);
    await invites.prune(now() - SPENT_INVITE_LIFETIME_MS);
  }
}
