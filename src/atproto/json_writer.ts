/**
 * Answers made of records, as the bytes of their JSON: straight from the stored DRISL in one pass, without the objects that
 * decoding would make and JSON.stringify would read.
 */
import { isUtf8 } from "node:buffer";
import { KithError } from "../errors.ts";
import { looksLikeWrapper } from "./_cbor_limits.ts";
import {
  checkContainer,
  checkKeyOrder,
  MAJOR_TEXT,
  type Reader,
  readArgument,
  readByte,
  readKeyLength,
  readLink,
  readNegative,
  readSimple,
  refusal,
  skip,
} from "./_cbor_read.ts";
import { CID_TEXT_BYTES, writeCidText } from "./_cid_text.ts";
import { CID_BYTES } from "./cid.ts";

/** What an answer is written into; a larger one is let go with its answer. */
const SCRATCH_BYTES = 64 * 1024;
const SCRATCH_KEPT_BYTES_MAX = 1024 * 1024;
/** The longest of what is written without asking for room: a number, a word, punctuation. */
const SLACK_BYTES = 32;
/** A byte of text as JSON, at worst `\u0000`. */
const ESCAPED_BYTES_MAX = 6;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;

const utf8 = new TextEncoder();
const LINK_BEFORE = utf8.encode('{"$link":');
const BYTES_BEFORE = utf8.encode('{"$bytes":"');

/** What JSON.stringify makes of a byte of text; nothing for one that stands for itself. */
const ESCAPES: readonly (Uint8Array | undefined)[] = Array.from({ length: 256 }, (_, byte) => {
  if (byte >= 0x20 && byte !== QUOTE && byte !== BACKSLASH) return undefined;
  return utf8.encode(JSON.stringify(String.fromCharCode(byte)).slice(1, -1));
});
/** 1 for the bytes that have an escape. */
const IS_ESCAPED = Uint8Array.from(ESCAPES, (written) => (written ? 1 : 0));

/** JSON for `JsonWriter.raw`. */
export function jsonPart(text: string): Uint8Array {
  return utf8.encode(text);
}

let scratch = new Uint8Array(SCRATCH_BYTES);

/** The JSON that `write` writes, as UTF-8. KithError invalid_request where text in it is no UTF-8. */
export function writeJson(write: (json: JsonWriter) => void): Uint8Array<ArrayBuffer> {
  const json = new JsonWriter(scratch);
  write(json);
  const { bytes, length } = json;
  scratch = bytes.length > SCRATCH_KEPT_BYTES_MAX ? new Uint8Array(SCRATCH_BYTES) : bytes;
  if (!isUtf8(bytes.subarray(0, length))) {
    throw new KithError("invalid_request", "Could not write the JSON: there is text that is not UTF-8");
  }
  return bytes.slice(0, length);
}

