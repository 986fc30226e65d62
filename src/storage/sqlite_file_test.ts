import { expect, test } from "bun:test";
import { join } from "node:path";
import { Fixture } from "./_fixture.ts";
import { SqliteFile } from "./_sqlite_file.ts";
import { openSqlite } from "./sqlite.ts";

/** Rounds in which both open and close the file: some thousand pairs are needed for one of them to fall between two looks of the other. */
const LIMIT_MS = 2_000;

/** What a backup reads in its worker, here in a process, over and over until it is killed. */
const READER = `
  const { openToRead } = await import(process.argv[1]);
  console.log("reads");
  for (;;) {
    const db = openToRead(process.argv[2]);
    db.query("SELECT count(*) FROM sqlite_schema").get();
    db.close();
  }`;

test("SqliteFile.open() does not mind that another closes the file at that moment, and removes its log", async () => {
  await using folder = new Fixture();
  const path = folder.file("a.sqlite");
  openSqlite(path, { create: true }).close();
  const reader = Bun.spawn(
    [process.execPath, "-e", READER, join(import.meta.dir, "_open_to_read.ts"), path],
    {
      stdout: "pipe",
    },
  );
  try {
    await reader.stdout.getReader().read();
    const started = performance.now();
    let opened = 0;
    while (performance.now() - started < LIMIT_MS) {
      SqliteFile.open(path, folder.options).abandon();
      opened += 1;
    }
    expect(opened).toBeGreaterThan(0);
    expect(reader.exitCode).toBeNull();
  } finally {
    reader.kill();
    await reader.exited;
  }
});
