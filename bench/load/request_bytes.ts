/** Requests as bytes, made once and sent many times; what must differ each time is written over them. Pure. */
import { COUNT_MARK, type RequestSpec } from "./jobs.ts";

const PNG_START = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
/** Where in an image the number stands. */
const IMAGE_COUNT_AT = 64;
/** Whatever PDS it is: it believes to stand behind a proxy. */
export const HOST = "pds.bench.example.com";

export interface PreparedRequest {
  readonly bytes: Buffer;
  /** Where numbers are to be written. */
  readonly countsAt: readonly number[];
}

export function prepareRequest(spec: RequestSpec): PreparedRequest {
  const body = bodyOf(spec);
  const head = Buffer.from(headOf(spec, body.length), "latin1");
  const countsAt = spec.imageBytes === undefined ? marksIn(body) : [IMAGE_COUNT_AT];
  return { bytes: Buffer.concat([head, body]), countsAt: countsAt.map((at) => head.length + at) };
}

/** Writes a number over each mark. */
export function stamp({ bytes, countsAt }: PreparedRequest, count: number): void {
  if (countsAt.length === 0) return;
  const text = count.toString(16).padStart(COUNT_MARK.length, "0");
  for (const at of countsAt) bytes.write(text, at, "latin1");
}

function bodyOf({ json, imageBytes }: RequestSpec): Buffer {
  if (json !== undefined) return Buffer.from(json);
  if (imageBytes === undefined) return Buffer.alloc(0);
  // Not all the same byte, lest a file system or a proxy makes little of it.
  const image = Buffer.from(Uint8Array.from({ length: imageBytes }, (_, i) => (i * 2_654_435_761) >>> 24));
  PNG_START.copy(image);
  return image;
}

function headOf({ method, path, token, json, imageBytes }: RequestSpec, bodyBytes: number): string {
  const type = json !== undefined ? "application/json" : imageBytes !== undefined ? "image/png" : undefined;
  return [
    `${method} ${path} HTTP/1.1`,
    `host: ${HOST}`,
    ...(token === undefined ? [] : [`authorization: Bearer ${token}`]),
    ...(type === undefined ? [] : [`content-type: ${type}`]),
    ...(method === "POST" ? [`content-length: ${bodyBytes}`] : []),
    "\r\n",
  ].join("\r\n");
}

function marksIn(body: Buffer): number[] {
  const found: number[] = [];
  for (let at = body.indexOf(COUNT_MARK); at >= 0; at = body.indexOf(COUNT_MARK, at + COUNT_MARK.length)) {
    found.push(at);
  }
  return found;
}
