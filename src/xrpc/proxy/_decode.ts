/** Answers of services as bytes: read whole, and with their Content-Encoding undone, both bounded. */
import { promisify } from "node:util";
import { KithError } from "../../errors.ts";

type Decoder = (bytes: Uint8Array, options: { maxOutputLength: number }) => Promise<Uint8Array>;

const DECODERS = {
  gzip: "gunzip",
  "x-gzip": "gunzip",
  deflate: "inflate",
  br: "brotliDecompress",
  zstd: "zstdDecompress",
} as const;

/** Loaded with the first answer that needs it. */
function decoderOf(encoding: string): Decoder | undefined {
  if (!Object.hasOwn(DECODERS, encoding)) return undefined;
  const zlib = require("node:zlib") as typeof import("node:zlib");
  return promisify(zlib[DECODERS[encoding as keyof typeof DECODERS]]) as Decoder;
}

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
  const decode = decoderOf(name);
  if (!decode) throw new KithError("upstream_failure", `upstream response in an unknown encoding "${name}"`);
  try {
    return await decode(bytes, { maxOutputLength: bytesMax });
  } catch (cause) {
    throw new KithError("upstream_failure", "unable to decode upstream response", { cause });
  }
}
