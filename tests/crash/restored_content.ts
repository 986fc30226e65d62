/** What a folder has that was restored from a backup, to be compared with that of another restore of the same. */
import { Database } from "bun:sqlite";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { cidFromBytes, cidToString } from "../../src/atproto/mod.ts";
import type { RestoreReport } from "../../src/backup/restore_report.ts";
import { REPORT_FILE } from "../../src/backup/run_restore.ts";

/** Files that one restore leaves and another does not: temporary ones, and copies of a file that was killed before all of its schema was there. */
const UNLIKE = /^(tmp\/|blobs\/temp\/|kith\.lock)|-(wal|shm)$|\.before-\d+$/;

type Row = Readonly<Record<string, unknown>>;

/** Of each table what two restores of the same have in common. */
const REPO_TABLES: Readonly<Record<string, string>> = {
  meta: "did, generation, hex(data), status, owner_status, takedown_ref, handle, signing_key, blob_bytes",
  record: "collection, rkey, hex(cid), subject",
  block: "count(*)",
  blob: "hex(cid), mime_type, size",
  record_blob: "collection, rkey, hex(cid)",
  preference: "name, value",
  record_takedown: "collection, rkey, cid, ref",
  blob_takedown: "hex(cid), ref",
  pending_event: "kind",
};
/** The seq that is jumped to depends on the clock. */
const CLOCKED = new Set(["meta", "high_water"]);
const all = (tables: readonly string[]) =>
  tables.filter((name) => !CLOCKED.has(name)).map((name) => [name, "*"] as const);

function rowsOf(
  path: string,
  of: (tables: readonly string[]) => readonly (readonly [string, string])[],
): Record<string, Row[]> {
  const db = new Database(path, { readwrite: true, create: false });
  try {
    const tables = db.query<{ name: string }, []>(
      "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name",
    );
    const names = tables.all().map(({ name }) => name);
    return Object.fromEntries(
      of(names).map(([table, columns]) => {
        const rows = db.query<Row, []>(`SELECT ${columns} FROM "${table}"`).all();
        return [table, rows.map(plain).sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))];
      }),
    );
  } finally {
    db.close();
  }
}

function plain(row: Row): Row {
  return Object.fromEntries(
    Object.entries(row).map(([name, value]) => [
      name,
      value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value,
    ]),
  );
}

/** Everything that a restored folder has; not what tells one run from another, nor blobs without a row, which the server sweeps. */
export function contentOf(data: string): Record<string, unknown> {
  const paths = readdirSync(data, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(data.length + 1))
    .filter((path) => !UNLIKE.test(path))
    .sort();
  const repos = Object.fromEntries(
    paths
      .filter((path) => /^repos\/.*\.sqlite$/.test(path))
      .map((path) => [path, rowsOf(join(data, path), () => Object.entries(REPO_TABLES))]),
  );
  const known = new Set(Object.values(repos).flatMap(namesOfBlobs));
  const files = paths.filter((path) => !path.startsWith("blobs/") || known.has(path.split("/").at(-1) ?? ""));
  return {
    files: Object.fromEntries(files.map((path) => [path, hashOf(join(data, path), path)])),
    report: reportOf(data),
    accounts: rowsOf(join(data, "accounts.sqlite"), all),
    events: rowsOf(join(data, "events.sqlite"), all),
    repos,
  };
}

function namesOfBlobs({ blob, blob_takedown }: Record<string, Row[]>): string[] {
  return [...(blob ?? []), ...(blob_takedown ?? [])].map((row) =>
    cidToString(cidFromBytes(Buffer.from(String(row["hex(cid)"]), "hex"))),
  );
}

/** Of what is the same to the byte. */
function hashOf(path: string, name: string): string {
  return /^(blobs\/|master|secrets)/.test(name) ? String(Bun.hash(readFileSync(path))) : "";
}

/** What it says of the restore; not how often that was begun, nor when. */
function reportOf(data: string): Partial<RestoreReport> {
  const report = JSON.parse(readFileSync(join(data, REPORT_FILE), "utf8")) as RestoreReport;
  const {
    endedAt: _,
    nextSeq: _seq,
    commits: _commits,
    reposMade: _made,
    fetchedBytes: _bytes,
    ...rest
  } = report;
  const byText = (a: unknown, b: unknown) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);
  for (const list of [rest.troubles, rest.deleted, rest.notes]) (list as unknown[]).sort(byText);
  return rest;
}
