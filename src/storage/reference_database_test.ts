import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Fixture } from "./_fixture.ts";
import { ReferenceDatabase } from "./reference_database.ts";

/** A database as a stopped program leaves it, and as a killed one does, in a folder of its own. */
function leave(folder: Fixture, how: "stopped" | "killed"): { path: string; scratch: string; place: string } {
  const [made, place, scratch] = [folder.file("made"), folder.file("place"), folder.file("scratch")];
  for (const each of [made, place, scratch]) mkdirSync(each);
  const db = new Database(join(made, "a #1.sqlite"), { create: true });
  db.run("PRAGMA journal_mode = WAL");
  db.run("CREATE TABLE kysely_migration (name TEXT)");
  db.run("INSERT INTO kysely_migration VALUES ('002'), ('001')");
  if (how === "stopped") db.close();
  cpSync(made, place, { recursive: true });
  if (how === "killed") db.close();
  return { path: join(place, "a #1.sqlite"), scratch, place };
}

function contentOf(place: string): Record<string, string> {
  return Object.fromEntries(readdirSync(place).map((name) => [name, readFileSync(join(place, name), "hex")]));
}

test.each(["stopped", "killed"] as const)(
  "ReferenceDatabase.open() reads what a %s program has left, and changes nothing of it",
  async (how) => {
    await using folder = new Fixture();
    const { path, scratch, place } = leave(folder, how);
    const before = contentOf(place);
    expect(Object.keys(before).length).toBe(how === "stopped" ? 1 : 3);
    {
      await using db = await ReferenceDatabase.open(path, { scratch });
      expect(db.migrations()).toEqual(["001", "002"]);
      expect([db.has("kysely_migration"), db.has("other")]).toEqual([true, false]);
      const nothing = () => db.all("SELECT x FROM nowhere");
      expect(nothing).toThrow("no such table");
      expect(nothing).toThrow(expect.objectContaining({ code: "storage_damaged" }));
      expect(contentOf(place)).toEqual(before);
    }
    expect(contentOf(place)).toEqual(before);
    expect(readdirSync(scratch)).toEqual([]);
  },
);

test.each([
  ["what is not there", undefined, "it is not there"],
  ["what is no database", "no database at all".repeat(500), "not a database"],
] as const)("ReferenceDatabase.open() refuses %s", async (_what, content, words) => {
  await using folder = new Fixture();
  const path = folder.file("x.sqlite");
  if (content !== undefined) writeFileSync(path, content);
  const opened = ReferenceDatabase.open(path, { scratch: folder.path });
  await expect(opened).rejects.toMatchObject({
    code: "storage_damaged",
    message: expect.stringContaining(words),
  });
});
