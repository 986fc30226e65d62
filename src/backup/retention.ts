/** Which snapshots are kept, and removal of what no kept one needs. */
import { forEach } from "../for_each.ts";
import { isBackupDamage } from "./backup_error.ts";
import { collectObjects } from "./check_repository.ts";
import { REQUESTS_AT_ONCE } from "./destination.ts";
import type { SegmentName } from "./log_segments.ts";
import type { ChunkRef, SnapshotManifest } from "./manifest.ts";
import type { ManifestName, Repository } from "./repository.ts";

/** Of the newest days, weeks and months that have snapshots, the newest of each is kept; of the newest day up to 24. */
export interface KeepRules {
  readonly days: number;
  readonly weeks: number;
  readonly months: number;
  /** Segments of the event log are kept for so long, and those that the newest snapshots need for longer. */
  readonly logDays: number;
}

const DAY_MS = 86_400_000;
/** Snapshots kept of the newest day: the clock may stand still. */
const NEWEST_DAY_MAX = 24;
/** An object may be of something that is being written: it is left alone for so long. */
const YOUNG_MS = 3_600_000;
/** Increments and log of so many snapshots are whole: of the newest, and of another should that be damaged. */
const ROLLED_FROM = 2;

/** A snapshot with the time that its manifest says: names rise, so after a clock that was ahead theirs stay where that was. */
export interface DatedSnapshot extends ManifestName {
  /** Unix milliseconds. */
  readonly takenAt: number;
}

/**
 * Snapshots that may go. Which is newer their names say, and of which day their manifests. Days count where they have a snapshot, not by
 * the clock, so that a clock which is wrong costs no more than one; the newest is kept always.
 */
export function expired(snapshots: readonly DatedSnapshot[], keep: KeepRules): DatedSnapshot[] {
  const newestFirst = [...snapshots].sort((a, b) => b.at - a.at);
  const kept = new Set(newestFirst.slice(0, 1));
  const newestDay = newestFirst[0] && dayOf(newestFirst[0].takenAt);
  const ofNewestDay = newestFirst.filter((snapshot) => dayOf(snapshot.takenAt) === newestDay);
  for (const snapshot of ofNewestDay.slice(0, NEWEST_DAY_MAX)) kept.add(snapshot);
  const periods: [of: (at: number) => string | number, count: number][] = [
    [dayOf, keep.days],
    [(at) => Math.floor((dayOf(at) + 3) / 7), keep.weeks],
    [(at) => new Date(at).toISOString().slice(0, 7), keep.months],
  ];
  for (const [of, count] of periods) {
    const seen = new Set<string | number>();
    for (const snapshot of newestFirst) {
      const period = of(snapshot.takenAt);
      if (seen.has(period)) continue;
      if (seen.size >= count) break;
      seen.add(period);
      kept.add(snapshot);
    }
  }
  return newestFirst.filter((snapshot) => !kept.has(snapshot));
}

function dayOf(at: number): number {
  return Math.floor(at / DAY_MS);
}

export interface PruneOptions {
  readonly keep: KeepRules;
  /** Throws where this run may not remove anything any more. */
  readonly assertHeld: () => void;
  readonly now: () => number;
  readonly signal?: AbortSignal | undefined;
}

export interface Pruned {
  readonly snapshots: number;
  readonly increments: number;
  readonly segments: number;
  readonly objects: number;
  /** Why objects were left alone. */
  readonly left: string | undefined;
}

/** Removes snapshots that may go, and then what nothing needs. May be cut off at any moment. Nothing else writes meanwhile. */
export async function prune(repository: Repository, options: PruneOptions): Promise<Pruned> {
  const { destination } = repository;
  const remove = async (name: string): Promise<void> => {
    options.assertHeld();
    await destination.remove(name);
  };
  const { dated: all, manifests, damage } = await dateSnapshots(repository);
  const gone = expired(all, options.keep);
  const removeAll = (names: readonly string[]) =>
    forEach(names, { atOnce: REQUESTS_AT_ONCE, signal: options.signal }, remove);
  await removeAll(gone.map(({ name }) => name));
  const kept = all.filter((snapshot) => !gone.includes(snapshot));
  const rolledFrom = kept.slice(-ROLLED_FROM)[0];
  const increments = await repository.increments();
  const old = rolledFrom ? increments.filter(({ at }) => at < rolledFrom.at) : [];
  await removeAll(old.map(({ name }) => name));
  const from = kept.slice(-ROLLED_FROM).map(({ name }) => manifests.get(name));
  const segments = await oldSegments(repository, { ...options, from });
  await removeAll(segments.map(({ name }) => name));
  const counts = { snapshots: gone.length, increments: old.length, segments: segments.length };
  const needed = new Map<string, ChunkRef>();
  try {
    for (const { name } of kept) {
      const manifest = manifests.get(name);
      // What a damaged snapshot needs nobody knows: nothing is removed that it may need.
      if (!manifest) return { ...counts, objects: 0, left: damage.get(name) };
      await collectObjects(repository, manifest.files.chunks, needed);
    }
    for (const { name } of increments.filter((increment) => !old.includes(increment))) {
      await collectObjects(repository, (await repository.increment(name)).files.chunks, needed);
    }
  } catch (error) {
    if (!isBackupDamage(error)) throw error;
    return { ...counts, objects: 0, left: error.message };
  }
  const unneeded: string[] = [];
  for await (const { id, name, at } of repository.objects()) {
    if (!needed.has(id) && options.now() - at > YOUNG_MS) unneeded.push(name);
  }
  await removeAll(unneeded);
  await destination.sweep();
  return { ...counts, objects: unneeded.length, left: undefined };
}

/** Every snapshot, in order; one that is damaged counts to the day of its name. */
async function dateSnapshots(repository: Repository): Promise<{
  dated: DatedSnapshot[];
  manifests: ReadonlyMap<string, SnapshotManifest>;
  /** What is wrong, by name. */
  damage: ReadonlyMap<string, string>;
}> {
  const dated: DatedSnapshot[] = [];
  const manifests = new Map<string, SnapshotManifest>();
  const damage = new Map<string, string>();
  for (const snapshot of await repository.snapshots()) {
    const { name, at } = snapshot;
    try {
      const manifest = await repository.snapshot(name);
      manifests.set(name, manifest);
      const takenAt = Date.parse(manifest.startedAt);
      dated.push({ ...snapshot, takenAt: Number.isNaN(takenAt) ? at : takenAt });
    } catch (error) {
      if (!isBackupDamage(error)) throw error;
      damage.set(name, error.message);
      dated.push({ ...snapshot, takenAt: at });
    }
  }
  return { dated, manifests, damage };
}

/** Segments past their age that the newest snapshots do not need. */
async function oldSegments(
  repository: Repository,
  { from, keep, now }: PruneOptions & { from: readonly (SnapshotManifest | undefined)[] },
): Promise<SegmentName[]> {
  let neededAfter = Number.POSITIVE_INFINITY;
  for (const manifest of from) {
    if (!manifest) return [];
    neededAfter = Math.min(neededAfter, manifest.log.prunedUpTo);
  }
  const before = now() - keep.logDays * DAY_MS;
  return (await repository.segments()).filter(({ last, at }) => last <= neededAfter && at < before);
}
