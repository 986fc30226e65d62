/**
 * Where a restore puts a data folder together, and how it gets into its place at the end. Beside the data folder ("<folder>.restoring"),
 * so that one rename does it; where that cannot be, as the folder is a disk of its own or the one above it may not be written, inside
 * ("<folder>/.restoring"), from where its parts are moved up. No server starts while either is there.
 */
import { accessSync, constants, existsSync, readdirSync, realpathSync, statSync } from "node:fs";
import { mkdir, readdir, rename, rm, rmdir, statfs, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { KithError } from "../errors.ts";
import {
  DataFolder,
  errorCodeOf,
  isFolderInUse,
  restoringPlaces,
  storageError,
  syncPath,
} from "../storage/mod.ts";

/** In the folder that is put together: it is complete, and is being moved. */
const MOVING = "moving";
/** What a disk has by itself. */
const DISK_OWN = new Set(["lost+found"]);
/** Kept free beside what is fetched. */
const SPARE_BYTES = 64 * 1024 * 1024;

export class RestoreFolder {
  /** The data folder. */
  readonly target: string;
  /** Where it is put together; its lock is held. */
  readonly scratch: DataFolder;
  /** True where the data was complete already, and only has to be moved. */
  readonly isComplete: boolean;
  readonly #isInside: boolean;

  private constructor(target: string, scratch: DataFolder, isInside: boolean) {
    this.target = target;
    this.scratch = scratch;
    this.#isInside = isInside;
    this.isComplete = existsSync(join(scratch.path, MOVING));
  }

  /**
   * Throws KithError data_folder_refused where a server runs on the folder, where it holds anything, where another restore is at work, or
   * where it cannot be made; storage_full where there is no room for so many bytes.
   */
  static async open(folder: string, { bytes }: { bytes: number }): Promise<RestoreFolder> {
    const target = existsSync(folder) ? realpathSync(folder) : resolve(folder);
    const { beside, inside } = restoringPlaces(target);
    const isMoving = existsSync(join(inside, MOVING));
    if (!isMoving) refuseUsed(target);
    const isInside = existsSync(inside) || (!existsSync(beside) && !canBeBeside(target));
    const scratch = isInside ? inside : beside;
    if (!existsSync(scratch)) await demandRoom(target, bytes);
    try {
      await mkdir(scratch, { recursive: true, mode: 0o700 });
      await syncPath(dirname(scratch));
    } catch (error) {
      throw storageError(error, `Could not make "${scratch}"`);
    }
    return new RestoreFolder(target, DataFolder.open(scratch, { isRestored: true }), isInside);
  }

  /** Where the data folder may be put together. */
  static placesOf(folder: string): { beside: string; inside: string } {
    return restoringPlaces(folder);
  }

  /** Puts the data folder into its place, all of it or nothing for a server that starts. */
  async finish(): Promise<void> {
    const from = this.scratch.path;
    // It was empty at the begin, which is long ago: what has come there since is not replaced.
    if (!existsSync(join(from, MOVING))) refuseUsed(this.target);
    try {
      if (this.#isInside) await this.#moveUp(from);
      else {
        // In place of an empty one, if that is there.
        await rename(from, this.target);
        await syncPath(dirname(this.target));
      }
    } catch (error) {
      throw storageError(error, `Could not move "${from}" to "${this.target}"`);
    }
  }

  async #moveUp(from: string): Promise<void> {
    await writeFile(join(from, MOVING), "");
    await syncPath(from);
    for (const name of await readdir(from)) {
      // What the server makes anew itself.
      if (name === MOVING || name.startsWith("kith.lock") || name === "tmp") continue;
      await moveOne(join(from, name), join(this.target, name));
    }
    await syncPath(this.target);
    // With its mark, in one step: without it a start would refuse what is left, and so would another restore.
    const tmp = join(this.target, "tmp");
    await mkdir(tmp, { recursive: true, mode: 0o700 });
    const left = join(tmp, "restored");
    await rename(from, left);
    await syncPath(this.target);
    await rm(left, { recursive: true });
  }

  close(): void {
    this.scratch.close();
  }
}

/** Where its content was moved before a crash, a part of the data folder has been made again, empty, when the folder was opened again. */
async function moveOne(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if (!["ENOTEMPTY", "EEXIST"].includes(errorCodeOf(error))) throw error;
    await rmdir(from);
  }
}

async function demandRoom(target: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(firstThatIs(target));
  const free = bavail * bsize;
  if (free >= bytes + SPARE_BYTES) return;
  const words = (count: number) => `${Math.ceil(count / (1024 * 1024))} MiB`;
  throw new KithError(
    "storage_full",
    `Could not restore into "${target}": it takes ${words(bytes + SPARE_BYTES)}, and its disk has ${words(free)}`,
    { hint: "Make room, or name a folder on a larger disk with --data or PDS_DATA_DIRECTORY." },
  );
}

/** The folder, or the first above it that is there. */
function firstThatIs(path: string): string {
  return existsSync(path) ? path : firstThatIs(dirname(path));
}

function refuseUsed(target: string): void {
  if (!existsSync(target)) return;
  if (!statSync(target).isDirectory())
    throw new KithError("data_folder_refused", `Could not restore into "${target}": it is a file`);
  if (isFolderInUse(target)) {
    throw new KithError("data_folder_refused", `Could not restore into "${target}": a server is using it`, {
      hint: "Stop the server, move its data folder away (keep it until the restored one has proved itself), and begin again.",
    });
  }
  const { inside } = restoringPlaces(target);
  const found = readdirSync(target).filter((name) => !DISK_OWN.has(name) && join(target, name) !== inside);
  const [first] = found.sort();
  if (first === undefined) return;
  throw new KithError(
    "data_folder_refused",
    `Could not restore into "${target}": it is not empty, there is "${first}"${found.length > 1 ? ` and ${found.length - 1} more` : ""}`,
    {
      hint: "Move what is there away (keep it: it may have what the backup has not), or name another folder with --data or PDS_DATA_DIRECTORY.",
    },
  );
}

/** Whether a folder beside the target is on the same disk, and may be made. */
function canBeBeside(target: string): boolean {
  const above = firstThatIs(dirname(target));
  try {
    accessSync(above, constants.W_OK);
  } catch {
    return false;
  }
  return !existsSync(target) || statSync(target).dev === statSync(above).dev;
}
