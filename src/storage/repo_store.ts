/**
 * One account's file: records, blocks, blob rows, head, status and the events that tell the network, in one transaction
 * of its actor. It is the truth about the account; whoever else knows something of it, knows it from here.
 */
import { type BlockReader, type Cid, cidFromBytes, cidKey } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import {
  allBlobs,
  listBlobs,
  listMissingBlobs,
  oldestTemporaryBlob,
  temporaryBlobs,
} from "./_repo_blob_pages.ts";
import { type RepoExport, RepoExports } from "./_repo_export.ts";
import { readMeta, stateOf } from "./_repo_meta.ts";
import {
  type Preference,
  type PreferencesChange,
  readPreferences,
  replacePreferences,
} from "./_repo_preferences.ts";
import { collections, listRecords, recordsSince, shownRecord } from "./_repo_record_pages.ts";
import { RepoSettling } from "./_repo_settling.ts";
import { clearStaged, hasStaged, RepoStaging, swapStaged } from "./_repo_staging.ts";
import { RepoTables } from "./_repo_tables.ts";
import { RepoTakedowns } from "./_repo_takedowns.ts";
import type { SqliteFile } from "./_sqlite_file.ts";
import { replaceQuietRows, type TableRows } from "./account_rows.ts";
import type { CheckpointMode } from "./maintenance.ts";
import {
  type BlobRow,
  type EventsChange,
  type ImportSwitch,
  type ListBlobs,
  type ListedRecord,
  type ListRecords,
  PAGE_ROWS_MAX,
  type PendingEvent,
  type RepoCommit,
  type RepoCounts,
  type RepoState,
  type SinceRecord,
  type StatusChange,
} from "./repo_changes.ts";

export type { RepoExport } from "./_repo_export.ts";
export type { Preference, PreferencesChange } from "./_repo_preferences.ts";
export type { RepoStaging, StagedBlock, StagedRecord } from "./_repo_staging.ts";
export type { RecordTakedown, RepoTakedowns, TakedownChange } from "./_repo_takedowns.ts";

export class RepoStore implements BlockReader {
  readonly did: string;
  readonly generation: number;
  readonly takedowns: RepoTakedowns;
  readonly #file: SqliteFile;
  readonly #exports: RepoExports;
  readonly #tables: RepoTables;
  readonly #settling: RepoSettling;
  #state: RepoState | undefined;

