/**
 * Blobs as files: one folder an account, named by CID. An upload is written to tmp/, hashed as it comes, and is durable
 * before it is renamed into its place: a blob that is there is whole.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type Cid, CODEC_RAW, cidFromBytes, cidToString, parseCid } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import { safeDidName, syncPath } from "./repo_files.ts";
import { storageError } from "./sqlite.ts";

/** The folder of blobs that are taken down; no DID is named so. */
const QUARANTINE = "quarantine";
/** The first bytes of an upload that are kept for finding out its type. */
export const HEAD_BYTES = 4_096;
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
  /** The bytes, read as the consumer pulls. */
  stream(range?: ByteRange): ReadableStream<Uint8Array>;
}

export interface FinishedUpload {
  readonly cid: Cid;
  readonly size: number;
  /** The first bytes, at most HEAD_BYTES. */
  readonly head: Uint8Array;
}

/** A blob on its way in. */
export interface BlobUpload {
  write(chunk: Uint8Array): Promise<void>;
  /** Ends the upload: durable, but in no place yet. */
  finish(): Promise<FinishedUpload>;
  /** Removes what there is; nothing where the blob has been kept. */
  discard(): Promise<void>;
}

/** Which file of a blob is meant: the one that is served, or the one that a takedown has put away. */
export interface OpenBlob {
  readonly quarantined?: boolean;
}

/** Where blobs are. Errors are KithErrors: storage_full where there is no room. */
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
  /** What of an account has been put away. */
  quarantined(did: string): Promise<Cid[]>;
  /** Also what has been put away. */
  removeAll(did: string): Promise<void>;
  /** Removes uploads that a crash left behind. */
  sweepTemporary(): Promise<void>;
}

export interface DiskBlobStoreOptions {
  /** Where blobs live: `<folder>/<DID>/<CID>`, those that are taken down `<folder>/quarantine/<DID>/<CID>`. */
  readonly folder: string;
  /** Where uploads are written; on the same file system. */
  readonly tmpFolder: string;
}

export class DiskBlobStore implements BlobStore {
  readonly #options: DiskBlobStoreOptions;
  /** Accounts' folders known to be durable, or on their way. */
  readonly #folders = new Map<string, Promise<void>>();
  #uploads = 0;

  constructor(options: DiskBlobStoreOptions) {
    this.#options = options;
  }

  async begin(_did: string): Promise<DiskUpload> {
    const path = join(this.#options.tmpFolder, `upload-${process.pid}-${++this.#uploads}`);
    return guard("Could not begin an upload", async () => {
      await mkdir(this.#options.tmpFolder, { recursive: true, mode: 0o700 });
      return new DiskUpload(path, await open(path, "wx", 0o600));
    });
  }

  async keep(upload: BlobUpload, { did, cid }: { did: string; cid: Cid }): Promise<void> {
    if (!(upload instanceof DiskUpload)) throw new TypeError("The upload is of another blob store");
    await guard(`Could not keep the blob ${cidToString(cid)}`, async () => {
      const folder = this.#folderOf(did);
      await this.#makeFolder(folder);
      await upload.moveTo(join(folder, cidToString(cid)));
      await syncPath(folder);
    });
  }

  /** Durable when it resolves, also for those who come while another is making it, or after one that a crash cut short. */
  #makeFolder(folder: string): Promise<void> {
    let made = existsSync(folder) ? this.#folders.get(folder) : undefined;
    if (!made) {
      made = (async () => {
        await mkdir(folder, { recursive: true, mode: 0o700 });
        await syncPath(this.#options.folder);
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
    if (!found) return undefined;
    const { size } = found;
    return {
      size,
      file: Bun.file(path),
      stream: (range = { start: 0, end: size }) => readFileStream(path, range),
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
      await rename(join(from, name), join(to, name));
      for (const folder of [to, from, dirname(to), this.#options.folder]) await syncPath(folder);
    });
  }

  async removeQuarantined(did: string, cid: Cid): Promise<void> {
    await guard(`Could not remove the blob ${cidToString(cid)}`, () =>
      rm(join(this.#quarantineOf(did), cidToString(cid)), { force: true }),
    );
  }

  async quarantined(did: string): Promise<Cid[]> {
    const names = (await readdir(this.#quarantineOf(did)).catch(absent)) ?? [];
    return names.map((name) => parseCid(name));
  }

  async removeAll(did: string): Promise<void> {
    await guard(`Could not remove the blobs of "${did}"`, async () => {
      await rm(this.#folderOf(did), { recursive: true, force: true });
      await rm(this.#quarantineOf(did), { recursive: true, force: true });
      await syncPath(this.#options.folder);
    });
  }

  async sweepTemporary(): Promise<void> {
    const names = (await readdir(this.#options.tmpFolder).catch(absent)) ?? [];
    for (const name of names) {
      if (name.startsWith("upload-")) await rm(join(this.#options.tmpFolder, name), { force: true });
    }
  }

  #folderOf(did: string): string {
    return join(this.#options.folder, safeDidName(did));
  }

  #quarantineOf(did: string): string {
    return join(this.#options.folder, QUARANTINE, safeDidName(did));
  }
}

class DiskUpload implements BlobUpload {
  readonly #path: string;
  readonly #hash = createHash("sha256");
  readonly #head: Uint8Array[] = [];
  #headBytes = 0;
  #file: FileHandle | undefined;
  #size = 0;
  #moved = false;

  constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  async write(chunk: Uint8Array): Promise<void> {
    const file = this.#file;
    if (!file) throw new TypeError("The upload has ended");
    this.#hash.update(chunk);
    this.#size += chunk.length;
    if (this.#headBytes < HEAD_BYTES) {
      const part = chunk.slice(0, HEAD_BYTES - this.#headBytes);
      this.#head.push(part);
      this.#headBytes += part.length;
    }
    await guard("Could not write an upload", async () => {
      for (let at = 0; at < chunk.length; ) {
        const { bytesWritten } = await file.write(chunk, at, chunk.length - at);
        at += bytesWritten;
      }
    });
  }

  async finish(): Promise<FinishedUpload> {
    await guard("Could not finish an upload", async () => {
      await this.#file?.sync();
      await this.#close();
    });
    const digest = this.#hash.digest();
    const cid = cidFromBytes(Buffer.concat([Buffer.from([1, CODEC_RAW, 0x12, 32]), digest]));
    return { cid, size: this.#size, head: Buffer.concat(this.#head) };
  }

  async discard(): Promise<void> {
    await this.#close().catch(() => {});
    if (!this.#moved) await rm(this.#path, { force: true });
  }

  async moveTo(target: string): Promise<void> {
    await rename(this.#path, target);
    this.#moved = true;
  }

  async #close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
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
          throw error;
        }
      },
      cancel: close,
    },
    { highWaterMark: 1 },
  );
}

async function guard<T>(action: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw storageError(error, action);
  }
}

function absent(error: unknown): undefined {
  if ((error as { code?: unknown }).code === "ENOENT") return undefined;
  throw error;
}
