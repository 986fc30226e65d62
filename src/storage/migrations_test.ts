import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { existsSync, statSync } from "node:fs";
import { Fixture } from "./_fixture.ts";
import { migrate } from "./migrations.ts";

const V1 = ["CREATE TABLE t (x)"];
const V2 = [...V1, "CREATE TABLE u (y); INSERT INTO u SELECT x FROM t"];

async function withVersion1(folder: Fixture): Promise<string> {
  const path = folder.file("a.sqlite");
  await migrate(path, { migrations: V1, maintenance: folder.maintenance });
  const db = new Database(path);
  db.run("INSERT INTO t VALUES (1)");
  db.close();
  return path;
}

function read(path: string, sql: string): unknown[] {
  const db = new Database(path, { readonly: true });
  try {
    return db.query(sql).values().flat();
  } finally {
    db.close();
  }
}

test("migrate() makes a new file without a copy, and leaves one of the latest version alone", async () => {
  await using folder = new Fixture();
  const path = await withVersion1(folder);
  await migrate(path, { migrations: V1, maintenance: folder.maintenance });
  expect(existsSync(`${path}.before-1`)).toBe(false);
  expect(read(path, "PRAGMA user_version")).toEqual([1]);
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

test("migrate() keeps a copy of the file as it was before it changes it", async () => {
  await using folder = new Fixture();
  const path = await withVersion1(folder);
  await migrate(path, { migrations: V2, maintenance: folder.maintenance });
  expect(read(path, "SELECT y FROM u")).toEqual([1]);
  expect(read(path, "PRAGMA user_version")).toEqual([2]);
  expect(read(`${path}.before-2`, "SELECT x FROM t")).toEqual([1]);
  expect(read(`${path}.before-2`, "PRAGMA user_version")).toEqual([1]);
  expect(statSync(`${path}.before-2`).mode & 0o777).toBe(0o600);
});

test("migrate() that fails half-way leaves the old file, and can be run again", async () => {
  await using folder = new Fixture();
  const path = await withVersion1(folder);
  const broken = [...V1, "CREATE TABLE u (y); INSERT INTO no_such_table VALUES (1)"];
  const attempt = migrate(path, { migrations: broken, maintenance: folder.maintenance });
  expect(await attempt.catch(String)).toContain("no_such_table");
  expect(read(path, "SELECT name FROM sqlite_schema")).toEqual(["t"]);
  expect(read(path, "PRAGMA user_version")).toEqual([1]);
  await migrate(path, { migrations: V2, maintenance: folder.maintenance });
  expect(read(path, "SELECT y FROM u")).toEqual([1]);
});

test("migrate() refuses a file of a newer version and changes nothing", async () => {
  await using folder = new Fixture();
  const path = await withVersion1(folder);
  await migrate(path, { migrations: V2, maintenance: folder.maintenance });
  const attempt = migrate(path, { migrations: V1, maintenance: folder.maintenance });
  expect(await attempt.catch((error) => error)).toMatchObject({
    code: "data_folder_refused",
    hint: expect.stringContaining("newer version of kith"),
  });
  expect(read(path, "PRAGMA user_version")).toEqual([2]);
});
