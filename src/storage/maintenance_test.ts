import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { Fixture } from "./_fixture.ts";
import { openToRead } from "./_open_to_read.ts";
import { SqliteFile } from "./_sqlite_file.ts";

const STEPS = ["CREATE TABLE t (x); PRAGMA user_version = 1"];

async function openFile(folder: Fixture): Promise<SqliteFile> {
  await folder.maintenance.migrate(folder.file("a.sqlite"), STEPS);
  return SqliteFile.open(folder.file("a.sqlite"), folder.options);
}

/** The salts of the WAL header, which change with every restart of the WAL; "" where the WAL is empty. */
function saltsOf(folder: Fixture): string {
  return readFileSync(folder.file("a.sqlite-wal")).subarray(16, 24).toString("hex");
}

test("Maintenance.prime() writes the WAL's header, so that the first write here is not its first frame", async () => {
  await using folder = new Fixture();
  const file = await openFile(folder);
  expect(saltsOf(folder)).toBe("");
  expect(() => file.transaction(() => 1)).toThrow("prepareWrites() was not awaited");
  await Promise.all([file.prepareWrites(), file.prepareWrites()]);
  const salts = saltsOf(folder);
  expect(salts).not.toBe("");
  expect(file.walBytes()).toBe(32 + 4120);
  file.transaction(() => file.statement("INSERT INTO t VALUES (1)").run());
  expect(saltsOf(folder)).toBe(salts);
  expect(file.schemaVersion()).toBe(1);
  await file.close();
});

test("Maintenance.checkpoint() of either mode leaves a WAL that this thread never restarts", async () => {
  await using folder = new Fixture();
  const file = await openFile(folder);
  await file.prepareWrites();
  const write = () => file.transaction(() => file.statement("INSERT INTO t VALUES (randomblob(9000))").run());
  write();
  const salts = saltsOf(folder);
  expect(await file.checkpoint("passive")).toBe(true);
  write();
  expect(saltsOf(folder)).toBe(salts);
  const restart = file.checkpoint("restart");
  expect(write).toThrow(expect.objectContaining({ code: "busy" }));
  expect(await restart).toBe(true);
  const restarted = saltsOf(folder);
  expect(restarted).not.toBe(salts);
  expect(file.walBytes()).toBe(32 + 4120);
  write();
  expect(saltsOf(folder)).toBe(restarted);
  expect(file.statement("SELECT count(*) AS n FROM t").get()).toEqual({ n: 3 });
  await file.close();
});

test("Maintenance.checkpoint() and closeLast() do not let all others wait for one that reads for long", async () => {
  await using folder = new Fixture();
  const file = await openFile(folder);
  await file.prepareWrites();
  const other = folder.file("b.sqlite");
  await folder.maintenance.migrate(other, STEPS);
  const reader = openToRead(folder.file("a.sqlite"));
  reader.run("BEGIN");
  reader.query("SELECT count(*) FROM t").get();
  file.transaction(() => file.statement("INSERT INTO t VALUES (1)").run());
  const startedMs = performance.now();
  const restarted = file.checkpoint("restart");
  await folder.maintenance.prime(other);
  expect(await restarted).toBe(false);
  await file.close();
  // Each of the two would take as long where the worker were as patient with readers as with writers.
  expect(performance.now() - startedMs).toBeLessThan(10_000);
  reader.close();
  const again = SqliteFile.open(folder.file("a.sqlite"), folder.options);
  expect(again.statement("SELECT count(*) AS n FROM t").get()).toEqual({ n: 1 });
  await again.close();
});

test("SqliteFile.checkpointDue() asks for a passive checkpoint at 4 MB and a restart at 16 MB", async () => {
  await using folder = new Fixture();
  const file = await openFile(folder);
  await file.prepareWrites();
  const write = () =>
    file.transaction(() => file.statement("INSERT INTO t VALUES (randomblob(1000000))").run());
  expect(file.checkpointDue()).toBeUndefined();
  for (let i = 0; i < 5; i += 1) write();
  expect(file.checkpointDue()).toBe("passive");
  await file.checkpoint("passive");
  expect(file.checkpointDue()).toBeUndefined();
  for (let i = 0; i < 12; i += 1) write();
  expect(file.checkpointDue()).toBe("restart");
  await file.checkpoint("restart");
  expect(file.checkpointDue()).toBeUndefined();
  await file.close();
});

test("Maintenance.closeLast() empties and removes the WAL; the content is in the file", async () => {
  await using folder = new Fixture();
  const file = await openFile(folder);
  await file.prepareWrites();
  file.transaction(() => file.statement("INSERT INTO t VALUES (7)").run());
  await file.close();
  expect(existsSync(folder.file("a.sqlite-wal"))).toBe(false);
  const again = SqliteFile.open(folder.file("a.sqlite"), folder.options);
  expect(again.isDurable()).toBe(true);
  expect(again.statement("SELECT x FROM t").get()).toEqual({ x: 7 });
  await again.close();
  expect(existsSync(folder.file("a.sqlite-wal"))).toBe(false);
});

test("Maintenance.recover() moves what a crash left in the WAL into the file", async () => {
  await using folder = new Fixture();
  await folder.maintenance.migrate(folder.file("a.sqlite"), STEPS);
  const script = `
    const db = new (require("bun:sqlite").Database)(${JSON.stringify(folder.file("a.sqlite"))});
    db.run("PRAGMA wal_autocheckpoint = 0");
    db.run("INSERT INTO t VALUES (7)");
    process.kill(process.pid, "SIGKILL");
  `;
  Bun.spawnSync(["bun", "-e", script]);
  expect(existsSync(folder.file("a.sqlite-wal"))).toBe(true);
  await folder.maintenance.recover(folder.file("a.sqlite"));
  expect(existsSync(folder.file("a.sqlite-wal"))).toBe(false);
  const file = SqliteFile.open(folder.file("a.sqlite"), folder.options);
  expect(file.statement("SELECT x FROM t").get()).toEqual({ x: 7 });
  await file.close();
});

test("Maintenance answers a failed operation with a KithError and goes on", async () => {
  await using folder = new Fixture();
  const failure = await folder.maintenance.prime(folder.file("none.sqlite")).catch((error) => error);
  expect(failure).toMatchObject({ code: "storage_damaged" });
  const file = await openFile(folder);
  await file.prepareWrites();
  await file.close();
  expect(folder.fatal).toEqual([]);
});
