/**
 * What an import asks of a record, without making a value of it: whether it is well-formed, has no blobs, and what its subject
 * is. Only what is common is known here; for all else the answer is to decode the record, which alone refuses.
 */
import { isUtf8 } from "node:buffer";
import { CBOR_DEPTH_MAX, TAG_CID } from "./_cbor_limits.ts";
import { CID_BYTES, CODEC_DCBOR, CODEC_RAW } from "./cid.ts";
import { subjectPath } from "./record_subject.ts";

const ASCII = new TextEncoder();
/** Both forms of a blob have it among their keys. */
const BLOB_KEY = ASCII.encode("mimeType");
const MAP = 5;
const TEXT = 3;

/** What can be said of a record without decoding it. */
export interface ScannedRecord {
  /** As `subjectOf` would say. */
  readonly subject: string | undefined;
}

/**
 * Of bytes that `decodeCbor` takes for a map, in which `blobsInRecord` finds nothing. undefined: that is not so, or it takes
 * decoding to know.
 */
export function scanRecord(collection: string, bytes: Uint8Array): ScannedRecord | undefined {
  const scan = new Scan(bytes);
  if ((bytes[0] ?? 0) >> 5 !== MAP || !scan.value(0) || scan.at !== bytes.length) return undefined;
  const path = subjectPath(collection);
  return { subject: path && new Scan(bytes).textAt(path) };
}

class Scan {
  readonly #bytes: Uint8Array;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Steps over one value. False where it is not surely well-formed, or may hold a blob. */
  value(depth: number): boolean {
    const head = this.#bytes[this.at++];
    if (head === undefined) return false;
    const major = head >> 5;
    if (major === 7) return head >= 0xf4 && head <= 0xf6;
    const argument = this.#argument(head & 0x1f);
    if (argument < 0) return false;
    switch (major) {
      case 0:
      case 1:
        return true;
      case 2:
        return this.#skip(argument);
      case TEXT:
        return this.#text(argument);
      case 4:
        return this.#items(argument, depth + 1);
      case MAP:
        return this.#entries(argument, depth + 1);
      default:
        return argument === TAG_CID && this.#link();
    }
  }

  /** A length or an integer of up to 32 bits in its shortest form, or -1. */
  #argument(info: number): number {
    if (info < 24) return info;
    if (info > 26) return -1;
    const width = 1 << (info - 24);
    let value = 0;
    // Beyond the end it is NaN, which is below no bound: refused here.
    for (let i = 0; i < width; i++) value = value * 256 + (this.#bytes[this.at++] ?? Number.NaN);
    return value >= (width === 1 ? 24 : width === 2 ? 0x100 : 0x10000) ? value : -1;
  }

  #skip(length: number): boolean {
    this.at += length;
    return this.at <= this.#bytes.length;
  }

  #text(length: number): boolean {
    const start = this.at;
    if (!this.#skip(length)) return false;
    for (let i = start; i < this.at; i++) {
      if ((this.#bytes[i] as number) >= 0x80) return isUtf8(this.#bytes.subarray(i, this.at));
    }
    return true;
  }

  #items(count: number, depth: number): boolean {
    if (depth > CBOR_DEPTH_MAX) return false;
    for (let i = 0; i < count; i++) if (!this.value(depth)) return false;
    return true;
  }

  #entries(count: number, depth: number): boolean {
    if (depth > CBOR_DEPTH_MAX) return false;
    let [lastStart, lastEnd] = [0, 0];
    for (let i = 0; i < count; i++) {
      const length = this.#textHead();
      const start = this.at;
      if (length < 0 || !this.#text(length)) return false;
      if (i > 0 && !this.#ascends(lastStart, lastEnd, start)) return false;
      // A map of one $link or $bytes may be what looks like a wrapper.
      if (count === 1 && this.#bytes[start] === 0x24) return false;
      if (length === BLOB_KEY.length && this.#is(BLOB_KEY, start)) return false;
      [lastStart, lastEnd] = [start, this.at];
      if (!this.value(depth)) return false;
    }
    return true;
  }

  /** The length of the text that begins here, or -1. */
  #textHead(): number {
    const head = this.#bytes[this.at++];
    return head !== undefined && head >> 5 === TEXT ? this.#argument(head & 0x1f) : -1;
  }

  /** True where the key from `start` up to here sorts after the one before: by length, then by bytes. */
  #ascends(lastStart: number, lastEnd: number, start: number): boolean {
    const longer = this.at - start - (lastEnd - lastStart);
    if (longer !== 0) return longer > 0;
    for (let i = 0; i < lastEnd - lastStart; i++) {
      const order = (this.#bytes[start + i] as number) - (this.#bytes[lastStart + i] as number);
      if (order !== 0) return order > 0;
    }
    return false;
  }

  #is(text: Uint8Array, start: number): boolean {
    return text.every((byte, i) => this.#bytes[start + i] === byte);
  }

  /** A byte string of a zero and a CID. */
  #link(): boolean {
    const [bytes, at] = [this.#bytes, this.at];
    const codec = bytes[at + 4];
    return (
      this.#skip(3 + CID_BYTES) &&
      bytes[at] === 0x58 &&
      bytes[at + 1] === CID_BYTES + 1 &&
      bytes[at + 2] === 0 &&
      bytes[at + 3] === 1 &&
      (codec === CODEC_DCBOR || codec === CODEC_RAW) &&
      bytes[at + 5] === 0x12 &&
      bytes[at + 6] === 0x20
    );
  }

  /** The text at the end of a path of keys, of what value() has been found to step over. */
  textAt(path: readonly Uint8Array[]): string | undefined {
    for (const key of path) if (!this.#enter(key)) return undefined;
    const length = this.#textHead();
    if (length < 0) return undefined;
    return Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset + this.at, length).toString("utf8");
  }

  /** Goes to the value of a key of the map that begins here. */
  #enter(key: Uint8Array): boolean {
    const head = this.#bytes[this.at++] ?? 0;
    if (head >> 5 !== MAP) return false;
    const count = this.#argument(head & 0x1f);
    for (let i = 0; i < count; i++) {
      const length = this.#textHead();
      const start = this.at;
      this.at += length;
      if (length === key.length && this.#is(key, start)) return true;
      this.value(0);
    }
    return false;
  }
}
