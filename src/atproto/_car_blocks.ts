import { isCidLink } from "@atcute/cbor";
import { KithError } from "../errors.ts";
import type { BlockReader } from "./block.ts";
import { decodeCbor, fromCidLink } from "./cbor.ts";
import { CID_BYTES, type Cid, CODEC_DCBOR, CODEC_RAW, cidFromBytes, cidKey, sha256 } from "./cid.ts";

/** A header with its one root takes 58 bytes; some writers list more. */
const HEADER_BYTES_MAX = 4096;
const VARINT_BYTES_MAX = 5;
const DIGEST_AT = 4;

/** A block's place in the CAR. */
interface Place {
  readonly start: number;
  readonly end: number;
  /** Set once the bytes were found to hash to the CID. */
  checked: boolean;
}

/**
 * The blocks of a CAR held in memory, in any order. A block is hashed when it is first read, so that nothing is spent
 * on blocks that are not asked for. Blocks whose CID is not of the DASL subset are passed over.
 */
export class CarBlocks implements BlockReader {
  readonly root: Cid;
  readonly #bytes: Uint8Array;
  readonly #places = new Map<string, Place>();

  /** KithError `invalid_request` where `bytes` are not a CAR v1 with a root. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    const header = this.#frame(0);
    if (header.end - header.start > HEADER_BYTES_MAX) throw malformed("its header is too long");
    this.root = rootOf(bytes.subarray(header.start, header.end));
    for (let at = header.end; at < bytes.length; ) {
      const { start, end } = this.#frame(at);
      at = end;
      if (end - start < CID_BYTES) continue;
      const codec = bytes[start + 1];
      if (bytes[start] !== 1 || bytes[start + 2] !== 0x12 || bytes[start + 3] !== 0x20) continue;
      if (codec !== CODEC_DCBOR && codec !== CODEC_RAW) continue;
      const key = Buffer.from(bytes.buffer, bytes.byteOffset + start, CID_BYTES).toString("latin1");
      if (!this.#places.has(key)) this.#places.set(key, { start: start + CID_BYTES, end, checked: false });
    }
  }

  /** KithError `invalid_request` where the block does not hash to its CID. */
  get(cid: Cid): Uint8Array | undefined {
    const place = this.#places.get(cidKey(cid));
    if (!place) return undefined;
    const block = this.#bytes.subarray(place.start, place.end);
    if (!place.checked) {
      const digest = cid.bytes.subarray(DIGEST_AT);
      if (Buffer.compare(sha256(block), digest) !== 0) throw malformed("a block does not hash to its CID");
      place.checked = true;
    }
    return block;
  }

  /** Where the section that begins with a length at `at` starts and ends. */
  #frame(at: number): { start: number; end: number } {
    let length = 0;
    for (let i = 0; i < VARINT_BYTES_MAX; i++) {
      const byte = this.#bytes[at + i];
      if (byte === undefined) break;
      length += (byte & 0x7f) * 2 ** (7 * i);
      if (byte >= 0x80) continue;
      const start = at + i + 1;
      if (length === 0 || start + length > this.#bytes.length) break;
      return { start, end: start + length };
    }
    throw malformed("it is cut off or has a bad length");
  }
}

function rootOf(header: Uint8Array): Cid {
  let value: unknown;
  try {
    value = decodeCbor(header);
  } catch (cause) {
    throw malformed("its header is not DRISL", cause);
  }
  const { version, roots } = (value ?? {}) as { version?: unknown; roots?: unknown };
  const root = Array.isArray(roots) ? roots[0] : undefined;
  if (version !== 1 || !isCidLink(root)) throw malformed("its header is not that of a CAR v1 with a root");
  return cidFromBytes(fromCidLink(root).bytes.slice());
}

function malformed(reason: string, cause?: unknown): KithError {
  return new KithError("invalid_request", `Could not read the CAR: ${reason}`, { cause });
}
