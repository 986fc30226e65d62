/** The tree of a repo's newest commit between two writes, so that the next one need not read what the last one made. */
import { type BlockReader, type Cid, cidEquals, MstTree } from "../atproto/mod.ts";

/** Nodes of a tree that is held; each takes some 2 kB. */
export const HELD_NODES_MAX = 96;
/** A repo that is not written to gives its tree up after so long. */
const HELD_MS = 1_000;

export class HeldTree {
  #tree: MstTree | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** The tree of that root, read anew where another one is held. It is the caller's until it is kept. */
  take(root: Cid, blocks: BlockReader): MstTree {
    const tree = this.#tree;
    this.#tree = undefined;
    if (!tree?.root || !cidEquals(tree.root, root)) return new MstTree(root, blocks);
    tree.renew();
    return tree;
  }

  /** Keeps a tree whose nodes are stored; not where it has grown too large. */
  keep(tree: MstTree): void {
    if (tree.nodesHeld > HELD_NODES_MAX) return;
    this.#tree = tree;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#tree = undefined;
    }, HELD_MS).unref();
  }
}
