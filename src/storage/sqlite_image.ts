/**
 * Consistent copies of live SQLite files, and the evidence by which a copy is known to be up to date. Blocks: for a worker, or
 * for a process that does nothing else.
 */
import { Database } from "bun:sqlite";
import { closeSync, existsSync, openSync, rmSync, statSync } from "node:fs";
import { KithError } from "../errors.ts";
import { closeRead } from "./_open_to_read.ts";
import { storageError } from "./sqlite.ts";

/** How long a copy waits for a transaction or the end of a checkpoint. */
const BUSY_TIMEOUT_MS = 10_000;
/** A change within this time of another may have the same time in the file system: of a clock that counts seconds, say. */
const CLOCK_GRAIN_MS = 2_000;

/**
 * Writes what `path` holds at this moment, committed transactions in its WAL included, to `target`, which must not be there. The
 * read transaction lasts as long as the copy. Throws KithError storage_full, storage_damaged, busy.
 */
export function copySqlite(path: string, target: string): void {
  let db: Database | undefined;
  try {
    closeSync(openSync(target, "wx", 0o600));
    db = new Database(path, { readwrite: true, create: false, strict: true });
    db.run(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
    db.run("PRAGMA wal_autocheckpoint = 0");
    db.query("VACUUM INTO ?").run(target);
  } catch (error) {
    rmSync(target, { force: true });
    const action = `Could not copy "${path}"`;
    if (!db || existsSync(path)) throw storageError(error, action);
    // Of one that goes once it is open SQLite says that the disk fails.
    throw new KithError("storage_damaged", `${action}: it is not there any more`, { cause: error });
  } finally {
    if (db) closeRead(db, path);
  }
}

/**
 * What tells a file and its WAL, as they are now, from what they are after any later change. Take it before reading them: if it is
 * the same another time, they are the same. Undefined where a change of a moment ago could hide one that is to come.
 */
export function evidenceOf(path: string, now: number): string | undefined {
  const found = [path, `${path}-wal`].map((each) => lookAt(each, now));
  return found.includes(undefined) ? undefined : found.join(" ");
}

function lookAt(path: string, now: number): string | undefined {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false });
  // A WAL that is empty says as much as none.
  if (!found || (found.size === 0n && path.endsWith("-wal"))) return "none";
  const { dev, ino, size, mtimeNs, ctimeNs } = found;
  const newest = Math.max(Number(mtimeNs / 1_000_000n), Number(ctimeNs / 1_000_000n));
  return newest > now - CLOCK_GRAIN_MS ? undefined : [dev, ino, size, mtimeNs, ctimeNs].join("-");
}
