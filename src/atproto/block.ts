import type { Cid } from "./cid.ts";

/** A block: bytes and the CID that they hash to. */
export interface Block {
  readonly cid: Cid;
  readonly bytes: Uint8Array;
}

/** Where tree code reads blocks from. Synchronous on purpose: a commit is built without an await. */
export interface BlockReader {
  /** The bytes of a block, or undefined where it is not held. */
  get(cid: Cid): Uint8Array | undefined;
}
