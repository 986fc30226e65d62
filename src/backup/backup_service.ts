/**
 * A server's backups: by the schedule, by request, and the shipping of the event log as it grows. What is heavy runs in the worker;
 * this decides when, holds what must not be removed meanwhile, and remembers how it went.
 */
import { type Cid, cidToString } from "../atproto/mod.ts";
import { isKithError, KithError } from "../errors.ts";
import type { Logger } from "../logger.ts";
import type { EngineRun } from "./backup_engine.ts";
import type { BackupState, BackupStateValues } from "./backup_state.ts";
import { LogShipping, type ShippingOptions } from "./log_shipping.ts";
import type { BackupProgress } from "./snapshot_source.ts";
import type { SnapshotAnswer, Target } from "./worker_messages.ts";

/** How often it looks whether a run is due. */
const LOOK_MS = 30_000;
/** After a run that failed, the first time; each next one takes twice as long, up to an hour. */
const RETRY_MS_MIN = 5 * 60_000;
const RETRY_MS_MAX = 60 * 60_000;
/** How long a stop waits for a snapshot to end. */
const REST_TIMEOUT_MS = 2_000;

export interface BackupSettings {
  readonly destination: string | undefined;
  /** As text. */
  readonly key: string | undefined;
  /** 0: no schedule. */
  readonly intervalMs: number;
  /** 0: the log is shipped with snapshots alone. */
  readonly shipMs: number;
}

export interface BackupServiceOptions {
  readonly worker: {
    snapshot(target: Target, run: EngineRun): Promise<SnapshotAnswer>;
    stopSnapshots(): Promise<void>;
    stop(): Promise<void>;
  } & ShippingOptions["worker"];
  readonly hold: ShippingOptions["hold"];
  readonly settings: BackupSettings;
  readonly state: BackupState;
  /** The newest event that was published. */
  readonly publishedSeq: () => number;
  readonly now: () => number;
  readonly logger: Logger;
}

export interface RunRequest {
  /** Those of the settings where absent. */
  readonly destination?: string | undefined;
  readonly key?: string | undefined;
  /** Begins a backup also where one has been before and now is none. */
  readonly anew?: boolean | undefined;
  /** Takes the destination from another data folder that writes to it. */
  readonly takeOver?: boolean | undefined;
}

export interface BackupStatus extends Omit<BackupStateValues, "destinations"> {
  readonly destination: string | undefined;
  readonly running: boolean;
  readonly shipping: boolean;
  /** Why the event log could not be shipped the last time. */
  readonly shippingProblem: string | undefined;
  /** Whether every event is at the destination; undefined where none is set. */
  readonly isUpToDate: boolean | undefined;
}

interface Running {
  readonly destination: string;
  readonly done: Promise<SnapshotAnswer>;
  progress: BackupProgress | undefined;
  readonly listeners: Set<(progress: BackupProgress) => void>;
}

export class BackupService {
  readonly #options: BackupServiceOptions;
  readonly #shipping: LogShipping | undefined;
  #running: Running | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #failures = 0;
  #notBefore = Number.NEGATIVE_INFINITY;
  #stopped = false;

