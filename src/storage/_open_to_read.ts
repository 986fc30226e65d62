/** A connection beside the one that writes, for short reads in a worker. */
import { Database } from "bun:sqlite";
import { existsSync, rmSync, statSync } from "node:fs";
import { storageError } from "./sqlite.ts";

const BUSY_TIMEOUT_MS = 10_000;

export function openToRead(path: string): Database {
  try {
    const db = new Database(path, { readwrite: true, create: false, strict: true });
    db.run(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
    db.run("PRAGMA wal_autocheckpoint = 0");
    db.run("PRAGMA query_only = ON");
    return db;
  } catch (error) {
    throw storageError(error, `Could not open "${path}"`);
  }
}

/**
 * Closes what was opened at `path` to be read. Where the file was removed since, SQLite leaves what it has made beside it, perhaps after
 * that was looked for. A log with anything in it is no reader's, and stays: the file may have been moved, and the log be about to follow.
 */
export function closeRead(db: Database, path: string): void {
  db.close();
  if (existsSync(path)) return;
  const log = statSync(`${path}-wal`, { throwIfNoEntry: false });
  if (log !== undefined && log.size > 0) return;
  for (const suffix of ["-wal", "-shm"]) rmSync(`${path}${suffix}`, { force: true });
}
