import { BytesWrapper, CidLinkWrapper } from "@atcute/cbor";
import { CBOR_DEPTH_MAX, looksLikeWrapper, TAG_CID } from "./_cbor_limits.ts";

/** The buffer that encoding runs in, kept between calls; grows to fit, and is dropped again above the maximum. */
const SCRATCH_BYTES = 64 * 1024;
const SCRATCH_KEPT_BYTES_MAX = 4 * 1024 * 1024;
/** A head: one byte of type, up to eight of argument. */
const HEAD_BYTES_MAX = 9;
const TWO_32 = 2 ** 32;
/** Below this length a loop over characters beats a native call. */
const SHORT_TEXT_CHARS = 24;
/** Below this count insertion sort beats a native call; above it, being quadratic, it must not be used. */
const FEW_KEYS = 16;

let scratch: Buffer = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
let at = 0;

/**
 * Encodes a value as DRISL: null, booleans, safe integers, well-formed strings, arrays, plain objects, and atcute's
 * CidLink and Bytes. Properties that are undefined are left out. TypeError or RangeError on anything else, among it
 * floats, plain `{"$link": ""}` objects (use `toCidLink`) and depth beyond CBOR_DEPTH_MAX.
 */
export function encodeCbor(value: unknown): Uint8Array {
  at = 0;
  try {
    writeValue(value, 0);
    const bytes = new Uint8Array(at);
    bytes.set(scratch.subarray(0, at));
    return bytes;
  } finally {
    if (scratch.length > SCRATCH_KEPT_BYTES_MAX) scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  }
}

/** What stands before so many bytes of a byte string, for one that is long and need not be copied here. */
export function cborBytesHead(length: number): Uint8Array {
  at = 0;
  writeHead(2, length);
  return Uint8Array.from(scratch.subarray(0, at));
}

function reserve(bytes: number): void {
  if (at + bytes <= scratch.length) return;
  const larger = Buffer.allocUnsafeSlow(Math.max(scratch.length * 2, at + bytes));
  larger.set(scratch.subarray(0, at));
  scratch = larger;
}

function writeHead(type: number, argument: number): void {
  const major = type << 5;
  if (argument < 24) {
    scratch[at++] = major | argument;
  } else if (argument < 0x100) {
    scratch[at++] = major | 24;
    scratch[at++] = argument;
  } else if (argument < 0x10000) {
    scratch[at++] = major | 25;
    scratch[at++] = argument >>> 8;
    scratch[at++] = argument;
  } else {
    writeWideHead(major, argument);
  }
}

function writeWideHead(major: number, argument: number): void {
  const wide = argument >= TWO_32;
  scratch[at++] = major | (wide ? 27 : 26);
  if (wide) at = scratch.writeUInt32BE(Math.floor(argument / TWO_32), at);
  at = scratch.writeUInt32BE(argument >>> 0, at);
}

function headBytes(argument: number): number {
  if (argument < 24) return 1;
  if (argument < 0x100) return 2;
  if (argument < 0x10000) return 3;
  return argument < TWO_32 ? 5 : 9;
}

function writeValue(value: unknown, depth: number): void {
  reserve(HEAD_BYTES_MAX);
  switch (typeof value) {
    case "string":
      writeText(value);
      return;
    case "number":
      writeInteger(value);
      return;
    case "boolean":
      scratch[at++] = value ? 0xf5 : 0xf4;
      return;
    case "object":
      if (value === null) scratch[at++] = 0xf6;
      else writeObject(value, depth + 1);
      return;
    default:
      throw new TypeError(`no DRISL form for ${typeof value}`);
  }
}

function writeInteger(value: number): void {
  if (!Number.isSafeInteger(value)) throw new RangeError(`no DRISL integer for ${value}`);
  if (value < 0) writeHead(1, -1 - value);
  else writeHead(0, value);
}

