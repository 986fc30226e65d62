/** Pages of the blobs that an account's records refer to, and of those to which none does. */
import { type Cid, cidFromBytes, parseCid } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import type { SqliteFile } from "./_sqlite_file.ts";
import { type BlobRow, type ListBlobs, PAGE_ROWS_MAX } from "./repo_changes.ts";

/** How much of a refused cursor an error quotes, in characters. */
const QUOTE_CHARS_MAX = 64;

/** By CID bytes; with `since`, those of records written after that rev. */
export function listBlobs(file: SqliteFile, { limit, since, cursor, takenDownToo }: ListBlobs): Cid[] {
  const shown = takenDownToo ? "" : "AND b.cid NOT IN (SELECT cid FROM blob_takedown)";
  const newer =
    "AND EXISTS (SELECT 1 FROM record r WHERE r.collection = b.collection AND r.rkey = b.rkey AND r.rev > ?)";
  const rows = file
    .statement<{ cid: Uint8Array }>(
      `SELECT DISTINCT b.cid FROM record_blob b WHERE b.cid > ? ${shown} ${since === undefined ? "" : newer}
       ORDER BY b.cid LIMIT ?`,
    )
    .all(after(cursor), ...(since === undefined ? [] : [since]), Math.min(limit, PAGE_ROWS_MAX));
  return rows.map((row) => cidFromBytes(row.cid));
}

/** The blobs that are here, referred to or not, by CID. */
export function allBlobs(
  file: SqliteFile,
  { limit, after: last }: { limit: number; after?: Cid | undefined },
): BlobRow[] {
  const rows = file
    .statement<{ cid: Uint8Array; mimeType: string; size: number; createdAt: number }>(
      `SELECT cid, mime_type AS mimeType, size, created_at AS createdAt FROM blob WHERE cid > ? ORDER BY cid LIMIT ?`,
    )
    .all(last?.bytes ?? new Uint8Array(), Math.min(limit, PAGE_ROWS_MAX));
  return rows.map((row) => ({ ...row, cid: cidFromBytes(row.cid) }));
}

/** Blobs that records refer to and that are not here, by CID, each with one of the records. */
export function listMissingBlobs(
  file: SqliteFile,
  { limit, cursor }: { limit: number; cursor?: string },
): { cid: Cid; path: string }[] {
  const rows = file
    .statement<{ cid: Uint8Array; path: string }>(
      `SELECT cid, min(collection || '/' || rkey) AS path FROM record_blob
       WHERE cid > ? AND NOT EXISTS (SELECT 1 FROM blob WHERE blob.cid = record_blob.cid)
       GROUP BY cid ORDER BY cid LIMIT ?`,
    )
    .all(after(cursor), Math.min(limit, PAGE_ROWS_MAX));
  return rows.map((row) => ({ cid: cidFromBytes(row.cid), path: row.path }));
}

/** Uploads older than `olderThan` (milliseconds) that no record refers to. */
export function temporaryBlobs(
  file: SqliteFile,
  { olderThan, limit }: { olderThan: number; limit: number },
): Cid[] {
  const rows = file
    .statement<{ cid: Uint8Array }>(
      `SELECT cid FROM blob WHERE created_at < ?
       AND NOT EXISTS (SELECT 1 FROM record_blob r WHERE r.cid = blob.cid) LIMIT ?`,
    )
    .all(olderThan, Math.min(limit, PAGE_ROWS_MAX));
  return rows.map((row) => cidFromBytes(row.cid));
}

/** When the oldest upload came that no record refers to, in milliseconds. */
export function oldestTemporaryBlob(file: SqliteFile): number | undefined {
  const row = file
    .statement<{ at: number | null }>(
      `SELECT min(created_at) AS at FROM blob
       WHERE NOT EXISTS (SELECT 1 FROM record_blob r WHERE r.cid = blob.cid)`,
    )
    .get();
  return row?.at ?? undefined;
}

function after(cursor: string | undefined): Uint8Array {
  if (cursor === undefined) return new Uint8Array();
  try {
    return parseCid(cursor).bytes;
  } catch (cause) {
    const quoted = cursor.length > QUOTE_CHARS_MAX ? `${cursor.slice(0, QUOTE_CHARS_MAX)}...` : cursor;
    throw new KithError("invalid_request", `Could not list blobs: the cursor "${quoted}" is no CID`, {
      cause,
    });
  }
}