  private constructor(file: SqliteFile, { did, generation }: { did: string; generation: number }) {
    this.did = did;
    this.generation = generation;
    this.#file = file;
    this.#exports = new RepoExports(file);
    this.#tables = new RepoTables(file, this.#exports);
    this.#settling = new RepoSettling(file, { tables: this.#tables, exports: this.#exports });
    this.takedowns = new RepoTakedowns(file, (read) => this.#settling.settled(read));
  }

  /** Takes over an open file of the current schema (RepoFiles.open). Throws KithError storage_damaged. */
  static open(file: SqliteFile, { did, generation }: { did: string; generation: number }): RepoStore {
    const store = new RepoStore(file, { did, generation });
    const meta = readMeta(file);
    if (meta.did !== null && (meta.did !== did || meta.generation !== generation)) {
      file.abandon();
      throw new KithError(
        "storage_damaged",
        `Could not open the repo of "${did}": "${file.path}" is of "${meta.did}", generation ${meta.generation}`,
      );
    }
    store.#settling.load();
    return store;
  }

  /** True while the tables lack commits: after a crash, settle() is to be called before anything is read. */
  get hasTail(): boolean {
    return !this.#settling.tail.isEmpty;
  }

  /** The file below, for tests that fill the disk or look at rows. */
  get fileForTests(): SqliteFile {
    return this.#file;
  }

  // Reading

  state(): RepoState {
    this.#state ??= stateOf(readMeta(this.#file));
    return this.#state;
  }

  /** The bytes of a block of the current tree. */
  get(cid: Cid): Uint8Array | undefined {
    if (this.#settling.tail.isEmpty) return this.#block(cid);
    if (this.#settling.tail.replaces) return this.#settling.settled(() => this.#block(cid));
    const key = cidKey(cid);
    return (
      this.#settling.tail.bytes(key) ?? (this.#settling.tail.gone.has(key) ? undefined : this.#block(cid))
    );
  }

  #block(cid: Cid): Uint8Array | undefined {
    const row = this.#file
      .statement<{ bytes: Uint8Array }>("SELECT bytes FROM block WHERE cid = ? AND removed = 0")
      .get(cid.bytes);
    return row?.bytes;
  }

  /** A record that is not taken down. */
  shownRecord(collection: string, rkey: string): { cid: Cid; bytes: Uint8Array } | undefined {
    const late = this.#settling.tail.record({ collection, rkey });
    if (late === undefined) return shownRecord(this.#file, { collection, rkey });
    return late && !this.takedowns.record(collection, rkey) ? late : undefined;
  }

  recordCid(collection: string, rkey: string): Cid | undefined {
    const late = this.#settling.tail.record({ collection, rkey });
    if (late !== undefined) return late?.cid;
    const row = this.#file
      .statement<{ cid: Uint8Array }>("SELECT cid FROM record WHERE collection = ? AND rkey = ?")
      .get(collection, rkey);
    return row ? cidFromBytes(row.cid) : undefined;
  }

  /** A page of a collection, newest rkey first unless `reverse`; without what is taken down. */
  listRecords(page: ListRecords): ListedRecord[] {
    return this.#settling.settled(() => listRecords(this.#file, page));
  }

  /** The collections that have records, sorted; by one seek each. */
  collections(): string[] {
    return this.#settling.settled(() => collections(this.#file));
  }

  /**
   * The newest records of commits after `rev`, newest first; none where there is no older one, for then `rev` is not
   * of this repo's past (it has been imported anew, say).
   */
  recordsSince(rev: string, page: { limit: number }): SinceRecord[] {
    return this.#settling.settled(() => recordsSince(this.#file, rev, page));
  }

  recordCount(): number {
    const count = this.#file.statement<{ n: number }>("SELECT count(*) AS n FROM record");
    return this.#settling.settled(() => count.get()?.n ?? 0);
  }

  /** How much there is: blocks and records of the tree, blobs that records refer to, blobs that are here. */
  counts(): RepoCounts {
    const counts = this.#file.statement<RepoCounts>(
      `SELECT (SELECT count(*) FROM block) - (SELECT count(*) FROM block WHERE removed <> 0) AS blocks,
         (SELECT count(*) FROM record) AS records,
         (SELECT count(DISTINCT cid) FROM record_blob) AS expectedBlobs,
         (SELECT count(*) FROM blob) AS importedBlobs`,
    );
    const row = this.#settling.settled(() => counts.get());
    return row ?? { blocks: 0, records: 0, expectedBlobs: 0, importedBlobs: 0 };
  }

  /** The rkey of the newest record of a collection with this subject: of a like, repost, follow or block. */
  recordWithSubject(collection: string, subject: string): string | undefined {
    if (this.#settling.tail.replaces)
      return this.#settling.settled(() => this.#newestWithSubject(collection, subject));
    const [late, earlier] = [
      this.#settling.tail.recordWithSubject(collection, subject),
      this.#newestWithSubject(collection, subject),
    ];
    return late !== undefined && earlier !== undefined && earlier > late ? earlier : (late ?? earlier);
  }

  #newestWithSubject(collection: string, subject: string): string | undefined {
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
    return this.#settling.settled(() => this.#tables.blobIsReferenced(cid));
  }

  /** By CID bytes; with `since`, those of records written after that rev. */
  listBlobs(page: ListBlobs): Cid[] {
    return this.#settling.settled(() => listBlobs(this.#file, page));
  }

  /** The rows of blobs, referred to or not, by CID. */
  allBlobs(page: { limit: number; after?: Cid | undefined }): BlobRow[] {
    return allBlobs(this.#file, page);
  }

  /** Blobs that records refer to and that are not here, by CID, each with one of the records. */
  listMissingBlobs(page: { limit: number; cursor?: string }): { cid: Cid; path: string }[] {
    return this.#settling.settled(() => listMissingBlobs(this.#file, page));
  }

  /** Uploads older than `olderThan` (milliseconds) that no record refers to. */
  temporaryBlobs(olderThan: number, { limit = PAGE_ROWS_MAX }: { limit?: number } = {}): Cid[] {
    return this.#settling.settled(() => temporaryBlobs(this.#file, { olderThan, limit }));
  }

  /** When the oldest upload came that no record refers to, in milliseconds; undefined where there is none. */
  oldestTemporaryBlob(): number | undefined {
    return this.#settling.settled(() => oldestTemporaryBlob(this.#file));
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
    this.settle();
    return new RepoStaging(this.#file, rev);
  }

  /** Puts the staged repo in the place of the present one, in one transaction. Exports that are open end with an error. */
  switchStaging(tx: ImportSwitch): void {
    this.settle();
    this.#write(() => {
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
    if (!this.hasStaging()) return;
    // Meanwhile nobody could.
    this.#settling.trySettle();
    await clearStaged(this.#file);
  }

  /**
   * Commits a repo write. Returns the blobs whose last reference went: their rows are gone, the files are the caller's.
   * Throws KithError storage_full, busy, or blob_not_found for a reference to a blob without a row; nothing is written.
   */
  commit(tx: RepoCommit): { unreferenced: Cid[] } {
    const [event] = tx.events;
    if (event && this.#settling.takes(tx)) {
      this.#commitToTail(tx, event);
      return { unreferenced: [] };
    }
    this.settle();
    return this.#write(() => {
      const unreferenced = this.#tables.apply(tx);
      this.#head(tx);
      if (tx.status) {
        const owner = tx.status === "deactivated" ? "deactivated" : "active";
        this.#file.statement("UPDATE meta SET status = ?, owner_status = ?").run(tx.status, owner);
      }
      this.#events(tx);
      return { unreferenced };
    });
  }

  #head({ head, lastTid }: Pick<RepoCommit, "head" | "lastTid">): void {
    this.#file
      .statement("UPDATE meta SET did = ?, generation = ?, head = ?, data = ?, rev = ?, last_tid = ?")
      .run(this.did, this.generation, head.commit.bytes, head.data.bytes, head.rev, lastTid);
  }

  #commitToTail(tx: RepoCommit, event: PendingEvent): void {
    const { newBlocks, removed, replaced, puts, deletes, head, lastTid } = tx;
    if (this.#settling.tail.isFull) this.settle();
    const commit = { rev: head.rev, newBlocks, removed, replaced, puts, deletes };
    const state = { ...this.state(), head, lastTid };
    this.#write(() => {
      this.#head(tx);
      this.#settling.store(commit, event);
    }, state);
    this.#settling.add(commit, tx);
  }

