/** The data folder: where everything is, and who may use it. One process owns it. */
import { Database } from "bun:sqlite";
import {
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { KithError } from "../errors.ts";
import { errorCodeOf } from "./sqlite.ts";

/** Files by which a data folder of the reference PDS is known. */
const FOREIGN_NAMES = ["account.sqlite", "sequencer.sqlite", "actors", "did_cache.sqlite"];

export interface OpenFolder {
  readonly madeBy?: string;
  readonly isRestored?: boolean;
}

/** The paths in an opened data folder. The lock lasts until close() or the end of the process, however it ends. */
export class DataFolder {
  readonly path: string;
  readonly accounts: string;
  readonly events: string;
  readonly lexicons: string;
  readonly repos: string;
  readonly blobs: string;
  readonly tmp: string;
  readonly masterKey: string;
  readonly #lock: Database;

  private constructor(path: string, lock: Database) {
    this.path = path;
    this.accounts = join(path, "accounts.sqlite");
    this.events = join(path, "events.sqlite");
    this.lexicons = join(path, "lexicons.sqlite");
    this.repos = join(path, "repos");
    this.blobs = join(path, "blobs");
    this.tmp = join(path, "tmp");
    this.masterKey = join(path, "master.key");
    this.#lock = lock;
  }

  /**
   * Makes the folder where there is none, takes its lock and empties tmp/.
   * Throws KithError data_folder_refused: made by the reference PDS, not writable, in use by another process, half-made by
   * a command that was cut off, without the master key that its accounts were sealed with, or with files of accounts and without the
   * accounts. `madeBy` is such a command itself: the folder is marked as half-made by it, and refused where it has accounts that the
   * command has not left half-made. `isRestored`: its files come one by one, in any order.
   */
  static open(path: string, { madeBy, isRestored }: OpenFolder = {}): DataFolder {
    const absolute = resolve(path);
    refuseForeign(absolute);
    if (madeBy === undefined) refuseUnfinished(absolute);
    refuseUnrestored(absolute);
    makeWritable(absolute);
    if (!isRestored) refuseKeyless(absolute);
    if (madeBy === undefined && !isRestored) refuseAccountless(absolute);
    const folder = new DataFolder(absolute, takeLock(absolute));
    if (madeBy !== undefined) folder.#makeBy(madeBy);
    emptyTemporary(folder.tmp);
    for (const part of [folder.repos, folder.blobs, folder.tmp]) makePart(part);
    syncFolder(absolute);
    return folder;
  }

  /** Under the lock: whoever had it a moment ago may have made a whole folder of it, and have served it. */
  #makeBy(command: string): void {
    if (this.hasAccounts() && unfinishedBy(this.path) !== command) {
      this.close();
      throw new KithError(
        "data_folder_refused",
        `Could not make the data folder "${this.path}" with "${command}": it has accounts, and is whole`,
        {
          hint: "Another run of the command has just made it, or a server: start kith on it, or give another folder.",
        },
      );
    }
    markUnfinished(this.path, command);
  }

  /** True where kith has run in this folder before. */
  hasAccounts(): boolean {
    return existsSync(this.accounts);
  }

  /** True where any account has a file. */
  hasRepos(): boolean {
    return hasRepos(this.path);
  }

  close(): void {
    if (this.#lock.inTransaction) this.#lock.run("ROLLBACK");
    this.#lock.close();
  }
}

/** Throws KithError data_folder_refused where a folder holds the data of a reference PDS. */
export function refuseForeign(path: string): void {
  if (!existsSync(path)) return;
  const found = namesIn(path).filter((name) => FOREIGN_NAMES.includes(name));
  if (found.length === 0) return;
  throw new KithError(
    "data_folder_refused",
    `Could not open the data folder "${path}": it holds "${found.join('", "')}" of a reference PDS, which is not kith's`,
    {
      hint: `Stop the reference PDS and take all of it over into a folder of kith's own: kith import-reference ${path} --data FOLDER`,
    },
  );
}

/** A file in a data folder that is being made: the command that makes it. */
const UNFINISHED_NAME = "unfinished";
/** Written and removed to see whether the folder can be. */
const PROBE_NAME = ".write-test";

/** What an opening that was cut off may leave in a folder where nothing else is yet. */
export const OPENING_NAMES: readonly string[] = [
  PROBE_NAME,
  "kith.lock",
  "kith.lock-journal",
  `${UNFINISHED_NAME}.part`,
];

/** The command that a data folder is being made by, or was when it was cut off; undefined for a folder that is whole, or is not there. */
export function unfinishedBy(path: string): string | undefined {
  try {
    return readFileSync(join(path, UNFINISHED_NAME), "utf8").trim();
  } catch (error) {
    // Not looked for before: the command removes it at its end, while a server may be starting.
    if (errorCodeOf(error) === "ENOENT" || errorCodeOf(error) === "ENOTDIR") return undefined;
    throw error;
  }
}

/** Notes durably that no server may open the folder, before anything is put into it: all of the note, or nothing. */
function markUnfinished(path: string, command: string): void {
  const mark = join(path, UNFINISHED_NAME);
  const fd = openSync(`${mark}.part`, "w", 0o600);
  try {
    writeSync(fd, `${command}\n`);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(`${mark}.part`, mark);
  syncFolder(path);
}

/** Everything in the folder is in its place, durably. */
export function markFinished(path: string): void {
  rmSync(join(path, UNFINISHED_NAME), { force: true });
  syncFolder(path);
}

function refuseUnfinished(path: string): void {
  const command = unfinishedBy(path);
  if (command === undefined) return;
  throw new KithError(
    "data_folder_refused",
    `Could not open the data folder "${path}": it is half-made by "${command}", which has not come to its end`,
    { hint: "Run that command again: it begins anew. Or give kith another folder." },
  );
}

/** Where a restore puts a data folder together: beside it, or inside where that cannot be. Of a link: where that leads. */
export function restoringPlaces(path: string): { beside: string; inside: string } {
  const real = existsSync(path) ? realpathSync(path) : resolve(path);
  return { beside: `${real}.restoring`, inside: join(real, ".restoring") };
}

/** Throws KithError data_folder_refused where a restore into the folder was begun and has not ended. */
function refuseUnrestored(path: string): void {
  const { beside, inside } = restoringPlaces(path);
  const found = [beside, inside].find((each) => existsSync(each));
  if (found === undefined) return;
  throw new KithError(
    "data_folder_refused",
    `Could not open the data folder "${path}": a restore into it has not ended`,
    {
      hint: `Run "kith restore" again, which goes on where it was cut off. To give it up instead, remove "${found}".`,
    },
  );
}

/** Whether a process uses the data folder. Changes nothing in it. */
export function isFolderInUse(path: string): boolean {
  const file = join(path, "kith.lock");
  if (!existsSync(file)) return false;
  let db: Database | undefined;
  try {
    db = new Database(file, { readwrite: true, create: false, strict: true });
    db.run("PRAGMA busy_timeout = 0");
    db.run("BEGIN IMMEDIATE");
    db.run("ROLLBACK");
    return false;
  } catch (error) {
    return errorCodeOf(error).startsWith("SQLITE_BUSY");
  } finally {
    db?.close();
  }
}

/** The key is made before the first account, so it can only have been lost. */
function refuseKeyless(path: string): void {
  if (!existsSync(join(path, "accounts.sqlite")) || existsSync(join(path, "master.key"))) return;
  throw new KithError(
    "data_folder_refused",
    `Could not open the data folder "${path}": it has accounts and no "master.key", which their signing keys are sealed with`,
    { hint: "Put back the master.key that belongs to this data folder, from a backup." },
  );
}

/** A server makes accounts.sqlite where there is none; in a folder with files of accounts it would be one of nobody. */
function refuseAccountless(path: string): void {
  const accounts = join(path, "accounts.sqlite");
  if (!isAbsent(accounts) || !hasRepos(path)) return;
  throw new KithError(
    "data_folder_refused",
    `Could not open the data folder "${path}": there are files of accounts in "repos", and "accounts.sqlite" is ${existsSync(accounts) ? "empty" : "not there"}`,
    {
      hint: "Put accounts.sqlite back, from a copy of the folder, or restore the server from a backup (kith restore). Do not remove what is there: it may have what the backup has not.",
    },
  );
}

/** True of a database that will be made anew: an empty file is to SQLite as none. */
export function isAbsent(path: string): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  return found === undefined || (found.isFile() && found.size === 0);
}

function hasRepos(path: string): boolean {
  const repos = join(path, "repos");
  if (!existsSync(repos)) return false;
  const folders = readdirSync(repos, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return folders.some(({ name }) => namesIn(join(repos, name)).some((file) => file.endsWith(".sqlite")));
}

function namesIn(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    throw unusable(path, error);
  }
}

function makeWritable(path: string): void {
  // Always of this name: one that was cut off here leaves it to the next.
  const probe = join(path, PROBE_NAME);
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const fd = openSync(probe, "w", 0o600);
    try {
      writeSync(fd, "kith");
    } finally {
      closeSync(fd);
      rmSync(probe, { force: true });
    }
  } catch (error) {
    throw unusable(path, error);
  }
}

