/** store.sqlite of one account of a reference PDS: blocks, records, blob rows and preferences. */
import {
  type BlockReader,
  type Cid,
  CODEC_DCBOR,
  cidEquals,
  cidOfCbor,
  cidToString,
  parseCid,
} from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import type { Preference } from "./_repo_preferences.ts";
import { timeOf } from "./reference_accounts.ts";
import type { ReferenceDatabase } from "./reference_database.ts";

export interface ReferenceRecord {
  readonly cid: string;
  readonly rev: string;
  readonly takedownRef: string | null;
}

export interface ReferenceBlob {
  /** As text: it may be no CID at all. */
  readonly cid: string;
  readonly mimeType: string;
  readonly size: number;
  /** Set while no record refers to it: the name of its file among the uploads. */
  readonly tempKey: string | null;
  /** Unix milliseconds. */
  readonly createdAt: number | null;
  readonly takedownRef: string | null;
}

/** A BlockReader that hands out only what hashes to its CID. */
export class ReferenceRepo implements BlockReader {
  readonly #db: ReferenceDatabase;
  #blobsByRecord: ReadonlyMap<string, readonly { readonly cid: string }[]> | undefined;

  constructor(db: ReferenceDatabase) {
    this.#db = db;
  }

  get path(): string {
    return this.#db.path;
  }

  /** The head, or undefined where there is no repo. Throws KithError storage_damaged where the file has several. */
  root(): { did: string; commit: Cid; rev: string } | undefined {
    const rows = this.#db.all<{ did: string; cid: string; rev: string }>(
      "SELECT did, cid, rev FROM repo_root",
    );
    const [row] = rows;
    if (row === undefined) return undefined;
    if (rows.length > 1) throw this.#damaged(`it has ${rows.length} heads`);
    return { did: row.did, commit: this.#cid(row.cid), rev: row.rev };
  }

  /** Throws KithError storage_damaged where the bytes are not those of the CID. */
  get(cid: Cid): Uint8Array | undefined {
    const name = cidToString(cid);
    const row = this.#db.get<{ content: Uint8Array }>("SELECT content FROM repo_block WHERE cid = ?", name);
    if (row === undefined) return undefined;
    if (cid.codec !== CODEC_DCBOR || !cidEquals(cidOfCbor(row.content), cid)) {
      throw this.#damaged(`the block "${name}" is not what its CID says`);
    }
    return row.content;
  }

  /** The rev of the commit that wrote a block. */
  revOf(cid: Cid): string | undefined {
    return this.#db.get<{ rev: string }>(
      "SELECT repoRev AS rev FROM repo_block WHERE cid = ?",
      cidToString(cid),
    )?.rev;
  }

  record(uri: string): ReferenceRecord | undefined {
    return this.#db.get<ReferenceRecord>(
      "SELECT cid, repoRev AS rev, takedownRef FROM record WHERE uri = ?",
      uri,
    );
  }

  /** How many records its index has. */
  recordCount(): number {
    return this.#db.get<{ n: number }>("SELECT count(*) AS n FROM record")?.n ?? 0;
  }

  /** CIDs of the blobs that its index has for a record. */
  blobsOf(uri: string): readonly string[] {
    // The table has no index by record.
    this.#blobsByRecord ??= Map.groupBy(
      this.#db.all<{ cid: string; uri: string }>("SELECT blobCid AS cid, recordUri AS uri FROM record_blob"),
      (row) => row.uri,
    );
    return this.#blobsByRecord.get(uri)?.map(({ cid }) => cid) ?? [];
  }

  blobs(): ReferenceBlob[] {
    type Row = Omit<ReferenceBlob, "createdAt"> & { createdAt: string };
    return this.#db
      .all<Row>("SELECT cid, mimeType, size, tempKey, createdAt, takedownRef FROM blob ORDER BY cid")
      .map((row) => ({ ...row, createdAt: timeOf(row.createdAt) }));
  }

  preferences(): Preference[] {
    return this.#db.all<Preference>("SELECT name, valueJson AS value FROM account_pref ORDER BY id");
  }

  #cid(text: string): Cid {
    try {
      return parseCid(text);
    } catch {
      throw this.#damaged(`"${text}" is no CID`);
    }
  }

  #damaged(why: string): KithError {
    return new KithError("storage_damaged", `Could not read "${this.#db.path}": ${why}`);
  }
}
