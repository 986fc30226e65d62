/**
 * The media type of a blob by its first bytes: what browsers would make of it, and no more. Text formats have no
 * reliable signature, so they keep the type that was declared. https://mimesniff.spec.whatwg.org/
 */

/** What a blob is whose type nobody knows. */
export const UNKNOWN_MIME_TYPE = "application/octet-stream";

interface Signature {
  readonly mimeType: string;
  readonly at?: number;
  readonly bytes: string;
  /** Types of the same container, which a declaration may choose. */
  readonly orDeclared?: RegExp;
}

const MP4_FAMILY = /^(?:audio|video)\/(?:mp4|x-m4a|x-m4v|3gpp|3gpp2|quicktime)$/;

/** Tried in order. `bytes` are latin-1. */
const SIGNATURES: readonly Signature[] = [
  { mimeType: "image/jpeg", bytes: "\xff\xd8\xff" },
  { mimeType: "image/png", bytes: "\x89PNG\r\n\x1a\n" },
  { mimeType: "image/gif", bytes: "GIF87a" },
  { mimeType: "image/gif", bytes: "GIF89a" },
  { mimeType: "image/webp", at: 8, bytes: "WEBP" },
  { mimeType: "image/avif", at: 4, bytes: "ftypavif" },
  { mimeType: "image/avif", at: 4, bytes: "ftypavis" },
  { mimeType: "image/heic", at: 4, bytes: "ftypheic" },
  { mimeType: "image/heic", at: 4, bytes: "ftypheix" },
  { mimeType: "image/heif", at: 4, bytes: "ftypmif1", orDeclared: /^image\/(?:heic|avif)$/ },
  { mimeType: "image/jxl", bytes: "\xff\x0a" },
  { mimeType: "image/jxl", at: 4, bytes: "JXL \r\n\x87\n" },
  { mimeType: "image/tiff", bytes: "II*\0" },
  { mimeType: "image/tiff", bytes: "MM\0*" },
  { mimeType: "audio/mp4", at: 4, bytes: "ftypM4A ", orDeclared: MP4_FAMILY },
  { mimeType: "video/quicktime", at: 4, bytes: "ftypqt  " },
  { mimeType: "video/mp4", at: 4, bytes: "ftyp", orDeclared: MP4_FAMILY },
  {
    mimeType: "video/webm",
    bytes: "\x1aE\xdf\xa3",
    orDeclared: /^(?:audio\/webm|(?:audio|video)\/x-matroska)$/,
  },
  { mimeType: "audio/ogg", bytes: "OggS\0", orDeclared: /^(?:video|application)\/ogg$/ },
  { mimeType: "audio/wav", at: 8, bytes: "WAVE", orDeclared: /^audio\// },
  { mimeType: "audio/flac", bytes: "fLaC" },
  { mimeType: "audio/mpeg", bytes: "ID3", orDeclared: /^audio\// },
  { mimeType: "application/pdf", bytes: "%PDF-" },
  { mimeType: "application/gzip", bytes: "\x1f\x8b\x08", orDeclared: /./ },
  { mimeType: "application/zip", bytes: "PK\x03\x04", orDeclared: /./ },
];

const MEDIA_TYPE = /^[a-z0-9!#$&^_.+-]{1,64}\/[a-z0-9!#$&^_.+-]{1,64}$/;

/** The type of a blob that begins with `head` and was declared as `declared` (the Content-Type header). */
export function sniffMimeType(head: Uint8Array, declared: string | null): string {
  const claim = normalize(declared);
  const text = Buffer.from(head.buffer, head.byteOffset, head.byteLength).toString("latin1");
  const found = SIGNATURES.find(({ at = 0, bytes }) => text.startsWith(bytes, at));
  if (found && (claim === undefined || !found.orDeclared?.test(claim))) return found.mimeType;
  return claim ?? UNKNOWN_MIME_TYPE;
}

/** The declared type without parameters; undefined where it says nothing. */
function normalize(declared: string | null): string | undefined {
  const type = declared?.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  return MEDIA_TYPE.test(type) && !type.includes("*") ? type : undefined;
}

/** Types of which no file begins in another way than `SIGNATURES` has it. */
const ALWAYS_SIGNED = new Set([
  "image/jpeg",
  "image/png",
  "image/gif",
  "image/webp",
  "video/mp4",
  "video/webm",
  "application/pdf",
]);

/** True where the bytes cannot be of `type`. */
export function isBelied(head: Uint8Array, type: string): boolean {
  if (!ALWAYS_SIGNED.has(type)) return false;
  const text = Buffer.from(head.buffer, head.byteOffset, head.byteLength).toString("latin1");
  const known = SIGNATURES.filter(({ mimeType }) => mimeType === type);
  return !known.some(({ at = 0, bytes }) => text.startsWith(bytes, at));
}
