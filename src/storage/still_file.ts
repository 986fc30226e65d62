/**
 * A database file that nobody writes meanwhile, opened to be looked at: nothing of it is changed, not its WAL either. What a crash has
 * left in the WAL is read with it.
 */
import { Database, type SQLQueryBindings, type Statement } from "bun:sqlite";
import { existsSync, rmSync, statSync } from "node:fs";
import { KithError } from "../errors.ts";
import { fileBytes } from "./_file_bytes.ts";
import { schemaVersionOf } from "./migrations.ts";
import { errorCodeOf, storageError, withSteadyPlan } from "./sqlite.ts";

/** Complaints of SQLite about one file that are told. */
const COMPLAINTS_MAX = 20;
const CACHE_KIB = 2 * 1024;
/** What is only said of indexes, all of which can be made again. */
const OF_AN_INDEX = /missing from index|wrong # of entries in index|non-unique entry in index/;

export class StillFile {
  readonly path: string;
  readonly #db: Database;
  readonly #hadWal: boolean;
  readonly #statements = new Map<string, Statement<unknown, SQLQueryBindings[]>>();

  private constructor(path: string, db: Database, hadWal: boolean) {
    this.path = path;
    this.#db = db;
    this.#hadWal = hadWal;
  }

  /** Throws KithError storage_damaged where it is not there, no database, or no file at all: whoever opens a pipe waits for ever. */
  static open(path: string): StillFile {
    for (const suffix of ["", "-wal", "-shm"]) {
      const found = statSync(path + suffix, { throwIfNoEntry: false });
      if (found ? found.isFile() : suffix !== "") continue;
      const reason = found ? `"${path + suffix}" is no regular file` : "it is not there";
      throw new KithError("storage_damaged", `Could not read "${path}": ${reason}`);
    }
    const hadWal = existsSync(`${path}-wal`);
    let db: Database | undefined;
    try {
      db = new Database(path, { readonly: true, strict: true });
      db.run(`PRAGMA cache_size = -${CACHE_KIB}`);
      db.run("PRAGMA trusted_schema = OFF");
      db.query("SELECT count(*) FROM sqlite_schema").get();
      return new StillFile(path, db, hadWal);
    } catch (error) {
      db?.close();
      if (!hadWal) removeEmptyWal(path);
      throw readError(error, path);
    }
  }

  get schemaVersion(): number {
    return this.#guard(() => schemaVersionOf(this.#db));
  }

  /** What SQLite finds wrong with the file, in its words; and whether it is only indexes, which can be made again. */
  complaints(): { readonly lines: readonly string[]; readonly isOfIndexes: boolean } {
    let lines: string[];
    try {
      const sql = `PRAGMA integrity_check(${COMPLAINTS_MAX})`;
      lines = this.#db
        .query<{ integrity_check: string }, []>(sql)
        .all()
        .flatMap(({ integrity_check: text }) => text.split("\n"))
        .filter((line) => line !== "ok" && !line.startsWith("***"));
    } catch (error) {
      lines = [(readError(error, this.path) as Error).message];
    }
    return { lines, isOfIndexes: lines.every((line) => OF_AN_INDEX.test(line)) };
  }

  one<Row>(sql: string, ...params: SQLQueryBindings[]): Row | undefined {
    return this.#guard(() => (this.#statement(sql).get(...params) as Row | null) ?? undefined);
  }

  all<Row>(sql: string, ...params: SQLQueryBindings[]): Row[] {
    return this.#guard(() => this.#statement(sql).all(...params) as Row[]);
  }

  /** One row at a time; not twice at once with the same text. */
  *each<Row>(sql: string, ...params: SQLQueryBindings[]): Generator<Row, void> {
    const rows = this.#statement(sql).iterate(...params);
    for (;;) {
      const next = this.#guard(() => rows.next());
      if (next.done) return;
      yield next.value as Row;
    }
  }

  close(): void {
    for (const statement of this.#statements.values()) statement.finalize();
    this.#db.close();
    if (!this.#hadWal) removeEmptyWal(this.path);
  }

  #statement(sql: string): Statement<unknown, SQLQueryBindings[]> {
    let statement = this.#statements.get(sql);
    if (!statement) {
      statement = this.#guard(() => this.#db.prepare<unknown, SQLQueryBindings[]>(withSteadyPlan(sql)));
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #guard<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      throw readError(error, this.path);
    }
  }
}

/** What cannot be read is damaged, whatever the reason is. */
function readError(error: unknown, path: string): unknown {
  const action = `Could not read "${path}"`;
  if (!errorCodeOf(error).startsWith("SQLITE_")) return storageError(error, action);
  const known = storageError(error, action);
  const reason = error instanceof Error ? error.message : String(error);
  return known instanceof KithError && known.code === "storage_damaged"
    ? known
    : new KithError("storage_damaged", `${action}: ${reason}`, { cause: error });
}

/** A connection that only reads makes these, and leaves them. */
function removeEmptyWal(path: string): void {
  if (fileBytes(`${path}-wal`) > 0) return;
  for (const suffix of ["-wal", "-shm"]) rmSync(`${path}${suffix}`, { force: true });
}
