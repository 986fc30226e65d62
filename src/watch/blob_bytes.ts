/** How much blobs take on the disk. They are counted in the background, a few at a time, when somebody asks and the last count is old. */
import { opendir, stat } from "node:fs/promises";
import { join } from "node:path";

const FRESH_MS = 60 * 60_000;
/** After so many files others have their turn. */
const FILES_AT_ONCE = 100;
const PAUSE_MS = 20;
/** Folders of accounts, also those in the quarantine. */
const DEPTH_MAX = 3;

export interface BlobBytesOptions {
  /** Undefined where blobs are in a bucket. */
  readonly folder: string | undefined;
  /** Milliseconds that only rise. */
  readonly now?: () => number;
  readonly pause?: () => Promise<void>;
}

export class BlobBytes {
  readonly #folder: string | undefined;
  readonly #now: () => number;
  readonly #pause: () => Promise<void>;
  #bytes: number | undefined;
  #countedMs = Number.NEGATIVE_INFINITY;
  #counting: Promise<void> | undefined;
  #stopped = false;

  constructor({ folder, now = () => performance.now(), pause = pauseOf }: BlobBytesOptions) {
    this.#folder = folder;
    this.#now = now;
    this.#pause = pause;
  }

  /** As of the last whole count; undefined before there is one. */
  bytes(): number | undefined {
    if (this.#now() - this.#countedMs >= FRESH_MS) void this.count();
    return this.#bytes;
  }

  /** Resolves when they are counted. Never rejects. */
  count(): Promise<void> {
    this.#counting ??= this.#count().finally(() => {
      this.#counting = undefined;
    });
    return this.#counting;
  }

  stop(): void {
    this.#stopped = true;
  }

  async #count(): Promise<void> {
    if (this.#folder === undefined || this.#stopped) return;
    // Also where it fails: the next attempt can wait.
    this.#countedMs = this.#now();
    const bytes = await this.#bytesBelow(this.#folder).catch(() => undefined);
    this.#bytes = bytes ?? this.#bytes;
  }

  /** Undefined where it was stopped. Throws where a folder cannot be read to its end. */
  async #bytesBelow(folder: string): Promise<number | undefined> {
    let [bytes, files] = [0, 0];
    for await (const path of filesBelow(folder, DEPTH_MAX)) {
      if (this.#stopped) return undefined;
      bytes += await stat(path).then(
        ({ size }) => size,
        // Removed since.
        () => 0,
      );
      files += 1;
      if (files % FILES_AT_ONCE === 0) await this.#pause();
    }
    return bytes;
  }
}

async function* filesBelow(folder: string, depth: number): AsyncGenerator<string> {
  // A folder that is not there, or goes meanwhile, is empty.
  const entries = await opendir(folder).catch(() => undefined);
  if (!entries) return;
  for await (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isFile()) yield path;
    else if (entry.isDirectory() && depth > 1) yield* filesBelow(path, depth - 1);
  }
}

function pauseOf(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, PAUSE_MS).unref?.();
  });
}
