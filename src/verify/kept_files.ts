/** Where a repair keeps what it is about to change, and what it moves aside: nothing is ever lost by a repair. */
import { constants, existsSync } from "node:fs";
import { chmod, copyFile, cp, type FileHandle, mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { type Cid, cidToString } from "../atproto/mod.ts";
import { type BlobStore, errorCodeOf, safeDidName, storageError, syncPath } from "../storage/mod.ts";

/** What SQLite keeps beside a file, as far as it has content. */
const WITH_IT = ["", "-wal"];

export class KeptFiles {
  /** Of one repair. */
  readonly folder: string;
  readonly #dataFolder: string;
  readonly #kept = new Set<string>();

  /** `name` is of this repair alone. */
  constructor(dataFolder: string, name: string) {
    this.#dataFolder = dataFolder;
    this.folder = join(dataFolder, "repaired", name);
  }

  /** Copies a database before its first change; durable when it resolves. Throws KithError storage_full. */
  async keep(path: string): Promise<void> {
    if (this.#kept.has(path)) return;
    const target = await this.#placeOf(path);
    try {
      for (const suffix of WITH_IT) {
        if (!existsSync(path + suffix)) continue;
        await copyFile(path + suffix, target + suffix, constants.COPYFILE_FICLONE);
        await chmod(target + suffix, 0o600);
        await syncPath(target + suffix);
      }
      await syncPath(dirname(target));
    } catch (error) {
      throw storageError(error, `Could not keep a copy of "${path}"`);
    }
    this.#kept.add(path);
  }

  /** Moves a file, a database with its WAL, or a folder. */
  async moveAside(path: string): Promise<void> {
    const target = await this.#placeOf(path);
    try {
      for (const suffix of WITH_IT) if (existsSync(path + suffix)) await move(path + suffix, target + suffix);
      await rm(`${path}-shm`, { force: true });
      await syncPath(dirname(target));
      await syncPath(dirname(path));
    } catch (error) {
      throw storageError(error, `Could not move "${path}" aside`);
    }
  }

  /** Copies a blob out of its store. False where it is not there. */
  async keepBlob(
    blobs: Pick<BlobStore, "open">,
    { did, cid, quarantined }: { did: string; cid: Cid; quarantined: boolean },
  ): Promise<boolean> {
    const found = await blobs.open(did, cid, { quarantined });
    if (!found) return false;
    const folder = join(this.folder, "blobs", safeDidName(did));
    const path = join(folder, `${cidToString(cid)}${quarantined ? ".quarantined" : ""}`);
    let file: FileHandle | undefined;
    try {
      await this.#make(folder);
      file = await open(path, "w", 0o600);
      for await (const chunk of await found.stream()) await writeAll(file, chunk);
      await file.sync();
      await syncPath(folder);
    } catch (error) {
      throw storageError(error, `Could not keep the blob "${cidToString(cid)}"`);
    } finally {
      await file?.close();
    }
    return true;
  }

  async #placeOf(path: string): Promise<string> {
    const inside = relative(this.#dataFolder, path);
    // Blobs may be elsewhere.
    const name = inside.startsWith("..")
      ? join("elsewhere", basename(dirname(path)), basename(path))
      : inside;
    const target = join(this.folder, name);
    await this.#make(dirname(target));
    return target;
  }

  /** With its own name, and those of the folders above it, on the disk. */
  async #make(folder: string): Promise<void> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    for (let each = folder; each !== this.#dataFolder; ) {
      each = dirname(each);
      await syncPath(each);
    }
  }
}

/** A disk that fills up takes a part of a write, and no error. */
async function writeAll(file: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.length; ) {
    const { bytesWritten } = await file.write(chunk, at, chunk.length - at);
    at += bytesWritten;
  }
}

async function move(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if (errorCodeOf(error) !== "EXDEV") throw error;
    await cp(from, to, { recursive: true, preserveTimestamps: true });
    await syncAll(to);
    await rm(from, { recursive: true });
  }
}

/** A file, or a folder with all that is in it. */
async function syncAll(path: string): Promise<void> {
  const inside = await readdir(path, { recursive: true }).catch((error: unknown) => {
    if (errorCodeOf(error) === "ENOTDIR") return [];
    throw error;
  });
  for (const name of inside) await syncPath(join(path, name));
  await syncPath(path);
}
