/** Whether a backup can be read: what a run has written, and on demand all that is there. */
import { forEach } from "../for_each.ts";
import { BackupError, isBackupDamage } from "./backup_error.ts";
import { REQUESTS_AT_ONCE } from "./destination.ts";
import type { ChunkRef } from "./manifest.ts";
import type { ObjectWriter } from "./object_writer.ts";
import { objectName, type Repository } from "./repository.ts";

export interface ProveOptions {
  readonly writer: ObjectWriter;
  readonly signal?: AbortSignal | undefined;
  readonly onDone?: (done: number, total: number) => void;
}

/**
 * Reads back and authenticates every object that a run has written or met for the first time, and looks that all others it refers to are
 * there in their length. An object that does not open is removed, so that the next run writes it. Throws BackupError.
 */
export async function proveWritten(repository: Repository, options: ProveOptions): Promise<void> {
  const { writer } = options;
  await readBack(repository, options);
  const missing = new Map(writer.needed);
  for await (const { id, size } of repository.objects()) {
    if (missing.get(id) === size) missing.delete(id);
  }
  const [first] = missing.keys();
  if (first === undefined) return;
  throw new BackupError(
    "missing",
    `The backup is not complete: ${missing.size} of its objects are not there, or have another length, such as "${objectName(first)}"`,
    { hint: "Somebody else has removed or changed them meanwhile. Begin again." },
  );
}

/** Reads back and authenticates what a run has written or met for the first time, and returns it. Throws as proveWritten. */
export async function readBack(
  repository: Repository,
  { writer, signal, onDone }: ProveOptions,
): Promise<readonly ChunkRef[]> {
  const { unproven } = writer;
  let done = 0;
  await forEach(unproven, { atOnce: REQUESTS_AT_ONCE, signal }, async (ref) => {
    try {
      await repository.object(ref);
    } catch (error) {
      if (!isBackupDamage(error)) throw error;
      await repository.destination.remove(objectName(ref.id));
      throw new BackupError(error.problem, `The backup is not complete: ${error.message}`, {
        cause: error,
        hint: "The destination does not give back what was written there. Begin again; if it happens again, do not trust it.",
      });
    }
    onDone?.(++done, unproven.length);
  });
  return unproven;
}

export interface CheckReport {
  snapshots: number;
  increments: number;
  segments: number;
  objects: number;
  bytes: number;
  /** Events of the log that are in no segment, as seqs: after, before. */
  gaps: (readonly [after: number, before: number])[];
  /** What is wrong, in words. */
  problems: string[];
  /** Objects that are damaged. */
  damaged: string[];
}

export interface CheckOptions {
  /** Reads and authenticates everything; else objects are only looked for. */
  readonly all: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onDone?: (done: number, total: number) => void;
}

/** Looks at every snapshot, increment and segment, and at every object that they need. Throws only where the destination fails. */
export async function checkRepository(repository: Repository, options: CheckOptions): Promise<CheckReport> {
  const report: CheckReport = {
    snapshots: 0,
    increments: 0,
    segments: 0,
    objects: 0,
    bytes: 0,
    gaps: [],
    problems: [],
    damaged: [],
  };
  const there = new Map<string, number>();
  for await (const { id, size } of repository.objects()) there.set(id, size);
  const needed = await neededObjects(repository, report);
  let done = 0;
  await forEach(needed.values(), { atOnce: REQUESTS_AT_ONCE, signal: options.signal }, async (ref) => {
    report.objects += 1;
    report.bytes += ref.stored;
    await noting(report, objectName(ref.id), async () => {
      const name = objectName(ref.id);
      const size = there.get(ref.id);
      if (size === undefined)
        throw new BackupError("missing", `Could not read "${name}" of the backup: it is not there`);
      if (size !== ref.stored) {
        const message = `Could not read "${name}" of the backup: it has ${size} bytes instead of ${ref.stored}`;
        throw new BackupError(size < ref.stored ? "truncated" : "altered", message);
      }
      if (options.all) await repository.object(ref);
    });
    options.onDone?.(++done, needed.size);
  });
  await checkLog(repository, { report, options });
  return report;
}

/** Every object of every snapshot and increment that can be read; what cannot is noted. */
async function neededObjects(repository: Repository, report: CheckReport): Promise<Map<string, ChunkRef>> {
  const needed = new Map<string, ChunkRef>();
  const read = async (name: string, kind: "snapshot" | "increment") => {
    await noting(report, name, async () => {
      const { files } = await repository[kind](name);
      await collectObjects(repository, files.chunks, needed);
    });
  };
  for (const { name } of await repository.snapshots()) {
    await read(name, "snapshot");
    report.snapshots += 1;
  }
  for (const { name } of await repository.increments()) {
    await read(name, "increment");
    report.increments += 1;
  }
  return needed;
}

/** Adds the objects of a file table, and of the files that it lists. Parts that were read before are passed over. */
export async function collectObjects(
  repository: Repository,
  table: readonly ChunkRef[],
  needed: Map<string, ChunkRef>,
): Promise<void> {
  for (const part of table) {
    if (needed.has(part.id)) continue;
    for (const { chunks } of await repository.tablePart(part)) {
      for (const chunk of chunks) needed.set(chunk.id, chunk);
    }
    // Last: a part that could not be read must not pass for one that was.
    needed.set(part.id, part);
  }
}

async function checkLog(
  repository: Repository,
  { report, options }: { report: CheckReport; options: CheckOptions },
): Promise<void> {
  let last: number | undefined;
  for (const segment of await repository.segments()) {
    options.signal?.throwIfAborted();
    report.segments += 1;
    report.bytes += segment.stored;
    if (last !== undefined && segment.after > last) report.gaps.push([last, segment.after]);
    last = Math.max(last ?? 0, segment.last);
    if (options.all) await noting(report, segment.name, () => repository.segment(segment));
  }
}

async function noting(report: CheckReport, name: string, run: () => Promise<unknown>): Promise<void> {
  try {
    await run();
  } catch (error) {
    if (!isBackupDamage(error)) throw error;
    report.problems.push(error.message);
    if (!report.damaged.includes(name)) report.damaged.push(name);
  }
}
