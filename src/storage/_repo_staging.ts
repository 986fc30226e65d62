/**
 * A whole repo on its way into an account's file: blocks and records in tables of their own, which nobody reads yet, and
 * which take the place of the live ones by a change of names, whatever their size. What the live ones held is then what
 * is staged, and is removed like an import that failed.
 */
import { type Block, type BlockReader, type Cid, cidKey, walkTree } from "../atproto/mod.ts";
import type { SqliteFile } from "./_sqlite_file.ts";
import { packBlocks, packCids, type RecordName, type StagedRows } from "./_staged_rows.ts";

/** Staged blocks kept in memory too, by bytes: the trees of most repos are checked without reading them back. */
const HELD_BYTES_MAX = 8 * 1024 * 1024;
/** What holding a block takes beside its bytes, about. */
const HELD_BLOCK_BYTES = 300;
/** Transactions that the worker has still to make: one at work, one waiting. */
const SENT_MAX = 2;
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

/**
 * One import's staging. Rows are written by the worker, and read here. Each method is one bounded step; the caller lets others
 * have their turns in between.
 */
export class RepoStaging implements BlockReader {
  readonly #file: SqliteFile;
  readonly #rev: string;
  readonly #held = new Map<string, Uint8Array>();
  #heldBytes = 0;
  readonly #sent: Promise<void>[] = [];

  /** `rev`: of all rows that it stages; above every rev of the file. */
  constructor(file: SqliteFile, rev: string) {
    this.#file = file;
    this.#rev = rev;
  }

  /**
   * Adds blocks that hash to their CIDs; repeats are left out. Their memory must stay as it is. Resolves when there is room for
   * more; KithError storage_full, of these or of what was added before.
   */
  async addBlocks(blocks: readonly StagedBlock[]): Promise<void> {
    for (const block of blocks) {
      if (this.#heldBytes >= HELD_BYTES_MAX) break;
      this.#held.set(cidKey(block.cid), block.bytes);
      this.#heldBytes += block.bytes.length + HELD_BLOCK_BYTES;
    }
    if (blocks.length > 0) await this.#send({ kind: "blocks", rev: this.#rev, ...packBlocks(blocks) });
  }

  /** As addBlocks(). */
  async addRecords(records: readonly StagedRecord[]): Promise<void> {
    if (records.length === 0) return;
    const names = records.map(({ collection, rkey, subject, blobs, rev }): RecordName => {
      const name = [collection, rkey, subject ?? null, blobs.length] as const;
      return rev === undefined ? name : [...name, rev];
    });
    const cids = packCids(records.flatMap(({ cid, blobs }) => [cid, ...blobs]));
    await this.#send({ kind: "records", rev: this.#rev, names: JSON.stringify(names), cids });
  }

  async #send(rows: StagedRows): Promise<void> {
    const sent = this.#file.stage(rows);
    // A failure is told by whoever awaits it below.
    sent.catch(() => {});
    this.#sent.push(sent);
    while (this.#sent.length > SENT_MAX) await this.#sent.shift();
  }

  /** To be awaited between the last addBlocks() and the first get(). */
  async readable(): Promise<void> {
    if (this.#heldBytes >= HELD_BYTES_MAX) await this.settled();
  }

  /** Resolves when all that was added is in the file. */
  async settled(): Promise<void> {
    while (this.#sent.length > 0) await this.#sent.shift();
  }

  /** Runs `read`, which must be synchronous and write nothing, in one read transaction: each get() of its own costs one. */
  reading<T>(read: () => T): T {
    this.#file.db.run("BEGIN");
    try {
      return read();
    } finally {
      if (this.#file.db.inTransaction) this.#file.db.run("COMMIT");
    }
  }

  get(cid: Cid): Uint8Array | undefined {
    const held = this.#held.get(cidKey(cid));
    if (held) return held;
    const row = this.#file
      .statement<{ bytes: Uint8Array }>("SELECT bytes FROM staged_block WHERE cid = ?")
      .get(cid.bytes);
    return row?.bytes;
  }

  /**
   * To be awaited when everything was added: removes the commit `root`, and whatever the tree `data` of so many nodes does not
   * reach, one step a `next()`.
   */
  async *dropStrays(tree: { root: Cid; data: Cid; nodes: number }): AsyncGenerator<void, void> {
    await this.settled();
    this.#file.transaction(() => {
      this.#file.statement("DELETE FROM staged_block WHERE cid = ?").run(tree.root.bytes);
    });
    const { blocks, records } = await this.#file.countStaged();
    if (blocks === tree.nodes + records) return;
    yield* this.#markNodes(tree.data);
    const newest = this.#file.statement<{ id: number | null }>("SELECT max(id) AS id FROM staged_block");
    const last = newest.get()?.id ?? 0;
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
    let found: Cid[] = [];
    const flush = () => {
      const mark = this.#file.statement(`UPDATE staged_block SET removed = ${REACHED} WHERE cid = ?`);
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

  /** To be awaited once, whatever came of the import. */
  async end(): Promise<void> {
    await Promise.allSettled(this.#sent);
    await this.#file.endStaging();
    this.#held.clear();
  }
}
