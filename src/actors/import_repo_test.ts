import { expect, test } from "bun:test";
import {
  type Block,
  buildTree,
  type Cid,
  cidFromBytes,
  cidKey,
  cidOfCbor,
  cidOfRaw,
  cidToString,
  encodeCar,
  encodeCbor,
  generatePrivateKey,
  type Head,
  MemoryBlocks,
  nextTid,
  readCar,
  type Signer,
  signCommit,
  signerFromPrivateKey,
  toCidLink,
  verifyRepoCar,
} from "../atproto/mod.ts";
import { Fixture } from "../storage/_fixture.ts";
import { RepoFiles, type RepoStore } from "../storage/mod.ts";
import { openBirth } from "./birth.ts";
import { CarExport } from "./export.ts";
import { type ImportOptions, importTask } from "./import_repo.ts";

const DID = "did:plc:wqgdnqlv2mwiio6pfchwtrff";
const NOW = Date.UTC(2026, 7, 1);
const key = (type: "k256" | "p256", fill: number) =>
  signerFromPrivateKey(type, generatePrivateKey(type, new Uint8Array(32).fill(fill)));
const OWN = key("k256", 1);
const OLD = key("p256", 2);
/** The key that the DID document named before that. */
const OLDEST = key("p256", 8);
const BLOB = cidOfRaw(Buffer.from("a picture"));

interface Incoming {
  readonly root: Cid;
  readonly data: Cid;
  readonly rev: string;
  readonly blocks: Block[];
}

function blockOf(value: unknown): Block {
  const bytes = encodeCbor(value);
  return { cid: cidOfCbor(bytes), bytes };
}

/** A repo of so many records (some equal, some with a blob), signed by its old key. */
function repoOf(
  count: number,
  options: { did?: string; signer?: Signer; rev?: string; odd?: Block } = {},
): Incoming {
  const { did = DID, signer = OLD, rev = nextTid(null, NOW * 1000 - 1_000_000, 9), odd } = options;
  const records = new Map<string, Block>();
  for (let i = 0; i < count; i++) {
    const image = { $type: "blob", ref: toCidLink(BLOB), mimeType: "image/png", size: 9 };
    const record = i % 10 === 3 ? { $type: "x.y.post", image } : { $type: "x.y.post", n: i % 150 };
    records.set(`x.y.post/k${i}`, blockOf(record));
  }
  if (count > 0)
    records.set("app.bsky.graph.follow/a", blockOf({ $type: "app.bsky.graph.follow", subject: "did:plc:x" }));
  if (odd) records.set("x.y.post/odd", odd);
  const paths = [...records].sort(([a], [b]) => (a < b ? -1 : 1));
  const { root: data, nodes } = buildTree(paths.map(([path, { cid }]) => [path, cid] as const));
  const unsigned = encodeCbor({ did, version: 3, data: toCidLink(data), rev, prev: null });
  const draft = {
    did,
    rev,
    since: null,
    prevData: null,
    data,
    ops: [],
    newBlocks: [],
    removed: [],
    replaced: [],
    proof: [],
  };
  const { commit } = signCommit({ ...draft, unsigned }, signer);
  const distinct = new MemoryBlocks([...records.values()]);
  return { root: commit.cid, data, rev, blocks: [commit, ...nodes, ...distinct] };
}

function carOf({ root, blocks }: Incoming, order: (blocks: Block[]) => Block[] = (all) => all): Uint8Array {
  return encodeCar([root], order([...blocks]));
}

