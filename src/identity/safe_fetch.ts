/**
 * The one client for requests whose target somebody else chose: DIDs, handles, clients, lexicons.
 *
 * Outside of dev mode it speaks https to port 443 of host names only, resolves the name itself, refuses it when any of its addresses
 * is not public, and connects to the very address that it checked, so that a second answer of the DNS
 * cannot lead elsewhere: the request goes to the address, while the Host header and the name that the certificate
 * is verified against stay those of the host. Redirects are followed by the same rules. Time, size and redirects are bounded.
 */
import { KithError } from "../errors.ts";
import { failure, parseTarget, type SafeFetchOptions, send } from "./_safe_connection.ts";

export type { SafeFetchOptions } from "./_safe_connection.ts";

export const REDIRECTS_MAX = 5;
export const FETCH_TIMEOUT_MS = 10_000;
export const FETCH_BYTES_MAX = 524_288;

export interface SafeRequest {
  readonly method?: "GET" | "HEAD" | "POST";
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array<ArrayBuffer>;
  readonly bytesMax?: number;
  /** For everything: names, redirects and body. */
  readonly timeoutMs?: number;
  /** 0 refuses any redirect. */
  readonly redirectsMax?: number;
  readonly signal?: AbortSignal;
}

export interface SafeResponse {
  readonly status: number;
  readonly headers: Headers;
  /** After redirects. */
  readonly url: string;
  readonly body: Uint8Array;
}

/** Answers with any status. Throws `upstream_failure` (refused, unreachable, too large) or `timeout`. */
export type SafeFetch = (url: string, request?: SafeRequest) => Promise<SafeResponse>;

/** A client that keeps to the rules above. */
export function createSafeFetch(options: SafeFetchOptions): SafeFetch {
  return async (url, request = {}) => {
    const timeout = AbortSignal.timeout(request.timeoutMs ?? options.timeoutMs ?? FETCH_TIMEOUT_MS);
    const signal = request.signal ? AbortSignal.any([request.signal, timeout]) : timeout;
    try {
      return await follow(url, { ...request, signal, options });
    } catch (error) {
      if (timeout.aborted)
        throw new KithError("timeout", `Could not fetch "${url}": it took too long`, { cause: error });
      if (error instanceof KithError) throw error;
      throw failure(url, { why: "the server could not be reached", cause: error });
    }
  };
}

interface Hop extends SafeRequest {
  readonly signal: AbortSignal;
  readonly options: SafeFetchOptions;
}

async function follow(start: string, hop: Hop): Promise<SafeResponse> {
  const redirectsMax = hop.redirectsMax ?? REDIRECTS_MAX;
  let headers = hop.headers ?? {};
  let url = parseTarget(start, hop.options);
  for (let redirects = 0; ; redirects++) {
    const response = await send(url, { ...hop, headers });
    const location =
      response.status >= 300 && response.status < 400 ? response.headers.get("location") : null;
    if (location === null) return await collect(url, { response, hop });
    await response.body?.cancel();
    if (redirects >= redirectsMax) throw failure(start, { why: `more than ${redirectsMax} redirects` });
    if (hop.body !== undefined) throw failure(start, { why: "it redirects a request that has a body" });
    const next = parseTarget(URL.parse(location, url)?.href ?? location, hop.options);
    if (next.origin !== url.origin) headers = withoutCredentials(headers);
    url = next;
  }
}

async function collect(url: URL, { response, hop }: { response: Response; hop: Hop }): Promise<SafeResponse> {
  const bytesMax = hop.bytesMax ?? hop.options.bytesMax ?? FETCH_BYTES_MAX;
  const tooLarge = () => failure(url.href, { why: `the answer is larger than ${bytesMax} bytes` });
  const { status, headers } = response;
  if (hop.method !== "HEAD" && Number(headers.get("content-length") ?? 0) > bytesMax) {
    await response.body?.cancel();
    throw tooLarge();
  }
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    // Leaving the loop cancels the body.
    if (size > bytesMax) throw tooLarge();
    chunks.push(chunk);
  }
  return { status, headers, url: url.href, body: Buffer.concat(chunks) };
}

function withoutCredentials(headers: Readonly<Record<string, string>>): Record<string, string> {
  const kept = Object.entries(headers).filter(([name]) => !/^(authorization|cookie|dpop)$/i.test(name));
  return Object.fromEntries(kept);
}