  /** One transaction; `state` is what it leaves, where that is known. */
  #write<T>(fn: () => T, state?: RepoState): T {
    this.#state = undefined;
    const result = this.#file.transaction(fn);
    this.#state = state;
    return result;
  }

  /** Brings the tables up to commits that are in the file and not in them yet. KithError storage_full, busy. */
  settle(): void {
    this.#settling.settle();
  }

  setStatus(tx: StatusChange): void {
    this.#write(() => {
      this.#file
        .statement("UPDATE meta SET status = ?, owner_status = ?, takedown_ref = ?")
        .run(tx.status, tx.ownerStatus, tx.takedownRef);
      this.#events(tx);
    });
  }

  appendEvents(tx: EventsChange): void {
    this.#write(() => this.#events(tx));
  }

  #events({ lastTid, events, identity, forgetPendingUpTo }: EventsChange): void {
    this.#file.statement("UPDATE meta SET last_tid = ?").run(lastTid);
    if (identity) {
      this.#file
        .statement("UPDATE meta SET handle = coalesce(?, handle), signing_key = coalesce(?, signing_key)")
        .run(identity.handle ?? null, identity.signingKey ?? null);
    }
    this.#settling.forget(forgetPendingUpTo);
    for (const { key, kind, before, after } of events) {
      this.#file
        .statement("INSERT INTO pending_event (key, kind, before, after) VALUES (?, ?, ?, ?)")
        .run(key, kind, before, after);
    }
  }

  /** Deletes pending events up to and including `key`: their rows in the event log are durable. */
  forgetPending(key: string): void {
    this.settle();
    this.#file.transaction(() => this.#settling.forget(key));
  }

  /**
   * Adds the row of a blob whose file is durable under its name, or renews its age. Returns the type that the blob has
   * now: the given one, unless records refer to it already by another. KithError invalid_request where it is taken down.
   */
  putBlob({ forgetPendingUpTo, ...blob }: BlobRow & { forgetPendingUpTo?: string }): string {
    this.settle();
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
      this.#settling.forget(forgetPendingUpTo);
      return mimeType;
    });
  }

  /** Replaces the preferences of a namespace. */
  putPreferences({ forgetPendingUpTo, ...change }: PreferencesChange & { forgetPendingUpTo?: string }): void {
    this.#file.transaction(() => {
      replacePreferences(this.#file, change);
      this.#settling.forget(forgetPendingUpTo);
    });
  }

  /** Replaces what no event tells: preferences and takedowns, or takedowns alone. For a restore. */
  replaceQuiet(rows: TableRows, which: { takedownsAlone?: boolean } = {}): void {
    this.#file.transaction(() => replaceQuietRows(this.#file, rows, which));
  }

  /** Deletes the rows of those blobs that no record refers to, and returns them: their files are the caller's. */
  deleteBlobs(cids: readonly Cid[], { forgetPendingUpTo }: { forgetPendingUpTo?: string } = {}): Cid[] {
    this.settle();
    return this.#file.transaction(() => {
      this.#settling.forget(forgetPendingUpTo);
      return cids.filter((cid) => this.#tables.dropUnreferenced(cid));
    });
  }

  /** Forgets blobs whose files are lost: what records say of them stays, and they are listed as missing. */
  forgetBlobs(cids: readonly Cid[]): void {
    this.settle();
    this.#file.transaction(() => {
      for (const cid of cids) this.#file.statement("DELETE FROM blob WHERE cid = ?").run(cid.bytes);
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
  async checkpoint(mode: CheckpointMode): Promise<boolean> {
    // Meanwhile nobody can read what is not in the tables. On a full disk they must wait: this is what gives it room.
    if (mode === "restart") this.#settling.trySettle();
    return this.#file.checkpoint(mode);
  }

  /** Starts an export of the tree as it is now; writes may go on. Throws KithError repo_not_found without a head. */
  openExport({ since }: { since?: string } = {}): RepoExport {
    const unsettled = this.#settling.unsettled();
    const { head } = this.state();
    if (!head)
      throw new KithError("repo_not_found", `Could not export the repo of "${this.did}": it has no commit`);
    return this.#exports.open(head, { since, unsettled });
  }

  /** Closes open exports and the file; through the maintenance worker when anything was written. */
  async close(): Promise<void> {
    this.#exports.closeAll();
    // What stays is in the file, and settled when it is opened again.
    this.#settling.trySettle();
    this.#settling.stop();
    await this.#file.close();
  }
}
