/**
 * Finds the lexicon that an NSID stands for: its authority's domain names a DID in the DNS, and the repo of that DID has
 * the record, which is taken only with its proof. https://atproto.com/specs/lexicon#lexicon-publication-and-resolution
 */
import {
  cidToString,
  type DidDocument,
  decodeCbor,
  isReservedHandle,
  pdsEndpointOf,
  signingKeyOf,
  verifyRecordProof,
} from "../atproto/mod.ts";
import { type ErrorCode, isKithError, KithError } from "../errors.ts";
import { didByTxt, type TxtOptions } from "./_did_by_txt.ts";
import type { SafeFetch } from "./safe_fetch.ts";

export interface ResolvedLexicon {
  readonly nsid: string;
  /** The AT URI of the record. */
  readonly uri: string;
  readonly cid: string;
  /** The record, in DRISL. Its version and its id have been looked at, and nothing else. */
  readonly bytes: Uint8Array;
}

export interface LexiconResolver {
  /** Throws KithError lexicon_not_found (there is none, or nobody can trust it), upstream_failure, timeout. */
  resolve(nsid: string): Promise<ResolvedLexicon>;
}

export interface LexiconResolverOptions extends TxtOptions {
  readonly dids: { resolve(did: string, options?: { fresh?: boolean }): Promise<DidDocument> };
  readonly safeFetch: SafeFetch;
  /** Whose repo is asked for every lexicon, instead of what the DNS says. */
  readonly authorityDid?: string | undefined;
  /** In dev mode .test may be a domain. */
  readonly devMode: boolean;
  /** Whether a PDS may be reached over http. */
  readonly allowHttp: boolean;
}

/** The largest record of a lexicon. */
export const LEXICON_BYTES_MAX = 262_144;
/** Its proof: the record, the commit and a few nodes. */
const PROOF_BYTES_MAX = 2 * LEXICON_BYTES_MAX;
const COLLECTION = "com.atproto.lexicon.schema";

/** A resolver without a memory: every call goes to the network. */
export function createLexiconResolver(options: LexiconResolverOptions): LexiconResolver {
  return {
    resolve: async (nsid) => {
      const did = options.authorityDid ?? (await authorityOf(nsid, options));
      try {
        return await provenLexicon(nsid, { did, options, fresh: false });
      } catch (error) {
        // The key may be a newer one than that of the document at hand.
        if (!isKithError(error, "invalid_request")) throw told(nsid, error);
      }
      return await provenLexicon(nsid, { did, options, fresh: true }).catch((error: unknown) => {
        throw told(nsid, error);
      });
    },
  };
}

/** The DID that speaks for the group of an NSID. Levels above are not asked. */
async function authorityOf(nsid: string, options: LexiconResolverOptions): Promise<string> {
  const domain = nsid.split(".").slice(0, -1).reverse().join(".").toLowerCase();
  if (isReservedHandle(domain, { allowTest: options.devMode })) {
    throw failure(nsid, { why: `"${domain}" is not a domain of the network` });
  }
  const name = `_lexicon.${domain}`;
  let did: string | undefined;
  try {
    did = await didByTxt(name, { ...options, subject: nsid });
  } catch (cause) {
    if (isKithError(cause)) throw failure(nsid, { why: `the text records of "${name}" name several DIDs` });
    throw failure(nsid, { code: "upstream_failure", why: `the DNS did not answer for "${name}"`, cause });
  }
  if (did === undefined) throw failure(nsid, { why: `no text record of "${name}" names a DID` });
  return did;
}

interface Place {
  readonly did: string;
  readonly options: LexiconResolverOptions;
  /** Whether the DID document is asked for anew. */
  readonly fresh: boolean;
}

/** KithError invalid_request where the proof does not hold. */
async function provenLexicon(nsid: string, { did, options, fresh }: Place): Promise<ResolvedLexicon> {
  const { safeFetch, timeoutMs, allowHttp } = options;
  const document = await didDocument(nsid, { did, options, fresh });
  const endpoint = pdsEndpointOf(document, { allowHttp });
  if (endpoint === undefined) throw failure(nsid, { why: `"${did}" has no PDS` });
  const didKey = signingKeyOf(document);
  if (didKey === undefined) throw failure(nsid, { why: `"${did}" has no signing key` });
  const query = new URLSearchParams({ did, collection: COLLECTION, rkey: nsid });
  const url = `${endpoint}/xrpc/com.atproto.sync.getRecord?${query}`;
  const { status, body } = await safeFetch(url, { timeoutMs, bytesMax: PROOF_BYTES_MAX });
  if (status !== 200) {
    const isFinal = status >= 400 && status < 500 && status !== 429;
    const code = isFinal ? "lexicon_not_found" : "upstream_failure";
    throw failure(nsid, { code, why: `the PDS of "${did}" answered ${status}` });
  }
  const record = verifyRecordProof(body, { did, didKey, path: `${COLLECTION}/${nsid}` });
  if (record === undefined) throw failure(nsid, { why: `"${did}" has not published it` });
  checkRecord(nsid, { bytes: record.bytes, did });
  const uri = `at://${did}/${COLLECTION}/${nsid}`;
  // The bytes share memory with the whole proof.
  return { nsid, uri, cid: cidToString(record.cid), bytes: record.bytes.slice() };
}

async function didDocument(nsid: string, { did, options, fresh }: Place): Promise<DidDocument> {
  try {
    return await options.dids.resolve(did, { fresh });
  } catch (cause) {
    const isOpen = isKithError(cause, "upstream_failure") || isKithError(cause, "timeout");
    const code = isOpen ? cause.code : "lexicon_not_found";
    throw failure(nsid, { code, why: `its authority "${did}" could not be resolved`, cause });
  }
}

function checkRecord(nsid: string, { bytes, did }: { bytes: Uint8Array; did: string }): void {
  if (bytes.length > LEXICON_BYTES_MAX) {
    throw failure(nsid, { why: `its record has ${bytes.length} bytes, ${LEXICON_BYTES_MAX} at most` });
  }
  const { $type, lexicon, id } = (decodeCbor(bytes) ?? {}) as Record<string, unknown>;
  if ($type !== COLLECTION || lexicon !== 1 || id !== nsid) {
    throw failure(nsid, { why: `what "${did}" has published under this name is not its document` });
  }
}

/** A proof that does not hold is no lexicon. */
function told(nsid: string, error: unknown): unknown {
  if (!isKithError(error, "invalid_request")) return error;
  return failure(nsid, { why: "the proof of its record does not hold", cause: error });
}

function failure(
  nsid: string,
  { code = "lexicon_not_found", why, cause }: { code?: ErrorCode; why: string; cause?: unknown },
): KithError {
  return new KithError(code, `Could not resolve the lexicon "${nsid}": ${why}`, { cause });
}
