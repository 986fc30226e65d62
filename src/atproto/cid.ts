/**
 * CIDs of the DASL subset: v1, SHA-256, codec 0x71 (DRISL) or 0x55 (raw bytes).
 * https://atproto.com/specs/data-model#link-and-cid-formats
 */
import { hash } from "node:crypto";
import { type Cid, CODEC_DCBOR, CODEC_RAW, decode, fromDigest, fromString, HASH_SHA256 } from "@atcute/cid";
import { CID_TEXT_BYTES, writeCidText } from "./_cid_text.ts";

export { type Cid, CODEC_DCBOR, CODEC_RAW, equals as cidEquals } from "@atcute/cid";

/** Length of a CID in binary, without the 0x00 prefix that CBOR adds. */
export const CID_BYTES = 36;

/** SHA-256 of `bytes`: 32 bytes. */
export function sha256(bytes: Uint8Array): Uint8Array {
  return hash("sha256", bytes, "buffer");
}

/** The CID of a DRISL block. */
export function cidOfCbor(bytes: Uint8Array): Cid {
  return fromDigest(CODEC_DCBOR, sha256(bytes));
}

/** The CID of raw bytes, as blobs have it. */
export function cidOfRaw(bytes: Uint8Array): Cid {
  return fromDigest(CODEC_RAW, sha256(bytes));
}

/** Where the text of one CID is written before it becomes a string. */
const text = Buffer.alloc(CID_TEXT_BYTES);

/** The text form, base32 with its `b` prefix: 59 characters. */
export function cidToString(cid: Cid): string {
  writeCidText(cid.bytes, 0, text, 0);
  return text.toString("latin1");
}

/** Parses the text form. Throws SyntaxError or RangeError on anything but a CID of the DASL subset. */
export function parseCid(text: string): Cid {
  return fromString(text);
}

/** Parses the 36-byte binary form, which the CID keeps. Throws RangeError on anything but a CID of the DASL subset. */
export function cidFromBytes(bytes: Uint8Array): Cid {
  if (!isCidBytes(bytes)) return decode(bytes); // which says what is wrong
  const digest = { codec: HASH_SHA256, contents: bytes.subarray(4) };
  return { version: 1, codec: bytes[1] as number, digest, bytes };
}

/** True for the binary form of a CID of the DASL subset. */
function isCidBytes(bytes: Uint8Array): boolean {
  return bytes.length === CID_BYTES && hasCidPrefix(bytes, 0);
}

/** True where version, codec and hash of a CID of the DASL subset stand at `at`. */
export function hasCidPrefix(bytes: Uint8Array, at: number): boolean {
  const codec = bytes[at + 1];
  return (
    bytes[at] === 1 &&
    (codec === CODEC_DCBOR || codec === CODEC_RAW) &&
    bytes[at + 2] === HASH_SHA256 &&
    bytes[at + 3] === 32
  );
}

/** A key for Maps and Sets: the binary form as a latin-1 string, far cheaper than base32. */
export function cidKey(cid: Cid): string {
  const { buffer, byteOffset } = cid.bytes;
  return Buffer.from(buffer, byteOffset, CID_BYTES).toString("latin1");
}
