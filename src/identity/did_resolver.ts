import { type DidDocument, isDid, parseDidDocument } from "../atproto/mod.ts";
import { isKithError, KithError } from "../errors.ts";
import type { PlcDirectory } from "./plc_directory.ts";
import type { SafeFetch } from "./safe_fetch.ts";

export interface DidResolver {
  /**
   * The DID document, as JSON whose `id` is the DID. `fresh` asks past the cache. Throws `did_not_found`, `did_deactivated`, `upstream_failure`,
   * `timeout`, and `invalid_request` for a DID of another method than plc and web.
   */
  resolve(did: string, options?: { fresh?: boolean }): Promise<DidDocument>;
  /** Drops what is cached of a DID. */
  forget(did: string): void;
}

export interface DidResolverOptions {
  readonly plc: Pick<PlcDirectory, "document">;
  readonly safeFetch: SafeFetch;
  readonly timeoutMs: number;
  /** Age from which a document is fetched again in the background. */
  readonly staleMs: number;
  /** Age from which a document is not used any more. */
  readonly maxMs: number;
  /** In dev mode did:web:localhost%3APORT is allowed, over http. */
  readonly devMode: boolean;
  readonly entriesMax?: number;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

export const DID_CACHE_ENTRIES_MAX = 10_000;
const DOCUMENT_BYTES_MAX = 262_144;

interface Entry {
  readonly document: DidDocument;
  readonly at: number;
}

/** A resolver of did:plc and did:web with a bounded cache, least recently used out first. */
export function createDidResolver(options: DidResolverOptions): DidResolver {
  const { entriesMax = DID_CACHE_ENTRIES_MAX, now = Date.now } = options;
  const cache = new Map<string, Entry>();
  const underway = new Map<string, Promise<DidDocument>>();

  const keep = (did: string, entry: Entry): void => {
    cache.delete(did);
    cache.set(did, entry);
    const oldest = cache.keys().next().value;
    if (cache.size > entriesMax && oldest !== undefined) cache.delete(oldest);
  };
  const loadNow = async (did: string): Promise<DidDocument> => {
    try {
      const document = await fetchDocument(did, options);
      keep(did, { document, at: now() });
      return document;
    } catch (error) {
      if (isKithError(error, "did_not_found") || isKithError(error, "did_deactivated")) cache.delete(did);
      throw error;
    } finally {
      underway.delete(did);
    }
  };
  const load = (did: string): Promise<DidDocument> => {
    const running = underway.get(did);
    if (running) return running;
    const loading = loadNow(did);
    underway.set(did, loading);
    return loading;
  };

  return {
    resolve: async (did, { fresh = false } = {}) => {
      const entry = cache.get(did);
      const age = entry === undefined ? Number.POSITIVE_INFINITY : now() - entry.at;
      if (fresh || entry === undefined || age >= options.maxMs) return await load(did);
      keep(did, entry);
      // The old document still serves; a failed refresh is tried again by the next caller.
      if (age >= options.staleMs) load(did).catch(() => undefined);
      return entry.document;
    },
    forget: (did) => void cache.delete(did),
  };
}

async function fetchDocument(did: string, options: DidResolverOptions): Promise<DidDocument> {
  if (!isDid(did)) throw new KithError("invalid_request", `Could not resolve "${did}": it is not a DID`);
  if (did.startsWith("did:plc:")) return await options.plc.document(did);
  if (did.startsWith("did:web:")) return await fetchWebDocument(did, options);
  throw new KithError(
    "invalid_request",
    `Could not resolve "${did}": only did:plc and did:web are supported`,
  );
}

async function fetchWebDocument(did: string, options: DidResolverOptions): Promise<DidDocument> {
  const url = webDocumentUrl(did, options.devMode);
  const answer = await options.safeFetch(url, { bytesMax: DOCUMENT_BYTES_MAX, timeoutMs: options.timeoutMs });
  if (answer.status === 404 || answer.status === 410)
    throw new KithError("did_not_found", `Could not resolve "${did}": "${url}" is not there`);
  if (answer.status !== 200)
    throw new KithError("upstream_failure", `Could not resolve "${did}": "${url}" answered ${answer.status}`);
  try {
    return parseDidDocument(parseJson(answer.body), { did });
  } catch (cause) {
    throw new KithError("upstream_failure", `Could not resolve "${did}": "${url}" is not its DID document`, {
      cause,
    });
  }
}

/** The AT Protocol allows host names only: no path, and no port but for localhost. https://atproto.com/specs/did */
function webDocumentUrl(did: string, devMode: boolean): string {
  const host = did.slice("did:web:".length);
  const [, port] = /^localhost(?:%3A(\d{1,5}))?$/i.exec(host) ?? [];
  const isLocal = /^localhost(%3A|$)/i.test(host);
  if (isLocal && devMode)
    return `http://localhost${port === undefined ? "" : `:${port}`}/.well-known/did.json`;
  if (isLocal || !/^[a-z0-9.-]+$/i.test(host))
    throw new KithError(
      "invalid_request",
      `Could not resolve "${did}": it must name a host, without port or path`,
    );
  return `https://${host}/.well-known/did.json`;
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
}
