import { expect, test } from "bun:test";
import { encode } from "@atcute/cbor";
import { verifySignature as judgeSignature } from "@atproto/crypto";
import type { Block } from "./block.ts";
import { type Cid, cidOfCbor, cidToString } from "./cid.ts";
import {
  buildCommit,
  COMMIT_BLOCKS_BYTES_MAX,
  COMMIT_OPS_MAX,
  carSlice,
  type Head,
  parseCommit,
  RECORD_BYTES_MAX,
  signCommit,
  verifyCommit,
  type Write,
} from "./commit.ts";
import { invertCommit } from "./inversion.ts";
import { signerFromPrivateKey } from "./keys/mod.ts";
import { MemoryBlocks } from "./memory_blocks.ts";
import type { Signer } from "./signer.ts";
import { nextTid } from "./tid.ts";

const DID = "did:plc:wqgdnqlv2mwiio6pfchwtrff";
const SIGNER: Signer = { didKey: "did:key:z", jwtAlg: "ES256", sign: () => new Uint8Array(64).fill(7) };

function record(text: string): Block {
  const bytes = encode({ $type: "app.bsky.feed.post", text });
  return { cid: cidOfCbor(bytes), bytes };
}

function create(rkey: string, text = rkey): Write {
  return { action: "create", path: `app.bsky.feed.post/${rkey}`, record: record(text) };
}

/** A repo in memory, written to like the store would. */
class Repo {
  readonly blocks = new MemoryBlocks();
  head: Head | null = null;

  build(writes: readonly Write[]) {
    const rev = nextTid(this.head?.rev ?? null, 0, 7);
    return buildCommit({ did: DID, head: this.head, writes, rev, blocks: this.blocks });
  }

  write(...writes: Write[]) {
    const signed = signCommit(this.build(writes), SIGNER);
    this.blocks.add([...signed.newBlocks, signed.commit]);
    this.blocks.remove(signed.removed);
    this.head = signed.head;
    return signed;
  }
}

function repoWith(...writes: Write[]): Repo {
  const repo = new Repo();
  repo.write(...writes);
  return repo;
}

test("buildCommit() of a first commit has no since, no prevData and no proof", () => {
  const draft = new Repo().build([]);
  expect(draft).toMatchObject({ since: null, prevData: null, ops: [], removed: [], proof: [] });
  expect(draft.newBlocks.map((block) => block.cid)).toEqual([draft.data]);
  expect(cidToString(draft.data)).toBe("bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm");
});

test("buildCommit() without writes keeps the tree and replaces the commit", () => {
  const repo = repoWith(create("a"), create("b"));
  const before = repo.head as Head;
  const draft = repo.build([]);
  expect(draft).toMatchObject({ since: before.rev, ops: [], newBlocks: [] });
  expect(draft.removed).toEqual([before.commit]);
  // the root goes along: consumers read it before they look at the ops
  expect(draft.proof.map((block) => block.cid)).toEqual([before.data]);
  expect(draft.data).toEqual(before.data);
  expect(draft.prevData).toEqual(before.data);
});

test("buildCommit() tells ops with prev, in the order of the writes", () => {
  const repo = repoWith(create("b"), create("c"), create("d"));
  const writes: Write[] = [
    { action: "delete", path: "app.bsky.feed.post/d" },
    { action: "update", path: "app.bsky.feed.post/b", record: record("new") },
    create("a"),
  ];
  const draft = repo.build(writes);
  expect(draft.ops).toEqual([
    { action: "delete", path: "app.bsky.feed.post/d", cid: null, prev: record("d").cid },
    { action: "update", path: "app.bsky.feed.post/b", cid: record("new").cid, prev: record("b").cid },
    { action: "create", path: "app.bsky.feed.post/a", cid: record("a").cid, prev: null },
  ]);
  const removed = draft.removed.map(cidToString);
  expect(removed).toContain(cidToString(record("d").cid));
  expect(removed).toContain(cidToString(record("b").cid));
  expect(removed).toContain(cidToString(repo.head?.commit as Cid));
  const slice = new MemoryBlocks([...draft.newBlocks, ...draft.proof]);
  expect(invertCommit({ data: draft.data, ops: draft.ops, blocks: slice })).toEqual(repo.head?.data as Cid);
});

test("buildCommit() sends a written record even where another path holds it, and does not remove it", () => {
  const repo = repoWith(create("a", "same"), create("b", "other"));
  const draft = repo.build([
    { action: "delete", path: "app.bsky.feed.post/a" },
    create("c", "same"),
    { action: "update", path: "app.bsky.feed.post/b", record: record("other") },
  ]);
  const sent = draft.newBlocks.map((block) => cidToString(block.cid));
  expect(sent).toContain(cidToString(record("same").cid));
  expect(sent).toContain(cidToString(record("other").cid));
  expect(draft.removed).not.toContainEqual(record("same").cid);
  expect(draft.removed).not.toContainEqual(record("other").cid);
});

