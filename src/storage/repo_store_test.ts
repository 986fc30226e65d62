import { expect, test } from "bun:test";
import {
  type Block,
  type CarEntry,
  cidFromBytes,
  cidKey,
  cidOfRaw,
  cidToString,
  exportOrder,
  MemoryBlocks,
  type Write,
} from "../atproto/mod.ts";
import { Fixture } from "./_fixture.ts";
import { COLLECTION, DID, Repo, record } from "./_repo_fixture.ts";
import { RepoFiles } from "./repo_files.ts";
import type { RepoExport } from "./repo_store.ts";

function drain(source: RepoExport, maxBytes = 2000): Block[] {
  const blocks: Block[] = [];
  for (let next = source.next(maxBytes); next; next = source.next(maxBytes)) blocks.push(...blocksOf(next));
  source.close();
  return blocks;
}

const blocksOf = (entries: readonly CarEntry[] | null): Block[] =>
  (entries ?? []).map(({ cid, bytes }) => ({ cid: cidFromBytes(cid), bytes }));

const keysOf = (blocks: Iterable<Block>) => [...blocks].map((block) => cidKey(block.cid)).sort();
const cidsInFile = (repo: Repo) => {
  const open = repo.store.openExport();
  return keysOf(drain(open));
};
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

test("RepoStore.commit() keeps records, tree, head and the pending event in one transaction", async () => {
  await using folder = new Fixture();
  const repo = await Repo.open(folder);
  expect(repo.store.state()).toMatchObject({ head: null, status: "active", lastTid: null });
  repo.write([]);
  const { head } = repo.create("a", "one");
  const state = repo.store.state();
  expect(state.head).toEqual(head);
  expect(state.lastTid).toBe(head.rev);
  expect(repo.store.shownRecord(COLLECTION, "a")).toEqual(record("one"));
  expect(repo.store.recordCid(COLLECTION, "b")).toBeUndefined();
  expect(repo.store.recordCount()).toBe(1);
  expect(repo.store.pendingEvents().map((event) => event.key)[1]).toBe(head.rev);
  expect(repo.store.pendingEvents()[0]?.kind).toBe("commit");
  await repo.store.durable();
  expect(repo.store.isDurable()).toBe(true);
  await repo.store.close();
});

test("RepoStore holds exactly the blocks of the newest tree after random writes", async () => {
  await using folder = new Fixture();
  const repo = await Repo.open(folder);
  let random = 7;
  const next = (n: number) => {
    random = (random * 48271) % 2147483647;
    return random % n;
  };
  const written = new Map<string, Block>();
  for (let step = 0; step < 150; step += 1) {
    const rkey = `k${next(25)}`;
    // few texts, so that many records share a block
    const block = record(`text ${next(4)}`);
    const path = `${COLLECTION}/${rkey}`;
    if (!repo.store.recordCid(COLLECTION, rkey)) repo.write([{ action: "create", path, record: block }]);
    else if (next(2) === 0) repo.write([{ action: "update", path, record: block }]);
    else {
      repo.write([{ action: "delete", path }]);
      written.delete(rkey);
      continue;
    }
    written.set(rkey, block);
  }
  const rows = repo.store.listRecords({ collection: COLLECTION, limit: 100, reverse: true });
  const expected = [...written].sort().map(([rkey, { cid, bytes }]) => ({ rkey, cid: cid.bytes, bytes }));
  expect(rows).toEqual(expected);
  for (const [rkey, block] of written) expect(repo.store.shownRecord(COLLECTION, rkey)).toEqual(block);
  const { head } = repo.store.state();
  expect(cidsInFile(repo)).toEqual(keysOf(exportOrder(head!, repo.store)));
  await repo.store.close();
});

test("RepoStore.commit() keeps a removed record that another path still has", async () => {
  await using folder = new Fixture();
  const repo = await Repo.open(folder);
  repo.create("a", "same");
  repo.create("b", "same");
  repo.remove("a");
  expect(repo.store.shownRecord(COLLECTION, "b")?.bytes).toEqual(record("same").bytes);
  repo.write([
    { action: "delete", path: `${COLLECTION}/b` },
    { action: "create", path: `${COLLECTION}/c`, record: record("same") },
  ]);
  expect(repo.store.get(record("same").cid)).toEqual(record("same").bytes);
  repo.remove("c");
  expect(repo.store.get(record("same").cid)).toBeUndefined();
  await repo.store.close();
});

