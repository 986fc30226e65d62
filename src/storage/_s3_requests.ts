/**
 * Requests to a bucket: signed by Bun's S3 client, sent by fetch, which unlike the client itself can be given up, tells
 * statuses apart, and sends a file without holding it in memory. Every one of them may be repeated.
 */

import { S3Client } from "bun";
import { KithError } from "../errors.ts";
import { isIP } from "../ip.ts";

/** How often a request is sent that the bucket fails, and the first pause in between; each next one is twice as long. */
const ATTEMPTS_MAX = 3;
const PAUSE_MS = 100;
/** Of an error's answer so much is read. */
const ERROR_BYTES_MAX = 64 * 1024;
/** A signature holds for so long: a request begins at once. */
const SIGNED_S = 300;
/** Statuses of a bucket in trouble, or overloaded: it is asked again. */
const AGAIN = new Set([429, 500, 502, 503, 504]);

export interface S3Options {
  readonly bucket: string;
  readonly region: string;
  /** Without a slash at its end, and without the bucket; default: Amazon's. */
  readonly endpoint?: string | undefined;
  readonly forcePathStyle?: boolean;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly uploadTimeoutMs: number;
  readonly requestTimeoutMs: number;
}

export interface S3Request {
  readonly method: "GET" | "HEAD" | "PUT" | "DELETE";
  readonly key: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Made anew for each attempt. */
  readonly body?: () => ReadableStream<Uint8Array>;
  /** For the request until its answer begins, with all attempts. */
  readonly timeoutMs: number;
  /** Statuses that are an answer. */
  readonly expects: readonly number[];
  /** What is done, for the message: "Could not ...". */
  readonly action: string;
}

/** What a bucket says of itself where it refuses. */
export class S3Refusal extends KithError {
  /** NoSuchBucket, AccessDenied, ...; "" where it says nothing. */
  readonly s3Code: string;

  constructor(action: string, { status, s3Code }: { status: number; s3Code: string }) {
    const busy = status === 503 || status === 429;
    super(busy ? "busy" : "upstream_failure", `${action}: the blob store ${busy ? "is busy" : "failed"}`, {
      cause: new Error(`The bucket answered ${status} ${s3Code}`),
      hint: "Is the bucket there, and may the key that is set get, put, delete and list its objects?",
    });
    this.s3Code = s3Code;
  }
}

export class S3Requests {
  readonly #client: S3Client;
  readonly #requestTimeoutMs: number;

  constructor(options: S3Options) {
    this.#client = new S3Client(clientOptions(options));
    this.#requestTimeoutMs = options.requestTimeoutMs;
  }

  /** The answer once it has begun. KithErrors upstream_failure, busy, timeout. */
  async send(request: S3Request): Promise<Response> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), request.timeoutMs);
    try {
      for (let attempt = 1; ; attempt += 1) {
        const outcome = await this.#attempt(request, late.signal);
        if (outcome instanceof Response) return outcome;
        if (late.signal.aborted) throw lateError(request);
        if (attempt >= ATTEMPTS_MAX || !outcome.again) throw outcome.error;
        await pause(PAUSE_MS * 2 ** (attempt - 1), late.signal);
        if (late.signal.aborted) throw lateError(request);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  async #attempt(
    { method, key, headers, body, expects, action }: S3Request,
    signal: AbortSignal,
  ): Promise<Response | { error: KithError; again: boolean }> {
    const url = this.#client.presign(key, { method, expiresIn: SIGNED_S });
    // The signal gives up the request, not the answer's body, which a slow reader may take its time with.
    const giveUp = new AbortController();
    const stop = (): void => giveUp.abort();
    signal.addEventListener("abort", stop, { once: true });
    try {
      const answer = await fetch(url, {
        method,
        headers: { "accept-encoding": "identity", ...headers },
        body: body?.() ?? null,
        redirect: "manual",
        signal: giveUp.signal,
      });
      if (expects.includes(answer.status)) return answer;
      const s3Code = await errorCode(answer);
      return {
        error: new S3Refusal(action, { status: answer.status, s3Code }),
        again: AGAIN.has(answer.status),
      };
    } catch (cause) {
      const error = new KithError("upstream_failure", `${action}: the blob store could not be reached`, {
        cause: unsigned(cause),
      });
      return { error, again: true };
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  /** Nothing where it is not there. */
  async remove(key: string, action: string): Promise<void> {
    const timeoutMs = this.#requestTimeoutMs;
    const expects = [200, 202, 204, 404];
    await drop(await this.send({ method: "DELETE", key, timeoutMs, expects, action }));
  }

  /** A page of keys below `prefix`, in their order. */
  async list(
    prefix: string,
    page: { limit: number; after?: string },
  ): Promise<{ key: string; at: number; size: number }[]> {
    const action = `Could not list what is below "${prefix}"`;
    const timeoutMs = this.#requestTimeoutMs;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(lateError({ action })), timeoutMs);
    });
    try {
      const asked = this.#client.list({ prefix, startAfter: page.after, maxKeys: page.limit });
      asked.catch(() => {});
      const { contents = [] } = await Promise.race([asked, late]);
      return contents.map(({ key, lastModified, size = 0 }) => ({
        ...{ key, size },
        at: Date.parse(String(lastModified)) || 0,
      }));
    } catch (error) {
      if (error instanceof KithError) throw error;
      throw new KithError("upstream_failure", `${action}: the blob store failed`, { cause: unsigned(error) });
    } finally {
      clearTimeout(timer);
    }
  }
}

/** As the reference's client does it: the bucket is in the host name, unless that is no name to put it before. */
function clientOptions(options: S3Options): Bun.S3Options {
  const { bucket, region, endpoint, accessKeyId, secretAccessKey } = options;
  const credentials = { region, accessKeyId, secretAccessKey };
  const url = new URL(endpoint ?? `https://s3.${region}.amazonaws.com`);
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const isPlain = isIP(host) !== 0 || host === "localhost";
  const isDotted = url.protocol === "https:" && bucket.includes(".");
  if (options.forcePathStyle || isPlain || isDotted) {
    return { ...credentials, bucket, endpoint: url.href.replace(/\/$/, "") };
  }
  url.hostname = `${bucket}.${url.hostname}`;
  return { ...credentials, endpoint: url.href.replace(/\/$/, ""), virtualHostedStyle: true };
}

/** What is not read of an answer; that it broke off does not matter. */
export async function drop(answer: Response): Promise<void> {
  await answer.body?.cancel().catch(() => {});
}

async function errorCode(answer: Response): Promise<string> {
  let text = "";
  const reader = answer.body?.getReader();
  try {
    for (let next = await reader?.read(); next && !next.done; next = await reader?.read()) {
      text += Buffer.from(next.value).toString("latin1");
      if (text.length > ERROR_BYTES_MAX) break;
    }
  } catch {
    // It broke off: what has come may say enough.
  } finally {
    await reader?.cancel().catch(() => {});
  }
  return /<Code>(\w{1,64})<\/Code>/.exec(text)?.[1] ?? "";
}

/** What went wrong, without the URL: fetch's errors have it as a field, and it is signed. */
export function unsigned(error: unknown): Error {
  const { code, message } = error as { code?: unknown; message?: unknown };
  return new Error(`${String(code ?? "")} ${String(message ?? error)}`.trim());
}

function lateError({ action }: { action: string }): KithError {
  return new KithError("timeout", `${action}: the blob store does not answer`);
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
    signal.addEventListener("abort", done, { once: true });
  });
}
