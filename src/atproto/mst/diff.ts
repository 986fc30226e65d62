import type { Block, BlockReader } from "../block.ts";
import { type Cid, cidEquals, cidKey } from "../cid.ts";
import { keyDepth } from "./key.ts";
import { type BlockFault, type MstNode, readNode } from "./node.ts";

export interface TreeDiff {
  /** Keys whose value differs, ascending; null where the key is absent. */
  readonly changes: { readonly key: string; readonly from: Cid | null; readonly to: Cid | null }[];
  /** Nodes of the second tree that the first has not. */
  readonly created: Block[];
  /** Nodes of the first tree that the second has not. */
  readonly removed: Cid[];
}

/** What is next in a tree: a sub-tree not entered yet, or an entry. */
type Item =
  | { readonly kind: "sub"; readonly cid: Cid; readonly depth: number }
  | { readonly kind: "entry"; readonly key: string; readonly value: Cid };

/** Compares two trees, reading only where they differ. `from` null is no tree at all. */
export function diffTrees(trees: {
  blocks: BlockReader;
  from: Cid | null;
  to: Cid;
  fault?: BlockFault;
}): TreeDiff {
  const { blocks, fault = "storage_damaged" } = trees;
  const a = new TreeCursor(trees.from, blocks, fault);
  const b = new TreeCursor(trees.to, blocks, fault);
  const changes: TreeDiff["changes"] = [];
  while (a.item || b.item) {
    const [left, right] = [a.item, b.item];
    if (left?.kind === "sub" && right?.kind === "sub" && cidEquals(left.cid, right.cid)) {
      a.skip();
      b.skip();
    } else if (left?.kind === "sub" && !(right?.kind === "sub" && right.depth > left.depth)) {
      a.enter();
    } else if (right?.kind === "sub") {
      b.enter();
    } else {
      compareEntries(a, b, changes);
    }
  }
  return {
    changes,
    created: [...b.entered].filter(([key]) => !a.entered.has(key)).map(([, block]) => block),
    removed: [...a.entered].filter(([key]) => !b.entered.has(key)).map(([, block]) => block.cid),
  };
}

/** Takes the lower of two entries, or both where they have one key. */
function compareEntries(a: TreeCursor, b: TreeCursor, changes: TreeDiff["changes"]): void {
  const left = a.item?.kind === "entry" ? a.item : null;
  const right = b.item?.kind === "entry" ? b.item : null;
  const key = !right || (left && left.key < right.key) ? left?.key : right.key;
  if (key === undefined) return;
  const from = left?.key === key ? left.value : null;
  const to = right?.key === key ? right.value : null;
  if (from) a.skip();
  if (to) b.skip();
  if (!from || !to || !cidEquals(from, to)) changes.push({ key, from, to });
}

class TreeCursor {
  readonly #blocks: BlockReader;
  readonly #fault: BlockFault;
  readonly #stack: { node: MstNode; depth: number; next: number }[] = [];
  /** Nodes that were read, by `cidKey`. */
  readonly entered = new Map<string, Block>();
  item: Item | null = null;

  constructor(root: Cid | null, blocks: BlockReader, fault: BlockFault) {
    this.#blocks = blocks;
    this.#fault = fault;
    if (!root) return;
    const { keys } = readNode(blocks, root, fault);
    this.item = { kind: "sub", cid: root, depth: keys[0] === undefined ? 0 : keyDepth(keys[0]) };
  }

  /** Goes on behind the item. */
  skip(): void {
    for (let frame = this.#stack.at(-1); frame; frame = this.#stack.at(-1)) {
      const at = frame.next >> 1;
      const isEntry = (frame.next & 1) === 1;
      frame.next++;
      const { node, depth } = frame;
      if (isEntry && at === node.keys.length) {
        this.#stack.pop();
      } else if (isEntry) {
        this.item = { kind: "entry", key: node.keys[at] as string, value: node.values[at] as Cid };
        return;
      } else if (node.subs[at]) {
        this.item = { kind: "sub", cid: node.subs[at], depth: depth - 1 };
        return;
      }
    }
    this.item = null;
  }

  /** Goes to the first item of the sub-tree that is the item. */
  enter(): void {
    if (this.item?.kind !== "sub") return;
    const { cid, depth } = this.item;
    const node = readNode(this.#blocks, cid, this.#fault);
    this.entered.set(cidKey(cid), node.block);
    this.#stack.push({ node, depth, next: 0 });
    this.skip();
  }
}
