/**
 * CAR v1 files: how repositories, proofs and the blocks of an event travel.
 * https://atproto.com/specs/repository#car-file-serialization, https://dasl.ing/car.html
 */
import { KithError } from "../errors.ts";
import type { Block } from "./block.ts";
import { type CidLink, decodeCbor, encodeCbor, fromCidLink, toCidLink } from "./cbor.ts";
import { CID_BYTES, type Cid, CODEC_DCBOR, cidFromBytes, cidToString, sha256 } from "./cid.ts";

export interface Car {
  readonly roots: Cid[];
  readonly blocks: Block[];
}

export interface CarStream {
  readonly roots: Cid[];
  /** In the file's order, as many at a time as have come and are within the bounds of a batch. */
  readonly batches: AsyncIterable<Block[]>;
}

export interface CarLimits {
  /** Refuse a block whose bytes do not hash to its CID. Default true. */
  readonly verify?: boolean;
  readonly blocksMax?: number;
  /** The whole file, in bytes. */
  readonly bytesMax?: number;
}

/** A block as it goes into a CAR file: its CID in binary, and its bytes. */
export interface CarEntry {
  readonly cid: Uint8Array;
  readonly bytes: Uint8Array;
}

/** Room for a record of the largest size, or an MST node, with a margin. */
const BLOCK_BYTES_MAX = 4 * 1024 * 1024;
const HEADER_BYTES_MAX = 64 * 1024;
/** Blocks read from a stream at a time, and their bytes: a few milliseconds of hashing. */
const BATCH_BLOCKS_MAX = 2_000;
const BATCH_BYTES_MAX = 1024 * 1024;
/** Seven bits a byte: lengths stay below 2^49, exact in a number. */
const VARINT_BYTES_MAX = 7;

/** The header of a CAR file, its length before it. */
export function carHeader(roots: readonly Cid[]): Uint8Array {
  const header = encodeCbor({ version: 1, roots: roots.map(toCidLink) });
  const entry = new Uint8Array(varintBytes(header.length) + header.length);
  entry.set(header, writeVarint(entry, header.length, 0));
  return entry;
}

/** Blocks as they stand in a CAR file, each with its length and its CID before it. */
export function carEntries(entries: readonly CarEntry[]): Uint8Array {
  let size = 0;
  for (const { bytes } of entries) size += entryBytes(bytes);
  const section = new Uint8Array(size);
  let at = 0;
  for (const { cid, bytes } of entries) at = writeEntry(section, { cid, bytes }, at);
  return section;
}

/** A whole CAR file in memory. */
export function encodeCar(roots: readonly Cid[], blocks: Iterable<Block>): Uint8Array {
  const all = [...blocks];
  const header = carHeader(roots);
  const file = new Uint8Array(all.reduce((sum, { bytes }) => sum + entryBytes(bytes), header.length));
  file.set(header);
  let at = header.length;
  for (const { cid, bytes } of all) at = writeEntry(file, { cid: cid.bytes, bytes }, at);
  return file;
}

/**
 * Reads a whole CAR file. Blocks share memory with `bytes` and come in the file's order, repeats included.
 * KithError invalid_request on a malformed file, a wrong hash, or one over the limits.
 */
export function readCar(bytes: Uint8Array, limits: CarLimits = {}): Car {
  if (bytes.length > (limits.bytesMax ?? Number.POSITIVE_INFINITY)) throw refusal("too many bytes");
  const header = entryAt(bytes, 0, HEADER_BYTES_MAX);
  if (header === undefined) throw refusal("it is cut off");
  const roots = readHeader(bytes.subarray(header.start, header.end));
  const blocks: Block[] = [];
  let at = header.end;
  while (at < bytes.length) {
    const entry = entryAt(bytes, at, BLOCK_BYTES_MAX + CID_BYTES);
    if (entry === undefined) throw refusal("it is cut off");
    if (blocks.length >= (limits.blocksMax ?? Number.POSITIVE_INFINITY)) throw refusal("too many blocks");
    blocks.push(readBlock(bytes.subarray(entry.start, entry.end), limits));
    at = entry.end;
  }
  return { roots, blocks };
}

/**
 * As `readCar`, but holds little more than a batch of blocks at a time. Resolves when the header is there; the batches are
 * read as they are asked for, once. The blocks of a batch share memory with each other, and not with the chunks. The same
 * errors, thrown from here or from the iteration.
 */
export async function readCarStream(
  chunks: AsyncIterable<Uint8Array>,
  limits: CarLimits = {},
): Promise<CarStream> {
  const source = new EntrySource(chunks, limits.bytesMax ?? Number.POSITIVE_INFINITY);
  let header = source.take(HEADER_BYTES_MAX);
  while (header === undefined) {
    if (!(await source.more())) throw refusal("it is cut off");
    header = source.take(HEADER_BYTES_MAX);
  }
  return { roots: readHeader(header), batches: streamBatches(source, limits) };
}

async function* streamBatches(source: EntrySource, limits: CarLimits): AsyncGenerator<Block[]> {
  let blocksLeft = limits.blocksMax ?? Number.POSITIVE_INFINITY;
  try {
    do {
      for (let batch = takeBatch(source, { limits, blocksLeft }); batch.length > 0; ) {
        blocksLeft -= batch.length;
        yield batch;
        batch = takeBatch(source, { limits, blocksLeft });
      }
    } while (await source.more());
  } finally {
    await source.cancel();
  }
}

