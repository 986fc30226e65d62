/** One run: a snapshot, then the removal of what is not kept any more. Whether a server runs or not. */
import { isKithError } from "../errors.ts";
import { BackupError } from "./backup_error.ts";
import type { BackupKey } from "./backup_key.ts";
import type { Destination } from "./destination.ts";
import type { SnapshotManifest } from "./manifest.ts";
import { Repository } from "./repository.ts";
import { type KeepRules, type Pruned, prune } from "./retention.ts";
import { RunLock } from "./run_lock.ts";
import { joinSegments } from "./ship_log.ts";
import { type SnapshotOptions, takeSnapshot } from "./take_snapshot.ts";

export interface RunOptions extends SnapshotOptions {
  readonly keep: KeepRules;
  /** The name of this machine. */
  readonly host: string;
}

export interface RunResult {
  readonly manifest: SnapshotManifest;
  readonly pruned: Pruned | undefined;
  /** Why old snapshots could not be removed: the new one stands. */
  readonly pruneProblem: string | undefined;
}

/** Throws BackupError locked where another run is at work, and what takeSnapshot throws; earlier snapshots stay as they are. */
export async function runBackup(options: RunOptions): Promise<RunResult> {
  const { repository, keep, host, now, signal, alone = (run) => run() } = options;
  const lock = await RunLock.take(repository.destination, { host, now });
  try {
    const manifest = await takeSnapshot(options);
    options.onProgress?.({
      phase: "prune",
      done: 0,
      total: 0,
      bytes: manifest.counts.bytes,
      writtenBytes: manifest.counts.writtenBytes,
    });
    try {
      const pruned = await alone(async () => {
        await repository.assertWriter();
        const segments = await repository.segments();
        await joinSegments(repository, { segments, signal, now });
        return await prune(repository, { keep, now, signal, assertHeld: () => lock.assertHeld() });
      });
      return { manifest, pruned, pruneProblem: undefined };
    } catch (error) {
      if (!isKithError(error)) throw error;
      return { manifest, pruned: undefined, pruneProblem: error.message };
    }
  } finally {
    await lock.release();
  }
}

export interface WritableOptions {
  readonly hostname: string;
  readonly now: number;
  /** The id of the backup that was there the last time: an empty destination is then a disk that is not mounted. */
  readonly knownId?: string | undefined;
}

/** The backup of this server at a destination, begun where that is empty. Throws BackupError. */
export async function openWritable(
  destination: Destination,
  key: BackupKey,
  { hostname, now, knownId }: WritableOptions,
): Promise<Repository> {
  const repository = await openOrCreate(destination, key, { hostname, now, knownId });
  const { hostname: theirs } = repository.identity;
  if (theirs === hostname) return repository;
  throw new BackupError(
    "other_server",
    `Could not back up "${hostname}" to "${destination.where}": it is the backup of "${theirs}"`,
    { hint: "Each server needs a destination of its own: another folder, or another prefix of the bucket." },
  );
}

async function openOrCreate(
  destination: Destination,
  key: BackupKey,
  { hostname, now, knownId }: WritableOptions,
): Promise<Repository> {
  try {
    return await Repository.open(destination, key);
  } catch (error) {
    if (!(error instanceof BackupError)) throw error;
    const { problem, message } = error;
    if (problem === "empty" && knownId === undefined)
      return await Repository.create(destination, key, { hostname, now });
    if (knownId === undefined || (problem !== "empty" && problem !== "foreign")) throw error;
    const found = problem === "empty" ? `"${destination.where}" is empty` : message;
    throw new BackupError(problem, `${found}, though this server has backed up to it before`, {
      // What was being written as the disk went may be in the folder below it.
      hint: 'Is the disk mounted, and is the bucket the right one? If the backups were removed on purpose, begin anew in an empty place with "kith backup --new".',
    });
  }
}
