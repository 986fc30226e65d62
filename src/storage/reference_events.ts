/** sequencer.sqlite of a reference PDS: the events that it has told the network, by seq. */
import { timeOf } from "./reference_accounts.ts";
import type { ReferenceDatabase } from "./reference_database.ts";

export interface ReferenceEvent {
  readonly seq: number;
  readonly did: string;
  /** "append", "sync", "identity", "account". */
  readonly eventType: string;
  /** The payload as CBOR, without `seq` and `time`. */
  readonly event: Uint8Array;
  /** ISO 8601, as it stands in the event. */
  readonly time: string;
  /** Unix milliseconds. */
  readonly at: number;
}

export class ReferenceEvents {
  readonly #db: ReferenceDatabase;

  constructor(db: ReferenceDatabase) {
    this.#db = db;
  }

  /** The highest seq that was ever given, also where its row is gone; 0 where there was none. */
  highWater(): number {
    const row = this.#db.get<{ seq: number | null }>("SELECT max(seq) AS seq FROM repo_seq");
    const given = this.#db.get<{ seq: number }>("SELECT seq FROM sqlite_sequence WHERE name = 'repo_seq'");
    return Math.max(row?.seq ?? 0, given?.seq ?? 0);
  }

  /** The seq before the first event that is not older than `since` (Unix milliseconds). */
  before(since: number): number {
    const row = this.#db.get<{ seq: number | null }>(
      "SELECT min(seq) AS seq FROM repo_seq WHERE sequencedAt >= ? AND invalidated = 0",
      new Date(since).toISOString(),
    );
    return row?.seq === null || row === undefined ? this.highWater() : row.seq - 1;
  }

  /** Whether there was any event up to this one. */
  hasUpTo(seq: number): boolean {
    return this.#db.get("SELECT 1 FROM repo_seq WHERE seq <= ? LIMIT 1", seq) !== undefined;
  }

  /** A page of events after a seq, in order. */
  page({ after, limit }: { after: number; limit: number }): ReferenceEvent[] {
    return this.#db
      .all<Omit<ReferenceEvent, "at">>(
        `SELECT seq, did, eventType, event, sequencedAt AS time FROM repo_seq
         WHERE seq > ? AND invalidated = 0 ORDER BY seq LIMIT ?`,
        after,
        limit,
      )
      .map((row) => ({ ...row, at: timeOf(row.time) ?? 0 }));
  }

  /** The payload of the newest event of a DID that tells of a commit. */
  lastCommit(did: string): Uint8Array | undefined {
    return this.#db.get<{ event: Uint8Array }>(
      `SELECT event FROM repo_seq WHERE did = ? AND eventType IN ('append', 'sync') AND invalidated = 0
       ORDER BY seq DESC LIMIT 1`,
      did,
    )?.event;
  }
}
