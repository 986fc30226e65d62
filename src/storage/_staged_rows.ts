/**
 * Rows of an import, packed for one message to the maintenance worker, and the worker's writing of them. The event loop
 * checks what comes in while they are written.
 */
import type { Database, Statement } from "bun:sqlite";

const CID_BYTES = 36;
/** Page cache of the worker while a repo is staged: its CIDs come in no order, and every one goes into an index. */
const STAGING_CACHE_KIB = 8 * 1024;

export interface BlockRows {
  /** One after the other: the 36 bytes of the CID, the bytes of the block. */
  readonly packed: Uint8Array<ArrayBuffer>;
  /** Bytes of each block. */
  readonly sizes: Uint32Array<ArrayBuffer>;
  /** JSON: of each block its own rev, or null; absent where none has one. */
  readonly revs?: string;
}

export interface RecordRows {
  /** JSON, so that it crosses as one text: of each record what `RecordName` says. */
  readonly names: string;
  /** The CID of each record, followed by those of its blobs. */
  readonly cids: Uint8Array<ArrayBuffer>;
}

/** Collection, record key, subject, how many blobs; a rev of its own, where it has one. */
export type RecordName = readonly [
  collection: string,
  rkey: string,
  subject: string | null,
  blobs: number,
  rev?: string,
];

/** What is staged: blocks, and distinct blocks that are records. */
export interface StagedCounts {
  readonly blocks: number;
  readonly records: number;
}

/** `rev`: of all rows that have none of their own. */
export type StagedRows = { readonly rev: string } & (
  | ({ readonly kind: "blocks" } & BlockRows)
  | ({ readonly kind: "records" } & RecordRows)
);

/** Memory that goes over to the worker with the rows. */
export function memoryOf(rows: StagedRows): ArrayBuffer[] {
  return rows.kind === "blocks" ? [rows.packed.buffer, rows.sizes.buffer] : [rows.cids.buffer];
}

export function packBlocks(
  blocks: readonly { cid: { bytes: Uint8Array }; bytes: Uint8Array; rev?: string | undefined }[],
): BlockRows {
  const sizes = new Uint32Array(blocks.length);
  let size = 0;
  for (let i = 0; i < blocks.length; i++) {
    sizes[i] = blocks[i]?.bytes.length ?? 0;
    size += CID_BYTES + (sizes[i] as number);
  }
  const packed = new Uint8Array(size);
  let at = 0;
  for (const { cid, bytes } of blocks) {
    packed.set(cid.bytes, at);
    packed.set(bytes, at + CID_BYTES);
    at += CID_BYTES + bytes.length;
  }
  if (blocks.every(({ rev }) => rev === undefined)) return { packed, sizes };
  return { packed, sizes, revs: JSON.stringify(blocks.map(({ rev }) => rev ?? null)) };
}

export function packCids(cids: readonly { bytes: Uint8Array }[]): Uint8Array<ArrayBuffer> {
  const packed = new Uint8Array(cids.length * CID_BYTES);
  let at = 0;
  for (const { bytes } of cids) {
    packed.set(bytes, at);
    at += CID_BYTES;
  }
  return packed;
}

/** In the worker: writes rows into the staged tables of one file, over a connection of its own. */
export class StagedRowsWriter {
  readonly #db: Database;
  readonly #block: Statement;
  readonly #record: Statement;
  readonly #recordBlob: Statement;

  constructor(db: Database) {
    this.#db = db;
    db.run(`PRAGMA cache_size = -${STAGING_CACHE_KIB}`);
    this.#block = db.prepare(
      "INSERT INTO staged_block (cid, rev, bytes) VALUES (?, ?, ?) ON CONFLICT (cid) DO NOTHING",
    );
    this.#record = db.prepare(
      `INSERT INTO staged_record (collection, rkey, cid, rev, subject, block)
       VALUES (?1, ?2, ?3, ?4, ?5, (SELECT id FROM staged_block WHERE cid = ?3))`,
    );
    this.#recordBlob = db.prepare(
      "INSERT OR IGNORE INTO staged_record_blob (collection, rkey, cid) VALUES (?, ?, ?)",
    );
  }

  /** In one transaction. */
  write(rows: StagedRows): void {
    this.#db
      .transaction(() => {
        if (rows.kind === "blocks") this.#writeBlocks(rows, rows.rev);
        else this.#writeRecords(rows, rows.rev);
      })
      .immediate();
  }

  #writeBlocks({ packed, sizes, revs }: BlockRows, rev: string): void {
    const own = revs === undefined ? [] : (JSON.parse(revs) as readonly (string | null)[]);
    let at = 0;
    for (const [i, size] of sizes.entries()) {
      const start = at + CID_BYTES;
      this.#block.run(packed.subarray(at, start), own[i] ?? rev, packed.subarray(start, start + size));
      at = start + size;
    }
  }

  #writeRecords({ names, cids }: RecordRows, rev: string): void {
    let taken = 0;
    const next = () => {
      taken += CID_BYTES;
      return cids.subarray(taken - CID_BYTES, taken);
    };
    for (const [collection, rkey, subject, blobs, own] of JSON.parse(names) as RecordName[]) {
      this.#record.run(collection, rkey, next(), own ?? rev, subject);
      for (let i = 0; i < blobs; i++) this.#recordBlob.run(collection, rkey, next());
    }
  }

  count(): StagedCounts {
    const counts = this.#db.query<StagedCounts, []>(
      "SELECT (SELECT count(*) FROM staged_block) AS blocks, (SELECT count(DISTINCT cid) FROM staged_record) AS records",
    );
    return counts.get() ?? { blocks: 0, records: 0 };
  }

  close(): void {
    this.#block.finalize();
    this.#record.finalize();
    this.#recordBlob.finalize();
    this.#db.close();
  }
}
