import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { encodeCbor, toBytes, toCidLink } from "../cbor.ts";
import { cidOfCbor, cidOfRaw } from "../cid.ts";
import { MemoryBlocks } from "../memory_blocks.ts";
import {
  buildTree,
  commonPrefix,
  decodeNode,
  encodeNode,
  isRepoPath,
  KEY_BYTES_MAX,
  keyDepth,
  MstTree,
  NODE_ENTRIES_MAX,
  TreeBuilder,
} from "./mod.ts";

const VECTORS = join(import.meta.dir, "../../../../shared/vectors/atproto-interop-tests/mst");
const VALUE = cidOfCbor(Uint8Array.of(0xa0));
const LINK = toCidLink(VALUE);

if (existsSync(VECTORS)) {
  const read = (name: string) => readFileSync(join(VECTORS, name), "utf8");

  test("commonPrefix() passes the interop vectors", () => {
    for (const { left, right, len } of JSON.parse(read("common_prefix.json"))) {
      expect({ left, right, len: commonPrefix(left, right) }).toEqual({ left, right, len });
    }
  });

  test("keyDepth() passes the interop vectors", () => {
    for (const { key, height } of JSON.parse(read("key_heights.json"))) {
      expect({ key, height: keyDepth(key) }).toEqual({ key, height });
    }
  });

  test("keyDepth() and both builders pass the interop's example keys, named by letter and layer", () => {
    const keys = read("example_keys.txt").trim().split("\n");
    for (const key of keys) expect(`${key} ${keyDepth(key)}`).toBe(`${key} ${key[1]}`);
    const built = buildTree(keys.toSorted().map((key) => [key, VALUE]));
    const tree = new MstTree(null, new MemoryBlocks());
    for (const key of keys) tree.put(key, VALUE);
    expect(tree.finish().root).toEqual(built.root);
  });
} else {
  console.log("mst/node_test: no ../shared/vectors, the interop vectors were not run");
}

interface PlainEntry {
  k: string | Uint8Array;
  p: unknown;
  t: unknown;
  v: unknown;
}

/** The encoding of a node as the general encoder makes it, right or wrong. */
function plain(entries: readonly Partial<PlainEntry>[], l: unknown = null): Uint8Array {
  return encodeCbor({
    l,
    e: entries.map(({ k = "a/b", p = 0, t = null, v = LINK, ...rest }) => {
      return { ...rest, k: toBytes(Buffer.from(k)), p, t, v };
    }),
  });
}

test("encodeNode() is the plain encoding, and decodeNode() gives the node back", () => {
  const long = `a/b${"x".repeat(300)}`;
  const node = {
    keys: ["a/b", long, `${long}y`, "a/c"],
    values: [VALUE, VALUE, VALUE, VALUE],
    subs: [VALUE, null, VALUE, null, null],
  };
  const expected = plain(
    [{ k: "a/b" }, { k: "x".repeat(300), p: 3, t: LINK }, { k: "y", p: long.length }, { k: "c", p: 2 }],
    LINK,
  );
  expect(Buffer.from(encodeNode(node))).toEqual(Buffer.from(expected));
  expect(decodeNode(encodeNode(node))).toEqual(node);
});

