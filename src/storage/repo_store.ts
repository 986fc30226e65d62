/**
 * One account's file: records, blocks, blob rows, head, status and the events that tell the network, in one transaction
 * of its actor. It is the truth about the account; whoever else knows something of it, knows it from here.
 */
import { type BlockReader, type Cid, cidFromBytes } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import { allBlobs, listBlobs, listMissingBlobs } from "./_repo_blob_pages.ts";
import { type RepoExport, RepoExports } from "./_repo_export.ts";
import {
  type Preference,
  type PreferencesChange,
  readPreferences,
  replacePreferences,
} from "./_repo_preferences.ts";
import { clearStaged, hasStaged, RepoStaging, swapStaged } from "./_repo_staging.ts";
import { RECORD_SHOWN, RepoTakedowns } from "./_repo_takedowns.ts";
import type { SqliteFile } from "./_sqlite_file.ts";
import type { CheckpointMode } from "./maintenance.ts";
import {
  type BlobRow,
  type EventsChange,
  type ImportSwitch,
  type ListBlobs,
  type ListRecords,
  type OwnerStatus,
  PAGE_ROWS_MAX,
  type PendingEvent,
  type RecordKey,
  type RecordPut,
  type RepoCommit,
  type RepoCounts,
  type RepoState,
  type RepoStatus,
  type SinceRecord,
  type StatusChange,
} from "./repo_changes.ts";

export type { RepoExport } from "./_repo_export.ts";
export type { Preference, PreferencesChange } from "./_repo_preferences.ts";
export type { RepoStaging, StagedBlock, StagedRecord } from "./_repo_staging.ts";
export type { RecordTakedown, RepoTakedowns, TakedownChange } from "./_repo_takedowns.ts";

interface MetaRow {
  did: string | null;
  generation: number | null;
  head: Uint8Array | null;
  data: Uint8Array | null;
  rev: string | null;
  status: RepoStatus;
  owner_status: OwnerStatus;
  takedown_ref: string | null;
  last_tid: string | null;
  handle: string | null;
  signing_key: string | null;
}

export class RepoStore implements BlockReader {
  readonly did: string;
  readonly generation: number;
  readonly takedowns: RepoTakedowns;
  readonly #file: SqliteFile;
  readonly #exports: RepoExports;

  private constructor(file: SqliteFile, { did, generation }: { did: string; generation: number }) {
    this.did = did;
    this.generation = generation;
    this.#file = file;
    this.#exports = new RepoExports(file);
    this.takedowns = new RepoTakedowns(file);
  }

  /** Takes over an open file of the current schema (RepoFiles.open). Throws KithError storage_damaged. */
  static open(file: SqliteFile, { did, generation }: { did: string; generation: number }): RepoStore {
    const store = new RepoStore(file, { did, generation });
    const meta = store.#meta();
    if (meta.did !== null && (meta.did !== did || meta.generation !== generation)) {
      file.db.close();
      throw new KithError(
        "storage_damaged",
        `Could not open the repo of "${did}": "${file.path}" is of "${meta.did}", generation ${meta.generation}`,
      );
    }
    return store;
  }

  /** The file below, for tests that fill the disk or look at rows. */
  get fileForTests(): SqliteFile {
    return this.#file;
  }

  // Reading

  state(): RepoState {
    const { head, data, rev, status, ...meta } = this.#meta();
    const { last_tid: lastTid, owner_status: ownerStatus, takedown_ref: takedownRef } = meta;
    const { handle, signing_key: signingKey } = meta;
    const rest = { status, ownerStatus, takedownRef, lastTid, handle, signingKey };
    if (!head || !data || rev === null) return { head: null, ...rest };
    return { head: { commit: cidFromBytes(head), rev, data: cidFromBytes(data) }, ...rest };
  }

