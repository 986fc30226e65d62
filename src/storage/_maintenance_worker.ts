/**
 * The maintenance worker: every operation of SQLite that syncs the disk. Started by maintenance.ts; in a compiled binary
 * it is an entry of its own (tools/build.ts).
 */
import { Database } from "bun:sqlite";
import { closeSync, existsSync, fdatasyncSync, fsyncSync, openSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { fileBytes } from "./_file_bytes.ts";
import { type StagedRows, StagedRowsWriter } from "./_staged_rows.ts";

declare const self: Worker;

// The executable begins with a policy for starts (tools/build.ts).
Bun.unsafe.setJITPolicy(1);

/** How long an operation waits for a transaction of the main thread. */
const BUSY_TIMEOUT_MS = 10_000;
/**
 * How long the end of a checkpoint waits for readers. A backup copies a large file in one read; whatever else is asked of this thread waits
 * meanwhile, and the writes to the file, of which those to the accounts are everybody's. It is asked for again.
 */
const READERS_TIMEOUT_MS = 500;

type Request =
  | { id: number; op: "prime" | "hold" | "release" | "passive" | "restart" | "recover"; path: string }
  | { id: number; op: "migrate" | "prepare"; path: string; steps: string[] }
  | { id: number; op: "stage"; path: string; rows: StagedRows }
  | { id: number; op: "countStaged" | "endStaging"; path: string }
  | { id: number; op: "clear"; path: string; tables: string[] };

/** Files that this thread holds open, so that the main thread's close is not the last one. */
const held = new Map<string, Database>();
/** Of the files into which a repo is being imported. */
const staging = new Map<string, StagedRowsWriter>();

function open(path: string): Database {
  const db = new Database(path, { readwrite: true, create: false, strict: true });
  db.run(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
  db.run("PRAGMA journal_mode = WAL");
  db.run("PRAGMA synchronous = NORMAL");
  db.run("PRAGMA wal_autocheckpoint = 0");
  return db;
}

function using<T>(path: string, run: (db: Database) => T): T {
  const db = open(path);
  try {
    return run(db);
  } finally {
    db.close();
  }
}

function schemaVersion(db: Database): number {
  return db.query<{ user_version: number }, []>("PRAGMA user_version").get()?.user_version ?? 0;
}

/** Commits one page that changes nothing. On an empty or restarted WAL this syncs its header, here. */
function touch(db: Database): void {
  db.run("BEGIN IMMEDIATE");
  try {
    db.run(`PRAGMA user_version = ${schemaVersion(db)}`);
    db.run("COMMIT");
  } catch (error) {
    if (db.inTransaction) db.run("ROLLBACK");
    throw error;
  }
}

interface Counts {
  busy: number;
  log: number;
  checkpointed: number;
}

/** As checkpoint(), for files that others may be reading. */
function checkpointSoon(db: Database, mode: "RESTART" | "TRUNCATE"): boolean {
  db.run(`PRAGMA busy_timeout = ${READERS_TIMEOUT_MS}`);
  try {
    return checkpoint(db, mode);
  } finally {
    db.run(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
  }
}

function checkpoint(db: Database, mode: "PASSIVE" | "RESTART" | "TRUNCATE"): boolean {
  const counts = db.query<Counts, []>(`PRAGMA wal_checkpoint(${mode})`).get();
  return counts?.busy === 0 && counts.log === counts.checkpointed;
}

/**
 * While the main thread writes. The pinned read keeps a writer from restarting the WAL when the checkpoint happens to
 * be complete, and the touch leaves a frame that is not in the file yet: the main thread never meets an empty WAL.
 */
function passive(path: string): boolean {
  return using(path, (pin) =>
    using(path, (db) => {
      pin.run("BEGIN");
      pin.query("SELECT count(*) FROM sqlite_schema").get();
      const complete = checkpoint(db, "PASSIVE");
      touch(db);
      pin.run("ROLLBACK");
      return complete;
    }),
  );
}

/** While the main thread writes nothing: empties the WAL and makes its new header durable. */
function restart(path: string): boolean {
  return using(path, (db) => {
    const complete = checkpointSoon(db, "RESTART");
    touch(db);
    return complete;
  });
}

function hold(path: string): void {
  const db = open(path);
  held.set(path, db);
  db.query("SELECT count(*) FROM sqlite_schema").get();
}

function release(path: string): boolean {
  const db = held.get(path);
  held.delete(path);
  if (!db) return false;
  try {
    return checkpointSoon(db, "TRUNCATE");
  } finally {
    db.close();
  }
}

/**
 * After a crash, before anybody opens the file. A failed fdatasync may have marked pages clean, so a second one proves
 * nothing: the checkpoint writes what recovery reads once more, and is accepted only if complete.
 */
function recover(path: string): boolean {
  const wal = `${path}-wal`;
  if (fileBytes(wal) > 0) syncPath(wal, fdatasyncSync);
  const complete = using(path, (db) => checkpoint(db, "TRUNCATE"));
  syncPath(dirname(path), fsyncSync);
  return complete;
}

/** Returns the version found; a newer one than `steps` leads to is left alone. */
function migrate(path: string, steps: readonly string[]): number {
  if (!existsSync(path)) closeSync(openSync(path, "wx", 0o600));
  const found = using(path, (db) => {
    const from = schemaVersion(db);
    if (from > 0 && from < steps.length) copyBefore(db, path, from + 1);
    for (let version = from + 1; version <= steps.length; version += 1) {
      step(db, steps[version - 1] ?? "", version);
    }
    checkpoint(db, "TRUNCATE");
    return from;
  });
  syncPath(dirname(path), fsyncSync);
  return found;
}

function step(db: Database, sql: string, version: number): void {
  db.run("BEGIN IMMEDIATE");
  try {
    db.run(sql);
    db.run(`PRAGMA user_version = ${version}`);
    db.run("COMMIT");
  } catch (error) {
    if (db.inTransaction) db.run("ROLLBACK");
    throw error;
  }
}

/** What writes rows of an import while the main thread writes nothing to the file. */
function stagingWriter(path: string): StagedRowsWriter {
  const writer = staging.get(path) ?? new StagedRowsWriter(open(path));
  staging.set(path, writer);
  return writer;
}

function endStaging(path: string): void {
  staging.get(path)?.close();
  staging.delete(path);
}

/** Empties tables while the main thread writes nothing: every page of theirs is read, which takes its time. */
function clear(path: string, tables: readonly string[]): void {
  using(path, (db) => {
    db.transaction(() => {
      for (const table of tables) db.run(`DELETE FROM "${table}"`);
    }).immediate();
  });
}

/** The file as it was before version `version`, whole or not there at all. */
function copyBefore(db: Database, path: string, version: number): void {
  const copy = `${path}.before-${version}`;
  const part = `${copy}.part`;
  rmSync(part, { force: true });
  closeSync(openSync(part, "wx", 0o600));
  db.query("VACUUM INTO ?").run(part);
  syncPath(part, fsyncSync);
  renameSync(part, copy);
  syncPath(dirname(path), fsyncSync);
}

function syncPath(path: string, sync: (fd: number) => void): void {
  const fd = openSync(path, "r");
  try {
    sync(fd);
  } catch (error) {
    throw Object.assign(new Error(`Could not sync "${path}"`, { cause: error }), {
      code: "SQLITE_IOERR_FSYNC",
    });
  } finally {
    closeSync(fd);
  }
}

function run(request: Request): unknown {
  switch (request.op) {
    case "prime":
      return using(request.path, touch);
    case "hold":
      return hold(request.path);
    case "release":
      return release(request.path);
    case "passive":
      return passive(request.path);
    case "restart":
      return restart(request.path);
    case "recover":
      return recover(request.path);
    case "migrate":
      return migrate(request.path, request.steps);
    case "stage":
      return stagingWriter(request.path).write(request.rows);
    case "countStaged":
      return stagingWriter(request.path).count();
    case "endStaging":
      return endStaging(request.path);
    case "prepare":
      return existsSync(request.path) && !recover(request.path)
        ? undefined
        : migrate(request.path, request.steps);
    case "clear":
      return clear(request.path, request.tables);
  }
}

self.onmessage = (event: MessageEvent<Request>) => {
  const { id } = event.data;
  try {
    self.postMessage({ id, result: run(event.data) });
  } catch (error) {
    const { message, code } = error as { message?: string; code?: string };
    self.postMessage({ id, failure: { message: message ?? String(error), code: code ?? "" } });
  }
};
