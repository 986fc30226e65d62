/**
 * A tree under change: nodes are read when a change comes to them, changed in memory, and encoded once at the end,
 * so that many writes produce only the nodes of the last state.
 *
 * Phases: `put` and `delete` in any number, then `finish`, then `coveringProof`; then `renew`, and from the beginning. A tree
 * in which one of these threw is not to be used any more.
 */
import { KithError } from "../../errors.ts";
import type { Block, BlockReader } from "../block.ts";
import { type Cid, cidKey } from "../cid.ts";
import { keyDepth, lowerBound } from "./key.ts";
import {
  type BlockFault,
  EMPTY_NODE,
  NODE_ENTRIES_MAX,
  nodeBlock,
  readNode,
  TREE_HEIGHT_MAX,
} from "./node.ts";

/** A sub-tree: held in memory, known by its CID only, or none. */
type Sub = TreeNode | Cid | null;

class TreeNode {
  readonly depth: number;
  readonly keys: string[];
  readonly values: Cid[];
  readonly subs: Sub[];
  /** As it is stored; null once changed. */
  block: Block | null;

  constructor(depth: number, content: { keys: string[]; values: Cid[]; subs: Sub[]; block?: Block }) {
    this.depth = depth;
    this.keys = content.keys;
    this.values = content.values;
    this.subs = content.subs;
    this.block = content.block ?? null;
  }

  get isEmpty(): boolean {
    return this.keys.length === 0 && this.subs[0] === null;
  }
}

export interface TreeChange {
  readonly root: Cid;
  /** Nodes that the tree did not have before, the root first. */
  readonly created: Block[];
  /** Nodes that the tree had before and has no more. */
  readonly removed: Cid[];
}

export interface TreeOptions {
  /** What a missing or malformed node is reported as; our own storage unless told. */
  readonly fault?: BlockFault;
}

export class MstTree {
  readonly #blocks: BlockReader;
  readonly #fault: BlockFault;
  #root: TreeNode;
  #nodesHeld = 0;
  /** Stored nodes that were changed or dropped, by `cidKey`. */
  readonly #touched = new Map<string, Cid>();
  /** Nodes that were encoded and not stored before, by `cidKey`, children first. */
  readonly #created = new Map<string, Block>();

  /** `root` null starts from nothing stored, not even the empty node. */
  constructor(root: Cid | null, blocks: BlockReader, options: TreeOptions = {}) {
    this.#blocks = blocks;
    this.#fault = options.fault ?? "storage_damaged";
    this.#root = root ? this.#readRoot(root) : new TreeNode(0, { keys: [], values: [], subs: [null] });
  }

  /** The root as `finish` or the constructor has left it; null where nothing is stored. */
  get root(): Cid | null {
    return this.#root.block?.cid ?? null;
  }

  /** How many nodes were read or came to be, at the most so many it holds. */
  get nodesHeld(): number {
    return this.#nodesHeld;
  }

  /** Goes on with the tree that `finish` has made, whose nodes are stored by now. */
  renew(): void {
    this.#touched.clear();
    this.#created.clear();
  }

  /** The value of `key`, or null. */
  get(key: string): Cid | null {
    for (let node: TreeNode | null = this.#root; node; ) {
      const at = lowerBound(node.keys, key);
      if (node.keys[at] === key) return node.values[at] as Cid;
      node = this.#sub(node, at);
    }
    return null;
  }

  /** Sets the value of `key`; returns the value before, or null. */
  put(key: string, value: Cid): Cid | null {
    const depth = keyDepth(key);
    if (depth > TREE_HEIGHT_MAX) throw new KithError("invalid_request", tooDeep(key));
    this.#raiseRoot(depth);
    let node = this.#root;
    this.#touch(node);
    while (node.depth > depth) {
      node = this.#subOrNew(node, lowerBound(node.keys, key));
      this.#touch(node);
    }
    const at = lowerBound(node.keys, key);
    if (node.keys[at] === key) {
      const before = node.values[at] as Cid;
      node.values[at] = value;
      return before;
    }
    const [left, right] = this.#split(this.#sub(node, at), key);
    node.keys.splice(at, 0, key);
    node.values.splice(at, 0, value);
    node.subs.splice(at, 1, left, right);
    return null;
  }

  /** Removes `key`; returns its value, or null where it is absent. */
  delete(key: string): Cid | null {
    const path: { node: TreeNode; at: number }[] = [];
    let node = this.#root;
    let at = lowerBound(node.keys, key);
    while (node.keys[at] !== key) {
      const sub = this.#sub(node, at);
      if (!sub) return null;
      path.push({ node, at });
      node = sub;
      at = lowerBound(node.keys, key);
    }
    for (const step of path) this.#touch(step.node);
    this.#touch(node);
    const value = node.values[at] as Cid;
    const merged = this.#mergeSubs({ node, at }, { node, at: at + 1 });
    node.keys.splice(at, 1);
    node.values.splice(at, 1);
    node.subs.splice(at, 2, merged);
    for (let parent = path.pop(); parent && node.isEmpty; parent = path.pop()) {
      parent.node.subs[parent.at] = null;
      node = parent.node;
    }
    return value;
  }

