/**
 * The one client for requests whose target somebody else chose: DIDs, handles, clients, lexicons.
 *
 * Outside of dev mode it speaks https to port 443 of host names only, resolves the name itself, refuses it when any of its addresses
 * is not public, and connects to the very address that it checked, so that a second answer of the DNS
 * cannot lead elsewhere: the request goes to the address, while the Host header and the name that the certificate
 * is verified against stay those of the host. Redirects are followed by the same rules. Time, size and redirects are bounded.
 */
import { lookup as systemLookup } from "node:dns/promises";
import { isIP } from "node:net";
import { KithError } from "../errors.ts";
import { isPublicAddress } from "./_address.ts";

export const REDIRECTS_MAX = 5;
export const FETCH_TIMEOUT_MS = 10_000;
export const FETCH_BYTES_MAX = 524_288;
const URL_CHARS_MAX = 4_096;
/** Addresses of one host that are tried until one can be connected to. */
const ADDRESSES_TRIED_MAX = 3;

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

export interface SafeFetchOptions {
  /** Lifts every rule about addresses, ports and http; the bounds stay. For dev mode. */
  readonly allowPrivateNetwork: boolean;
  /** All addresses of a host name. */
  readonly lookup?: (host: string) => Promise<readonly string[]>;
  readonly bytesMax?: number;
  readonly timeoutMs?: number;
  /** Tests reach a loopback server under a public name with these. */
  readonly testing?: {
    readonly isAllowedAddress: (address: string) => boolean;
    readonly port: string;
    readonly ca: string;
  };
}

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

function parseTarget(text: string, { allowPrivateNetwork, testing }: SafeFetchOptions): URL {
  const url = text.length <= URL_CHARS_MAX ? URL.parse(text) : null;
  if (url === null) throw failure(text.slice(0, URL_CHARS_MAX), { why: "it is not a URL" });
  const refuse = (why: string) => failure(text, { why });
  if (url.username !== "" || url.password !== "") throw refuse("it has a user name");
  if (allowPrivateNetwork) {
    if (url.protocol !== "https:" && url.protocol !== "http:") throw refuse("it is neither http nor https");
    return url;
  }
  if (url.protocol !== "https:") throw refuse("it is not https");
  if (url.port !== (testing?.port ?? "")) throw refuse("it names a port");
  if (isIP(url.hostname.replace(/^\[|\]$/g, "")) !== 0) throw refuse("its host is an IP address");
  if (!url.hostname.replace(/\.$/, "").includes(".")) throw refuse("its host is not a public name");
  return url;
}

async function send(url: URL, hop: Hop): Promise<Response> {
  const init = {
    method: hop.method ?? "GET",
    body: hop.body,
    redirect: "manual",
    signal: hop.signal,
  } as const;
  if (hop.options.allowPrivateNetwork) return await fetch(url, { ...init, headers: { ...hop.headers } });
  const addresses = await checkedAddresses(url, hop);
  let last: unknown;
  for (const address of addresses) {
    const pinned = new URL(url);
    pinned.hostname = address.includes(":") ? `[${address}]` : address;
    try {
      const tls = { serverName: url.hostname, ca: hop.options.testing?.ca };
      const pinnedInit: BunFetchRequestInit = { ...init, headers: { ...hop.headers, host: url.host }, tls };
      return await fetch(pinned, pinnedInit);
    } catch (error) {
      last = error;
      if (hop.signal.aborted || hop.body !== undefined) break;
    }
  }
  throw failure(url.href, { why: "the server could not be reached", cause: last });
}

async function checkedAddresses(url: URL, { options, signal }: Hop): Promise<readonly string[]> {
  const lookup = options.lookup ?? lookupAll;
  const isAllowed = options.testing?.isAllowedAddress ?? isPublicAddress;
  let addresses: readonly string[];
  try {
    addresses = await orAborted(lookup(url.hostname), signal);
  } catch (cause) {
    throw failure(url.href, { why: `the host "${url.hostname}" was not found`, cause });
  }
  if (addresses.length === 0) throw failure(url.href, { why: `the host "${url.hostname}" was not found` });
  if (!addresses.every(isAllowed))
    throw failure(url.href, { why: `"${url.hostname}" is not on the public internet` });
  return addresses.slice(0, ADDRESSES_TRIED_MAX);
}

async function lookupAll(host: string): Promise<string[]> {
  const found = await systemLookup(host, { all: true });
  // IPv4 first: where IPv6 is broken, it is broken in silence.
  return found.sort((a, b) => a.family - b.family).map(({ address }) => address);
}

/** The promise, or a rejection as soon as the signal says so: name look-ups cannot be cancelled. */
async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const stop = () => reject(signal.reason);
  signal.addEventListener("abort", stop, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", stop);
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

function failure(url: string, { why, cause }: { why: string; cause?: unknown }): KithError {
  return new KithError("upstream_failure", `Could not fetch "${url}": ${why}`, { cause });
}
