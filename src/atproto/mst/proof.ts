import type { Block, BlockReader } from "../block.ts";
import type { Cid } from "../cid.ts";
import { lowerBound } from "./key.ts";
import { type BlockFault, readNode, TREE_HEIGHT_MAX } from "./node.ts";

export interface KeyProof {
  /** The value of the key; null where the tree has it not. */
  readonly value: Cid | null;
  /** The nodes from the root to the place of the key: they prove either. */
  readonly nodes: Block[];
}

/** Finds `key` and the nodes that prove its value or its absence. KithError `fault` on damage. */
export function proveKey(
  blocks: BlockReader,
  root: Cid,
  { key, fault = "storage_damaged" }: { key: string; fault?: BlockFault },
): KeyProof {
  const nodes: Block[] = [];
  let next: Cid | null = root;
  while (next && nodes.length <= TREE_HEIGHT_MAX) {
    const node = readNode(blocks, next, fault);
    nodes.push(node.block);
    const at = lowerBound(node.keys, key);
    if (node.keys[at] === key) return { value: node.values[at] as Cid, nodes };
    next = node.subs[at] ?? null;
  }
  return { value: null, nodes };
}
