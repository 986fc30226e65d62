/**
 * What moderators have taken down of one account's repo. A takedown is of a path, or of a blob's CID, not of the rows that are
 * there now: it outlives edits, deletions and imports, until it is lifted.
 */
import { type Cid, cidFromBytes, cidToString } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import type { SqliteFile } from "./_sqlite_file.ts";

/** The takedown of a record or a blob, or with a null `ref` its end. */
export type TakedownChange =
  | {
      readonly kind: "record";
      readonly collection: string;
      readonly rkey: string;
      /** Of the version that was looked at. */
      readonly cid: string;
      readonly ref: string | null;
    }
  | { readonly kind: "blob"; readonly cid: Cid; readonly ref: string | null };

/** Why and in which version something was taken down. */
export interface RecordTakedown {
  readonly cid: string;
  readonly ref: string;
}

export class RepoTakedowns {
  readonly #file: SqliteFile;
  readonly #settled: <T>(read: () => T) => T;

  /** `settled` runs what reads the table of records. */
  constructor(file: SqliteFile, settled: <T>(read: () => T) => T) {
    this.#file = file;
    this.#settled = settled;
  }

  /** One transaction. */
  apply(change: TakedownChange): void {
    this.#file.transaction(() => {
      if (change.kind === "blob") this.#applyToBlob(change.cid, change.ref);
      else this.#applyToRecord(change);
    });
  }

  #applyToRecord({ collection, rkey, cid, ref }: TakedownChange & { kind: "record" }): void {
    this.#file
      .statement("DELETE FROM record_takedown WHERE collection = ? AND rkey = ?")
      .run(collection, rkey);
    if (ref === null) return;
    this.#file
      .statement("INSERT INTO record_takedown (collection, rkey, cid, ref) VALUES (?, ?, ?, ?)")
      .run(collection, rkey, cid, ref);
  }

  #applyToBlob(cid: Cid, ref: string | null): void {
    if (ref === null) this.#file.statement("DELETE FROM blob_takedown WHERE cid = ?").run(cid.bytes);
    else {
      this.#file
        .statement("INSERT OR REPLACE INTO blob_takedown (cid, ref) VALUES (?, ?)")
        .run(cid.bytes, ref);
    }
  }

  /** Undefined for a record that is not taken down. */
  record(collection: string, rkey: string): RecordTakedown | undefined {
    return (
      this.#file
        .statement<RecordTakedown>("SELECT cid, ref FROM record_takedown WHERE collection = ? AND rkey = ?")
        .get(collection, rkey) ?? undefined
    );
  }

  /** The reference of the takedown of a blob; undefined where it is not taken down. */
  blob(cid: Cid): string | undefined {
    return this.#file.statement<{ ref: string }>("SELECT ref FROM blob_takedown WHERE cid = ?").get(cid.bytes)
      ?.ref;
  }

  /** Throws KithError invalid_request for a blob that is taken down. */
  refuseBlob(cid: Cid): void {
    if (this.blob(cid) === undefined) return;
    throw new KithError(
      "invalid_request",
      `Could not upload: the blob ${cidToString(cid)} has been taken down`,
    );
  }

  blobs(): Cid[] {
    const rows = this.#file.statement<{ cid: Uint8Array }>("SELECT cid FROM blob_takedown").all();
    return rows.map(({ cid }) => cidFromBytes(cid));
  }

  /** True for the block of a record that is taken down, and of no other. */
  hidesBlock(cid: Cid): boolean {
    const counts = this.#file.statement<{ shown: number; hidden: number }>(
      `SELECT count(*) FILTER (WHERE t.ref IS NULL) AS shown, count(t.ref) AS hidden FROM record r
       LEFT JOIN record_takedown t ON t.collection = r.collection AND t.rkey = r.rkey WHERE r.cid = ?`,
    );
    const row = this.#settled(() => counts.get(cid.bytes));
    return row !== null && row.hidden > 0 && row.shown === 0;
  }
}

/**
 * For statements over `record r`: leaves out what is taken down. Whether anything is, which in most repos nothing is, is asked
 * once for all rows.
 */
export const RECORD_SHOWN = `(NOT EXISTS (SELECT 1 FROM record_takedown) OR
   NOT EXISTS (SELECT 1 FROM record_takedown t WHERE t.collection = r.collection AND t.rkey = r.rkey))`;
