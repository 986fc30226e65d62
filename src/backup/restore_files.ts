/**
 * Brings the files of a backup into the folder that is put together. Each is checked piece by piece and as a whole before it gets its
 * name; what an earlier attempt has brought is not brought again.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { parseCid } from "../atproto/mod.ts";
import { forEach } from "../for_each.ts";
import { type BlobStore, type RestoreState, storageError, syncPath } from "../storage/mod.ts";
import { isBackupDamage } from "./backup_error.ts";
import { fileBytes } from "./cut_file.ts";
import type { FileEntry } from "./manifest.ts";
import type { Repository } from "./repository.ts";
import { type PlannedFile, SNAPSHOT_ORDER } from "./restore_plan.ts";

/** Files on their way at a time; a piece of each is in memory. */
const AT_ONCE = 6;
/** In a CID, before the hash. */
const CID_HEAD_BYTES = 4;

export interface FetchOptions {
  readonly repository: Repository;
  readonly state: RestoreState;
  /** The folder that is put together. */
  readonly folder: string;
  /** Where blobs go; undefined: they are read and checked, and go nowhere. */
  readonly blobs: BlobStore | undefined;
  /** Leaves out accounts' files and blobs that are damaged, instead of refusing. */
  readonly isPartial: boolean;
  /** Which blobs are read at all; the others count as there. */
  readonly readsBlob?: (entry: FileEntry) => boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (totals: FetchTotals) => void;
}

export interface FetchTotals {
  files: number;
  blobs: number;
  bytes: number;
  /** Of these, what this attempt has read from the backup. */
  fetchedBytes: number;
}

export interface Fetched extends FetchTotals {
  /** Repo files, by path: up to which seq they are known to be. */
  readonly repos: ReadonlyMap<string, PlannedFile>;
  readonly accountsUpTo: number;
  /** The order of the accounts store that was taken. */
  readonly accountsOrder: number;
  /** Snapshots that files were taken from which the newer one could not read. */
  readonly staleFrom: ReadonlySet<string>;
  /** What is left out, in words. */
  readonly problems: readonly string[];
}

export async function fetchFiles(files: AsyncIterable<PlannedFile>, options: FetchOptions): Promise<Fetched> {
  return await new Fetching(options).run(files);
}

class Fetching {
  readonly #options: FetchOptions;
  readonly #totals: FetchTotals = { files: 0, blobs: 0, bytes: 0, fetchedBytes: 0 };
  readonly #repos = new Map<string, PlannedFile>();
  readonly #staleFrom = new Set<string>();
  readonly #problems: string[] = [];
  /** Folders in which files got their names: synced at the end. */
  readonly #folders = new Set<string>();
  #accountsUpTo = 0;
  #accountsOrder = SNAPSHOT_ORDER;
  #parts = 0;

  constructor(options: FetchOptions) {
    this.#options = options;
  }

