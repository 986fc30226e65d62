/** What accounts are signed in by, in a restored accounts store: what was ended after the copy was made must not open anything again. */
import { Database } from "bun:sqlite";
import type { Run } from "./hub.ts";
import { endOAuth } from "./oauth_store.ts";
import { storageError } from "./sqlite.ts";

type Row = Readonly<Record<string, unknown>>;
/** An account's rows, as far as they say what was ended. */
export interface SignInRows {
  readonly account?: readonly Row[];
  readonly app_password?: readonly Row[];
}

/** Within a transaction: ends what was opened before the account's sessions began anew, or by an app password that is no more. */
export function endOldSignIns(
  run: Run,
  { did, before, after }: { did: string; before: SignInRows; after: SignInRows },
): void {
  const from = ({ account }: SignInRows) => account?.[0]?.sessions_from ?? null;
  // Not the hash, which a sign-in may make anew.
  if (from(after) !== from(before)) {
    for (const table of ["session", "device_account", "email_token"])
      run(`DELETE FROM ${table} WHERE did = ?`, did);
    endOAuth(run, did);
  }
  const nameOf = ({ name, created_at: at }: Row) => `${at} ${name}`;
  const known = new Set(after.app_password?.map(nameOf));
  for (const row of before.app_password ?? [])
    if (!known.has(nameOf(row)))
      run("DELETE FROM session WHERE did = ? AND app_password_name = ?", did, String(row.name));
}

/** Of what accounts are signed in by, leaves in the store at `path`, which nobody has open, what a later one still has as it is. */
export function keepSignInsOf(path: string, laterPath: string): void {
  try {
    const db = new Database(path, { readwrite: true, create: false, strict: true });
    try {
      db.run("PRAGMA synchronous = FULL");
      db.run("ATTACH ? AS later", [laterPath]);
      // Not BEGIN IMMEDIATE, which would write to both: cut off there, SQLite leaves a journal of both behind for ever.
      db.run("BEGIN");
      for (const [table, is] of [
        ["session", "l.id = t.id AND l.next_id IS t.next_id"],
        ["device_account", "l.device_id = t.device_id AND l.did = t.did"],
        ["oauth_grant", "l.id = t.id AND l.access_hash = t.access_hash"],
        ["oauth_consent", "l.did = t.did AND l.client_id = t.client_id AND l.scope = t.scope"],
        ["email_token", "l.did = t.did AND l.purpose = t.purpose AND l.token_hash = t.token_hash"],
      ] as const)
        if (isIn(db, table))
          db.run(
            `DELETE FROM main.${table} AS t WHERE NOT EXISTS (SELECT 1 FROM later.${table} l WHERE ${is})`,
          );
      // What is not answered yet can be asked for again.
      if (isIn(db, "oauth_request")) db.run("DELETE FROM main.oauth_request");
      db.run("COMMIT");
    } finally {
      db.close();
    }
  } catch (error) {
    throw storageError(error, `Could not write "${path}"`);
  }
}

/** False in the store of a version of kith that did not have it yet. */
function isIn(db: Database, table: string): boolean {
  const sql =
    "SELECT (SELECT count(*) FROM main.sqlite_schema WHERE name = ?1) + (SELECT count(*) FROM later.sqlite_schema WHERE name = ?1) n";
  return db.query<{ n: number }, [string]>(sql).get(table)?.n === 2;
}
