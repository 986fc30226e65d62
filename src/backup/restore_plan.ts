/** What is taken from a backup: a snapshot, what increments and newer snapshots have beyond it, and the events after it. */
import { BackupError, isBackupDamage } from "./backup_error.ts";
import { PreviousFiles } from "./file_table.ts";
import type { ChunkRef, FileEntry, SnapshotManifest } from "./manifest.ts";
import type { ManifestName, Repository } from "./repository.ts";

/** Of the files of a snapshot: before those of all increments. */
export const SNAPSHOT_ORDER = -1;
/** Of newer snapshots so many are looked into: the newest, and another should that be damaged. Increments go back to these. */
const NEWER_MAX = 2;

export interface PlannedFile {
  readonly entry: FileEntry;
  /** It holds at least what events up to this seq tell. */
  readonly upTo: number;
  /** Rises from one increment to the next; below all of them for a file of the snapshot. */
  readonly order: number;
  /** Of a snapshot that is newer than the one that was asked for: damaged, it is no obstacle. */
  readonly newerSnapshot?: string | undefined;
  /** The same file as it was before, to be taken where this one is damaged. */
  readonly older?: PlannedFile | undefined;
  /** A newer one is damaged. */
  readonly isInstead?: boolean;
}

export interface RestorePlan {
  readonly manifest: SnapshotManifest;
  /** False: files and repos are to be as the snapshot has them. */
  readonly isRolledForward: boolean;
  /** Files of increments and of newer snapshots, by path: the newest of each. Of blobs those that the snapshot does not have. */
  readonly newer: ReadonlyMap<string, PlannedFile>;
  /** The newest event that is taken: of later ones, which a running server ships meanwhile, what belongs to them may not be in `newer`. */
  readonly logUpTo: number;
  /** Files of kind "rows", of all increments, oldest first. */
  readonly rows: readonly PlannedFile[];
  /** No seq up to this one may be given again, as far as the snapshot and the increments know. */
  readonly highWater: number;
  /** When the newest snapshot that files are taken from was begun, in Unix milliseconds. */
  readonly snapshotAt: number;
  /** Of all files, about. */
  readonly bytes: number;
  readonly hasBlobs: boolean;
  /** What could not be read of it, in words. */
  readonly problems: readonly string[];
}

export interface PlanOptions {
  /** The name of the snapshot; the newest where absent. */
  readonly at?: string | undefined;
  /** Takes nothing from snapshots that are newer than that: what they have may be bad, and not be damaged. */
  readonly ignoresNewer?: boolean | undefined;
  readonly isRolledForward: boolean;
  /** Leaves out increments that cannot be read, instead of refusing. */
  readonly isPartial: boolean;
}

/** Throws BackupError no_snapshot where there is none, and what reading it throws. */
export async function planRestore(repository: Repository, options: PlanOptions): Promise<RestorePlan> {
  const snapshots = await repository.snapshots();
  const manifest = await repository.snapshot(options.at ?? newestOf(snapshots, repository));
  // Before the increments: what belongs to an event is in one that was there before it.
  const logUpTo = (await repository.segments()).at(-1)?.last ?? 0;
  const later = new LaterFiles(repository, { manifest, ...options });
  await later.read(options.ignoresNewer ? [] : snapshots);
  const { isRolledForward } = options;
  const used = isRolledForward ? [manifest, ...later.snapshots] : [manifest];
  return {
    ...{ manifest, isRolledForward, logUpTo },
    ...{ newer: later.newer, rows: later.rows, problems: later.problems, highWater: later.highWater },
    snapshotAt: Math.max(...used.map(({ startedAt }) => Date.parse(startedAt))),
    bytes: Math.max(...used.map(({ counts }) => counts.bytes)),
    hasBlobs: used.some(({ hasBlobs }) => hasBlobs),
  };
}

/** What increments and newer snapshots have, each over what is older. */
class LaterFiles {
  readonly newer = new Map<string, PlannedFile>();
  readonly rows: PlannedFile[] = [];
  readonly problems: string[] = [];
  readonly snapshots: SnapshotManifest[] = [];
  highWater: number;
  readonly #repository: Repository;
  readonly #manifest: SnapshotManifest;
  /** Whether increments are left out that cannot be read. */
  readonly #skips: boolean;

  constructor(
    repository: Repository,
    { manifest, isPartial, isRolledForward }: PlanOptions & { manifest: SnapshotManifest },
  ) {
    this.#repository = repository;
    this.#manifest = manifest;
    this.#skips = isPartial || !isRolledForward;
    this.highWater = manifest.log.highWater;
  }

