/**
 * Blobs as files: one folder an account, named by CID. An upload is written to tmp/, hashed as it comes, and is durable
 * before it is renamed into its place: a blob that is there is whole.
 */
import { existsSync } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type Cid, cidToString, parseCid } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import { type BlobUpload, guard, UploadFile, UploadFolder } from "./_upload_file.ts";
import { safeDidName, syncNames } from "./repo_files.ts";
import { errorCodeOf } from "./sqlite.ts";
import type { OnFatal } from "./wal_sync.ts";

export { type BlobUpload, type FinishedUpload, HEAD_BYTES } from "./_upload_file.ts";

/** The folder of blobs that are taken down; no DID is named so. */
const QUARANTINE = "quarantine";
/** Folders remembered as durable; past that they are synced anew. */
const FOLDERS_REMEMBERED_MAX = 10_000;
/** Bytes read from a file at a time. */
const CHUNK_BYTES = 256 * 1024;

/** A range of bytes: from `start`, `end` excluded. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

export interface StoredBlob {
  readonly size: number;
  /** The file, where the store is a folder: a server can send it itself, with its length and in ranges. */
  readonly file?: Blob;
  /**
   * The bytes, read as the consumer pulls; resolves once they begin to come. KithError blob_not_found, from here or from the stream, where
   * it was removed or moved since.
   */
  stream(range?: ByteRange): Promise<ReadableStream<Uint8Array>>;
}

/** A blob as the store lists it. */
export interface ListedBlob {
  readonly cid: Cid;
  /** For `after` of the next page. */
  readonly name: string;
  /** Unix milliseconds. */
  readonly storedAt: number;
}

export interface BlobPage extends OpenBlob {
  readonly limit: number;
  readonly after?: string;
}

/** Asked for at a time by eachBlob(). */
const PAGE_BLOBS = 500;

/** What is here of an account, or has been put away, in the order of the names; a page is in memory. */
export async function* eachBlob(
  blobs: { list(did: string, page: BlobPage): Promise<readonly ListedBlob[]> },
  { did, ...which }: OpenBlob & { did: string },
): AsyncGenerator<ListedBlob, void> {
  for (let after: string | undefined; ; ) {
    const page = await blobs.list(did, {
      ...which,
      limit: PAGE_BLOBS,
      ...(after === undefined ? {} : { after }),
    });
    yield* page;
    after = page.at(-1)?.name;
    if (page.length < PAGE_BLOBS) return;
  }
}

/** Which file of a blob is meant: the one that is served, or the one that a takedown has put away. */
export interface OpenBlob {
  readonly quarantined?: boolean;
}

/**
 * Where blobs are. Errors are KithErrors: storage_full where there is no room; of a bucket upstream_failure, timeout,
 * and busy where it wants fewer requests.
 */
export interface BlobStore {
  begin(did: string): Promise<BlobUpload>;
  /** Moves a finished upload into its place; durable when it resolves. */
  keep(upload: BlobUpload, target: { did: string; cid: Cid }): Promise<void>;
  open(did: string, cid: Cid, which?: OpenBlob): Promise<StoredBlob | undefined>;
  /** Nothing where it is not there. */
  remove(did: string, cid: Cid): Promise<void>;
  /** Puts a blob away, where only `open` with `quarantined` finds it. Nothing where it is not there. */
  quarantine(did: string, cid: Cid): Promise<void>;
  /** Puts it back. Nothing where it has not been put away. */
  release(did: string, cid: Cid): Promise<void>;
  removeQuarantined(did: string, cid: Cid): Promise<void>;
  /** What of an account has been put away, as far as a start needs to know. */
  quarantined(did: string): Promise<Cid[]>;
  /** Also what has been put away. */
  removeAll(did: string): Promise<void>;
  /** A page of what is here of an account, or of what has been put away, in the order of the names. */
  list(did: string, page: BlobPage): Promise<ListedBlob[]>;
  /** Removes uploads that a crash left behind. */
  sweepTemporary(): Promise<void>;
}

export interface DiskBlobStoreOptions {
  /** Where blobs live: `<folder>/<DID>/<CID>`, those that are taken down `<folder>/quarantine/<DID>/<CID>`. */
  readonly folder: string;
  /** Where uploads are written; on the same file system. */
  readonly tmpFolder: string;
  /** Told of a failed sync of a folder; for a command, which fails and ends, it may do nothing. */
  readonly onFatal?: OnFatal;
}

export class DiskBlobStore implements BlobStore {
  readonly #options: DiskBlobStoreOptions;
  /** Accounts' folders known to be durable, or on their way. */
  readonly #folders = new Map<string, Promise<void>>();
  readonly #uploads: UploadFolder;

  constructor(options: DiskBlobStoreOptions) {
    this.#options = options;
    this.#uploads = new UploadFolder(options.tmpFolder, { durably: true });
  }

  begin(_did: string): Promise<UploadFile> {
    return this.#uploads.begin();
  }

  async keep(upload: BlobUpload, { did, cid }: { did: string; cid: Cid }): Promise<void> {
    if (!(upload instanceof UploadFile)) throw new TypeError("The upload is of another blob store");
    await guard(`Could not keep the blob ${cidToString(cid)}`, async () => {
      const folder = this.#folderOf(did);
      await this.#makeFolder(folder);
      await upload.moveTo(join(folder, cidToString(cid)));
      await this.#sync(folder);
    });
  }

