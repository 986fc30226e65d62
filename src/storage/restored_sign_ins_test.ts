import { Database } from "bun:sqlite";
import { afterAll, expect, test } from "bun:test";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AccountRowsReader, applyAccountRows } from "./account_rows.ts";
import { Hub } from "./hub.ts";
import { Maintenance } from "./maintenance.ts";
import { keepSignInsOf } from "./restored_sign_ins.ts";

const DID = "did:plc:alice";
const folder = mkdtempSync(join(tmpdir(), "kith-sign-ins-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;

/** An accounts store at rest, with an account that is signed in by itself and by an app; and a later copy of it. */
async function stores(): Promise<{ path: string; later: string }> {
  const path = join(folder, `${++files}.sqlite`);
  const onFatal = (error: unknown) => {
    throw error;
  };
  const maintenance = Maintenance.start({ onFatal });
  await (await Hub.open(path, { maintenance, onFatal })).close();
  await maintenance.stop();
  change(
    path,
    `INSERT INTO account (did, password_hash, state, generation, key_type, created_at, sessions_from)
       VALUES ('${DID}', 'x', 'active', 1, 'k256', 7, 5)`,
    `INSERT INTO app_password VALUES ('${DID}', 'phone', 'y', 0, 1)`,
    `INSERT INTO session (id, did, family_id, expires_at, app_password_name)
       VALUES ('own', '${DID}', 'f', 99, NULL), ('app', '${DID}', 'g', 99, 'phone')`,
    `INSERT INTO device_account VALUES ('device', '${DID}', 1, 1)`,
    `INSERT INTO oauth_consent VALUES ('${DID}', 'client', 'atproto', 1)`,
  );
  const later = join(folder, `${++files}.sqlite`);
  copyFileSync(path, later);
  return { path, later };
}

function change(path: string, ...statements: string[]): void {
  const db = new Database(path);
  for (const sql of statements) db.run(sql);
  // Copied, it is one file.
  db.run("PRAGMA wal_checkpoint(TRUNCATE)");
  db.close();
}

/** What the account is signed in by. */
function signedIn(path: string): string[] {
  const db = new Database(path);
  const rows = db
    .query<{ name: string }, []>(
      `SELECT id AS name FROM session UNION SELECT device_id FROM device_account UNION SELECT client_id FROM oauth_consent`,
    )
    .all();
  db.close();
  return rows.map(({ name }) => name).sort();
}

const ALL = ["app", "client", "device", "own"];

test.each([
  ["nothing", "UPDATE account SET password_hash = 'made anew', handle = 'new.test'", ALL],
  ["a new hash of an app password", "UPDATE app_password SET password_hash = 'made anew'", ALL],
  ["a new password", "UPDATE account SET sessions_from = 6", []],
  ["the end of an app password", "DELETE FROM app_password", ["client", "device", "own"]],
  ["another one of its name", "UPDATE app_password SET created_at = 2", ["client", "device", "own"]],
])("applyAccountRows() ends what the account was signed in by for %s", async (_what, sql, left) => {
  const { path, later } = await stores();
  change(later, sql);
  const reader = new AccountRowsReader(later);
  const { store } = reader.read(DID);
  reader.close();
  applyAccountRows(path, [{ did: DID, store, quiet: undefined }]);
  expect(signedIn(path)).toEqual(left);
});

test("keepSignInsOf() leaves what the later store has as it is", async () => {
  const { path, later } = await stores();
  change(
    later,
    "UPDATE session SET next_id = 'next' WHERE id = 'own'",
    `INSERT INTO session (id, did, family_id, expires_at) VALUES ('next', '${DID}', 'f', 99)`,
    "DELETE FROM device_account",
  );
  keepSignInsOf(path, later);
  expect(signedIn(path)).toEqual(["app", "client"]);
  keepSignInsOf(path, later);
  expect(signedIn(path)).toEqual(["app", "client"]);
});

test("keepSignInsOf() works on the store of a version that did not have all of the tables", async () => {
  const { path, later } = await stores();
  change(path, "DROP TABLE device_account");
  change(later, "DELETE FROM session");
  keepSignInsOf(path, later);
  change(path, "CREATE TABLE device_account (device_id TEXT)");
  expect(signedIn(path)).toEqual(["client"]);
});

test("keepSignInsOf() writes to the one store alone: cut off, it leaves no journal of both", async () => {
  const { path, later } = await stores();
  change(later, "DELETE FROM session WHERE id = 'own'");
  using writer = new Database(later);
  writer.run("BEGIN IMMEDIATE");
  keepSignInsOf(path, later);
  expect(signedIn(path)).toEqual(ALL.filter((name) => name !== "own"));
});
