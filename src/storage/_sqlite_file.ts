/**
 * One open database file: held statements, transactions, durability, checkpoints, close. The stores are built on it.
 * In steady state nothing here syncs the disk on the event loop: see docs/storage_rules.md.
 */
import type { Database, SQLQueryBindings, Statement } from "bun:sqlite";
import { isKithError, KithError } from "../errors.ts";
import { fileBytes } from "./_file_bytes.ts";
import { RestingFiles } from "./_resting_files.ts";
import type { StagedCounts, StagedRows } from "./_staged_rows.ts";
import type { CheckpointMode, Maintenance } from "./maintenance.ts";
import { schemaVersionOf } from "./migrations.ts";
import { isSyncFailure, openSqlite, storageError, transaction, withSteadyPlan } from "./sqlite.ts";
import { type OnFatal, WalSync } from "./wal_sync.ts";

/** A WAL with this much that is not in the file yet is due for a passive checkpoint. */
export const WAL_PASSIVE_BYTES = 4 * 1024 * 1024;
/** At this size no write is taken until the WAL was restarted. */
export const WAL_RESTART_BYTES = 16 * 1024 * 1024;

const WAL_HEADER_BYTES = 32;
const WAL_FRAME_BYTES = 4096 + 24;

/** All files of the process. */
const RESTING = new RestingFiles();

export interface SqliteFileOptions {
  readonly maintenance: Maintenance;
  readonly onFatal: OnFatal;
  readonly cacheKib?: number;
  /** For tests: stands in for fdatasync. */
  readonly sync?: () => Promise<void>;
  /** For tests and benchmarks: a slower disk. */
  readonly syncDelayMs?: number;
}

export class SqliteFile {
  readonly path: string;
  readonly db: Database;
  readonly #options: SqliteFileOptions;
  readonly #walSync: WalSync;
  readonly #statements = new Map<string, Statement<unknown, SQLQueryBindings[]>>();
  #primed: Promise<void> | undefined;
  #isPrimed = false;
  #checkpoint: Promise<boolean> | undefined;
  #isRestarting = false;
  #isClosed = false;
  #isAwake = false;
  #isUsed = false;

  private constructor(path: string, options: SqliteFileOptions) {
    this.path = path;
    this.#options = options;
    const wal = `${path}-wal`;
    const dirty = fileBytes(wal) > 0;
    this.db = openSqlite(path, { cacheKib: options.cacheKib });
    this.#walSync = new WalSync(wal, { ...options, dirty });
  }

  /** Opens an existing file for reading: no disk sync. Throws KithError storage_damaged. */
  static open(path: string, options: SqliteFileOptions): SqliteFile {
    return new SqliteFile(path, options);
  }

  schemaVersion(): number {
    return schemaVersionOf(this.db);
  }

