/** Random repos, from fixed seeds: every commit against the tree built anew, and against the judge's own MST. */
import { expect, test } from "bun:test";
import { cborToLex, MemoryBlockstore, MST } from "@atproto/repo";
import type { Block } from "./block.ts";
import { encodeCbor, toCidLink } from "./cbor.ts";
import { type Cid, cidOfCbor, cidToString, parseCid } from "./cid.ts";
import { buildCommit, type Head, type RepoOp, signCommit, type Write } from "./commit.ts";
import { commitEvent, decodeFrame, sealFrame } from "./events.ts";
import { checkCommitEvent, invertCommit } from "./inversion.ts";
import { MemoryBlocks } from "./memory_blocks.ts";
import { buildTree, diffTrees, MstTree, walkTree } from "./mst/mod.ts";
import { nextTid } from "./tid.ts";

const DID = "did:plc:wqgdnqlv2mwiio6pfchwtrff";
const SIGNER = { didKey: "did:key:z", jwtAlg: "ES256", sign: () => new Uint8Array(64) } as const;
const TIME = "2026-11-21T08:00:00.000Z";

/** Mulberry32: numbers in [0, 1) from a seed. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function record(n: number): Block {
  const bytes = encodeCbor({ $type: "a.b.c", n });
  return { cid: cidOfCbor(bytes), bytes };
}

/** A repo in memory with a plain map of what it must hold. */
class ModelRepo {
  readonly blocks = new MemoryBlocks();
  readonly model = new Map<string, Cid>();
  readonly random: () => number;
  readonly keySpace: number;
  head: Head | null = null;

  constructor(seed: number, keySpace: number) {
    this.random = randomFrom(seed);
    this.keySpace = keySpace;
  }

  int(below: number): number {
    return Math.floor(this.random() * below);
  }

  /** Random legal writes over paths of this repo, each path once. */
  writes(count: number): Write[] {
    const writes = new Map<string, Write>();
    for (let i = 0; i < count; i++) {
      const path = `a.b.c${this.int(3)}/k${this.int(this.keySpace)}`;
      const exists = this.model.has(path);
      const action = exists ? (this.random() < 0.7 ? "delete" : "update") : "create";
      writes.set(
        path,
        action === "delete" ? { action, path } : { action, path, record: record(this.int(50)) },
      );
    }
    return [...writes.values()];
  }

  apply(writes: readonly Write[]) {
    const rev = nextTid(this.head?.rev ?? null, 0, 7);
    const draft = buildCommit({ did: DID, head: this.head, writes, rev, blocks: this.blocks });
    const signed = signCommit(draft, SIGNER);
    this.blocks.add(signed.newBlocks);
    this.head = signed.head;
    for (const write of writes) {
      if (write.action === "delete") this.model.delete(write.path);
      else this.model.set(write.path, write.record.cid);
    }
    return signed;
  }

  /** The tree of the model, built anew. */
  rebuilt() {
    return buildTree([...this.model].sort(([a], [b]) => (a < b ? -1 : 1)));
  }
}

function texts(cids: Iterable<Cid>): string[] {
  return [...cids].map(cidToString).sort();
}

function nodesOf(blocks: MemoryBlocks, root: Cid): Set<string> {
  const nodes = [...walkTree(blocks, root)].flatMap((item) => (item.kind === "node" ? [item.block.cid] : []));
  return new Set(nodes.map(cidToString));
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const out = [...items];
  for (let i = out.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [out[i], out[j]] = [out[j] as T, out[i] as T];
  }
  return out;
}

/** The inversion by the reference's own MST, over nothing but the blocks sent. */
async function invertByJudge(data: Cid, ops: readonly RepoOp[], blocks: readonly Block[]): Promise<string> {
  const store = new MemoryBlockstore();
  const judgeCid = (cid: Cid) =>
    cborToLex(encodeCbor(toCidLink(cid))) as Parameters<typeof store.getBytes>[0];
  for (const { cid, bytes } of blocks) await store.putBlock(judgeCid(cid), bytes);
  let tree = MST.load(store, judgeCid(data));
  for (const { path, prev, cid } of ops) {
    if (!prev) tree = await tree.delete(path);
    else if (cid) tree = await tree.update(path, judgeCid(prev));
    else tree = await tree.add(path, judgeCid(prev));
  }
  return (await tree.getPointer()).toString();
}