  async run(files: AsyncIterable<PlannedFile>): Promise<Fetched> {
    const { state, folder, signal } = this.#options;
    await mkdir(join(folder, "tmp"), { recursive: true, mode: 0o700 });
    try {
      await forEach(files, { atOnce: AT_ONCE, signal }, (file) => this.#take(file));
    } finally {
      state.flush();
    }
    for (const each of this.#folders) await syncPath(each);
    return {
      ...this.#totals,
      repos: this.#repos,
      accountsUpTo: this.#accountsUpTo,
      accountsOrder: this.#accountsOrder,
      staleFrom: this.#staleFrom,
      problems: this.#problems,
    };
  }

  async #take(planned: PlannedFile): Promise<void> {
    const { state, onProgress } = this.#options;
    const file = await this.#fetch(planned);
    if (!file) return;
    const { entry } = file;
    state.noteFetched(entry.path, entry.sha256);
    if (entry.kind === "repo") this.#repos.set(entry.path, file);
    if (entry.kind === "accounts") [this.#accountsUpTo, this.#accountsOrder] = [file.upTo, file.order];
    if (entry.kind === "blob") this.#totals.blobs += 1;
    if (entry.staleFrom !== undefined) this.#staleFrom.add(entry.staleFrom);
    this.#totals.files += 1;
    this.#totals.bytes += entry.size;
    onProgress?.(this.#totals);
  }

  /** The file that was fetched: where it is damaged an older one, as far as that may be. Undefined where none is. */
  async #fetch(file: PlannedFile): Promise<PlannedFile | undefined> {
    const { isPartial } = this.#options;
    const { entry, newerSnapshot, older } = file;
    try {
      if (entry.kind === "blob") await this.#blob(entry);
      else await this.#file(entry);
      return file;
    } catch (error) {
      const canBeLeftOut = entry.kind === "blob" || entry.kind === "repo";
      // Of a newer snapshot nothing is asked for that an older one has, or a younger account.
      const isObstacle = newerSnapshot === undefined ? !isPartial : !older && !canBeLeftOut;
      if (isObstacle || (!older && !canBeLeftOut) || !isBackupDamage(error)) throw error;
      const from = newerSnapshot === undefined ? "" : ` of "${newerSnapshot}"`;
      const what = older
        ? "is damaged, and an older one is taken: what no event tells since, as takedowns, may be missing"
        : "is left out";
      this.#problems.push(`"${entry.path}"${from} ${what}: ${error.message}`);
      return older && (await this.#fetch({ ...older, isInstead: true }));
    }
  }

  async #file(entry: FileEntry): Promise<void> {
    const { folder, state } = this.#options;
    const path = join(folder, entry.path);
    // Of a repo that has been rolled forward since, the content is another by now.
    if (existsSync(path)) {
      if (state.fetched(entry.path) === entry.sha256) return;
      if ((await hashOf(path)) === entry.sha256) return;
    }
    // What belongs to another content of the file must not meet the new one.
    for (const suffix of ["-wal", "-shm"]) await rm(`${path}${suffix}`, { force: true });
    this.#parts += 1;
    const part = join(folder, "tmp", `restore-${this.#parts}.part`);
    await this.#write(part, entry);
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await rename(part, path);
    } catch (error) {
      throw storageError(error, `Could not write "${path}"`);
    }
    for (let at = dirname(path); at.length >= folder.length; at = dirname(at)) this.#folders.add(at);
  }

  async #write(path: string, entry: FileEntry): Promise<void> {
    await bringFile(this.#options.repository, { entry, path }, (bytes) => {
      this.#totals.fetchedBytes += bytes;
    });
  }

  async #blob(entry: FileEntry): Promise<void> {
    const { blobs, state, readsBlob } = this.#options;
    const { did, cid: name } = entry;
    if (did === undefined || name === undefined) throw new TypeError(`"${entry.path}" is of nobody`);
    if (state.fetched(entry.path) === entry.sha256) return;
    const cid = parseCid(name);
    if (Buffer.from(cid.bytes.subarray(CID_HEAD_BYTES)).toString("hex") !== entry.sha256) {
      this.#problems.push(`The blob ${name} of "${did}" was damaged when it was backed up`);
    }
    if (!blobs) {
      if (readsBlob?.(entry) !== false) await this.#read(entry);
      const { size, sha256, quarantined = false } = entry;
      state.noteSeen({ did, cid: name, size, sha256, quarantined });
      return;
    }
    for (const quarantined of [false, true]) {
      if ((await blobs.open(did, cid, { quarantined }))?.size !== entry.size) continue;
      if (!quarantined && state.fetched(onItsWay(entry)) !== undefined) await blobs.quarantine(did, cid);
      return;
    }
    const upload = await blobs.begin(did);
    try {
      for await (const bytes of this.#options.repository.content(entry)) {
        await upload.write(bytes);
        this.#totals.fetchedBytes += bytes.length;
      }
      await upload.finish();
      if (entry.quarantined) {
        state.noteFetched(onItsWay(entry), entry.sha256);
        state.flush();
      }
      await blobs.keep(upload, { did, cid });
    } finally {
      await upload.discard();
    }
    if (entry.quarantined) await blobs.quarantine(did, cid);
  }

  async #read(entry: FileEntry): Promise<void> {
    for await (const bytes of this.#options.repository.content(entry))
      this.#totals.fetchedBytes += bytes.length;
  }
}

/**
 * Of a blob that is put away as soon as it is in its place: noted before, so that where a restore is cut off between the two the next one knows
 * that it has brought it.
 */
function onItsWay({ path }: FileEntry): string {
  return `${path} on its way`;
}

/** Writes a file of a backup to a path, durably. Throws BackupError missing, truncated, altered. */
export async function bringFile(
  repository: Repository,
  { entry, path }: { entry: FileEntry; path: string },
  onBytes: (count: number) => void = () => {},
): Promise<void> {
  const file = await open(path, "w", 0o600);
  try {
    for await (const bytes of repository.content(entry)) {
      for (let at = 0; at < bytes.length; )
        at += (await file.write(bytes, at, bytes.length - at)).bytesWritten;
      onBytes(bytes.length);
    }
    await file.sync();
  } catch (error) {
    throw storageError(error, `Could not write "${path}"`);
  } finally {
    await file.close();
  }
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const bytes of fileBytes(path)) hash.update(bytes);
  return hash.digest("hex");
}

/** Removes what an attempt at another restore has left; blobs stay, for their names say what they are. */
export async function clearScratch(folder: string, keep: readonly string[]): Promise<void> {
  // In this order, for a folder that has accounts and not their keys is refused.
  for (const name of (await readdir(folder)).sort()) {
    if (keep.some((each) => name.startsWith(each))) continue;
    await rm(join(folder, name), { recursive: true, force: true });
  }
}
