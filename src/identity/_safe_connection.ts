/** Connecting by the rules of safe_fetch.ts: which URLs, which addresses, and to the address that was checked. */
import { lookup as systemLookup } from "node:dns/promises";
import { KithError } from "../errors.ts";
import { isIP } from "../ip.ts";
import { isPublicAddress } from "./_address.ts";

const URL_CHARS_MAX = 16_384;
/** Addresses of one host that are tried until one can be connected to. */
const ADDRESSES_TRIED_MAX = 3;

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

export interface Hop {
  readonly method?: "GET" | "HEAD" | "POST";
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>;
  /** False leaves the answer as it was sent. */
  readonly decompress?: boolean;
  readonly signal: AbortSignal;
  readonly options: SafeFetchOptions;
}

/** The URL, where it may be fetched. KithError upstream_failure. */
export function parseTarget(text: string, { allowPrivateNetwork, testing }: SafeFetchOptions): URL {
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

/** Sends one request and follows nothing. */
export async function send(url: URL, hop: Hop): Promise<Response> {
  const init = {
    method: hop.method ?? "GET",
    body: hop.body,
    redirect: "manual",
    decompress: hop.decompress ?? true,
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

export function failure(url: string, { why, cause }: { why: string; cause?: unknown }): KithError {
  return new KithError("upstream_failure", `Could not fetch "${url}": ${why}`, { cause });
}
