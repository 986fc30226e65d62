/**
 * What a restore keeps beside the files that it puts together: which of them it has fetched already, the shipped events by
 * account, and the blobs that were only looked at. A file of its own, which goes when the restore has ended.
 */
import type { Database } from "bun:sqlite";
import type { LoggedEvent } from "./backup_reads.ts";
import type { Standing } from "./repo_changes.ts";
import { openSqlite, transaction } from "./sqlite.ts";

/** Fetched files that are noted in one transaction. */
const NOTES_AT_ONCE = 200;
/** Events that are read at a time. */
const EVENTS_AT_ONCE = 100;

/** What a repo's file knew when it was fetched. */
export interface RepoBase extends Standing {
  readonly lastTid: string | null;
}

/** A blob of the backup that was looked at, and kept nowhere. */
export interface SeenBlob {
  readonly did: string;
  readonly cid: string;
  readonly size: number;
  /** In hex. */
  readonly sha256: string;
  readonly quarantined: boolean;
}

export class RestoreState {
  readonly #db: Database;
  readonly #notes = new Map<string, string>();
  readonly #seen: SeenBlob[] = [];

  private constructor(db: Database) {
    this.#db = db;
  }

  /** Made where there is none. */
  static open(path: string): RestoreState {
    const db = openSqlite(path, { create: true });
    // An event that is in the log by now must not be missing here after a power cut.
    db.run("PRAGMA synchronous = FULL");
    db.run(`
      CREATE TABLE IF NOT EXISTS file (path TEXT PRIMARY KEY, sha256 TEXT NOT NULL) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS event (
        did TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL, at INTEGER NOT NULL, frame BLOB NOT NULL,
        PRIMARY KEY (did, seq)
      ) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS base (did TEXT PRIMARY KEY, sha256 TEXT NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS outcome (
        did TEXT PRIMARY KEY, sha256 TEXT NOT NULL, log_up_to INTEGER NOT NULL, result TEXT NOT NULL
      ) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS blob (
        did TEXT NOT NULL, cid TEXT NOT NULL, quarantined INTEGER NOT NULL, size INTEGER NOT NULL, sha256 TEXT NOT NULL,
        PRIMARY KEY (did, quarantined, cid)
      ) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS plan (id INTEGER PRIMARY KEY CHECK (id = 1), name TEXT NOT NULL);
    `);
    return new RestoreState(db);
  }

  /** What the restore that was begun here is of. */
  get plan(): string | undefined {
    return this.#db.query<{ name: string }, []>("SELECT name FROM plan").get()?.name;
  }