  constructor(options: BackupServiceOptions) {
    this.#options = options;
    const { settings, state, logger, now, worker, hold, publishedSeq } = options;
    const target = this.#configured();
    if (target && settings.shipMs > 0) {
      this.#shipping = new LogShipping({
        ...{ worker, state, logger, now, hold, publishedSeq, everyMs: settings.shipMs },
        target: () => this.#target(target.where, target.key),
      });
    }
    if (target && settings.intervalMs > 0) this.#lookSoon(0);
  }

  /** A blob that was put into its place. */
  noteBlob(did: string, cid: Cid): void {
    this.#shipping?.noteBlob({ did, cid: cidToString(cid) });
  }

  /** Something of the account has changed that no event tells; undefined: something else in the accounts store. */
  noteChange(did: string | undefined): void {
    this.#shipping?.noteChange(did);
  }

  /** The account's repo, or its blobs, have changed, and no event tells. */
  noteRepo(did: string): void {
    this.#shipping?.noteRepo(did);
  }

  /**
   * The newest event that is in the configured destination; events after it are not to be removed from the log yet. Undefined where none
   * is configured.
   */
  get shippedUpTo(): number | undefined {
    const target = this.#configured();
    if (!target) return undefined;
    const { lastShipped } = this.#options.state.values;
    const known = lastShipped?.destination === target.where ? lastShipped.seq : 0;
    return Math.max(known, this.#shipping?.shippedUpTo ?? 0);
  }

  /** For people. */
  status(): BackupStatus {
    const { settings, state, publishedSeq } = this.#options;
    const { destinations: _, ...remembered } = state.values;
    const upTo = this.shippedUpTo;
    return {
      destination: settings.destination,
      running: this.#running !== undefined,
      shipping: this.#shipping !== undefined,
      shippingProblem: this.#shipping?.problem,
      isUpToDate: upTo === undefined ? undefined : upTo >= publishedSeq(),
      ...remembered,
    };
  }

  /**
   * Takes a snapshot, or joins the run that is under way to the same destination. Throws KithError busy where one runs to another, and what
   * the run throws.
   */
  async run(
    request: RunRequest = {},
    onProgress: (progress: BackupProgress) => void = () => {},
  ): Promise<SnapshotAnswer> {
    const { settings } = this.#options;
    const where = request.destination ?? settings.destination;
    const key = request.key ?? settings.key;
    if (where === undefined) {
      throw new KithError("invalid_request", "Could not back up: no destination is named", {
        hint: "Name one, or set KITH_BACKUP_DESTINATION.",
      });
    }
    if (key === undefined) {
      throw new KithError(
        "invalid_request",
        "Could not back up: there is no key, and a backup has everybody's secrets",
        {
          hint: 'Make one with "kith backup new-key", keep it apart from this machine, and set KITH_BACKUP_KEY or KITH_BACKUP_KEY_FILE.',
        },
      );
    }
    if (this.#stopped) throw new KithError("shutting_down", "Could not back up: the server stops");
    const running = this.#running;
    if (running && running.destination !== where) {
      throw new KithError(
        "busy",
        `Could not back up to "${where}": a backup to "${running.destination}" is under way`,
      );
    }
    const joined =
      running ??
      this.#begin({
        ...this.#target(where, key, request.anew),
        takesOver: request.takeOver,
      });
    joined.listeners.add(onProgress);
    if (joined.progress) onProgress(joined.progress);
    try {
      return await joined.done;
    } finally {
      joined.listeners.delete(onProgress);
    }
  }

  /**
   * The first part of a stop, while others still write: no snapshot begins any more, and one that is under way is ended, with what it holds. What
   * it has written is not written again the next time.
   */
  async rest(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    const { worker } = this.#options;
    void worker.stopSnapshots();
    const ended = this.#running?.done.catch(() => {});
    if (ended) await Promise.race([ended, Bun.sleep(REST_TIMEOUT_MS)]);
  }

  /** The second part, once nobody writes any more and all is published: ships the last events. */
  async stop(): Promise<void> {
    await this.rest();
    await this.#shipping?.stop();
    await this.#options.worker.stop();
    await this.#running?.done.catch(() => {});
  }

  #configured(): { where: string; key: string } | undefined {
    const { destination: where, key } = this.#options.settings;
    return where === undefined || key === undefined ? undefined : { where, key };
  }

  #target(where: string, key: string, anew = false): Target {
    const knownId = anew ? undefined : this.#options.state.values.destinations[where];
    return { where, key, knownId };
  }

  #begin(target: Target): Running {
    const running: Running = {
      destination: target.where,
      progress: undefined,
      listeners: new Set(),
      done: this.#take(target, (progress) => {
        running.progress = progress;
        for (const listener of running.listeners) listener(progress);
      }).finally(() => {
        this.#running = undefined;
      }),
    };
    running.done.catch(() => {});
    this.#running = running;
    return running;
  }

  async #take(target: Target, onProgress: (progress: BackupProgress) => void): Promise<SnapshotAnswer> {
    const { worker, hold, publishedSeq, now, logger } = this.#options;
    const startedAt = now();
    const startedMs = performance.now();
    const release = await hold();
    try {
      const answer = await worker.snapshot(target, { upTo: publishedSeq(), onProgress, onCopied: release });
      this.#failures = 0;
      await this.#remember(target, answer, { startedAt, seconds: (performance.now() - startedMs) / 1000 });
      return answer;
    } catch (error) {
      if (!this.#stopped) {
        logger.error("The backup failed; earlier snapshots are as they were", {
          destination: target.where,
          error,
          hint: isKithError(error) ? error.hint : undefined,
        });
        const message = error instanceof Error ? error.message : String(error);
        await this.#save({ lastFailure: { at: new Date(now()).toISOString(), message } });
      }
      throw error;
    } finally {
      release();
    }
  }

  async #remember(
    target: Target,
    answer: SnapshotAnswer,
    { startedAt, seconds }: { startedAt: number; seconds: number },
  ): Promise<void> {
    const { logger, state, now } = this.#options;
    const { manifest, repositoryId, pruneProblem } = answer;
    const { counts, problems, log } = manifest;
    for (const problem of problems) logger.warn("The backup is not as it should be", { problem });
    if (pruneProblem !== undefined) logger.warn("Old snapshots could not be removed", { pruneProblem });
    logger.info("Backed up", { destination: target.where, snapshot: manifest.name, ...counts, seconds });
    const destinations = { ...state.values.destinations, [target.where]: repositoryId };
    const isConfigured = target.where === this.#options.settings.destination;
    await this.#save({
      destinations,
      lastFailure: undefined,
      lastBackup: {
        at: new Date(startedAt).toISOString(),
        snapshot: manifest.name,
        destination: target.where,
        seconds: Math.round(seconds),
        bytes: counts.bytes,
        writtenBytes: counts.writtenBytes,
        problems: problems.length,
      },
      ...(isConfigured
        ? {
            lastShipped: {
              at: new Date(now()).toISOString(),
              seq: Math.max(log.lastSeq, this.shippedUpTo ?? 0),
              destination: target.where,
            },
          }
        : {}),
    });
  }

  /** The backup stands, whether it could be noted or not. */
  async #save(change: Parameters<BackupState["update"]>[0]): Promise<void> {
    await this.#options.state.update(change).catch((error: unknown) => {
      this.#options.logger.warn("Could not note the state of the backups", { error });
    });
  }

  #lookSoon(delayMs: number): void {
    this.#timer = setTimeout(() => {
      void this.#runIfDue().finally(() => {
        if (!this.#stopped) this.#lookSoon(LOOK_MS);
      });
    }, delayMs);
    this.#timer.unref?.();
  }

  async #runIfDue(): Promise<void> {
    const { settings, state, now } = this.#options;
    const { lastBackup } = state.values;
    const isOurs = lastBackup?.destination === settings.destination;
    const lastAt = isOurs && lastBackup ? Date.parse(lastBackup.at) : Number.NEGATIVE_INFINITY;
    // Also where the last one is from the future: the clock was set back since.
    const isDue = Math.abs(now() - lastAt) >= settings.intervalMs;
    if (!isDue || this.#running || performance.now() < this.#notBefore) return;
    try {
      await this.run();
    } catch {
      // It has been told already.
      this.#failures += 1;
      const waitMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** (this.#failures - 1));
      this.#notBefore = performance.now() + waitMs;
    }
  }
}
