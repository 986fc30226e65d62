/** What a check reads of one account's file: its rows as they are, nothing made of them. */
import type { Cid, EventKind } from "../atproto/mod.ts";
import type { MetaRow } from "./_repo_meta.ts";
import { REPO_MIGRATIONS } from "./_repo_schema.ts";
import { StillFile } from "./still_file.ts";

export interface RepoMeta extends MetaRow {
  readonly blob_bytes: number;
  readonly settled: string;
}

export interface BlockRead {
  readonly id: number;
  readonly rev: string;
  /** Not 0: it is no block of the tree any more. */
  readonly removed: number;
  readonly bytes: Uint8Array;
}

/** CIDs are their bytes. */
export interface RecordRead {
  readonly collection: string;
  readonly rkey: string;
  readonly cid: Uint8Array;
  readonly rev: string;
  readonly subject: string | null;
  /** The id of its block. */
  readonly block: number | null;
}

export interface RecordBlobRead {
  readonly collection: string;
  readonly rkey: string;
  readonly cid: Uint8Array;
}

export interface BlobRead {
  readonly cid: Uint8Array;
  readonly mimeType: string;
  readonly size: number;
  readonly createdAt: number;
  readonly isReferenced: 0 | 1;
}

export interface PendingRead {
  readonly key: string;
  readonly kind: EventKind;
  readonly before: Uint8Array;
  readonly after: Uint8Array;
}

export interface RepoRowCounts {
  readonly blocks: number;
  readonly records: number;
  readonly recordBlobs: number;
  readonly blobs: number;
  readonly blobBytes: number;
}

/** Whose file it is, as it says itself. */
export interface RepoIdentity {
  readonly did: string | null;
  readonly generation: number | null;
}

export class RepoReads {
  readonly file: StillFile;
  readonly #onClose: () => void;

  private constructor(file: StillFile, onClose: () => void) {
    this.file = file;
    this.#onClose = onClose;
  }

  /** Throws KithError storage_damaged. */
  static open(path: string, { onClose = () => {} }: { onClose?: () => void } = {}): RepoReads {
    return new RepoReads(StillFile.open(path), onClose);
  }

  /** False where the file is of an older version: it is to be brought up to date before its rows are read. */
  get isCurrent(): boolean {
    return this.file.schemaVersion === REPO_MIGRATIONS.length;
  }

  /** A file of a newer version. */
  get isNewer(): boolean {
    return this.file.schemaVersion > REPO_MIGRATIONS.length;
  }

  /** Of any version. */
  identity(): RepoIdentity {
    return this.file.one<RepoIdentity>("SELECT did, generation FROM meta") ?? { did: null, generation: null };
  }

  meta(): RepoMeta | undefined {
    return this.file.one<RepoMeta>("SELECT * FROM meta");
  }

  /** Commits that the tables do not have yet. */
  hasTail(): boolean {
    const sql =
      "SELECT 1 FROM pending_event WHERE effects IS NOT NULL AND key > (SELECT settled FROM meta) LIMIT 1";
    return this.file.one(sql) !== undefined;
  }

  counts(): RepoRowCounts {
    const sql = `SELECT (SELECT count(*) FROM block WHERE removed = 0) AS blocks,
      (SELECT count(*) FROM record) AS records, (SELECT count(*) FROM record_blob) AS recordBlobs,
      (SELECT count(*) FROM blob) AS blobs, (SELECT coalesce(sum(size), 0) FROM blob) AS blobBytes`;
    return (
      this.file.one<RepoRowCounts>(sql) ?? { blocks: 0, records: 0, recordBlobs: 0, blobs: 0, blobBytes: 0 }
    );
  }

  block(cid: Cid): BlockRead | undefined {
    return this.file.one<BlockRead>("SELECT id, rev, removed, bytes FROM block WHERE cid = ?", cid.bytes);
  }

  /** Of the blocks of the tree. */
  blockIds(): Iterable<{ id: number; cid: Uint8Array }> {
    return this.file.each("SELECT id, cid FROM block WHERE removed = 0");
  }

  record(collection: string, rkey: string): RecordRead | undefined {
    return this.file.one<RecordRead>(
      "SELECT collection, rkey, cid, rev, subject, block FROM record WHERE collection = ? AND rkey = ?",
      collection,
      rkey,
    );
  }

  records(): Iterable<RecordRead> {
    return this.file.each("SELECT collection, rkey, cid, rev, subject, block FROM record");
  }

  blobsOf(collection: string, rkey: string): Uint8Array[] {
    const sql = "SELECT cid FROM record_blob WHERE collection = ? AND rkey = ?";
    return this.file.all<{ cid: Uint8Array }>(sql, collection, rkey).map(({ cid }) => cid);
  }

  recordBlobs(): Iterable<RecordBlobRead> {
    return this.file.each("SELECT collection, rkey, cid FROM record_blob");
  }

  blobs(): Iterable<BlobRead> {
    return this.file.each(
      `SELECT cid, mime_type AS mimeType, size, created_at AS createdAt,
         EXISTS (SELECT 1 FROM record_blob r WHERE r.cid = blob.cid) AS isReferenced FROM blob ORDER BY cid`,
    );
  }

  hasBlob(cid: Cid): boolean {
    return this.file.one("SELECT 1 FROM blob WHERE cid = ?", cid.bytes) !== undefined;
  }

  /** References to blobs that have no row, by blob. */
  missingBlobs(): Iterable<RecordBlobRead> {
    return this.file.each(
      `SELECT cid, collection, rkey FROM record_blob r
       WHERE NOT EXISTS (SELECT 1 FROM blob WHERE blob.cid = r.cid) ORDER BY cid`,
    );
  }

  isTakenDown(cid: Cid): boolean {
    return this.file.one("SELECT 1 FROM blob_takedown WHERE cid = ?", cid.bytes) !== undefined;
  }

  /** In the order in which they were stored. */
  pending(): Iterable<PendingRead> {
    return this.file.each("SELECT key, kind, before, after FROM pending_event ORDER BY id");
  }

  close(): void {
    this.file.close();
    this.#onClose();
  }
}
