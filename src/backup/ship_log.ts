/** Writes what is new of the event log into a destination, as segments, and joins small ones. */

import { forEach } from "../for_each.ts";
import type { EventLogReader, LoggedEvent } from "../storage/mod.ts";
import { BackupError } from "./backup_error.ts";
import { REQUESTS_AT_ONCE } from "./destination.ts";
import type { SegmentName } from "./log_segments.ts";
import type { Repository } from "./repository.ts";

/** Of one segment. */
const SEGMENT_ROWS_MAX = 5_000;
const SEGMENT_BYTES_MAX = 4 * 1024 * 1024;
/** Segments smaller than this are joined, once so many stand in a row. */
const SMALL_BYTES = 512 * 1024;
const JOIN_FROM = 16;

export interface ShipOptions {
  readonly repository: Repository;
  readonly log: Pick<EventLogReader, "read" | "marks">;
  /** What has been shipped. */
  readonly after: number;
  /** The newest event that was published. */
  readonly upTo: number;
  readonly now: () => number;
  /** Called with the events of a segment before it is written: what belongs to them is to be there first. */
  readonly before?: (events: readonly LoggedEvent[]) => Promise<void>;
  readonly onSegment?: (segment: SegmentName) => void;
  readonly signal?: AbortSignal | undefined;
}

export interface Shipped {
  /** The newest seq that is in the destination. */
  readonly last: number;
  /** Events were removed from the log before they could be shipped: the newest of them. */
  readonly missedUpTo: number | undefined;
  readonly events: number;
}

/** Ships every event after `after`, up to `upTo`. May be repeated, and cut off at any moment. */
export async function shipLog(options: ShipOptions): Promise<Shipped> {
  const { repository, log, upTo, now, signal } = options;
  let [last, missedUpTo, count] = [options.after, undefined as number | undefined, 0];
  while (last < upTo) {
    signal?.throwIfAborted();
    const limits = { rowsMax: SEGMENT_ROWS_MAX, bytesMax: SEGMENT_BYTES_MAX };
    const events = log.read({ after: last, upTo, ...limits });
    // Asked for afterwards: what retention removed in between is not in what was read.
    const { prunedUpTo } = log.marks();
    const kept = events.filter(({ seq }) => seq > prunedUpTo);
    if (prunedUpTo > last) missedUpTo = Math.min(prunedUpTo, upTo);
    const after = Math.max(last, Math.min(prunedUpTo, upTo));
    const newest = kept.at(-1);
    if (!newest) {
      if (events.length === 0) break;
      last = after;
      continue;
    }
    await options.before?.(kept);
    const shippedAt = new Date(now()).toISOString();
    const segment = await repository.putSegment({ after, last: newest.seq, shippedAt, events: kept });
    options.onSegment?.(segment);
    [last, count] = [newest.seq, count + kept.length];
  }
  return { last, missedUpTo, events: count };
}

/**
 * The newest seq that a destination has. Throws BackupError other_server where it is newer than all that this server has ever given:
 * another one ships to the same place, or this data folder is an old copy.
 */
export function shippedUpTo(
  segments: readonly SegmentName[],
  { where, highWater }: { where: string; highWater: number },
): number {
  const last = segments.at(-1)?.last ?? 0;
  if (last <= highWater) return last;
  throw new BackupError(
    "other_server",
    `Could not ship the event log to "${where}": it has events up to ${last}, and this server has given ${highWater} at the most`,
    {
      hint: "Either another server ships to the same place, or this data folder was put back from a copy by other means than kith restore. Use another destination, or restore from this one.",
    },
  );
}

/** Joins runs of small segments: each tick of shipping has left one. What they held is there at every moment. */
export async function joinSegments(
  repository: Repository,
  {
    segments,
    signal,
    now,
  }: { segments: readonly SegmentName[]; signal?: AbortSignal | undefined; now: () => number },
): Promise<number> {
  let joined = 0;
  for (const run of runsOfSmall(segments)) {
    signal?.throwIfAborted();
    const parts = new Map<string, readonly LoggedEvent[]>();
    await forEach(run, { atOnce: REQUESTS_AT_ONCE, signal }, async (segment) => {
      parts.set(segment.name, (await repository.segment(segment)).events);
    });
    const [first, last] = [run[0], run.at(-1)];
    if (!first || !last) continue;
    const events = run.flatMap(({ name }) => [...(parts.get(name) ?? [])]);
    const whole = { after: first.after, last: last.last, shippedAt: new Date(now()).toISOString(), events };
    await repository.segment(await repository.putSegment(whole));
    await forEach(run, { atOnce: REQUESTS_AT_ONCE, signal }, ({ name }) =>
      repository.destination.remove(name),
    );
    joined += run.length;
  }
  return joined;
}

/** Segments that follow one another without a gap, are small, and are no more than one segment may hold. */
function* runsOfSmall(segments: readonly SegmentName[]): Iterable<SegmentName[]> {
  let run: SegmentName[] = [];
  let bytes = 0;
  for (const segment of segments) {
    const follows = run.length === 0 || run.at(-1)?.last === segment.after;
    if (!follows || segment.stored >= SMALL_BYTES || bytes + segment.stored > SEGMENT_BYTES_MAX) {
      if (run.length >= JOIN_FROM) yield run;
      [run, bytes] = [[], 0];
    }
    if (segment.stored < SMALL_BYTES) {
      run.push(segment);
      bytes += segment.stored;
    }
  }
  if (run.length >= JOIN_FROM) yield run;
}
