/** Request bodies: decoded, bounded while they stream, parsed and validated. */
import { type BaseSchema, safeParse } from "@atcute/lexicons/validations";
import { readableIssue } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";

/** A JSON body must have arrived by then, however slowly it trickles. */
const BODY_TIMEOUT_MS = 60_000;

/** Stream formats by Content-Encoding. */
const DECODERS: Readonly<Record<string, string>> = {
  gzip: "gzip",
  "x-gzip": "gzip",
  deflate: "deflate",
  br: "brotli",
};

/**
 * The body with its Content-Encoding undone; null where there is none. The decoded size is the reader's to bound.
 * Throws KithError unsupported_encoding.
 */
export function decodedBody(request: Request): ReadableStream<Uint8Array> | null {
  const body: ReadableStream<Uint8Array> | null = request.body;
  const encoding = request.headers.get("content-encoding")?.trim().toLowerCase() ?? "identity";
  if (encoding === "identity" || encoding === "" || body === null) return body;
  const format = DECODERS[encoding];
  if (format === undefined) {
    throw new KithError(
      "unsupported_encoding",
      `Could not read the body: its Content-Encoding "${encoding.slice(0, 32)}" is none of gzip, deflate, br`,
    );
  }
  return body.pipeThrough(new DecompressionStream(format as CompressionFormat) as unknown as Transform);
}

type Transform = ReadableWritablePair<Uint8Array, Uint8Array>;

/** True where the body arrives as it was sent, so that Content-Length counts what we read. */
export function isIdentityEncoded(request: Request): boolean {
  const encoding = request.headers.get("content-encoding")?.trim().toLowerCase() ?? "";
  return encoding === "" || encoding === "identity";
}

/** The declared length in bytes, or undefined. Throws KithError invalid_request on anything but digits. */
export function declaredLength(request: Request): number | undefined {
  const text = request.headers.get("content-length");
  if (text === null) return undefined;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new KithError(
    "invalid_request",
    `Could not read the body: bad Content-Length "${text.slice(0, 32)}"`,
  );
}

/** Throws KithError payload_too_large where the declared length alone is over the bound. */
export function refuseDeclaredLength(request: Request, bytesMax: number): void {
  const declared = declaredLength(request);
  if (declared !== undefined && declared > bytesMax) throw tooLarge(bytesMax);
}

export function tooLarge(bytesMax: number): KithError {
  return new KithError("payload_too_large", `Could not read the body: it is over ${bytesMax} bytes`);
}

/**
 * Gives up on what `reader` has not delivered when `stopping` aborts: it then reads as if it had ended. `end`, called at
 * the end, throws KithError shutting_down where that happened; `release` is called in any case.
 */
export function cutAtStop(
  reader: { cancel(): Promise<unknown> },
  stopping: AbortSignal | undefined,
): { end(): void; release(): void } {
  let isCut = false;
  const cut = (): void => {
    isCut = true;
    reader.cancel().catch(() => {});
  };
  if (stopping?.aborted) cut();
  stopping?.addEventListener("abort", cut, { once: true });
  return {
    release: () => stopping?.removeEventListener("abort", cut),
    end: () => {
      if (isCut)
        throw new KithError(
          "shutting_down",
          "Could not read the body: the server stops before it has arrived",
        );
    },
  };
}

interface ReadOptions {
  readonly bytesMax: number;
  /** Aborted when a stopping server waits no longer for what has not arrived. */
  readonly stopping?: AbortSignal | undefined;
}

/**
 * The whole body, at most `bytesMax` decoded bytes. KithErrors payload_too_large, unsupported_encoding, invalid_request,
 * shutting_down.
 */
async function readBytes(request: Request, { bytesMax, stopping }: ReadOptions): Promise<Uint8Array> {
  refuseDeclaredLength(request, bytesMax);
  const reader = decodedBody(request)?.getReader();
  if (!reader) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    reader.cancel().catch(() => {});
  }, BODY_TIMEOUT_MS);
  const stop = cutAtStop(reader, stopping);
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      bytes += next.value.byteLength;
      if (bytes > bytesMax) throw tooLarge(bytesMax);
      chunks.push(next.value);
    }
    stop.end();
    if (isLate) throw invalid(`it did not arrive within ${BODY_TIMEOUT_MS / 1000} s`);
    return Buffer.concat(chunks, bytes);
  } catch (error) {
    reader.cancel().catch(() => {});
    throw asBodyError(error);
  } finally {
    stop.release();
    clearTimeout(timer);
  }
}

/** A failure while reading a body is the sender's: a broken connection or broken compression. */
export function asBodyError(error: unknown): KithError {
  if (error instanceof KithError) return error;
  return new KithError("invalid_request", "Could not read the body: it broke off or does not decode", {
    cause: error,
  });
}

/**
 * The JSON input of a call, validated. An absent body counts as `{}`: where the lexicon requires a field, the error
 * names it. Throws KithErrors invalid_request, payload_too_large, unsupported_encoding.
 */
export async function readJsonInput(
  request: Request,
  { schema, ...options }: ReadOptions & { schema: BaseSchema },
): Promise<unknown> {
  const bytes = await readBytes(request, options);
  if (bytes.byteLength > 0) requireJsonType(request);
  const result = safeParse(schema, bytes.byteLength > 0 ? parseJson(bytes) : {});
  if (!result.ok) throw invalid(readableIssue(result.message));
  return result.value;
}

function requireJsonType(request: Request): void {
  const type = request.headers.get("content-type")?.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  if (type === "application/json") return;
  throw invalid(
    type === ""
      ? "Content-Type is missing: application/json is expected"
      : `Content-Type is "${type.slice(0, 64)}": application/json is expected`,
  );
}

function parseJson(bytes: Uint8Array): unknown {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new KithError("invalid_request", "Could not read the body: it is not UTF-8", { cause });
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new KithError("invalid_request", "Could not read the body: it is not JSON", { cause });
  }
}

function invalid(detail: string): KithError {
  return new KithError("invalid_request", `Could not read the body: ${detail}`);
}
