import { expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Fixture } from "./_fixture.ts";
import { REPO_MIGRATIONS } from "./_repo_schema.ts";
import { migrate } from "./migrations.ts";
import { StillBlobFolder, StillRepos } from "./still_folders.ts";

const DID = "did:plc:stillfolders";

function openRepos(folder: Fixture): StillRepos {
  const tmp = folder.file("tmp");
  mkdirSync(tmp);
  return new StillRepos({ folder: folder.file("repos"), tmp, onFatal: folder.onFatal });
}

test("StillRepos.upToDate() reads a file of an older version from a copy, which goes", async () => {
  await using folder = new Fixture();
  const repos = openRepos(folder);
  const path = repos.path(DID, 1);
  mkdirSync(dirname(path), { recursive: true });
  await migrate(path, { migrations: REPO_MIGRATIONS.slice(0, -1), maintenance: folder.maintenance });
  const before = readFileSync(path);
  const raw = repos.open(path);
  expect([raw.isCurrent, raw.isNewer]).toEqual([false, false]);
  const reads = await repos.upToDate(raw, { did: DID, generation: 1 });
  expect(reads.isCurrent).toBe(true);
  expect(reads.meta()).toMatchObject({ status: "active", settled: "" });
  expect(reads.file.path).not.toBe(path);
  reads.close();
  expect(readFileSync(path)).toEqual(before);
  expect(readdirSync(folder.file("tmp"))).toEqual([]);
  await repos.close();
});

test("StillRepos.files() has every file but those that SQLite keeps beside one", async () => {
  await using folder = new Fixture();
  const repos = openRepos(folder);
  const shard = join(folder.file("repos"), "ab");
  mkdirSync(shard, { recursive: true });
  const names = ["a.1.sqlite", "a.1.sqlite-wal", "a.1.sqlite-shm", "b.2.sqlite-wal", "c.1.sqlite.before-9"];
  for (const name of names) writeFileSync(join(shard, name), "");
  writeFileSync(join(folder.file("repos"), "read.me"), "");
  const found: string[] = [];
  for await (const path of repos.files()) found.push(path.slice(folder.file("repos").length + 1));
  expect(found.sort()).toEqual(["ab/a.1.sqlite", "ab/b.2.sqlite-wal", "ab/c.1.sqlite.before-9", "read.me"]);
});

test("StillBlobFolder tells what is of no account, and what has no CID for a name", async () => {
  await using folder = new Fixture();
  for (const name of ["temp", "quarantine/did_plc_gone", "did_plc_stillfolders", "did_plc_nobody"])
    mkdirSync(folder.file(name), { recursive: true });
  writeFileSync(folder.file("did_plc_stillfolders/notes.txt"), "");
  const blobs = new StillBlobFolder(folder.path);
  const all = async (paths: AsyncIterable<string>) => {
    const found: string[] = [];
    for await (const path of paths) found.push(path.slice(folder.path.length + 1));
    return found.sort();
  };
  expect(await all(blobs.unowned((name) => name === "did_plc_stillfolders"))).toEqual([
    "did_plc_nobody",
    "quarantine/did_plc_gone",
  ]);
  expect(await all(blobs.nameless(DID))).toEqual(["did_plc_stillfolders/notes.txt"]);
});
