/** How the calls of a stock PDS reach it: over https to a stranger, or into this server itself, without a socket. */
import { KithError } from "../../errors.ts";
import {
  type Patience,
  type SafeStream,
  type StreamRequest,
  type StreamResponse,
  XrpcHost,
} from "../../identity/mod.ts";
import type { HostKind } from "./host.ts";

/** Somebody waits for the answer of a request of theirs meanwhile. */
export const PATIENCE_OF_A_REQUEST: Patience = {
  retryPausesMs: [200, 1_000],
  rateLimitWaitMsMax: 2_000,
  rateLimitWaitsMax: 1,
  answerTimeoutMs: 20_000,
  wholeTimeoutMs: 45_000,
  jsonBytesMax: 1024 * 1024,
};

/** Answers a request as if it had come through a socket. Never rejects; undefined for what has become a WebSocket. */
export type Handler = (request: Request) => Promise<Response | undefined>;

export interface TransportsOptions {
  /** By the rules of identity/safe_fetch.ts: public addresses only, and no redirect is followed. */
  readonly stream: SafeStream;
  readonly handler: Handler;
  /** An origin without a slash at its end. */
  readonly publicUrl: string;
  readonly sleep: (ms: number) => Promise<unknown>;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** Makes the hosts that stock calls are sent to. */
export class Transports {
  readonly #options: TransportsOptions;
  readonly #loopback: SafeStream;

  constructor(options: TransportsOptions) {
    this.#options = options;
    this.#loopback = createLoopbackStream(options);
  }

  /** `endpoint` as `normalizeEndpoint` gives it. */
  host(kind: Exclude<HostKind, "native">, endpoint: string, patience = PATIENCE_OF_A_REQUEST): XrpcHost {
    const { sleep, now, stream } = this.#options;
    const way = kind === "loopback" ? this.#loopback : stream;
    return new XrpcHost({ url: endpoint, stream: way, sleep, now, patience });
  }
}

/**
 * As `createSafeStream`, into the server's own handler: the filter of addresses is not weakened for it, and no router between
 * need lead back. It refuses any address but this server's.
 */
export function createLoopbackStream({
  handler,
  publicUrl,
}: Pick<TransportsOptions, "handler" | "publicUrl">): SafeStream {
  return async (url, request) => {
    if (URL.parse(url)?.origin !== publicUrl) throw failure(url, "it is not this server");
    const { method, headers, body, headersTimeoutMs } = request;
    // As it comes to the handler of a server on https too: from the proxy before it.
    const arriving = url.replace(/^https:/, "http:");
    const response = await within(headersTimeoutMs, { url, outer: request.signal }, (signal) =>
      handler(new Request(arriving, { method, headers, signal, ...(body === undefined ? {} : { body }) })),
    );
    if (response === undefined) throw failure(url, "it did not answer");
    return await boundedAnswer(url, { response, request });
  };
}

async function boundedAnswer(
  url: string,
  { response, request }: { response: Response; request: StreamRequest },
): Promise<StreamResponse> {
  const { status, headers, body } = response;
  if (status >= 300 && status < 400) throw failure(url, "it redirects");
  // It is in memory, or as good as: of this server nothing has to be read piece by piece.
  const bytes = await within(request.bodyTimeoutMs, { url, outer: request.signal }, () =>
    bytesOf(url, { body, bytesMax: request.bytesMax }),
  );
  return { status, headers, body: request.method === "HEAD" ? null : new Response(bytes).body };
}

async function bytesOf(
  url: string,
  { body, bytesMax }: { body: ReadableStream<Uint8Array> | null; bytesMax: number },
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body ?? []) {
    size += chunk.byteLength;
    if (size > bytesMax) throw failure(url, `the answer is larger than ${bytesMax} bytes`);
    chunks.push(chunk);
  }
  return new Uint8Array(Buffer.concat(chunks));
}

async function within<T>(
  ms: number,
  { url, outer }: { url: string; outer: AbortSignal | undefined },
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), ms);
  const signal = outer ? AbortSignal.any([outer, stop.signal]) : stop.signal;
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const refuse = () => reject(new KithError("timeout", `Could not fetch "${url}": it took too long`));
  signal.addEventListener("abort", refuse, { once: true });
  if (signal.aborted) refuse();
  try {
    const working = work(signal);
    // Where it is given up, nobody hears of its end any more.
    working.catch(() => undefined);
    return await Promise.race([working, aborted]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", refuse);
  }
}

function failure(url: string, why: string): KithError {
  return new KithError("upstream_failure", `Could not fetch "${url}": ${why}`);
}
