import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { waitFor } from "../../tests/wait.ts";
import { type Restable, RestingFiles } from "./_resting_files.ts";
import { SqliteFile } from "./_sqlite_file.ts";
import { openSqlite } from "./sqlite.ts";

/** Looks that must find a file unused. */
const LOOKS = 4;

class File implements Restable {
  isClosed = false;
  isUsed = true;
  rests = 0;
  takeUsed(): boolean {
    const { isUsed } = this;
    this.isUsed = false;
    return isUsed;
  }
  rest(): void {
    this.rests++;
  }
}

function look(files: RestingFiles, times: number): void {
  for (let time = 0; time < times; time++) files.look();
}

describe("RestingFiles", () => {
  test("lets a file rest once it was unused for some looks in a row", () => {
    const [files, file] = [new RestingFiles(), new File()];
    files.wake(file);
    look(files, LOOKS);
    expect({ rests: file.rests, awake: files.awakeCount }).toEqual({ rests: 0, awake: 1 });
    files.look();
    expect({ rests: file.rests, awake: files.awakeCount }).toEqual({ rests: 1, awake: 0 });
  });

  test("begins to count anew with each use", () => {
    const [files, file] = [new RestingFiles(), new File()];
    files.wake(file);
    look(files, LOOKS);
    file.isUsed = true;
    look(files, LOOKS);
    expect(file.rests).toBe(0);
    files.look();
    expect(file.rests).toBe(1);
  });

  test("leaves a closed file alone, and forgets it", () => {
    const [files, file] = [new RestingFiles(), new File()];
    files.wake(file);
    file.isClosed = true;
    look(files, LOOKS + 1);
    expect({ rests: file.rests, awake: files.awakeCount }).toEqual({ rests: 0, awake: 0 });
  });

  test("spreads many files over turns, and passes over one that is used meanwhile", async () => {
    const files = new RestingFiles();
    const all = Array.from({ length: 100 }, () => new File());
    for (const file of all) files.wake(file);
    look(files, LOOKS + 1);
    const last = all.at(-1) as File;
    last.isUsed = true;
    expect(all.filter(({ rests }) => rests > 0).length).toBeLessThan(50);
    await waitFor("all but one to rest", () => all.filter(({ rests }) => rests === 1).length === 99);
    expect({ rests: last.rests, awake: files.awakeCount }).toEqual({ rests: 0, awake: 1 });
  });
});

describe("SqliteFile.rest()", () => {
  const folder = mkdtempSync(join(tmpdir(), "kith-rest-"));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  test("gives the statements back, which come again with the next use", () => {
    const path = join(folder, "a.sqlite");
    const made = openSqlite(path, { create: true });
    made.run("CREATE TABLE a (b); INSERT INTO a VALUES (1), (2)");
    made.close();
    const unused = { onFatal: () => undefined, maintenance: undefined as never };
    const file = SqliteFile.open(path, unused);
    const count = () => file.statement<{ n: number }>("SELECT count(*) AS n FROM a").get()?.n;
    const held = file.statement("SELECT count(*) AS n FROM a");
    expect(count()).toBe(2);
    expect(file.takeUsed()).toBe(true);
    expect(file.takeUsed()).toBe(false);
    file.rest();
    expect(() => held.get()).toThrow();
    expect(count()).toBe(2);
    expect(file.takeUsed()).toBe(true);
    file.rest();
    file.abandon();
    expect(file.isClosed).toBe(true);
  });
});
