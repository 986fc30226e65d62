/** Ships the event log every few seconds, and says so where that does not work. */
import { isKithError } from "../errors.ts";
import type { Logger } from "../logger.ts";
import type { BackupState } from "./backup_state.ts";
import type { ShipStep } from "./log_shipper.ts";
import type { ShippedBlob } from "./ship_increment.ts";
import type { ShipAnswer, Target } from "./worker_messages.ts";

/** Blobs that wait to be shipped; what is beyond goes with the events that refer to it, or with the next snapshot. */
export const BLOBS_WAITING_MAX = 20_000;
/** Of one step. */
const BLOBS_AT_ONCE = 100;
/** Accounts that wait for what no event tells of them to be shipped; of what is beyond the accounts store goes whole, the rest with the next snapshot. */
const CHANGED_WAITING_MAX = 20_000;
const CHANGED_AT_ONCE = 500;
/** Accounts whose whole file waits to be shipped; what is beyond goes with the next snapshot. */
const REPOS_WAITING_MAX = 20_000;
const REPOS_AT_ONCE = 5;
/** The same file goes again after so long at the soonest, and after so many times as long as the step with it took. */
const REPO_REST_MS = 10_000;
const REPO_REST_FACTOR = 10;
/** After a failure the next step comes so much later each time, at the most. */
const PAUSE_MS_MAX = 60_000;
/** A failure that lasts is told again after so long. */
const TELL_EVERY_MS = 60 * 60_000;
/** For the last steps of a server that stops. */
const STOP_TIMEOUT_MS = 5_000;
/** How far it is gets noted so often at the most. */
const NOTE_EVERY_MS = 60_000;

export interface ShippingOptions {
  readonly worker: {
    ship(target: Target, step: ShipStep): Promise<ShipAnswer>;
  };
  readonly target: () => Target;
  readonly everyMs: number;
  readonly state: BackupState;
  /**
   * Holds the removal of blobs and accounts until the function that it resolves to is called; by then the events of what was removed before
   * are published.
   */
  readonly hold: () => Promise<() => void>;
  readonly publishedSeq: () => number;
  readonly now: () => number;
  /** Monotonic milliseconds. */
  readonly elapsed?: () => number;
  readonly logger: Logger;
}

interface WaitingBlob extends ShippedBlob {
  /** Whatever refers to it comes after this event. */
  readonly after: number;
}

export class LogShipping {
  readonly #options: ShippingOptions;
  readonly #blobs: WaitingBlob[] = [];
  readonly #changed = new Set<string>();
  readonly #repos = new Set<string>();
  /** Until when files that were shipped are left alone. */
  readonly #resting = new Map<string, number>();
  #isStoreChanged = false;
  #shippedUpTo = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #step: Promise<void> = Promise.resolve();
  #failures = 0;
  #toldMs = Number.NEGATIVE_INFINITY;
  #notedMs = Number.NEGATIVE_INFINITY;
  #problem: string | undefined;
  #stopped = false;

  constructor(options: ShippingOptions) {
    this.#options = options;
    this.#again(0);
  }

  /** 0 before the first step. */
  get shippedUpTo(): number {
    return this.#shippedUpTo;
  }

  /** Why the last step failed. */
  get problem(): string | undefined {
    return this.#problem;
  }

