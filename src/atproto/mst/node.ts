/**
 * The codec of one MST node, written by hand for its one CBOR shape:
 * `{e: [{k: bytes, p: int, t: link|null, v: link}], l: link|null}`.
 * Decoding is strict, since an import feeds it hostile bytes: every accepted node encodes to the same bytes again.
 * https://atproto.com/specs/repository#mst-structure
 */
import { type ErrorCode, KithError } from "../../errors.ts";
import type { Block, BlockReader } from "../block.ts";
import { CID_BYTES, type Cid, CODEC_DCBOR, cidOfCbor, cidToString } from "../cid.ts";
import { commonPrefix, KEY_BYTES_MAX } from "./key.ts";

/** More entries in one node than chance gives in any repo: the 100th has odds of 10^-12. Keys were mined. */
export const NODE_ENTRIES_MAX = 1000;
/** More layers than chance gives: a key of layer 32 takes 2^64 tries. */
export const TREE_HEIGHT_MAX = 32;

/** One node: `subs[i]` holds the keys below `keys[i]`, the last of `subs` those above all. */
export interface MstNode {
  readonly keys: string[];
  readonly values: Cid[];
  /** One more than `keys`. */
  readonly subs: (Cid | null)[];
}

const NULL = 0xf6;
/** Tag 42, byte string of 37, multibase prefix 0. */
const LINK_HEAD = [0xd8, 0x2a, 0x58, 0x25, 0x00] as const;
/** Version 1, the DRISL codec, SHA-256, 32 bytes of it. */
const CID_START = [0x01, CODEC_DCBOR, 0x12, 0x20] as const;
const LINK_START = [...LINK_HEAD, ...CID_START];
const LINK_BYTES = LINK_HEAD.length + CID_BYTES;

/** Characters of a repo path, by code. */
const KEY_CHARACTER = new Uint8Array(256);
for (const character of "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_:~/") {
  KEY_CHARACTER[character.charCodeAt(0)] = 1;
}

/** Encodes a node. `keys` must ascend. */
export function encodeNode(node: MstNode): Uint8Array {
  const { keys, values, subs } = node;
  const count = keys.length;
  const prefixes = new Array<number>(count);
  let size = 3 + headBytes(count) + 2 + linkBytes(subs[0]);
  for (let i = 0; i < count; i++) {
    const prefix = i === 0 ? 0 : commonPrefix(keys[i - 1] as string, keys[i] as string);
    prefixes[i] = prefix;
    const suffix = (keys[i] as string).length - prefix;
    size += 9 + headBytes(suffix) + suffix + headBytes(prefix) + linkBytes(subs[i + 1]) + LINK_BYTES;
  }
  const out = new Uint8Array(size);
  out[0] = 0xa2;
  let at = writeHead(out, writeName(out, 1, 0x65), 0x80, count);
  for (let i = 0; i < count; i++) {
    out[at] = 0xa4;
    at = writeText(out, writeName(out, at + 1, 0x6b), keys[i] as string, prefixes[i] as number);
    at = writeHead(out, writeName(out, at, 0x70), 0x00, prefixes[i] as number);
    at = writeLink(out, writeName(out, at, 0x74), subs[i + 1]);
    at = writeLink(out, writeName(out, at, 0x76), values[i]);
  }
  writeLink(out, writeName(out, at, 0x6c), subs[0]);
  return out;
}

/** Encodes a node and hashes it. */
export function nodeBlock(node: MstNode): Block {
  const bytes = encodeNode(node);
  return { cid: cidOfCbor(bytes), bytes };
}

/** The only node of an empty repo. */
export const EMPTY_NODE: Block = nodeBlock({ keys: [], values: [], subs: [null] });

function headBytes(argument: number): number {
  return argument < 24 ? 1 : argument < 0x100 ? 2 : 3;
}

function linkBytes(link: Cid | null | undefined): number {
  return link ? LINK_BYTES : 1;
}

function writeName(out: Uint8Array, at: number, letter: number): number {
  out[at] = 0x61;
  out[at + 1] = letter;
  return at + 2;
}

function writeHead(out: Uint8Array, at: number, major: number, argument: number): number {
  if (argument < 24) {
    out[at] = major | argument;
    return at + 1;
  }
  if (argument < 0x100) {
    out[at] = major | 24;
    out[at + 1] = argument;
    return at + 2;
  }
  out[at] = major | 25;
  out[at + 1] = argument >>> 8;
  out[at + 2] = argument & 0xff;
  return at + 3;
}

function writeText(out: Uint8Array, start: number, key: string, from: number): number {
  let at = writeHead(out, start, 0x40, key.length - from);
  for (let i = from; i < key.length; i++) out[at++] = key.charCodeAt(i);
  return at;
}

function writeLink(out: Uint8Array, at: number, link: Cid | null | undefined): number {
  if (!link) {
    out[at] = NULL;
    return at + 1;
  }
  for (let i = 0; i < LINK_HEAD.length; i++) out[at + i] = LINK_HEAD[i] as number;
  out.set(link.bytes, at + LINK_HEAD.length);
  return at + LINK_BYTES;
}

/**
 * Decodes a node. Throws RangeError on anything but the canonical encoding of a node with ascending, maximally
 * compressed keys of path characters and links of the DRISL codec, and on more than NODE_ENTRIES_MAX entries.
 * The layer of the keys is not checked here: see `verifyTree`. Links are views into `bytes`.
 */
