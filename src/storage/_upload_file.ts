/** Uploads under way: each a file of its own, hashed as it comes. It is in its place only once a blob store has put it there. */
import { createHash } from "node:crypto";
import { type FileHandle, mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Cid, CODEC_RAW, cidFromBytes } from "../atproto/mod.ts";
import { storageError } from "./sqlite.ts";

/** The first bytes of an upload that are kept for finding out its type. */
export const HEAD_BYTES = 4_096;

export interface FinishedUpload {
  readonly cid: Cid;
  readonly size: number;
  /** The first bytes, at most HEAD_BYTES. */
  readonly head: Uint8Array;
}

/** A blob on its way in. */
export interface BlobUpload {
  write(chunk: Uint8Array): Promise<void>;
  /** Ends the upload; it is in no place yet. */
  finish(): Promise<FinishedUpload>;
  /** Removes what there is; nothing where the blob has been kept. */
  discard(): Promise<void>;
}

/** Where they are written. */
export class UploadFolder {
  readonly #folder: string;
  readonly #durably: boolean;
  #uploads = 0;

  /** `durably`: a finished upload is on the disk. */
  constructor(folder: string, { durably }: { durably: boolean }) {
    this.#folder = folder;
    this.#durably = durably;
  }

  async begin(): Promise<UploadFile> {
    const path = join(this.#folder, `upload-${process.pid}-${++this.#uploads}`);
    return guard("Could not begin an upload", async () => {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      return new UploadFile(path, await open(path, "wx", 0o600), this.#durably);
    });
  }

  /** Removes what a crash has left. */
  async sweep(): Promise<void> {
    const names = await readdir(this.#folder).catch((error: { code?: unknown }) => {
      if (error.code === "ENOENT") return [];
      throw error;
    });
    for (const name of names) {
      if (name.startsWith("upload-")) await rm(join(this.#folder, name), { force: true });
    }
  }
}

export class UploadFile implements BlobUpload {
  readonly path: string;
  readonly #durably: boolean;
  readonly #hash = createHash("sha256");
  readonly #head: Uint8Array[] = [];
  #headBytes = 0;
  #file: FileHandle | undefined;
  #size = 0;
  #moved = false;

  constructor(path: string, file: FileHandle, durably: boolean) {
    this.path = path;
    this.#durably = durably;
    this.#file = file;
  }

  get size(): number {
    return this.#size;
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
      if (this.#durably) await this.#file?.sync();
      await this.#close();
    });
    const digest = this.#hash.digest();
    const cid = cidFromBytes(Buffer.concat([Buffer.from([1, CODEC_RAW, 0x12, 32]), digest]));
    return { cid, size: this.#size, head: Buffer.concat(this.#head) };
  }

  async discard(): Promise<void> {
    await this.#close().catch(() => {});
    if (!this.#moved) await rm(this.path, { force: true });
  }

  async moveTo(target: string): Promise<void> {
    await rename(this.path, target);
    this.#moved = true;
  }

  async #close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }
}

/** Makes the errors of the file system KithErrors. */
export async function guard<T>(action: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw storageError(error, action);
  }
}
