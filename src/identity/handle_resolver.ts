import { isDid, isHandle, isReservedHandle } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import { didByTxt, type TxtOptions } from "./_did_by_txt.ts";
import type { SafeFetch } from "./safe_fetch.ts";

export interface HandleResolver {
  /**
   * The DID that a handle points to, by the DNS or else by its web host, or undefined where neither knows one, or where nobody
   * may ask, as below ".local". That the DID points back is for the caller to check. Throws `upstream_failure` where several DIDs are named, or where nothing could be asked.
   */
  resolve(handle: string): Promise<string | undefined>;
}

export interface HandleResolverOptions extends TxtOptions {
  readonly safeFetch: SafeFetch;
  /** In dev mode web hosts are also asked over http, and .test handles, which no DNS has, are not looked up there. */
  readonly devMode: boolean;
}

const DID_BYTES_MAX = 2_048;

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
  return await didByTxt(`_atproto.${handle}`, { ...options, subject: handle });
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
