/**
 * Lexicons that were resolved over the network, in a file of their own: it can be lost without harm, so a damaged one is
 * made anew. Times are Unix milliseconds.
 */
import { rmSync } from "node:fs";
import type { SqliteFileOptions } from "./_sqlite_file.ts";
import { Hub } from "./hub.ts";
import type { Migration } from "./migrations.ts";
import { isDamage } from "./sqlite.ts";

/** Lexicons that are kept, and their bytes altogether. */
export const LEXICONS_MAX = 5_000;
export const LEXICONS_BYTES_MAX = 64 * 1024 * 1024;
const CACHE_KIB = 1024;

const MIGRATIONS: readonly Migration[] = [
  `
  CREATE TABLE lexicon (
    nsid TEXT PRIMARY KEY,
    uri TEXT NOT NULL,
    cid TEXT NOT NULL,
    record BLOB NOT NULL,
    fetched_at INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX lexicon_by_age ON lexicon (fetched_at, nsid);
  `,
];

export interface StoredLexicon {
  readonly nsid: string;
  readonly uri: string;
  readonly cid: string;
  /** The record, in DRISL. */
  readonly bytes: Uint8Array;
  readonly fetchedAt: number;
}

interface Row {
  nsid: string;
  uri: string;
  cid: string;
  record: Uint8Array;
  fetched_at: number;
}

export class LexiconStore {
  readonly #file: Hub;
  readonly #countMax: number;
  readonly #bytesMax: number;

  private constructor(file: Hub, bounds: { countMax?: number; bytesMax?: number }) {
    this.#file = file;
    this.#countMax = bounds.countMax ?? LEXICONS_MAX;
    this.#bytesMax = bounds.bytesMax ?? LEXICONS_BYTES_MAX;
  }

  /** Opens the file, or makes it, also in the place of one that is damaged. For start-up. */
  static async open(
    path: string,
    options: SqliteFileOptions & { countMax?: number; bytesMax?: number },
  ): Promise<LexiconStore> {
    const open = () => Hub.open(path, { cacheKib: CACHE_KIB, ...options, migrations: MIGRATIONS });
    const file = await open().catch(async (error: unknown) => {
      if (!isDamage(error)) throw error;
      for (const end of ["", "-wal", "-shm"]) rmSync(`${path}${end}`, { force: true });
      return await open();
    });
    return new LexiconStore(file, options);
  }

  find(nsid: string): StoredLexicon | undefined {
    const row = this.#file.readOne<Row>("SELECT * FROM lexicon WHERE nsid = ?", nsid);
    if (!row) return undefined;
    const { uri, cid, record, fetched_at } = row;
    return { nsid, uri, cid, bytes: record, fetchedAt: fetched_at };
  }

  count(): number {
    return this.#file.readOne<{ n: number }>("SELECT count(*) n FROM lexicon")?.n ?? 0;
  }

  /** Keeps one, in the place of what it was before. Past the bounds those go that were fetched longest ago. */
  async keep({ nsid, uri, cid, bytes, fetchedAt }: StoredLexicon): Promise<void> {
    await this.#file.write((run) => {
      run(
        `INSERT INTO lexicon (nsid, uri, cid, record, fetched_at) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (nsid) DO UPDATE SET
           uri = excluded.uri, cid = excluded.cid, record = excluded.record, fetched_at = excluded.fetched_at`,
        nsid,
        uri,
        cid,
        bytes,
        fetchedAt,
      );
      while (this.#isTooMuch()) {
        run("DELETE FROM lexicon WHERE nsid = (SELECT nsid FROM lexicon ORDER BY fetched_at, nsid LIMIT 1)");
      }
    });
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  #isTooMuch(): boolean {
    const sums = this.#file.readOne<{ n: number; bytes: number | null }>(
      "SELECT count(*) n, sum(length(record)) bytes FROM lexicon",
    );
    return (sums?.n ?? 0) > this.#countMax || (sums?.bytes ?? 0) > this.#bytesMax;
  }
}
