import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { copyFileSync, existsSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import {
  type Cid,
  cidFromBytes,
  cidKey,
  cidOfRaw,
  cidToString,
  exportOrder,
  type Write,
} from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import { Fixture } from "./_fixture.ts";
import type { RepoExport } from "./_repo_export.ts";
import { COLLECTION, DID, Repo, record } from "./_repo_fixture.ts";
import { TAIL_COMMITS_MAX } from "./_repo_tail.ts";
import { SqliteFile } from "./_sqlite_file.ts";
import type { Maintenance } from "./maintenance.ts";
import { RepoFiles } from "./repo_files.ts";
import { RepoStore } from "./repo_store.ts";

const LIKE = "app.bsky.feed.like";

function keysIn(source: RepoExport): string[] {
  const keys: string[] = [];
  for (let next = source.next(99); next; next = source.next(99))
    keys.push(...next.map(({ cid }) => cidKey(cidFromBytes(cid))));
  return keys;
}

/** The blocks of an export of all, sorted. */
function exported(store: RepoStore): string[] {
  const source = store.openExport();
  try {
    return keysIn(source).sort();
  } finally {
    source.close();
  }
}

/** Everything that can be read of a repo, the tail where it may be looked at first. */
function contentOf(store: RepoStore, rkeys: readonly string[]): unknown {
  const early = rkeys.map((rkey) => [store.shownRecord(COLLECTION, rkey), store.recordCid(LIKE, rkey)]);
  const liked = rkeys.map((rkey) => store.recordWithSubject(LIKE, `at://${rkey}`));
  const { head } = store.state();
  const tree = [...exportOrder(head!, store)].map(({ cid }) => cidKey(cid)).sort();
  expect(exported(store)).toEqual(tree);
  return {
    ...store.state(),
    early,
    liked,
    tree,
    records: store.listRecords({ collection: COLLECTION, limit: 99 }),
    likes: store.listRecords({ collection: LIKE, limit: 99 }),
    newer: store.recordsSince(head!.rev, { limit: 9 }),
    counts: store.counts(),
    blobs: store.listBlobs({ limit: 99 }).map(cidToString),
    unused: store.temporaryBlobs(999).map(cidToString),
  };
}

/** The store as a crash at this moment would leave it, opened again. */
async function crashed(repo: Repo, folder: Fixture, name: string): Promise<RepoStore> {
  const files = new RepoFiles({ folder: folder.file(name), ...folder.options });
  const to = files.path(DID, 1);
  mkdirSync(dirname(to), { recursive: true });
  for (const suffix of ["", "-wal"]) {
    const from = `${repo.store.fileForTests.path}${suffix}`;
    if (existsSync(from)) copyFileSync(from, `${to}${suffix}`);
  }
  return await files.recover(DID, 1);
}

/** The same repo twice: one with a tail, one whose tables have each commit at once. */
async function twins(folder: Fixture): Promise<[Repo, Repo]> {
  for (const name of ["a", "b"]) mkdirSync(folder.file(name), { recursive: true });
  const open = async (name: string): Promise<Repo> => {
    const files = new RepoFiles({ folder: join(folder.path, name), ...folder.options });
    await files.create(DID, 1);
    const store = await files.open(DID, 1);
    await store.prepareWrites();
    return new Repo(store);
  };
  return [await open("a"), await open("b")];
}

test("RepoStore answers with commits in its tail as it does with them in its tables, also after a crash", async () => {
  await using folder = new Fixture();
  const [repo, plain] = await twins(folder);
  let random = 11;
  const next = (n: number) => {
    random = (random * 48271) % 2147483647;
    return random % n;
  };
  const rkeys = Array.from({ length: 14 }, (_, at) => `k${at}`);
  const blobs = [1, 2, 3].map((byte) => cidOfRaw(Uint8Array.of(byte)));
  const writeBoth = (writes: Write[], more: { blobs?: Cid[]; subject?: string }) => {
    const [one, two] = [repo.write(writes, more), plain.write(writes, more)];
    plain.store.settle();
    expect(one.unreferenced).toEqual(two.unreferenced);
  };
  for (const { store } of [repo, plain]) {
    for (const cid of blobs) store.putBlob({ cid, mimeType: "image/png", size: 1, createdAt: 1 });
  }
  for (let step = 0; step < 240; step += 1) {
    const rkey = rkeys[next(rkeys.length)] ?? "";
    const collection = next(4) === 0 ? LIKE : COLLECTION;
    const path = `${collection}/${rkey}`;
    // Few texts, so that many records share a block, and trees come back to what they were.
    const block = record(`text ${next(4)}`);
    const subject = collection === LIKE ? `at://${rkeys[next(3)]}` : undefined;
    const there = plain.store.recordCid(collection, rkey);
    expect(repo.store.recordCid(collection, rkey)).toEqual(there);
    const free = blobs.filter((cid) => plain.store.blob(cid));
    const more = { subject, blobs: next(6) === 0 ? free.slice(0, 1) : [] };
    if (!there) writeBoth([{ action: "create", path, record: block }], more);
    else if (next(2) === 0) writeBoth([{ action: "update", path, record: block }], more);
    else writeBoth([{ action: "delete", path }], {});
    if (next(20) === 0) {
      const again = await crashed(repo, folder, `crash${step}`);
      expect(contentOf(again, rkeys)).toEqual(contentOf(plain.store, rkeys));
      await again.close();
    }
    if (next(12) === 0) expect(contentOf(repo.store, rkeys)).toEqual(contentOf(plain.store, rkeys));
    const shared = record(`text ${next(4)}`).cid;
    if (next(5) === 0) expect(repo.store.get(shared)).toEqual(plain.store.get(shared));
  }
  expect(contentOf(repo.store, rkeys)).toEqual(contentOf(plain.store, rkeys));
  expect(folder.fatal).toEqual([]);
  await repo.store.close();
  await plain.store.close();
}, 30_000);

test("RepoStore knows which record of its tail has a subject where another path has got its block", async () => {
  await using folder = new Fixture();
  const repo = await Repo.open(folder);
  const { store } = repo;
  const like = (action: "create" | "update", rkey: string, text = "one"): Write => ({
    action,
    path: `${LIKE}/${rkey}`,
    record: record(text),
  });
  repo.write([]);
  repo.write([like("create", "c")], { subject: "at://a" });
  store.settle();
  repo.write([{ action: "delete", path: `${LIKE}/c` }, like("create", "b")], { subject: "at://a" });
  expect([store.recordWithSubject(LIKE, "at://a"), store.hasTail]).toEqual(["b", false]);
  repo.write([like("update", "b", "two"), like("create", "a")], { subject: "at://b" });
  expect(store.recordWithSubject(LIKE, "at://a")).toBeUndefined();
  await store.close();
});

test("RepoStore keeps its tail short, and empties it after a while and when it closes", async () => {
  await using folder = new Fixture();
  const repo = await Repo.open(folder);
  const { store } = repo;
  const inTables = () =>
    store.fileForTests.db.query<{ n: number }, []>("SELECT count(*) AS n FROM record").get()?.n;
  repo.write([]);
  repo.create("a", "one");
  expect([inTables(), store.hasTail]).toEqual([0, true]);
  while (store.hasTail) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(inTables()).toBe(1);
  for (let at = 0; at < TAIL_COMMITS_MAX + 1; at += 1) repo.create(`k${at}`, `text ${at}`);
  expect(inTables()).toBe(1 + TAIL_COMMITS_MAX);
  await store.close();
  const files = new RepoFiles({ folder: folder.path, ...folder.options });
  const again = await files.open(DID, 1);
  expect([again.hasTail, again.recordCount()]).toEqual([false, TAIL_COMMITS_MAX + 2]);
  await again.close();
});

test("RepoStore forgets pending events of its tail only when the tables have what is in them", async () => {
  await using folder = new Fixture();
  const repo = await Repo.open(folder);
  const { store } = repo;
  repo.write([]);
  const { rev } = repo.create("a", "one").head;
  repo.create("b", "two", { tx: { forgetPendingUpTo: rev } });
  store.appendEvents({ lastTid: repo.tid(), events: [], forgetPendingUpTo: rev });
  expect(store.pendingEvents().length).toBe(3);
  const again = await crashed(repo, folder, "crash");
  expect(again.recordCount()).toBe(2);
  await again.close();
  store.settle();
  expect(store.pendingEvents().length).toBe(1);
  await store.close();
});

test("RepoStore reads what is in its tail on a full disk, and settles when there is room", async () => {
  await using folder = new Fixture();
  const repo = await Repo.open(folder);
  const { store } = repo;
  repo.write([]);
  repo.create("a", "one");
  repo.create("b", "two");
  repo.remove("a");
  const file = store.fileForTests;
  // As a COMMIT that finds no room for the frames of its pages.
  const full = () => {
    throw new KithError("storage_full", "Could not write: the disk is full");
  };
  const transaction = file.transaction.bind(file);
  Object.assign(file, { transaction: full });
  const rkeys = () => store.listRecords({ collection: COLLECTION, limit: 9 }).map(({ rkey }) => rkey);
  expect([rkeys(), rkeys(), store.recordCount()]).toEqual([["b"], ["b"], 1]);
  expect(store.get(record("one").cid)).toBeUndefined();
  const { head } = store.state();
  const tree = [...exportOrder(head!, store)].map(({ cid }) => cidKey(cid)).sort();
  expect(exported(store)).toEqual(tree);
  // One that is being read while there is room again.
  const reading = store.openExport();
  const commit = reading.next(1)?.map(({ cid }) => cidKey(cidFromBytes(cid))) ?? [];
  expect([store.hasTail, store.pendingEvents().length]).toEqual([true, 4]);
  expect(() => repo.create("c", "three")).toThrow(expect.objectContaining({ code: "storage_full" }));
  // It takes no room, and gives some.
  expect(await store.checkpoint("restart")).toBe(true);
  expect(rkeys()).toEqual(["b"]);
  Object.assign(file, { transaction });
  expect([rkeys(), store.hasTail]).toEqual([["b"], false]);
  repo.create("d", "four");
  expect([...commit, ...keysIn(reading)].sort()).toEqual(tree);
  reading.close();
  repo.remove("d");
  while (store.hasTail) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(rkeys()).toEqual(["b"]);
  await store.close();
});

test("RepoFiles.open() gives a repo to read whose tail finds no room on the disk, and settles it later", async () => {
  await using folder = new Fixture();
  const repo = await Repo.open(folder);
  repo.write([]);
  repo.create("a", "one");
  const name = "full";
  const files = new RepoFiles({ folder: folder.file(name), ...folder.options });
  const to = files.path(DID, 1);
  mkdirSync(dirname(to), { recursive: true });
  for (const suffix of ["", "-wal"])
    copyFileSync(`${repo.store.fileForTests.path}${suffix}`, `${to}${suffix}`);
  let isFull = true;
  const { maintenance } = folder;
  const onFullDisk = {
    prime: async (path: string) => {
      if (isFull) throw new KithError("storage_full", "Could not write: the disk is full");
      await maintenance.prime(path);
    },
    closeLast: (path: string, db: Database) => maintenance.closeLast(path, db),
  } as unknown as Maintenance;
  const full = new RepoFiles({ folder: folder.file(name), ...folder.options, maintenance: onFullDisk });
  const store = await full.open(DID, 1);
  expect([store.hasTail, store.recordCount(), store.get(record("one").cid) !== undefined]).toEqual([
    true,
    1,
    true,
  ]);
  expect(exported(store)).toEqual(exported(repo.store));
  isFull = false;
  await store.prepareWrites();
  expect([store.recordCount(), store.hasTail]).toEqual([1, false]);
  await store.close();
  await repo.store.close();
});

test("RepoStore.clearStaging() settles before the worker has the file to itself", async () => {
  await using folder = new Fixture();
  const lock = (path: string) => {
    const db = new Database(path);
    db.run("BEGIN IMMEDIATE");
    return db;
  };
  const { maintenance } = folder;
  let seen: number | undefined;
  const slow = {
    prime: (path: string) => maintenance.prime(path),
    clear: async (path: string) => {
      const db = lock(path);
      seen = store.recordCount();
      db.close();
    },
    closeLast: (path: string, db: Database) => maintenance.closeLast(path, db),
  } as unknown as Maintenance;
  const files = new RepoFiles({ folder: folder.path, ...folder.options });
  await files.create(DID, 1);
  const file = SqliteFile.open(files.path(DID, 1), { ...folder.options, maintenance: slow });
  const store = RepoStore.open(file, { did: DID, generation: 1 });
  await store.prepareWrites();
  const repo = new Repo(store);
  repo.write([]);
  repo.create("a", "one");
  file.db.run("INSERT INTO staged_block (cid, rev, bytes) VALUES (x'00', 'r', x'00')");
  await store.clearStaging();
  expect(seen).toBe(1);
  await store.close();
});
