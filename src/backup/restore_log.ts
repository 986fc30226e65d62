/** The shipped event log: made into an event log anew, and its newest part sorted by account, to roll repos forward with. */
import type { EventLog, LoggedEvent, RestoreState } from "../storage/mod.ts";
import { BackupError, isBackupDamage } from "./backup_error.ts";
import type { SegmentName } from "./log_segments.ts";
import type { Repository } from "./repository.ts";

/** Rows appended in one transaction. */
const ROWS_AT_ONCE = 1_000;

export interface RestoreLogOptions {
  readonly repository: Repository;
  /** Undefined: no log is made. */
  readonly log: EventLog | undefined;
  readonly state: RestoreState;
  /** Events up to this seq are not in the log that is made. */
  readonly prunedUpTo: number;
  /** Events after this seq are sorted by account. */
  readonly from: number;
  /** Events after this seq are not looked at. */
  readonly end: number;
  /** The newest event that the server's log had when the snapshot was taken: what lies before it has been shipped. */
  readonly shippedUpTo: number;
  /** The last event of the log that is made; all there are where absent. */
  readonly upTo: number | undefined;
  /** Passes over segments that cannot be read, instead of refusing. */
  readonly isPartial: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (done: number, total: number) => void;
}

export interface RestoredLog {
  /** The newest event there is, and when it was told; 0 where there is none. */
  readonly lastSeq: number;
  readonly lastAt: number;
  /** Events between these seqs are missing: after the first, up to the second. */
  readonly gaps: readonly (readonly [after: number, before: number])[];
  /** The seq that the log begins after. */
  readonly begins: number;
  readonly problems: readonly string[];
}

/** Throws BackupError where a segment is damaged. May be repeated. */
export async function restoreLog(options: RestoreLogOptions): Promise<RestoredLog> {
  return await new LogRun(options).run();
}

class LogRun {
  readonly #options: RestoreLogOptions;
  readonly #gaps: [number, number][] = [];
  readonly #problems: string[] = [];
  /** Everything up to this seq has been read, or is not wanted. */
  #read: number;
  #begins: number;
  #last = { seq: 0, at: 0 };

  constructor(options: RestoreLogOptions) {
    this.#options = options;
    this.#read = Math.min(options.from, options.log ? options.prunedUpTo : options.from);
    this.#begins = options.prunedUpTo;
  }

  async run(): Promise<RestoredLog> {
    const { repository, end, signal, onProgress } = this.#options;
    let segments = await repository.segments();
    for (let at = 0, tries = 0; at < segments.length; at += 1) {
      signal?.throwIfAborted();
      const segment = segments[at] as SegmentName;
      onProgress?.(at, segments.length);
      if (segment.last <= this.#read || segment.after >= end) continue;
      try {
        await this.#take(segment);
      } catch (error) {
        if (!isBackupDamage(error)) throw error;
        // A server that ships to it may have joined small ones meanwhile.
        if ((error as BackupError).problem === "missing" && tries < 3) {
          [segments, at, tries] = [await repository.segments(), -1, tries + 1];
          continue;
        }
        if (!this.#options.isPartial) throw error;
        this.#problems.push(`"${segment.name}" is left out: ${error.message}`);
      }
    }
    this.#tellEnd();
    return {
      lastSeq: this.#last.seq,
      lastAt: this.#last.at,
      gaps: this.#gaps,
      begins: this.#begins,
      problems: this.#problems,
    };
  }

  async #take(segment: SegmentName): Promise<void> {
    const { repository, from, end } = this.#options;
    const { events } = await repository.segment(segment);
    if (segment.after > this.#read) {
      // What was removed from the backup's beginning is missing to nobody.
      if (this.#read >= from) this.#gaps.push([this.#read, segment.after]);
      else if (segment.after > from) this.#gaps.push([from, segment.after]);
      if (this.#last.seq === 0) this.#begins = Math.max(this.#begins, segment.after);
    }
    const news = events.filter(({ seq }) => seq > this.#read && seq <= end);
    for (let at = 0; at < news.length; at += ROWS_AT_ONCE)
      await this.#store(news.slice(at, at + ROWS_AT_ONCE));
    this.#read = segment.last;
    const last = news.at(-1);
    if (last) this.#last = { seq: last.seq, at: Math.max(this.#last.at, last.at) };
  }

  /** What was shipped last may have gone from the backup: no segment comes after the hole. */
  #tellEnd(): void {
    const { prunedUpTo, shippedUpTo, end } = this.#options;
    const [last, wanted] = [Math.max(this.#read, prunedUpTo), Math.min(shippedUpTo, end)];
    if (last >= wanted) return;
    this.#gaps.push([last, wanted]);
    if (this.#last.seq === 0) this.#begins = Math.max(this.#begins, wanted);
  }

  async #store(events: readonly LoggedEvent[]): Promise<void> {
    const { log, state, from, upTo = Number.POSITIVE_INFINITY, prunedUpTo } = this.#options;
    // First: what is in the log is not read again by another attempt.
    state.addEvents(events.filter(({ seq }) => seq > from));
    if (!log) return;
    const there = log.lastSeq();
    // The keys that the events had are not shipped.
    log.appendWithoutKeys(events.filter(({ seq }) => seq > Math.max(there, prunedUpTo) && seq <= upTo));
    if (log.checkpointDue() !== undefined) await log.checkpoint("restart");
  }
}

/** Reads the lines of events.keys, in parts. */
export async function* readLastKeys(
  lines: AsyncIterable<Uint8Array>,
): AsyncIterable<[did: string, key: string][]> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const bytes of lines) {
    const parts = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    yield parts.map(pairOf);
  }
  if (rest !== "") yield [pairOf(rest)];
}

function pairOf(line: string): [string, string] {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    value = undefined;
  }
  if (Array.isArray(value) && typeof value[0] === "string" && typeof value[1] === "string")
    return [value[0], value[1]];
  throw new BackupError("altered", 'Could not read "events.keys" of the backup: a line is not a pair');
}