/** What is there of the file, up to the bounds of a batch. */
function takeBatch(
  source: EntrySource,
  { limits, blocksLeft }: { limits: CarLimits; blocksLeft: number },
): Block[] {
  const batch: Block[] = [];
  for (let bytes = 0; batch.length < BATCH_BLOCKS_MAX && bytes < BATCH_BYTES_MAX; ) {
    const entry = source.take(BLOCK_BYTES_MAX + CID_BYTES);
    if (entry === undefined) break;
    if (batch.length >= blocksLeft) throw refusal("too many blocks");
    batch.push(readBlock(entry, limits));
    bytes += entry.length;
  }
  return batch;
}

/** Cuts chunks of any size into the entries of a CAR file. */
class EntrySource {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #bytesMax: number;
  #bytes = 0;
  #held: Uint8Array = new Uint8Array(0);
  #at = 0;

  constructor(chunks: AsyncIterable<Uint8Array>, bytesMax: number) {
    this.#chunks = chunks[Symbol.asyncIterator]();
    this.#bytesMax = bytesMax;
  }

  /** The next entry, or undefined where it is not all there: more() is needed. */
  take(entryBytesMax: number): Uint8Array | undefined {
    if (this.#at === this.#held.length) return undefined;
    const entry = entryAt(this.#held, this.#at, entryBytesMax);
    if (entry === undefined) return undefined;
    this.#at = entry.end;
    return this.#held.subarray(entry.start, entry.end);
  }

  /**
   * Takes in at least as much again as is left, so that what is copied stays linear in what is read. False at the end; throws
   * where that is within an entry.
   */
  async more(): Promise<boolean> {
    const rest = this.#held.subarray(this.#at);
    const parts: Uint8Array[] = [];
    let added = 0;
    while (added <= rest.length) {
      const { done, value } = await this.#chunks.next();
      if (done) break;
      added += value.length;
      this.#bytes += value.length;
      if (this.#bytes > this.#bytesMax) throw refusal("too many bytes");
      parts.push(value);
    }
    if (added === 0) {
      if (rest.length > 0) throw refusal("it is cut off");
      return false;
    }
    const held = new Uint8Array(rest.length + added);
    held.set(rest);
    let at = rest.length;
    for (const part of parts) {
      held.set(part, at);
      at += part.length;
    }
    [this.#held, this.#at] = [held, 0];
    return true;
  }

  async cancel(): Promise<void> {
    await this.#chunks.return?.();
  }
}

function refusal(why: string, cause?: unknown): KithError {
  return new KithError("invalid_request", `Could not read the CAR file: ${why}`, { cause });
}

function entryBytes(bytes: Uint8Array): number {
  const length = CID_BYTES + bytes.length;
  return varintBytes(length) + length;
}

function writeEntry(target: Uint8Array, { cid, bytes }: CarEntry, offset: number): number {
  let at = writeVarint(target, CID_BYTES + bytes.length, offset);
  target.set(cid, at);
  at += CID_BYTES;
  target.set(bytes, at);
  return at + bytes.length;
}

function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest >= 0x80; rest /= 0x80) bytes++;
  return bytes;
}

function writeVarint(target: Uint8Array, value: number, offset: number): number {
  let at = offset;
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) target[at++] = (rest % 0x80) | 0x80;
  target[at++] = rest;
  return at;
}

/** The bounds of the entry whose length stands at `at`, or undefined where it is not all there. */
function entryAt(
  bytes: Uint8Array,
  at: number,
  bytesMax: number,
): { start: number; end: number } | undefined {
  let length = 0;
  for (let i = 0; ; i++) {
    if (i >= VARINT_BYTES_MAX) throw refusal("a length is too long");
    const byte = bytes[at + i];
    if (byte === undefined) return undefined;
    length += (byte & 0x7f) * 0x80 ** i;
    if (byte >= 0x80) continue;
    if (byte === 0 && i > 0) throw refusal("a length is not in its shortest form");
    if (length > bytesMax) throw refusal(`an entry of ${length} bytes: ${bytesMax} at most`);
    const start = at + i + 1;
    return start + length > bytes.length ? undefined : { start, end: start + length };
  }
}

function readHeader(bytes: Uint8Array): Cid[] {
  try {
    const header = decodeCbor(bytes) as { version?: unknown; roots?: unknown };
    if (header?.version === 1 && Array.isArray(header.roots)) {
      return header.roots.map((root) => fromCidLink(root as CidLink));
    }
  } catch (cause) {
    throw refusal("the header is malformed", cause);
  }
  throw refusal("the header is not that of CAR version 1");
}

function readBlock(entry: Uint8Array, limits: CarLimits): Block {
  if (entry.length < CID_BYTES) throw refusal("a block too short for a CID");
  const cid = readCid(entry.subarray(0, CID_BYTES));
  const bytes = entry.subarray(CID_BYTES);
  if (limits.verify !== false && Buffer.compare(sha256(bytes), cid.digest.contents) !== 0) {
    const kind = cid.codec === CODEC_DCBOR ? "block" : "raw block";
    throw refusal(`the ${kind} ${cidToString(cid)} does not hash to its CID`);
  }
  return { cid, bytes };
}

function readCid(bytes: Uint8Array): Cid {
  try {
    return cidFromBytes(bytes);
  } catch (cause) {
    throw refusal("a block without a CID of SHA-256", cause);
  }
}