/** Removes what a crash has left; not what another process is putting together there: a drill, which does not take the folder's lock. */
function emptyTemporary(path: string): void {
  const isFolder = lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  if (!isFolder) rmSync(path, { force: true });
  for (const name of isFolder ? readdirSync(path) : []) {
    const inside = join(path, name);
    if (!isFolderInUse(inside)) rmSync(inside, { recursive: true, force: true });
  }
}

function makePart(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw unusable(path, error);
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOTDIR: "it is a file",
  EEXIST: "it is a file",
  EACCES: "its owner or mode does not allow it (EACCES)",
  EROFS: "its file system is read-only (EROFS)",
  ENOSPC: "the disk is full (ENOSPC)",
};

function unusable(path: string, cause: unknown): KithError {
  const code = errorCodeOf(cause);
  const reason = REASONS[code] ?? (code || "unknown reason");
  return new KithError("data_folder_refused", `Could not write in the data folder "${path}": ${reason}`, {
    cause,
    hint: "Check that the folder belongs to the user that runs kith, and that its disk is writable and not full.",
  });
}

/**
 * A write lock on a small SQLite file, held in an open transaction. The kernel drops it when the process dies, whatever
 * kills it; a second process can still read from the file who has it.
 */
function takeLock(path: string): Database {
  const file = join(path, "kith.lock");
  makeLockFile(file);
  const db = new Database(file, { readwrite: true, create: false, strict: true });
  try {
    db.run("PRAGMA busy_timeout = 0");
    db.run("PRAGMA synchronous = OFF");
    db.run("BEGIN IMMEDIATE");
    db.run("CREATE TABLE IF NOT EXISTS owner (id INTEGER PRIMARY KEY CHECK (id = 1), pid INTEGER NOT NULL)");
    db.run("INSERT OR REPLACE INTO owner (id, pid) VALUES (1, ?)", [process.pid]);
    db.run("COMMIT");
    db.run("BEGIN IMMEDIATE");
    return db;
  } catch (error) {
    const pid = ownerOf(db);
    db.close();
    if (/^SQLITE_(NOTADB|CORRUPT)/.test(errorCodeOf(error))) throw damagedLock(path, error);
    if (!errorCodeOf(error).startsWith("SQLITE_BUSY")) throw unusable(path, error);
    const who = pid === undefined ? "another process" : `the process ${pid}`;
    throw new KithError(
      "data_folder_refused",
      `Could not open the data folder "${path}": ${who} is using it`,
      {
        hint: "Stop the other server first, or set PDS_DATA_DIRECTORY to another folder.",
      },
    );
  }
}

function damagedLock(path: string, cause: unknown): KithError {
  return new KithError(
    "data_folder_refused",
    `Could not open the data folder "${path}": its "kith.lock" is damaged`,
    {
      cause,
      hint: "It holds nothing but the lock. Where no server runs on the folder, remove it.",
    },
  );
}

/** Only where there is none: opening and closing the file of a live lock would drop the lock. */
function makeLockFile(file: string): void {
  try {
    closeSync(openSync(file, "wx", 0o600));
  } catch (error) {
    if (errorCodeOf(error) !== "EEXIST") throw error;
  }
}

function ownerOf(db: Database): number | undefined {
  try {
    return db.query<{ pid: number }, []>("SELECT pid FROM owner").get()?.pid;
  } catch {
    return undefined;
  }
}

/** fsyncs a folder, so that names made or removed in it survive a power cut. For start-up: blocks. */
export function syncFolder(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
