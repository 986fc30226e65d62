/** A server's drills: by the schedule and by request; what came of the newest is remembered, and told. */
import { isKithError, KithError } from "../errors.ts";
import type { Logger } from "../logger.ts";
import type { BackupState } from "./backup_state.ts";
import type { RestoreProgress } from "./restore_report.ts";
import { type DrillAnswer, type DrillSetup, isProven } from "./run_drill.ts";

/** How often it looks whether a drill is due. */
const LOOK_MS = 60_000;
/** Findings of one drill that the log has. */
const TOLD_FINDINGS_MAX = 20;

export interface DrillServiceOptions {
  readonly worker: {
    run(setup: DrillSetup, onProgress: (progress: RestoreProgress) => void): Promise<DrillAnswer>;
    stop(): void;
  };
  readonly settings: Omit<DrillSetup, "where" | "key"> & {
    readonly destination: string | undefined;
    readonly key: string | undefined;
    /** 0: no schedule. */
    readonly intervalMs: number;
  };
  readonly state: BackupState;
  /** True while a snapshot is taken: both together would be much work at once. */
  readonly isBusy: () => boolean;
  readonly now: () => number;
  readonly logger: Logger;
}

export interface DrillRequest {
  /** Those of the settings where absent. */
  readonly destination?: string | undefined;
  readonly key?: string | undefined;
}

export class DrillService {
  readonly #options: DrillServiceOptions;
  #running: Promise<DrillAnswer> | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;
  #stopped = false;

  constructor(options: DrillServiceOptions) {
    this.#options = options;
    const { destination, key, intervalMs } = options.settings;
    if (destination === undefined || key === undefined || intervalMs === 0) return;
    this.#timer = setInterval(() => void this.#runIfDue(), LOOK_MS);
    this.#timer.unref?.();
  }

  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  /** Throws KithError busy while one is under way, invalid_request without a destination or a key, and what the drill throws. */
  async run(
    request: DrillRequest = {},
    onProgress: (progress: RestoreProgress) => void = () => {},
  ): Promise<DrillAnswer> {
    const { settings } = this.#options;
    const where = request.destination ?? settings.destination;
    const key = request.key ?? settings.key;
    if (where === undefined || key === undefined) {
      throw new KithError("invalid_request", "Could not begin a drill: no destination is named, or no key", {
        hint: "Set KITH_BACKUP_DESTINATION and KITH_BACKUP_KEY.",
      });
    }
    if (this.#stopped) throw new KithError("shutting_down", "Could not begin a drill: the server stops");
    if (this.#running) throw new KithError("busy", "Could not begin a drill: one is under way");
    const { access, folder, blobBytes } = settings;
    const setup = { where, key, access, folder, blobBytes };
    this.#running = this.#drill(setup, onProgress).finally(() => {
      this.#running = undefined;
    });
    return await this.#running;
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
    this.#options.worker.stop();
  }

  async #drill(setup: DrillSetup, onProgress: (progress: RestoreProgress) => void): Promise<DrillAnswer> {
    const { worker, logger, now } = this.#options;
    const startedAt = now();
    try {
      const answer = await worker.run(setup, onProgress);
      const { snapshot, accounts, commits, blobs, blobsRead, seconds, check } = answer;
      const facts = { destination: setup.where, snapshot, accounts, commits, blobs, blobsRead, seconds };
      for (const { code, did, file, detail } of check.findings.slice(0, TOLD_FINDINGS_MAX))
        logger.warn("The drill has found a fault in what the backup would restore", {
          code,
          did,
          file,
          detail,
        });
      if (isProven(answer)) logger.info("The backup is proven restorable", facts);
      else logger.error("The backup would not restore everything", { ...facts, problem: problemOf(answer) });
      await this.#save(noteOf(answer));
      return answer;
    } catch (error) {
      if (this.#stopped) throw error;
      const problem = error instanceof Error ? error.message : String(error);
      const hint = isKithError(error) ? error.hint : undefined;
      logger.error("The backup could not be restored by a drill", { destination: setup.where, error, hint });
      const seconds = Math.round((now() - startedAt) / 1000);
      await this.#save({ lastDrill: { at: new Date(now()).toISOString(), seconds, problem } });
      throw error;
    }
  }

  async #save(change: Parameters<BackupState["update"]>[0]): Promise<void> {
    await this.#options.state.update(change).catch((error: unknown) => {
      this.#options.logger.warn("Could not note what came of a drill", { error });
    });
  }

  async #runIfDue(): Promise<void> {
    const { settings, state, now, isBusy } = this.#options;
    const { lastBackup, lastDrill } = state.values;
    // Before the first backup there is nothing to prove.
    if (!lastBackup || isBusy() || this.#running) return;
    const lastAt = lastDrill ? Date.parse(lastDrill.at) : Number.NEGATIVE_INFINITY;
    if (Math.abs(now() - lastAt) < settings.intervalMs) return;
    // What goes wrong has been told.
    await this.run().catch(() => {});
  }
}

/** What is remembered of a drill that came to its end. */
export function noteOf(answer: DrillAnswer): Parameters<BackupState["update"]>[0] {
  const { at, seconds, snapshot } = answer;
  if (!isProven(answer)) return { lastDrill: { at, seconds, problem: problemOf(answer) } };
  return { lastDrill: { at, seconds }, lastProven: { at, snapshot } };
}

function problemOf({ lost, check }: DrillAnswer): string {
  const [first] = lost;
  const fault = check.findings.find(({ isHarm }) => isHarm);
  if (!first && fault) {
    const where = fault.did ?? fault.file ?? "the server";
    return `${check.harms} faults in what would be restored, such as ${fault.code} of ${where}: ${fault.detail}`;
  }
  return `${lost.length} ${lost.length === 1 ? "account" : "accounts"} would lose something, such as ${first?.did ?? ""}: ${first?.what ?? ""}`;
}
