import { KithError } from "../../errors.ts";
import type { Block, BlockReader } from "../block.ts";
import { type Cid, cidToString } from "../cid.ts";
import { isRepoPath, keyDepth } from "./key.ts";
import { type BlockFault, type MstNode, readNode, TREE_HEIGHT_MAX } from "./node.ts";

/** What a walk meets: a node as it is entered, or an entry of the node. */
export type TreeItem =
  | { readonly kind: "node"; readonly block: Block }
  | { readonly kind: "entry"; readonly key: string; readonly value: Cid };

export interface WalkOptions {
  /** What a missing or malformed node is reported as; our own storage unless told. */
  readonly fault?: BlockFault;
  /** Check that the tree is well-formed: paths, order over all nodes, the layer of each key. Default false. */
  readonly verify?: boolean;
}

interface Frame {
  readonly node: MstNode;
  readonly depth: number;
  /** Twice the index of the next sub-tree, or one more than twice that of the next entry. */
  next: number;
}

/**
 * Walks a tree depth-first: each node before its content, keys ascending, sub-trees in their place. Needs memory for
 * one node a layer. KithError `fault` on damage, and with `verify` on everything that a well-formed tree is not.
 */
export function* walkTree(
  blocks: BlockReader,
  root: Cid,
  { fault = "storage_damaged", verify = false }: WalkOptions = {},
): Generator<TreeItem, void> {
  const order = new KeyOrder();
  const top = readNode(blocks, root, fault);
  const stack: Frame[] = [{ node: top, depth: rootDepth(top, fault), next: 0 }];
  yield { kind: "node", block: top.block };
  for (let frame = stack.at(-1); frame; frame = stack.at(-1)) {
    const { node, depth } = frame;
    const at = frame.next >> 1;
    const isEntry = (frame.next & 1) === 1;
    frame.next++;
    if (isEntry) {
      const key = node.keys[at];
      if (key === undefined) stack.pop();
      else {
        if (verify) order.check(key, { depth, fault });
        yield { kind: "entry", key, value: node.values[at] as Cid };
      }
      continue;
    }
    const sub = node.subs[at];
    if (!sub) continue;
    const below = readNode(blocks, sub, fault);
    if (depth === 0) throw malformed(fault, `"${cidToString(sub)}" is below the lowest layer`);
    if (verify && below.keys.length === 0 && !below.subs[0]) {
      throw malformed(fault, `"${cidToString(sub)}" is empty`);
    }
    stack.push({ node: below, depth: depth - 1, next: 0 });
    yield { kind: "node", block: below.block };
  }
}

/** The layer of a root node, by its first key. An empty root is of layer 0 and has nothing below. */
function rootDepth(root: MstNode, fault: BlockFault): number {
  const first = root.keys[0];
  if (first === undefined) {
    if (root.subs[0]) throw malformed(fault, "its root has no entry");
    return 0;
  }
  const depth = keyDepth(first);
  if (depth > TREE_HEIGHT_MAX) throw malformed(fault, `${depth} layers, ${TREE_HEIGHT_MAX} at most`);
  return depth;
}

/** Checks keys in the order of the walk. */
class KeyOrder {
  #last = "";

  check(key: string, { depth, fault }: { depth: number; fault: BlockFault }): void {
    if (!isRepoPath(key)) throw malformed(fault, `"${key}" is not a valid path`);
    if (key <= this.#last) throw malformed(fault, `"${key}" comes after "${this.#last}"`);
    if (keyDepth(key) !== depth) throw malformed(fault, `"${key}" is in layer ${depth}, not its own`);
    this.#last = key;
  }
}

function malformed(fault: BlockFault, reason: string): KithError {
  return new KithError(fault, `Could not read the MST: ${reason}`);
}
