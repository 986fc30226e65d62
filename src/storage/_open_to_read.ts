/** A connection beside the one that writes, for short reads in a worker. */
import { Database } from "bun:sqlite";
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
