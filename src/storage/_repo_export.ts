/**
 * Exports of a repo while it is written to, without a long read transaction (which would keep the WAL growing).
 *
 * The block table is read by id, in windows. Blocks put in later have higher ids and are left out. Blocks taken out
 * while any export is open are marked with the number of the commit instead of deleted, so an export still finds what
 * was in the tree when it began; the marked ones are deleted, in bounded steps, after the last export closed.
 */
import type { Block, CarEntry, Cid, Head } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import type { SqliteFile } from "./_sqlite_file.ts";

/** Ids looked at in one step of an export. */
const EXPORT_WINDOW_IDS = 2000;
/** Blocks deleted in one step of a sweep. */
const SWEEP_ROWS_MAX = 500;
/** Exports of one repo that may be open at once. */
const EXPORTS_MAX = 64;

/** What RepoStore.openExport() returns: a pull source of blocks. */
export interface RepoExport {
  /** The head that the export is of. */
  readonly head: Head;
  /**
   * Up to `maxBytes` of blocks (at least one), the commit first and the others in no order. An empty array: nothing in
   * this window, ask again. null: the end.
   */
  next(maxBytes: number): CarEntry[] | null;
  /** Must be called, at the end or before it; repeatable. */
  close(): void;
}

/** Commits that the tables have no room for on a full disk, as an export of the tree after them needs them. */
export interface UnsettledBlocks {
  /** In the tables, of blocks that these commits have put in or taken out. */
  readonly ids: ReadonlySet<number>;
  /** Of the same blocks, those that are in the tree. */
  readonly blocks: readonly (CarEntry & { readonly rev: string })[];
}

interface Open {
  /** Commits counted when it began: a block marked later was in the tree then. */
  readonly mark: number;
  /** Blocks that had left the tree before it began and came back since. */
  readonly excluded: Set<number>;
  closed: boolean;
}

/** The open exports of one store, and the fate of blocks that commits remove. */
export class RepoExports {
  readonly #file: SqliteFile;
  readonly #open = new Set<Open>();
  #commits: number;
  #sweepScheduled = false;

  constructor(file: SqliteFile) {
    this.#file = file;
    const last = file.statement<{ last: number | null }>(
      "SELECT max(removed) AS last FROM block WHERE removed <> 0",
    );
    this.#commits = last.get()?.last ?? 0;
  }

  get areOpen(): boolean {
    return this.#open.size > 0;
  }

  /** To be called at the beginning of each transaction that removes or adds blocks. */
  beginCommit(): void {
    this.#commits += 1;
  }