  #meta(): MetaRow {
    const row = this.#file.statement<MetaRow>("SELECT * FROM meta").get();
    if (!row)
      throw new KithError("storage_damaged", `Could not read "${this.#file.path}": it has no meta row`);
    return row;
  }

  /** The bytes of a block of the current tree. */
  get(cid: Cid): Uint8Array | undefined {
    const row = this.#file
      .statement<{ bytes: Uint8Array }>("SELECT bytes FROM block WHERE cid = ? AND removed = 0")
      .get(cid.bytes);
    return row?.bytes;
  }

  record(collection: string, rkey: string): { cid: Cid; bytes: Uint8Array; rev: string } | undefined {
    const row = this.#file
      .statement<{ cid: Uint8Array; rev: string; bytes: Uint8Array }>(
        `SELECT r.cid, r.rev, b.bytes FROM record r JOIN block b ON b.cid = r.cid
         WHERE r.collection = ? AND r.rkey = ?`,
      )
      .get(collection, rkey);
    return row ? { cid: cidFromBytes(row.cid), bytes: row.bytes, rev: row.rev } : undefined;
  }

  recordCid(collection: string, rkey: string): Cid | undefined {
    const row = this.#file
      .statement<{ cid: Uint8Array }>("SELECT cid FROM record WHERE collection = ? AND rkey = ?")
      .get(collection, rkey);
    return row ? cidFromBytes(row.cid) : undefined;
  }

  /** A page of a collection, newest rkey first unless `reverse`; without what is taken down. */
  listRecords(options: ListRecords): { rkey: string; cid: Cid; bytes: Uint8Array }[] {
    const { collection, cursor, reverse } = options;
    const [before, order] = reverse ? [">", "ASC"] : ["<", "DESC"];
    const after = cursor === undefined ? "" : `AND r.rkey ${before} ?`;
    const limit = Math.min(options.limit, PAGE_ROWS_MAX);
    const rows = this.#file
      .statement<{ rkey: string; cid: Uint8Array; bytes: Uint8Array }>(
        `SELECT r.rkey, r.cid, b.bytes FROM record r JOIN block b ON b.cid = r.cid
         WHERE r.collection = ? ${after} AND ${RECORD_SHOWN} ORDER BY r.rkey ${order} LIMIT ?`,
      )
      .all(...(cursor === undefined ? [collection, limit] : [collection, cursor, limit]));
    return rows.map((row) => ({ rkey: row.rkey, cid: cidFromBytes(row.cid), bytes: row.bytes }));
  }

  /** The collections that have records, sorted; by one seek each. */
  collections(): string[] {
    const rows = this.#file
      .statement<{ name: string }>(
        `WITH RECURSIVE found (name) AS (
           SELECT min(collection) FROM record
           UNION ALL
           SELECT (SELECT min(collection) FROM record WHERE collection > found.name) FROM found WHERE found.name IS NOT NULL
         ) SELECT name FROM found WHERE name IS NOT NULL`,
      )
      .all();
    return rows.map((row) => row.name);
  }

  /**
   * The newest records of commits after `rev`, newest first; none where there is no older one, for then `rev` is not
   * of this repo's past (it has been imported anew, say).
   */
  recordsSince(rev: string, { limit }: { limit: number }): SinceRecord[] {
    const older = this.#file.statement("SELECT 1 FROM record WHERE rev <= ? LIMIT 1").get(rev);
    if (older === null) return [];
    const rows = this.#file
      .statement<{ collection: string; rkey: string; cid: Uint8Array; rev: string; bytes: Uint8Array }>(
        `SELECT r.collection, r.rkey, r.cid, r.rev, b.bytes FROM record r JOIN block b ON b.cid = r.cid
         WHERE r.rev > ? AND ${RECORD_SHOWN} ORDER BY r.rev DESC LIMIT ?`,
      )
      .all(rev, Math.min(limit, PAGE_ROWS_MAX));
    return rows.map((row) => ({ ...row, cid: cidFromBytes(row.cid) }));
  }

  recordCount(): number {
    return this.#file.statement<{ n: number }>("SELECT count(*) AS n FROM record").get()?.n ?? 0;
  }

  /** How much there is: blocks and records of the tree, blobs that records refer to, blobs that are here. */
  counts(): RepoCounts {
    const row = this.#file
      .statement<RepoCounts>(
        `SELECT (SELECT count(*) FROM block) - (SELECT count(*) FROM block WHERE removed <> 0) AS blocks,
           (SELECT count(*) FROM record) AS records,
           (SELECT count(DISTINCT cid) FROM record_blob) AS expectedBlobs,
           (SELECT count(*) FROM blob) AS importedBlobs`,
      )
      .get();
    return row ?? { blocks: 0, records: 0, expectedBlobs: 0, importedBlobs: 0 };
  }

  /** The rkey of the newest record of a collection with this subject: of a like, repost, follow or block. */
  recordWithSubject(collection: string, subject: string): string | undefined {
    return this.#file
      .statement<{ rkey: string }>(
        "SELECT rkey FROM record WHERE collection = ? AND subject = ? ORDER BY rkey DESC LIMIT 1",
      )
      .get(collection, subject)?.rkey;
  }

  blob(cid: Cid): BlobRow | undefined {
    const row = this.#file
      .statement<{ mime_type: string; size: number; created_at: number }>(
        "SELECT mime_type, size, created_at FROM blob WHERE cid = ?",
      )
      .get(cid.bytes);
    return row ? { cid, mimeType: row.mime_type, size: row.size, createdAt: row.created_at } : undefined;
  }

  blobIsReferenced(cid: Cid): boolean {
    return this.#file.statement("SELECT 1 FROM record_blob WHERE cid = ? LIMIT 1").get(cid.bytes) !== null;
  }

  /** By CID bytes; with `since`, those of records written after that rev. */
  listBlobs(page: ListBlobs): Cid[] {
    return listBlobs(this.#file, page);
  }

  /** The rows of blobs, referred to or not, by CID. */
  allBlobs(page: { limit: number; after?: Cid | undefined }): BlobRow[] {
    return allBlobs(this.#file, page);
  }

  /** Blobs that records refer to and that are not here, by CID, each with one of the records. */
  listMissingBlobs(page: { limit: number; cursor?: string }): { cid: Cid; path: string }[] {
    return listMissingBlobs(this.#file, page);
  }

  /** Uploads older than `olderThan` (milliseconds) that no record refers to. */
  temporaryBlobs(olderThan: number, { limit = PAGE_ROWS_MAX }: { limit?: number } = {}): Cid[] {
    const rows = this.#file
      .statement<{ cid: Uint8Array }>(
        `SELECT cid FROM blob WHERE created_at < ?
         AND NOT EXISTS (SELECT 1 FROM record_blob r WHERE r.cid = blob.cid) LIMIT ?`,
      )
      .all(olderThan, Math.min(limit, PAGE_ROWS_MAX));
    return rows.map((row) => cidFromBytes(row.cid));
  }

  /** When the oldest upload came that no record refers to, in milliseconds; undefined where there is none. */
  oldestTemporaryBlob(): number | undefined {
    const row = this.#file
      .statement<{ at: number | null }>(
        `SELECT min(created_at) AS at FROM blob
         WHERE NOT EXISTS (SELECT 1 FROM record_blob r WHERE r.cid = blob.cid)`,
      )
      .get();
    return row?.at ?? undefined;
  }

  /** What the blobs that are here take, referred to or not. */
  blobBytes(): number {
    return this.#file.statement<{ n: number }>("SELECT blob_bytes AS n FROM meta").get()?.n ?? 0;
  }

  preferences(): Preference[] {
    return readPreferences(this.#file);
  }

  /** In order of key. */
  pendingEvents(): PendingEvent[] {
    return this.#file
      .statement<PendingEvent>("SELECT key, kind, before, after FROM pending_event ORDER BY id")
      .all();
  }

  // Writing: each is one synchronous transaction, in memory of the file when it returns; then await durable().

  /** To be awaited once before the first write after an open, with the open_repos row already durable. */
  async prepareWrites(): Promise<void> {
    if (this.#file.isPrimed) return;
    await this.#file.prepareWrites();
    this.#exports.scheduleSweep();
    await this.clearStaging();
  }

  /** True where an import that ended, or was cut off, has left something behind. */
  hasStaging(): boolean {
    return hasStaged(this.#file);
  }

  /** Begins to stage a whole repo; `rev`, above all here, is that of its rows. Nothing else is to be written meanwhile. */
  beginStaging(rev: string): RepoStaging {
    return new RepoStaging(this.#file, rev);
  }

  /** Puts the staged repo in the place of the present one, in one transaction. Exports that are open end with an error. */
  switchStaging(tx: ImportSwitch): void {
    this.#file.transaction(() => {
      swapStaged(this.#file);
      this.#exports.add(tx.commit, tx.head.rev);
      this.#file
        .statement("UPDATE meta SET head = ?, data = ?, rev = ?")
        .run(tx.head.commit.bytes, tx.head.data.bytes, tx.head.rev);
      this.#events(tx);
    });
    this.#exports.closeAll();
  }

  /** Removes what is staged, be it an import that failed or the repo that one has replaced. */
  async clearStaging(): Promise<void> {
    if (this.hasStaging()) await clearStaged(this.#file);
  }

  /**
   * Commits a repo write. Returns the blobs whose last reference went: their rows are gone, the files are the caller's.
   * Throws KithError storage_full, busy, or blob_not_found for a reference to a blob without a row; nothing is written.
   */
  commit(tx: RepoCommit): { unreferenced: Cid[] } {
    return this.#file.transaction(() => {
      this.#exports.beginCommit();
      const released = [...tx.deletes, ...tx.puts].flatMap((record) => this.#releaseBlobs(record));
      for (const { collection, rkey } of tx.deletes) {
        this.#file.statement("DELETE FROM record WHERE collection = ? AND rkey = ?").run(collection, rkey);
      }
      for (const put of tx.puts) this.#put(put, tx.head.rev);
      for (const cid of tx.removed) if (!this.#isRecord(cid)) this.#exports.remove(cid);
      for (const block of tx.newBlocks) this.#exports.add(block, tx.head.rev);
      this.#file
        .statement("UPDATE meta SET did = ?, generation = ?, head = ?, data = ?, rev = ?")
        .run(this.did, this.generation, tx.head.commit.bytes, tx.head.data.bytes, tx.head.rev);
      if (tx.status) {
        const owner = tx.status === "deactivated" ? "deactivated" : "active";
        this.#file.statement("UPDATE meta SET status = ?, owner_status = ?").run(tx.status, owner);
      }
      this.#events(tx);
      return { unreferenced: released.filter((cid) => this.#dropUnreferenced(cid)) };
    });
  }

  #put({ collection, rkey, cid, blobs, subject }: RecordPut, rev: string): void {
    this.#file
      .statement("INSERT OR REPLACE INTO record (collection, rkey, cid, rev, subject) VALUES (?, ?, ?, ?, ?)")
      .run(collection, rkey, cid.bytes, rev, subject ?? null);
    for (const blob of blobs) {
      if (!this.blob(blob)) {
        throw new KithError(
          "blob_not_found",
          `Could not write the record "${collection}/${rkey}": a blob is absent`,
        );
      }
      this.#file
        .statement("INSERT OR IGNORE INTO record_blob (collection, rkey, cid) VALUES (?, ?, ?)")
        .run(collection, rkey, blob.bytes);
    }
  }

  #releaseBlobs({ collection, rkey }: RecordKey): Cid[] {
    const rows = this.#file
      .statement<{ cid: Uint8Array }>(
        "DELETE FROM record_blob WHERE collection = ? AND rkey = ? RETURNING cid",
      )
      .all(collection, rkey);
    return rows.map((row) => cidFromBytes(row.cid));
  }

  /** True where the blob's row was deleted just now, because no record refers to it any more. */
  #dropUnreferenced(cid: Cid): boolean {
    if (this.blobIsReferenced(cid)) return false;
    return this.#file.statement("DELETE FROM blob WHERE cid = ?").run(cid.bytes).changes > 0;
  }

  #isRecord(cid: Cid): boolean {
    return this.#file.statement("SELECT 1 FROM record WHERE cid = ? LIMIT 1").get(cid.bytes) !== null;
  }

  setStatus(tx: StatusChange): void {
    this.#file.transaction(() => {
      this.#file
        .statement("UPDATE meta SET status = ?, owner_status = ?, takedown_ref = ?")
        .run(tx.status, tx.ownerStatus, tx.takedownRef);
      this.#events(tx);
    });
  }

  appendEvents(tx: EventsChange): void {
    this.#file.transaction(() => this.#events(tx));
  }

  #events({ lastTid, events, identity, forgetPendingUpTo }: EventsChange): void {
    this.#file.statement("UPDATE meta SET last_tid = ?").run(lastTid);
    if (identity) {
      this.#file
        .statement("UPDATE meta SET handle = coalesce(?, handle), signing_key = coalesce(?, signing_key)")
        .run(identity.handle ?? null, identity.signingKey ?? null);
    }
    if (forgetPendingUpTo !== undefined) this.#forget(forgetPendingUpTo);
    for (const { key, kind, before, after } of events) {
      this.#file
        .statement("INSERT INTO pending_event (key, kind, before, after) VALUES (?, ?, ?, ?)")
        .run(key, kind, before, after);
    }
  }

  /** Deletes pending events up to and including `key`: their rows in the event log are durable. */
  forgetPending(key: string): void {
    this.#file.transaction(() => this.#forget(key));
  }

  #forget(key: string): void {
    this.#file.statement("DELETE FROM pending_event WHERE key <= ?").run(key);
  }

  /**
   * Adds the row of a blob whose file is durable under its name, or renews its age. Returns the type that the blob has
   * now: the given one, unless records refer to it already by another. KithError invalid_request where it is taken down.
   */
  putBlob({ forgetPendingUpTo, ...blob }: BlobRow & { forgetPendingUpTo?: string }): string {
    return this.#file.transaction(() => {
      this.takedowns.refuseBlob(blob.cid);
      const known = this.blobIsReferenced(blob.cid) ? this.blob(blob.cid)?.mimeType : undefined;
      const mimeType = known ?? blob.mimeType;
      this.#file
        .statement(
          `INSERT INTO blob (cid, mime_type, size, created_at) VALUES (?, ?, ?, ?)
           ON CONFLICT (cid) DO UPDATE SET mime_type = excluded.mime_type, created_at = excluded.created_at`,
        )
        .run(blob.cid.bytes, mimeType, blob.size, blob.createdAt);
      if (forgetPendingUpTo !== undefined) this.#forget(forgetPendingUpTo);
      return mimeType;
    });
  }

  /** Replaces the preferences of a namespace. */
  putPreferences({ forgetPendingUpTo, ...change }: PreferencesChange & { forgetPendingUpTo?: string }): void {
    this.#file.transaction(() => {
      replacePreferences(this.#file, change);
      if (forgetPendingUpTo !== undefined) this.#forget(forgetPendingUpTo);
    });
  }

  /** Deletes the rows of those blobs that no record refers to, and returns them: their files are the caller's. */
  deleteBlobs(cids: readonly Cid[], { forgetPendingUpTo }: { forgetPendingUpTo?: string } = {}): Cid[] {
    return this.#file.transaction(() => {
      if (forgetPendingUpTo !== undefined) this.#forget(forgetPendingUpTo);
      return cids.filter((cid) => this.#dropUnreferenced(cid));
    });
  }

  // Durability and files

  /** Resolves when everything committed before this call is on the disk. */
  durable(): Promise<void> {
    return this.#file.durable();
  }

  /** True where nothing was committed since the last completed sync started. */
  isDurable(): boolean {
    return this.#file.isDurable();
  }

  /** Bytes of the WAL in use. */
  walBytes(): number {
    return this.#file.walBytes();
  }

  /** The checkpoint that the WAL needs, if any; after "restart" no write is to be taken until it is done. */
  checkpointDue(): CheckpointMode | undefined {
    return this.#file.checkpointDue();
  }

  /** In the maintenance worker. While a "restart" runs, writes are refused as busy. False: incomplete. */
  checkpoint(mode: CheckpointMode): Promise<boolean> {
    return this.#file.checkpoint(mode);
  }

  /** Starts an export of the tree as it is now; writes may go on. Throws KithError repo_not_found without a head. */
  openExport({ since }: { since?: string } = {}): RepoExport {
    const { head } = this.state();
    if (!head)
      throw new KithError("repo_not_found", `Could not export the repo of "${this.did}": it has no commit`);
    return this.#exports.open(head, since);
  }

  /** Closes open exports and the file; through the maintenance worker when anything was written. */
  async close(): Promise<void> {
    this.#exports.closeAll();
    await this.#file.close();
  }
}
