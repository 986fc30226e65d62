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
/** Of all documents together, as they came: parsed, a hostile one takes thirty times as much. */
export const CACHE_BYTES_MAX = 16 * 1024 * 1024;
export const DOCUMENT_BYTES_MAX = 256 * 1024;
export const FETCH_TIMEOUT_MS = 5_000;
const FETCHES_MAX = 64;

export interface ClientsOptions {
  readonly safeFetch: SafeFetch;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

interface Entry {
  readonly at: number;
  readonly value: Promise<Uint8Array>;
  isFailure: boolean;
  bytes: number;
}

export class Clients {
  readonly #options: ClientsOptions;
  readonly #now: () => number;
  /** Documents by URL, least recently fetched first. */
  readonly #documents = new Map<string, Entry>();
  #fetches = 0;
  #bytes = 0;

  constructor(options: ClientsOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** Throws OAuthError invalid_client, invalid_client_metadata, invalid_redirect_uri, temporarily_unavailable. */
  async find(id: string): Promise<Client> {
    const loopback = loopbackClient(id);
    if (loopback) return loopback;
    const url = parseClientId(id);
    const document = await this.#document(url.href, { maxAgeMs: CACHE_MS });
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
    const keys = readJwks(await this.#document(client.jwksUri, options));
    if (keys) return keys;
    throw new OAuthError(
      "invalid_client_metadata",
      `Could not use the keys of the client "${client.id}": "${client.jwksUri}" is no set of public keys`,
    );
  }

  async #document(url: string, options: { maxAgeMs: number }): Promise<unknown> {
    return parseJson(await this.#text(url, options), url);
  }

  #text(url: string, { maxAgeMs }: { maxAgeMs: number }): Promise<Uint8Array> {
    const known = this.#documents.get(url);
    const age = known ? this.#now() - known.at : Number.POSITIVE_INFINITY;
    if (known && age < (known.isFailure ? FAILURE_MS : maxAgeMs)) return known.value;
    if (this.#fetches >= FETCHES_MAX) {
      throw new OAuthError(
        "temporarily_unavailable",
        `Could not fetch "${url}": too many are fetched at once`,
      );
    }
    const entry: Entry = { at: this.#now(), value: this.#fetch(url), isFailure: false, bytes: 0 };
    this.#drop(url);
    this.#documents.set(url, entry);
    if (this.#documents.size > CACHE_ENTRIES_MAX) this.#dropOldest();
    entry.value.then(
      ({ byteLength }) => this.#weigh(url, entry, byteLength),
      () => {
        entry.isFailure = true;
      },
    );
    return entry.value;
  }

  /** Counts what has come, unless it was dropped meanwhile, and makes room for it. */
  #weigh(url: string, entry: Entry, bytes: number): void {
    if (this.#documents.get(url) !== entry) return;
    entry.bytes = bytes;
    this.#bytes += bytes;
    while (this.#bytes > CACHE_BYTES_MAX) this.#dropOldest();
  }

  #dropOldest(): void {
    const [oldest] = this.#documents.keys();
    if (oldest !== undefined) this.#drop(oldest);
  }

  #drop(url: string): void {
    this.#bytes -= this.#documents.get(url)?.bytes ?? 0;
    this.#documents.delete(url);
  }

  /** A document that is JSON, as it came. */
  async #fetch(url: string): Promise<Uint8Array> {
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
      if (type !== "application/json") throw refusal(url, "it is not application/json");
      parseJson(answer.body, url);
      return answer.body;
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

function parseJson(body: Uint8Array, url: string): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch (cause) {
    throw refusal(url, "it is not JSON", cause);
  }
}

function refusal(url: string, why: string, cause?: unknown): OAuthError {
  return new OAuthError("invalid_client_metadata", `Could not fetch "${url.slice(0, 300)}": ${why}`, {
    cause,
  });
}