  /** The statement of this SQL text, prepared once and held until the file rests or closes: not to be kept across an await. */
  statement<Row, Params extends SQLQueryBindings[] = SQLQueryBindings[]>(
    sql: string,
  ): Statement<Row, Params> {
    this.#isUsed = true;
    if (!this.#isAwake) this.#wake();
    let statement = this.#statements.get(sql);
    if (!statement) {
      statement = this.db.prepare<unknown, SQLQueryBindings[]>(withSteadyPlan(sql));
      this.#statements.set(sql, statement);
    }
    return statement as unknown as Statement<Row, Params>;
  }

  #wake(): void {
    if (this.#isClosed) return;
    this.#isAwake = true;
    RESTING.wake(this);
  }

  takeUsed(): boolean {
    const isUsed = this.#isUsed;
    this.#isUsed = false;
    return isUsed;
  }

  /** Gives back statements and cached pages. Not in the middle of anything: nothing here lasts longer than a turn. */
  rest(): void {
    this.#isAwake = false;
    this.#dropStatements();
    this.db.run("PRAGMA shrink_memory");
  }

  #dropStatements(): void {
    for (const statement of this.#statements.values()) statement.finalize();
    this.#statements.clear();
  }

  /** To be awaited before the first write: the first frame of an empty WAL costs fsyncs, which the worker does. */
  prepareWrites(): Promise<void> {
    this.#primed ??= this.#prime().catch((error) => {
      this.#primed = undefined;
      throw storageError(error, `Could not make "${this.path}" ready for writing`);
    });
    return this.#primed;
  }

  async #prime(): Promise<void> {
    await this.#options.maintenance.prime(this.path);
    this.#walSync.open();
    this.#isPrimed = true;
    this.#walSync.noteCommit();
  }

  /**
   * Runs one synchronous transaction. Throws KithError storage_full (nothing was written; usable afterwards), or busy
   * while the WAL is being restarted, and a plain Error where prepareWrites() was not awaited. One that is no news says
   * in other tables what is in the file already: nobody needs to await the disk for it.
   */
  transaction<T>(fn: () => T, { isNews = true }: { isNews?: boolean } = {}): T {
    if (!this.#isPrimed)
      throw new Error(`Could not write to "${this.path}": prepareWrites() was not awaited`);
    if (this.#isRestarting) {
      throw new KithError("busy", `Could not write to "${this.path}": its log is being restarted`);
    }
    try {
      const result = transaction(this.db, fn);
      if (isNews) this.#walSync.noteCommit();
      return result;
    } catch (error) {
      if (isSyncFailure(error)) this.#options.onFatal(error);
      throw error;
    }
  }

  /** Runs `fn` in a transaction that is taken back: it reads what it has written, and the disk needs no room for it. */
  undone<T>(fn: () => T): T {
    this.db.run("BEGIN IMMEDIATE");
    try {
      return fn();
    } finally {
      this.db.run("ROLLBACK");
    }
  }

  get isPrimed(): boolean {
    return this.#isPrimed;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Resolves when everything committed before this call is on the disk. */
  durable(): Promise<void> {
    return this.#walSync.sync();
  }

  isDurable(): boolean {
    return this.#walSync.isDurable();
  }

  /** Bytes of the WAL in use; the file itself keeps its largest size. */
  walBytes(): number {
    const { log } = this.#counts();
    return log === 0 ? 0 : WAL_HEADER_BYTES + log * WAL_FRAME_BYTES;
  }

  /** What the WAL needs: "restart" at 16 MB, before any further write; "passive" with 4 MB not yet in the file. */
  checkpointDue(): CheckpointMode | undefined {
    const { log, checkpointed } = this.#counts();
    if (log * WAL_FRAME_BYTES >= WAL_RESTART_BYTES) return "restart";
    if ((log - checkpointed) * WAL_FRAME_BYTES >= WAL_PASSIVE_BYTES) return "passive";
    return undefined;
  }

  #counts(): { log: number; checkpointed: number } {
    const counts = this.statement<{ log: number; checkpointed: number }>("PRAGMA wal_checkpoint(NOOP)").get();
    return { log: Math.max(counts?.log ?? 0, 0), checkpointed: Math.max(counts?.checkpointed ?? 0, 0) };
  }

  /**
   * Checkpoints in the worker; one at a time. Until a "restart" has ended, transactions are refused as busy.
   * Resolves to false where readers or writers kept it from being complete: it may be asked again.
   */
  async checkpoint(mode: CheckpointMode): Promise<boolean> {
    while (this.#checkpoint) await this.#checkpoint;
    if (this.#isClosed || !this.#isPrimed) return false;
    this.#isRestarting = mode === "restart";
    const ended = () => {
      this.#checkpoint = undefined;
      this.#isRestarting = false;
    };
    const running = this.#options.maintenance.checkpoint(this.path, mode).finally(ended);
    this.#checkpoint = running.catch(() => false);
    return await running.catch((error) => {
      if (isKithError(error, "busy")) return false;
      throw error;
    });
  }

  /** Writes rows of an import in the worker. Nothing else is to be written until endStaging(). KithError storage_full. */
  async stage(rows: StagedRows): Promise<void> {
    await this.#options.maintenance.stage(this.path, rows);
    this.#walSync.noteCommit();
  }

  countStaged(): Promise<StagedCounts> {
    return this.#options.maintenance.countStaged(this.path);
  }

  async endStaging(): Promise<void> {
    await this.#options.maintenance.endStaging(this.path);
  }

  /** Empties tables in the worker. Nothing else is to be written meanwhile. */
  async clear(tables: readonly string[]): Promise<void> {
    while (this.#checkpoint) await this.#checkpoint;
    await this.#options.maintenance.clear(this.path, tables);
    this.#walSync.noteCommit();
  }

  /** True while transactions are refused because the WAL is being restarted. */
  get isRestarting(): boolean {
    return this.#isRestarting;
  }

  /** Closes a file that was read and not written, at once. */
  abandon(): void {
    this.#isClosed = true;
    this.#dropStatements();
    this.db.close();
  }

  /** Finalizes the statements and closes; through the worker where the WAL holds anything. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#primed?.catch(() => {});
    while (this.#checkpoint) await this.#checkpoint;
    const viaWorker = this.walBytes() > 0;
    await this.#walSync.close();
    this.#dropStatements();
    this.#isPrimed = false;
    if (viaWorker) await this.#options.maintenance.closeLast(this.path, this.db);
    else this.db.close(true);
  }
}
