import { KithError } from "../../errors.ts";
import type { SafeFetch } from "../../identity/mod.ts";
import { createLoopbackStream, type Handler } from "../hosts/transports.ts";
import type { ClientFetch } from "./authorization_server.ts";

const BYTES_MAX = 256 * 1024;
const TIMEOUT_MS = 10_000;

/** To a stranger by the rules of identity/safe_fetch.ts, or into this server's own handler. No redirect is followed. */
export function createClientFetch(options: {
  safeFetch: SafeFetch;
  handler: Handler;
  publicUrl: string;
}): ClientFetch {
  const { safeFetch, publicUrl } = options;
  const loopback = createLoopbackStream(options);
  return async (url, request) => {
    const { status, headers, body } =
      URL.parse(url)?.origin === publicUrl
        ? await loopback(url, {
            ...request,
            headersTimeoutMs: TIMEOUT_MS,
            bodyTimeoutMs: TIMEOUT_MS,
            bytesMax: BYTES_MAX,
          })
        : await safeFetch(url, { ...request, redirectsMax: 0, bytesMax: BYTES_MAX, timeoutMs: TIMEOUT_MS });
    if (status < 200 || status > 599) throw new KithError("upstream_failure", `"${url}" answered ${status}`);
    const isEmpty = status === 204 || status === 205 || status === 304;
    return new Response(isEmpty ? null : (body as BodyInit | null), { status, headers });
  };
}
