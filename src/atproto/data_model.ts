/**
 * Records between JSON and DRISL: what a record may be made of, whatever its lexicon says.
 * https://atproto.com/specs/data-model, https://atproto.com/guides/data-validation
 */
import { BytesWrapper, CidLinkWrapper } from "@atcute/cbor";
import { KithError } from "../errors.ts";
import { decodeCbor, encodeCbor, fromCidLink, toBytes, toCidLink } from "./cbor.ts";
import { type Cid, cidOfCbor, parseCid } from "./cid.ts";
import { RECORD_BYTES_MAX } from "./commit.ts";

/** A blob that a record refers to. */
export interface BlobRef {
  readonly cid: Cid;
  readonly mimeType: string;
  /** In bytes; -1 for the legacy form, which does not say. */
  readonly size: number;
  /** Where in the record, keys and positions joined by dots: `embed.images.0.image`. */
  readonly path?: string;
}

/** A record ready to be written. */
export interface ParsedRecord {
  readonly bytes: Uint8Array;
  readonly cid: Cid;
  /** The record as `decodeCbor(bytes)` would give it: plain objects, CidLink, Bytes. */
  readonly value: unknown;
  readonly blobs: BlobRef[];
}

/** Containers within containers, the record itself counted. */
const NESTING_MAX = 32;
/** Items of one array, or entries of one map. */
const CONTAINER_ELEMENTS_MAX = 131_072;
const KEY_BYTES_MAX = 8192;

/** Standard alphabet, padding optional. */
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/;

type JsonMap = Record<string, unknown>;

interface Walk {
  readonly path: (string | number)[];
  readonly blobs: BlobRef[];
}

/**
 * Turns the JSON value of a record into what is stored. `$type` is set to the collection where it is missing.
 * KithError invalid_record, naming the place, on: another `$type`, floats and unsafe integers, malformed `$link`, `$bytes`
 * or blobs, legacy blobs, text with lone surrogates, empty or overlong keys, and anything over the limits above.
 */
export function recordFromJson(json: unknown, options: { collection: string }): ParsedRecord {
  const { collection } = options;
  const walk: Walk = { path: [], blobs: [] };
  if (!isMap(json) || "$link" in json || "$bytes" in json) throw refusal(walk, "a record must be an object");
  if (Object.hasOwn(json, "$type") && json.$type !== collection) {
    throw refusal(walk, `$type is ${quote(json.$type)}, not its collection "${collection}"`);
  }
  const typed = Object.hasOwn(json, "$type") ? json : { $type: collection, ...json };
  const value = fromJson(typed, walk);
  const bytes = encodeCbor(value);
  if (bytes.length > RECORD_BYTES_MAX) {
    throw refusal(walk, `${bytes.length} bytes: ${RECORD_BYTES_MAX} at most`);
  }
  return { bytes, cid: cidOfCbor(bytes), value, blobs: walk.blobs };
}

/** The JSON value of a record's bytes, with `{"$link"}` and `{"$bytes"}`. KithError invalid_request on malformed bytes. */
export function recordToJson(bytes: Uint8Array): unknown {
  return toJson(decodeCbor(bytes));
}

/** The blobs of a decoded record, also those in the legacy form, which repositories from elsewhere may have. */
export function blobsInRecord(value: unknown): BlobRef[] {
  const walk: Walk = { path: [], blobs: [] };
  collectBlobs(value, walk);
  return walk.blobs;
}

function refusal(walk: Walk, why: string): KithError {
  const place = walk.path.length === 0 ? "" : ` at "${walk.path.join(".").slice(0, 200)}"`;
  return new KithError("invalid_record", `Could not read the record${place}: ${why}`);
}

function quote(value: unknown): string {
  return (JSON.stringify(value) ?? String(value)).slice(0, 100);
}