test("RepoStore.listRecords() pages newest first, reverse oldest first; collections() lists names", async () => {
  await using folder = new Fixture();
  const repo = await Repo.open(folder);
  for (const rkey of ["a", "b", "c", "d"]) repo.create(rkey, rkey);
  repo.write([{ action: "create", path: "app.bsky.graph.list/x", record: record("list") }]);
  const rkeys = (options: object) =>
    repo.store.listRecords({ collection: COLLECTION, limit: 2, ...options }).map((row) => row.rkey);
  expect(rkeys({})).toEqual(["d", "c"]);
  expect(rkeys({ cursor: "c" })).toEqual(["b", "a"]);
  expect(rkeys({ reverse: true })).toEqual(["a", "b"]);
  expect(rkeys({ reverse: true, cursor: "b" })).toEqual(["c", "d"]);
  expect(repo.store.collections()).toEqual([COLLECTION, "app.bsky.graph.list"]);
  await repo.store.close();
});

test("RepoStore.recordWithSubject() finds the record until it is deleted or changed", async () => {
  await using folder = new Fixture();
  const repo = await Repo.open(folder);
  repo.create("a", "like", { subject: "at://x" });
  expect(repo.store.recordWithSubject(COLLECTION, "at://x")).toBe("a");
  expect(repo.store.recordWithSubject("app.bsky.feed.repost", "at://x")).toBeUndefined();
  repo.remove("a");
  expect(repo.store.recordWithSubject(COLLECTION, "at://x")).toBeUndefined();
  await repo.store.close();
});

test("RepoStore.putBlob() takes the newest type until a record refers to the blob, and tells the one it has", async () => {
  await using folder = new Fixture();
  const repo = await Repo.open(folder);
  const blob = { cid: cidOfRaw(Uint8Array.of(1)), size: 1, createdAt: 100 };
  expect(repo.store.putBlob({ ...blob, mimeType: "text/plain" })).toBe("text/plain");
  expect(repo.store.putBlob({ ...blob, mimeType: "text/vtt" })).toBe("text/vtt");
  expect(repo.store.blob(blob.cid)?.mimeType).toBe("text/vtt");
  repo.create("a", "x", { blobs: [blob.cid] });
  expect(repo.store.putBlob({ ...blob, mimeType: "text/plain" })).toBe("text/vtt");
  expect(repo.store.blob(blob.cid)?.mimeType).toBe("text/vtt");
  await repo.store.close();
});

test("RepoStore.blobBytes() is the sum of the blobs that are here, whatever adds or removes them", async () => {
  await using folder = new Fixture();
  const repo = await Repo.open(folder);
  const row = (byte: number) => ({
    cid: cidOfRaw(Uint8Array.of(byte)),
    mimeType: "image/png",
    size: byte * 100,
    createdAt: byte,
  });
  expect([repo.store.blobBytes(), repo.store.oldestTemporaryBlob()]).toEqual([0, undefined]);
  for (const byte of [1, 2, 3]) repo.store.putBlob(row(byte));
  repo.store.putBlob({ ...row(2), mimeType: "text/plain" });
  expect([repo.store.blobBytes(), repo.store.oldestTemporaryBlob()]).toEqual([600, 1]);
  repo.create("a", "x", { blobs: [row(1).cid] });
  expect([repo.store.blobBytes(), repo.store.oldestTemporaryBlob()]).toEqual([600, 2]);
  expect(repo.store.temporaryBlobs(9, { limit: 1 }).length).toBe(1);
  repo.remove("a");
  expect(repo.store.blobBytes()).toBe(500);
  expect(repo.store.deleteBlobs([row(2).cid, row(3).cid]).length).toBe(2);
  expect([repo.store.blobBytes(), repo.store.oldestTemporaryBlob()]).toEqual([0, undefined]);
  await repo.store.close();
});