  async read(snapshots: readonly ManifestName[]): Promise<void> {
    const from = timeIn(this.#manifest.name);
    await this.#readSnapshots(snapshots.filter(({ name }) => timeIn(name) > from));
    const increments = (await this.#repository.increments()).filter(({ name }) => timeIn(name) >= from);
    const manifests = new Map(this.snapshots.map((each) => [each.name, each]));
    const names = [...increments.map(({ name }) => name), ...manifests.keys()];
    names.sort((a, b) => (timeIn(a) < timeIn(b) ? -1 : 1));
    for (const [order, name] of names.entries()) {
      const snapshot = manifests.get(name);
      if (snapshot) await this.#takeSnapshot(snapshot, order);
      else await this.#takeIncrement(name, order);
    }
  }

  /** The newest that can be read. */
  async #readSnapshots(newer: readonly ManifestName[]): Promise<void> {
    for (const [at, { name }] of [...newer].reverse().entries()) {
      if (this.snapshots.length === NEWER_MAX) return;
      try {
        this.snapshots.unshift(await this.#repository.snapshot(name));
      } catch (error) {
        // Removed meanwhile, or damaged: for that an older one was asked for.
        if (!isLost(error)) throw error;
        this.problems.push(`"${name}" is left out: ${error.message}`);
        const isLast = at === NEWER_MAX - 1 && this.snapshots.length === 0;
        if (isLast)
          this.problems.push(
            "Increments go back to the newest snapshots, which cannot be read: what was taken down, changed or uploaded between the snapshot that is restored and these may not be as it was.",
          );
      }
    }
  }

  async #takeIncrement(name: string, order: number): Promise<void> {
    try {
      const { log, files } = await this.#repository.increment(name);
      this.highWater = Math.max(this.highWater, log.highWater);
      for await (const entry of this.#repository.files(files)) {
        const file = { entry, upTo: log.lastSeq, order };
        if (entry.kind === "rows") this.rows.push(file);
        else this.newer.set(entry.path, { ...file, older: this.newer.get(entry.path) });
      }
    } catch (error) {
      if (!this.#skips || !isBackupDamage(error)) throw error;
      this.problems.push(`"${name}" is left out: ${error.message}`);
    }
  }

  /** Like one large increment; what of it is damaged is left out. */
  async #takeSnapshot({ name, log, files }: SnapshotManifest, order: number): Promise<void> {
    const base = new PreviousFiles(this.#repository, this.#manifest.files);
    this.highWater = Math.max(this.highWater, log.highWater);
    for (const chunk of files.chunks) {
      for (const entry of await this.#part(name, chunk)) {
        const before = await base.find(entry);
        // By far the most of them: not kept in memory.
        if (entry.kind === "blob" && before?.sha256 === entry.sha256) continue;
        const older = this.newer.get(entry.path);
        // It could not be read then, and is of a snapshot before: what is at hand is no older.
        if (entry.staleFrom !== undefined && (older ?? before)) continue;
        this.newer.set(entry.path, { entry, upTo: log.lastSeq, order, newerSnapshot: name, older });
      }
    }
  }

  async #part(name: string, chunk: ChunkRef): Promise<FileEntry[]> {
    try {
      return await this.#repository.tablePart(chunk);
    } catch (error) {
      if (!isBackupDamage(error)) throw error;
      this.problems.push(`A part of the list of "${name}" is left out: ${error.message}`);
      return [];
    }
  }
}

/** Every file of the restored folder, the newest of each path; small and needed ones first, then repos and blobs. */
export async function* plannedFiles(repository: Repository, plan: RestorePlan): AsyncIterable<PlannedFile> {
  const { manifest } = plan;
  const newer = plan.isRolledForward ? plan.newer : new Map<string, PlannedFile>();
  const { lastSeq: upTo } = manifest.log;
  const told = new Set<string>();
  // First what no restore can be without: where that is damaged, nothing else is fetched.
  for (const isWanted of [isSecret, isServers, isAccounts]) {
    for await (const entry of repository.files(manifest.files)) {
      if (!isWanted(entry)) continue;
      const file = newer.get(entry.path);
      const own = { entry, upTo, order: SNAPSHOT_ORDER };
      if (file) told.add(entry.path);
      yield file ? over(file, own) : own;
    }
    for (const file of newer.values()) if (isWanted(file.entry) && !told.has(file.entry.path)) yield file;
  }
}

/** The file, with this one as the oldest of those that can be taken instead. */
function over(file: PlannedFile, oldest: PlannedFile): PlannedFile {
  return { ...file, older: file.older ? over(file.older, oldest) : oldest };
}

const isSecret = ({ kind }: FileEntry) => kind === "secret";
const isServers = ({ kind }: FileEntry) =>
  kind === "accounts" || kind === "directory" || kind === "event_keys";
const isAccounts = ({ kind }: FileEntry) => kind === "repo" || kind === "blob";

function newestOf(snapshots: readonly ManifestName[], { destination }: Repository): string {
  const newest = snapshots.at(-1);
  if (newest) return newest.name;
  throw new BackupError("no_snapshot", `The backup "${destination.where}" has no complete snapshot`, {
    hint: "The first backup was cut off, it seems, and nothing can be restored from what it has left.",
  });
}

function isLost(error: unknown): error is BackupError {
  return isBackupDamage(error) || (error instanceof BackupError && error.problem === "no_snapshot");
}

/** The time in a name, which rises also where the clock was set back. */
function timeIn(name: string): string {
  return name.split("/").at(-1)?.split("-")[0] ?? "";
}
