/** Plain XRPC calls to one server of somebody's: streamed, bounded, repeated where that does no harm. */
import { isKithError, KithError } from "../errors.ts";
import type { SafeStream, StreamResponse } from "./safe_stream.ts";

/** How long a server is borne with. */
export interface Patience {
  /** Before a call that failed is repeated. */
  readonly retryPausesMs: readonly number[];
  /** The longest that a rate limit is waited out, and how often in one call. */
  readonly rateLimitWaitMsMax: number;
  readonly rateLimitWaitsMax: number;
  readonly answerTimeoutMs: number;
  /** To the end of an answer, whatever comes in between; unbounded where it is absent, and of an upload. */
  readonly wholeTimeoutMs?: number;
  readonly jsonBytesMax: number;
}

/** Of a person who waits at a terminal; a longer rate limit ends the run, which can be resumed. */
export const PATIENCE_OF_A_MOVE: Patience = {
  retryPausesMs: [500, 2_000, 8_000],
  rateLimitWaitMsMax: 5 * 60_000,
  rateLimitWaitsMax: 20,
  answerTimeoutMs: 60_000,
  jsonBytesMax: 8 * 1024 * 1024,
};

/** Where a rate limit does not say when it ends. */
const RATE_LIMIT_WAIT_MS = 2_000;
/** The longest that is handed on as a time to try again. */
const RETRY_AFTER_MS_MAX = 24 * 3_600_000;
/** The last moment that a Date can say with a year of four digits. */
const DATE_MS_MAX = Date.UTC(9999, 11, 31);
/** An import is answered when it is over. */
const LONG_ANSWER_TIMEOUT_MS = 15 * 60_000;
const BODY_TIMEOUT_MS = 60_000;
/** Of a whole repo, and of one blob. */
const STREAM_BYTES_MAX = 16 * 1024 ** 3;
const MESSAGE_CHARS_MAX = 500;

/** A server that answered, and refused. */
export class HostError extends KithError {
  readonly host: string;
  readonly status: number;
  /** The XRPC error name, "" where there is none. */
  readonly error: string;
  /** The server's own words. */
  readonly reason: string;

  constructor(facts: { host: string; nsid: string; status: number; error: string; reason: string }) {
    const { host, nsid, status, error, reason } = facts;
    const words = [error, reason].filter((part) => part !== "").join(": ") || `status ${status}`;
    super("upstream_failure", `"${host}" refused ${nsid}: ${words}`);
    this.host = host;
    this.status = status;
    this.error = error;
    this.reason = reason;
  }
}

/** True for an answer with one of these error names. */
export function isHostError(error: unknown, ...names: readonly string[]): error is HostError {
  return error instanceof HostError && (names.length === 0 || names.includes(error.error));
}

/** Who calls, where each request is signed: a token bound to a key. */
export interface RequestSigner {
  headers(request: { method: string; url: string }): Promise<Readonly<Record<string, string>>>;
  /** Told of every answer; true where the same request, signed anew, may be answered otherwise. */
  learn(answer: { status: number; url: string; headers: Headers }): boolean;
}

/** A bearer token, or what signs. */
export type HostToken = string | RequestSigner;

/** How often a server may ask for another signature of one request. */
const SIGNED_AGAIN_MAX = 2;

export interface HostCall {
  readonly params?: Readonly<Record<string, string | number | undefined>>;
  /** Makes it a procedure. `null` sends no body. */
  readonly input?: object | null;
  /** Makes it a procedure too; called again for each repetition. */
  readonly upload?: () => Promise<Upload>;
  readonly token?: HostToken;
  /** Whether it may be repeated where the outcome is unknown; queries always may. */
  readonly isRepeatable?: boolean;
}

export interface Upload {
  readonly type: string;
  readonly body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>;
  /** Of a stream, where it is known: there are servers that want it. */
  readonly bytes?: number;
}

export interface XrpcHostOptions {
  /** An origin without a slash at its end. */
  readonly url: string;
  readonly stream: SafeStream;
  readonly sleep: (ms: number) => Promise<unknown>;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly onWait?: (text: string) => void;
  readonly patience?: Patience;
}

export class XrpcHost {
  readonly url: string;
  readonly #options: XrpcHostOptions;
  readonly #patience: Patience;

  constructor(options: XrpcHostOptions) {
    this.url = options.url;
    this.#options = options;
    this.#patience = options.patience ?? PATIENCE_OF_A_MOVE;
  }