test("RepoStore.commit() returns blobs with their last reference, and refuses one without a row", async () => {
  await using folder = new Fixture();
  const repo = await Repo.open(folder);
  const [one, two] = [cidOfRaw(Uint8Array.of(1)), cidOfRaw(Uint8Array.of(2))];
  expect(() => repo.create("a", "x", { blobs: [one] })).toThrow(
    expect.objectContaining({ code: "blob_not_found" }),
  );
  expect(repo.store.state().head).toBeNull();
  for (const cid of [one, two]) {
    repo.store.putBlob({ cid, mimeType: "image/png", size: 1, createdAt: 100 });
  }
  expect(repo.store.temporaryBlobs(101).length).toBe(2);
  repo.create("a", "x", { blobs: [one, two] });
  const since = repo.create("b", "y", { blobs: [one] }).head.rev;
  expect(repo.store.listBlobs({ limit: 10 }).length).toBe(2);
  expect(repo.store.listBlobs({ limit: 10, since })).toEqual([]);
  expect(repo.store.temporaryBlobs(101)).toEqual([]);
  const [first] = repo.store.listBlobs({ limit: 1 });
  expect(repo.store.listBlobs({ limit: 9, cursor: cidToString(first!) }).length).toBe(1);
  expect(() => repo.store.listBlobs({ limit: 9, cursor: "x" })).toThrow("is no CID");
  // What others may read is not as long as what they have sent.
  const long = "x".repeat(10_000);
  expect(() => repo.store.listMissingBlobs({ limit: 9, cursor: long })).toThrow(`"${"x".repeat(64)}..."`);
  expect(repo.remove("a").unreferenced).toEqual([two]);
  expect(repo.store.blob(two)).toBeUndefined();
  expect(repo.store.deleteBlobs([one])).toEqual([]);
  const update: Write = { action: "update", path: `${COLLECTION}/b`, record: record("z") };
  expect(repo.write([update]).unreferenced).toEqual([one]);
  await repo.store.close();
});

test("RepoStore.setStatus(), appendEvents() and forgetPending() change events in order of key", async () => {
  await using folder = new Fixture();
  const repo = await Repo.open(folder);
  const keys = [repo.tid(), repo.tid(), repo.tid()];
  const [a = "", b = "", c = ""] = keys;
  const standing = { status: "takendown", ownerStatus: "deactivated", takedownRef: "ref" } as const;
  repo.store.setStatus({ ...standing, lastTid: a, events: [repo.event(a)] });
  repo.store.appendEvents({ lastTid: b, events: [repo.event(b)] });
  expect(repo.store.state()).toMatchObject({ head: null, ...standing, lastTid: b });
  repo.store.appendEvents({ lastTid: c, events: [repo.event(c)], forgetPendingUpTo: a });
  expect(repo.store.pendingEvents().map((event) => event.key)).toEqual([b, c]);
  repo.store.forgetPending(c);
  expect(repo.store.pendingEvents()).toEqual([]);
  await repo.store.close();
});

test("RepoStore.commit() refuses cleanly without room on the disk, and works once there is some", async () => {
  await using folder = new Fixture();
  const repo = await Repo.open(folder);
  repo.create("a", "one");
  const before = repo.store.state();
  const { db } = repo.store.fileForTests;
  const { page_count: pages } = db.query("PRAGMA page_count").get() as { page_count: number };
  db.run(`PRAGMA max_page_count = ${pages}`);
  const big = "x".repeat(200_000);
  expect(() => repo.create("b", big)).toThrow(expect.objectContaining({ code: "storage_full" }));
  expect(repo.store.state()).toEqual(before);
  expect(repo.store.pendingEvents().length).toBe(1);
  db.run("PRAGMA max_page_count = 1000000");
  repo.create("b", big);
  expect(repo.store.recordCount()).toBe(2);
  await repo.store.close();
});

test("RepoStore.openExport() gives the tree of its head, whatever is committed meanwhile", async () => {
  await using folder = new Fixture();
  const repo = await Repo.open(folder);
  for (let i = 0; i < 60; i += 1) repo.create(`k${i}`, `text ${i}`);
  const early = repo.store.openExport();
  repo.remove("k1");
  const expected = new Map<RepoExport, string[]>();
  const begin = () => {
    const source = repo.store.openExport();
    expected.set(source, keysOf(exportOrder(source.head, repo.store)));
    return source;
  };
  const first = begin();
  const firstBlocks = blocksOf([...(first.next(3000) ?? []), ...(first.next(3000) ?? [])]);
  // k1's record left the tree before `first` began and comes back: not in it
  repo.create("k1", "text 1");
  for (let i = 10; i < 40; i += 1) repo.remove(`k${i}`);
  const second = begin();
  for (let i = 10; i < 20; i += 1) repo.create(`k${i}`, `text ${i}`);
  for (let i = 100; i < 130; i += 1) repo.create(`k${i}`, `new ${i}`);
  expect(keysOf([...firstBlocks, ...drain(first)])).toEqual(expected.get(first)!);
  expect(keysOf(drain(second))).toEqual(expected.get(second)!);
  drain(early);
  while (cidsAreMarked(repo)) await turn();
  expect(cidsInFile(repo)).toEqual(keysOf(exportOrder(repo.store.state().head!, repo.store)));
  await repo.store.close();
});

