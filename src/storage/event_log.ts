/**
 * The event log: wire frames by seq. The firehose is read from here; the truth is in the repos' files. The high-water
 * seq and the last key of each DID outlive the rows, so that nothing is sent twice and no seq is used again.
 */
import { type EventKind, nextTid } from "../atproto/mod.ts";
import { openServerFile } from "./_server_file.ts";
import type { SqliteFile, SqliteFileOptions } from "./_sqlite_file.ts";
import type { CheckpointMode } from "./maintenance.ts";
import type { Migration } from "./migrations.ts";

/** Page cache: subscribers that catch up read along. */
const EVENT_LOG_CACHE_KIB = 8 * 1024;
/** Rows of one read or prune. */
const ROWS_MAX = 10_000;

const EVENT_LOG_MIGRATIONS: readonly Migration[] = [
  `
  CREATE TABLE event (
    seq INTEGER PRIMARY KEY,
    did TEXT NOT NULL,
    kind TEXT NOT NULL,
    at INTEGER NOT NULL,
    frame BLOB NOT NULL
  );
  CREATE TABLE last_key (did TEXT PRIMARY KEY, key TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE high_water (id INTEGER PRIMARY KEY CHECK (id = 1), seq INTEGER NOT NULL, pruned_up_to INTEGER NOT NULL);
  INSERT INTO high_water (id, seq, pruned_up_to) VALUES (1, 0, 0);
  `,
  // What came before has no key: all of it was durable in its repo before it was appended.
  `
  ALTER TABLE event ADD COLUMN key TEXT;
  ALTER TABLE high_water ADD COLUMN published_up_to INTEGER NOT NULL DEFAULT 0;
  UPDATE high_water SET published_up_to = seq;
  `,
];

export const EVENT_LOG_SCHEMA_VERSION = EVENT_LOG_MIGRATIONS.length;

export interface EventRow {
  readonly seq: number;
  readonly did: string;
  /** The pending event's key: higher than all before of this DID. */
  readonly key: string;
  readonly kind: EventKind;
  /** Milliseconds. */
  readonly at: number;
  readonly frame: Uint8Array;
}

export interface LoggedFrame {
  readonly seq: number;
  readonly frame: Uint8Array;
}

export interface PruneOptions {
  /** Rows older than this go, in Unix milliseconds. */
  readonly before: number;
  /** Unix milliseconds; absent, no row is from the future. */
  readonly now?: number;
  /** Rows after this seq stay, however old a clock that jumps says they are. */
  readonly publishedUpTo: number;
  /** What is removed at a time; one row is, whatever its size. */
  readonly rowsMax: number;
  readonly bytesMax: number;
  /** Rows after `seq` stay that are not older than `notBefore`. */
  readonly held?: { readonly seq: number; readonly notBefore: number };
}

export interface Pruned {
  readonly removed: number;
  /** The newest that was removed; 0 where none was. */
  readonly upTo: number;
  /** The next one is old, and held. */
  readonly isHeld: boolean;
  /** The bounds of one time ended it. */
  readonly isMore: boolean;
}

export class EventLog {
  readonly #file: SqliteFile;

  private constructor(file: SqliteFile) {
    this.#file = file;
  }

  /** Opens events.sqlite, made where absent; what a crash left is made durable first. Ready for writes. */
  static async open(path: string, options: SqliteFileOptions): Promise<EventLog> {
    return new EventLog(
      await openServerFile(path, {
        cacheKib: EVENT_LOG_CACHE_KIB,
        ...options,
        migrations: EVENT_LOG_MIGRATIONS,
      }),
    );
  }

  /** The file below, for tests that fill the disk. */
  get fileForTests(): SqliteFile {
    return this.#file;
  }

  /** Seq of the newest row, or 0. */
  lastSeq(): number {
    return this.#file.statement<{ seq: number | null }>("SELECT max(seq) AS seq FROM event").get()?.seq ?? 0;
  }

  /** When the newest row was logged (ms), or 0. */
  lastAt(): number {
    return (
      this.#file.statement<{ at: number }>("SELECT at FROM event ORDER BY seq DESC LIMIT 1").get()?.at ?? 0
    );
  }

  /** Seq of the oldest row that is kept, or 0. */
  firstSeq(): number {
    return this.#file.statement<{ seq: number | null }>("SELECT min(seq) AS seq FROM event").get()?.seq ?? 0;
  }

  /** When the oldest row after `seq` was appended, in Unix ms; undefined where there is none. */
  atAfter(seq: number): number | undefined {
    return this.#file
      .statement<{ at: number }>("SELECT at FROM event WHERE seq > ? ORDER BY seq LIMIT 1")
      .get(seq)?.at;
  }

