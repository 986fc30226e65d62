import { isUtf8 } from "node:buffer";
import { toBytes } from "@atcute/cbor";
import { decode, toCidLink } from "@atcute/cid";
import { KithError } from "../errors.ts";
import { CBOR_DEPTH_MAX, looksLikeWrapper, TAG_CID } from "./_cbor_limits.ts";

interface Reader {
  readonly bytes: Uint8Array;
  readonly text: Buffer;
  at: number;
}

/** Binary CIDs are 36 bytes behind a 0x00. */
const CID_BYTES_IN_CBOR = 37;
const TWO_32 = 2 ** 32;

/**
 * Decodes one DRISL value that fills `bytes`: maps as plain objects, CIDs and byte strings as atcute's CidLink and
 * Bytes (which share memory with `bytes`). Floats, integers beyond 53 bits, unsorted or repeated keys, longer forms than
 * needed, bad UTF-8, depth beyond CBOR_DEPTH_MAX and trailing bytes are KithError invalid_request.
 */
export function decodeCbor(bytes: Uint8Array): unknown {
  const [value, end] = decodeFirstCbor(bytes);
  if (end !== bytes.length) throw refusal(end, `${bytes.length - end} bytes follow the value`);
  return value;
}

/** As `decodeCbor`, but reads one value from the start and gives the offset of what follows it. */
export function decodeFirstCbor(bytes: Uint8Array): [value: unknown, end: number] {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const reader: Reader = { bytes, text, at: 0 };
  const value = readValue(reader, 0);
  return [value, reader.at];
}

function refusal(at: number, why: string): KithError {
  return new KithError("invalid_request", `Could not decode DRISL at byte ${at}: ${why}`);
}

function readValue(reader: Reader, depth: number): unknown {
  const head = readByte(reader);
  const info = head & 0x1f;
  switch (head >> 5) {
    case 0:
      return readArgument(reader, info);
    case 1:
      return readNegative(reader, info);
    case 2:
      return toBytes(readSlice(reader, readArgument(reader, info)));
    case 3:
      return readText(reader, readArgument(reader, info));
    case 4:
      return readArray(reader, info, depth + 1);
    case 5:
      return readMap(reader, info, depth + 1);
    case 6:
      return readLink(reader, info);
    default:
      return readSimple(reader, info);
  }
}

function readByte(reader: Reader): number {
  const byte = reader.bytes[reader.at];
  if (byte === undefined) throw refusal(reader.at, "the input ends early");
  reader.at++;
  return byte;
}

function readArgument(reader: Reader, info: number): number {
  if (info < 24) return info;
  if (info > 27) throw refusal(reader.at - 1, "indefinite length or reserved form");
  const width = 1 << (info - 24);
  const start = reader.at;
  if (start + width > reader.bytes.length) throw refusal(start, "the input ends early");
  let value = 0;
  for (let i = 0; i < width; i++) value = value * 256 + (reader.bytes[start + i] as number);
  reader.at = start + width;
  const shortest = width === 1 ? 24 : width === 2 ? 0x100 : width === 4 ? 0x10000 : TWO_32;
  if (value < shortest) throw refusal(start, "not the shortest form");
  if (value > Number.MAX_SAFE_INTEGER) throw refusal(start, "an integer beyond 53 bits");
  return value;
}

function readNegative(reader: Reader, info: number): number {
  const value = -1 - readArgument(reader, info);
  if (value < Number.MIN_SAFE_INTEGER) throw refusal(reader.at, "an integer beyond 53 bits");
  return value;
}

function readSlice(reader: Reader, length: number): Uint8Array {
  const start = reader.at;
  if (length > reader.bytes.length - start) throw refusal(start, "the input ends early");
  reader.at = start + length;
  return reader.bytes.subarray(start, reader.at);
}