  noteBlob(blob: ShippedBlob): void {
    if (this.#blobs.length < BLOBS_WAITING_MAX)
      this.#blobs.push({ ...blob, after: this.#options.publishedSeq() });
  }

  /** Something of the account that no event tells; undefined: something else in the accounts store. */
  noteChange(did: string | undefined): void {
    if (did !== undefined && this.#changed.size < CHANGED_WAITING_MAX) this.#changed.add(did);
    else this.#isStoreChanged = true;
  }

  /** The repo of the account, or its blobs, have changed, and no event tells: its whole file is to be shipped. */
  noteRepo(did: string): void {
    if (this.#repos.size < REPOS_WAITING_MAX) this.#repos.add(did);
  }

  get #isMore(): boolean {
    return this.#blobs.length > 0 || this.#changed.size > 0 || this.#repos.size > 0;
  }

  get #elapsed(): number {
    return (this.#options.elapsed ?? (() => performance.now()))();
  }

  /** Those that wait and do not rest; at a stop all, for it is the last time. */
  #reposDue(): string[] {
    const at = this.#elapsed;
    for (const [did, until] of this.#resting) if (until <= at) this.#resting.delete(did);
    const due = [...this.#repos].filter((did) => this.#stopped || !this.#resting.has(did));
    return due.slice(0, REPOS_AT_ONCE);
  }

  #keepLeft(left: ShipAnswer["left"]): void {
    const { logger } = this.#options;
    for (const { did, problem } of left) {
      // At a stop it is the next start's.
      if (!this.#stopped) this.#repos.add(did);
      logger.warn(
        "The repo of an account that is not active could not be copied to the backup; it is tried again",
        {
          did,
          problem,
        },
      );
    }
  }

  #rest(repos: readonly string[], startedMs: number): void {
    const at = this.#elapsed;
    const until = at + Math.max(REPO_REST_MS, REPO_REST_FACTOR * (at - startedMs));
    for (const did of repos) this.#resting.set(did, until);
  }

  /**
   * Ships what there is, so to be called once nothing is published any more. A destination that does not answer is not waited for: what is
   * left is shipped by the next start.
   */
  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    this.#stopped = true;
    const late = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => late.resolve(false), STOP_TIMEOUT_MS);
    const isDone = await Promise.race([this.#finish(), late.promise]);
    clearTimeout(timer);
    if (isDone) return;
    const { target, logger } = this.#options;
    logger.warn(
      "The server stops before everything was shipped to the backup; its next start ships the rest",
      {
        destination: target().where,
        upTo: this.#shippedUpTo,
      },
    );
  }

  /** False where it failed. */
  async #finish(): Promise<boolean> {
    await this.#step;
    do {
      if (!(await this.#ship())) return false;
    } while (this.#isMore);
    await this.#note();
    return true;
  }

  #again(delayMs: number): void {
    if (this.#stopped) return;
    this.#timer = setTimeout(() => {
      this.#step = this.#ship().then(() => {
        const { everyMs } = this.#options;
        const pauseMs = Math.max(everyMs, Math.min(PAUSE_MS_MAX, everyMs * 2 ** this.#failures));
        const isMore =
          this.#failures === 0 && (this.#blobs.length > 0 || this.#changed.size >= CHANGED_AT_ONCE);
        this.#again(isMore ? 0 : pauseMs);
      });
    }, delayMs);
    this.#timer.unref?.();
  }

  /** False where it failed; never rejects. */
  async #ship(): Promise<boolean> {
    const { worker, target, hold, publishedSeq, logger } = this.#options;
    // A blob that goes meanwhile would be missing beside the event that refers to it, as its removal comes with a later step.
    const release = await hold();
    const upTo = publishedSeq();
    const blobs = this.#blobs.slice(0, BLOBS_AT_ONCE).map(({ did, cid }) => ({ did, cid }));
    // What may refer to a blob is not shipped before the blob.
    const logUpTo = Math.min(upTo, this.#blobs[BLOBS_AT_ONCE]?.after ?? upTo);
    const changed = [...this.#changed].slice(0, CHANGED_AT_ONCE);
    const isStoreChanged = this.#isStoreChanged;
    // What changes from now on may be missed by this step.
    for (const did of changed) this.#changed.delete(did);
    this.#isStoreChanged = false;
    const repos = this.#reposDue();
    for (const did of repos) this.#repos.delete(did);
    const startedMs = this.#elapsed;
    const to = target();
    try {
      const shipped = await worker.ship(to, { upTo, logUpTo, blobs, changed, repos, isStoreChanged });
      this.#keepLeft(shipped.left);
      this.#rest([...repos, ...shipped.left.map(({ did }) => did)], startedMs);
      this.#blobs.splice(0, blobs.length);
      this.#shippedUpTo = shipped.last;
      if (shipped.missedUpTo !== undefined) {
        logger.error("Events were removed from the log before they could be shipped to the backup", {
          upTo: shipped.missedUpTo,
          destination: to.where,
        });
      }
      if (this.#problem !== undefined)
        logger.info("The event log is shipped again", { destination: to.where });
      [this.#failures, this.#problem, this.#toldMs] = [0, undefined, Number.NEGATIVE_INFINITY];
      if (performance.now() - this.#notedMs >= NOTE_EVERY_MS) await this.#note(shipped.repositoryId);
      return true;
    } catch (error) {
      for (const did of changed) this.#changed.add(did);
      for (const did of repos) this.#repos.add(did);
      if (isStoreChanged) this.#isStoreChanged = true;
      this.#fail(error, to);
      return false;
    } finally {
      release();
    }
  }

  #fail(error: unknown, { where }: Target): void {
    if (this.#stopped || isKithError(error, "shutting_down")) return;
    this.#failures = Math.min(this.#failures + 1, 20);
    this.#problem = error instanceof Error ? error.message : String(error);
    if (performance.now() - this.#toldMs < TELL_EVERY_MS) return;
    this.#toldMs = performance.now();
    this.#options.logger.error(
      "Could not ship the event log to the backup; trying again, and keeping events meanwhile",
      {
        destination: where,
        error,
        hint: isKithError(error) ? error.hint : undefined,
      },
    );
  }

  async #note(repositoryId?: string): Promise<void> {
    const { state, now, target, logger } = this.#options;
    const { where } = target();
    this.#notedMs = performance.now();
    const destinations =
      repositoryId === undefined
        ? state.values.destinations
        : { ...state.values.destinations, [where]: repositoryId };
    const lastShipped = { at: new Date(now()).toISOString(), seq: this.#shippedUpTo, destination: where };
    await state.update({ destinations, lastShipped }).catch((error: unknown) => {
      logger.warn("Could not note how far the event log was shipped", { error });
    });
  }
}
