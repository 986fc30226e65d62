/** Heads of DRISL values: what reading it as values and writing it as JSON have in common, strictness above all. */
import { KithError } from "../errors.ts";
import { CBOR_DEPTH_MAX, TAG_CID } from "./_cbor_limits.ts";
import { CID_BYTES, hasCidPrefix } from "./cid.ts";

export interface Reader {
  readonly bytes: Uint8Array;
  at: number;
}

/** Binary CIDs are behind a 0x00. */
const CID_BYTES_IN_CBOR = CID_BYTES + 1;
const TWO_32 = 2 ** 32;

/** The first three bits of a head. */
const MAJOR_BYTES = 2;
export const MAJOR_TEXT = 3;

export function refusal(at: number, why: string): KithError {
  return new KithError("invalid_request", `Could not decode DRISL at byte ${at}: ${why}`);
}

export function readByte(reader: Reader): number {
  const byte = reader.bytes[reader.at];
  if (byte === undefined) throw refusal(reader.at, "the input ends early");
  reader.at++;
  return byte;
}

export function readArgument(reader: Reader, info: number): number {
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

export function readNegative(reader: Reader, info: number): number {
  const value = -1 - readArgument(reader, info);
  if (value < Number.MIN_SAFE_INTEGER) throw refusal(reader.at, "an integer beyond 53 bits");
  return value;
}

/** Passes over so many bytes; returns where they begin. */
export function skip(reader: Reader, length: number): number {
  const start = reader.at;
  if (length > reader.bytes.length - start) throw refusal(start, "the input ends early");
  reader.at = start + length;
  return start;
}

/** Passes over the head of a map's key, up to its text; returns the text's length. */
export function readKeyLength(reader: Reader): number {
  const head = readByte(reader);
  if (head >> 5 !== MAJOR_TEXT) throw refusal(reader.at - 1, "a map key that is not text");
  return readArgument(reader, head & 0x1f);
}

/** Passes over a CID behind the head of its tag; returns where its CID_BYTES begin. */
export function readLink(reader: Reader, info: number): number {
  const start = reader.at - 1;
  if (readArgument(reader, info) !== TAG_CID) throw refusal(start, "a tag other than 42");
  const head = readByte(reader);
  if (head >> 5 !== MAJOR_BYTES) throw refusal(start, "tag 42 not on bytes");
  const length = readArgument(reader, head & 0x1f);
  const at = skip(reader, length);
  if (length !== CID_BYTES_IN_CBOR || reader.bytes[at] !== 0 || !hasCidPrefix(reader.bytes, at + 1)) {
    throw refusal(start, "not a binary CID");
  }
  return at + 1;
}

export function readSimple(reader: Reader, info: number): boolean | null {
  if (info === 20) return false;
  if (info === 21) return true;
  if (info === 22) return null;
  const what = info >= 25 && info <= 27 ? "a float" : `simple value ${info}`;
  throw refusal(reader.at - 1, what);
}

export function checkContainer(reader: Reader, count: number, depth: number): void {
  if (depth > CBOR_DEPTH_MAX) throw refusal(reader.at, `nested deeper than ${CBOR_DEPTH_MAX}`);
  if (count > reader.bytes.length - reader.at) throw refusal(reader.at, "the input ends early");
}

/** Keys come in order, the shorter first: throws unless the one up to `reader.at` comes after the one at `previous`. */
export function checkKeyOrder(reader: Reader, previous: number, previousLength: number, start: number): void {
  const { bytes } = reader;
  const longer = reader.at - start - previousLength;
  if (longer > 0) return;
  for (let i = 0; longer === 0 && i < previousLength; i++) {
    const order = (bytes[start + i] as number) - (bytes[previous + i] as number);
    if (order > 0) return;
    if (order < 0) break;
  }
  throw refusal(start, "map keys out of order or repeated");
}
