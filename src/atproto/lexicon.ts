/**
 * Which record types are known here, and whether a record is what its lexicon says.
 * https://atproto.com/specs/lexicon, https://atproto.com/specs/record-key
 */
import { type BaseSchema, safeParse } from "@atcute/lexicons/validations";
import type { RecordLexicon } from "./_record_schemas.ts";
import { isRecordKey } from "./syntax.ts";

export type { RecordLexicon } from "./_record_schemas.ts";

export type RecordValidity = { readonly ok: true } | { readonly ok: false; readonly message: string };

/** Problems quote what the caller sent: a message stays readable. */
const MESSAGE_CHARS_MAX = 300;

let known: ReadonlyMap<string, RecordLexicon> | undefined;

/** Loaded with the first record that is looked at: a start does without these hundreds of schemas. */
function schemas(): ReadonlyMap<string, RecordLexicon> {
  known ??= (require("./_record_schemas.ts") as typeof import("./_record_schemas.ts")).RECORD_SCHEMAS;
  return known;
}

/** True where the schema of the record type is at hand. */
export function isKnownRecordType(nsid: string): boolean {
  return schemas().has(nsid);
}

/** The lexicon of a record type that is at hand. */
export function knownRecordLexicon(nsid: string): RecordLexicon | undefined {
  return schemas().get(nsid);
}

/** The record types whose schemas are at hand, sorted. */
export function knownRecordTypes(): string[] {
  return [...schemas().keys()].sort();
}

/**
 * Judges a record, decoded or as JSON, by its lexicon: the message names the place and what was expected there. Blobs
 * must be of an accepted type and size. A type that is not known, and comes without its lexicon, is not ok.
 */
export function validateRecord(nsid: string, value: unknown, lexicon = schemas().get(nsid)): RecordValidity {
  if (lexicon === undefined) return { ok: false, message: `the lexicon "${nsid}" is not known here` };
  return judge(lexicon, value);
}

/** What is wrong with a record key, by its syntax and by the key type of the lexicon where that is known. */
export function recordKeyProblem(
  nsid: string,
  rkey: string,
  lexicon = schemas().get(nsid),
): string | undefined {
  if (!isRecordKey(rkey)) return "not a record key: 1 to 512 of A-Z a-z 0-9 . - _ : ~, and not . or ..";
  const verdict = lexicon && judge(lexicon.key, rkey);
  return verdict === undefined || verdict.ok
    ? undefined
    : `not a record key for "${nsid}": ${verdict.message}`;
}

function judge(schema: BaseSchema, value: unknown): RecordValidity {
  const result = safeParse(schema, value, { strict: true });
  return result.ok ? { ok: true } : { ok: false, message: readableIssue(result.message) };
}

/** What a lexicon schema finds wrong, for people: `invalid_type at .embed.images (expected array)` as `embed.images: expected array`. */
export function readableIssue(message: string): string {
  const [, path, rest] = /^\w+ at \.(\S*) \((.+)$/s.exec(message) ?? [];
  if (rest === undefined) return message.slice(0, MESSAGE_CHARS_MAX);
  const what = rest
    .replace(/\)$/, "")
    .replace(/\) \(\+(\d+) other issue\(s\)$/, " (and $1 more)")
    .replace(/^expected unknown/, "expected object")
    .replace(/^expected an? (\S+) formatted string/, "not a valid $1")
    .replace(/^missing value/, "missing");
  return `${path ? `${path}: ` : ""}${what}`.slice(0, MESSAGE_CHARS_MAX);
}
