/**
 * What consumers of the firehose check of a #commit.
 * https://atproto.com/specs/sync#commit-validation-mst-operation-inversion
 */
import { isBytes, isCidLink } from "@atcute/cbor";
import { KithError } from "../errors.ts";
import type { BlockReader } from "./block.ts";
import { readCar } from "./car.ts";
import { fromBytes, fromCidLink } from "./cbor.ts";
import { type Cid, cidEquals } from "./cid.ts";
import { COMMIT_BLOCKS_BYTES_MAX, COMMIT_OPS_MAX, parseCommit, type RepoOp, verifyCommit } from "./commit.ts";
import { MemoryBlocks } from "./memory_blocks.ts";
import { EMPTY_NODE, isRepoPath, MstTree, readBlock } from "./mst/mod.ts";

/**
 * Takes the ops of a commit back, last first, and returns the MST root that was before: what consumers of a #commit
 * compare with its `prevData`. `blocks` need hold no more than the blocks of the event.
 * Throws KithError `invalid_request` where a node is missing or malformed, or the tree is not what the ops say.
 */
export function invertCommit(commit: { data: Cid; ops: readonly RepoOp[]; blocks: BlockReader }): Cid {
  if (commit.ops.length === 0) return commit.data;
  const tree = new MstTree(commit.data, commit.blocks, { fault: "invalid_request" });
  for (const { action, path, cid, prev } of commit.ops.toReversed()) {
    if (!isRepoPath(path)) throw refusal(`"${path}" is not a valid path`);
    const found = prev ? tree.put(path, prev) : tree.delete(path);
    const shaped = (action === "create") === (prev === null) && (action === "delete") === (cid === null);
    if (!shaped || !sameLink(cid, found)) throw refusal(`the tree disagrees with the ${action} of "${path}"`);
  }
  return tree.finish().root;
}

/** A #commit that has been checked. */
export interface CheckedCommit {
  readonly did: string;
  readonly rev: string;
  readonly since: string | null;
  readonly data: Cid;
  readonly prevData: Cid | null;
  readonly ops: RepoOp[];
  /** The blocks of the event. */
  readonly blocks: BlockReader;
}

/**
 * Checks the payload of a #commit as a strict relay does: its limits, the commit in its CAR against its fields, the
 * signature where `didKey` is given, that the written records are there, and that inverting the ops gives `prevData`
 * (on a first commit, the empty tree). KithError `invalid_request` on the first thing that is wrong.
 */
export function checkCommitEvent(
  payload: Readonly<Record<string, unknown>>,
  { didKey }: { didKey?: string } = {},
): CheckedCommit {
  const { repo, rev, since, blocks, ops, tooBig, rebase, commit: commitLink } = payload;
  if (tooBig !== false || rebase !== false) throw refusal("tooBig or rebase is set");
  if (!isBytes(blocks) || fromBytes(blocks).length > COMMIT_BLOCKS_BYTES_MAX)
    throw refusal("its blocks are too large");
  if (!Array.isArray(ops) || ops.length > COMMIT_OPS_MAX) throw refusal("its ops are too many");
  const { roots, blocks: sent } = readCar(fromBytes(blocks));
  const car = new MemoryBlocks(sent);
  const root = linkOf(commitLink);
  if (!root || !roots[0] || !sameLink(root, roots[0])) throw refusal("the root of its CAR is another commit");
  const block = { cid: root, bytes: readBlock(car, root, "invalid_request") };
  const commit = didKey === undefined ? parseCommit(block.bytes) : verifyCommit(block, didKey);
  if (commit.did !== repo || commit.rev !== rev) throw refusal("its repo or rev is not that of its commit");
  const parsed = ops.map(parseOp);
  if (new Set(parsed.map((op) => op.path)).size < parsed.length) throw refusal("a path is written twice");
  for (const { cid } of parsed) if (cid) readBlock(car, cid, "invalid_request");
  const prevData = linkOf(payload.prevData);
  const before = invertCommit({ data: commit.data, ops: parsed, blocks: car });
  if (!sameLink(before, prevData ?? EMPTY_NODE.cid)) throw refusal("its prevData is another");
  if ((since === null) !== (prevData === null)) throw refusal("only one of since and prevData is there");
  return {
    did: commit.did,
    rev: commit.rev,
    since: typeof since === "string" ? since : null,
    data: commit.data,
    prevData,
    ops: parsed,
    blocks: car,
  };
}

function parseOp(value: unknown): RepoOp {
  const { action, path, cid, prev } = (value ?? {}) as Record<string, unknown>;
  if (action !== "create" && action !== "update" && action !== "delete")
    throw refusal("an op of another action");
  if (typeof path !== "string" || !isRepoPath(path)) throw refusal("an op without a valid path");
  return { action, path, cid: linkOf(cid), prev: linkOf(prev) };
}

function linkOf(value: unknown): Cid | null {
  return isCidLink(value) ? fromCidLink(value) : null;
}

function sameLink(a: Cid | null, b: Cid | null): boolean {
  return a && b ? cidEquals(a, b) : a === b;
}

function refusal(reason: string): KithError {
  return new KithError("invalid_request", `Could not verify the #commit: ${reason}`);
}