export function decodeNode(bytes: Uint8Array): MstNode {
  const reader = new NodeBytes(bytes);
  reader.expect(0xa2);
  reader.name(0x65);
  const count = reader.head(0x80);
  if (count > NODE_ENTRIES_MAX) throw new RangeError(`${count} entries: ${NODE_ENTRIES_MAX} at most`);
  const keys: string[] = [];
  const values: Cid[] = [];
  const subs: (Cid | null)[] = [null];
  let last = "";
  for (let i = 0; i < count; i++) {
    last = decodeEntry(reader, last, i === 0);
    keys.push(last);
    reader.name(0x74);
    subs.push(reader.optionalLink());
    reader.name(0x76);
    values.push(reader.link());
  }
  reader.name(0x6c);
  subs[0] = reader.optionalLink();
  reader.end();
  return { keys, values, subs };
}

/** Reads `k` and `p` of an entry and returns its whole key. */
function decodeEntry(reader: NodeBytes, last: string, first: boolean): string {
  reader.expect(0xa4);
  reader.name(0x6b);
  const suffix = reader.keyText();
  reader.name(0x70);
  const prefix = reader.head(0x00);
  if (first) {
    if (prefix !== 0) throw new RangeError("the first key has a prefix");
    if (suffix === "") throw new RangeError("empty key");
    return suffix;
  }
  if (prefix > last.length) throw new RangeError("a prefix longer than the key before");
  const key = last.slice(0, prefix) + suffix;
  if (key.length > KEY_BYTES_MAX) throw new RangeError(`a key of ${key.length} bytes`);
  if (suffix === "" || (prefix < last.length && suffix.charCodeAt(0) <= last.charCodeAt(prefix))) {
    const equal = suffix !== "" && suffix.charCodeAt(0) === last.charCodeAt(prefix);
    throw new RangeError(equal ? "a prefix shorter than shared" : "keys out of order");
  }
  return key;
}

/** A cursor over the bytes of a node. */
class NodeBytes {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  #next(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw new RangeError("unexpected end");
    return byte;
  }

  expect(byte: number): void {
    if (this.#next() !== byte) throw new RangeError(`unexpected byte at ${this.#at - 1}`);
  }

  /** A map key of one letter. */
  name(letter: number): void {
    this.expect(0x61);
    this.expect(letter);
  }

  /** The argument of an item of the given major type, in its shortest form; 16 bits are enough for a node. */
  head(major: number): number {
    const byte = this.#next();
    if ((byte & 0xe0) !== major) throw new RangeError(`unexpected type at ${this.#at - 1}`);
    const info = byte & 0x1f;
    if (info < 24) return info;
    const argument = info === 24 ? this.#next() : info === 25 ? (this.#next() << 8) | this.#next() : -1;
    if (argument < (info === 24 ? 24 : 0x100)) throw new RangeError(`bad integer at ${this.#at - 1}`);
    return argument;
  }

  keyText(): string {
    const length = this.head(0x40);
    const start = this.#at;
    const end = start + length;
    if (length > KEY_BYTES_MAX) throw new RangeError(`a key of ${length} bytes`);
    if (end > this.#bytes.length) throw new RangeError("unexpected end");
    for (let i = start; i < end; i++) {
      if (KEY_CHARACTER[this.#bytes[i] as number] === 0)
        throw new RangeError("a key with a foreign character");
    }
    this.#at = end;
    return this.#bytes.toString("latin1", start, end);
  }

  optionalLink(): Cid | null {
    if (this.#bytes[this.#at] !== NULL) return this.link();
    this.#at++;
    return null;
  }

  link(): Cid {
    for (let i = 0; i < LINK_START.length; i++) this.expect(LINK_START[i] as number);
    const start = this.#at - CID_START.length;
    this.#at = start + CID_BYTES;
    if (this.#at > this.#bytes.length) throw new RangeError("unexpected end");
    const { buffer, byteOffset } = this.#bytes;
    return {
      version: 1,
      codec: CODEC_DCBOR,
      digest: { codec: 0x12, contents: new Uint8Array(buffer, byteOffset + start + 4, 32) },
      bytes: new Uint8Array(buffer, byteOffset + start, CID_BYTES),
    };
  }

  end(): void {
    if (this.#at !== this.#bytes.length) throw new RangeError("bytes after the node");
  }
}

/** What a missing or malformed block means where it is read: damage in our own storage, or a caller's bad input. */
export type BlockFault = Extract<ErrorCode, "storage_damaged" | "invalid_request">;

/** Reads and decodes the node `cid`. KithError `fault` where it is missing or malformed. */
export function readNode(blocks: BlockReader, cid: Cid, fault: BlockFault): MstNode & { block: Block } {
  const bytes = readBlock(blocks, cid, fault);
  try {
    const { keys, values, subs } = decodeNode(bytes);
    return { keys, values, subs, block: { cid, bytes } };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : "malformed";
    throw new KithError(fault, `Could not read the MST node "${cidToString(cid)}": ${reason}`, { cause });
  }
}

/** Reads the block `cid`. KithError `fault` where it is missing. */
export function readBlock(blocks: BlockReader, cid: Cid, fault: BlockFault): Uint8Array {
  const bytes = blocks.get(cid);
  if (!bytes) throw new KithError(fault, `Could not read the block "${cidToString(cid)}": it is missing`);
  return bytes;
}
