/**
 * Commits: `buildCommit` turns a head and writes into the next state of a repo, `signCommit` seals it, `carSlice`
 * makes what the firehose carries of it. Pure and without await: the repo's one writer runs them in one turn.
 * https://atproto.com/specs/repository#commit-objects
 */
import { isBytes, isCidLink } from "@atcute/cbor";
import { KithError } from "../errors.ts";
import type { Block, BlockReader } from "./block.ts";
import { encodeCar } from "./car.ts";
import { decodeCbor, encodeCbor, fromBytes, fromCidLink, toBytes, toCidLink } from "./cbor.ts";
import { CID_BYTES, type Cid, cidEquals, cidKey, cidOfCbor, cidToString } from "./cid.ts";
import { verifySignature } from "./keys/mod.ts";
import { isRepoPath, MstTree } from "./mst/mod.ts";
import type { Signer } from "./signer.ts";

/** Writes in one commit. https://atproto.com/specs/sync#repo-updates */
export const COMMIT_OPS_MAX = 200;
/** Bytes of a commit's CAR slice. */
export const COMMIT_BLOCKS_BYTES_MAX = 2_000_000;
/** Bytes of one record. */
export const RECORD_BYTES_MAX = 1_000_000;

const SIGNATURE_BYTES = 64;
/** What the CAR adds: its header, the signature field of the commit, and to each block a length of 3 bytes and a CID. */
const SLICE_BYTES_EXTRA = 59 + 4 + 2 + SIGNATURE_BYTES;
const BLOCK_BYTES_EXTRA = 3 + CID_BYTES;

/** The newest commit of a repo. */
export interface Head {
  readonly commit: Cid;
  /** TID of the commit. */
  readonly rev: string;
  /** Root of the MST. */
  readonly data: Cid;
}

/** One change of a repo; `path` is `collection/rkey`. */
export type Write =
  | { readonly action: "create" | "update"; readonly path: string; readonly record: Block }
  | { readonly action: "delete"; readonly path: string };

/** One change as the firehose tells it. */
export interface RepoOp {
  readonly action: "create" | "update" | "delete";
  readonly path: string;
  /** The new record; null on delete. */
  readonly cid: Cid | null;
  /** The record before; null on create. */
  readonly prev: Cid | null;
}

/** A commit without its signature, and what storing and telling it takes. */
export interface CommitDraft {
  readonly did: string;
  readonly rev: string;
  /** Rev of the commit before; null on the first. */
  readonly since: string | null;
  /** MST root of the commit before; null on the first. */
  readonly prevData: Cid | null;
  readonly data: Cid;
  /** In the order of the writes. */
  readonly ops: RepoOp[];
  /** New MST nodes, the root first, then the written records. A written record may be held already. */
  readonly newBlocks: Block[];
  /** MST nodes no longer reachable, replaced and deleted records (which another path may still hold), the old commit. */
  readonly removed: Cid[];
  /** Those of `removed` that are replaced and deleted records. */
  readonly replaced: Cid[];
  /** Stored MST nodes that inverting the ops takes, none of them in `newBlocks`. */
  readonly proof: Block[];
  /** The bytes that are signed. */
  readonly unsigned: Uint8Array;
}

export interface SignedCommit extends CommitDraft {
  readonly commit: Block;
  readonly head: Head;
}

export interface BuildCommitInput {
  readonly did: string;
  /** The commit before; null for the first of the repo. */
  readonly head: Head | null;
  /** In order; none is legal. */
  readonly writes: readonly Write[];
  /** TID, above the head's. */
  readonly rev: string;
  /** Where the head's MST nodes are read from. */
  readonly blocks: BlockReader;
  /** The head's tree where it is held already; not to be used any more where `buildCommit` throws. */
  readonly tree?: MstTree;
}

/**
 * Builds the commit that applies `writes` to `head`.
 * Throws KithError `invalid_request` on a bad or repeated path, on creating what exists, on updating or deleting what
 * does not, and past the limits of a commit; `storage_damaged` where a needed block is missing or malformed.
 */
export function buildCommit(input: BuildCommitInput): CommitDraft {
  const { did, head, writes, rev, blocks } = input;
  if (head && rev <= head.rev) throw new RangeError(`rev "${rev}" is not above the head's "${head.rev}"`);
  checkWrites(writes);
  const tree = input.tree ?? new MstTree(head?.data ?? null, blocks);
  const ops = writes.map((write) => applyWrite(tree, write));
  const change = tree.finish();
  const proof = head ? tree.coveringProof(ops.filter(needsCover).map((op) => op.path)) : [];
  const records = new Map<string, Block>();
  for (const write of writes) {
    if (write.action !== "delete") records.set(cidKey(write.record.cid), write.record);
  }
  const gone = new Map<string, Cid>();
  for (const { prev } of ops) if (prev && !records.has(cidKey(prev))) gone.set(cidKey(prev), prev);
  const draft: CommitDraft = {
    did,
    rev,
    since: head?.rev ?? null,
    prevData: head?.data ?? null,
    data: change.root,
    ops,
    newBlocks: [...change.created, ...records.values()],
    removed: [...change.removed, ...gone.values(), ...(head ? [head.commit] : [])],
    replaced: [...gone.values()],
    proof,
    unsigned: encodeCbor({ did, version: 3, data: toCidLink(change.root), rev, prev: null }),
  };
  checkSliceBytes(draft);
  return draft;
}

