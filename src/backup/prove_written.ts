/** Whether what a run has written can be read. */
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
