import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fromBase58Btc } from "@atcute/multibase";
import { readCar as judgeCar, verifyRepoCar as judgeRepoCar, verifyProofs } from "@atproto/repo";
import type { Block } from "./block.ts";
import { encodeCar } from "./car.ts";
import { encodeCbor, toCidLink } from "./cbor.ts";
import { type Cid, cidOfCbor, cidOfRaw, cidToString } from "./cid.ts";
import { buildCommit, COMMIT_OPS_MAX, type Head, type SignedCommit, signCommit } from "./commit.ts";
import { publicKeyToDidKey, signerFromPrivateKey } from "./keys/mod.ts";
import { MemoryBlocks } from "./memory_blocks.ts";
import { encodeNode, keyDepth, type MstNode, nodeBlock, walkTree } from "./mst/mod.ts";
import { exportOrder, recordProof, verifyRecordProof, verifyRepoCar } from "./repo_car.ts";
import { nextTid } from "./tid.ts";

const CARS = join(import.meta.dir, "../../../shared/vectors/car");
const DID = "did:plc:wqgdnqlv2mwiio6pfchwtrff";
const SIGNER = signerFromPrivateKey("k256", new Uint8Array(32).fill(3));
const OWNER = { did: DID, didKey: SIGNER.didKey };

function record(n: number): Block {
  const bytes = encodeCbor({ $type: "app.bsky.feed.post", n });
  return { cid: cidOfCbor(bytes), bytes };
}

function repoOf(count: number): { signed: SignedCommit; blocks: MemoryBlocks } {
  const blocks = new MemoryBlocks();
  let signed: SignedCommit | null = null;
  for (let first = 0; first < count; first += COMMIT_OPS_MAX) {
    const writes = Array.from({ length: Math.min(COMMIT_OPS_MAX, count - first) }, (_, i) => ({
      action: "create" as const,
      path: `app.bsky.feed.post/k${first + i}`,
      record: record((first + i) % 150),
    }));
    const head: Head | null = signed?.head ?? null;
    const rev = nextTid(head?.rev ?? null, 0, 7);
    signed = signCommit(buildCommit({ did: DID, head, writes, rev, blocks }), SIGNER);
    blocks.add([signed.commit, ...signed.newBlocks]);
    blocks.remove(signed.removed);
  }
  return { signed: signed as SignedCommit, blocks };
}

function texts(blocks: Iterable<Block>): string[] {
  return [...blocks].map(({ cid }) => cidToString(cid));
}

/** A signed commit over any root, with these blocks, as a CAR. */
function carOver(data: Cid, blocks: readonly Block[]): Uint8Array {
  const rev = "3mbbbbbbbbbb2";
  const unsigned = encodeCbor({ did: DID, version: 3, data: toCidLink(data), rev, prev: null });
  const empty = { since: null, prevData: null, ops: [], newBlocks: [], removed: [], replaced: [], proof: [] };
  const { commit } = signCommit({ ...empty, unsigned, did: DID, rev, data }, SIGNER);
  return encodeCar([commit.cid], [commit, ...blocks]);
}

if (existsSync(CARS)) {
  test("verifyRepoCar() accepts a repo of the network by the key of its DID document", () => {
    const document = JSON.parse(readFileSync(join(CARS, "greenground.didDoc.json"), "utf8"));
    const bytes = new Uint8Array(readFileSync(join(CARS, "greenground.repo.car")));
    const key = document.verificationMethod[0].publicKeyMultibase as string;
    // the older kind of key: an uncompressed point without a codec
    const compressed = publicKeyToDidKey("k256", fromBase58Btc(key.slice(1))) as string;
    const did = "did:plc:kzcqyc3unb33eh5sxzsfs25z";
    const repo = verifyRepoCar(bytes, { did, didKey: compressed });
    expect([...repo.records].map(({ path }) => path)).toEqual([
      "app.bsky.graph.follow/3k5rgfiifs42u",
      "app.bsky.graph.follow/3k5vze25v5a26",
    ]);
    expect(texts(repo.blocks)).toHaveLength(4);
    expect(() => verifyRepoCar(bytes, OWNER)).toThrow("the signature is not by");
    expect(() => verifyRepoCar(bytes, { did: "did:web:b.test", didKey: compressed })).toThrow("not of");
  });
} else {
  console.log("repo_car_test: no ../shared/vectors/car, the repo of the network was not read");
}

test("verifyRepoCar() gives the head, the records by path, and the blocks in the order of the export", () => {
  const { signed, blocks } = repoOf(200);
  const repo = verifyRepoCar(encodeCar([signed.commit.cid], [...blocks]), OWNER);
  expect(repo.head).toEqual(signed.head);
  expect(repo.recordCount).toBe(200);
  const records = [...repo.records];
  expect(records.map(({ path }) => path)).toEqual(signed.ops.map(({ path }) => path).sort());
  expect(records.find(({ path }) => path.endsWith("/k7"))?.cid).toEqual(record(7).cid);
  expect(texts(repo.blocks)).toEqual(texts(exportOrder(signed.head, blocks)));
  expect(texts(repo.blocks).sort()).toEqual(texts(blocks).sort());
});

