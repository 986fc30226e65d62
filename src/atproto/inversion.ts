import { KithError } from "../errors.ts";
import type { BlockReader } from "./block.ts";
import { type Cid, cidEquals } from "./cid.ts";
import type { RepoOp } from "./commit.ts";
import { MstTree } from "./mst/mod.ts";

/**
 * Takes the ops of a commit back, last first, and returns the MST root that was before: what consumers of a #commit
 * compare with its `prevData`. `blocks` need hold no more than the blocks of the event.
 * Throws KithError `invalid_request` where a node is missing or malformed, or the tree is not what the ops say.
 * https://atproto.com/specs/sync#commit-validation-mst-operation-inversion
 */
export function invertCommit(commit: { data: Cid; ops: readonly RepoOp[]; blocks: BlockReader }): Cid {
  const tree = new MstTree(commit.data, commit.blocks, { fault: "invalid_request" });
  for (const { action, path, cid, prev } of commit.ops.toReversed()) {
    const found = prev ? tree.put(path, prev) : tree.delete(path);
    const agrees = cid && found ? cidEquals(cid, found) : cid === found;
    if (!agrees || (action === "create") !== (prev === null) || (action === "delete") !== (cid === null)) {
      throw new KithError(
        "invalid_request",
        `Could not invert the ${action} of "${path}": the tree disagrees`,
      );
    }
  }
  return tree.finish().root;
}
