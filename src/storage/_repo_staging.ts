/**
 * A whole repo on its way into an account's file: blocks and records in tables of their own, which nobody reads yet, and
 * which take the place of the live ones by a change of names, whatever their size. What the live ones held is then what
 * is staged, and is removed like an import that failed.
 */
import { type Block, type BlockReader, type Cid, walkTree } from "../atproto/mod.ts";
import type { SqliteFile } from "./_sqlite_file.ts";

/** Page cache while a repo is staged: its CIDs come in no order, and every one goes into an index. */
const STAGING_CACHE_KIB = 16 * 1024;
/** Blocks looked at in one step of removing strays. */
const STRAY_WINDOW_IDS = 2_000;

const TABLES = ["block", "record", "record_blob"] as const;
const STAGED_TABLES = TABLES.map((table) => `staged_${table}`);
/** Marks a staged node that the tree reaches, while strays are looked for. */
const REACHED = -1;

export interface StagedRecord {
  readonly collection: string;
  readonly rkey: string;
  readonly cid: Cid;
  /** Blobs that it refers to; they need not be here. */
  readonly blobs: readonly Cid[];
  readonly subject?: string;
  /** Where it is not the rev of the staging: of a repo that is taken over as it was. */
  readonly rev?: string;
}

/** A block that may bring the rev of its row along. */
export interface StagedBlock extends Block {
  readonly rev?: string;
}

/** True where a staged repo, or what one has replaced, waits to be removed. */
export function hasStaged(file: SqliteFile): boolean {
  return file.statement("SELECT 1 FROM staged_block LIMIT 1").get() !== null;
}

/** Removes all that is staged, in the worker. Nothing else is to be written meanwhile. */
export async function clearStaged(file: SqliteFile): Promise<void> {
  await file.clear(STAGED_TABLES);
}

/** Within a transaction: staged tables and live ones change places. */
export function swapStaged(file: SqliteFile): void {
  for (const table of TABLES) {
    file.db.run(`ALTER TABLE ${table} RENAME TO leaving_${table}`);
    file.db.run(`ALTER TABLE staged_${table} RENAME TO ${table}`);
    file.db.run(`ALTER TABLE leaving_${table} RENAME TO staged_${table}`);
  }
}

/** One import's staging. Each method is one bounded step; the caller lets others have their turns in between. */
export class RepoStaging implements BlockReader {
  readonly #file: SqliteFile;
  readonly #rev: string;
  readonly #cacheKib: number;

  /** `rev`: of all rows that it stages; above every rev of the file. */
  constructor(file: SqliteFile, rev: string) {
    this.#file = file;
    this.#rev = rev;
    const cache = file.db.query<{ cache_size: number }, []>("PRAGMA cache_size").get();
    this.#cacheKib = -(cache?.cache_size ?? 0);
    file.db.run(`PRAGMA cache_size = -${STAGING_CACHE_KIB}`);
  }

  /** Adds blocks that hash to their CIDs; repeats are left out. KithError storage_full. */
  addBlocks(blocks: readonly StagedBlock[]): void {
    const insert = this.#file.statement(
      "INSERT INTO staged_block (cid, rev, bytes) VALUES (?, ?, ?) ON CONFLICT (cid) DO NOTHING",
    );
    this.#file.transaction(() => {
      for (const { cid, bytes, rev } of blocks) insert.run(cid.bytes, rev ?? this.#rev, bytes);
    });
  }

  get(cid: Cid): Uint8Array | undefined {
    const row = this.#file
      .statement<{ bytes: Uint8Array }>("SELECT bytes FROM staged_block WHERE cid = ?")
      .get(cid.bytes);
    return row?.bytes;
  }

  addRecords(records: readonly StagedRecord[]): void {
    const insert = this.#file.statement(
      "INSERT INTO staged_record (collection, rkey, cid, rev, subject) VALUES (?, ?, ?, ?, ?)",
    );
    const refer = this.#file.statement(
      "INSERT OR IGNORE INTO staged_record_blob (collection, rkey, cid) VALUES (?, ?, ?)",
    );
    this.#file.transaction(() => {
      for (const { collection, rkey, cid, blobs, subject, rev } of records) {
        insert.run(collection, rkey, cid.bytes, rev ?? this.#rev, subject ?? null);
        for (const blob of blobs) refer.run(collection, rkey, blob.bytes);
      }
    });
  }

  /** Removes the commit `root`, and whatever the tree `data` of so many nodes does not reach: one step a `next()`. */
  *dropStrays({ root, data, nodes }: { root: Cid; data: Cid; nodes: number }): Generator<void, void> {
    this.#file.transaction(() => {
      this.#file.statement("DELETE FROM staged_block WHERE cid = ?").run(root.bytes);
    });
    const blocks = this.#number("SELECT count(*) AS n FROM staged_block");
    const records = this.#number("SELECT count(DISTINCT cid) AS n FROM staged_record");
    if (blocks === nodes + records) return;
    yield* this.#markNodes(data);
    const last = this.#number("SELECT max(id) AS n FROM staged_block");
    for (let from = 0; from <= last; from += STRAY_WINDOW_IDS) {
      this.#file.transaction(() => {
        this.#file
          .statement(
            `DELETE FROM staged_block WHERE id > ? AND id <= ? AND removed = 0
             AND NOT EXISTS (SELECT 1 FROM staged_record r WHERE r.cid = staged_block.cid)`,
          )
          .run(from, from + STRAY_WINDOW_IDS);
        this.#file
          .statement(`UPDATE staged_block SET removed = 0 WHERE id > ? AND id <= ? AND removed = ${REACHED}`)
          .run(from, from + STRAY_WINDOW_IDS);
      });
      yield;
    }
  }

  *#markNodes(data: Cid): Generator<void, void> {
    const mark = this.#file.statement(`UPDATE staged_block SET removed = ${REACHED} WHERE cid = ?`);
    let found: Cid[] = [];
    const flush = () => {
      this.#file.transaction(() => {
        for (const cid of found) mark.run(cid.bytes);
      });
      found = [];
    };
    for (const item of walkTree(this, data)) {
      if (item.kind === "node") found.push(item.block.cid);
      if (found.length < STRAY_WINDOW_IDS) continue;
      flush();
      yield;
    }
    flush();
  }

  #number(sql: string): number {
    return this.#file.statement<{ n: number | null }>(sql).get()?.n ?? 0;
  }

  /** To be called once, whatever came of the import. */
  end(): void {
    this.#file.db.run(`PRAGMA cache_size = -${this.#cacheKib}`);
  }
}
