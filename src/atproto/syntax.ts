/**
 * The identifiers of the protocol as text: what is well formed, and taking an AT URI apart.
 * https://atproto.com/specs/lexicon#string-formats
 */
import {
  isActorIdentifier,
  isDid,
  isHandle,
  isNsid,
  isRecordKey,
  isResourceUri,
  isTid,
  parseResourceUri,
} from "@atcute/lexicons/syntax";
import { KithError } from "../errors.ts";

export { isDid, isHandle, isNsid, isRecordKey, isTid };

/** A DID or a handle. */
export const isAtIdentifier: (input: unknown) => boolean = isActorIdentifier;

/** An AT URI in the form that lexicons allow: authority, collection, record key, and an optional fragment. */
export const isAtUri: (input: unknown) => boolean = isResourceUri;

/** Top-level domains under which no handle may be registered. https://atproto.com/specs/handle */
const RESERVED_TLDS: ReadonlySet<string> = new Set([
  "alt",
  "arpa",
  "example",
  "internal",
  "invalid",
  "local",
  "localhost",
  "onion",
]);

const URI_BYTES_MAX = 8192;
const DATETIME_CHARS_MAX = 64;
const LANGUAGE_CHARS_MAX = 128;

const CID_TEXT = /^[a-zA-Z0-9+=]{8,256}$/;
const URI = /^[a-zA-Z][a-zA-Z0-9+.-]{0,80}:\S+$/;
const URI_NOTHING_BUT_SLASHES = /^[^:]+:\/{0,2}$/;
const DATETIME =
  /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?(?:Z|(?!-00:00)[+-](?:[01]\d|2[0-3]):[0-5]\d)$/;
const YEAR_ZERO_MS = Date.parse("0000-01-01T00:00:00Z");

const LANGUAGE_GRANDFATHERED =
  /^(?:en-GB-oed|i-(?:ami|bnn|default|enochian|hak|klingon|lux|mingo|navajo|pwn|tao|tay|tsu)|sgn-(?:BE-FR|BE-NL|CH-DE)|art-lojban|cel-gaulish|no-(?:bok|nyn)|zh-(?:guoyu|hakka|min|min-nan|xiang))$/;
const LANGUAGE =
  /^[a-z]{2,3}(?:-[A-Za-z]{3}){0,3}(?:-[A-Za-z]{4})?(?:-(?:[A-Za-z]{2}|\d{3}))?((?:-(?:[A-Za-z0-9]{5,8}|\d[A-Za-z0-9]{3}))*)((?:-[0-9A-WY-Za-wy-z](?:-[A-Za-z0-9]{2,8})+)*)(?:-[xX](?:-[A-Za-z0-9]{1,8})+)?$/;
const LANGUAGE_PRIVATE = /^[xX](?:-[A-Za-z0-9]{1,8})+$/;

/**
 * The `cid` string format, which is wider than the CIDs that atproto itself makes: any multibase, no CIDv0.
 * To get a usable CID, `parseCid` it.
 */
export function isCidText(input: unknown): input is string {
  return typeof input === "string" && CID_TEXT.test(input) && !input.startsWith("Qmb");
}

/** The `datetime` format: RFC 3339 and ISO 8601 at once, with a zone, not before the year zero. */
export function isDatetime(input: unknown): input is string {
  if (typeof input !== "string" || input.length > DATETIME_CHARS_MAX || !DATETIME.test(input)) return false;
  return !input.startsWith("0000-") || Date.parse(input) >= YEAR_ZERO_MS;
}

/** The `language` format: a BCP 47 tag, without repeated variants or extensions. */
export function isLanguage(input: unknown): input is string {
  if (typeof input !== "string" || input.length > LANGUAGE_CHARS_MAX) return false;
  if (LANGUAGE_GRANDFATHERED.test(input) || LANGUAGE_PRIVATE.test(input)) return true;
  const match = LANGUAGE.exec(input);
  if (match === null) return false;
  const variants = (match[1] ?? "").split("-").slice(1);
  const singletons = (match[2] ?? "").split("-").filter((subtag) => subtag.length === 1);
  return !hasRepeats(variants) && !hasRepeats(singletons);
}

function hasRepeats(subtags: readonly string[]): boolean {
  return new Set(subtags.map((subtag) => subtag.toLowerCase())).size < subtags.length;
}

/** The `uri` format: any scheme, no white space, at most 8,192 bytes of UTF-8. */
export function isUri(input: unknown): input is string {
  return (
    typeof input === "string" &&
    URI.test(input) &&
    !URI_NOTHING_BUT_SLASHES.test(input) &&
    Buffer.byteLength(input) <= URI_BYTES_MAX
  );
}

/** A handle in the form that is stored and compared: lower case. KithError invalid_handle where it is none. */
export function normalizeHandle(handle: string): string {
  if (!isHandle(handle)) {
    throw new KithError(
      "invalid_handle",
      `Could not use "${handle.slice(0, 300)}" as a handle: wrong syntax`,
    );
  }
  return handle.toLowerCase();
}

/** True where nobody may register or resolve the handle: a reserved top-level domain; `.test` unless allowed. */
export function isReservedHandle(handle: string, options: { allowTest?: boolean } = {}): boolean {
  const tld = handle.slice(handle.lastIndexOf(".") + 1).toLowerCase();
  return RESERVED_TLDS.has(tld) || (tld === "test" && options.allowTest !== true);
}

export interface AtUri {
  /** A DID or a handle. */
  readonly authority: string;
  readonly collection?: string;
  readonly rkey?: string;
  /** Begins with `/`; without the `#`. */
  readonly fragment?: string;
}

/** Takes an AT URI apart. KithError invalid_request where the text is none. */
export function parseAtUri(text: string): AtUri {
  try {
    const { repo, collection, rkey, fragment } = parseResourceUri(text);
    return { authority: repo, collection, rkey, fragment };
  } catch (cause) {
    throw new KithError("invalid_request", `Could not read "${text.slice(0, 300)}": not an AT URI`, {
      cause,
    });
  }
}
