/**
 * The Merkle search tree that maps repo paths to records.
 * https://atproto.com/specs/repository#mst-structure
 */
export { buildTree, TreeBuilder } from "./build.ts";
export { diffTrees, type TreeDiff } from "./diff.ts";
export { commonPrefix, isRepoPath, KEY_BYTES_MAX, keyDepth } from "./key.ts";
export {
  type BlockFault,
  decodeNode,
  EMPTY_NODE,
  encodeNode,
  type MstNode,
  NODE_ENTRIES_MAX,
  nodeBlock,
  readBlock,
  readNode,
  TREE_HEIGHT_MAX,
} from "./node.ts";
export { type KeyProof, proveKey } from "./proof.ts";
export { MstTree, type TreeChange, type TreeOptions } from "./tree.ts";
export { type TreeItem, type WalkOptions, walkTree } from "./walk.ts";