function isMap(value: unknown): value is JsonMap {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function fromJson(value: unknown, walk: Walk): unknown {
  switch (typeof value) {
    case "string":
      if (!value.isWellFormed()) throw refusal(walk, "text with a lone surrogate");
      return value;
    case "number":
      if (!Number.isInteger(value)) throw refusal(walk, `${value} is not an integer`);
      if (!Number.isSafeInteger(value)) throw refusal(walk, `${value} is beyond 53 bits`);
      return value;
    case "boolean":
      return value;
    case "object":
      if (value === null || value instanceof CidLinkWrapper || value instanceof BytesWrapper) return value;
      if (walk.path.length >= NESTING_MAX) throw refusal(walk, `nested deeper than ${NESTING_MAX}`);
      return Array.isArray(value) ? arrayFromJson(value, walk) : mapFromJson(value as JsonMap, walk);
    default:
      throw refusal(walk, `${typeof value} is not JSON`);
  }
}

function arrayFromJson(items: readonly unknown[], walk: Walk): unknown[] {
  checkCount(items.length, walk);
  return items.map((item, position) => {
    walk.path.push(position);
    const value = fromJson(item, walk);
    walk.path.pop();
    return value;
  });
}

function mapFromJson(map: JsonMap, walk: Walk): unknown {
  if (Object.hasOwn(map, "$link")) return linkFromJson(map, walk);
  if (Object.hasOwn(map, "$bytes")) return bytesFromJson(map, walk);
  const keys = Object.keys(map);
  checkCount(keys.length, walk);
  if (Object.hasOwn(map, "$type")) checkType(map.$type, walk);
  if (isLegacyBlob(map, keys)) throw refusal(walk, "a blob in the legacy form {cid, mimeType}");
  const result: JsonMap = {};
  for (const key of keys) {
    checkKey(key, walk);
    walk.path.push(key);
    const value = fromJson(map[key], walk);
    walk.path.pop();
    if (key === "__proto__") defineOwn(result, value);
    else result[key] = value;
  }
  if (result.$type === "blob") walk.blobs.push(blobFrom(result, walk));
  return result;
}

/** Assigning `__proto__` would set the prototype; as data it is a key like any other. */
function defineOwn(map: JsonMap, value: unknown): void {
  Object.defineProperty(map, "__proto__", { value, enumerable: true, configurable: true, writable: true });
}

function checkCount(count: number, walk: Walk): void {
  if (count > CONTAINER_ELEMENTS_MAX)
    throw refusal(walk, `${count} elements: ${CONTAINER_ELEMENTS_MAX} at most`);
}

function checkKey(key: string, walk: Walk): void {
  if (key === "") throw refusal(walk, "an empty key");
  if (!key.isWellFormed()) throw refusal(walk, "a key with a lone surrogate");
  if (key.length * 3 > KEY_BYTES_MAX && Buffer.byteLength(key) > KEY_BYTES_MAX) {
    throw refusal(walk, `a key of more than ${KEY_BYTES_MAX} bytes`);
  }
}

function checkType(type: unknown, walk: Walk): void {
  if (typeof type !== "string" || type === "") throw refusal(walk, `$type is ${quote(type)}, not a name`);
}

function linkFromJson(map: JsonMap, walk: Walk): unknown {
  const { $link } = map;
  if (Object.keys(map).length !== 1) throw refusal(walk, "$link beside other keys");
  if (typeof $link === "string") {
    try {
      return toCidLink(parseCid($link));
    } catch {
      // told below, with the place
    }
  }
  throw refusal(walk, `$link is ${quote($link)}, not a CID`);
}

function bytesFromJson(map: JsonMap, walk: Walk): unknown {
  const { $bytes } = map;
  if (Object.keys(map).length !== 1) throw refusal(walk, "$bytes beside other keys");
  if (typeof $bytes !== "string" || !BASE64.test($bytes)) throw refusal(walk, "$bytes is not base64");
  return toBytes(new Uint8Array(Buffer.from($bytes, "base64")));
}

function blobFrom(map: JsonMap, walk: Walk): BlobRef {
  const { ref, mimeType, size } = map;
  if (!(ref instanceof CidLinkWrapper)) throw refusal(walk, "a blob whose ref is not a link");
  if (typeof mimeType !== "string" || mimeType === "") throw refusal(walk, "a blob without mimeType");
  if (typeof size !== "number" || size < 0) throw refusal(walk, `a blob whose size is ${quote(size)}`);
  if (Object.keys(map).length !== 4) throw refusal(walk, "a blob with other keys");
  return { cid: fromCidLink(ref), mimeType, size, path: walk.path.join(".") };
}

function isLegacyBlob(map: JsonMap, keys: readonly string[]): map is { cid: string; mimeType: string } {
  if (keys.length !== 2 || typeof map.cid !== "string" || typeof map.mimeType !== "string") return false;
  try {
    parseCid(map.cid);
    return true;
  } catch {
    return false;
  }
}

function toJson(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof CidLinkWrapper || value instanceof BytesWrapper) return value.toJSON();
  if (Array.isArray(value)) return value.map(toJson);
  const result: JsonMap = {};
  for (const key of Object.keys(value)) {
    const item = toJson((value as JsonMap)[key]);
    if (key === "__proto__") defineOwn(result, item);
    else result[key] = item;
  }
  return result;
}

function collectBlobs(value: unknown, walk: Walk): void {
  if (typeof value !== "object" || value === null) return;
  if (value instanceof CidLinkWrapper || value instanceof BytesWrapper) return;
  const map = value as JsonMap;
  const keys = Object.keys(map);
  const { ref, mimeType, size } = map;
  if (map.$type === "blob" && ref instanceof CidLinkWrapper && typeof mimeType === "string") {
    const bytes = typeof size === "number" ? size : -1;
    walk.blobs.push({ cid: fromCidLink(ref), mimeType, size: bytes, path: walk.path.join(".") });
  } else if (isLegacyBlob(map, keys)) {
    walk.blobs.push({ cid: parseCid(map.cid), mimeType: map.mimeType, size: -1, path: walk.path.join(".") });
  } else {
    for (const key of keys) {
      walk.path.push(key);
      collectBlobs(map[key], walk);
      walk.path.pop();
    }
  }
}
