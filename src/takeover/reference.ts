/** A stopped reference PDS, opened for reading, with what has to hold before anything of it is believed. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KithError } from "../errors.ts";
import {
  canSeeLocks,
  databaseUser,
  hasLog,
  ReferenceAccounts,
  ReferenceDatabase,
  ReferenceEvents,
  ReferenceRepo,
  tracesOf,
} from "../storage/mod.ts";
import { actorPaths, type ReferencePaths } from "./locate.ts";

/** Migrations of each of its databases that are known here, and those without which it is too old. */
const ACCOUNT_MIGRATIONS = {
  known: ["001", "002", "003", "004", "005", "006", "007"],
  needed: ["001", "002", "003"],
};
const ACTOR_MIGRATIONS = { known: ["001"], needed: ["001"] };
const SEQUENCER_MIGRATIONS = { known: ["001"], needed: ["001"] };
const STOP_HINT =
  "Stop the reference PDS (docker stop pds, systemctl stop pds) and run this again; it must not run again afterwards.";

export interface ReservedKeyFile {
  /** A DID, or the key's own did:key. */
  readonly id: string;
  readonly privateKey: Uint8Array;
}

export class Reference implements AsyncDisposable {
  readonly paths: ReferencePaths;
  readonly accounts: ReferenceAccounts;
  readonly events: ReferenceEvents;
  /** What is told of how it was found. */
  readonly notes: readonly string[];
  readonly #databases: readonly ReferenceDatabase[];
  readonly #scratch: string;
  /** Files that have been read, by what was to be seen of them then. */
  readonly #traces = new Map<string, string>();

  private constructor(
    paths: ReferencePaths,
    opened: {
      accounts: ReferenceDatabase;
      sequencer: ReferenceDatabase;
      scratch: string;
      notes: readonly string[];
    },
  ) {
    this.paths = paths;
    this.notes = opened.notes;
    this.accounts = new ReferenceAccounts(opened.accounts);
    this.events = new ReferenceEvents(opened.sequencer);
    this.#databases = [opened.accounts, opened.sequencer];
    this.#scratch = opened.scratch;
  }

  /**
   * Throws KithError invalid_request where it runs or is of a version that is not known, storage_damaged where one of its two
   * databases cannot be read.
   */
  static async open(paths: ReferencePaths): Promise<Reference> {
    refuseRunning(paths);
    const scratch = mkdtempSync(join(tmpdir(), "kith-import-"));
    const traces = new Map([paths.accounts, paths.sequencer].map((path) => [path, tracesOf(path)]));
    await using opened = new AsyncDisposableStack();
    opened.defer(() => rmSync(scratch, { recursive: true, force: true }));
    const accounts = opened.use(await ReferenceDatabase.open(paths.accounts, { scratch }));
    checkMigrations(accounts, ACCOUNT_MIGRATIONS);
    const sequencer = opened.use(await ReferenceDatabase.open(paths.sequencer, { scratch }));
    checkMigrations(sequencer, SEQUENCER_MIGRATIONS);
    const reference = new Reference(paths, { accounts, sequencer, scratch, notes: notesOn(paths) });
    for (const [path, trace] of traces) reference.#traces.set(path, trace);
    opened.move();
    return reference;
  }

  /** Hands an account's store to `read`. Throws KithError storage_damaged, invalid_request on a version that is not known. */
  async withRepo<T>(did: string, read: (repo: ReferenceRepo) => Promise<T>): Promise<T> {
    const { store } = actorPaths(this.paths.actors, did);
    this.#traces.set(store, this.#traces.get(store) ?? tracesOf(store));
    await using db = await ReferenceDatabase.open(store, { scratch: this.#scratch });
    checkMigrations(db, ACTOR_MIGRATIONS);
    return await read(new ReferenceRepo(db));
  }

  /** The private key that signs for an account. Throws KithError storage_damaged. */
  signingKey(did: string): Uint8Array {
    return readKey(actorPaths(this.paths.actors, did).key);
  }

  /** Keys for accounts that may come. Throws KithError storage_damaged. */
  reservedKeys(): ReservedKeyFile[] {
    const folder = join(this.paths.actors, "reserved_keys");
    return namesIn(folder).map((id) => ({ id, privateKey: readKey(join(folder, id)) }));
  }

  /** DIDs that have a folder among the actors. */
  actorFolders(): string[] {
    const shards = namesIn(this.paths.actors).filter((name) => /^[0-9a-f]{2}$/.test(name));
    return shards.flatMap((shard) =>
      namesIn(join(this.paths.actors, shard)).filter((name) => name.startsWith("did:")),
    );
  }

  /** Throws KithError invalid_request where any file that was read is not as it was when it was read first. */
  checkUnchanged(): void {
    refuseRunning(this.paths);
    for (const [path, trace] of this.#traces) {
      if (tracesOf(path) === trace) continue;
      throw new KithError(
        "invalid_request",
        `Could not take the accounts over: "${path}" changed while it was read`,
        {
          hint: STOP_HINT,
        },
      );
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const db of this.#databases) await db[Symbol.asyncDispose]();
    rmSync(this.#scratch, { recursive: true, force: true });
  }
}

function refuseRunning({ accounts, sequencer }: ReferencePaths): void {
  for (const path of [accounts, sequencer]) {
    const pid = databaseUser(path);
    if (pid === undefined) continue;
    const who = pid > 0 ? `the process ${pid}` : "a process";
    throw new KithError("invalid_request", `Could not take the accounts over: ${who} has "${path}" open`, {
      hint: STOP_HINT,
    });
  }
}

function notesOn({ accounts, sequencer }: ReferencePaths): string[] {
  const notes: string[] = [];
  if (!canSeeLocks()) {
    notes.push(
      "Whether the reference PDS still runs cannot be seen on this system: make sure that it does not",
    );
  }
  if ([accounts, sequencer].some(hasLog)) {
    notes.push(
      "The reference PDS has left write-ahead logs, as where it is killed: what they hold is taken over too",
    );
  }
  return notes;
}

function checkMigrations(
  db: ReferenceDatabase,
  { known, needed }: { known: string[]; needed: string[] },
): void {
  const applied = db.migrations();
  const refuse = (why: string, hint: string): KithError =>
    new KithError("invalid_request", `Could not take over "${db.path}": ${why}`, { hint });
  const unknown = applied.filter((name) => !known.includes(name));
  if (unknown.length > 0) {
    const names = unknown.join('", "');
    throw refuse(
      `its schema is newer than this version of kith knows (migration "${names}")`,
      "A newer kith may know it. Its accounts can move one by one, as between any two servers: kith migrate.",
    );
  }
  const absent = needed.find((name) => !applied.includes(name));
  if (absent === undefined) return;
  throw refuse(
    applied.length === 0
      ? "it is no database of the reference PDS"
      : `its schema is too old (no migration "${absent}")`,
    "Start the newest reference PDS on a copy of the folder once: it brings its databases up to date.",
  );
}

function readKey(path: string): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = new Uint8Array(readFileSync(path));
  } catch (cause) {
    const isAbsent = (cause as { code?: string }).code === "ENOENT";
    const why = isAbsent ? "it is not there" : String((cause as { code?: string }).code ?? cause);
    throw new KithError("storage_damaged", `Could not read the key "${path}": ${why}`, { cause });
  }
  if (bytes.length === 32) return bytes;
  throw new KithError(
    "storage_damaged",
    `Could not read the key "${path}": it has ${bytes.length} bytes, not 32`,
  );
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === "ENOENT" || code === "ENOTDIR") return [];
    throw error;
  }
}
