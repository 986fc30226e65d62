/** The folder of repo files: names, creation from a template, recovery after a crash, removal. */
import { constants, existsSync } from "node:fs";
import { chmod, copyFile, mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { sha256 } from "../atproto/mod.ts";
import { isKithError, KithError } from "../errors.ts";
import { REPO_MIGRATIONS } from "./_repo_schema.ts";
import { SqliteFile, type SqliteFileOptions } from "./_sqlite_file.ts";
import { refuseWithoutRight } from "./file_rights.ts";
import { checkSchema, migrate } from "./migrations.ts";
import { RepoStore } from "./repo_store.ts";
import { storageError } from "./sqlite.ts";
import type { OnFatal } from "./wal_sync.ts";

/** A DID longer than this, or with characters that a file system may fold, is hashed in file names. */
const NAME_CHARS_MAX = 100;
const PLAIN_DID = /^did:[a-z0-9]+:[a-z0-9.:-]+$/;

export interface RepoFilesOptions extends SqliteFileOptions {
  /** repos/ of the data folder. */
  readonly folder: string;
  /** tmp/ of the data folder, on the same disk; by default beside the files. */
  readonly tmp?: string;
}

/** A DID as a file name: readable where that is unambiguous on any file system, else a hash. */
export function safeDidName(did: string): string {
  if (did.length <= NAME_CHARS_MAX && PLAIN_DID.test(did)) return did.replaceAll(":", "_");
  return `hash_${Buffer.from(sha256(Buffer.from(did)))
    .toString("hex")
    .slice(0, 48)}`;
}

/** The path of a repo's file from the folder of repos. */
export function repoFilePath(did: string, generation: number): string {
  const shard = Buffer.from(sha256(Buffer.from(did)))
    .toString("hex")
    .slice(0, 2);
  return join(shard, `${safeDidName(did)}.${generation}.sqlite`);
}

/** fsyncs a file or a folder in the thread pool. */
export async function syncPath(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * fsyncs a folder whose names have changed. Where that fails nobody knows which names the disk has, and the next sync says nothing of it: so
 * `onFatal` is told, as of any failed sync, and a server ends (docs/storage_rules.md, 6).
 */
export async function syncNames(folder: string, onFatal: OnFatal): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync().catch((error: unknown) => {
      onFatal(error);
      throw error;
    });
  } finally {
    await handle.close();
  }
}

/** What a crash has left in the tail, or a disk that was full when the file was closed. */
async function settleTail(store: RepoStore): Promise<void> {
  try {
    await store.prepareWrites();
    store.settle();
  } catch (error) {
    // It is still full: what is in the tail can be read meanwhile.
    if (isKithError(error, "storage_full")) return;
    await store.close();
    throw error;
  }
}

export class RepoFiles {
  readonly #options: RepoFilesOptions;
  #template: Promise<string> | undefined;
  #copies = 0;

  constructor(options: RepoFilesOptions) {
    this.#options = options;
  }

  /** The path of a repo's file. The generation is never reused, so a stale -wal never meets a new file. */
  path(did: string, generation: number): string {
    return join(this.#options.folder, repoFilePath(did, generation));
  }

  exists(did: string, generation: number): boolean {
    return existsSync(this.path(did, generation));
  }

  /**
   * Makes the file of a new repo, durable under its name: a synced copy of a template, renamed, its folder synced.
   * Repeatable: a file that is there is complete. Throws KithError storage_full.
   */
  async create(did: string, generation: number): Promise<void> {
    const path = this.path(did, generation);
    try {
      if (!existsSync(path)) await this.#copyTemplate(path);
      await syncNames(dirname(path), this.#options.onFatal);
      await syncNames(this.#options.folder, this.#options.onFatal);
    } catch (error) {
      const action = `Could not make the repo file of "${did}"`;
      const known = storageError(error, action);
      // Where nothing can be damaged yet, a file that SQLite cannot open is one that the disk does not take.
      if (!isKithError(known, "storage_damaged")) throw known;
      throw new KithError("storage_full", `${action}: the disk refused it`, { cause: known });
    }
  }

  async #copyTemplate(path: string): Promise<void> {
    this.#template ??= this.#makeTemplate();
    const template = await this.#template.catch((error) => {
      this.#template = undefined;
      throw error;
    });
    this.#copies += 1;
    const part = join(this.#tmp, `repo-${process.pid}-${this.#copies}.part`);
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await copyFile(template, part, constants.COPYFILE_EXCL);
      await chmod(part, 0o600);
      await syncPath(part);
      await rename(part, path);
    } catch (error) {
      await rm(part, { force: true });
      throw error;
    }
  }

  get #tmp(): string {
    return this.#options.tmp ?? this.#options.folder;
  }

  /** An empty repo file of the current schema, made by the maintenance worker once a run. */
  async #makeTemplate(): Promise<string> {
    const path = join(this.#tmp, `repo-template-${process.pid}.sqlite`);
    for (const suffix of ["", "-wal", "-shm"]) await rm(`${path}${suffix}`, { force: true });
    await migrate(path, { migrations: REPO_MIGRATIONS, maintenance: this.#options.maintenance });
    return path;
  }

  /**
   * Opens a repo for reading, which costs no disk sync; RepoStore.prepareWrites() comes before the first write.
   * An older schema is migrated first. Throws KithError repo_not_found, storage_damaged, data_folder_refused.
   */
  async open(did: string, generation: number): Promise<RepoStore> {
    const path = this.path(did, generation);
    if (!existsSync(path)) {
      throw new KithError(
        "repo_not_found",
        `Could not open the repo of "${did}": it has no file of generation ${generation}`,
      );
    }
    try {
      const file = (await this.#migrateIfOlder(path)) ?? SqliteFile.open(path, this.#options);
      const store = RepoStore.open(file, { did, generation });
      if (store.hasTail) await settleTail(store);
      return store;
    } catch (error) {
      refuseWithoutRight(path);
      throw error;
    }
  }

  /** The open file if its schema is the latest; else undefined, after it was migrated. */
  async #migrateIfOlder(path: string): Promise<SqliteFile | undefined> {
    const file = SqliteFile.open(path, this.#options);
    const version = file.schemaVersion();
    if (version === REPO_MIGRATIONS.length) return file;
    await file.close();
    checkSchema(path, version, REPO_MIGRATIONS.length);
    await migrate(path, { migrations: REPO_MIGRATIONS, maintenance: this.#options.maintenance });
    return undefined;
  }

  /** As open(), after a crash: what recovery finds in the WAL is first made durable (docs/storage_rules.md, 20). */
  async recover(did: string, generation: number): Promise<RepoStore> {
    const path = this.path(did, generation);
    if (existsSync(path)) {
      await this.#options.maintenance.recover(path).catch((error: unknown) => {
        refuseWithoutRight(path);
        throw error;
      });
    }
    return await this.open(did, generation);
  }

  /** Removes the file with its WAL and copies, durably. Nobody has it open. Repeatable. */
  async remove(did: string, generation: number): Promise<void> {
    const path = this.path(did, generation);
    const folder = dirname(path);
    if (!existsSync(folder)) return;
    const name = path.slice(folder.length + 1);
    // First of all: a backup that opens it makes a log beside it, and once it is gone none can.
    await rm(path, { force: true });
    for (const found of await readdir(folder)) {
      if (found.startsWith(`${name}-`) || found.startsWith(`${name}.before-`)) {
        await rm(join(folder, found), { force: true });
      }
    }
    await syncNames(folder, this.#options.onFatal);
  }
}