test.each<[string, Uint8Array, RegExp]>([
  ["an order that is not ascending", plain([{ k: "b/b" }, { k: "a/b" }]), /out of order/],
  ["a key twice", plain([{ k: "a/b" }, { k: "", p: 3 }]), /out of order/],
  ["a key that the key before starts with", plain([{ k: "a/bc" }, { k: "", p: 3 }]), /out of order/],
  ["a prefix shorter than shared", plain([{ k: "a/b" }, { k: "/c", p: 1 }]), /shorter than shared/],
  ["a prefix longer than the key before", plain([{ k: "a/b" }, { k: "c", p: 4 }]), /longer than the key/],
  ["a prefix on the first key", plain([{ k: "b", p: 1 }]), /first key/],
  ["a negative prefix", plain([{ k: "b", p: -1 }]), /unexpected type/],
  ["an empty key", plain([{ k: "" }]), /empty key/],
  ["a foreign character", plain([{ k: "a/ü" }]), /foreign/],
  ["a zero byte", plain([{ k: "a/\0" }]), /foreign/],
  ["a long key", plain([{ k: `a/${"b".repeat(KEY_BYTES_MAX)}` }]), /a key of/],
  [
    "a long key by its prefix",
    plain([{ k: `a/${"b".repeat(700)}` }, { k: "c".repeat(200), p: 702 }]),
    /a key of/,
  ],
  ["a value that is null", plain([{ v: null }]), /unexpected byte/],
  ["a value of the raw codec", plain([{ v: toCidLink(cidOfRaw(new Uint8Array(0))) }]), /unexpected byte/],
  ["a sub-tree that is no link", plain([{ t: 0 }]), /unexpected byte/],
  ["a left that is no link", plain([], false), /unexpected byte/],
  ["a key more in an entry", plain([{ x: 1 } as Partial<PlainEntry>]), /unexpected byte/],
  ["a node without l", encodeCbor({ e: [] }), /unexpected byte/],
  ["a key more in the node", encodeCbor({ e: [], l: null, x: 1 }), /unexpected byte/],
  ["bytes after the node", Buffer.concat([plain([]), Uint8Array.of(0)]), /bytes after/],
  ["nothing", new Uint8Array(0), /unexpected end/],
  ["a count in a longer form", Uint8Array.of(0xa2, 0x61, 0x65, 0x98, 0x00, 0x61, 0x6c, 0xf6), /bad integer/],
  ["a count of 32 bits", Uint8Array.of(0xa2, 0x61, 0x65, 0x9a, 0, 0, 0, 1), /bad integer/],
  ["an endless list", Uint8Array.of(0xa2, 0x61, 0x65, 0x9f, 0xff, 0x61, 0x6c, 0xf6), /bad integer/],
  ["too many entries", Uint8Array.of(0xa2, 0x61, 0x65, 0x99, 0xff, 0xff), /65535 entries/],
])("decodeNode() refuses %s", (_, bytes, message) => {
  expect(() => decodeNode(bytes)).toThrow(RangeError);
  expect(() => decodeNode(bytes)).toThrow(message);
});

test("decodeNode() refuses every node cut off, and takes a changed byte only where it encodes the same", () => {
  const bytes = plain(
    [{ k: "a/bcdefghijklmnopqrstuvwxyz" }, { k: "x", p: 10, t: LINK }, { k: "yy", p: 10 }],
    LINK,
  );
  for (let end = 0; end < bytes.length; end++)
    expect(() => decodeNode(bytes.subarray(0, end))).toThrow(RangeError);
  for (let at = 0; at < bytes.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      const changed = bytes.slice();
      changed[at] = (changed[at] as number) ^ (1 << bit);
      try {
        const node = decodeNode(changed);
        expect(Buffer.compare(encodeNode(node), changed)).toBe(0);
      } catch (error) {
        expect(error).toBeInstanceOf(RangeError);
      }
    }
  }
});

test.each([
  ["app.bsky.feed.post/3k5rgfiifs42u", true],
  ["a/b", true],
  ["a.b/self:x~y_z-1.2", true],
  ["a/..", false],
  ["a/.", false],
  ["a/...", true],
  ["a", false],
  ["a/", false],
  ["/b", false],
  ["a/b/c", false],
  ["a/b c", false],
  ["a_b/c", false],
  [`a/${"x".repeat(512)}`, true],
  [`a/${"x".repeat(513)}`, false],
])("isRepoPath() of %j is %p", (path, expected) => {
  expect(isRepoPath(path)).toBe(expected);
});

test("TreeBuilder.add() refuses keys that do not ascend", () => {
  const builder = new TreeBuilder(() => {});
  builder.add("a/b", VALUE);
  expect(() => builder.add("a/b", VALUE)).toThrow(RangeError);
  expect(() => builder.add("a/a", VALUE)).toThrow(RangeError);
});

test("both builders refuse keys that were mined to share one node", () => {
  const keys: string[] = [];
  for (let i = 0; keys.length <= NODE_ENTRIES_MAX; i++) {
    const key = `a/${String(i).padStart(5, "0")}`;
    if (keyDepth(key) === 0) keys.push(key);
  }
  const tree = new MstTree(null, new MemoryBlocks());
  for (const key of keys) tree.put(key, VALUE);
  expect(() => tree.finish()).toThrow(expect.objectContaining({ code: "invalid_request" }));
  expect(() => buildTree(keys.map((key) => [key, VALUE]))).toThrow(
    expect.objectContaining({ code: "invalid_request" }),
  );
  const most = buildTree(keys.slice(1).map((key) => [key, VALUE]));
  const sparing = new MstTree(null, new MemoryBlocks());
  for (const key of keys.slice(1)) sparing.put(key, VALUE);
  expect(sparing.finish().root).toEqual(most.root);
});