function readText(reader: Reader, length: number): string {
  const start = reader.at;
  const end = start + length;
  if (length > reader.bytes.length - start) throw refusal(start, "the input ends early");
  reader.at = end;
  if (length <= 32) {
    let seen = 0;
    for (let i = start; i < end; i++) seen |= reader.bytes[i] as number;
    if (seen < 0x80) return reader.text.toString("latin1", start, end);
  }
  const text = reader.text.toString("utf8", start, end);
  // bad UTF-8 becomes U+FFFD, so only text that has one needs the second look
  if (text.includes("\ufffd") && !isUtf8(reader.bytes.subarray(start, end))) {
    throw refusal(start, "text that is not UTF-8");
  }
  return text;
}

function checkContainer(reader: Reader, count: number, depth: number): void {
  if (depth > CBOR_DEPTH_MAX) throw refusal(reader.at, `nested deeper than ${CBOR_DEPTH_MAX}`);
  if (count > reader.bytes.length - reader.at) throw refusal(reader.at, "the input ends early");
}

function readArray(reader: Reader, info: number, depth: number): unknown[] {
  const count = readArgument(reader, info);
  checkContainer(reader, count, depth);
  const items: unknown[] = [];
  for (let i = 0; i < count; i++) items.push(readValue(reader, depth));
  return items;
}

function readMap(reader: Reader, info: number, depth: number): Record<string, unknown> {
  const count = readArgument(reader, info);
  checkContainer(reader, count, depth);
  const map: Record<string, unknown> = {};
  let previousStart = 0;
  let previousEnd = 0;
  for (let i = 0; i < count; i++) {
    const head = readByte(reader);
    if (head >> 5 !== 3) throw refusal(reader.at - 1, "a map key that is not text");
    const length = readArgument(reader, head & 0x1f);
    const start = reader.at;
    const key = readText(reader, length);
    if (i > 0 && !sortsAfter(reader, [previousStart, previousEnd], [start, reader.at])) {
      throw refusal(start, "map keys out of order or repeated");
    }
    previousStart = start;
    previousEnd = reader.at;
    const value = readValue(reader, depth);
    if (count === 1 && looksLikeWrapper(key, value)) throw refusal(start, `a map that looks like a ${key}`);
    if (key === "__proto__") defineOwn(map, value);
    else map[key] = value;
  }
  return map;
}

/** Assigning `__proto__` would set the prototype; as data it is a key like any other. */
function defineOwn(map: Record<string, unknown>, value: unknown): void {
  Object.defineProperty(map, "__proto__", { value, enumerable: true, configurable: true, writable: true });
}

function sortsAfter(reader: Reader, a: [number, number], b: [number, number]): boolean {
  const [aStart, aEnd] = a;
  const [bStart, bEnd] = b;
  const longer = bEnd - bStart - (aEnd - aStart);
  if (longer !== 0) return longer > 0;
  for (let i = 0; i < aEnd - aStart; i++) {
    const order = (reader.bytes[bStart + i] as number) - (reader.bytes[aStart + i] as number);
    if (order !== 0) return order > 0;
  }
  return false;
}

function readLink(reader: Reader, info: number): unknown {
  const start = reader.at - 1;
  if (readArgument(reader, info) !== TAG_CID) throw refusal(start, "a tag other than 42");
  const head = readByte(reader);
  if (head >> 5 !== 2) throw refusal(start, "tag 42 not on bytes");
  const bytes = readSlice(reader, readArgument(reader, head & 0x1f));
  if (bytes.length !== CID_BYTES_IN_CBOR || bytes[0] !== 0) throw refusal(start, "not a binary CID");
  try {
    return toCidLink(decode(bytes.subarray(1)));
  } catch (cause) {
    throw new KithError("invalid_request", `Could not decode DRISL at byte ${start}: not a binary CID`, {
      cause,
    });
  }
}

function readSimple(reader: Reader, info: number): boolean | null {
  if (info === 20) return false;
  if (info === 21) return true;
  if (info === 22) return null;
  const what = info >= 25 && info <= 27 ? "a float" : `simple value ${info}`;
  throw refusal(reader.at - 1, what);
}
