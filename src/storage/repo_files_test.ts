import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { cidOfRaw } from "../atproto/mod.ts";
import { Fixture } from "./_fixture.ts";
import { closeRead, openToRead } from "./_open_to_read.ts";
import { REPO_MIGRATIONS } from "./_repo_schema.ts";
import { migrate } from "./migrations.ts";
import { RepoFiles, safeDidName } from "./repo_files.ts";

const DID = "did:plc:abcdefghijklmnopqrstuvwx";
/** Steps of the schema before records knew their block. */
const BEFORE_RECORD_BLOCK = 8;

function filesIn(folder: Fixture): RepoFiles {
  return new RepoFiles({ folder: folder.path, ...folder.options });
}

test("safeDidName() keeps plain DIDs readable and hashes what a file system may fold or refuse", () => {
  expect(safeDidName(DID)).toBe("did_plc_abcdefghijklmnopqrstuvwx");
  expect(safeDidName("did:web:pds.example")).toBe("did_web_pds.example");
  const odd = ["did:web:a_b", "did:web:A", "did:web:a%3A1", `did:web:${"a".repeat(200)}`, "did:web:../x"];
  for (const did of odd) expect(safeDidName(did)).toMatch(/^hash_[0-9a-f]{48}$/);
  expect(new Set(odd.map(safeDidName)).size).toBe(odd.length);
});

test("RepoFiles.create() makes a complete file of mode 0600 and may be repeated", async () => {
  await using folder = new Fixture();
  const files = filesIn(folder);
  expect(files.exists(DID, 1)).toBe(false);
  await Promise.all([files.create(DID, 1), files.create("did:plc:other", 2)]);
  const path = files.path(DID, 1);
  expect(basename(path)).toBe("did_plc_abcdefghijklmnopqrstuvwx.1.sqlite");
  expect(basename(dirname(path))).toMatch(/^[0-9a-f]{2}$/);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  const { ino } = statSync(path);
  await files.create(DID, 1);
  expect(statSync(path).ino).toBe(ino);
  const store = await files.open(DID, 1);
  expect(store.state()).toMatchObject({ head: null, status: "active", lastTid: null });
  await store.close();
  expect(readdirSync(folder.path).filter((name) => name.endsWith(".part"))).toEqual([]);
});

test("RepoFiles.open() refuses what is not there, what is another's, and what is no database", async () => {
  await using folder = new Fixture();
  const files = filesIn(folder);
  const codeOf = async (did: string, generation: number) =>
    (await files.open(did, generation).catch((error) => error)).code;
  expect(await codeOf(DID, 1)).toBe("repo_not_found");
  await files.create(DID, 1);
  const store = await files.open(DID, 1);
  await store.prepareWrites();
  const cid = cidOfRaw(new Uint8Array());
  const head = { commit: cid, data: cid, rev: "3aaaaaaaaaaaa" };
  const nothing = { newBlocks: [], removed: [], replaced: [], puts: [], deletes: [], events: [] };
  store.commit({ head, lastTid: head.rev, ...nothing, now: 0 });
  await store.close();
  await Bun.$`mkdir -p ${dirname(files.path(DID, 2))} && cp ${files.path(DID, 1)} ${files.path(DID, 2)}`.quiet();
  expect(await codeOf(DID, 2)).toBe("storage_damaged");
  writeFileSync(files.path(DID, 3), "x".repeat(10_000));
  expect(await codeOf(DID, 3)).toBe("storage_damaged");
});

test("RepoFiles.open() migrates an older file first, and refuses a newer one", async () => {
  await using folder = new Fixture();
  const files = filesIn(folder);
  await files.create(DID, 1);
  const db = new Database(files.path(DID, 1));
  db.run(`PRAGMA user_version = ${REPO_MIGRATIONS.length + 1}`);
  db.close(true);
  const error = await files.open(DID, 1).catch((cause) => cause);
  expect(error).toMatchObject({ code: "data_folder_refused" });
});

