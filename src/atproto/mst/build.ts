import { KithError } from "../../errors.ts";
import type { Block } from "../block.ts";
import type { Cid } from "../cid.ts";
import { keyDepth } from "./key.ts";
import { EMPTY_NODE, NODE_ENTRIES_MAX, nodeBlock, TREE_HEIGHT_MAX } from "./node.ts";

/** The open node of one layer, without its last sub-tree. */
interface OpenNode {
  keys: string[];
  values: Cid[];
  subs: (Cid | null)[];
  /** The sub-tree after the last key so far. */
  last: Cid | null;
}

/**
 * Builds a tree from all its keys at once, in one pass, holding one open node a layer: for an import, a repair, a
 * check. Each node is handed out as soon as it is complete, children first.
 */
export class TreeBuilder {
  readonly #emit: (node: Block) => void;
  readonly #layers: OpenNode[] = [];
  #last = "";

  constructor(emit: (node: Block) => void) {
    this.#emit = emit;
  }

  /** Adds a key, above all before. RangeError where it is not; KithError invalid_request on mined keys. */
  add(key: string, value: Cid): void {
    if (key <= this.#last) throw new RangeError(`key "${key}" is not above "${this.#last}"`);
    this.#last = key;
    const depth = keyDepth(key);
    if (depth > TREE_HEIGHT_MAX) throw mined(key);
    while (this.#layers.length <= depth) this.#layers.push({ keys: [], values: [], subs: [], last: null });
    for (let layer = 0; layer < depth; layer++) this.#close(layer);
    const node = this.#layers[depth] as OpenNode;
    if (node.keys.length === NODE_ENTRIES_MAX) throw mined(key);
    node.keys.push(key);
    node.values.push(value);
    node.subs.push(node.last);
    node.last = null;
  }

  /** Completes the tree and returns its root. */
  finish(): Cid {
    const top = this.#layers.length - 1;
    if (top < 0) {
      this.#emit(EMPTY_NODE);
      return EMPTY_NODE.cid;
    }
    for (let layer = 0; layer < top; layer++) this.#close(layer);
    return this.#encode(this.#layers[top] as OpenNode);
  }

  /** Ends the open node of a layer, which becomes the last sub-tree of the layer above. */
  #close(layer: number): void {
    const node = this.#layers[layer] as OpenNode;
    if (node.keys.length === 0 && node.last === null) return;
    (this.#layers[layer + 1] as OpenNode).last = this.#encode(node);
    this.#layers[layer] = { keys: [], values: [], subs: [], last: null };
  }

  #encode(node: OpenNode): Cid {
    node.subs.push(node.last);
    const block = nodeBlock(node);
    this.#emit(block);
    return block.cid;
  }
}

function mined(key: string): KithError {
  return new KithError("invalid_request", `Could not build the MST: the keys around "${key}" were mined`);
}

/** Builds a tree of `[key, value]` pairs in ascending order. The nodes come children first, the root last. */
export function buildTree(entries: Iterable<readonly [string, Cid]>): { root: Cid; nodes: Block[] } {
  const nodes: Block[] = [];
  const builder = new TreeBuilder((node) => nodes.push(node));
  for (const [key, value] of entries) builder.add(key, value);
  return { root: builder.finish(), nodes };
}
