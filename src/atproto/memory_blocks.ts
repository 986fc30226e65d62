import type { Block, BlockReader } from "./block.ts";
import { type Cid, cidKey } from "./cid.ts";

/** Blocks held in memory. */
export class MemoryBlocks implements BlockReader {
  readonly #blocks = new Map<string, Block>();

  constructor(blocks: Iterable<Block> = []) {
    this.add(blocks);
  }

  get size(): number {
    return this.#blocks.size;
  }

  get(cid: Cid): Uint8Array | undefined {
    return this.#blocks.get(cidKey(cid))?.bytes;
  }

  add(blocks: Iterable<Block>): void {
    for (const block of blocks) this.#blocks.set(cidKey(block.cid), block);
  }

  remove(cids: Iterable<Cid>): void {
    for (const cid of cids) this.#blocks.delete(cidKey(cid));
  }

  [Symbol.iterator](): Iterator<Block> {
    return this.#blocks.values();
  }
}
