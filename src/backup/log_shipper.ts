/**
 * Ships the event log as it grows, and with it what events do not say. One step at a time; a step that failed is begun again
 * from what the destination has.
 */
import { isKithError } from "../errors.ts";
import { EventLogReader, type LoggedEvent } from "../storage/mod.ts";
import { needsOf } from "./event_needs.ts";
import type { SegmentName } from "./log_segments.ts";
import type { Missed } from "./missed.ts";
import { ObjectWriter } from "./object_writer.ts";
import type { Repository } from "./repository.ts";
import { type ShippedBlob, shipIncrement } from "./ship_increment.ts";
import { joinSegments, shipLog, shippedUpTo } from "./ship_log.ts";
import type { BackupMaker, BackupSource } from "./snapshot_source.ts";

/** The whole accounts store is shipped so often at the most, and so often though nobody tells of a change. */
const ACCOUNTS_MS_MIN = 10_000;
const ACCOUNTS_MS_MAX = 5 * 60_000;
/** Of those that the server before may have missed, so many go with one step. */
const MISSED_AT_ONCE = 50;
const MISSED_REPOS_AT_ONCE = 5;
/** Accounts whose rows go into one increment. */
const ROWS_AT_ONCE = 500;
/** Objects that are remembered as read back. */
const PROVEN_MAX = 100_000;
/** Blobs that events refer to, of one increment. */
const BLOBS_AT_ONCE = 100;
/** Blobs that are remembered as shipped. */
const SHIPPED_MAX = 100_000;
/** Segments of single steps are joined once there are so many. */
const SEGMENTS_JOINED = 64;

export interface LogShipperOptions {
  readonly repository: Repository;
  readonly source: BackupSource;
  readonly maker: BackupMaker;
  readonly now: () => number;
  /** Monotonic milliseconds. */
  readonly elapsed?: () => number;
  /** What may not have been shipped; what is left of it stays here. */
  readonly missed: Missed;
}

export interface ShipStep {
  /** The newest event that is durable. */
  readonly upTo: number;
  /** The newest one that may be shipped: of later ones something waits that belongs to them. All that are durable where absent. */
  readonly logUpTo?: number;
  /** Blobs that were kept since the step before. */
  readonly blobs: readonly ShippedBlob[];
  /** Accounts of which something has changed since the step before that no event tells. */
  readonly changed: readonly string[];
  /** Accounts whose repos, or blobs, have changed since they were shipped last, without an event. */
  readonly repos: readonly string[];
  /** Whether something else that lasts has changed in the accounts store. */
  readonly isStoreChanged: boolean;
}

export interface ShipReport {
  /** Everything up to this seq is in the destination, or was removed from the log before. */
  readonly last: number;
  readonly events: number;
  /** The newest event that retention had removed before it could be shipped. */
  readonly missedUpTo: number | undefined;
  /** Accounts whose whole file could not be copied now, and why: to be given again. */
  readonly left: readonly { readonly did: string; readonly problem: string }[];
}

export class LogShipper {
  readonly #options: LogShipperOptions;
  readonly #log: EventLogReader;
  /** Whether there is a snapshot: without one nothing can be rolled forward, and the first one will have the blobs of older events. */
  readonly #hasSnapshot: boolean;
  #last: number;
  /** The time in the newest name of a manifest. */
  #newestAt: number;
  /** Those that were shipped since they were joined last. */
  #segments: SegmentName[] = [];
  #needsAccounts = true;
  #accountsAt = Number.NEGATIVE_INFINITY;
  #accounts: string | undefined;
  /** Objects that were read back, with the bytes that they take. */
  readonly #proven = new Map<string, number>();
  /** Blobs that are in an increment. */
  readonly #shipped = new Set<string>();

  private constructor(
    options: LogShipperOptions,
    {
      log,
      last,
      newestAt,
      hasSnapshot,
    }: { log: EventLogReader; last: number; newestAt: number; hasSnapshot: boolean },
  ) {
    this.#options = options;
    this.#log = log;
    this.#last = last;
    this.#newestAt = newestAt;
    this.#hasSnapshot = hasSnapshot;
  }

  /** Looks at what the destination has. Throws BackupError other_server. */
  static async open(options: LogShipperOptions): Promise<LogShipper> {
    const { repository, source } = options;
    const log = new EventLogReader(source.paths.events);
    try {
      const { where } = repository.destination;
      const { highWater } = log.marks();
      const last = shippedUpTo(await repository.segments(), { where, highWater });
      const hasSnapshot = (await repository.snapshots()).length > 0;
      return new LogShipper(options, { log, last, hasSnapshot, newestAt: await repository.newestAt() });
    } catch (error) {
      log.close();
      throw error;
    }
  }