test("verifyRepoCar() takes blocks in any order, repeated, with others between, and leaves the others out", () => {
  const { signed, blocks } = repoOf(50);
  const raw = new Uint8Array(9);
  const extras = [record(9999), { cid: cidOfRaw(raw), bytes: raw }];
  const mixed = [...blocks].reverse().flatMap((block) => [block, ...extras, block]);
  const repo = verifyRepoCar(encodeCar([signed.commit.cid], mixed), OWNER);
  expect(texts(repo.blocks)).toEqual(texts(exportOrder(signed.head, blocks)));
});

test("the judge reads our CAR to the same records", async () => {
  const { signed, blocks } = repoOf(200);
  const car = encodeCar([signed.commit.cid], [...exportOrder(signed.head, blocks)]);
  const judged = await judgeRepoCar(car, DID, SIGNER.didKey);
  expect(judged.creates.map(({ collection, rkey, cid }) => `${collection}/${rkey} ${cid}`).sort()).toEqual(
    signed.ops.map(({ path, cid }) => `${path} ${cidToString(cid as Cid)}`).sort(),
  );
  expect((await judgeCar(car)).roots.map(String)).toEqual([cidToString(signed.head.commit)]);
});

test("exportOrder() goes depth-first, nodes before their content", () => {
  const { signed, blocks } = repoOf(100);
  const order = texts(exportOrder(signed.head, blocks));
  expect(order.slice(0, 2)).toEqual([signed.head.commit, signed.head.data].map(cidToString));
  const walked = [...walkTree(blocks, signed.data)].map((item) =>
    cidToString(item.kind === "node" ? item.block.cid : item.value),
  );
  expect(order.slice(1)).toEqual(walked);
});

test("recordProof() proves a record and its absence to the judge", async () => {
  const { signed, blocks } = repoOf(300);
  const claims = [
    { path: "app.bsky.feed.post/k77", cid: record(77).cid },
    { path: "app.bsky.feed.post/none", cid: null },
  ];
  for (const { path, cid } of claims) {
    const proof = recordProof(signed.head, { path, blocks });
    expect(proof.cid).toEqual(cid);
    const [collection = "", rkey = ""] = path.split("/");
    const car = encodeCar([signed.head.commit], proof.blocks);
    const record =
      cid && (await judgeCar(car)).blocks.cids().find((known) => String(known) === cidToString(cid));
    const judged = await verifyProofs(car, [{ collection, rkey, cid: record ?? null }], DID, SIGNER.didKey);
    expect(judged.verified).toHaveLength(1);
  }
});

const VALUE = record(1);
const entry = (...keys: string[]): MstNode => ({
  keys,
  values: keys.map(() => VALUE.cid),
  subs: [null, ...keys.map(() => null)],
});
const EMPTY = nodeBlock(entry());

/** Keys of each layer, ascending. */
const KEYS = Array.from({ length: 400 }, (_, i) => `a.b.c/k${String(i).padStart(3, "0")}`);
const layer = (depth: number) => KEYS.filter((key) => keyDepth(key) === depth);
const [LEAF, LEAF_AFTER] = layer(0) as [string, string];
const PARENT = layer(1).find((key) => key > LEAF_AFTER) as string;
const TOP = layer(2).find((key) => key > PARENT) as string;

function over(below: Block, key: string): Block {
  return nodeBlock({ keys: [key], values: [VALUE.cid], subs: [below.cid, null] });
}

const SOUND = nodeBlock(entry(LEAF, LEAF_AFTER));

test("verifyRepoCar() accepts the tree that the hostile ones below are made of", () => {
  const root = over(SOUND, PARENT);
  expect(verifyRepoCar(carOver(root.cid, [root, SOUND, VALUE]), OWNER).recordCount).toBe(3);
});