  /** Encodes what changed. */
  finish(): TreeChange {
    while (this.#root.keys.length === 0 && this.#root.subs[0] !== null) {
      this.#touch(this.#root);
      this.#root = this.#sub(this.#root, 0) as TreeNode;
    }
    const root = this.#encode(this.#root);
    return { root, created: [...this.#created.values()].reverse(), removed: [...this.#touched.values()] };
  }

  /**
   * The nodes around `keys` that `finish` did not create: with those it did, enough to take back the creation or
   * deletion of these keys, all of them, in any order (Sync 1.1, operation inversion). That is the path to each key's
   * place and to both its neighbours; and the root in any case, since consumers read it first.
   */
  coveringProof(keys: readonly string[]): Block[] {
    const proof: Block[] = [];
    const seen = new Set<TreeNode>();
    const include = (node: TreeNode): void => {
      if (seen.has(node)) return;
      seen.add(node);
      const block = node.block as Block;
      if (!this.#created.has(cidKey(block.cid))) proof.push(block);
    };
    include(this.#root);
    for (const key of keys) {
      for (let node: TreeNode | null = this.#root; node; ) {
        include(node);
        const at = lowerBound(node.keys, key);
        const below = this.#sub(node, at);
        if (node.keys[at] === key) {
          for (let left = below; left; left = this.#sub(left, left.keys.length)) include(left);
          for (let right = this.#sub(node, at + 1); right; right = this.#sub(right, 0)) include(right);
          break;
        }
        node = below;
      }
    }
    return proof;
  }

  #readRoot(root: Cid): TreeNode {
    const node = readNode(this.#blocks, root, this.#fault);
    const first = node.keys[0];
    if (first !== undefined) return new TreeNode(keyDepth(first), node);
    if (node.subs[0]) throw new KithError(this.#fault, "Could not read the MST: its root has no entry");
    return new TreeNode(0, node);
  }

  /** The sub-tree at `at`, read where need be. */
  #sub(node: TreeNode, at: number): TreeNode | null {
    const sub = node.subs[at] ?? null;
    if (sub === null || sub instanceof TreeNode) return sub;
    if (node.depth === 0)
      throw new KithError(this.#fault, "Could not read the MST: a node below the lowest layer");
    const read = new TreeNode(node.depth - 1, readNode(this.#blocks, sub, this.#fault));
    node.subs[at] = read;
    this.#nodesHeld += 1;
    return read;
  }

  #subOrNew(node: TreeNode, at: number): TreeNode {
    const sub = this.#sub(node, at);
    if (sub) return sub;
    const made = new TreeNode(node.depth - 1, { keys: [], values: [], subs: [null] });
    this.#nodesHeld += 1;
    node.subs[at] = made;
    return made;
  }

  #touch(node: TreeNode): void {
    if (!node.block) return;
    this.#touched.set(cidKey(node.block.cid), node.block.cid);
    node.block = null;
  }

  #raiseRoot(depth: number): void {
    if (this.#root.depth >= depth) return;
    if (this.#root.isEmpty) {
      this.#touch(this.#root);
      this.#root = new TreeNode(depth, { keys: [], values: [], subs: [null] });
    }
    while (this.#root.depth < depth) {
      this.#root = new TreeNode(this.#root.depth + 1, { keys: [], values: [], subs: [this.#root] });
    }
  }

  /** What of a sub-tree is below and above `key`. A side that takes all takes the node unchanged. */
  #split(node: TreeNode | null, key: string): [TreeNode | null, TreeNode | null] {
    if (!node) return [null, null];
    const at = lowerBound(node.keys, key);
    const [left, right] = this.#split(this.#sub(node, at), key);
    if (at === 0 && left === null) return [null, node];
    if (at === node.keys.length && right === null) return [node, null];
    this.#touch(node);
    this.#nodesHeld += 1;
    const { depth, keys, values, subs } = node;
    return [
      new TreeNode(depth, {
        keys: keys.slice(0, at),
        values: values.slice(0, at),
        subs: [...subs.slice(0, at), left],
      }),
      new TreeNode(depth, {
        keys: keys.slice(at),
        values: values.slice(at),
        subs: [right, ...subs.slice(at + 1)],
      }),
    ];
  }

  /** Joins two neighbouring sub-trees; neither is read where the other is none. */
  #mergeSubs(left: { node: TreeNode; at: number }, right: { node: TreeNode; at: number }): Sub {
    const leftSub = left.node.subs[left.at] ?? null;
    const rightSub = right.node.subs[right.at] ?? null;
    if (leftSub === null) return rightSub;
    if (rightSub === null) return leftSub;
    const a = this.#sub(left.node, left.at) as TreeNode;
    const b = this.#sub(right.node, right.at) as TreeNode;
    this.#touch(a);
    this.#touch(b);
    const middle = this.#mergeSubs({ node: a, at: a.keys.length }, { node: b, at: 0 });
    return new TreeNode(a.depth, {
      keys: [...a.keys, ...b.keys],
      values: [...a.values, ...b.values],
      subs: [...a.subs.slice(0, -1), middle, ...b.subs.slice(1)],
    });
  }

  /** Encodes the changed nodes below and including `node`, children first; returns its CID. */
  #encode(node: TreeNode): Cid {
    if (node.block) return node.block.cid;
    if (node.keys.length > NODE_ENTRIES_MAX) {
      const first = node.keys[0];
      throw new KithError(
        "invalid_request",
        `Could not write beside "${first}": ${NODE_ENTRIES_MAX} keys share its MST node`,
      );
    }
    const subs = node.subs.map((sub) => (sub instanceof TreeNode ? this.#encode(sub) : sub));
    node.block = node.isEmpty ? EMPTY_NODE : nodeBlock({ keys: node.keys, values: node.values, subs });
    const key = cidKey(node.block.cid);
    if (!this.#touched.delete(key)) this.#created.set(key, node.block);
    return node.block.cid;
  }
}

function tooDeep(key: string): string {
  return `Could not write "${key}": its key was made for a layer above ${TREE_HEIGHT_MAX}`;
}