  async step({ upTo, logUpTo = upTo, blobs, changed, repos, isStoreChanged }: ShipStep): Promise<ShipReport> {
    const { repository, now, missed } = this.#options;
    if (isStoreChanged) this.#needsAccounts = true;
    const late = missed.blobs.slice(0, MISSED_AT_ONCE);
    const lateRows = missed.accounts.slice(0, ROWS_AT_ONCE);
    const waiting = [...blobs, ...late];
    const rows = [...new Set([...changed, ...lateRows])];
    if (waiting.length + rows.length > 0) await this.#increment({ repos: [], rows, blobs: waiting, upTo });
    missed.blobs.splice(0, late.length);
    missed.accounts.splice(0, lateRows.length);
    const shipped = await shipLog({
      ...{ repository, log: this.#log, after: this.#last, upTo: logUpTo, now },
      before: (events) => this.#before(events, upTo),
      onSegment: (segment) => {
        this.#last = segment.last;
        this.#segments.push(segment);
      },
    });
    this.#last = shipped.last;
    if (this.#segments.length >= SEGMENTS_JOINED) {
      await joinSegments(repository, { segments: this.#segments, now });
      this.#segments = [];
    }
    // Last: a large one is not to hold up the log.
    const left = await this.#wholeRepos(repos, upTo);
    if (this.#accountsDue(false)) await this.#increment({ repos: [], rows: [], blobs: [], upTo });
    return { last: this.#last, events: shipped.events, missedUpTo: shipped.missedUpTo, left };
  }

  /** Each with what the accounts store has of it. What has no room for a copy holds up nothing else. */
  async #wholeRepos(repos: readonly string[], upTo: number): Promise<ShipReport["left"]> {
    const { missed } = this.#options;
    const late = missed.repos.slice(0, MISSED_REPOS_AT_ONCE);
    const left: { did: string; problem: string }[] = [];
    for (const did of new Set([...repos, ...late])) {
      try {
        await this.#increment({ repos: [did], rows: [did], blobs: [], upTo });
      } catch (error) {
        if (!isKithError(error, "storage_full") && !isKithError(error, "busy")) throw error;
        left.push({ did, problem: error.message });
      }
    }
    missed.repos.splice(0, late.length);
    return left;
  }

  close(): void {
    this.#log.close();
  }

  /** What belongs to these events, and they do not say. */
  async #before(events: readonly LoggedEvent[], upTo: number): Promise<void> {
    const { rows, repos, blobs } = needsOf(events);
    const waiting = this.#hasSnapshot ? blobs.filter((blob) => !this.#shipped.has(nameOf(blob))) : [];
    // Those that no commit here refers to, but a whole repo may.
    const { missed } = this.#options;
    const late = missed.blobs.filter(({ did }) => repos.includes(did));
    if (rows.length + repos.length > 0 || this.#accountsDue(true))
      await this.#increment({ repos, rows, blobs: [], upTo });
    const all = [...waiting, ...late];
    for (let at = 0; at < all.length; at += BLOBS_AT_ONCE)
      await this.#increment({ repos: [], rows: [], blobs: all.slice(at, at + BLOBS_AT_ONCE), upTo });
    if (late.length === 0) return;
    const done = new Set(late);
    missed.blobs.splice(0, missed.blobs.length, ...missed.blobs.filter((blob) => !done.has(blob)));
  }

  /** Whether the accounts store is to be shipped now: `told` by an event, or because it may have changed without one. */
  #accountsDue(told: boolean): boolean {
    const { elapsed = () => performance.now() } = this.#options;
    const sinceMs = elapsed() - this.#accountsAt;
    if (this.#needsAccounts) return sinceMs >= ACCOUNTS_MS_MIN;
    return !told && sinceMs >= ACCOUNTS_MS_MAX;
  }

  async #increment({
    repos,
    rows,
    blobs,
    upTo,
  }: {
    repos: readonly string[];
    rows: readonly string[];
    blobs: readonly ShippedBlob[];
    upTo: number;
  }): Promise<void> {
    const { repository, source, maker, now, elapsed = () => performance.now() } = this.#options;
    const { prunedUpTo, highWater } = this.#log.marks();
    const accounts = this.#accountsDue(true) || (blobs.length === 0 && this.#accountsDue(false));
    const at = elapsed();
    if (this.#proven.size > PROVEN_MAX) this.#proven.clear();
    const writer = ObjectWriter.forFew(repository, this.#proven);
    const shipped = await shipIncrement({
      ...{ repository, source, writer, maker, now },
      needs: { accounts, rows, repos, blobs },
      log: { prunedUpTo, highWater, lastSeq: Math.max(this.#last, upTo) },
      lastAccounts: this.#accounts,
      after: this.#newestAt,
      onProven: (id, stored) => this.#proven.set(id, stored),
    });
    this.#newestAt = Math.max(this.#newestAt, shipped.at ?? 0);
    if (this.#shipped.size > SHIPPED_MAX) this.#shipped.clear();
    for (const blob of blobs) this.#shipped.add(nameOf(blob));
    if (!accounts) return;
    [this.#accounts, this.#accountsAt, this.#needsAccounts] = [shipped.accounts, at, false];
  }
}

function nameOf({ did, cid }: ShippedBlob): string {
  return `${did} ${cid}`;
}
