import { Database } from "bun:sqlite";
import { closeSync, existsSync, openSync } from "node:fs";
import { storageError } from "./sqlite.ts";

/** An accepted operation of the PLC directory that dev mode has built in. */
export interface PlcRow {
  readonly did: string;
  /** JSON. */
  readonly operation: object;
  readonly cid: string;
  readonly nullified: boolean;
  /** ISO 8601 with milliseconds, so that text order is time order. */
  readonly createdAt: string;
}

interface Stored {
  readonly did: string;
  readonly operation: string;
  readonly cid: string;
  readonly nullified: number;
  readonly created_at: string;
}

const COLUMNS = "did, cid, operation, nullified, created_at";

/**
 * The operations of the built-in PLC directory, in a file of their own. It fsyncs on the calling thread: it exists in dev mode only.
 */
export class PlcStore {
  readonly #db: Database;

  /** Opens or makes the file. Throws KithError storage_damaged, storage_full. */
  constructor(path: string) {
    try {
      this.#db = openDirectory(path);
    } catch (error) {
      throw storageError(error, `Could not open "${path}", the built-in PLC directory`);
    }
  }

  /** Adds an entry and marks the entries of its DID with the CIDs in `nullified`, in one durable transaction. */
  append(row: PlcRow, nullified: readonly string[]): void {
    this.#db.transaction(() => {
      const mark = this.#db.query("UPDATE plc_operation SET nullified = 1 WHERE did = ? AND cid = ?");
      for (const cid of nullified) mark.run(row.did, cid);
      this.#db
        .query(`INSERT INTO plc_operation (${COLUMNS}) VALUES (?, ?, ?, ?, ?)`)
        .run(row.did, row.cid, JSON.stringify(row.operation), row.nullified ? 1 : 0, row.createdAt);
    })();
  }

  /** The operations of a DID, oldest first, with those that were nullified. */
  log(did: string): PlcRow[] {
    const query = this.#db.query<Stored, [string]>(
      `SELECT ${COLUMNS} FROM plc_operation WHERE did = ? ORDER BY id`,
    );
    return query.all(did).map(toRow);
  }

  /** Operations of all DIDs, oldest first, later than `after` where given, at most `limit`. */
  export({ after, limit }: { after: string | undefined; limit: number }): PlcRow[] {
    const query = this.#db.query<Stored, [string, number]>(
      `SELECT ${COLUMNS} FROM plc_operation WHERE created_at > ? ORDER BY created_at LIMIT ?`,
    );
    return query.all(after ?? "", limit).map(toRow);
  }

  /** Time of the newest entry. */
  lastCreatedAt(): string | undefined {
    const query = this.#db.query<{ at: string | null }, []>(
      "SELECT max(created_at) AS at FROM plc_operation",
    );
    return query.get()?.at ?? undefined;
  }

  close(): void {
    this.#db.close();
  }
}

function toRow(stored: Stored): PlcRow {
  return {
    did: stored.did,
    operation: JSON.parse(stored.operation),
    cid: stored.cid,
    nullified: stored.nullified === 1,
    createdAt: stored.created_at,
  };
}

function openDirectory(path: string): Database {
  if (!existsSync(path)) closeSync(openSync(path, "a", 0o600));
  const db = new Database(path, { create: true, strict: true });
  db.run("PRAGMA journal_mode = WAL");
  db.run("PRAGMA synchronous = FULL");
  db.run(`CREATE TABLE IF NOT EXISTS plc_operation (
    id INTEGER PRIMARY KEY,
    did TEXT NOT NULL,
    cid TEXT NOT NULL,
    operation TEXT NOT NULL,
    nullified INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL UNIQUE,
    UNIQUE (did, cid)
  ) STRICT`);
  return db;
}