/** Within `writeJson`: appends one part after the other. */
export class JsonWriter {
  /** What is written so far is its first `length` bytes. */
  bytes: Uint8Array<ArrayBuffer>;
  length = 0;

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.bytes = bytes;
  }

  /** JSON that is written already. */
  raw(part: Uint8Array): void {
    this.#reserve(part.length);
    this.bytes.set(part, this.length);
    this.length += part.length;
  }

  /** Text within a string, escaped: fast for what is short and ASCII, as record keys are. */
  inString(text: string): void {
    this.#reserve(text.length);
    const { bytes } = this;
    let at = this.length;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code >= 0x80 || IS_ESCAPED[code] !== 0) {
        this.raw(jsonPart(JSON.stringify(text).slice(1, -1)));
        return;
      }
      bytes[at++] = code;
    }
    this.length = at;
  }

  /** The text of a CID in binary, quoted. */
  cid(bytes: Uint8Array): void {
    if (bytes.length !== CID_BYTES) throw new RangeError(`a CID of ${bytes.length} bytes`);
    this.#link(bytes, 0);
  }

  /**
   * The value of a record's bytes, exactly as JSON.stringify(recordToJson(bytes)) has it except for the order of keys that are
   * numbers. KithError invalid_request on malformed bytes.
   */
  record(bytes: Uint8Array): void {
    const reader: Reader = { bytes, at: 0 };
    this.#value(reader, 0);
    if (reader.at !== bytes.length)
      throw refusal(reader.at, `${bytes.length - reader.at} bytes follow the value`);
  }

  #value(reader: Reader, depth: number): void {
    this.#reserve(0);
    const head = readByte(reader);
    const info = head & 0x1f;
    switch (head >> 5) {
      case 0:
        this.#number(readArgument(reader, info));
        break;
      case 1:
        this.#number(readNegative(reader, info));
        break;
      case 2:
        this.#byteString(reader, info);
        break;
      case MAJOR_TEXT:
        this.#text(reader, readArgument(reader, info));
        break;
      case 4:
        this.#array(reader, info, depth + 1);
        break;
      case 5:
        this.#map(reader, info, depth + 1);
        break;
      case 6: {
        const cid = readLink(reader, info);
        this.raw(LINK_BEFORE);
        this.#link(reader.bytes, cid);
        this.#put(0x7d);
        break;
      }
      default:
        this.inString(String(readSimple(reader, info)));
    }
  }

  #number(value: number): void {
    if (value >= 0 && value < 10) this.#put(0x30 + value);
    else this.inString(String(value));
  }

  #byteString(reader: Reader, info: number): void {
    const length = readArgument(reader, info);
    const start = reader.bytes.byteOffset + skip(reader, length);
    const base64 = Buffer.from(reader.bytes.buffer, start, length).toString("base64");
    this.raw(BYTES_BEFORE);
    // without padding, as the data model has it
    this.inString(base64.replace(/=+$/, ""));
    this.#put(QUOTE);
    this.#put(0x7d);
  }

  #text(reader: Reader, length: number): void {
    const start = skip(reader, length);
    const end = reader.at;
    this.#reserve(length * ESCAPED_BYTES_MAX);
    const source = reader.bytes;
    const target = this.bytes;
    let at = this.length;
    target[at++] = QUOTE;
    for (let i = start; i < end; i++) {
      const byte = source[i] as number;
      if (IS_ESCAPED[byte] === 0) target[at++] = byte;
      else for (const part of ESCAPES[byte] as Uint8Array) target[at++] = part;
    }
    target[at++] = QUOTE;
    this.length = at;
  }

  #array(reader: Reader, info: number, depth: number): void {
    const count = readArgument(reader, info);
    checkContainer(reader, count, depth);
    this.#put(0x5b);
    for (let i = 0; i < count; i++) {
      if (i > 0) this.#put(COMMA);
      this.#value(reader, depth);
    }
    this.#reserve(0);
    this.#put(0x5d);
  }

  #map(reader: Reader, info: number, depth: number): void {
    const count = readArgument(reader, info);
    checkContainer(reader, count, depth);
    this.#put(0x7b);
    let previous = 0;
    let previousLength = 0;
    for (let i = 0; i < count; i++) {
      if (i > 0) this.#put(COMMA);
      const length = readKeyLength(reader);
      const start = reader.at;
      this.#text(reader, length);
      if (i > 0) checkKeyOrder(reader, previous, previousLength, start);
      if (count === 1) refuseWrapper(reader, start);
      previous = start;
      previousLength = length;
      this.#put(0x3a);
      this.#value(reader, depth);
    }
    this.#reserve(0);
    this.#put(0x7d);
  }

  #link(source: Uint8Array, at: number): void {
    this.#reserve(CID_TEXT_BYTES);
    this.#put(QUOTE);
    writeCidText(source, at, this.bytes, this.length);
    this.length += CID_TEXT_BYTES;
    this.#put(QUOTE);
  }

  #put(byte: number): void {
    this.bytes[this.length++] = byte;
  }

  /** Makes room for so many bytes, and SLACK_BYTES beside. */
  #reserve(count: number): void {
    const wanted = this.length + count + SLACK_BYTES;
    if (wanted <= this.bytes.length) return;
    const larger = new Uint8Array(Math.max(wanted, this.bytes.length * 2));
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
  }
}

/** As in `decodeCbor`: a map of one text `$link` or `$bytes` would be something else in JSON. */
function refuseWrapper({ bytes, at }: Reader, start: number): void {
  if (bytes[start] !== 0x24 || (bytes[at] as number) >> 5 !== MAJOR_TEXT) return;
  const key = String.fromCharCode(...bytes.subarray(start, Math.min(at, start + 7)));
  if (looksLikeWrapper(key, "")) throw refusal(start, `a map that looks like a ${key}`);
}
