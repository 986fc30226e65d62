/**
 * A destination that is a folder of this machine, or of one that is mounted on it. It blocks its thread, which is that of a worker or of
 * a command: in the thread pool its syncs would keep those of a server's writes waiting.
 */
import { randomBytes } from "node:crypto";
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { KithError } from "../errors.ts";
import { errorCodeOf, storageError, syncFolder } from "../storage/mod.ts";
import { assertFileName, type Destination, type StoredFile } from "./destination.ts";

/** Files are written here and then renamed into their place. */
const PARTS = "tmp";
/** What is older than this in it was left by a run that is gone. */
const PART_LIFETIME_MS = 24 * 3_600_000;
const FOLDERS_REMEMBERED_MAX = 1_000;

export class FolderDestination implements Destination {
  readonly where: string;
  /** Folders that are there, durably. */
  readonly #made = new Set<string>();

  constructor(folder: string) {
    this.where = resolve(folder);
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    assertFileName(name);
    const path = join(this.where, name);
    const part = join(this.where, PARTS, `${randomBytes(12).toString("hex")}.part`);
    this.#guard(`Could not write "${name}"`, () => {
      this.#folder(join(this.where, PARTS));
      this.#folder(dirname(path));
      try {
        writeSynced(part, bytes);
        renameSync(part, path);
      } catch (error) {
        // Somebody may have taken a folder away that was there.
        this.#made.clear();
        rmSync(part, { force: true });
        throw error;
      }
      syncFolder(dirname(path));
    });
  }

  async get(name: string): Promise<Uint8Array | undefined> {
    assertFileName(name);
    return this.#guard(`Could not read "${name}"`, () =>
      orAbsent(() => readFileSync(join(this.where, name))),
    );
  }

  async size(name: string): Promise<number | undefined> {
    assertFileName(name);
    return this.#stat(name)?.size;
  }

  async *list(folder: string): AsyncIterable<StoredFile> {
    yield* this.#list(folder.replace(/\/$/, ""));
  }

  async *#list(folder: string): AsyncIterable<StoredFile> {
    if (folder === PARTS) return;
    const path = join(this.where, folder);
    const entries = this.#guard(`Could not list "${folder}"`, () =>
      orAbsent(() => readdirSync(path, { withFileTypes: true })),
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
        const found = this.#stat(name);
        if (found) yield { name, size: found.size, at: found.mtimeMs };
      }
    }
  }

  async remove(name: string): Promise<void> {
    assertFileName(name);
    this.#guard(`Could not remove "${name}"`, () => rmSync(join(this.where, name), { force: true }));
  }

  async sweep(): Promise<void> {
    const folder = join(this.where, PARTS);
    this.#guard("Could not sweep", () => {
      for (const name of orAbsent(() => readdirSync(folder)) ?? []) {
        const found = this.#stat(`${PARTS}/${name}`);
        const isOld = found && Math.abs(Date.now() - found.mtimeMs) > PART_LIFETIME_MS;
        if (isOld && name.endsWith(".part")) rmSync(join(folder, name), { force: true });
      }
    });
  }

  #stat(name: string) {
    return this.#guard(`Could not look at "${name}"`, () => orAbsent(() => statSync(join(this.where, name))));
  }

  /** Makes a folder, durably; remembered, so that it costs nothing the next time. */
  #folder(path: string): void {
    if (this.#made.has(path)) return;
    const first = mkdirSync(path, { recursive: true, mode: 0o700 });
    if (first !== undefined) {
      for (let at = path; ; at = dirname(at)) {
        syncFolder(dirname(at));
        if (at === first || at === dirname(at)) break;
      }
    }
    if (this.#made.size >= FOLDERS_REMEMBERED_MAX) this.#made.clear();
    this.#made.add(path);
  }

  #guard<T>(action: string, run: () => T): T {
    try {
      return run();
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

function writeSynced(path: string, bytes: Uint8Array): void {
  const fd = openSync(path, "wx", 0o600);
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Undefined where there is no such file. */
function orAbsent<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch (error) {
    const code = errorCodeOf(error);
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}