test.each<[string, Write[], string]>([
  [
    "creating what exists",
    [create("a")],
    'Could not create the record "app.bsky.feed.post/a": it exists already',
  ],
  [
    "updating what does not",
    [{ action: "update", path: "app.bsky.feed.post/x", record: record("x") }],
    'Could not update the record "app.bsky.feed.post/x": it does not exist',
  ],
  [
    "deleting what does not",
    [{ action: "delete", path: "app.bsky.feed.post/x" }],
    'Could not delete the record "app.bsky.feed.post/x": it does not exist',
  ],
  [
    "writing a path twice",
    [create("x"), { action: "delete", path: "app.bsky.feed.post/x" }],
    'Could not delete the record "app.bsky.feed.post/x": it is written twice in one commit',
  ],
  ["a path of three segments", [create("x/y")], 'Could not create the record "app.bsky.feed.post/x/y"'],
  ["a path of foreign characters", [create("ü")], 'Could not create the record "app.bsky.feed.post/ü"'],
  ["a record key of one dot", [create(".")], 'Could not create the record "app.bsky.feed.post/."'],
  [
    "too many writes",
    Array.from({ length: COMMIT_OPS_MAX + 1 }, (_, i) => create(`x${i}`)),
    "Could not write 201 records: 200 at most in one commit",
  ],
  ["a record too large", [create("x", "x".repeat(RECORD_BYTES_MAX))], "1000000 at most"],
  [
    "a slice too large",
    ["x", "y", "z"].map((key) => create(key, key.repeat(700_000))),
    "2000000 at most in one commit",
  ],
])("buildCommit() refuses %s", (_, writes, message) => {
  const repo = repoWith(create("a"));
  expect(() => repo.build(writes)).toThrow(
    expect.objectContaining({ code: "invalid_request", message: expect.stringContaining(message) }),
  );
});

test("buildCommit() refuses no slice that fits with a few bytes to spare, and every larger one", () => {
  const writes = (size: number) => [
    create("a", "x".repeat(900_000)),
    create("b", "y".repeat(900_000)),
    create("c", "z".repeat(size)),
  ];
  const measured = carSlice(new Repo().write(...writes(100_000))).length;
  const fitting = 100_000 + COMMIT_BLOCKS_BYTES_MAX - measured;
  expect(carSlice(new Repo().write(...writes(fitting - 8))).length).toBe(COMMIT_BLOCKS_BYTES_MAX - 8);
  expect(() => new Repo().write(...writes(fitting + 1))).toThrow("2000000 at most");
});

test("buildCommit() reports a missing node as damage of the storage", () => {
  const repo = repoWith(create("a"));
  repo.blocks.remove([repo.head?.data as Cid]);
  expect(() => repo.build([create("b")])).toThrow(expect.objectContaining({ code: "storage_damaged" }));
});

test("buildCommit() insists on a rising rev", () => {
  const repo = repoWith();
  const head = repo.head as Head;
  expect(() => buildCommit({ did: DID, head, writes: [], rev: head.rev, blocks: repo.blocks })).toThrow(
    RangeError,
  );
});

test("signCommit() makes a commit that verifies, and parseCommit() gives back its fields", async () => {
  const signer = signerFromPrivateKey("k256", new Uint8Array(32).fill(7));
  const draft = new Repo().build([create("a")]);
  const signed = signCommit(draft, signer);
  const commit = parseCommit(signed.commit.bytes);
  expect(commit).toMatchObject({ did: DID, rev: draft.rev, prev: null });
  expect(commit.data).toEqual(draft.data);
  expect(Buffer.from(commit.unsigned)).toEqual(Buffer.from(draft.unsigned));
  expect(signed.head).toEqual({ commit: cidOfCbor(signed.commit.bytes), rev: draft.rev, data: draft.data });
  expect(await judgeSignature(signer.didKey, commit.unsigned, commit.sig)).toBe(true);
});

test("verifyCommit() accepts the signer's key, and refuses another key and a wrong hash", () => {
  const signer = signerFromPrivateKey("p256", new Uint8Array(32).fill(7));
  const other = signerFromPrivateKey("p256", new Uint8Array(32).fill(8));
  const { commit } = signCommit(new Repo().build([]), signer);
  expect(verifyCommit(commit, signer.didKey).did).toBe(DID);
  expect(() => verifyCommit(commit, other.didKey)).toThrow("the signature is not by");
  const misnamed = { cid: record("x").cid, bytes: commit.bytes };
  expect(() => verifyCommit(misnamed, signer.didKey)).toThrow("another hash");
});

test.each([
  ["a record", record("x").bytes],
  ["version 2", encode({ did: DID, version: 2, rev: "x", data: "x", prev: null, sig: "x" })],
  ["null", encode(null)],
  ["garbage", Uint8Array.of(0xff)],
])("parseCommit() refuses %s", (_, bytes) => {
  expect(() => parseCommit(bytes)).toThrow(expect.objectContaining({ code: "invalid_request" }));
});