  /** Durable when it resolves, also for those who come while another is making it, or after one that a crash cut short. */
  #makeFolder(folder: string): Promise<void> {
    let made = existsSync(folder) ? this.#folders.get(folder) : undefined;
    if (!made) {
      made = (async () => {
        await mkdir(folder, { recursive: true, mode: 0o700 });
        await this.#sync(this.#options.folder);
      })();
      made.catch(() => this.#folders.delete(folder));
      if (this.#folders.size >= FOLDERS_REMEMBERED_MAX) this.#folders.clear();
      this.#folders.set(folder, made);
    }
    return made;
  }

  async open(did: string, cid: Cid, which: OpenBlob = {}): Promise<StoredBlob | undefined> {
    const folder = which.quarantined ? this.#quarantineOf(did) : this.#folderOf(did);
    const path = join(folder, cidToString(cid));
    const found = await stat(path).catch(absent);
    // What else has such a name, no server has put there.
    if (!found?.isFile()) return undefined;
    const { size } = found;
    return {
      size,
      file: Bun.file(path),
      stream: async (range = { start: 0, end: size }) => readFileStream(path, range),
    };
  }

  async remove(did: string, cid: Cid): Promise<void> {
    await guard(`Could not remove the blob ${cidToString(cid)}`, () =>
      rm(join(this.#folderOf(did), cidToString(cid)), { force: true }),
    );
  }

  quarantine(did: string, cid: Cid): Promise<void> {
    return this.#move(cid, { from: this.#folderOf(did), to: this.#quarantineOf(did) });
  }

  release(did: string, cid: Cid): Promise<void> {
    return this.#move(cid, { from: this.#quarantineOf(did), to: this.#folderOf(did) });
  }

  async #move(cid: Cid, { from, to }: { from: string; to: string }): Promise<void> {
    const name = cidToString(cid);
    await guard(`Could not move the blob ${name}`, async () => {
      if (!existsSync(join(from, name))) return;
      await mkdir(to, { recursive: true, mode: 0o700 });
      // Its last record, or its account, may have gone since, and its file or the folders with it.
      await rename(join(from, name), join(to, name)).catch(absent);
      for (const folder of [to, from, dirname(to), this.#options.folder])
        await this.#sync(folder).catch(absent);
    });
  }

  async removeQuarantined(did: string, cid: Cid): Promise<void> {
    await guard(`Could not remove the blob ${cidToString(cid)}`, () =>
      rm(join(this.#quarantineOf(did), cidToString(cid)), { force: true }),
    );
  }

  async quarantined(did: string): Promise<Cid[]> {
    const names = (await readdir(this.#quarantineOf(did)).catch(absent)) ?? [];
    return names.flatMap((name) => cidOfName(name) ?? []);
  }

  async removeAll(did: string): Promise<void> {
    await guard(`Could not remove the blobs of "${did}"`, async () => {
      await rm(this.#folderOf(did), { recursive: true, force: true });
      await rm(this.#quarantineOf(did), { recursive: true, force: true });
      await this.#sync(this.#options.folder);
    });
  }

  async list(did: string, { limit, after = "", quarantined }: BlobPage): Promise<ListedBlob[]> {
    const folder = quarantined ? this.#quarantineOf(did) : this.#folderOf(did);
    const names = (await readdir(folder).catch(absent)) ?? [];
    const found: ListedBlob[] = [];
    for (const name of names.filter((each) => each > after).sort()) {
      if (found.length >= limit) break;
      const cid = cidOfName(name);
      const file = cid && (await stat(join(folder, name)).catch(absent));
      if (cid && file?.isFile()) found.push({ cid, name, storedAt: file.mtimeMs });
    }
    return found;
  }

  sweepTemporary(): Promise<void> {
    return this.#uploads.sweep();
  }

  #sync(folder: string): Promise<void> {
    return syncNames(folder, this.#options.onFatal ?? (() => {}));
  }

  #folderOf(did: string): string {
    return join(this.#options.folder, safeDidName(did));
  }

  #quarantineOf(did: string): string {
    return join(this.#options.folder, QUARANTINE, safeDidName(did));
  }
}

function readFileStream(path: string, { start, end }: ByteRange): ReadableStream<Uint8Array> {
  let file: FileHandle | undefined;
  let at = start;
  const close = async (): Promise<void> => {
    await file?.close();
    file = undefined;
  };
  return new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        try {
          file ??= await open(path, "r");
          const chunk = new Uint8Array(Math.min(CHUNK_BYTES, end - at));
          const { bytesRead } =
            chunk.length > 0 ? await file.read(chunk, 0, chunk.length, at) : { bytesRead: 0 };
          at += bytesRead;
          if (bytesRead > 0) controller.enqueue(chunk.subarray(0, bytesRead));
          if (at < end && bytesRead > 0) return;
          await close();
          if (at < end)
            controller.error(new KithError("storage_damaged", `The blob file "${path}" is too short`));
          else controller.close();
        } catch (error) {
          await close();
          if (errorCodeOf(error) !== "ENOENT") throw error;
          throw new KithError("blob_not_found", `The blob file "${path}" is not there any more`, {
            cause: error,
          });
        }
      },
      cancel: close,
    },
    { highWaterMark: 1 },
  );
}

/** A file where a folder should be has nothing in it either. */
function absent(error: unknown): undefined {
  const { code } = error as { code?: unknown };
  if (code === "ENOENT" || code === "ENOTDIR") return undefined;
  throw error;
}

/** The CID that names a blob; undefined for what is no blob's name. */
export function cidOfName(name: string): Cid | undefined {
  try {
    return parseCid(name);
  } catch {
    return undefined;
  }
}
