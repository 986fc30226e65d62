/**
 * Whole repos as CARs: checking one that comes in, walking one that goes out, and the proof of one record.
 * https://atproto.com/specs/repository#car-file-serialization
 */
import { KithError } from "../errors.ts";
import type { Block, BlockReader } from "./block.ts";
import { readCar } from "./car.ts";
import { type Cid, cidFromBytes, cidKey } from "./cid.ts";
import { type Head, RECORD_BYTES_MAX, verifyCommit } from "./commit.ts";
import { MemoryBlocks } from "./memory_blocks.ts";
import { proveKey, readBlock, walkTree } from "./mst/mod.ts";
import { isTid } from "./syntax.ts";

/** Bytes of records that may be counted twice, being under several paths; no honest repo comes near. */
export const REPEATED_BYTES_MAX = 64 * 1024 * 1024;

/** One record of a repo. */
export interface RepoRecord {
  /** `collection/rkey`. */
  readonly path: string;
  readonly cid: Cid;
  readonly bytes: Uint8Array;
}

/** A repo whose commit and tree are right. What its records say has not been looked at. */
export interface VerifiedRepo {
  readonly head: Head;
  readonly commit: Block;
  readonly recordCount: number;
  /** Nodes of the tree, each of which is another block. */
  readonly nodeCount: number;
  /** In the order of their paths. */
  readonly records: Iterable<RepoRecord>;
  /** What is reachable and nothing else: the commit, then nodes and records in the order of the export. */
  readonly blocks: Iterable<Block>;
}

export interface VerifyRepoOptions {
  /** Whose repo it must be. */
  readonly did: string;
  /** The key that must have signed the commit. */
  readonly didKey: string;
}

/** Where a repo is read from. Whoever filled it has checked that each block hashes to its CID. */
export interface RepoSource {
  readonly root: Cid;
  readonly blocks: BlockReader;
  /** Bytes of records, over all paths, that are too many. */
  readonly recordBytesMax: number;
}

/**
 * Checks a repo given as a CAR. The blocks may come in any order, repeated, and with others between them.
 * KithError `invalid_request` on anything that is wrong with it. The result holds views into `bytes`.
 */
export function verifyRepoCar(bytes: Uint8Array, options: VerifyRepoOptions): VerifiedRepo {
  const { roots, blocks } = readCar(bytes);
  if (!roots[0]) throw refusal("its CAR has no root");
  const source = { root: roots[0], blocks: new MemoryBlocks(blocks) };
  return verifyRepo({ ...source, recordBytesMax: bytes.length + REPEATED_BYTES_MAX }, options);
}

/**
 * Checks a repo from any source: the signature and the DID of its commit, the shape of its tree, and that every record
 * is there. KithError `invalid_request` on anything that is wrong with it.
 */
