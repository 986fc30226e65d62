/** gzip for JSON answers, off the event loop. CAR files and blobs do not shrink, and stream. */
import { promisify } from "node:util";
import { gzip } from "node:zlib";

const gzipAsync = promisify(gzip);

/** Below this a compressed answer saves no packet, in bytes. */
const COMPRESS_FROM_BYTES = 1_024;
/** Level 1 takes most of what there is in JSON at a fraction of the time. */
const LEVEL = 1;

/** Requests whose answers another server has made: they pass as they come, in its encoding and at its pace. */
const sentAsTheyAre = new WeakSet<Request>();

/** Keeps the answer to `request` from being compressed here. */
export function sendAsItIs(request: Request): void {
  sentAsTheyAre.add(request);
}

/** `response`, compressed where it is JSON of some length and the client takes gzip. */
export async function compressJson(request: Request, response: Response): Promise<Response> {
  const isJson = response.headers.get("content-type")?.startsWith("application/json") ?? false;
  if (!isJson || response.body === null) return response;
  response.headers.append("Vary", "Accept-Encoding");
  if (sentAsTheyAre.has(request) || response.headers.has("content-encoding")) return response;
  if (!acceptsGzip(request.headers.get("accept-encoding"))) return response;
  const bytes = new Uint8Array(await response.arrayBuffer());
  const { status, headers } = response;
  if (bytes.byteLength < COMPRESS_FROM_BYTES) return new Response(bytes, { status, headers });
  const small = await gzipAsync(bytes, { level: LEVEL });
  headers.set("Content-Encoding", "gzip");
  headers.delete("Content-Length");
  return new Response(small, { status, headers });
}

function acceptsGzip(header: string | null): boolean {
  return (header ?? "").split(",").some((item) => /^\s*gzip\s*(?:;\s*q=(?!0(?:\.0*)?\s*$).*)?$/i.test(item));
}
