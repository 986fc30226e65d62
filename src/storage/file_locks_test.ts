import { expect, test } from "bun:test";
import { Fixture } from "./_fixture.ts";
import { canSeeLocks, databaseUser } from "./file_locks.ts";

const SCRIPT = `
  import { Database } from "bun:sqlite";
  const [path, mode] = process.argv.slice(-2);
  const db = new Database(path, { create: true });
  db.run("PRAGMA journal_mode = " + mode);
  db.run("CREATE TABLE IF NOT EXISTS t (x)");
  if (mode === "DELETE") db.run("BEGIN IMMEDIATE");
  console.log("open");
  await new Promise(() => setInterval(() => {}, 1000));
`;

test.each(["WAL", "DELETE"])(
  "databaseUser() names the process that has a database open, in mode %s",
  async (mode) => {
    await using folder = new Fixture();
    expect(canSeeLocks()).toBe(process.platform === "linux");
    if (!canSeeLocks()) return;
    const path = folder.file("some.sqlite");
    expect(databaseUser(path)).toBeUndefined();
    const child = Bun.spawn([process.execPath, "-e", SCRIPT, "--", path, mode], {
      stdout: "pipe",
      stderr: "inherit",
    });
    await child.stdout.getReader().read();
    expect(databaseUser(path)).toBe(child.pid);
    child.kill("SIGKILL");
    await child.exited;
    expect(databaseUser(path)).toBeUndefined();
  },
);