function writeText(text: string): void {
  const length = text.length;
  reserve(length * 3 + HEAD_BYTES_MAX);
  if (length < SHORT_TEXT_CHARS) {
    const start = at + 1;
    let i = 0;
    for (; i < length; i++) {
      const code = text.charCodeAt(i);
      if (code > 0x7f) break;
      scratch[start + i] = code;
    }
    if (i === length) {
      scratch[at] = 0x60 | length;
      at = start + length;
      return;
    }
  }
  writeLongText(text);
}

function writeLongText(text: string): void {
  const guess = headBytes(text.length);
  const start = at + guess;
  const bytes = scratch.write(text, start, "utf8");
  // a lone surrogate would silently become U+FFFD: the text read back would not be the text given
  if (bytes !== text.length && !text.isWellFormed()) throw new TypeError("text with a lone surrogate");
  const head = headBytes(bytes);
  if (head !== guess) scratch.copyWithin(at + head, start, start + bytes);
  writeHead(3, bytes);
  at += bytes;
}

function writeObject(value: object, depth: number): void {
  if (value instanceof CidLinkWrapper) {
    writeLink(value.bytes);
  } else if (value instanceof BytesWrapper) {
    writeBytes(value.buf);
  } else if (depth > CBOR_DEPTH_MAX) {
    throw new RangeError(`nested deeper than ${CBOR_DEPTH_MAX}`);
  } else if (Array.isArray(value)) {
    writeHead(4, value.length);
    for (let i = 0; i < value.length; i++) writeValue(value[i], depth);
  } else {
    const prototype = Object.getPrototypeOf(value);
    if (prototype !== Object.prototype && prototype !== null)
      throw new TypeError("no DRISL form for a class");
    writeMap(value as Record<string, unknown>, depth);
  }
}

function writeLink(cid: Uint8Array): void {
  reserve(cid.length + 5);
  writeHead(6, TAG_CID);
  writeHead(2, cid.length + 1);
  scratch[at++] = 0;
  scratch.set(cid, at);
  at += cid.length;
}

function writeBytes(bytes: Uint8Array): void {
  reserve(bytes.length + HEAD_BYTES_MAX);
  writeHead(2, bytes.length);
  scratch.set(bytes, at);
  at += bytes.length;
}

function writeMap(map: Record<string, unknown>, depth: number): void {
  const keys = sortedKeys(map);
  const only = keys[0];
  if (keys.length === 1 && looksLikeWrapper(only as string, map[only as string])) {
    throw new TypeError(`a plain object with ${only}: use a CidLink or Bytes`);
  }
  writeHead(5, keys.length);
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i] as string;
    reserve(HEAD_BYTES_MAX);
    writeText(key);
    writeValue(map[key], depth);
  }
}

/** Keys with a value, in DRISL order: by length in UTF-8, then by bytes. */
function sortedKeys(map: Record<string, unknown>): string[] {
  const keys = Object.keys(map);
  let ascii = true;
  let kept = 0;
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i] as string;
    if (map[key] === undefined) continue;
    if (ascii && !isAscii(key)) ascii = false;
    keys[kept++] = key;
  }
  keys.length = kept;
  if (!ascii) return sortedByUtf8(keys);
  if (kept > FEW_KEYS) return keys.sort(compareAscii);
  for (let i = 1; i < kept; i++) {
    const key = keys[i] as string;
    let j = i - 1;
    for (; j >= 0 && compareAscii(keys[j] as string, key) > 0; j--) keys[j + 1] = keys[j] as string;
    keys[j + 1] = key;
  }
  return keys;
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false;
  return true;
}

function compareAscii(a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : a > b ? 1 : 0);
}

/** UTF-16 order is not UTF-8 order, hence the detour over bytes. */
function sortedByUtf8(keys: readonly string[]): string[] {
  return keys
    .map((key) => ({ key, bytes: Buffer.from(key) }))
    .sort((a, b) => a.bytes.length - b.bytes.length || Buffer.compare(a.bytes, b.bytes))
    .map(({ key }) => key);
}