test("RepoStore.openExport() goes on in a file that has rested since the step before", async () => {
  await using folder = new Fixture();
  const repo = await Repo.open(folder);
  for (let i = 0; i < 60; i += 1) repo.create(`k${i}`, `text ${i}`);
  const expected = keysOf(exportOrder(repo.store.state().head!, repo.store));
  const source = repo.store.openExport();
  const entries = [...(source.next(3000) ?? [])];
  for (let next = source.next(3000); next; next = source.next(3000)) {
    entries.push(...next);
    repo.store.fileForTests.rest();
  }
  expect(keysOf(blocksOf(entries))).toEqual(expected);
  source.close();
  await repo.store.close();
});

function cidsAreMarked(repo: Repo): boolean {
  const { db } = repo.store.fileForTests;
  return db.query("SELECT 1 FROM block WHERE removed <> 0").get() !== null;
}

test("RepoStore.openExport({since}) gives what is newer, and the commit first", async () => {
  await using folder = new Fixture();
  const repo = await Repo.open(folder);
  for (let i = 0; i < 20; i += 1) repo.create(`k${i}`, `text ${i}`);
  const since = repo.store.state().head!;
  const old = new MemoryBlocks(drain(repo.store.openExport()));
  const { head } = repo.create("zzz", "new");
  const blocks = drain(repo.store.openExport({ since: since.rev }));
  expect(blocks[0]?.cid).toEqual(head.commit);
  expect(blocks.length).toBeLessThan(old.size);
  old.add(blocks);
  expect([...exportOrder(head, old)].length).toBeGreaterThan(0);
  expect(drain(repo.store.openExport({ since: head.rev })).length).toBe(1);
  await repo.store.close();
});

test("RepoStore sweeps marked blocks that a crash left, and an open export dies with its store", async () => {
  await using folder = new Fixture();
  const repo = await Repo.open(folder);
  repo.create("a", "one");
  const source = repo.store.openExport();
  repo.remove("a");
  await repo.store.close();
  expect(() => source.next(1)).toThrow(expect.objectContaining({ code: "shutting_down" }));
  const files = new RepoFiles({ folder: folder.path, ...folder.options });
  const again = new Repo(await files.open(DID, 1));
  expect(cidsAreMarked(again)).toBe(true);
  expect(again.store.get(record("one").cid)).toBeUndefined();
  await again.store.prepareWrites();
  while (cidsAreMarked(again)) await turn();
  await again.store.close();
});

test("RepoExport.next() leaves no read transaction open: the log can be restarted between its steps", async () => {
  await using folder = new Fixture();
  const repo = await Repo.open(folder);
  for (let i = 0; i < 40; i += 1) repo.create(`k${i}`, `text ${i}`);
  const source = repo.store.openExport();
  const blocks = blocksOf(source.next(500));
  for (let next = source.next(500); next; next = source.next(500)) {
    blocks.push(...blocksOf(next));
    expect(await repo.store.checkpoint("restart")).toBe(true);
    repo.create(`later${blocks.length}`, "later");
  }
  source.close();
  expect(keysOf(blocks)).toEqual(keysOf(exportOrder(source.head, new MemoryBlocks(blocks))));
  await repo.store.close();
});

test("RepoExport.next() holds no more than it was asked for, over a repo many times that size", async () => {
  await using folder = new Fixture();
  const repo = await Repo.open(folder);
  for (let i = 0; i < 30; i += 1) {
    repo.write(
      Array.from({ length: 10 }, (_, j) => ({
        action: "create" as const,
        path: `${COLLECTION}/k${i}x${j}`,
        record: record(`${i} ${j} ${"x".repeat(50_000)}`),
      })),
    );
    if (repo.store.checkpointDue() === "restart") await repo.store.checkpoint("restart");
  }
  const source = repo.store.openExport();
  let [total, largest] = [0, 0];
  Bun.gc(true);
  const rss = process.memoryUsage().rss;
  for (let next = source.next(200_000); next; next = source.next(200_000)) {
    const bytes = next.reduce((sum, block) => sum + block.bytes.length, 0);
    [total, largest] = [total + bytes, Math.max(largest, bytes)];
  }
  source.close();
  Bun.gc(true);
  expect(total).toBeGreaterThan(15_000_000);
  expect(largest).toBeLessThanOrEqual(200_000);
  expect(process.memoryUsage().rss - rss).toBeLessThan(12_000_000);
  await repo.store.close();
});

