import { Database } from "bun:sqlite";
import { expect, spyOn, test } from "bun:test";
import { existsSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { Fixture } from "./_fixture.ts";
import { copySqlite, evidenceOf } from "./sqlite_image.ts";

const LATER_MS = 10_000;

function live(path: string): Database {
  const db = new Database(path, { create: true });
  db.run("PRAGMA journal_mode = WAL");
  db.run("PRAGMA wal_autocheckpoint = 0");
  db.run("CREATE TABLE t (n INTEGER)");
  return db;
}

/** Until the file system tells the next change from those before: some clocks move every few milliseconds. */
function nextTick(folder: Fixture): void {
  const path = folder.file("tick");
  const time = (): bigint => {
    writeFileSync(path, "");
    return statSync(path, { bigint: true }).mtimeNs;
  };
  for (const before = time(); time() === before; );
}

test("copySqlite() copies what is committed, also what is in the WAL alone", async () => {
  await using folder = new Fixture();
  const db = live(folder.file("live.sqlite"));
  db.run("INSERT INTO t VALUES (1)");
  db.run("BEGIN IMMEDIATE");
  db.run("INSERT INTO t VALUES (2)");
  copySqlite(folder.file("live.sqlite"), folder.file("copy.sqlite"));
  db.run("COMMIT");
  const copy = new Database(folder.file("copy.sqlite"));
  expect(copy.query("SELECT n FROM t").all()).toEqual([{ n: 1 }]);
  expect(copy.query("PRAGMA integrity_check").all()).toEqual([{ integrity_check: "ok" }]);
  copy.close();
  db.close();
});

test("copySqlite() leaves nothing behind where it fails, and says what is wrong", async () => {
  await using folder = new Fixture();
  writeFileSync(folder.file("damaged.sqlite"), "no database at all".repeat(500));
  expect(() => copySqlite(folder.file("damaged.sqlite"), folder.file("copy.sqlite"))).toThrow(
    "not a database",
  );
  expect(existsSync(folder.file("copy.sqlite"))).toBe(false);
  const db = live(folder.file("live.sqlite"));
  expect(() => copySqlite(folder.file("live.sqlite"), folder.file("none/copy.sqlite"))).toThrow();
  db.close();
});

test("copySqlite() says of a file that goes once it is open that it is not there", async () => {
  await using folder = new Fixture();
  const path = folder.file("live.sqlite");
  live(path).close();
  const query = spyOn(Database.prototype, "query").mockImplementationOnce(function (this: Database, sql) {
    rmSync(path);
    return this.prepare(sql) as never;
  });
  try {
    expect(() => copySqlite(path, folder.file("copy.sqlite"))).toThrow(
      expect.objectContaining({ code: "storage_damaged" }),
    );
  } finally {
    query.mockRestore();
  }
  expect(readdirSync(folder.path)).toEqual([]);
});

test("evidenceOf() differs after every change, and is none while a change could hide another", async () => {
  await using folder = new Fixture();
  const path = folder.file("live.sqlite");
  const later = () => Date.now() + LATER_MS;
  const db = live(path);
  expect(evidenceOf(path, Date.now())).toBeUndefined();
  const seen = new Set<string | undefined>([evidenceOf(path, later())]);
  expect(evidenceOf(path, later())).toBe([...seen][0]);
  const changes = [
    "INSERT INTO t VALUES (1)",
    "PRAGMA wal_checkpoint(RESTART)",
    // Into the same place of the WAL, after a checkpoint: neither size changes.
    "INSERT INTO t VALUES (2)",
    "PRAGMA wal_checkpoint(TRUNCATE)",
  ];
  for (const change of changes) {
    nextTick(folder);
    db.run(change);
    seen.add(evidenceOf(path, later()));
  }
  expect([seen.size, seen.has(undefined)]).toEqual([5, false]);
  const before = evidenceOf(path, later());
  db.close();
  copySqlite(path, folder.file("copy.sqlite"));
  expect(evidenceOf(path, later())).toBe(before);
  rmSync(path);
  expect(evidenceOf(path, later())).toBe("none none");
});
