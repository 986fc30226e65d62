/**
 * Databases of a reference PDS, read so that no byte of its folder changes: SQLite leaves a -wal and a -shm behind even where it only
 * reads. A file without a write-ahead log is opened as immutable, without locks; one with a log is copied with it, and the copy is read.
 */
import { constants, Database, type SQLQueryBindings, type Statement } from "bun:sqlite";
import { existsSync, constants as fsConstants, statSync } from "node:fs";
import { copyFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { KithError } from "../errors.ts";
import { fileBytes } from "./_file_bytes.ts";
import { isDamage, storageError } from "./sqlite.ts";

/** Beside a database file: its write-ahead log, and the journal of an interrupted transaction. */
const COMPANIONS = ["-wal", "-journal"] as const;

export interface ReadDatabaseOptions {
  /** A folder of ours for copies; each is removed when it is closed. */
  readonly scratch: string;
}

let copies = 0;

export class ReferenceDatabase implements AsyncDisposable {
  /** The file of the reference. */
  readonly path: string;
  readonly #db: Database;
  readonly #copy: string | undefined;
  readonly #statements = new Map<string, Statement<unknown, SQLQueryBindings[]>>();

  private constructor(path: string, db: Database, copy: string | undefined) {
    this.path = path;
    this.#db = db;
    this.#copy = copy;
  }

  /** Throws KithError storage_damaged where the file is absent or no database, storage_full where there is no room for a copy. */
  static async open(path: string, { scratch }: ReadDatabaseOptions): Promise<ReferenceDatabase> {
    if (!existsSync(path))
      throw new KithError("storage_damaged", `Could not read "${path}": it is not there`);
    const needsCopy = COMPANIONS.some((companion) => fileBytes(`${path}${companion}`) > 0);
    const copy = needsCopy ? join(scratch, `copy-${process.pid}-${++copies}.sqlite`) : undefined;
    try {
      if (copy !== undefined) await copyWithLog(path, copy);
      const db =
        copy === undefined
          ? // Bun hands a number on as SQLite's flags.
            new Database(
              `${pathToFileURL(path).href}?immutable=1`,
              constants.SQLITE_OPEN_READONLY | constants.SQLITE_OPEN_URI,
            )
          : new Database(copy, { readwrite: true, create: false });
      const opened = new ReferenceDatabase(path, db, copy);
      opened.#prepare();
      return opened;
    } catch (error) {
      if (copy !== undefined) await removeCopy(copy);
      throw storageError(error, `Could not read "${path}"`);
    }
  }

  #prepare(): void {
    try {
      this.#db.run("PRAGMA trusted_schema = OFF");
      // Opening reads nothing yet: what is no database is found here.
      this.#db.query("SELECT count(*) FROM sqlite_schema").get();
    } catch (error) {
      this.#db.close();
      throw error;
    }
  }

  all<Row>(sql: string, ...params: SQLQueryBindings[]): Row[] {
    return this.#guard(() => this.#statement<Row>(sql).all(...params));
  }

  get<Row>(sql: string, ...params: SQLQueryBindings[]): Row | undefined {
    return this.#guard(() => this.#statement<Row>(sql).get(...params) ?? undefined);
  }

  /** The names of the migrations that have been applied, in order; empty where the file has no such table. */
  migrations(): string[] {
    if (!this.has("kysely_migration")) return [];
    return this.all<{ name: string }>("SELECT name FROM kysely_migration ORDER BY name").map(
      ({ name }) => name,
    );
  }

  /** Whether there is a table of this name. */
  has(table: string): boolean {
    return this.get("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", table) !== undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const statement of this.#statements.values()) statement.finalize();
    this.#db.close();
    if (this.#copy !== undefined) await removeCopy(this.#copy);
  }

  #statement<Row>(sql: string): Statement<Row, SQLQueryBindings[]> {
    let statement = this.#statements.get(sql);
    if (!statement) {
      statement = this.#db.prepare<unknown, SQLQueryBindings[]>(sql);
      this.#statements.set(sql, statement);
    }
    return statement as Statement<Row, SQLQueryBindings[]>;
  }

  #guard<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      if (!isDamage(error) && !/no such (table|column)/.test(String(error))) throw error;
      const why = error instanceof Error ? error.message : String(error);
      throw new KithError("storage_damaged", `Could not read "${this.path}": ${why}`, { cause: error });
    }
  }
}

/** Whether a database has a log that has not been written into it: its program runs, or ended without closing it. */
export function hasLog(path: string): boolean {
  return COMPANIONS.some((companion) => fileBytes(`${path}${companion}`) > 0);
}

/** Whatever there is of one, to be compared later: sizes and times of the file and its log. */
export function tracesOf(path: string): string {
  return ["", ...COMPANIONS]
    .map((companion) => {
      const found = statSync(`${path}${companion}`, { throwIfNoEntry: false });
      return found === undefined ? "-" : `${found.size}@${found.mtimeMs}`;
    })
    .join(" ");
}

async function copyWithLog(path: string, copy: string): Promise<void> {
  for (const companion of ["", ...COMPANIONS]) {
    if (companion !== "" && !existsSync(`${path}${companion}`)) continue;
    await copyFile(`${path}${companion}`, `${copy}${companion}`, fsConstants.COPYFILE_FICLONE);
  }
}

async function removeCopy(copy: string): Promise<void> {
  for (const companion of ["", ...COMPANIONS, "-shm"]) await rm(`${copy}${companion}`, { force: true });
}
