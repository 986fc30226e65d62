/** Records with their bytes, one or a page at a time. */
import { type Cid, cidFromBytes } from "../atproto/mod.ts";
import { RECORD_SHOWN } from "./_repo_takedowns.ts";
import type { SqliteFile } from "./_sqlite_file.ts";
import {
  type ListedRecord,
  type ListRecords,
  PAGE_ROWS_MAX,
  type RecordKey,
  type SinceRecord,
} from "./repo_changes.ts";

const FROM_RECORDS = "FROM record r JOIN block b ON b.id = r.block";
const SHOWN_RECORD = `SELECT r.cid, b.bytes ${FROM_RECORDS}
  WHERE r.collection = ? AND r.rkey = ? AND ${RECORD_SHOWN}`;
const NEWEST_FIRST = `SELECT r.rkey, r.cid, b.bytes ${FROM_RECORDS}
  WHERE r.collection = ? AND r.rkey < ? AND ${RECORD_SHOWN} ORDER BY r.rkey DESC LIMIT ?`;
const OLDEST_FIRST = `SELECT r.rkey, r.cid, b.bytes ${FROM_RECORDS}
  WHERE r.collection = ? AND r.rkey > ? AND ${RECORD_SHOWN} ORDER BY r.rkey ASC LIMIT ?`;
/** Sorts after every record key: those are ASCII. */
const BEYOND_RKEYS = "\u{10ffff}";
const SINCE = `SELECT r.collection, r.rkey, r.cid, r.rev, b.bytes ${FROM_RECORDS}
  WHERE r.rev > ? AND ${RECORD_SHOWN} ORDER BY r.rev DESC LIMIT ?`;
const COLLECTIONS = `WITH RECURSIVE found (name) AS (
    SELECT min(collection) FROM record
    UNION ALL
    SELECT (SELECT min(collection) FROM record WHERE collection > found.name) FROM found WHERE found.name IS NOT NULL
  ) SELECT name FROM found WHERE name IS NOT NULL`;

export function shownRecord(
  file: SqliteFile,
  { collection, rkey }: RecordKey,
): { cid: Cid; bytes: Uint8Array } | undefined {
  const row = file.statement<{ cid: Uint8Array; bytes: Uint8Array }>(SHOWN_RECORD).get(collection, rkey);
  return row ? { cid: cidFromBytes(row.cid), bytes: row.bytes } : undefined;
}

export function listRecords(
  file: SqliteFile,
  { collection, limit, cursor, reverse }: ListRecords,
): ListedRecord[] {
  const after = cursor ?? (reverse ? "" : BEYOND_RKEYS);
  return file
    .statement<ListedRecord>(reverse ? OLDEST_FIRST : NEWEST_FIRST)
    .all(collection, after, Math.min(limit, PAGE_ROWS_MAX));
}

export function collections(file: SqliteFile): string[] {
  return file
    .statement<{ name: string }>(COLLECTIONS)
    .all()
    .map((row) => row.name);
}

export function recordsSince(file: SqliteFile, rev: string, { limit }: { limit: number }): SinceRecord[] {
  const older = file.statement("SELECT 1 FROM record WHERE rev <= ? LIMIT 1").get(rev);
  if (older === null) return [];
  const rows = file
    .statement<{ collection: string; rkey: string; cid: Uint8Array; rev: string; bytes: Uint8Array }>(SINCE)
    .all(rev, Math.min(limit, PAGE_ROWS_MAX));
  return rows.map((row) => ({ ...row, cid: cidFromBytes(row.cid) }));
}
