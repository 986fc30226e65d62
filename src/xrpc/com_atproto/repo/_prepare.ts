/**
 * What a caller wants written, as JSON, turned into writes for the repo's actor: the data model, the lexicon, the record
 * key and the subject are settled here; swaps, blobs and what exists already are the actor's to decide.
 */
import type { RecordWrite } from "../../../actors/mod.ts";
import {
  type BlobRef,
  type Block,
  type Cid,
  knownRecordLexicon,
  nextTid,
  parseCid,
  type RecordLexicon,
  recordFromJson,
  recordKeyProblem,
  subjectOf,
  validateRecord,
} from "../../../atproto/mod.ts";
import { KithError } from "../../../errors.ts";

export type ValidationStatus = "valid" | "unknown";

/** A lexicon to judge by, or why there is none. */
export type FoundLexicon = { readonly lexicon: RecordLexicon } | { readonly problem: string };

/** Finds lexicons. `patient`: it may take some seconds, because without one nothing can be written. */
export interface Lexicons {
  find(nsid: string, options: { patient: boolean }): Promise<FoundLexicon>;
}

/** The lexicons of record types by their NSID; empty where nothing is to be judged by them. */
export type LexiconsAtHand = ReadonlyMap<string, FoundLexicon>;

/** The lexicons that some writes take, asked for all at once. What is known here is at hand without a wait. */
export async function lexiconsFor(
  collections: Iterable<string>,
  { lexicons, validate }: { lexicons: Lexicons; validate: boolean | undefined },
): Promise<LexiconsAtHand> {
  if (validate === false) return new Map();
  const asked = [...new Set(collections)].map(async (nsid): Promise<[string, FoundLexicon]> => {
    const lexicon = knownRecordLexicon(nsid);
    return [nsid, lexicon ? { lexicon } : await lexicons.find(nsid, { patient: validate === true })];
  });
  return new Map(await Promise.all(asked));
}

/** A record that may be written. */
export interface PreparedRecord {
  readonly record: Block;
  readonly blobs: readonly BlobRef[];
  readonly subject?: string;
  /** Absent where the caller asked for no validation. */
  readonly validationStatus?: ValidationStatus;
}

export interface RecordInput {
  readonly collection: string;
  readonly rkey: string;
  readonly json: unknown;
  /** True: the lexicon must be known and fit. Absent: it must fit where it is known. False: it is not looked at. */
  readonly validate: boolean | undefined;
  readonly lexicons: LexiconsAtHand;
}

/**
 * Checks a record in the order data model, record key, lexicon. KithErrors invalid_record, invalid_request. A lexicon's
 * limits on its blobs are checked against what the record claims; that the claims are true, the actor checks.
 */
export function prepareRecord(input: RecordInput): PreparedRecord {
  const { collection, json, validate } = input;
  const { bytes, cid, value, blobs } = recordFromJson(json, { collection });
  const validationStatus = validate === false ? undefined : judge(input, value);
  return { record: { cid, bytes }, blobs, subject: subjectOf(collection, value), validationStatus };
}

function judge({ collection, rkey, validate, lexicons }: RecordInput, value: unknown): ValidationStatus {
  const found = lexicons.get(collection);
  if (found === undefined || "problem" in found) {
    if (validate !== true) return "unknown";
    const why = found?.problem ?? `the lexicon "${collection}" is not known here`;
    throw new KithError("invalid_request", `Could not validate the record: ${why}`);
  }
  const problem = recordKeyProblem(collection, rkey, found.lexicon);
  if (problem) throw new KithError("invalid_request", `Could not write "${collection}/${rkey}": ${problem}`);
  const verdict = validateRecord(collection, value, found.lexicon);
  if (verdict.ok) return "valid";
  throw new KithError("invalid_record", `Invalid ${collection} record: ${verdict.message}`);
}

/** The write that creates a record; `replaces` an earlier like, repost, follow or block of the same subject. */
export function createWrite(
  { collection, rkey }: { collection: string; rkey: string },
  { prepared, replaces }: { prepared: PreparedRecord; replaces: boolean },
): RecordWrite {
  const { record, blobs, subject } = prepared;
  const replacesSubject = replaces && subject !== undefined ? true : undefined;
  return { action: "create", collection, rkey, record, blobs, subject, replacesSubject };
}

/** A CID to compare with. Text that is no CID of ours can match nothing, so it is an error of its own. */
export function swapCid(text: string | undefined): Cid | undefined {
  if (text === undefined) return undefined;
  try {
    return parseCid(text);
  } catch (cause) {
    throw new KithError("invalid_request", `Could not read the CID to swap: "${text.slice(0, 128)}"`, {
      cause,
    });
  }
}

/** Makes record keys that rise over all repos of this process. */
export class RkeySource {
  readonly #now: () => number;
  readonly #clockId: number;
  #last: string | null = null;

  constructor({ now, clockId }: { now: () => number; clockId: number }) {
    this.#now = now;
    this.#clockId = clockId;
  }

  next(): string {
    this.#last = nextTid(this.#last, this.#now() * 1000, this.#clockId);
    return this.#last;
  }
}