test.each([
  [1, 12, 400, 4],
  [2, 60, 200, 8],
  [3, 1000, 60, 60],
  [4, 20_000, 30, 200],
  [5, 4, 300, 3],
])(
  "buildCommit() of random writes is the tree built anew (seed %i, %i keys)",
  (seed, keySpace, rounds, most) => {
    const repo = new ModelRepo(seed, keySpace);
    for (let round = 0; round < rounds; round++) {
      const before = repo.head;
      const signed = repo.apply(repo.writes(repo.int(most + 1)));
      const built = repo.rebuilt();
      expect(cidToString(signed.data)).toBe(cidToString(built.root));
      const diff = diffTrees({ blocks: repo.blocks, from: before?.data ?? null, to: signed.data });
      const recordCids = new Set(signed.ops.flatMap(({ cid }) => (cid ? [cidToString(cid)] : [])));
      const sentNodes = signed.newBlocks
        .map((block) => block.cid)
        .filter((cid) => !recordCids.has(cidToString(cid)));
      expect(texts(sentNodes)).toEqual(texts(diff.created.map((block) => block.cid)));
      const oldNodes = before ? nodesOf(repo.blocks, before.data) : new Set<string>();
      const newNodes = new Set(built.nodes.map((block) => cidToString(block.cid)));
      expect(new Set(texts(sentNodes))).toEqual(newNodes.difference(oldNodes));
      const removedNodes = texts(signed.removed).filter((text) => oldNodes.has(text));
      expect(new Set(removedNodes)).toEqual(oldNodes.difference(newNodes));
      const oldRecords = new Set(signed.ops.flatMap(({ prev }) => (prev ? [cidToString(prev)] : [])));
      expect(signed.removed.length).toBe(
        removedNodes.length + oldRecords.difference(recordCids).size + (before ? 1 : 0),
      );
    }
  },
);

test.each([
  [31, 12, 300, 3],
  [32, 300, 200, 6],
  [33, 20_000, 30, 200],
])(
  "buildCommit() by the tree of the commit before is as by one that is read (seed %i, %i keys)",
  (seed, keySpace, rounds, most) => {
    const repo = new ModelRepo(seed, keySpace);
    repo.apply([]);
    let tree: MstTree | undefined;
    for (let round = 0; round < rounds; round++) {
      const head = repo.head as Head;
      if (!tree || repo.random() < 0.1) tree = new MstTree(head.data, repo.blocks);
      expect(cidToString(tree.root as Cid)).toBe(cidToString(head.data));
      const writes = repo.writes(repo.int(most + 1));
      const rev = nextTid(head.rev, 0, 7);
      const held = buildCommit({ did: DID, head, writes, rev, blocks: repo.blocks, tree });
      const { commit: _, head: __, ...read } = repo.apply(writes);
      const bytesOf = (blocks: readonly Block[]) =>
        blocks.map(({ bytes }) => Buffer.from(bytes).toString("hex"));
      const plain = (draft: typeof held) => ({
        ...draft,
        newBlocks: bytesOf(draft.newBlocks),
        proof: bytesOf(draft.proof),
        removed: texts(draft.removed),
      });
      expect(plain(held)).toEqual(plain(read));
      tree.renew();
    }
  },
);

test.each([
  [11, 12, 80, 6],
  [12, 200, 40, 20],
  [13, 20_000, 8, 200],
])(
  "commitEvent() of random writes inverts, in any order (seed %i, %i keys)",
  async (seed, keySpace, rounds, most) => {
    const repo = new ModelRepo(seed, keySpace);
    repo.apply([]);
    for (let round = 0; round < rounds; round++) {
      const before = repo.head as Head;
      const signed = repo.apply(repo.writes(repo.int(most + 1)));
      const { payload } = decodeFrame(sealFrame(commitEvent(signed, { time: TIME }), round + 1));
      expect(cidToString(checkCommitEvent(payload).prevData as Cid)).toBe(cidToString(before.data));
      const sent = [...signed.newBlocks, ...signed.proof];
      const blocks = new MemoryBlocks(sent);
      const byPath = signed.ops.toSorted((a, b) => (a.path < b.path ? -1 : 1));
      const deletesLast = [...byPath].sort((a, b) => Number(a.cid === null) - Number(b.cid === null));
      const orders = [signed.ops, signed.ops.toReversed(), byPath, deletesLast, deletesLast.toReversed()];
      for (let i = 0; i < 4; i++) orders.push(shuffled(signed.ops, repo.random));
      for (const ops of orders) {
        expect(cidToString(invertCommit({ data: signed.data, ops, blocks }))).toBe(cidToString(before.data));
      }
      for (const ops of [signed.ops.toReversed(), byPath]) {
        expect(await invertByJudge(signed.data, ops, sent)).toBe(cidToString(before.data));
      }
    }
  },
);

test("invertCommit() refuses ops that are not what the tree says, and a slice that lacks a node", () => {
  const repo = new ModelRepo(21, 500);
  for (let i = 0; i < 10; i++) repo.apply(repo.writes(60));
  const { data, ops, newBlocks, proof } = repo.apply(repo.writes(20));
  const blocks = new MemoryBlocks([...newBlocks, ...proof]);
  const other = parseCid("bafyreie5cvv4h45feadgeuwhbcutmh6t2ceseocckahdoe6uat64zmz454");
  const wrong = (change: (op: RepoOp) => RepoOp, action: RepoOp["action"]) =>
    ops.map((op) => (op.action === action ? change(op) : op));
  for (const lie of [
    wrong((op) => ({ ...op, cid: other }), "create"),
    wrong((op) => ({ ...op, action: "update" }), "create"),
    wrong((op) => ({ ...op, prev: null }), "update"),
    wrong((op) => ({ ...op, action: "create", prev: null, cid: other }), "delete"),
    wrong((op) => ({ ...op, path: `${op.path}x` }), "create"),
  ]) {
    expect(() => invertCommit({ data, ops: lie, blocks })).toThrow(
      expect.objectContaining({ code: "invalid_request" }),
    );
  }
  blocks.remove([data]);
  expect(() => invertCommit({ data, ops, blocks })).toThrow("it is missing");
});