export function verifyRepo(source: RepoSource, options: VerifyRepoOptions): VerifiedRepo {
  const steps = verifyRepoSteps(source, options);
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

/**
 * As `verifyRepo`, one record at a time, in the order of their paths, so that a large repo can be checked without holding
 * up others. What it has yielded counts only once it has come to its end.
 */
export function* verifyRepoSteps(
  source: RepoSource,
  { did, didKey }: VerifyRepoOptions,
): Generator<RepoRecord, VerifiedRepo> {
  const { blocks } = source;
  const root = ownedCid(source.root);
  const block = { cid: root, bytes: readBlock(blocks, root, "invalid_request") };
  const commit = verifyCommit(block, didKey);
  if (commit.did !== did) throw refusal(`it is the repo of "${commit.did}", not of "${did}"`);
  if (!isTid(commit.rev)) throw refusal(`its rev "${commit.rev}" is not a TID`);
  let nodeCount = 0;
  let recordCount = 0;
  let recordBytes = 0;
  for (const item of walkTree(blocks, commit.data, { fault: "invalid_request", verify: true })) {
    if (item.kind === "node") {
      nodeCount++;
      continue;
    }
    const bytes = readBlock(blocks, item.value, "invalid_request");
    const size = bytes.length;
    if (size > RECORD_BYTES_MAX) {
      throw refusal(`the record "${item.key}" has ${size} bytes, ${RECORD_BYTES_MAX} at most`);
    }
    recordCount++;
    recordBytes += size;
    if (recordBytes > source.recordBytesMax) throw refusal("its records are repeated too often");
    yield { path: item.key, cid: item.value, bytes };
  }
  const head = { commit: root, rev: commit.rev, data: ownedCid(commit.data) };
  return {
    head,
    commit: block,
    recordCount,
    nodeCount,
    records: { [Symbol.iterator]: () => recordsOf(head, blocks) },
    blocks: { [Symbol.iterator]: () => exportOrder(head, blocks) },
  };
}

/** A CID with bytes of its own, not a view that keeps a whole CAR in memory. */
function ownedCid(cid: Cid): Cid {
  return cidFromBytes(cid.bytes.slice());
}

function refusal(reason: string): KithError {
  return new KithError("invalid_request", `Could not verify the repo: ${reason}`);
}

function* recordsOf(head: Head, blocks: BlockReader): Generator<RepoRecord, void> {
  for (const item of walkTree(blocks, head.data)) {
    if (item.kind === "node") continue;
    yield { path: item.key, cid: item.value, bytes: readBlock(blocks, item.value, "storage_damaged") };
  }
}

/**
 * The blocks of a repo in the preferred order of an export: the commit, then the tree depth-first, each node before
 * its content and each record in the place of its entry. A record under several paths comes once. Needs memory for
 * one node a layer, and for the CIDs of the records.
 */
export function* exportOrder(head: Head, blocks: BlockReader): Generator<Block, void> {
  yield { cid: head.commit, bytes: readBlock(blocks, head.commit, "storage_damaged") };
  const seen = new Set<string>();
  for (const item of walkTree(blocks, head.data)) {
    if (item.kind === "node") {
      yield item.block;
      continue;
    }
    const key = cidKey(item.value);
    if (seen.has(key)) continue;
    seen.add(key);
    yield { cid: item.value, bytes: readBlock(blocks, item.value, "storage_damaged") };
  }
}

/**
 * The blocks that prove a record, or that there is none: the commit, the nodes on the way to the path, the record.
 * They are what `com.atproto.sync.getRecord` answers as a CAR with the commit as its root.
 */
export function recordProof(
  head: Head,
  { path, blocks }: { path: string; blocks: BlockReader },
): { cid: Cid | null; blocks: Block[] } {
  const commit = { cid: head.commit, bytes: readBlock(blocks, head.commit, "storage_damaged") };
  const { value, nodes } = proveKey(blocks, head.data, { key: path });
  if (!value) return { cid: null, blocks: [commit, ...nodes] };
  const record = { cid: value, bytes: readBlock(blocks, value, "storage_damaged") };
  return { cid: value, blocks: [commit, ...nodes, record] };
}

/** Blocks of one proof: the commit, a node a layer, the record, and what a generous server adds. */
const PROOF_BLOCKS_MAX = 256;

/**
 * The record that a proof shows to be in a repo at `path`, or undefined where the proof shows that there is none: the other
 * side of `recordProof`. KithError invalid_request where it proves neither.
 */
export function verifyRecordProof(
  bytes: Uint8Array,
  { did, didKey, path }: VerifyRepoOptions & { readonly path: string },
): Block | undefined {
  const { roots, blocks } = readCar(bytes, { blocksMax: PROOF_BLOCKS_MAX });
  const [root] = roots;
  if (!root) throw refusal("its CAR has no root");
  const held = new MemoryBlocks(blocks);
  const commit = verifyCommit({ cid: root, bytes: readBlock(held, root, "invalid_request") }, didKey);
  if (commit.did !== did) throw refusal(`it is the repo of "${commit.did}", not of "${did}"`);
  const { value } = proveKey(held, commit.data, { key: path, fault: "invalid_request" });
  if (!value) return undefined;
  return { cid: ownedCid(value), bytes: readBlock(held, value, "invalid_request") };
}
