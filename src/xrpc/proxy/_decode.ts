/** Answers of services as bytes: read whole, and with their Content-Encoding undone, both bounded. */
import { promisify } from "node:util";
import { brotliDecompress, gunzip, inflate, zstdDecompress } from "node:zlib";
import { KithError } from "../../errors.ts";

type Decoder = (bytes: Uint8Array, options: { maxOutputLength: number }) => Promise<Uint8Array>;

const DECODERS: Readonly<Record<string, Decoder>> = {
  gzip: promisify(gunzip) as Decoder,
  "x-gzip": promisify(gunzip) as Decoder,
  deflate: promisify(inflate) as Decoder,
  br: promisify(brotliDecompress) as Decoder,
  zstd: promisify(zstdDecompress) as Decoder,
};

/** The whole stream, at most `bytesMax` bytes as sent and as decoded. Throws KithError upstream_failure. */
export async function readDecoded(
  body: ReadableStream<Uint8Array> | null,
  { encoding, bytesMax }: { encoding: string | null; bytesMax: number },
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body ?? []) {
    size += chunk.byteLength;
    if (size > bytesMax) throw new KithError("upstream_failure", "upstream response too large");
    chunks.push(chunk);
  }
  const bytes = Buffer.concat(chunks, size);
  const name = encoding?.trim().toLowerCase() ?? "";
  if (name === "" || name === "identity" || size === 0) return bytes;
  const decode = DECODERS[name];
  if (!decode) throw new KithError("upstream_failure", `upstream response in an unknown encoding "${name}"`);
  try {
    return await decode(bytes, { maxOutputLength: bytesMax });
  } catch (cause) {
    throw new KithError("upstream_failure", "unable to decode upstream response", { cause });
  }
}
