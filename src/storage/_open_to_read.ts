/** A connection beside the one that writes, for short reads in a worker. */
import { Database } from "bun:sqlite";
import { existsSync, rmSync } from "node:fs";
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
 * that was looked for: it is nobody's, as no other file ever has that name.
 */
export function closeRead(db: Database, path: string): void {
  db.close();
  if (existsSync(path)) return;
  for (const suffix of ["-wal", "-shm"]) rmSync(`${path}${suffix}`, { force: true });
}