  /** The newest seq that retention has removed: at most the one before the oldest row; 0 where nothing was removed. */
  prunedUpTo(): number {
    return (
      this.#file.statement<{ seq: number }>("SELECT pruned_up_to AS seq FROM high_water").get()?.seq ?? 0
    );
  }

  /** The highest seq that was ever appended. */
  highWater(): number {
    return this.#file.statement<{ seq: number }>("SELECT seq FROM high_water").get()?.seq ?? 0;
  }

  /** The key of the newest event of a DID that was ever appended: what is not above it is in the log already. */
  lastKey(did: string): string | undefined {
    return this.#file.statement<{ key: string }>("SELECT key FROM last_key WHERE did = ?").get(did)?.key;
  }

  /**
   * Appends rows in one transaction, with the high-water seq and each DID's last key, and with the seq up to which all was
   * published. Refuses (Error, nothing written) a seq that is not above all before, or a key that is not above its DID's
   * last: the caller filters by lastKey(). Throws KithError storage_full or busy; then nothing was written.
   */
  append(rows: readonly EventRow[], publishedUpTo = 0): void {
    if (rows.length === 0) return;
    this.#file.transaction(() => {
      let seq = this.highWater();
      for (const row of rows) {
        if (row.seq <= seq) throw new RangeError(`Could not append seq ${row.seq}: it is not above ${seq}`);
        seq = row.seq;
        this.#appendRow(row);
      }
      this.#file
        .statement("UPDATE high_water SET seq = ?, published_up_to = max(published_up_to, ?)")
        .run(seq, publishedUpTo);
    });
  }

  /**
   * Appends rows of another log, whose keys are not known, or no keys of ours. Each gets the lowest that its DID may have: below those of all
   * events that are made here, whatever the seqs are.
   */
  appendWithoutKeys(rows: readonly Omit<EventRow, "key">[], publishedUpTo = 0): void {
    const last = new Map<string, string>();
    const keyed = rows.map((row) => {
      const key = nextTid(last.get(row.did) ?? this.lastKey(row.did) ?? null, 0, 0);
      last.set(row.did, key);
      return { ...row, key };
    });
    this.append(keyed, publishedUpTo);
  }

  #appendRow({ seq, did, key, kind, at, frame }: EventRow): void {
    this.#file
      .statement("INSERT INTO event (seq, did, key, kind, at, frame) VALUES (?, ?, ?, ?, ?, ?)")
      .run(seq, did, key, kind, at, frame);
    const { changes } = this.#file
      .statement(
        `INSERT INTO last_key (did, key) VALUES (?, ?)
         ON CONFLICT (did) DO UPDATE SET key = excluded.key WHERE excluded.key > last_key.key`,
      )
      .run(did, key);
    if (changes === 0)
      throw new RangeError(`Could not append the event "${key}" of "${did}": it is in the log`);
  }

  /**
   * Removes the DID's rows above the seq that is known as published and above this key; the newest key that stays is its last
   * from then on, and its seqs stay used up. Returns how many. For a start, where a repo has lost what the log has of it.
   */
  dropUnkept(did: string, key: string): number {
    if ((this.lastKey(did) ?? "") <= key) return 0;
    return this.#file.transaction(() => {
      const { changes } = this.#file
        .statement(
          "DELETE FROM event WHERE seq > (SELECT published_up_to FROM high_water) AND did = ? AND key > ?",
        )
        .run(did, key);
      if (changes > 0)
        this.#file
          .statement(
            `UPDATE last_key SET key = max(?1, coalesce((SELECT max(key) FROM event WHERE did = ?2), ''))
             WHERE did = ?2`,
          )
          .run(key, did);
      return changes;
    });
  }

  /** Stores that every seq up to `seq` is used up: what start-up jumps over. Then await durable(). */
  raiseHighWater(seq: number): void {
    this.#file.transaction(() => {
      this.#file.statement("UPDATE high_water SET seq = max(seq, ?)").run(seq);
    });
  }

  /** Stores that every seq up to `seq` is used up, was published, and was removed from here. Then await durable(). */
  beginAfter(seq: number): void {
    this.#file.transaction(() => {
      this.#file
        .statement(
          `UPDATE high_water SET seq = max(seq, ?1), pruned_up_to = max(pruned_up_to, ?1),
             published_up_to = max(published_up_to, ?1)`,
        )
        .run(seq);
    });
  }

  /**
   * For a log that a restore has made anew: what outlives the rows. None of it goes down. The rows are those of a backup, which gets
   * none before it is published.
   */
  restoreMarks({ prunedUpTo, lastKeys }: { prunedUpTo: number; lastKeys: Iterable<[string, string]> }): void {
    this.#file.transaction(() => {
      this.#file
        .statement(
          `UPDATE high_water SET pruned_up_to = max(pruned_up_to, ?1), published_up_to = max(published_up_to, seq, ?1)`,
        )
        .run(prunedUpTo);
      const raise = this.#file.statement(
        `INSERT INTO last_key (did, key) VALUES (?, ?)
         ON CONFLICT (did) DO UPDATE SET key = excluded.key WHERE excluded.key > last_key.key`,
      );
      for (const [did, key] of lastKeys) raise.run(did, key);
    });
  }

  /** Frames with after < seq <= upTo in order of seq: at most `rowsMax`, and at most `bytesMax` beyond the first. */
  read(range: { after: number; upTo: number; rowsMax: number; bytesMax: number }): LoggedFrame[] {
    const sizes = this.#file
      .statement<{ seq: number; bytes: number }>(
        "SELECT seq, length(frame) AS bytes FROM event WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
      )
      .all(range.after, range.upTo, Math.min(range.rowsMax, ROWS_MAX));
    let [bytes, last] = [0, range.after];
    for (const row of sizes) {
      if (last !== range.after && bytes + row.bytes > range.bytesMax) break;
      [bytes, last] = [bytes + row.bytes, row.seq];
    }
    return this.#file
      .statement<LoggedFrame>("SELECT seq, frame FROM event WHERE seq > ? AND seq <= ? ORDER BY seq")
      .all(range.after, last);
  }

  /** Seq of the first row that is not older than `ms`; by bisection, as `at` rises with seq. 0 where there is none. */
  firstSeqAt(ms: number): number {
    const at = this.#file.statement<{ seq: number; at: number }>(
      "SELECT seq, at FROM event WHERE seq >= ? ORDER BY seq LIMIT 1",
    );
    let [low, high, found] = [this.firstSeq(), this.lastSeq(), 0];
    while (low <= high && high > 0) {
      const middle = low + Math.floor((high - low) / 2);
      const row = at.get(middle);
      if (row && row.at < ms) low = row.seq + 1;
      else {
        if (row) found = row.seq;
        high = middle - 1;
      }
    }
    return found;
  }

  /**
   * Deletes a little of what is old, from the oldest on. A row whose time is after `now` was logged by a clock that was ahead: it is as old
   * as the next one of which that is not so.
   */
  prune({
    before,
    now = Number.POSITIVE_INFINITY,
    publishedUpTo,
    rowsMax,
    bytesMax,
    held,
  }: PruneOptions): Pruned {
    const rows = this.#file
      .statement<{ seq: number; at: number; bytes: number }>(
        "SELECT seq, at, length(frame) AS bytes FROM event WHERE seq <= ? ORDER BY seq LIMIT ?",
      )
      .all(publishedUpTo, Math.min(rowsMax, ROWS_MAX));
    this.#dateBack(rows, now);
    const isHeldRow = (row: { seq: number; at: number }) =>
      held !== undefined && row.seq > held.seq && row.at >= held.notBefore;
    let [count, bytes] = [0, 0];
    for (const row of rows) {
      bytes += row.bytes;
      if (row.at >= before || isHeldRow(row) || (count > 0 && bytes > bytesMax)) break;
      count += 1;
    }
    const next = rows[count];
    const isHeld = next !== undefined && next.at < before && isHeldRow(next);
    const isMore = next ? next.at < before && !isHeld : rows.length === rowsMax;
    const last = rows[count - 1]?.seq;
    if (last === undefined) return { removed: 0, upTo: 0, isHeld, isMore };
    const removed = this.#file.transaction(() => {
      this.#file.statement("UPDATE high_water SET pruned_up_to = ?").run(last);
      return this.#file.statement("DELETE FROM event WHERE seq <= ?").run(last).changes;
    });
    return { removed, upTo: last, isHeld, isMore };
  }

  /** Gives rows from the future the time of the next row that is none. */
  #dateBack(rows: { seq: number; at: number }[], now: number): void {
    const last = rows.at(-1);
    if (!rows.some(({ at }) => at > now) || !last) return;
    let later = this.#file
      .statement<{ at: number }>("SELECT at FROM event WHERE seq > ? AND at <= ? ORDER BY seq LIMIT 1")
      .get(last.seq, now)?.at;
    for (const row of rows.toReversed()) {
      if (row.at <= now) later = row.at;
      else row.at = later ?? row.at;
    }
  }

  /** Resolves when everything appended before this call is on the disk. */
  durable(): Promise<void> {
    return this.#file.durable();
  }

  isDurable(): boolean {
    return this.#file.isDurable();
  }

  walBytes(): number {
    return this.#file.walBytes();
  }

  /** The checkpoint that the WAL needs; after "restart" nothing is to be appended until it is done. */
  checkpointDue(): CheckpointMode | undefined {
    return this.#file.checkpointDue();
  }

  /** In the maintenance worker. While a "restart" runs, append() is refused as busy. */
  checkpoint(mode: CheckpointMode): Promise<boolean> {
    return this.#file.checkpoint(mode);
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}