async function* inChunks(bytes: Uint8Array, size = 1_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

class Target {
  readonly store: RepoStore;
  readonly leftovers: unknown[] = [];
  asked = 0;

  constructor(store: RepoStore) {
    this.store = store;
  }

  static async open(folder: Fixture, status: "active" | "deactivated" = "deactivated"): Promise<Target> {
    const files = new RepoFiles({ folder: folder.path, ...folder.options });
    await files.create(DID, 1);
    const store = await files.open(DID, 1);
    await openBirth(store, { handle: "a.test", movesIn: false, signer: OWN, now: () => NOW, clockId: 1 });
    const standing = { status, ownerStatus: status, takedownRef: null };
    store.setStatus({ ...standing, lastTid: store.state().lastTid ?? "", events: [] });
    store.forgetPending("z");
    return new Target(store);
  }

  import(car: Uint8Array, options: Partial<ImportOptions> = {}): Promise<void> {
    return importTask({
      chunks: inChunks(car),
      bytesMax: 100_000_000,
      documentKey: async () => {
        this.asked += 1;
        return OLD.didKey;
      },
      earlierKeys: async () => [OLDEST.didKey],
      signer: OWN,
      now: () => NOW,
      clockId: 1,
      deadlineMs: performance.now() + 60_000,
      onLeftover: (error) => this.leftovers.push(error),
      ...options,
    })(this.store);
  }

  async export(): Promise<Uint8Array> {
    return await new Response(new CarExport(this.store.openExport(), () => {}).stream).bytes();
  }

  /** All that the file says. */
  async everything() {
    return {
      state: this.store.state(),
      export: Buffer.from(await this.export()).toString("base64"),
      pending: this.store.pendingEvents(),
      staging: this.store.hasStaging(),
    };
  }
}

async function opened(status?: "active" | "deactivated") {
  const folder = new Fixture();
  const target = await Target.open(folder, status);
  return {
    target,
    store: target.store,
    async [Symbol.asyncDispose]() {
      await target.store.close();
      await folder[Symbol.asyncDispose]();
    },
  };
}

const texts = (blocks: Iterable<Block>) => [...blocks].map(({ cid }) => cidToString(cid)).sort();

test.each([
  ["in the order of an export", (blocks: Block[]) => blocks],
  ["backwards", (blocks: Block[]) => blocks.reverse()],
  ["twice each", (blocks: Block[]) => [...blocks, ...blocks]],
  ["with strays", (blocks: Block[]) => [blockOf({ stray: 1 }), ...blocks, blockOf({ stray: 2 })]],
])(
  "importTask() takes blocks %s, and the export has the same tree under a fresh commit",
  async (_, order) => {
    await using repo = await opened();
    const { target, store } = repo;
    const incoming = repoOf(3_000);
    const before = store.state();
    await target.import(carOf(incoming, order));
    const { head } = store.state() as { head: Head };
    expect(cidKey(head.data)).toBe(cidKey(incoming.data));
    expect(head.rev > incoming.rev && head.rev > (before.lastTid ?? "")).toBe(true);
    const car = await target.export();
    const verified = verifyRepoCar(car, { did: DID, didKey: OWN.didKey });
    expect(verified.recordCount).toBe(3_001);
    const others = (blocks: readonly Block[], root: Cid) =>
      texts(blocks.filter(({ cid }) => cidKey(cid) !== cidKey(root)));
    expect(others(readCar(car).blocks, head.commit)).toEqual(others(incoming.blocks, incoming.root));
    expect(store.recordCount()).toBe(3_001);
    expect(store.collections()).toEqual(["app.bsky.graph.follow", "x.y.post"]);
    expect(store.recordWithSubject("app.bsky.graph.follow", "did:plc:x")).toBe("a");
    for (const { cid, bytes } of store.listRecords({ collection: "x.y.post", limit: 1_000 })) {
      expect(cidKey(cidOfCbor(bytes))).toBe(cidKey(cidFromBytes(cid)));
    }
    expect(store.shownRecord("x.y.post", "k7")?.bytes).toEqual(encodeCbor({ $type: "x.y.post", n: 7 }));
    expect([store.hasStaging(), store.pendingEvents()]).toEqual([false, []]);
    expect([target.leftovers, target.asked]).toEqual([[], 1]);
  },
);

test("importTask() tells of an active account's import with one #sync of the new commit", async () => {
  await using repo = await opened("active");
  await repo.target.import(carOf(repoOf(20)));
  const events = repo.store.pendingEvents();
  const { head, lastTid } = repo.store.state();
  expect(events.map(({ kind }) => kind)).toEqual(["sync"]);
  expect(events[0]?.key).toBe(lastTid ?? "");
  expect((lastTid ?? "") > (head?.rev ?? "")).toBe(true);
});

test("importTask() again replaces the repo, and what only the earlier one had is gone", async () => {
  await using repo = await opened();
  const { target, store } = repo;
  await target.import(carOf(repoOf(500)));
  const first = store.state().head;
  // Its own export, which it has signed itself: the DID document is not asked.
  await target.import(await target.export());
  expect(target.asked).toBe(1);
  expect(store.state().head?.data).toEqual(first?.data);
  expect((store.state().head?.rev ?? "") > (first?.rev ?? "")).toBe(true);
  await target.import(carOf(repoOf(0)));
  expect([store.recordCount(), store.collections(), store.listMissingBlobs({ limit: 10 })]).toEqual([
    0,
    [],
    [],
  ]);
  expect(readCar(await target.export()).blocks).toHaveLength(2);
});

test("importTask() records references to blobs that are not here, and one that comes counts as referenced", async () => {
  await using repo = await opened();
  await repo.target.import(carOf(repoOf(20)));
  const { store } = repo;
  expect(store.listMissingBlobs({ limit: 10 })).toEqual([{ cid: BLOB, path: "x.y.post/k13" }]);
  expect(store.blobIsReferenced(BLOB)).toBe(true);
  store.putBlob({ cid: BLOB, mimeType: "image/png", size: 9, createdAt: 0 });
  expect(store.listMissingBlobs({ limit: 10 })).toEqual([]);
  expect(store.temporaryBlobs(NOW)).toEqual([]);
});

test("importTask() ends an export of the repo that it replaces", async () => {
  await using repo = await opened();
  const { target, store } = repo;
  await target.import(carOf(repoOf(2_000)));
  const reading = store.openExport();
  reading.next(1_000);
  await target.import(carOf(repoOf(10)));
  expect(() => reading.next(1_000)).toThrow(expect.objectContaining({ code: "shutting_down" }));
  reading.close();
});

const changed = (bytes: Uint8Array, at: number) => {
  const copy = bytes.slice();
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
};
const without = (incoming: Incoming, index: number): Incoming => ({
  ...incoming,
  blocks: incoming.blocks.filter((_, at) => at !== index),
});
const WHOLE = carOf(repoOf(1_500));

const REFUSED: [what: string, car: Uint8Array, words: string, options?: Partial<ImportOptions>][] = [
  ["nothing", new Uint8Array(), "cut off"],
  ["what is no CAR", Buffer.from("{}".repeat(100)), "CAR"],
  ["one cut off within a block", WHOLE.subarray(0, WHOLE.length - 5), "cut off"],
  ["one without its last block", carOf(without(repoOf(1_500), 200)), "missing"],
  ["one without a node", carOf(without(repoOf(1_500), 5)), "missing"],
  ["one without its commit", carOf(without(repoOf(5), 0)), "is not in it"],
  ["one with a changed block", changed(WHOLE, WHOLE.length - 3), "does not hash"],
  ["one over the bound", WHOLE, "too many bytes", { bytesMax: 10_000 }],
  ["two roots", encodeCar([BLOB, BLOB], []), "2 roots"],
  ["another's repo", carOf(repoOf(5, { did: "did:plc:other" })), 'of "did:plc:other"'],
  ["one signed by another", carOf(repoOf(5, { signer: key("k256", 7) })), "signed neither by"],
  ["an account without a key", carOf(repoOf(5)), "no signing key", { documentKey: async () => undefined }],
  [
    "one of the future",
    carOf(repoOf(5, { rev: nextTid(null, (NOW + 3_600_000) * 1000, 1) })),
    "in the future",
  ],
  ["one with a rev that is none", carOf(repoOf(5, { rev: "3" })), "TID"],
  ["a record that is text", carOf(repoOf(5, { odd: blockOf("text") })), "x.y.post/odd"],
  ["one too late", WHOLE, "too long", { deadlineMs: 0 }],
];

const ROWS = REFUSED.map(([what, car, words, options = {}]) => [what, car, words, options] as const);

test.each(ROWS)("importTask() refuses %s and changes nothing", async (_, car, words, options) => {
  await using repo = await opened("active");
  const { target } = repo;
  await target.import(carOf(repoOf(30)));
  const before = await target.everything();
  const refusal = (await target.import(car, options).catch((error: unknown) => error)) as Error;
  expect(refusal.message).toContain(words);
  expect(refusal).toMatchObject({ code: options.deadlineMs === 0 ? "timeout" : "invalid_request" });
  expect(await target.everything()).toEqual(before);
  expect(target.leftovers).toEqual([]);
});

test("importTask() takes a repo that an earlier key of the DID has signed", async () => {
  await using repo = await opened();
  await repo.target.import(carOf(repoOf(5, { signer: OLDEST })));
  expect(repo.store.recordCount()).toBe(6);
});

test("importTask() passes a failure of the connection or of the DID's resolution on", async () => {
  await using repo = await opened();
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield WHOLE.subarray(0, 10_000);
    throw new Error("the connection broke off");
  }
  await expect(repo.target.import(WHOLE, { chunks: broken() })).rejects.toThrow("broke off");
  const documentKey = () => Promise.reject(new Error("no answer"));
  await expect(repo.target.import(WHOLE, { documentKey })).rejects.toThrow("no answer");
  expect([repo.store.recordCount(), repo.store.hasStaging()]).toEqual([0, false]);
});

test("RepoStore.prepareWrites() removes what an import that was cut off has left", async () => {
  await using folder = new Fixture();
  const files = new RepoFiles({ folder: folder.path, ...folder.options });
  const target = await Target.open(folder);
  const staging = target.store.beginStaging("3");
  await staging.addBlocks(repoOf(50).blocks);
  await staging.settled();
  await target.store.durable();
  await target.store.close();
  const store = await files.recover(DID, 1);
  expect(store.hasStaging()).toBe(true);
  await store.prepareWrites();
  expect([store.hasStaging(), store.recordCount()]).toEqual([false, 0]);
  await store.close();
});