function checkWrites(writes: readonly Write[]): void {
  if (writes.length > COMMIT_OPS_MAX) {
    throw refusal(`Could not write ${writes.length} records: ${COMMIT_OPS_MAX} at most in one commit`);
  }
  const paths = new Set<string>();
  for (const write of writes) {
    const { action, path } = write;
    if (!isRepoPath(path)) throw refusal(`Could not ${action} the record "${path}": not a valid path`);
    if (paths.has(path))
      throw refusal(`Could not ${action} the record "${path}": it is written twice in one commit`);
    paths.add(path);
    if (write.action === "delete") continue;
    const size = write.record.bytes.length;
    if (size > RECORD_BYTES_MAX) {
      throw refusal(`Could not ${action} the record "${path}": ${size} bytes, ${RECORD_BYTES_MAX} at most`);
    }
  }
}

function applyWrite(tree: MstTree, write: Write): RepoOp {
  const { action, path } = write;
  const cid = write.action === "delete" ? null : write.record.cid;
  const prev = cid ? tree.put(path, cid) : tree.delete(path);
  if (action === "create" && prev) {
    throw refusal(`Could not create the record "${path}": it exists already`);
  }
  if (action !== "create" && !prev) {
    throw refusal(`Could not ${action} the record "${path}": it does not exist`);
  }
  return { action, path, cid, prev };
}

/** All nodes on the way to an updated record are new, unless it was set to what it was. */
function needsCover({ action, cid, prev }: RepoOp): boolean {
  return action !== "update" || (cid !== null && prev !== null && cidEquals(cid, prev));
}

function checkSliceBytes(draft: CommitDraft): void {
  let size = SLICE_BYTES_EXTRA + BLOCK_BYTES_EXTRA + draft.unsigned.length;
  for (const block of draft.newBlocks) size += BLOCK_BYTES_EXTRA + block.bytes.length;
  for (const block of draft.proof) size += BLOCK_BYTES_EXTRA + block.bytes.length;
  if (size > COMMIT_BLOCKS_BYTES_MAX) {
    throw refusal(
      `Could not write ${draft.ops.length} records: ${size} bytes, ${COMMIT_BLOCKS_BYTES_MAX} at most in one commit`,
    );
  }
}

function refusal(message: string): KithError {
  return new KithError("invalid_request", message);
}

/** Signs a draft. The signer is the account's key, wherever it is held. */
export function signCommit(draft: CommitDraft, signer: Signer): SignedCommit {
  const { did, rev, data } = draft;
  const sig = signer.sign(draft.unsigned);
  if (sig.length !== SIGNATURE_BYTES) throw new RangeError(`a signature of ${sig.length} bytes`);
  const bytes = encodeCbor({ did, version: 3, data: toCidLink(data), rev, prev: null, sig: toBytes(sig) });
  const commit = { cid: cidOfCbor(bytes), bytes };
  return { ...draft, commit, head: { commit: commit.cid, rev, data } };
}

/** The CAR of a #commit event: the commit, which is its root, the new MST nodes and records, and the proof. */
export function carSlice(signed: SignedCommit): Uint8Array {
  return encodeCar([signed.commit.cid], [signed.commit, ...signed.newBlocks, ...signed.proof]);
}

/** A commit object as read. */
export interface Commit {
  readonly did: string;
  readonly rev: string;
  readonly data: Cid;
  readonly prev: Cid | null;
  readonly sig: Uint8Array;
  /** The bytes that `sig` is over. */
  readonly unsigned: Uint8Array;
}

const COMMIT_FIELDS = ["data", "did", "prev", "rev", "sig", "version"].join();

/**
 * Parses a commit object, version 3. The signature is not checked: see `verifyCommit`.
 * Throws KithError `invalid_request` on anything else.
 */
export function parseCommit(bytes: Uint8Array): Commit {
  let value: unknown;
  try {
    value = decodeCbor(bytes);
  } catch (cause) {
    throw new KithError("invalid_request", "Could not read the commit: it is not DRISL", { cause });
  }
  const fields = (value ?? {}) as Record<string, unknown>;
  const { did, rev, data, prev, sig, version } = fields;
  if (
    typeof value !== "object" ||
    Object.keys(fields).sort().join() !== COMMIT_FIELDS ||
    version !== 3 ||
    typeof did !== "string" ||
    typeof rev !== "string" ||
    !isCidLink(data) ||
    !(prev === null || isCidLink(prev)) ||
    !isBytes(sig)
  ) {
    throw refusal("Could not read the commit: not a commit object of version 3");
  }
  return {
    did,
    rev,
    data: fromCidLink(data),
    prev: prev === null ? null : fromCidLink(prev),
    sig: fromBytes(sig),
    unsigned: encodeCbor({ did, version, data, rev, prev }),
  };
}

/** Parses the commit of a block and checks that the block hashes to its CID and that `didKey` signed it. */
export function verifyCommit(block: Block, didKey: string): Commit {
  const commit = parseCommit(block.bytes);
  const name = cidToString(block.cid);
  if (cidKey(cidOfCbor(block.bytes)) !== cidKey(block.cid)) {
    throw refusal(`Could not verify the commit "${name}": its bytes have another hash`);
  }
  if (!verifySignature(didKey, commit.unsigned, commit.sig)) {
    throw refusal(`Could not verify the commit "${name}": the signature is not by "${didKey}"`);
  }
  return commit;
}
