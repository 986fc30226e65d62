/** What all answers have in common: the headers of each, and JSON that is compressed where it is long. */
import { promisify } from "node:util";
import { setCorsHeaders } from "./cors.ts";

type Gzip = (bytes: Uint8Array, options: { level: number }) => Promise<Buffer<ArrayBuffer>>;
let gzip: Gzip | undefined;

/** Loaded with the first answer that is compressed. */
function gzipAsync(...given: Parameters<Gzip>): ReturnType<Gzip> {
  gzip ??= promisify((require("node:zlib") as typeof import("node:zlib")).gzip) as Gzip;
  return gzip(...given);
}

export const REQUEST_ID = "X-Request-Id";
/** As `Response.json` says it. */
const JSON_TYPE = "application/json;charset=utf-8";

/** Below this a compressed answer saves no packet, in bytes. */
const COMPRESS_FROM_BYTES = 1_024;
/** Most bytes of a character of a string, as UTF-8. */
const CHARACTER_BYTES_MAX = 3;
/** Level 1 takes most of what there is in JSON at a fraction of the time. */
const LEVEL = 1;

/** Requests whose answers another server has made: they pass as they come, in its encoding and at its pace. */
const sentAsTheyAre = new WeakSet<Request>();

/** Keeps the answer to `request` from being compressed here. */
export function sendAsItIs(request: Request): void {
  sentAsTheyAre.add(request);
}

/** Sets what every answer has. */
export function setCommonHeaders(headers: Headers, requestId: string): void {
  setCorsHeaders(headers);
  headers.set(REQUEST_ID, requestId);
}

/** `response` with what every answer has. */
export function stamp(response: Response, requestId: string): Response {
  setCommonHeaders(response.headers, requestId);
  return response;
}

/** 200 with this JSON; as bytes it is UTF-8. */
export function jsonAnswer(
  request: Request,
  { text, headers }: { text: string | Uint8Array<ArrayBuffer>; headers: Headers },
): Response | Promise<Response> {
  if (!headers.has("Content-Type")) headers.set("Content-Type", JSON_TYPE);
  if (request.method === "HEAD") return new Response(null, { headers });
  headers.append("Vary", "Accept-Encoding");
  if (!isLong(text) || !mayCompress(request, headers)) return new Response(text, { headers });
  return compressed(typeof text === "string" ? Buffer.from(text) : text, { status: 200, headers });
}

/** CAR files and blobs do not shrink, and stream: `response`, compressed where it is JSON of some length and the client takes gzip. */
export async function compressJson(request: Request, response: Response): Promise<Response> {
  const isJson = response.headers.get("content-type")?.startsWith("application/json") ?? false;
  if (!isJson || response.body === null) return response;
  response.headers.append("Vary", "Accept-Encoding");
  if (!mayCompress(request, response.headers)) return response;
  const bytes = new Uint8Array(await response.arrayBuffer());
  const { status, headers } = response;
  return bytes.byteLength < COMPRESS_FROM_BYTES
    ? new Response(bytes, { status, headers })
    : compressed(bytes, { status, headers });
}

/** gzip, off the event loop. */
async function compressed(
  bytes: Uint8Array,
  { status, headers }: { status: number; headers: Headers },
): Promise<Response> {
  const small = await gzipAsync(bytes, { level: LEVEL });
  headers.set("Content-Encoding", "gzip");
  headers.delete("Content-Length");
  return new Response(small, { status, headers });
}

function isLong(text: string | Uint8Array): boolean {
  if (typeof text !== "string") return text.byteLength >= COMPRESS_FROM_BYTES;
  if (text.length >= COMPRESS_FROM_BYTES) return true;
  if (text.length * CHARACTER_BYTES_MAX < COMPRESS_FROM_BYTES) return false;
  return Buffer.byteLength(text) >= COMPRESS_FROM_BYTES;
}

function mayCompress(request: Request, headers: Headers): boolean {
  if (headers.has("Content-Encoding") || sentAsTheyAre.has(request)) return false;
  return acceptsGzip(request.headers.get("accept-encoding"));
}

function acceptsGzip(header: string | null): boolean {
  return (header ?? "").split(",").some((item) => /^\s*gzip\s*(?:;\s*q=(?!0(?:\.0*)?\s*$).*)?$/i.test(item));
}
