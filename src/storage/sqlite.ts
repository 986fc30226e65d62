/**
 * Opening SQLite and running transactions. Every file here is WAL with synchronous=NORMAL and without automatic
 * checkpoints: a commit then writes to the page cache only, and durability is awaited elsewhere (wal_sync.ts).
 */
import { Database, SQLiteError } from "bun:sqlite";
import { accessSync, closeSync, constants, existsSync, openSync } from "node:fs";
import { type ErrorCode, isKithError, KithError } from "../errors.ts";

/** Page cache of one open file; thousands of repos may be open. */
const CACHE_KIB = 256;
/** How long a statement waits for the maintenance worker's short writes. */
const BUSY_TIMEOUT_MS = 1000;

export interface OpenSqliteOptions {
  /** Make an empty file of mode 0600 where there is none. SQLite gives -wal and -shm the same mode. */
  readonly create?: boolean;
  readonly cacheKib?: number;
}

/**
 * Opens a database with the pragmas that all of storage relies on.
 * Creating blocks the caller with fsyncs: only the maintenance worker and start-up do so.
 * Throws KithError storage_damaged where the file is absent or no database, storage_full where the disk takes no file beside it.
 */
export function openSqlite(path: string, options: OpenSqliteOptions = {}): Database {
  if (options.create && !existsSync(path)) closeSync(openSync(path, "a", 0o600));
  if (!existsSync(path)) throw new KithError("storage_damaged", `Could not open "${path}": it is not there`);
  let db: Database | undefined;
  try {
    db = new Database(path, { readwrite: true, create: false, strict: true });
    db.run(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
    db.run("PRAGMA journal_mode = WAL");
    db.run("PRAGMA synchronous = NORMAL");
    db.run("PRAGMA wal_autocheckpoint = 0");
    db.run(`PRAGMA cache_size = -${options.cacheKib ?? CACHE_KIB}`);
    // Pages of one transaction stay in memory until it ends: a page that leaves early is written, read and written again.
    db.run("PRAGMA cache_spill = OFF");
    db.run("PRAGMA foreign_keys = ON");
    db.run("PRAGMA temp_store = MEMORY");
    db.run("PRAGMA trusted_schema = OFF");
    return db;
  } catch (error) {
    db?.close();
    throw openError(error, path);
  }
}

/** SQLite says the same of a file that it cannot open and of one beside which it cannot make its log, on a full disk, say. */
function openError(error: unknown, path: string): unknown {
  const action = `Could not open "${path}"`;
  if (!errorCodeOf(error).startsWith("SQLITE_CANTOPEN") || !isAccessible(path))
    return storageError(error, action);
  const { storage_full: hint } = HINTS;
  return new KithError("storage_full", `${action}: the disk takes no file beside it`, { cause: error, hint });
}

function isAccessible(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Runs `fn` between BEGIN IMMEDIATE and COMMIT and returns its result; rolls back when it throws.
 * `fn` is synchronous: an async one would be committed at its first await, and is refused and rolled back.
 * Throws KithError storage_full on a full or failing disk, busy on a lock; the database is usable afterwards.
 */
export function transaction<T>(db: Database, fn: () => T): T {
  try {
    db.run("BEGIN IMMEDIATE");
    const result = fn();
    if (isThenable(result)) throw new TypeError("Could not run the transaction: its function is async");
    db.run("COMMIT");
    return result;
  } catch (error) {
    if (db.inTransaction) db.run("ROLLBACK");
    throw storageError(error, `Could not write to "${db.filename}"`);
  }
}

/** A parameter that is compared, or bounds a result. */
const LOOKED_AT = /([=<>]\s*|\b(?:LIMIT|OFFSET)\s+)(\?\d*)/g;

/**
 * `sql` as it is to be prepared where the statement is held and run again. SQLite's planner looks at the values of many
 * parameters, and whenever such a one is bound again SQLite prepares the statement anew, which costs several times what it
 * costs to run. Without statistics, and we have none, the values change no plan; behind a function they are not looked at.
 * https://sqlite.org/c3ref/prepare.html, on sqlite3_prepare_v2() and bound parameters
 */
export function withSteadyPlan(sql: string): string {
  return sql.replace(LOOKED_AT, "$1coalesce($2, NULL)");
}

function isThenable(value: unknown): boolean {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}

/** What SQLite's result codes mean to a caller, by their beginning. */
const CODES: readonly (readonly [string, ErrorCode, string])[] = [
  ["SQLITE_FULL", "storage_full", "the disk is full"],
  ["SQLITE_IOERR", "storage_full", "the disk refused it"],
  ["SQLITE_BUSY", "busy", "the file is locked"],
  ["SQLITE_LOCKED", "busy", "the file is locked"],
  // The locks of a WAL that many open and close at once.
  ["SQLITE_PROTOCOL", "busy", "the file is locked"],
  ["SQLITE_CORRUPT", "storage_damaged", "the file is damaged"],
  ["SQLITE_NOTADB", "storage_damaged", "the file is not a database"],
  ["SQLITE_CANTOPEN", "storage_damaged", "the file cannot be opened"],
  ["SQLITE_READONLY", "storage_full", "the file cannot be written"],
  ["EMFILE", "busy", "too many files are open"],
  ["ENFILE", "busy", "too many files are open"],
  ["ENOSPC", "storage_full", "the disk is full"],
  ["EDQUOT", "storage_full", "the disk quota is used up"],
  ["EIO", "storage_full", "the disk refused it"],
  ["EFBIG", "storage_full", "the file may not be so large"],
];

/** The KithError for an error of SQLite or of the file system; any other error is returned as it is. */
export function storageError(error: unknown, action: string): unknown {
  if (isKithError(error)) return error;
  const code = errorCodeOf(error);
  const known = CODES.find(([prefix]) => code.startsWith(prefix));
  if (!known) return error;
  const [, kithCode, reason] = known;
  return new KithError(kithCode, `${action}: ${reason}`, { cause: error, hint: HINTS[kithCode] });
}

/** True where a file is not what SQLite wrote, whether a store has said so or SQLite itself. */
export function isDamage(error: unknown): boolean {
  return isKithError(storageError(error, "Could not read"), "storage_damaged");
}

const HINTS: Partial<Record<ErrorCode, string>> = {
  storage_full:
    "Is the disk of the data folder full, may its files be written, are there enough descriptors? Look for disk errors in the kernel log, too.",
  storage_damaged:
    "Is the file there, may it be opened, are there enough descriptors? If it is damaged, restore it from a backup.",
};

/** `code` of a SQLiteError or of a system error, or "". */
export function errorCodeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : "";
}

/** True where a sync of the disk failed: what was written before has an unknown fate. */
export function isSyncFailure(error: unknown): boolean {
  const cause = isKithError(error) ? error.cause : error;
  return /^SQLITE_IOERR_(DIR_)?FSYNC/.test(errorCodeOf(cause));
}

/** True for a violated UNIQUE or PRIMARY KEY, optionally of the named "table.column". */
export function isUniqueViolation(error: unknown, column?: string): boolean {
  if (!(error instanceof SQLiteError) || !String(error.code).startsWith("SQLITE_CONSTRAINT")) return false;
  return column === undefined ? error.message.includes("UNIQUE") : error.message.includes(column);
}
