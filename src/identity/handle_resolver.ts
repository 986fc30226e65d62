import { lookup, Resolver } from "node:dns/promises";
import { isIP } from "node:net";
import { isDid, isHandle, isReservedHandle } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import type { SafeFetch } from "./safe_fetch.ts";

export interface HandleResolver {
  /**
   * The DID that a handle points to, by the DNS or else by its web host, or undefined where neither knows one, or where nobody
   * may ask, as below ".local". That the DID points back is for the caller to check. Throws `upstream_failure` where several DIDs are named, or where nothing could be asked.
   */
  resolve(handle: string): Promise<string | undefined>;
}

export interface HandleResolverOptions {
  readonly safeFetch: SafeFetch;
  readonly timeoutMs: number;
  /** Name servers asked after the system's: IP addresses or host names, each with an optional port. */
  readonly backupNameservers?: readonly string[];
  /** In dev mode web hosts are also asked over http, and .test handles, which no DNS has, are not looked up there. */
  readonly devMode: boolean;
  /** Text records of a name; rejects as node:dns does (ENOTFOUND, ENODATA). */
  readonly resolveTxt?: (name: string) => Promise<readonly (readonly string[])[]>;
}

const DID_BYTES_MAX = 2_048;
const RECORDS_MAX = 100;
/** "There is no such record", in the codes of node:dns. */
const ABSENT = new Set(["ENOTFOUND", "ENODATA", "NOTFOUND", "NODATA"]);

/** A resolver as https://atproto.com/specs/handle#handle-resolution has it. */
export function createHandleResolver(options: HandleResolverOptions): HandleResolver {
  return {
    resolve: async (handle) => {
      const name = handle.toLowerCase();
      if (!isHandle(name))
        throw new KithError("invalid_handle", `Could not resolve "${handle}": it is not a handle`);
      if (isReservedHandle(name, { allowTest: options.devMode })) return undefined;
      const stop = new AbortController();
      const web = settled(resolveByWeb(name, { options, signal: stop.signal }));
      const dns = await settled(resolveByDns(name, options));
      if (dns.value !== undefined || dns.error instanceof KithError) stop.abort();
      if (dns.value !== undefined) return dns.value;
      if (dns.error instanceof KithError) throw dns.error;
      const { value, error } = await web;
      if (value !== undefined || dns.error === undefined || error === undefined) return value;
      const message = `Could not resolve "${name}": neither the DNS nor its web host answered`;
      throw new KithError("upstream_failure", message, { cause: error });
    },
  };
}

/** The outcome of a promise as a value, so that a loser of the two never rejects unheard. */
async function settled<T>(promise: Promise<T>): Promise<{ value?: T; error?: unknown }> {
  try {
    return { value: await promise };
  } catch (error) {
    return { error };
  }
}

async function resolveByDns(handle: string, options: HandleResolverOptions): Promise<string | undefined> {
  if (options.devMode && handle.endsWith(".test")) return undefined;
  const { timeoutMs, backupNameservers = [] } = options;
  const ask = options.resolveTxt ?? txtResolver(timeoutMs);
  const name = `_atproto.${handle}`;
  let failed: unknown;
  try {
    const did = didOf(handle, await inTime(ask(name), timeoutMs));
    if (did !== undefined) return did;
  } catch (error) {
    if (error instanceof KithError) throw error;
    if (!isAbsent(error)) failed = error;
  }
  if (backupNameservers.length > 0) return await askBackups(handle, { name, options });
  if (failed !== undefined) throw failed;
  return undefined;
}

function txtResolver(timeoutMs: number): (name: string) => Promise<string[][]> {
  const resolver = new Resolver({ timeout: timeoutMs, tries: 1 });
  return (name) => resolver.resolveTxt(name);
}

async function askBackups(
  handle: string,
  { name, options }: { name: string; options: HandleResolverOptions },
): Promise<string | undefined> {
  const { timeoutMs, backupNameservers = [] } = options;
  const resolver = new Resolver({ timeout: timeoutMs, tries: 1 });
  const addresses = await Promise.all(
    backupNameservers.map((server) => inTime(serverAddress(server), timeoutMs)),
  );
  resolver.setServers(addresses);
  try {
    return didOf(handle, await inTime(resolver.resolveTxt(name), timeoutMs));
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

/** An IP address, with its port kept, in the form that setServers takes. */
async function serverAddress(server: string): Promise<string> {
  if (isIP(server) !== 0 || server.startsWith("[")) return server;
  const [host = "", port] = server.split(":");
  const address = isIP(host) !== 0 ? host : (await lookup(host)).address;
  if (port === undefined) return address;
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

function didOf(handle: string, records: readonly (readonly string[])[]): string | undefined {
  const dids = new Set(
    records
      .slice(0, RECORDS_MAX)
      .map((parts) => parts.join(""))
      .filter((text) => text.startsWith("did="))
      .map((text) => text.slice("did=".length).trim()),
  );
  if (dids.size > 1)
    throw new KithError(
      "upstream_failure",
      `Could not resolve "${handle}": the DNS names several DIDs for it`,
    );
  const [did] = dids;
  return isDid(did) ? did : undefined;
}

async function resolveByWeb(
  handle: string,
  { options, signal }: { options: HandleResolverOptions; signal: AbortSignal },
): Promise<string | undefined> {
  const { safeFetch, timeoutMs, devMode } = options;
  const path = `${handle}/.well-known/atproto-did`;
  const request = { bytesMax: DID_BYTES_MAX, timeoutMs, signal };
  const overHttp = () => safeFetch(`http://${path}`, request);
  const answer = await safeFetch(`https://${path}`, request).catch((error: unknown) => {
    if (devMode) return overHttp();
    throw error;
  });
  if (answer.status < 200 || answer.status > 299) return undefined;
  const did = new TextDecoder().decode(answer.body).trim();
  return isDid(did) ? did : undefined;
}

function isAbsent(error: unknown): boolean {
  return ABSENT.has((error as { code?: string }).code ?? "");
}

/** Some resolvers ignore the time they are given. */
async function inTime<T>(promise: Promise<T>, timeoutMs: number): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
