/** What commits do to the tables of an account's file: records, blocks, references to blobs. Within a transaction. */
import { type Cid, cidFromBytes, cidKey } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import type { RepoExports } from "./_repo_export.ts";
import type { RepoTail } from "./_repo_tail.ts";
import type { SqliteFile } from "./_sqlite_file.ts";
import type { RecordKey, RecordPut, RepoCommit } from "./repo_changes.ts";

export class RepoTables {
  readonly #file: SqliteFile;
  readonly #exports: RepoExports;

  constructor(file: SqliteFile, exports: RepoExports) {
    this.#file = file;
    this.#exports = exports;
  }

  /** Returns the blobs whose last reference went: their rows are gone. KithError blob_not_found. */
  apply(tx: RepoCommit): Cid[] {
    const { rev } = tx.head;
    this.#exports.beginCommit();
    const released = [...tx.deletes, ...tx.puts].flatMap((record) => this.#releaseBlobs(record));
    for (const block of tx.newBlocks) this.#exports.add(block, rev);
    this.#changeRecords(tx, rev);
    // What the same commit brings back has not left.
    const brought = new Set(tx.newBlocks.map(({ cid }) => cidKey(cid)));
    for (const cid of tx.removed) if (!brought.has(cidKey(cid))) this.#remove(cid);
    return released.filter((cid) => this.dropUnreferenced(cid));
  }

  /** As if each of the tail's commits had been applied; without what one of them brought and a later one removed. */
  applyTail(tail: RepoTail): void {
    this.#exports.beginCommit();
    for (const commit of tail.commits) {
      for (const block of commit.records) this.#exports.add(block, commit.rev);
      this.#changeRecords(commit, commit.rev);
      for (const cid of commit.replaced) this.#remove(cid);
    }
    for (const cid of tail.gone.values()) this.#remove(cid);
    for (const { block, rev } of tail.nodes.values()) this.#exports.add(block, rev);
  }

  /** The blocks of the records are there. */
  #changeRecords({ deletes, puts }: Pick<RepoCommit, "deletes" | "puts">, rev: string): void {
    for (const { collection, rkey } of deletes) {
      this.#file.statement("DELETE FROM record WHERE collection = ? AND rkey = ?").run(collection, rkey);
    }
    for (const put of puts) this.#put(put, rev);
  }

  /** Its block has been added. */
  #put({ collection, rkey, cid, blobs, subject }: RecordPut, rev: string): void {
    this.#file
      .statement(
        `INSERT OR REPLACE INTO record (collection, rkey, cid, rev, subject, block)
         VALUES (?1, ?2, ?3, ?4, ?5, (SELECT id FROM block WHERE cid = ?3))`,
      )
      .run(collection, rkey, cid.bytes, rev, subject ?? null);
    for (const blob of blobs) {
      this.demandBlob(blob, { collection, rkey });
      this.#file
        .statement("INSERT OR IGNORE INTO record_blob (collection, rkey, cid) VALUES (?, ?, ?)")
        .run(collection, rkey, blob.bytes);
    }
  }

  /** Throws KithError blob_not_found for a blob without a row. */
  demandBlob(blob: Cid, { collection, rkey }: RecordKey): void {
    if (this.#file.statement("SELECT 1 FROM blob WHERE cid = ?").get(blob.bytes) !== null) return;
    throw new KithError(
      "blob_not_found",
      `Could not write the record "${collection}/${rkey}": a blob is absent`,
    );
  }

  /** True where the record refers to blobs. */
  hasBlobs({ collection, rkey }: RecordKey): boolean {
    return (
      this.#file
        .statement("SELECT 1 FROM record_blob WHERE collection = ? AND rkey = ? LIMIT 1")
        .get(collection, rkey) !== null
    );
  }

  #releaseBlobs({ collection, rkey }: RecordKey): Cid[] {
    const rows = this.#file
      .statement<{ cid: Uint8Array }>(
        "DELETE FROM record_blob WHERE collection = ? AND rkey = ? RETURNING cid",
      )
      .all(collection, rkey);
    return rows.map((row) => cidFromBytes(row.cid));
  }

  blobIsReferenced(cid: Cid): boolean {
    return this.#file.statement("SELECT 1 FROM record_blob WHERE cid = ? LIMIT 1").get(cid.bytes) !== null;
  }

  /** True where the blob's row was deleted just now, because no record refers to it any more. */
  dropUnreferenced(cid: Cid): boolean {
    if (this.blobIsReferenced(cid)) return false;
    return this.#file.statement("DELETE FROM blob WHERE cid = ?").run(cid.bytes).changes > 0;
  }

  /** Removes a block unless a record has it. */
  #remove(cid: Cid): void {
    const isRecord = this.#file.statement("SELECT 1 FROM record WHERE cid = ? LIMIT 1").get(cid.bytes);
    if (isRecord === null) this.#exports.remove(cid);
  }
}
