import { Database } from "bun:sqlite";
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type AccountRows,
  AccountRowsReader,
  applyAccountRows,
  decodeAccountRows,
  encodeAccountRows,
} from "./account_rows.ts";
import { Hub } from "./hub.ts";
import { Maintenance } from "./maintenance.ts";

const folder = mkdtempSync(join(tmpdir(), "kith-rows-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;

/** An accounts store at rest, with these accounts. */
async function store(
  accounts: readonly {
    did: string;
    handle?: string | null;
    email?: string;
    generation: number;
    hash?: string;
  }[],
): Promise<string> {
  const path = join(folder, `${++files}.sqlite`);
  const onFatal = (error: unknown) => {
    throw error;
  };
  const maintenance = Maintenance.start({ onFatal });
  const hub = await Hub.open(path, { maintenance, onFatal });
  for (const { did, handle = null, email = null, generation, hash = "" } of accounts) {
    await hub.write((run) => {
      run(
        `INSERT INTO account (did, handle, email, password_hash, state, generation, key_type, signing_key, created_at)
         VALUES (?, ?, ?, ?, 'active', ?, 'k256', ?, 7)`,
        ...[did, handle, email, hash, generation, new Uint8Array([generation, 255, 0])],
      );
      run("INSERT INTO app_password VALUES (?, 'phone', ?, 0, 1)", did, `of ${hash}`);
    });
  }
  await hub.close();
  await maintenance.stop();
  return path;
}

function rowsOf(path: string, ...dids: string[]): AccountRows[] {
  const reader = new AccountRowsReader(path);
  try {
    return dids.map((did) => ({ did, store: reader.read(did).store, quiet: undefined }));
  } finally {
    reader.close();
  }
}

function read<T>(path: string, sql: string): T[] {
  const db = new Database(path);
  try {
    return db.query<T, []>(sql).all();
  } finally {
    db.close();
  }
}

const names = (path: string) =>
  read<{ did: string; handle: string | null; email: string | null }>(
    path,
    "SELECT did, handle, email FROM account ORDER BY did",
  ).map(({ did, handle, email }) => [did, handle, email]);

test("rows keep their values over text, and what is none is told", () => {
  const rows: AccountRows = {
    did: "did:plc:a",
    store: {
      account: [{ did: "did:plc:a", signing_key: new Uint8Array([0, 255, 7]), handle: null, created_at: 5 }],
    },
    quiet: { preference: [{ id: 1, name: "a", value: '{"x":"ü"}' }] },
  };
  expect(decodeAccountRows(encodeAccountRows(rows))).toEqual(rows);
  expect(decodeAccountRows(encodeAccountRows({ ...rows, quiet: undefined }))?.quiet).toBeUndefined();
  for (const text of [
    "",
    "{",
    "[]",
    '{"did":"did:plc:a"}',
    '{"did":"did:plc:a","store":{"account":[{"x":[]}]}}',
  ])
    expect(decodeAccountRows(text)).toBeUndefined();
});

test("applyAccountRows() makes and replaces accounts with all that is theirs, and leaves the others", async () => {
  const live = await store([
    { did: "did:plc:a", handle: "a.test", generation: 1, hash: "new" },
    { did: "did:plc:b", handle: "b.test", generation: 9, hash: "b" },
  ]);
  const copy = await store([
    { did: "did:plc:a", handle: "old.test", generation: 1, hash: "old" },
    { did: "did:plc:c", handle: "c.test", generation: 3, hash: "c" },
  ]);
  const rows = rowsOf(live, "did:plc:a", "did:plc:b").map(
    (each) => decodeAccountRows(encodeAccountRows(each)) as AccountRows,
  );
  // May be repeated.
  for (const _ of [1, 2]) applyAccountRows(copy, rows);
  expect(names(copy)).toEqual([
    ["did:plc:a", "a.test", null],
    ["did:plc:b", "b.test", null],
    ["did:plc:c", "c.test", null],
  ]);
  expect(rowsOf(copy, "did:plc:a", "did:plc:b")).toEqual(rowsOf(live, "did:plc:a", "did:plc:b"));
  expect(
    read<{ last_generation: number }>(copy, "SELECT last_generation FROM meta")[0]?.last_generation,
  ).toBe(9);
});

test("applyAccountRows() removes what is no account any more, and lets names go over", async () => {
  const live = await store([
    { did: "did:plc:b", handle: "a.test", email: "a@test", generation: 2 },
    { did: "did:plc:d", handle: "e.test", generation: 4 },
    { did: "did:plc:e", handle: "d.test", generation: 5 },
  ]);
  const copy = await store([
    { did: "did:plc:a", handle: "a.test", email: "a@test", generation: 1 },
    { did: "did:plc:b", handle: "b.test", email: "b@test", generation: 2 },
    { did: "did:plc:d", handle: "d.test", generation: 4 },
    { did: "did:plc:e", handle: "e.test", generation: 5 },
    { did: "did:plc:x", handle: "x.test", generation: 6 },
  ]);
  applyAccountRows(copy, rowsOf(live, "did:plc:b", "did:plc:d", "did:plc:e", "did:plc:x"));
  expect(names(copy)).toEqual([
    ["did:plc:a", null, null],
    ["did:plc:b", "a.test", "a@test"],
    ["did:plc:d", "e.test", null],
    ["did:plc:e", "d.test", null],
  ]);
});

test("applyAccountRows() leaves out columns that the store does not have", async () => {
  const copy = await store([]);
  const row = {
    ...{ did: "did:plc:a", handle: "a.test", password_hash: "", state: "active", generation: 1 },
    ...{ key_type: "k256", created_at: 1, of_a_later_version: 5 },
  };
  applyAccountRows(copy, [{ did: "did:plc:a", store: { account: [row] }, quiet: undefined }]);
  expect(names(copy)).toEqual([["did:plc:a", "a.test", null]]);
});

test("the accounts store tells of what lasts: of which account, or that something else has changed", async () => {
  const path = await store([]);
  const onFatal = (error: unknown) => {
    throw error;
  };
  const maintenance = Maintenance.start({ onFatal });
  const hub = await Hub.open(path, { maintenance, onFatal });
  const told: (string | undefined)[] = [];
  const end = hub.changes.listen(({ did }) => told.push(did));
  const cases: [sql: string, params: (string | number)[]][] = [
    ["UPDATE account SET handle = ? WHERE did = ?", ["a.test", "did:plc:a"]],
    ["DELETE FROM passkey WHERE id = ?", ["1"]],
    ["DELETE FROM session WHERE did = ?", ["did:plc:a"]],
    ["UPDATE meta SET high_water = 1", []],
    ["DELETE FROM community WHERE did = ?", ["did:plc:c"]],
  ];
  for (const [sql, params] of cases) await hub.write((run) => run(sql, ...params));
  expect(told).toEqual(["did:plc:a", undefined, undefined]);
  end();
  await hub.write((run) => run("UPDATE account SET handle = NULL WHERE did = ?", "did:plc:a"));
  expect(told.length).toBe(3);
  await hub.close();
  await maintenance.stop();
});