  /** The JSON that a method answers. Throws HostError, KithErrors upstream_failure, timeout. */
  async json(nsid: string, call: HostCall = {}): Promise<unknown> {
    const text = await this.#persistently(
      nsid,
      call,
      async (response) => await new Response(response.body).text(),
    );
    if (text === "") return {};
    try {
      return JSON.parse(text);
    } catch {
      throw new KithError(
        "upstream_failure",
        `"${this.url}" answered ${nsid} with something other than JSON`,
      );
    }
  }

  /** The body that a query answers, as it comes: reading it may fail. */
  async bytes(nsid: string, call: HostCall): Promise<StreamResponse> {
    return await this.#persistently(nsid, call, async (response) => response, STREAM_BYTES_MAX);
  }

  /** The JSON of a document that is no method, or undefined where there is none. */
  async document(path: string): Promise<unknown> {
    try {
      const response = await this.#options.stream(`${this.url}${path}`, {
        method: "GET",
        headers: {},
        headersTimeoutMs: this.#patience.answerTimeoutMs,
        bodyTimeoutMs: BODY_TIMEOUT_MS,
        bytesMax: this.#patience.jsonBytesMax,
      });
      const text = await new Response(response.body).text();
      return response.status === 200 ? JSON.parse(text) : undefined;
    } catch (error) {
      if (error instanceof SyntaxError) return undefined;
      throw error;
    }
  }

  async #persistently<T>(
    nsid: string,
    call: HostCall,
    read: (response: StreamResponse) => Promise<T>,
    bytesMax = this.#patience.jsonBytesMax,
  ): Promise<T> {
    const { retryPausesMs, rateLimitWaitsMax, wholeTimeoutMs } = this.#patience;
    const isBounded = wholeTimeoutMs !== undefined && call.upload === undefined;
    const end = isBounded ? AbortSignal.timeout(wholeTimeoutMs) : undefined;
    const isQuery = call.input === undefined && call.upload === undefined;
    const pauses = isQuery || call.isRepeatable === true ? [...retryPausesMs] : [];
    for (let waits = 0, signed = 0; ; ) {
      try {
        const { response, isToBeSignedAgain } = await this.#send(nsid, { call, bytesMax, end });
        if (response.status === 200) return await read(response);
        if (isToBeSignedAgain && signed++ < SIGNED_AGAIN_MAX) {
          await response.body?.cancel();
          continue;
        }
        const refusal = await this.#refusal(nsid, response);
        if (refusal.status === 429 && waits++ < rateLimitWaitsMax) {
          await this.#waitOut(refusal, response.headers);
          continue;
        }
        throw refusal;
      } catch (error) {
        if (end?.aborted) throw this.#tooSlow(nsid, error);
        const pause = isPassing(error) ? pauses.shift() : undefined;
        if (pause === undefined) throw error;
        await this.#options.sleep(pause);
      }
    }
  }

  async #send(
    nsid: string,
    { call, bytesMax, end }: { call: HostCall; bytesMax: number; end: AbortSignal | undefined },
  ): Promise<{ response: StreamResponse; isToBeSignedAgain: boolean }> {
    const url = new URL(`${this.url}/xrpc/${nsid}`);
    for (const [name, value] of Object.entries(call.params ?? {}))
      if (value !== undefined) url.searchParams.set(name, String(value));
    const upload = await call.upload?.();
    const { token } = call;
    const isQuery = call.input === undefined && upload === undefined;
    const method = isQuery ? "GET" : "POST";
    const headers: Record<string, string> = { accept: "*/*" };
    if (typeof token === "string") headers.authorization = `Bearer ${token}`;
    else if (token) Object.assign(headers, await token.headers({ method, url: url.href }));
    if (upload) headers["content-type"] = upload.type;
    if (upload?.bytes !== undefined) headers["content-length"] = String(upload.bytes);
    if (!upload && call.input) headers["content-type"] = "application/json";
    const response = await this.#options.stream(url.href, {
      method,
      headers,
      ...(upload ? { body: upload.body } : call.input ? { body: JSON.stringify(call.input) } : {}),
      headersTimeoutMs: upload ? LONG_ANSWER_TIMEOUT_MS : this.#patience.answerTimeoutMs,
      bodyTimeoutMs: BODY_TIMEOUT_MS,
      bytesMax,
      ...(end === undefined ? {} : { signal: end }),
    });
    const { status, headers: answered } = response;
    const isToBeSignedAgain =
      typeof token === "object" && token.learn({ status, url: url.href, headers: answered });
    return { response, isToBeSignedAgain };
  }

  #tooSlow(nsid: string, cause: unknown): unknown {
    if (cause instanceof HostError) return cause;
    return new KithError("timeout", `"${this.url}" took too long to answer ${nsid}`, { cause });
  }

  async #refusal(nsid: string, { status, body }: StreamResponse): Promise<HostError> {
    const facts = { host: this.url, nsid, status, error: "", reason: "" };
    try {
      const json: unknown = JSON.parse(await new Response(body).text());
      const { error, message } = (json ?? {}) as { error?: unknown; message?: unknown };
      if (typeof error === "string") facts.error = printable(error);
      if (typeof message === "string") facts.reason = printable(message);
    } catch {
      // The status says it.
    }
    return new HostError(facts);
  }

  async #waitOut(refusal: HostError, headers: Headers): Promise<void> {
    const { now, sleep, onWait } = this.#options;
    const after = Number(headers.get("retry-after") ?? Number.NaN) * 1_000;
    const reset = Number(headers.get("ratelimit-reset") ?? Number.NaN) * 1_000 - now();
    const ms = Number.isFinite(after) ? after : Number.isFinite(reset) ? reset : RATE_LIMIT_WAIT_MS;
    if (ms > this.#patience.rateLimitWaitMsMax) {
      const at = new Date(Math.min(now() + ms, DATE_MS_MAX)).toISOString();
      throw new KithError("rate_limited", `${refusal.message}: it takes no more calls until ${at}`, {
        hint: "Run the same command again then.",
        retryAfterS: Math.ceil(Math.min(ms, RETRY_AFTER_MS_MAX) / 1_000),
        cause: refusal,
      });
    }
    onWait?.(`"${this.url}" asks to be called less often: waiting ${Math.ceil(Math.max(0, ms) / 1_000)} s`);
    await sleep(Math.max(0, ms));
  }
}

/** A stranger's words: they may reach a terminal. */
function printable(text: string): string {
  return text.slice(0, MESSAGE_CHARS_MAX).replace(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu, "\ufffd");
}

/** A failure that may be over at the next try. */
function isPassing(error: unknown): boolean {
  if (error instanceof HostError) return error.status >= 500 && error.status !== 501;
  return isKithError(error, "upstream_failure") || isKithError(error, "timeout");
}