test("RepoStore.putPreferences() replaces those of a namespace but the kept ones, in order", async () => {
  await using folder = new Fixture();
  const { store } = await Repo.open(folder);
  const names = (): string[] => store.preferences().map(({ name, value }) => `${name} ${value}`);
  const put = (namespace: string, kept: string[], ...all: [string, string][]): void =>
    store.putPreferences({ namespace, kept, preferences: all.map(([name, value]) => ({ name, value })) });
  expect(store.preferences()).toEqual([]);
  put("a.b", [], ["a.b.c#x", "1"], ["a.b", "2"], ["a.b.c#x", "3"]);
  put("a.bc", [], ["a.bc.d", "4"]);
  expect(names()).toEqual(["a.b.c#x 1", "a.b 2", "a.b.c#x 3", "a.bc.d 4"]);
  put("a.b", ["a.b"], ["a.b.e", "5"]);
  expect(names()).toEqual(["a.b 2", "a.bc.d 4", "a.b.e 5"]);
  put("a.b", []);
  expect(names()).toEqual(["a.bc.d 4"]);
  await store.durable();
  await store.close();
});

test("RepoStore.recordsSince() gives what is newer, newest first, and nothing where nothing is older", async () => {
  await using folder = new Fixture();
  const repo = await Repo.open(folder);
  const create = (rkey: string): string =>
    repo.write([{ action: "create", path: `${COLLECTION}/${rkey}`, record: record(rkey) }]).head.rev;
  const since = (rev: string, limit = 10): string[] =>
    repo.store.recordsSince(rev, { limit }).map(({ rkey, rev: own }) => `${rkey} ${own}`);
  const before = repo.tid();
  const [one, two, three] = [create("1"), create("2"), create("3")];
  expect(since(one)).toEqual([`3 ${three}`, `2 ${two}`]);
  expect(since(one, 1)).toEqual([`3 ${three}`]);
  expect(since(three)).toEqual([]);
  expect(since(before)).toEqual([]);
  await repo.store.close();
});

test("RepoStore.takedowns hides records and blobs by path and CID, whatever the owner does, until they are lifted", async () => {
  await using folder = new Fixture();
  const repo = await Repo.open(folder);
  const { takedowns } = repo.store;
  const blob = cidOfRaw(Uint8Array.of(1));
  repo.store.putBlob({ cid: blob, mimeType: "image/png", size: 1, createdAt: 100 });
  const { rev } = repo.create("a", "x", { blobs: [blob] }).head;
  repo.create("b", "y");
  const listed = () => repo.store.listRecords({ collection: COLLECTION, limit: 9 }).map(({ rkey }) => rkey);
  const takeDown = (rkey: string, ref: string | null) =>
    takedowns.apply({ kind: "record", collection: COLLECTION, rkey, cid: "bafyseen", ref });
  takeDown("b", "ref 1");
  const shown = () => ["a", "b"].map((rkey) => repo.store.shownRecord(COLLECTION, rkey));
  expect(repo.store.hasTail).toBe(true);
  expect(shown()).toEqual([record("x"), undefined]);
  expect([listed(), repo.store.recordsSince(rev, { limit: 9 })]).toEqual([["a"], []]);
  expect(shown()).toEqual([record("x"), undefined]);
  expect(takedowns.record(COLLECTION, "b")).toEqual({ cid: "bafyseen", ref: "ref 1" });
  expect(takedowns.record(COLLECTION, "a")).toBeUndefined();
  const { cid: y } = record("y");
  expect([takedowns.hidesBlock(y), takedowns.hidesBlock(record("x").cid)]).toEqual([true, false]);
  // The same content elsewhere is not meant.
  repo.create("c", "y");
  expect(takedowns.hidesBlock(y)).toBe(false);
  repo.remove("b");
  repo.create("b", "z");
  expect(listed()).toEqual(["c", "a"]);
  takeDown("b", null);
  expect(listed()).toEqual(["c", "b", "a"]);

  takedowns.apply({ kind: "blob", cid: blob, ref: "ref 2" });
  expect([takedowns.blob(blob), takedowns.blobs()]).toEqual(["ref 2", [blob]]);
  for (const since of [undefined, "2"]) {
    expect(repo.store.listBlobs({ limit: 9, since })).toEqual([]);
    expect(repo.store.listBlobs({ limit: 9, since, takenDownToo: true })).toEqual([blob]);
  }
  const again = { cid: blob, mimeType: "image/png", size: 1, createdAt: 100 };
  expect(() => repo.store.putBlob(again)).toThrow(expect.objectContaining({ code: "invalid_request" }));
  takedowns.apply({ kind: "blob", cid: blob, ref: null });
  expect(repo.store.listBlobs({ limit: 9 })).toEqual([blob]);
  expect(repo.store.putBlob(again)).toBe("image/png");
  await repo.store.close();
});
