/** A destination that is a folder of this machine, or of one that is mounted on it. */
import { randomBytes } from "node:crypto";
import { mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { KithError } from "../errors.ts";
import { errorCodeOf, storageError, syncPath } from "../storage/mod.ts";
import { assertFileName, type Destination, type StoredFile } from "./destination.ts";

/** Files are written here and then renamed into their place. */
const PARTS = "tmp";
/** What is older than this in it was left by a run that is gone. */
const PART_LIFETIME_MS = 24 * 3_600_000;
const FOLDERS_REMEMBERED_MAX = 1_000;

export class FolderDestination implements Destination {
  readonly where: string;
  /** Folders that are there, durably. */
  readonly #made = new Map<string, Promise<void>>();

  constructor(folder: string) {
    this.where = resolve(folder);
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    assertFileName(name);
    const path = join(this.where, name);
    const part = join(this.where, PARTS, `${randomBytes(12).toString("hex")}.part`);
    await this.#guard(`Could not write "${name}"`, async () => {
      await this.#folder(join(this.where, PARTS));
      await this.#folder(dirname(path));
      try {
        await writeSynced(part, bytes);
        await rename(part, path);
      } catch (error) {
        // Somebody may have taken a folder away that was there.
        this.#made.clear();
        await rm(part, { force: true }).catch(() => {});
        throw error;
      }
      await syncPath(dirname(path));
    });
  }

  async get(name: string): Promise<Uint8Array | undefined> {
    assertFileName(name);
    return await this.#guard(`Could not read "${name}"`, () =>
      readFile(join(this.where, name)).catch(absent),
    );
  }

  async size(name: string): Promise<number | undefined> {
    assertFileName(name);
    const found = await this.#guard(`Could not look at "${name}"`, () =>
      stat(join(this.where, name)).catch(absent),
    );
    return found?.size;
  }

  async *list(folder: string): AsyncIterable<StoredFile> {
    yield* this.#list(folder.replace(/\/$/, ""));
  }

  async *#list(folder: string): AsyncIterable<StoredFile> {
    if (folder === PARTS) return;
    const path = join(this.where, folder);
    const entries = await this.#guard(`Could not list "${folder}"`, () =>
      readdir(path, { withFileTypes: true }).catch(absent),
    );
    // What file systems and desktops put into a folder is not ours, and does not make it somebody's.
    const ours = (entries ?? []).filter(
      (entry) => !entry.name.startsWith(".") && entry.name !== "lost+found",
    );
    const named = ours.map((entry) => ({
      entry,
      name: folder === "" ? entry.name : `${folder}/${entry.name}`,
    }));
    // A folder stands where its files would, had they no folders.
    const order = ({ entry, name }: (typeof named)[number]) => (entry.isDirectory() ? `${name}/` : name);
    named.sort((a, b) => (order(a) < order(b) ? -1 : 1));
    for (const { entry, name } of named) {
      if (entry.isDirectory()) yield* this.#list(name);
      else if (entry.isFile()) {
        const found = await this.#guard(`Could not look at "${name}"`, () =>
          stat(join(this.where, name)).catch(absent),
        );
        if (found) yield { name, size: found.size, at: found.mtimeMs };
      }
    }
  }

  async remove(name: string): Promise<void> {
    assertFileName(name);
    await this.#guard(`Could not remove "${name}"`, () => rm(join(this.where, name), { force: true }));
  }

  async sweep(): Promise<void> {
    const folder = join(this.where, PARTS);
    await this.#guard("Could not sweep", async () => {
      for (const name of (await readdir(folder).catch(absent)) ?? []) {
        const found = await stat(join(folder, name)).catch(absent);
        const isOld = found && Math.abs(Date.now() - found.mtimeMs) > PART_LIFETIME_MS;
        if (isOld && name.endsWith(".part")) await rm(join(folder, name), { force: true });
      }
    });
  }

  /** Makes a folder, durably; remembered, so that it costs nothing the next time. */
  #folder(path: string): Promise<void> {
    let made = this.#made.get(path);
    if (!made) {
      made = this.#makeFolder(path);
      made.catch(() => this.#made.delete(path));
      if (this.#made.size >= FOLDERS_REMEMBERED_MAX) this.#made.clear();
      this.#made.set(path, made);
    }
    return made;
  }

  async #makeFolder(path: string): Promise<void> {
    const first = await mkdir(path, { recursive: true, mode: 0o700 });
    if (first === undefined) return;
    for (let at = path; ; at = dirname(at)) {
      await syncPath(dirname(at));
      if (at === first || at === dirname(at)) return;
    }
  }

  async #guard<T>(action: string, run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      const told = storageError(error, `${action} in the backup folder "${this.where}"`);
      if (told instanceof KithError) {
        throw new KithError(told.code, told.message, {
          cause: error,
          hint: "Is the disk of the backup folder full, is it mounted, and may its files be written and read?",
        });
      }
      const code = errorCodeOf(error);
      if (code === "") throw error;
      throw new KithError("upstream_failure", `${action} in the backup folder "${this.where}": ${code}`, {
        cause: error,
        hint: "Is it a folder, is it mounted, and may the user that runs kith read and write it?",
      });
    }
  }
}

async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    for (let at = 0; at < bytes.length; ) {
      const { bytesWritten } = await file.write(bytes, at, bytes.length - at);
      at += bytesWritten;
    }
    await file.sync();
  } finally {
    await file.close();
  }
}

function absent(error: unknown): undefined {
  const code = errorCodeOf(error);
  if (code === "ENOENT" || code === "ENOTDIR") return undefined;
  throw error;
}