test("RepoFiles.open() finds the blocks of records that an older version has written", async () => {
  await using folder = new Fixture();
  const files = filesIn(folder);
  const path = files.path(DID, 1);
  mkdirSync(dirname(path));
  const migrations = REPO_MIGRATIONS.slice(0, BEFORE_RECORD_BLOCK);
  await migrate(path, { migrations, maintenance: folder.maintenance });
  const rows = ["a", "b", "c"].map((rkey, at) => ({
    rkey,
    cid: cidOfRaw(Uint8Array.of(at)).bytes,
    bytes: Uint8Array.of(at),
  }));
  const db = new Database(path);
  for (const { cid, bytes } of rows.toReversed()) {
    db.run("INSERT INTO block (cid, rev, bytes) VALUES (?, 'r', ?)", [cid, bytes]);
  }
  for (const { rkey, cid } of rows) {
    db.run("INSERT INTO record (collection, rkey, cid, rev) VALUES ('x.y.z', ?, ?, 'r')", [rkey, cid]);
  }
  db.close(true);
  const store = await files.open(DID, 1);
  expect(store.listRecords({ collection: "x.y.z", limit: 9, reverse: true })).toEqual(rows);
  expect(store.shownRecord("x.y.z", "b")?.bytes).toEqual(Uint8Array.of(1));
  await store.close();
});

test("RepoFiles.recover() finds what a killed process had committed, and remove() leaves nothing", async () => {
  await using folder = new Fixture();
  const files = filesIn(folder);
  await files.create(DID, 1);
  const script = `
    const { RepoFiles, Maintenance } = await import(${JSON.stringify(join(import.meta.dir, "mod.ts"))});
    const onFatal = (error) => { console.error(error); process.exit(1); };
    const maintenance = Maintenance.start({ onFatal });
    const files = new RepoFiles({ folder: ${JSON.stringify(folder.path)}, maintenance, onFatal });
    const store = await files.open(${JSON.stringify(DID)}, 1);
    await store.prepareWrites();
    store.setStatus({ status: "suspended", ownerStatus: "active", takedownRef: null, lastTid: "3aaaaaaaaaaaa", events: [] });
    await store.durable();
    process.kill(process.pid, "SIGKILL");
  `;
  const run = Bun.spawnSync(["bun", "-e", script], { stderr: "pipe" });
  expect(run.stderr.toString()).toBe("");
  const path = files.path(DID, 1);
  expect(existsSync(`${path}-wal`)).toBe(true);
  const store = await files.recover(DID, 1);
  expect(store.state()).toMatchObject({ status: "suspended", lastTid: "3aaaaaaaaaaaa" });
  expect(store.walBytes()).toBe(0);
  await store.close();
  writeFileSync(`${path}.before-1`, "");
  await files.create(DID, 11);
  await files.remove(DID, 1);
  await files.remove(DID, 1);
  expect(readdirSync(dirname(path))).toEqual([basename(files.path(DID, 11))]);
});

test("RepoFiles.remove() and a backup that reads the file meanwhile leave nothing", async () => {
  await using folder = new Fixture();
  const files = filesIn(folder);
  await files.create(DID, 1);
  const path = files.path(DID, 1);
  const db = openToRead(path);
  db.query("SELECT count(*) FROM meta").get();
  await files.remove(DID, 1);
  expect(readdirSync(dirname(path))).toEqual([]);
  // As where the backup had just found the file there, and made its log after that was looked for.
  writeFileSync(`${path}-wal`, "");
  closeRead(db, path);
  expect(readdirSync(dirname(path))).toEqual([]);
  // What was moved with its log, one after the other.
  writeFileSync(`${path}-wal`, "commits");
  closeRead(db, path);
  expect(readdirSync(dirname(path))).toEqual([`${basename(path)}-wal`]);
});
