/**
 * Ships the event log as it grows, and with it what events do not say. One step at a time; a step that failed is begun again
 * from what the destination has.
 */
import { EventLogReader, type LoggedEvent } from "../storage/mod.ts";
import type { SegmentName } from "./log_segments.ts";
import type { Missed } from "./missed.ts";
import { ObjectWriter } from "./object_writer.ts";
import type { Repository } from "./repository.ts";
import { type ShippedBlob, shipIncrement } from "./ship_increment.ts";
import { joinSegments, shipLog, shippedUpTo } from "./ship_log.ts";
import type { BackupSource } from "./snapshot_source.ts";
import type { BackupMaker } from "./take_snapshot.ts";

/** The whole accounts store is shipped so often at the most, and so often though nobody tells of a change. */
const ACCOUNTS_MS_MIN = 10_000;
const ACCOUNTS_MS_MAX = 5 * 60_000;
/** Of those that the server before may have missed, so many go with one step. */
const MISSED_AT_ONCE = 50;
/** Accounts whose rows go into one increment. */
const ROWS_AT_ONCE = 500;
/** Objects that are remembered as read back. */
const PROVEN_MAX = 100_000;
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
  /** Blobs that were kept since the step before. */
  readonly blobs: readonly ShippedBlob[];
  /** Accounts of which something has changed since the step before that no event tells. */
  readonly changed: readonly string[];
  /** Whether something else that lasts has changed in the accounts store. */
  readonly isStoreChanged: boolean;
}

export interface ShipReport {
  /** Everything up to this seq is in the destination, or was removed from the log before. */
  readonly last: number;
  readonly events: number;
  /** The newest event that retention had removed before it could be shipped. */
  readonly missedUpTo: number | undefined;
}

export class LogShipper {
  readonly #options: LogShipperOptions;
  readonly #log: EventLogReader;
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

  private constructor(
    options: LogShipperOptions,
    { log, last, newestAt }: { log: EventLogReader; last: number; newestAt: number },
  ) {
    this.#options = options;
    this.#log = log;
    this.#last = last;
    this.#newestAt = newestAt;
  }

  /** Looks at what the destination has. Throws BackupError other_server. */
  static async open(options: LogShipperOptions): Promise<LogShipper> {
    const { repository, source } = options;
    const log = new EventLogReader(source.paths.events);
    try {
      const { where } = repository.destination;
      const { highWater } = log.marks();
      const last = shippedUpTo(await repository.segments(), { where, highWater });
      return new LogShipper(options, { log, last, newestAt: await repository.newestAt() });
    } catch (error) {
      log.close();
      throw error;
    }
  }

  async step({ upTo, blobs, changed, isStoreChanged }: ShipStep): Promise<ShipReport> {
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
      ...{ repository, log: this.#log, after: this.#last, upTo, now },
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
    if (this.#accountsDue(false)) await this.#increment({ repos: [], rows: [], blobs: [], upTo });
    return { last: this.#last, events: shipped.events, missedUpTo: shipped.missedUpTo };
  }

  close(): void {
    this.#log.close();
  }

  /** What belongs to these events, and they do not say. */
  async #before(events: readonly LoggedEvent[], upTo: number): Promise<void> {
    const isOf = (...kinds: string[]) => events.filter(({ kind }) => kinds.includes(kind));
    const didsOf = (found: readonly LoggedEvent[]) => [...new Set(found.map(({ did }) => did))];
    // A new account or key is of no use without what the accounts store has of it.
    const rows = didsOf(isOf("account", "identity"));
    // A #sync stands for a whole repo, of which the event has the commit alone.
    const repos = didsOf(isOf("sync"));
    if (rows.length + repos.length > 0 || this.#accountsDue(true))
      await this.#increment({ repos, rows, blobs: [], upTo });
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
    if (!accounts) return;
    [this.#accounts, this.#accountsAt, this.#needsAccounts] = [shipped.accounts, at, false];
  }
}
