import { expect, test } from "bun:test";
import { encodeCar } from "./car.ts";
import { encodeCbor, toBytes, toCidLink } from "./cbor.ts";
import { cidOfCbor } from "./cid.ts";
import { buildCommit, COMMIT_BLOCKS_BYTES_MAX, type SignedCommit, signCommit, type Write } from "./commit.ts";
import { commitEvent, decodeFrame, sealFrame } from "./events.ts";
import { checkCommitEvent } from "./inversion.ts";
import { signerFromPrivateKey } from "./keys/mod.ts";
import { MemoryBlocks } from "./memory_blocks.ts";
import { nextTid } from "./tid.ts";

const DID = "did:plc:wqgdnqlv2mwiio6pfchwtrff";
const SIGNER = signerFromPrivateKey("p256", new Uint8Array(32).fill(3));

function record(text: string) {
  const bytes = encodeCbor({ $type: "a.b.c", text });
  return { cid: cidOfCbor(bytes), bytes };
}

/** The second commit of a repo of forty records: one op of each kind. */
function secondCommit(): SignedCommit {
  const blocks = new MemoryBlocks();
  const writes: Write[] = Array.from({ length: 40 }, (_, n) => {
    return { action: "create", path: `a.b.c/k${n}`, record: record(`${n}`) };
  });
  const rev = nextTid(null, 1000, 7);
  const first = signCommit(buildCommit({ did: DID, head: null, writes, rev, blocks }), SIGNER);
  blocks.add(first.newBlocks);
  const change: Write[] = [
    { action: "create", path: "a.b.c/new", record: record("new") },
    { action: "update", path: "a.b.c/k1", record: record("other") },
    { action: "delete", path: "a.b.c/k2" },
  ];
  const input = { did: DID, head: first.head, writes: change, rev: nextTid(rev, 0, 7), blocks };
  return signCommit(buildCommit(input), SIGNER);
}

const SIGNED = secondCommit();
const { payload: PAYLOAD } = decodeFrame(sealFrame(commitEvent(SIGNED, { time: "2026-11-21T08:00:00Z" }), 9));
const OPS = PAYLOAD.ops as Record<string, unknown>[];
const SENT = [SIGNED.commit, ...SIGNED.newBlocks, ...SIGNED.proof];
const OTHER = toCidLink(record("unknown").cid);

function blocksWithout(...texts: string[]): unknown {
  const gone = new Set(texts.map((text) => record(text).cid.bytes.join()));
  return toBytes(
    encodeCar(
      [SIGNED.commit.cid],
      SENT.filter(({ cid }) => !gone.has(cid.bytes.join())),
    ),
  );
}

test("checkCommitEvent() accepts a right event by the right key", () => {
  const checked = checkCommitEvent(PAYLOAD, { didKey: SIGNER.didKey });
  expect(checked).toMatchObject({ did: DID, rev: SIGNED.rev, since: SIGNED.since, ops: SIGNED.ops });
  expect(checked.prevData).toEqual(SIGNED.prevData);
});

test("checkCommitEvent() refuses a signature by another key", () => {
  const other = signerFromPrivateKey("p256", new Uint8Array(32).fill(4));
  expect(() => checkCommitEvent(PAYLOAD, { didKey: other.didKey })).toThrow("the signature is not by");
});

test.each<[string, Record<string, unknown>]>([
  ["tooBig", { tooBig: true }],
  ["rebase", { rebase: true }],
  ["blocks that are too large", { blocks: toBytes(new Uint8Array(COMMIT_BLOCKS_BYTES_MAX + 1)) }],
  ["blocks that are no CAR", { blocks: toBytes(new Uint8Array(9)) }],
  ["no blocks", { blocks: undefined }],
  ["too many ops", { ops: Array.from({ length: 201 }, () => OPS[0]) }],
  ["an op of no kind", { ops: [{ ...OPS[0], action: "move" }] }],
  ["a path twice", { ops: [...OPS, OPS[0]] }],
  ["a path that is none", { ops: OPS.map((op) => ({ ...op, path: "x" })) }],
  ["another repo", { repo: "did:web:b.test" }],
  ["another rev", { rev: nextTid(SIGNED.rev, 0, 7) }],
  ["another commit", { commit: OTHER }],
  ["another prevData", { prevData: OTHER }],
  ["no prevData", { prevData: undefined }],
  ["no since", { since: null }],
  ["an op left out", { ops: OPS.slice(1) }],
  ["an op with another prev", { ops: OPS.map((op) => (op.prev ? { ...op, prev: OTHER } : op)) }],
  [
    "an update without prev",
    { ops: OPS.map((op) => (op.action === "update" ? { ...op, prev: undefined } : op)) },
  ],
  ["an op with another path", { ops: OPS.map((op) => ({ ...op, path: `${op.path}x` })) }],
  ["a slice without a record", { blocks: blocksWithout("new") }],
])("checkCommitEvent() refuses %s", (_, change) => {
  expect(() => checkCommitEvent({ ...PAYLOAD, ...change })).toThrow(
    expect.objectContaining({ code: "invalid_request" }),
  );
});