  /** Forgets what is known of a restore, durably: before the first of its files goes. */
  forget(): void {
    transaction(this.#db, () => {
      for (const table of ["file", "event", "base", "outcome", "blob", "plan"])
        this.#db.run(`DELETE FROM ${table}`);
    });
    this.#notes.clear();
  }

  /** Begins a restore where nothing is known of another one. */
  begin(plan: string): void {
    this.#db.run("INSERT INTO plan (id, name) VALUES (1, ?)", [plan]);
  }

  /** The hash of the file that was fetched to this path; undefined where none was. */
  fetched(path: string): string | undefined {
    const noted = this.#notes.get(path);
    if (noted !== undefined) return noted;
    const sql = "SELECT sha256 FROM file WHERE path = ?";
    return this.#db.query<{ sha256: string }, [string]>(sql).get(path)?.sha256;
  }

  /** The file at this path is whole, and durable. */
  noteFetched(path: string, sha256: string): void {
    this.#notes.set(path, sha256);
    if (this.#notes.size >= NOTES_AT_ONCE) this.flush();
  }

  /** Known to the methods below once `flush` was called. */
  noteSeen(blob: SeenBlob): void {
    this.#seen.push(blob);
    if (this.#seen.length >= NOTES_AT_ONCE) this.flush();
  }

  seenBlob(did: string, cid: string, { quarantined }: { quarantined: boolean }): SeenBlob | undefined {
    const sql = "SELECT size, sha256 FROM blob WHERE did = ? AND quarantined = ? AND cid = ?";
    const row = this.#db
      .query<{ size: number; sha256: string }, [string, number, string]>(sql)
      .get(did, quarantined ? 1 : 0, cid);
    return row ? { did, cid, quarantined, ...row } : undefined;
  }

  /** CIDs, in order. */
  seenBlobs(
    did: string,
    { quarantined, after, limit }: { quarantined: boolean; after: string; limit: number },
  ): string[] {
    const sql = "SELECT cid FROM blob WHERE did = ? AND quarantined = ? AND cid > ? ORDER BY cid LIMIT ?";
    const query = this.#db.query<{ cid: string }, [string, number, string, number]>(sql);
    return query.all(did, quarantined ? 1 : 0, after, limit).map(({ cid }) => cid);
  }

  /** Without a CID all of the account. */
  forgetSeen(did: string, cid?: string, { quarantined = false } = {}): void {
    if (cid === undefined) this.#db.run("DELETE FROM blob WHERE did = ?", [did]);
    else {
      const sql = "DELETE FROM blob WHERE did = ? AND quarantined = ? AND cid = ?";
      this.#db.run(sql, [did, quarantined ? 1 : 0, cid]);
    }
  }

  /** As if it were put away, or back into its place. Nothing where it is not in the other place. */
  moveSeen(did: string, cid: string, { quarantined }: { quarantined: boolean }): void {
    const [to, from] = quarantined ? [1, 0] : [0, 1];
    const sql = "UPDATE OR REPLACE blob SET quarantined = ? WHERE did = ? AND quarantined = ? AND cid = ?";
    this.#db.run(sql, [to, did, from, cid]);
  }

  flush(): void {
    if (this.#notes.size + this.#seen.length === 0) return;
    const insert = this.#db.query("INSERT OR REPLACE INTO file (path, sha256) VALUES (?, ?)");
    const see = this.#db.query(
      "INSERT OR REPLACE INTO blob (did, cid, quarantined, size, sha256) VALUES (?, ?, ?, ?, ?)",
    );
    transaction(this.#db, () => {
      for (const [path, sha256] of this.#notes) insert.run(path, sha256);
      for (const { did, cid, quarantined, size, sha256 } of this.#seen)
        see.run(did, cid, quarantined ? 1 : 0, size, sha256);
    });
    this.#notes.clear();
    this.#seen.length = 0;
  }

  /** May be repeated. */
  addEvents(events: readonly LoggedEvent[]): void {
    const insert = this.#db.query(
      "INSERT OR REPLACE INTO event (did, seq, kind, at, frame) VALUES (?, ?, ?, ?, ?)",
    );
    transaction(this.#db, () => {
      for (const { did, seq, kind, at, frame } of events) insert.run(did, seq, kind, at, frame);
    });
  }

  /** The events of an account, in order of seq. */
  *eventsOf(did: string): Iterable<LoggedEvent> {
    const page = this.#db.query<LoggedEvent, [string, number]>(
      `SELECT seq, did, kind, at, frame FROM event WHERE did = ? AND seq > ? ORDER BY seq LIMIT ${EVENTS_AT_ONCE}`,
    );
    for (let after = 0; ; ) {
      const rows = page.all(did, after);
      yield* rows;
      after = rows.at(-1)?.seq ?? after;
      if (rows.length < EVENTS_AT_ONCE) return;
    }
  }

  /**
   * What an account's file was before anything was done to it: `found` when it is asked for the first time for a file with this hash, and the
   * same ever after, durably.
   */
  base(did: string, sha256: string, found: () => RepoBase): RepoBase {
    const row = this.#db
      .query<{ sha256: string; value: string }, [string]>("SELECT sha256, value FROM base WHERE did = ?")
      .get(did);
    if (row?.sha256 === sha256) return JSON.parse(row.value) as RepoBase;
    const base = found();
    const { status, ownerStatus, takedownRef, lastTid } = base;
    this.#db
      .query("INSERT OR REPLACE INTO base (did, sha256, value) VALUES (?, ?, ?)")
      .run(did, sha256, JSON.stringify({ status, ownerStatus, takedownRef, lastTid }));
    return base;
  }

  /** What came of an account whose file was fetched with this hash. */
  outcome(did: string, sha256: string): { logUpTo: number; result: unknown } | undefined {
    const row = this.#db
      .query<{ logUpTo: number; result: string }, [string, string]>(
        "SELECT log_up_to AS logUpTo, result FROM outcome WHERE did = ? AND sha256 = ?",
      )
      .get(did, sha256);
    return row ? { logUpTo: row.logUpTo, result: JSON.parse(row.result) } : undefined;
  }

  /** The account's file is closed: all of it is durable. */
  noteOutcome(did: string, done: { sha256: string; logUpTo: number; result: object }): void {
    this.#db
      .query("INSERT OR REPLACE INTO outcome (did, sha256, log_up_to, result) VALUES (?, ?, ?, ?)")
      .run(did, done.sha256, done.logUpTo, JSON.stringify(done.result));
  }

  close(): void {
    this.flush();
    // Its content goes into the file itself, so that it can be moved.
    this.#db.run("PRAGMA wal_checkpoint(TRUNCATE)");
    this.#db.close();
  }
}
