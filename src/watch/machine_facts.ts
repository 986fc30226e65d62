/** What the system says of this process and of its disk. */
import { readdir, readFile, stat, statfs } from "node:fs/promises";

const MICROSECONDS = 1_000_000;

/** Known once: it would waver with each look, and jump with the clock, which is taken for a restart. */
const STARTED_AT = Date.now() / 1_000 - process.uptime();

export interface ProcessFacts {
  readonly residentBytes: number;
  readonly cpuSeconds: number;
  /** Unix seconds. */
  readonly startedAt: number;
  /** Undefined where the system does not tell by /proc. */
  readonly openFiles: number | undefined;
  readonly openFilesMax: number | undefined;
}

export async function processFacts(): Promise<ProcessFacts> {
  const { user, system } = process.cpuUsage();
  const [descriptors, limits] = await Promise.all([
    readdir("/proc/self/fd").catch(() => undefined),
    readFile("/proc/self/limits", "utf8").catch(() => ""),
  ]);
  const limit = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
  return {
    residentBytes: process.memoryUsage.rss(),
    cpuSeconds: (user + system) / MICROSECONDS,
    startedAt: STARTED_AT,
    // One of them is the folder that is being read.
    openFiles: descriptors && descriptors.length - 1,
    openFilesMax: limit === undefined ? undefined : Number(limit),
  };
}

export interface DiskRoom {
  /** For this process. */
  readonly freeBytes: number;
  readonly sizeBytes: number;
}

/** Of the disk that a folder is on; undefined where the system does not tell. */
export async function diskRoom(folder: string): Promise<DiskRoom | undefined> {
  try {
    const { bavail, blocks, bsize } = await statfs(folder);
    return { freeBytes: bavail * bsize, sizeBytes: blocks * bsize };
  } catch {
    return undefined;
  }
}

/** Of files that belong together, such as a database and its WAL; those that are not there count as empty. */
export async function bytesOfFiles(paths: readonly string[]): Promise<number> {
  const sizes = await Promise.all(
    paths.map((path) =>
      stat(path).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}