test.each<[string, Block[], string]>([
  ["a tree without its root", [VALUE], "it is missing"],
  ["a tree without a node", [over(SOUND, PARENT), VALUE], "it is missing"],
  ["a missing record", [nodeBlock(entry(LEAF))], "it is missing"],
  ["a key in a layer not its own", [nodeBlock(entry(LEAF, PARENT)), VALUE], "not its own"],
  ["a node two layers down", [over(SOUND, TOP), SOUND, VALUE], "not its own"],
  [
    "keys out of order over nodes",
    [
      over(nodeBlock(entry(layer(0).at(-1) as string)), layer(1)[0] as string),
      nodeBlock(entry(layer(0).at(-1) as string)),
      VALUE,
    ],
    "comes after",
  ],
  ["an empty node below", [over(EMPTY, PARENT), EMPTY, VALUE], "is empty"],
  [
    "a root without entries",
    [nodeBlock({ keys: [], values: [], subs: [SOUND.cid] }), SOUND, VALUE],
    "no entry",
  ],
  ["a node below the lowest layer", [over(SOUND, LEAF), SOUND, VALUE], "below the lowest layer"],
  ["a key that is no path", [nodeBlock(entry("abc")), VALUE], "not a valid path"],
  ["a record for a root", [VALUE], "malformed"],
])("verifyRepoCar() refuses %s", (name, blocks, message) => {
  const root = name === "a tree without its root" ? SOUND : (blocks[0] as Block);
  const expected = message === "malformed" ? "Could not read the MST node" : message;
  expect(() => verifyRepoCar(carOver(root.cid, blocks), OWNER)).toThrow(
    expect.objectContaining({ code: "invalid_request", message: expect.stringContaining(expected) }),
  );
});

test("verifyRepoCar() refuses a block that does not hash to its CID, needed or not", () => {
  const { signed, blocks } = repoOf(5);
  const list = [...blocks];
  const forged = list.map((block) =>
    cidToString(block.cid) === cidToString(record(3).cid)
      ? { cid: block.cid, bytes: record(4).bytes }
      : block,
  );
  expect(() => verifyRepoCar(encodeCar([signed.commit.cid], forged), OWNER)).toThrow("does not hash");
  const spare = { cid: record(999).cid, bytes: record(998).bytes };
  expect(() => verifyRepoCar(encodeCar([signed.commit.cid], [...list, spare]), OWNER)).toThrow(
    "does not hash",
  );
});

test("verifyRepoCar() refuses records repeated without end", () => {
  const big = { bytes: encodeCbor({ text: "x".repeat(900_000) }) };
  const value = cidOfCbor(big.bytes);
  const keys = layer(0).slice(0, 100);
  const node = { keys, values: keys.map(() => value), subs: [null, ...keys.map(() => null)] };
  const root = { cid: cidOfCbor(encodeNode(node)), bytes: encodeNode(node) };
  const car = carOver(root.cid, [root, { cid: value, bytes: big.bytes }]);
  expect(() => verifyRepoCar(car, OWNER)).toThrow("repeated too often");
});

test("verifyRepoCar() refuses every CAR cut off, and never fails in another way on a changed byte", () => {
  const { signed, blocks } = repoOf(8);
  const car = encodeCar([signed.commit.cid], [...blocks]);
  for (let end = 0; end < car.length; end++) {
    expect(() => verifyRepoCar(car.subarray(0, end), OWNER)).toThrow(
      expect.objectContaining({ code: "invalid_request" }),
    );
  }
  for (let at = 0; at < car.length; at++) {
    const changed = car.slice();
    changed[at] = (changed[at] as number) ^ (1 << (at % 8));
    try {
      verifyRepoCar(changed, OWNER);
    } catch (error) {
      expect(error).toMatchObject({ name: "KithError", code: "invalid_request" });
    }
  }
});

test("verifyRecordProof() reads what recordProof() and the reference prove, and refuses the rest", () => {
  const { signed, blocks } = repoOf(60);
  const path = "app.bsky.feed.post/k7";
  const proof = recordProof(signed.head, { path, blocks });
  const car = encodeCar([signed.head.commit], proof.blocks);
  expect(verifyRecordProof(car, { ...OWNER, path })).toEqual(record(7));
  const absent = "app.bsky.feed.post/none";
  const nothing = recordProof(signed.head, { path: absent, blocks });
  const carOfNothing = encodeCar([signed.head.commit], nothing.blocks);
  expect(verifyRecordProof(carOfNothing, { ...OWNER, path: absent })).toBeUndefined();

  const stranger = signerFromPrivateKey("k256", new Uint8Array(32).fill(4)).didKey;
  const others = [...proof.blocks.slice(0, -1), record(8)];
  const refused: [Uint8Array, object, string][] = [
    [car, { didKey: stranger }, "the signature is not by"],
    [car, { did: "did:plc:other" }, "it is the repo of"],
    [car.subarray(0, -1), {}, "cut off"],
    [encodeCar([signed.head.commit], others), {}, "it is missing"],
    [encodeCar([signed.head.commit], proof.blocks.slice(1)), {}, "it is missing"],
    [encodeCar([], proof.blocks), {}, "no root"],
    [
      encodeCar(
        [signed.head.commit],
        Array.from({ length: 257 }, () => proof.blocks[0] as Block),
      ),
      {},
      "too many",
    ],
  ];
  for (const [bytes, change, why] of refused) {
    expect(() => verifyRecordProof(bytes, { ...OWNER, path, ...change })).toThrow(why);
  }
});
