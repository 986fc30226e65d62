import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Cid, cidOfCbor, cidToString, parseCid } from "../cid.ts";
import { MemoryBlocks } from "../memory_blocks.ts";
import { EMPTY_NODE, MstTree } from "./mod.ts";

const FIXTURES = join(
  import.meta.dir,
  "../../../../shared/vectors/atproto-interop-tests/firehose/commit-proof-fixtures.json",
);

interface ProofFixture {
  comment: string;
  leafValue: string;
  keys: string[];
  adds: string[];
  dels: string[];
  rootBeforeCommit: string;
  rootAfterCommit: string;
  blocksInProof: string[];
}

/** A stored tree with these keys. */
function stored(keys: readonly string[], value: Cid): { root: Cid; blocks: MemoryBlocks } {
  const tree = new MstTree(null, new MemoryBlocks());
  for (const key of keys) tree.put(key, value);
  const { root, created } = tree.finish();
  return { root, blocks: new MemoryBlocks(created) };
}

const VALUE = cidOfCbor(Uint8Array.of(0xa0));

if (existsSync(FIXTURES)) {
  const fixtures = JSON.parse(readFileSync(FIXTURES, "utf8")) as ProofFixture[];
  test.each(fixtures)("MstTree covers what the interop fixture asks: $comment", (fixture) => {
    const value = parseCid(fixture.leafValue);
    const before = stored(fixture.keys, value);
    expect(cidToString(before.root)).toBe(fixture.rootBeforeCommit);
    const tree = new MstTree(before.root, before.blocks);
    for (const key of fixture.adds) expect(tree.put(key, value)).toBeNull();
    for (const key of fixture.dels) expect(tree.delete(key)).toEqual(value);
    const change = tree.finish();
    expect(cidToString(change.root)).toBe(fixture.rootAfterCommit);
    const proof = tree.coveringProof([...fixture.adds, ...fixture.dels]);
    const sent = [...change.created, ...proof].map((block) => cidToString(block.cid));
    expect(sent).toEqual(expect.arrayContaining(fixture.blocksInProof));
    const back = new MstTree(change.root, new MemoryBlocks([...change.created, ...proof]));
    for (const key of fixture.adds) back.delete(key);
    for (const key of fixture.dels) back.put(key, value);
    expect(cidToString(back.finish().root)).toBe(fixture.rootBeforeCommit);
  });
} else {
  console.log("mst/tree_test: no ../shared/vectors, the commit proof fixtures were not run");
}

test("MstTree.finish() of nothing is the empty node", () => {
  const change = new MstTree(null, new MemoryBlocks()).finish();
  expect(change).toEqual({ root: EMPTY_NODE.cid, created: [EMPTY_NODE], removed: [] });
});

test("MstTree.finish() after deleting every key is the empty node", () => {
  const keys = ["A0/374913", "B1/986427", "C0/451630", "D2/269196"];
  const { root, blocks } = stored(keys, VALUE);
  const tree = new MstTree(root, blocks);
  for (const key of keys) expect(tree.delete(key)).toEqual(VALUE);
  const change = tree.finish();
  expect(change.created).toEqual([EMPTY_NODE]);
  expect(change.removed.map(cidToString).sort()).toEqual([...blocks].map((b) => cidToString(b.cid)).sort());
});

test("MstTree reports a node as neither created nor removed when it comes back", () => {
  const { root, blocks } = stored(["A0/374913", "B1/986427", "C0/451630"], VALUE);
  const tree = new MstTree(root, blocks);
  tree.delete("B1/986427");
  tree.put("B1/986427", VALUE);
  expect(tree.finish()).toEqual({ root, created: [], removed: [] });
});

test("MstTree.get() finds what is there and null for the rest", () => {
  const { root, blocks } = stored(["A0/374913", "B1/986427", "C0/451630"], VALUE);
  const tree = new MstTree(root, blocks);
  expect(tree.get("B1/986427")).toEqual(VALUE);
  expect(tree.get("C0/451630")).toEqual(VALUE);
  expect(tree.get("C0/4")).toBeNull();
});

test("MstTree reports a missing node as damage of the storage, or as told", () => {
  const { root, blocks } = stored(["A0/374913", "B1/986427", "C0/451630"], VALUE);
  const lacking = new MemoryBlocks([{ cid: root, bytes: blocks.get(root) as Uint8Array }]);
  expect(() => new MstTree(root, lacking).get("A0/374913")).toThrow(
    expect.objectContaining({ code: "storage_damaged" }),
  );
  expect(() => new MstTree(VALUE, lacking, { fault: "invalid_request" })).toThrow(
    expect.objectContaining({ code: "invalid_request" }),
  );
});
