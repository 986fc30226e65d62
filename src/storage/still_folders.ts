/** The folders of repos and of blobs as a check looks at them, while nobody writes there. */
import { existsSync, rmSync } from "node:fs";
import { chmod, copyFile, mkdir, readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { KithError } from "../errors.ts";
import { cidOfName } from "./blob_store.ts";
import { missingRight } from "./file_rights.ts";
import { Maintenance } from "./maintenance.ts";
import { RepoFiles, repoFilePath, safeDidName } from "./repo_files.ts";
import { RepoReads } from "./repo_reads.ts";
import { errorCodeOf, storageError } from "./sqlite.ts";
import type { OnFatal } from "./wal_sync.ts";

/** Names in the folder of blobs that are of no DID. */
const NOT_OF_A_DID = new Set(["temp", "quarantine"]);

export interface StillReposOptions {
  /** repos/ of the data folder. */
  readonly folder: string;
  /** For copies of single files, which go at once. */
  readonly tmp: string;
  readonly onFatal: OnFatal;
}

export class StillRepos {
  readonly #options: StillReposOptions;
  #maintenance: Maintenance | undefined;
  #copies = 0;

  constructor(options: StillReposOptions) {
    this.#options = options;
  }

  path(did: string, generation: number): string {
    return join(this.#options.folder, repoFilePath(did, generation));
  }

  exists(did: string, generation: number): boolean {
    return existsSync(this.path(did, generation));
  }

  /** What this user may not do with it, in words; undefined where there is nothing. */
  missingRight(path: string): string | undefined {
    return missingRight(path)?.words;
  }

  /** As it is. Throws KithError storage_damaged. */
  open(path: string): RepoReads {
    return RepoReads.open(path);
  }

  /**
   * The same repo with all its rows in the tables of this version: the file itself where it is so, else a copy, which goes when it is
   * closed. Takes over what it is given. Throws KithError storage_damaged, storage_full.
   */
  async upToDate(reads: RepoReads, repo: { did: string; generation: number }): Promise<RepoReads> {
    if (reads.isCurrent && !reads.hasTail()) return reads;
    const { path } = reads.file;
    reads.close();
    this.#copies += 1;
    const folder = join(this.#options.tmp, `verify-${this.#copies}`);
    const { onFatal } = this.#options;
    this.#maintenance ??= Maintenance.start({ onFatal });
    const copies = new RepoFiles({ folder, maintenance: this.#maintenance, onFatal });
    const copy = copies.path(repo.did, repo.generation);
    const remove = () => rmSync(folder, { recursive: true, force: true });
    try {
      await mkdir(dirname(copy), { recursive: true, mode: 0o700 });
      for (const suffix of ["", "-wal"]) {
        if (!existsSync(path + suffix)) continue;
        await copyFile(path + suffix, copy + suffix);
        await chmod(copy + suffix, 0o600);
      }
      await (await copies.recover(repo.did, repo.generation)).close();
      return RepoReads.open(copy, { onClose: remove });
    } catch (error) {
      remove();
      const known = storageError(error, `Could not read "${path}"`);
      if (known instanceof KithError) throw known;
      // What a commit of the tail holds is not what was stored.
      throw new KithError("storage_damaged", `Could not read "${path}": ${(error as Error).message}`, {
        cause: error,
      });
    }
  }

  /** Every file but those that SQLite keeps beside one that is there. */
  async *files(): AsyncGenerator<string, void> {
    for (const shard of await namesIn(this.#options.folder)) {
      const folder = join(this.#options.folder, shard.name);
      if (!shard.isFolder) yield folder;
      else {
        const names = await namesIn(folder);
        const all = new Set(names.map(({ name }) => name));
        for (const { name } of names) {
          const [base] = name.split(/-(?:wal|shm)$/);
          if (base === name || !all.has(base ?? "")) yield join(folder, name);
        }
      }
    }
  }

  async close(): Promise<void> {
    await this.#maintenance?.stop();
    this.#maintenance = undefined;
  }
}

/** Blobs that are files, as far as `BlobStore` does not tell of them. */
export class StillBlobFolder {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Files and folders that are of no DID of these, absolute. */
  async *unowned(isOwned: (folderName: string) => boolean): AsyncGenerator<string, void> {
    for (const folder of [this.#folder, join(this.#folder, "quarantine")]) {
      for (const { name } of await namesIn(folder)) {
        if (!NOT_OF_A_DID.has(name) && !isOwned(name)) yield join(folder, name);
      }
    }
  }

  /** Whether it holds nothing of any account, or is not there. */
  async isEmpty(): Promise<boolean> {
    for await (const _ of this.unowned(() => false)) return false;
    return true;
  }

  /** What is in an account's folders and has no CID for a name, absolute. */
  async *nameless(did: string): AsyncGenerator<string, void> {
    for (const above of [this.#folder, join(this.#folder, "quarantine")]) {
      const folder = join(above, safeDidName(did));
      for (const { name } of await namesIn(folder)) {
        if (cidOfName(name) === undefined) yield join(folder, name);
      }
    }
  }
}

async function namesIn(folder: string): Promise<{ name: string; isFolder: boolean }[]> {
  try {
    const found = await readdir(folder, { withFileTypes: true });
    return found.map((entry) => ({ name: entry.name, isFolder: entry.isDirectory() }));
  } catch (error) {
    if (errorCodeOf(error) === "ENOENT" || errorCodeOf(error) === "ENOTDIR") return [];
    throw storageError(error, `Could not read "${folder}"`);
  }
}
