/** What is taken from a backup: a snapshot, the files of increments that are newer, and the events after it. */
import { BackupError, isBackupDamage } from "./backup_error.ts";
import type { FileEntry, SnapshotManifest } from "./manifest.ts";
import type { Repository } from "./repository.ts";

/** Of the files of a snapshot: before those of all increments. */
export const SNAPSHOT_ORDER = -1;

export interface PlannedFile {
  readonly entry: FileEntry;
  /** It holds at least what events up to this seq tell. */
  readonly upTo: number;
  /** Rises from one increment to the next; below all of them for a file of the snapshot. */
  readonly order: number;
}

export interface RestorePlan {
  readonly manifest: SnapshotManifest;
  /** False: files and repos are to be as the snapshot has them. */
  readonly isRolledForward: boolean;
  /** Files of increments, by path: the newest of each. */
  readonly newer: ReadonlyMap<string, PlannedFile>;
  /** The newest event that is taken: of later ones, which a running server ships meanwhile, what belongs to them may not be in `newer`. */
  readonly logUpTo: number;
  /** Files of kind "rows", of all increments, oldest first. */
  readonly rows: readonly PlannedFile[];
  /** No seq up to this one may be given again, as far as the snapshot and the increments know. */
  readonly highWater: number;
  /** What could not be read of it, in words. */
  readonly problems: readonly string[];
}

export interface PlanOptions {
  /** The name of the snapshot; the newest where absent. */
  readonly at?: string | undefined;
  readonly isRolledForward: boolean;
  /** Leaves out increments that cannot be read, instead of refusing. */
  readonly isPartial: boolean;
}

/** Throws BackupError no_snapshot where there is none, and what reading it throws. */
export async function planRestore(repository: Repository, options: PlanOptions): Promise<RestorePlan> {
  const { isRolledForward, isPartial } = options;
  const name = options.at ?? (await newestSnapshot(repository));
  const manifest = await repository.snapshot(name);
  // Before the increments: what belongs to an event is in one that was there before it.
  const logUpTo = (await repository.segments()).at(-1)?.last ?? 0;
  const newer = new Map<string, PlannedFile>();
  const rows: PlannedFile[] = [];
  const problems: string[] = [];
  let { highWater } = manifest.log;
  const increments = isRolledForward ? await repository.increments() : [];
  for (const [order, each] of increments.entries()) {
    if (timeIn(each.name) < timeIn(manifest.name)) continue;
    try {
      const { log, files } = await repository.increment(each.name);
      highWater = Math.max(highWater, log.highWater);
      for await (const entry of repository.files(files)) {
        const file = { entry, upTo: log.lastSeq, order };
        if (entry.kind === "rows") rows.push(file);
        else newer.set(entry.path, file);
      }
    } catch (error) {
      if (!isPartial || !isBackupDamage(error)) throw error;
      problems.push(`"${each.name}" is left out: ${error.message}`);
    }
  }
  return { manifest, isRolledForward, newer, rows, logUpTo, highWater, problems };
}

/** Every file of the restored folder, the newest of each path; small and needed ones first, then repos and blobs. */
export async function* plannedFiles(repository: Repository, plan: RestorePlan): AsyncIterable<PlannedFile> {
  const { manifest, newer } = plan;
  const { lastSeq: upTo } = manifest.log;
  // A data folder with accounts and without its keys is refused.
  for (const isWanted of [isSecret, isServers, isAccounts]) {
    for await (const entry of repository.files(manifest.files))
      if (isWanted(entry) && !newer.has(entry.path)) yield { entry, upTo, order: SNAPSHOT_ORDER };
    for (const file of newer.values()) if (isWanted(file.entry)) yield file;
  }
}

const isSecret = ({ kind }: FileEntry) => kind === "secret";
const isServers = ({ kind }: FileEntry) =>
  kind === "accounts" || kind === "directory" || kind === "event_keys";
const isAccounts = ({ kind }: FileEntry) => kind === "repo" || kind === "blob";

async function newestSnapshot(repository: Repository): Promise<string> {
  const newest = (await repository.snapshots()).at(-1);
  if (newest) return newest.name;
  throw new BackupError(
    "no_snapshot",
    `The backup "${repository.destination.where}" has no complete snapshot`,
    {
      hint: "The first backup was cut off, it seems, and nothing can be restored from what it has left.",
    },
  );
}

/** The time in a name, which rises also where the clock was set back. */
function timeIn(name: string): string {
  return name.split("/").at(-1)?.split("-")[0] ?? "";
}
