/**
 * As safe_fetch.ts, for calls that are passed on: bodies stream both ways as they are, nothing is decoded, and no redirect is
 * followed. What is bounded is how long anything may stand still, and how much may come back.
 */
import { KithError } from "../errors.ts";
import { failure, parseTarget, type SafeFetchOptions, send } from "./_safe_connection.ts";

export interface StreamRequest {
  readonly method: "GET" | "HEAD" | "POST";
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>;
  /** From the end of the request to the beginning of the answer. */
  readonly headersTimeoutMs: number;
  /** From one piece of a body to the next. */
  readonly bodyTimeoutMs: number;
  /** Of the answer as it is sent. */
  readonly bytesMax: number;
  /** How often a request that has no stream for a body is repeated where the server could not be reached. */
  readonly retriesMax?: number;
  /** Ends everything, the answer's body too. */
  readonly signal?: AbortSignal;
}

export interface StreamResponse {
  readonly status: number;
  readonly headers: Headers;
  /** To be read or cancelled. It fails with a KithError past a bound. */
  readonly body: ReadableStream<Uint8Array> | null;
}

/** Answers with any status but a redirect. Throws `upstream_failure` (refused, unreachable, too large) or `timeout`. */
export type SafeStream = (url: string, request: StreamRequest) => Promise<StreamResponse>;

/** A client that keeps to the rules of safe_fetch.ts. */
export function createSafeStream(options: SafeFetchOptions): SafeStream {
  return async (url, request) => {
    const stillness = new Stillness(request.signal);
    try {
      const target = parseTarget(url, options);
      const response = await sendPersistently(target, { request, options, stillness });
      return bounded(url, { response, request, stillness });
    } catch (error) {
      stillness.end();
      throw stillness.reason(url, error);
    }
  };
}

/** Aborts where nothing has moved for the time that was given last. */
class Stillness {
  readonly signal: AbortSignal;
  readonly #stop = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isLate = false;

  constructor(outer?: AbortSignal) {
    this.signal = outer ? AbortSignal.any([outer, this.#stop.signal]) : this.#stop.signal;
  }

  /** Something has moved: the next is due within `ms`. */
  allow(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#isLate = true;
      this.#stop.abort();
    }, ms);
  }

  /** Nothing is awaited any more. */
  end(): void {
    clearTimeout(this.#timer);
  }

  /** Why a request to `url` has failed. */
  reason(url: string, error: unknown): KithError {
    if (this.#isLate)
      return new KithError("timeout", `Could not fetch "${url}": it took too long`, { cause: error });
    if (error instanceof KithError) return error;
    return failure(url, { why: "the server could not be reached", cause: error });
  }
}

interface Sending {
  readonly request: StreamRequest;
  readonly options: SafeFetchOptions;
  readonly stillness: Stillness;
}

async function sendPersistently(url: URL, { request, options, stillness }: Sending): Promise<Response> {
  const { method, headers, headersTimeoutMs } = request;
  const isStream = request.body instanceof ReadableStream;
  const retriesMax = isStream ? 0 : (request.retriesMax ?? 0);
  for (let retries = 0; ; retries++) {
    stillness.allow(headersTimeoutMs);
    try {
      const body = sentBody(request, stillness);
      return await send(url, { method, headers, body, decompress: false, signal: stillness.signal, options });
    } catch (error) {
      if (retries >= retriesMax || stillness.signal.aborted) throw error;
    }
  }
}

/** The body, each piece of which gives the server time anew. */
function sentBody(
  { body, bodyTimeoutMs, headersTimeoutMs }: StreamRequest,
  stillness: Stillness,
): StreamRequest["body"] {
  if (!(body instanceof ReadableStream)) return body;
  const reader = body.getReader();
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      stillness.allow(bodyTimeoutMs);
      const { done, value } = await reader.read();
      stillness.allow(headersTimeoutMs);
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: (reason) => reader.cancel(reason),
  });
}

function bounded(
  url: string,
  { response, request, stillness }: { response: Response; request: StreamRequest; stillness: Stillness },
): StreamResponse {
  const { status, headers, body } = response;
  const { method, bytesMax } = request;
  const refusal = refusalOf(url, { response, method, bytesMax });
  if (refusal || method === "HEAD" || body === null) {
    stillness.end();
    body?.cancel().catch(() => {});
    if (refusal) throw refusal;
    return { status, headers, body: null };
  }
  return { status, headers, body: boundedBody(url, { body, request, stillness }) };
}

function refusalOf(
  url: string,
  { response, method, bytesMax }: { response: Response; method: string; bytesMax: number },
): KithError | undefined {
  const { status, headers } = response;
  if (status >= 300 && status < 400) return failure(url, { why: "it redirects" });
  const isLarge = method !== "HEAD" && Number(headers.get("content-length") ?? 0) > bytesMax;
  return isLarge ? tooLarge(url, bytesMax) : undefined;
}

function tooLarge(url: string, bytesMax: number): KithError {
  return failure(url, { why: `the answer is larger than ${bytesMax} bytes` });
}

function boundedBody(
  url: string,
  {
    body,
    request: { bodyTimeoutMs, bytesMax },
    stillness,
  }: { body: ReadableStream<Uint8Array>; request: StreamRequest; stillness: Stillness },
): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  let bytes = 0;
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      // The clock runs while the server is awaited, not while our own reader takes its time.
      stillness.allow(bodyTimeoutMs);
      try {
        const { done, value } = await reader.read();
        stillness.end();
        if (done) return controller.close();
        bytes += value.byteLength;
        if (bytes > bytesMax) throw tooLarge(url, bytesMax);
        controller.enqueue(value);
      } catch (error) {
        stillness.end();
        reader.cancel().catch(() => {});
        controller.error(stillness.reason(url, error));
      }
    },
    cancel: (reason) => {
      stillness.end();
      return reader.cancel(reason);
    },
  });
}
