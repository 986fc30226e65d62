/** Plain XRPC calls to one server of somebody's: streamed, bounded, repeated where that does no harm. */
import { isKithError, KithError } from "../errors.ts";
import type { SafeStream, StreamResponse } from "./safe_stream.ts";

/** Pauses before a call that failed is repeated. */
export const RETRY_PAUSES_MS = [500, 2_000, 8_000] as const;
/** The longest that a rate limit is waited out; a longer one ends the run, which can be resumed. */
export const RATE_LIMIT_WAIT_MS_MAX = 5 * 60_000;
const RATE_LIMIT_WAITS_MAX = 20;
/** The last moment that a Date can say with a year of four digits. */
const DATE_MS_MAX = Date.UTC(9999, 11, 31);
const ANSWER_TIMEOUT_MS = 60_000;
/** An import is answered when it is over. */
const LONG_ANSWER_TIMEOUT_MS = 15 * 60_000;
const BODY_TIMEOUT_MS = 60_000;
const JSON_BYTES_MAX = 8 * 1024 * 1024;
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

export interface HostCall {
  readonly params?: Readonly<Record<string, string | number | undefined>>;
  /** Makes it a procedure. `null` sends no body. */
  readonly input?: object | null;
  /** Makes it a procedure too; called again for each repetition. */
  readonly upload?: () => Promise<Upload>;
  readonly token?: string;
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
}

export class XrpcHost {
  readonly url: string;
  readonly #options: XrpcHostOptions;

  constructor(options: XrpcHostOptions) {
    this.url = options.url;
    this.#options = options;
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
        headersTimeoutMs: ANSWER_TIMEOUT_MS,
        bodyTimeoutMs: BODY_TIMEOUT_MS,
        bytesMax: JSON_BYTES_MAX,
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
    bytesMax = JSON_BYTES_MAX,
  ): Promise<T> {
    const isQuery = call.input === undefined && call.upload === undefined;
    const pauses = isQuery || call.isRepeatable === true ? [...RETRY_PAUSES_MS] : [];
    for (let waits = 0; ; ) {
      try {
        const response = await this.#send(nsid, { call, bytesMax });
        if (response.status === 200) return await read(response);
        const refusal = await this.#refusal(nsid, response);
        if (refusal.status === 429 && waits++ < RATE_LIMIT_WAITS_MAX) {
          await this.#waitOut(refusal, response.headers);
          continue;
        }
        throw refusal;
      } catch (error) {
        const pause = isPassing(error) ? pauses.shift() : undefined;
        if (pause === undefined) throw error;
        await this.#options.sleep(pause);
      }
    }
  }

  async #send(
    nsid: string,
    { call, bytesMax }: { call: HostCall; bytesMax: number },
  ): Promise<StreamResponse> {
    const url = new URL(`${this.url}/xrpc/${nsid}`);
    for (const [name, value] of Object.entries(call.params ?? {}))
      if (value !== undefined) url.searchParams.set(name, String(value));
    const upload = await call.upload?.();
    const headers: Record<string, string> = { accept: "*/*" };
    if (call.token !== undefined) headers.authorization = `Bearer ${call.token}`;
    if (upload) headers["content-type"] = upload.type;
    if (upload?.bytes !== undefined) headers["content-length"] = String(upload.bytes);
    if (!upload && call.input) headers["content-type"] = "application/json";
    const isQuery = call.input === undefined && upload === undefined;
    return await this.#options.stream(url.href, {
      method: isQuery ? "GET" : "POST",
      headers,
      ...(upload ? { body: upload.body } : call.input ? { body: JSON.stringify(call.input) } : {}),
      headersTimeoutMs: upload ? LONG_ANSWER_TIMEOUT_MS : ANSWER_TIMEOUT_MS,
      bodyTimeoutMs: BODY_TIMEOUT_MS,
      bytesMax,
    });
  }

  async #refusal(nsid: string, { status, body }: StreamResponse): Promise<HostError> {
    const facts = { host: this.url, nsid, status, error: "", reason: "" };
    try {
      const json: unknown = JSON.parse(await new Response(body).text());
      const { error, message } = (json ?? {}) as { error?: unknown; message?: unknown };
      if (typeof error === "string") facts.error = error.slice(0, MESSAGE_CHARS_MAX);
      if (typeof message === "string") facts.reason = message.slice(0, MESSAGE_CHARS_MAX);
    } catch {
      // The status says it.
    }
    return new HostError(facts);
  }

  async #waitOut(refusal: HostError, headers: Headers): Promise<void> {
    const { now, sleep, onWait } = this.#options;
    const after = Number(headers.get("retry-after") ?? Number.NaN) * 1_000;
    const reset = Number(headers.get("ratelimit-reset") ?? Number.NaN) * 1_000 - now();
    const ms = Number.isFinite(after) ? after : Number.isFinite(reset) ? reset : RETRY_PAUSES_MS[1];
    if (ms > RATE_LIMIT_WAIT_MS_MAX) {
      const at = new Date(Math.min(now() + ms, DATE_MS_MAX)).toISOString();
      throw new KithError("rate_limited", `${refusal.message}: it takes no more calls until ${at}`, {
        hint: "Run the same command again then.",
        cause: refusal,
      });
    }
    onWait?.(`"${this.url}" asks to be called less often: waiting ${Math.ceil(Math.max(0, ms) / 1_000)} s`);
    await sleep(Math.max(0, ms));
  }
}

/** A failure that may be over at the next try. */
function isPassing(error: unknown): boolean {
  if (error instanceof HostError) return error.status >= 500 && error.status !== 501;
  return isKithError(error, "upstream_failure") || isKithError(error, "timeout");
}
