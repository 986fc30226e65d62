/** What a backup reads of the data folder by SQL, over connections of its own: short reads, for a worker. */
import type { Database } from "bun:sqlite";
import type { EventKind } from "../atproto/mod.ts";
import { openToRead } from "./_open_to_read.ts";
import type { AccountState } from "./account_store.ts";
import { storageError } from "./sqlite.ts";

/** A row of the event log. */
export interface LoggedEvent {
  readonly seq: number;
  readonly did: string;
  readonly kind: EventKind;
  /** Unix milliseconds. */
  readonly at: number;
  readonly frame: Uint8Array;
}

export interface LogMarks {
  /** The newest seq that retention has removed. */
  readonly prunedUpTo: number;
  /** Of the newest row; 0 where there is none. */
  readonly lastSeq: number;
  readonly highWater: number;
}

/** A row of the log that a crash may have left without its commit in the repo. */
export interface UnprovenEvent {
  readonly seq: number;
  readonly did: string;
  readonly key: string;
}

/** Reads the event log while another connection writes it. */
export class EventLogReader {
  readonly #db: Database;

  constructor(path: string) {
    this.#db = openToRead(path);
  }

  marks(): LogMarks {
    const row = this.#db
      .query<LogMarks, []>(
        `SELECT pruned_up_to AS prunedUpTo, seq AS highWater,
           coalesce((SELECT max(seq) FROM event), 0) AS lastSeq FROM high_water`,
      )
      .get();
    return row ?? { prunedUpTo: 0, highWater: 0, lastSeq: 0 };
  }

  /** Events above the seq that is known as published, in order; of a log from before that was known, none. */
  *unproven(): Iterable<UnprovenEvent> {
    const known = this.#db.query("SELECT 1 FROM pragma_table_info('event') WHERE name = 'key'").get();
    if (known === null) return;
    const rows = this.#db.query<UnprovenEvent, []>(
      `SELECT seq, did, coalesce(key, '') AS key FROM event
       WHERE seq > (SELECT published_up_to FROM high_water) ORDER BY seq`,
    );
    yield* rows.iterate();
  }

  /** Events with after < seq <= upTo in order: at most `rowsMax`, and at most `bytesMax` of frames beyond the first. */
  read(range: { after: number; upTo: number; rowsMax: number; bytesMax: number }): LoggedEvent[] {
    const found: LoggedEvent[] = [];
    let bytes = 0;
    const rows = this.#db.query<LoggedEvent, [number, number, number]>(
      "SELECT seq, did, kind, at, frame FROM event WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
    );
    for (const row of rows.iterate(range.after, range.upTo, range.rowsMax)) {
      bytes += row.frame.length;
      if (found.length > 0 && bytes > range.bytesMax) break;
      found.push(row);
    }
    return found;
  }

  /** The key of each DID's newest event, in the order of the DIDs. */
  *lastKeys(): Iterable<[did: string, key: string]> {
    const rows = this.#db.query<{ did: string; key: string }, []>(
      "SELECT did, key FROM last_key ORDER BY did",
    );
    for (const { did, key } of rows.iterate()) yield [did, key];
  }

  close(): void {
    this.#db.close();
  }
}

/** An account whose files a backup copies. */
export interface AccountFiles {
  readonly did: string;
  readonly generation: number;
  readonly state: AccountState;
}

/** Reads which accounts there are: of the live accounts store, or of a copy. */
export class AccountFilesReader {
  readonly #db: Database;

  constructor(path: string) {
    this.#db = openToRead(path);
  }

  /** Accounts that have files, or may have. */
  all(): AccountFiles[] {
    return this.#db
      .query<AccountFiles, []>("SELECT did, generation, state FROM account WHERE state <> 'deleted'")
      .all();
  }

  account(did: string): AccountFiles | undefined {
    const sql = "SELECT did, generation, state FROM account WHERE did = ? AND state <> 'deleted'";
    return this.#db.query<AccountFiles, [string]>(sql).get(did) ?? undefined;
  }

  close(): void {
    this.#db.close();
  }
}

/** The last TID that a repo's file knows of. Throws KithError storage_damaged, storage_full, busy. */
export function readLastTid(path: string): string {
  const db = openToRead(path);
  try {
    return db.query<{ tid: string | null }, []>("SELECT last_tid AS tid FROM meta").get()?.tid ?? "";
  } catch (error) {
    throw storageError(error, `Could not read "${path}"`);
  } finally {
    db.close();
  }
}
