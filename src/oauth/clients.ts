/** Apps by their client_id: their documents and keys, fetched safely and kept for ten minutes. */
import { isKithError, KithError } from "../errors.ts";
import type { SafeFetch } from "../identity/mod.ts";
import {
  type Client,
  type Jwk,
  loopbackClient,
  parseClientId,
  parseClientMetadata,
  readJwks,
} from "./client_metadata.ts";
import { OAuthError } from "./oauth_error.ts";

export const CACHE_MS = 10 * 60_000;
/** What could not be fetched is not asked for again before. */
export const FAILURE_MS = 10_000;
/** A key that is not in the set that is kept may be new: the set is asked for again, but no more often. */
export const KEYS_ANEW_MS = 30_000;
export const CACHE_ENTRIES_MAX = 1_000;
/** Of all documents that are kept: strangers choose which apps there are, and how long their documents. */
export const CACHE_BYTES_MAX = 16 * 1024 * 1024;
export const DOCUMENT_BYTES_MAX = 256 * 1024;
export const FETCH_TIMEOUT_MS = 5_000;
const FETCHES_MAX = 64;

/** What is fetched, and the media types that it may have; undefined: none is said. */
interface Kind {
  readonly name: string;
  readonly types: readonly (string | undefined)[];
}

const METADATA: Kind = { name: "metadata", types: ["application/json"] };
/** RFC 7517 section 8.5.2; the reference takes an answer without a type. */
const KEYS: Kind = { name: "keys", types: ["application/json", "application/jwk-set+json", undefined] };

export interface ClientsOptions {
  readonly safeFetch: SafeFetch;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

interface Entry {
  readonly at: number;
  /** As text: what a short one is read into may take many times its room. */
  readonly text: Promise<string>;
  /** Once it is there. */
  bytes: number;
  isFailure: boolean;
}

interface Wanted {
  readonly kind: Kind;
  readonly maxAgeMs: number;
}

export class Clients {
  readonly #options: ClientsOptions;
  readonly #now: () => number;
  /** Documents by kind and URL, least recently fetched first. */
  readonly #documents = new Map<string, Entry>();
  #bytes = 0;
  #fetches = 0;

  constructor(options: ClientsOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** Throws OAuthError invalid_client, invalid_client_metadata, invalid_redirect_uri, temporarily_unavailable. */
  async find(id: string): Promise<Client> {
    const loopback = loopbackClient(id);
    if (loopback) return loopback;
    const url = parseClientId(id);
    const document = await this.#document(url.href, { kind: METADATA, maxAgeMs: CACHE_MS });
    return parseClientMetadata(document, { id });
  }

  /** The client's key of this id; undefined where it has none (any more). Throws as `find`. */
  async key(client: Client, kid: string): Promise<Jwk | undefined> {
    const known = keyOf(await this.#keys(client, { maxAgeMs: CACHE_MS }), kid);
    if (known || client.jwksUri === undefined) return known;
    return keyOf(await this.#keys(client, { maxAgeMs: KEYS_ANEW_MS }), kid);
  }

  async #keys(client: Client, options: { maxAgeMs: number }): Promise<readonly Jwk[]> {
    if (client.jwksUri === undefined) return client.jwks ?? [];
    const keys = readJwks(await this.#document(client.jwksUri, { kind: KEYS, ...options }));
    if (keys) return keys;
    throw new OAuthError(
      "invalid_client_metadata",
      `Could not use the keys of the client "${client.id}": "${client.jwksUri}" is no set of public keys`,
    );
  }

  async #document(url: string, options: Wanted): Promise<unknown> {
    return parseJson(await this.#text(url, options), url);
  }

  #text(url: string, { kind, maxAgeMs }: Wanted): Promise<string> {
    const key = `${kind.name} ${url}`;
    const known = this.#documents.get(key);
    const age = known ? this.#now() - known.at : Number.POSITIVE_INFINITY;
    if (known && age < (known.isFailure ? FAILURE_MS : maxAgeMs)) return known.text;
    if (this.#fetches >= FETCHES_MAX) {
      throw new OAuthError(
        "temporarily_unavailable",
        `Could not fetch "${url}": too many are fetched at once`,
      );
    }
    const entry: Entry = { at: this.#now(), text: this.#fetch(url, kind), bytes: 0, isFailure: false };
    this.#drop(key);
    this.#documents.set(key, entry);
    entry.text.then(
      (text) => {
        if (this.#documents.get(key) !== entry) return;
        entry.bytes = Buffer.byteLength(text);
        this.#bytes += entry.bytes;
        this.#dropOldest();
      },
      () => {
        entry.isFailure = true;
      },
    );
    this.#dropOldest();
    return entry.text;
  }

  #dropOldest(): void {
    for (const key of this.#documents.keys()) {
      if (this.#documents.size <= CACHE_ENTRIES_MAX && this.#bytes <= CACHE_BYTES_MAX) return;
      this.#drop(key);
    }
  }

  #drop(key: string): void {
    this.#bytes -= this.#documents.get(key)?.bytes ?? 0;
    this.#documents.delete(key);
  }

  async #fetch(url: string, { types }: Kind): Promise<string> {
    this.#fetches += 1;
    try {
      const answer = await this.#options.safeFetch(url, {
        headers: { accept: "application/json" },
        bytesMax: DOCUMENT_BYTES_MAX,
        timeoutMs: FETCH_TIMEOUT_MS,
        redirectsMax: 0,
      });
      if (answer.status !== 200) throw refusal(url, `it answers ${answer.status}, not 200`);
      const type = answer.headers.get("content-type")?.split(";", 1)[0]?.trim().toLowerCase();
      if (!types.includes(type)) throw refusal(url, "it is not application/json");
      const text = textOf(answer.body, url);
      // What is no JSON is a failure, which is kept for a shorter time.
      parseJson(text, url);
      return text;
    } catch (error) {
      if (!(error instanceof KithError) || error instanceof OAuthError) throw error;
      if (isKithError(error, "timeout")) throw refusal(url, "it takes too long", error);
      // What lies in our network is not told to strangers.
      throw refusal(url, "it cannot be reached, redirects, is too large, or is not public", error);
    } finally {
      this.#fetches -= 1;
    }
  }
}

function keyOf(keys: readonly Jwk[], kid: string): Jwk | undefined {
  return keys.find((key) => key.kid === kid);
}

function textOf(body: Uint8Array, url: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(body);
  } catch (cause) {
    throw refusal(url, "it is not UTF-8", cause);
  }
}

function parseJson(text: string, url: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw refusal(url, "it is not JSON", cause);
  }
}

function refusal(url: string, why: string, cause?: unknown): OAuthError {
  return new OAuthError("invalid_client_metadata", `Could not fetch "${url.slice(0, 300)}": ${why}`, {
    cause,
  });
}
