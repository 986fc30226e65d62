import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { Fixture } from "./_fixture.ts";
import { StillFile } from "./still_file.ts";

/** A file with some rows; with `isCrashed` they are in the WAL alone. */
function make(folder: Fixture, { isCrashed = false } = {}): string {
  const path = folder.file("a.sqlite");
  const sql = `const { Database } = require("bun:sqlite");
    const db = new Database(${JSON.stringify(path)});
    db.run("PRAGMA journal_mode = WAL");
    db.run("CREATE TABLE t (x INTEGER PRIMARY KEY, y TEXT)");
    db.run("CREATE INDEX t_y ON t (y)");
    for (let n = 0; n < 500; n++) db.run("INSERT INTO t (y) VALUES (?)", ["row " + n]);
    ${isCrashed ? 'process.kill(process.pid, "SIGKILL")' : "db.close()"}`;
  Bun.spawnSync([process.execPath, "-e", sql]);
  return path;
}

test.each([[false], [true]])("StillFile reads and leaves no trace (crashed: %p)", async (isCrashed) => {
  await using folder = new Fixture();
  const path = make(folder, { isCrashed });
  const contents = () =>
    readdirSync(folder.path)
      .filter((name) => !name.endsWith("-shm"))
      .map((name) => [name, Bun.hash(readFileSync(folder.file(name)))]);
  const before = contents();
  const file = StillFile.open(path);
  expect(file.one<{ n: number }>("SELECT count(*) AS n FROM t WHERE x > ?", 100)).toEqual({ n: 400 });
  expect([...file.each("SELECT x FROM t")]).toHaveLength(500);
  expect(file.complaints()).toEqual({ lines: [], isOfIndexes: true });
  expect(() => file.all("DELETE FROM t")).toThrow("readonly");
  file.close();
  expect(contents()).toEqual(before);
});

test.each(["", "-wal", "-shm"])("StillFile does not open a pipe: %p", async (suffix) => {
  await using folder = new Fixture();
  const path = make(folder);
  rmSync(path + suffix, { force: true });
  Bun.spawnSync(["mkfifo", path + suffix]);
  expect(() => StillFile.open(path)).toThrow("is no regular file");
});

test("StillFile.complaints() tells damage of an index from damage of the file", async () => {
  await using folder = new Fixture();
  const path = make(folder);
  const db = new Database(path);
  // So few that the index is one page.
  db.run("DELETE FROM t WHERE x > 20");
  db.run("VACUUM");
  const page =
    db.query<{ n: number }, []>("SELECT rootpage AS n FROM sqlite_schema WHERE name = 't_y'").get()?.n ?? 0;
  db.run("PRAGMA wal_checkpoint(TRUNCATE)");
  db.close();
  const bytes = readFileSync(path);
  const empty = Buffer.alloc(8);
  empty[0] = 10;
  empty.writeUInt16BE(4096, 5);
  bytes.set(empty, (page - 1) * 4096);
  writeFileSync(path, bytes);
  const indexed = StillFile.open(path);
  const { lines, isOfIndexes } = indexed.complaints();
  indexed.close();
  expect(lines.length).toBeGreaterThan(0);
  expect(isOfIndexes).toBe(true);
  bytes.fill(0xee, 4096, 8192);
  writeFileSync(path, bytes);
  const damaged = StillFile.open(path);
  expect(damaged.complaints().isOfIndexes).toBe(false);
  damaged.close();
});

test.each([
  ["nothing", () => {}],
  ["an empty file", (path: string) => truncateSync(path, 0)],
  ["no database", (path: string) => writeFileSync(path, "no database ".repeat(1_000))],
] as const)("StillFile.open() of %s", async (title, change) => {
  await using folder = new Fixture();
  const path = title === "nothing" ? folder.file("none.sqlite") : make(folder);
  change(path);
  const open = (): unknown => {
    const file = StillFile.open(path);
    try {
      return file.all("SELECT * FROM t");
    } finally {
      file.close();
    }
  };
  expect(open).toThrow(expect.objectContaining({ code: "storage_damaged" }));
});
