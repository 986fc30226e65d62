/** The main thread's side of the maintenance worker: what SQLite does with fsyncs is done over there. */
import type { Database } from "bun:sqlite";
import { KithError } from "../errors.ts";
import { memoryOf, type StagedCounts, type StagedRows } from "./_staged_rows.ts";
import { isSyncFailure, storageError } from "./sqlite.ts";
import type { OnFatal } from "./wal_sync.ts";

/** Requests that may wait for the worker; one takes 1 to 100 ms. */
const REQUESTS_MAX = 20_000;

export type CheckpointMode = "passive" | "restart";

/** What it was doing, for people, where the name of the operation does not say so. */
const ACTIONS: Readonly<Record<string, string>> = {
  prime: "make ready for writing",
  passive: "checkpoint",
  restart: "checkpoint",
  prepare: "recover",
  hold: "close",
  release: "close",
  stage: "import into",
  countStaged: "count what was imported into",
  endStaging: "end the import into",
  clear: "empty tables of",
};

interface Reply {
  readonly id: number;
  readonly result?: unknown;
  readonly failure?: { readonly message: string; readonly code: string };
}

interface Waiter {
  readonly action: string;
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

/**
 * One worker for all files, in order of asking. A failed sync over there, or the death of the worker, is fatal:
 * `onFatal` is told and the promise stays open. Every other failure rejects with a KithError.
 */
export class Maintenance {
  readonly #worker: Worker;
  readonly #onFatal: OnFatal;
  readonly #waiting = new Map<number, Waiter>();
  #idle = Promise.withResolvers<void>();
  #lastId = 0;
  #stopped = false;

  private constructor(onFatal: OnFatal) {
    this.#onFatal = onFatal;
    this.#worker = new Worker(new URL("./_maintenance_worker.ts", import.meta.url), { ref: false });
    this.#worker.onmessage = (event: MessageEvent<Reply>) => this.#settle(event.data);
    this.#worker.onerror = (event) => this.#die(new Error(`The maintenance worker failed: ${event.message}`));
    this.#worker.addEventListener("close", () => {
      if (!this.#stopped) this.#die(new Error("The maintenance worker ended"));
    });
  }

  static start({ onFatal }: { onFatal: OnFatal }): Maintenance {
    return new Maintenance(onFatal);
  }

  /** How much is asked of the worker and not answered. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Starts the WAL of a file that this thread holds open, so that no write here meets an empty one. */
  async prime(path: string): Promise<void> {
    await this.#ask("prime", path);
  }

  /**
   * Moves the WAL's content into the file. "passive" runs beside writes and never empties the WAL; "restart" makes
   * the next write begin at its start, and is asked only while this thread writes nothing. False: incomplete.
   */
  async checkpoint(path: string, mode: CheckpointMode): Promise<boolean> {
    return (await this.#ask(mode, path)) === true;
  }

  /** Makes a file durable that a crash may have left behind. Nobody has it open. */
  async recover(path: string): Promise<void> {
    if ((await this.#ask("recover", path)) !== true) {
      throw new KithError("busy", `Could not recover "${path}": another process has it open`);
    }
  }

  /**
   * Runs those SQL `steps` that the file has not had, each in a transaction, after copying the file; makes the file
   * if absent. Returns the version that it found; a newer file than `steps` know is left alone.
   */
  async migrate(path: string, steps: readonly string[]): Promise<number> {
    return (await this.#ask("migrate", path, { more: { steps } })) as number;
  }

  /**
   * Writes rows of an import, in one transaction, into a file that this process writes nothing else to until endStaging(). The
   * memory of the rows goes over to the worker.
   */
  async stage(path: string, rows: StagedRows): Promise<void> {
    await this.#ask("stage", path, { more: { rows }, memory: memoryOf(rows) });
  }

  /** Of what stage() has written, all of which is read: this takes its time. */
  async countStaged(path: string): Promise<StagedCounts> {
    return (await this.#ask("countStaged", path)) as StagedCounts;
  }

  /** To be called once after the last of these, whatever came of it. */
  async endStaging(path: string): Promise<void> {
    await this.#ask("endStaging", path);
  }

  /** recover() where there is a file, then migrate(), without this thread in between: it may be busy with other things. */
  async prepare(path: string, steps: readonly string[]): Promise<number> {
    const found = await this.#ask("prepare", path, { more: { steps } });
    if (typeof found === "number") return found;
    throw new KithError("busy", `Could not recover "${path}": another process has it open`);
  }

  /** Empties tables of a file that this process writes nothing to meanwhile. */
  async clear(path: string, tables: readonly string[]): Promise<void> {
    await this.#ask("clear", path, { more: { tables } });
  }

  /** Closes `db` such that the worker closes last: the last close syncs twice and swallows errors. */
  async closeLast(path: string, db: Database): Promise<void> {
    await this.#ask("hold", path);
    db.close(true);
    await this.#ask("release", path);
  }

  /** Ends the worker once nothing waits. */
  async stop(): Promise<void> {
    while (this.#waiting.size > 0) {
      this.#idle = Promise.withResolvers();
      await this.#idle.promise;
    }
    this.#stopped = true;
    this.#worker.terminate();
  }

  #ask(
    op: string,
    path: string,
    { more = {}, memory = [] }: { more?: object; memory?: ArrayBuffer[] } = {},
  ): Promise<unknown> {
    const action = `Could not ${ACTIONS[op] ?? op} "${path}"`;
    if (this.#stopped) throw new KithError("shutting_down", `${action}: storage is closed`);
    if (this.#waiting.size >= REQUESTS_MAX) {
      throw new KithError("busy", `${action}: ${REQUESTS_MAX} requests wait`);
    }
    this.#lastId += 1;
    const id = this.#lastId;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { action, resolve, reject });
      this.#worker.postMessage({ id, op, path, ...more }, memory);
    });
  }

  #settle(reply: Reply): void {
    const waiter = this.#waiting.get(reply.id);
    if (!waiter) return;
    this.#waiting.delete(reply.id);
    if (reply.failure) this.#refuse(waiter, reply.failure);
    else waiter.resolve(reply.result);
    if (this.#waiting.size === 0) this.#idle.resolve();
  }

  #refuse(waiter: Waiter, { message, code }: { message: string; code: string }): void {
    const error = Object.assign(new Error(`${waiter.action}: ${message}`), { code });
    if (isSyncFailure(error)) this.#onFatal(error);
    else waiter.reject(storageError(error, waiter.action));
  }

  #die(error: Error): void {
    if (this.#stopped) return;
    this.#stopped = true;
    deaths.add(error);
    this.#onFatal(error);
  }
}

const deaths = new WeakSet<object>();

/** Of what `onFatal` is told: that the worker has died, and the disk may be as it should be. */
export function isWorkerDeath(error: unknown): boolean {
  return typeof error === "object" && error !== null && deaths.has(error);
}