  /** Takes a block out of the tree: deleted, or marked while an export may still need it. */
  remove(cid: Cid): void {
    if (this.#open.size === 0) this.#file.statement("DELETE FROM block WHERE cid = ?").run(cid.bytes);
    else
      this.#file
        .statement("UPDATE block SET removed = ? WHERE cid = ? AND removed = 0")
        .run(this.#commits, cid.bytes);
  }

  /** Puts a block into the tree; one that is marked comes back with the new rev, one that is there stays. */
  add(block: Block, rev: string): void {
    const inserted = this.#file
      .statement("INSERT INTO block (cid, rev, bytes) VALUES (?, ?, ?) ON CONFLICT (cid) DO NOTHING")
      .run(block.cid.bytes, rev, block.bytes);
    if (inserted.changes > 0) return;
    const marked = this.#file
      .statement<{ id: number; removed: number }>(
        "SELECT id, removed FROM block WHERE cid = ? AND removed <> 0",
      )
      .get(block.cid.bytes);
    if (!marked) return;
    this.#file.statement("UPDATE block SET removed = 0, rev = ? WHERE id = ?").run(rev, marked.id);
    for (const open of this.#open) if (marked.removed <= open.mark) open.excluded.add(marked.id);
  }

  open(
    head: Head,
    { since, unsettled }: { since: string | undefined; unsettled: UnsettledBlocks | undefined },
  ): RepoExport {
    if (this.#open.size >= EXPORTS_MAX) {
      throw new KithError("busy", `Could not export the repo: ${EXPORTS_MAX} exports of it are open`);
    }
    const open: Open = { mark: this.#commits, excluded: new Set(unsettled?.ids), closed: false };
    this.#open.add(open);
    const blocks = scan(this.#file, { head, since, unsettled, open });
    return {
      head,
      next: (maxBytes) => {
        if (open.closed)
          throw new KithError("shutting_down", "Could not go on with the export: it was closed");
        return blocks(maxBytes);
      },
      close: () => this.#close(open),
    };
  }

  #close(open: Open): void {
    if (open.closed) return;
    open.closed = true;
    this.#open.delete(open);
    if (this.#open.size === 0) this.scheduleSweep();
  }

  closeAll(): void {
    for (const open of [...this.#open]) this.#close(open);
  }

  /** Deletes marked blocks in later turns, a bounded number in each, until none is left or an export opens. */
  scheduleSweep(): void {
    if (this.#sweepScheduled) return;
    this.#sweepScheduled = true;
    setImmediate(() => {
      this.#sweepScheduled = false;
      if (this.#sweepStep()) this.scheduleSweep();
    });
  }

  /** True: there may be more. A step that finds the disk full or the file busy is made up for by a later sweep. */
  #sweepStep(): boolean {
    const file = this.#file;
    if (file.isClosed || file.isRestarting || !file.isPrimed || this.#open.size > 0) return false;
    const some = file.statement<{ id: number }>(
      `SELECT id FROM block WHERE removed <> 0 ORDER BY removed LIMIT ${SWEEP_ROWS_MAX}`,
    );
    const ids = some.all();
    if (ids.length === 0) return false;
    try {
      file.transaction(() => {
        for (const { id } of ids) file.statement("DELETE FROM block WHERE id = ?").run(id);
      });
      return true;
    } catch (error) {
      if (error instanceof KithError) return false;
      throw error;
    }
  }
}

interface Scan {
  readonly head: Head;
  readonly since: string | undefined;
  readonly unsettled: UnsettledBlocks | undefined;
  readonly open: Open;
}

interface BlockRow extends CarEntry {
  readonly id: number;
}

/**
 * A function that gives the next blocks of an export. Rows are stepped through one by one, by one statement for as many as
 * `maxBytes` holds; it ends, and with it its read transaction, before the function returns.
 */
function scan(
  file: SqliteFile,
  { head, since, unsettled, open }: Scan,
): (maxBytes: number) => CarEntry[] | null {
  const isCommit = ({ cid }: CarEntry) => Buffer.compare(cid, head.commit.bytes) === 0;
  const held = unsettled?.blocks.filter(({ rev }) => rev > (since ?? "")) ?? [];
  const last = file.statement<{ id: number | null }>("SELECT max(id) AS id FROM block").get()?.id ?? 0;
  let position = 0;
  let commit: (CarEntry & { readonly id?: number }) | undefined;
  return (maxBytes) => {
    if (!commit) {
      commit = unsettled?.blocks.find(isCommit) ?? readCommit(file, head);
      return [commit];
    }
    if (held.length > 0) return takeSome(held, maxBytes).filter((block) => !isCommit(block));
    if (position >= last) return null;
    const end = Math.min(position + EXPORT_WINDOW_IDS, last);
    const blocks: CarEntry[] = [];
    let bytes = 0;
    // Asked for anew each time: a reader may take so long that the file rests meanwhile.
    const rows = file.statement<BlockRow>(
      `SELECT id, cid, bytes FROM block
       WHERE id > ? AND id <= ? AND (removed = 0 OR removed > ?) AND rev > ? ORDER BY id`,
    );
    for (const row of rows.iterate(position, end, open.mark, since ?? "")) {
      bytes += row.bytes.length;
      if (bytes > maxBytes && blocks.length > 0) return blocks;
      position = row.id;
      if (row.id !== commit.id && !open.excluded.has(row.id)) blocks.push(row);
    }
    position = end;
    return blocks;
  };
}

/** Takes as many from the beginning as `maxBytes` holds, one at the least. */
function takeSome(blocks: CarEntry[], maxBytes: number): CarEntry[] {
  let bytes = 0;
  const end = blocks.findIndex((block, at) => {
    bytes += block.bytes.length;
    return at > 0 && bytes > maxBytes;
  });
  return blocks.splice(0, end === -1 ? blocks.length : end);
}

/** The commit comes first, even of a repo that has not changed since the rev that was asked for. */
function readCommit(file: SqliteFile, head: Head): BlockRow {
  const row = file
    .statement<BlockRow>("SELECT id, cid, bytes FROM block WHERE cid = ?")
    .get(head.commit.bytes);
  if (!row)
    throw new KithError("storage_damaged", `Could not export from "${file.path}": its commit is gone`);
  return row;
}
