import { expect, test } from "bun:test";
import { mkdirSync, rmdirSync, statSync, writeFileSync } from "node:fs";
import { Fixture } from "./_fixture.ts";
import { openSqlite, transaction, withSteadyPlan } from "./sqlite.ts";

test("openSqlite() makes files of mode 0600 and sets the pragmas that storage relies on", async () => {
  await using folder = new Fixture();
  const db = openSqlite(folder.file("a.sqlite"), { create: true });
  db.run("CREATE TABLE t (x)");
  for (const suffix of ["", "-wal", "-shm"]) {
    expect(statSync(folder.file(`a.sqlite${suffix}`)).mode & 0o777).toBe(0o600);
  }
  const pragma = (name: string) => Object.values(db.query(`PRAGMA ${name}`).get() as object)[0];
  expect(pragma("journal_mode")).toBe("wal");
  expect(pragma("synchronous")).toBe(1);
  expect(pragma("wal_autocheckpoint")).toBe(0);
  expect(pragma("cache_size")).toBe(-256);
  db.close();
});

test("openSqlite() refuses an absent file and a file that is no database", async () => {
  await using folder = new Fixture();
  expect(() => openSqlite(folder.file("none.sqlite"))).toThrow("it is not there");
  writeFileSync(folder.file("junk.sqlite"), "x".repeat(8192));
  expect(() => openSqlite(folder.file("junk.sqlite"))).toThrow("not a database");
});

test("openSqlite() does not call a file damaged whose log cannot be made, and opens it once it can", async () => {
  await using folder = new Fixture();
  const path = folder.file("a.sqlite");
  openSqlite(path, { create: true }).close();
  mkdirSync(`${path}-wal`);
  expect(() => openSqlite(path)).toThrow(expect.objectContaining({ code: "storage_full" }));
  rmdirSync(`${path}-wal`);
  openSqlite(path).close();
});

test("transaction() rolls back what an exception or an async function leaves", async () => {
  await using folder = new Fixture();
  const db = openSqlite(folder.file("a.sqlite"), { create: true });
  db.run("CREATE TABLE t (x)");
  const insert = () => db.run("INSERT INTO t VALUES (1)");
  expect(() =>
    transaction(db, () => {
      insert();
      throw new Error("no");
    }),
  ).toThrow("no");
  expect(() => transaction(db, async () => void insert())).toThrow("async");
  expect(db.query("SELECT * FROM t").all()).toEqual([]);
  expect(transaction(db, () => insert().changes)).toBe(1);
  db.close();
});

test("transaction() refuses cleanly when there is no room, and works again once there is", async () => {
  await using folder = new Fixture();
  const db = openSqlite(folder.file("a.sqlite"), { create: true });
  db.run("CREATE TABLE t (x)");
  const fill = () => db.run("INSERT INTO t VALUES (randomblob(100000))");
  db.run("PRAGMA max_page_count = 10");
  expect(() => transaction(db, fill)).toThrow(expect.objectContaining({ code: "storage_full" }));
  expect(db.inTransaction).toBe(false);
  expect(db.query("SELECT * FROM t").all()).toEqual([]);
  db.run("PRAGMA max_page_count = 1000");
  transaction(db, fill);
  expect(db.query("SELECT count(*) AS n FROM t").get()).toEqual({ n: 1 });
  db.close();
});

test.each([
  [
    "SELECT a FROM t WHERE b = ? AND c<?2 LIMIT ?",
    ["b = coalesce(?, NULL)", "c<coalesce(?2, NULL)", "LIMIT coalesce(?, NULL)"],
  ],
  ["SELECT a FROM t WHERE (a, b) >= (?, ?) OR a IN (?)", [">= (?, ?)", "IN (?)"]],
  ["INSERT INTO t VALUES (?, ?)", ["VALUES (?, ?)"]],
  ["SELECT a FROM t LIMIT -1 OFFSET ?1", ["OFFSET coalesce(?1, NULL)"]],
])("withSteadyPlan() puts parameters that are looked at behind a function: %s", (sql, parts) => {
  for (const part of parts) expect(withSteadyPlan(sql)).toContain(part);
});

test("withSteadyPlan() changes neither plan nor result", async () => {
  await using folder = new Fixture();
  const db = openSqlite(folder.file("a.sqlite"), { create: true });
  db.run(
    "CREATE TABLE t (a TEXT, b INTEGER, PRIMARY KEY (a, b)) WITHOUT ROWID; CREATE TABLE u (b INTEGER PRIMARY KEY, c TEXT)",
  );
  db.run("CREATE INDEX u_c ON u (c) WHERE c IS NOT NULL");
  for (let b = 0; b < 9; b++) db.run("INSERT INTO t VALUES ('x', ?1)", [b]);
  for (let b = 0; b < 9; b++) db.run("INSERT INTO u VALUES (?1, '1')", [b]);
  for (const sql of [
    "SELECT t.b FROM t JOIN u ON u.b = t.b WHERE t.a = ?1 AND t.b > ?2 ORDER BY t.b DESC LIMIT ?2",
    "SELECT b FROM u WHERE ?1 = 'x' AND c = ?2 ORDER BY b",
  ]) {
    const run = (text: string) => db.query(text).values("x", 1);
    const steady = withSteadyPlan(sql);
    expect(run(steady)).toEqual(run(sql));
    expect(run(steady).length).toBeGreaterThan(0);
    const planOf = (text: string) =>
      db
        .query<{ detail: string }, [string, number]>(`EXPLAIN QUERY PLAN ${text}`)
        .all("x", 1)
        .map(({ detail }) => detail);
    expect(planOf(steady)).toEqual(planOf(sql));
  }
  db.close();
});
