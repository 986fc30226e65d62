/**
 * The accounts store's file: accounts, sessions, invites, which repos are open. One writer, one transaction a change, and
 * every change is durable when its promise resolves. Its WAL is checkpointed beside the writes; only the short end of a
 * checkpoint, the restart, makes them wait.
 */
import type { Database } from "bun:sqlite";
import { HubChanges } from "./_hub_changes.ts";
import { HUB_MIGRATIONS } from "./_hub_schema.ts";
import { type KeptReads, type KeptReadsOptions, KeptTables } from "./_kept_reads.ts";
import { openServerFile } from "./_server_file.ts";
import type { SqliteFile, SqliteFileOptions } from "./_sqlite_file.ts";
import type { Migration } from "./migrations.ts";

/** Page cache of the hub: it is read on every request. */
const CACHE_KIB = 8 * 1024;

export const HUB_SCHEMA_VERSION = HUB_MIGRATIONS.length;

export class Hub {
  readonly #file: SqliteFile;
  readonly #kept = new KeptTables();
  /** Who is told of what its transactions change. */
  readonly changes = new HubChanges();
  /** Writes wait for it while the WAL is being restarted. */
  #gate: Promise<void> | undefined;
  #openGate: (() => void) | undefined;
  #checkpoint: Promise<void> | undefined;

  private constructor(file: SqliteFile) {
    this.#file = file;
  }

  /** Recovers, migrates and opens the file, or makes it. For start-up. With migrations of its own it is another file than the accounts'. */
  static async open(
    path: string,
    options: SqliteFileOptions & { migrations?: readonly Migration[] },
  ): Promise<Hub> {
    return new Hub(
      await openServerFile(path, { cacheKib: CACHE_KIB, migrations: HUB_MIGRATIONS, ...options }),
    );
  }

  /** For reading; synchronous. What it reads may reach the disk a moment later. */
  read<Row>(sql: string, ...params: (string | number | null)[]): Row[] {
    return this.#file.statement<Row>(sql).all(...params);
  }

  /** The first row, or undefined. */
  readOne<Row>(sql: string, ...params: (string | number | null)[]): Row | undefined {
    return this.#file.statement<Row>(sql).get(...params) ?? undefined;
  }

  /** Keeps what a read of some tables answers, by a key, until one of them is written. */
  keep<V>(options: KeptReadsOptions): KeptReads<V> {
    return this.#kept.keep(options);
  }

  /**
   * Runs `change` as one synchronous transaction. Resolves with its result once that is durable.
   * Throws what `change` throws, and KithError storage_full; then nothing has changed.
   */
  async write<T>(change: (run: Run) => T): Promise<T> {
    while (this.#gate) await this.#gate;
    const result = this.#kept.during((note) =>
      this.#file.transaction(() =>
        change((sql, ...params) => {
          const done = this.#file.statement<never>(sql).run(...params);
          note(sql);
          this.changes.note(sql, params);
          return done;
        }),
      ),
    );
    this.#checkpointIfDue();
    await this.#file.durable();
    return result;
  }

  async close(): Promise<void> {
    while (this.#checkpoint) await this.#checkpoint;
    await this.#file.close();
  }

  #checkpointIfDue(): void {
    const due = this.#file.checkpointDue();
    if (!due) return;
    // So large that no more may be written into it: the next write waits from here on.
    if (due === "restart") this.#closeGate();
    this.#checkpoint ??= this.#runCheckpoint()
      // A full disk, say: a later write tries again.
      .catch(() => {})
      .finally(() => {
        this.#checkpoint = undefined;
        this.#openGate?.();
      });
  }

  async #runCheckpoint(): Promise<void> {
    await this.#file.checkpoint("passive");
    this.#closeGate();
    await this.#file.checkpoint("restart");
  }

  #closeGate(): void {
    if (this.#gate) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#gate = promise;
    this.#openGate = () => {
      this.#gate = undefined;
      this.#openGate = undefined;
      resolve();
    };
  }
}

/** Runs one statement within a transaction of the hub. */
export type Run = (
  sql: string,
  ...params: (string | number | null | Uint8Array)[]
) => ReturnType<Database["run"]>;
