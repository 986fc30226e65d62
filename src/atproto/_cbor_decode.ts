import { isUtf8 } from "node:buffer";
import { toBytes, toCidLink } from "@atcute/cbor";
import { looksLikeWrapper } from "./_cbor_limits.ts";
import {
  checkContainer,
  checkKeyOrder,
  type Reader as HeadReader,
  readArgument,
  readByte,
  readKeyLength,
  readLink,
  readNegative,
  readSimple,
  refusal,
  skip,
} from "./_cbor_read.ts";
import { CID_BYTES, type Cid, cidFromBytes } from "./cid.ts";

interface Reader extends HeadReader {
  readonly text: Buffer;
}

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
      return toCidLink(cidAt(reader, readLink(reader, info)));
    default:
      return readSimple(reader, info);
  }
}

function readSlice(reader: Reader, length: number): Uint8Array {
  const start = skip(reader, length);
  return reader.bytes.subarray(start, reader.at);
}

function readText(reader: Reader, length: number): string {
  const start = skip(reader, length);
  const end = reader.at;
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
  let previous = 0;
  let previousLength = 0;
  for (let i = 0; i < count; i++) {
    const length = readKeyLength(reader);
    const start = reader.at;
    const key = readText(reader, length);
    if (i > 0) checkKeyOrder(reader, previous, previousLength, start);
    previous = start;
    previousLength = length;
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

function cidAt({ bytes }: Reader, at: number): Cid {
  return cidFromBytes(bytes.subarray(at, at + CID_BYTES));
}
