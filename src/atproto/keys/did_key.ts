import { fromBase58Btc, toBase58Btc } from "@atcute/multibase";
import { KithError } from "../../errors.ts";
import { CURVES } from "./_curves.ts";

export type KeyType = "k256" | "p256";

/** A public key: its curve and its compressed point, 33 bytes. */
export interface DidKey {
  readonly type: KeyType;
  readonly publicKey: Uint8Array;
}

const PREFIX = "did:key:z";
/** Longer than any key of ours in base58; decoding base58 is quadratic. */
const DID_KEY_CHARS_MAX = 128;
/** Multicodec varints: secp256k1-pub 0xe7, p256-pub 0x1200. */
const CODECS: Readonly<Record<KeyType, readonly [number, number]>> = {
  k256: [0xe7, 0x01],
  p256: [0x80, 0x24],
};
const COMPRESSED_BYTES = 33;

/** Reads a did:key of either curve. KithError invalid_request on another kind, form or a point off its curve. */
export function parseDidKey(didKey: string): DidKey {
  const bytes = didKey.startsWith(PREFIX) ? decodeBase58(didKey.slice(PREFIX.length)) : undefined;
  const type = bytes && typeOf(bytes);
  if (bytes === undefined || type === undefined) throw refusal(didKey, "not a did:key of K-256 or P-256");
  const publicKey = bytes.subarray(2);
  if (publicKey.length !== COMPRESSED_BYTES) throw refusal(didKey, "not a compressed point");
  if (CURVES[type].compress(publicKey) === undefined) throw refusal(didKey, "not a point of its curve");
  return { type, publicKey };
}

/** The did:key of a compressed public key of 33 bytes. */
export function formatDidKey(type: KeyType, publicKey: Uint8Array): string {
  if (publicKey.length !== COMPRESSED_BYTES) throw new RangeError("a did:key needs a compressed point");
  const bytes = new Uint8Array(2 + COMPRESSED_BYTES);
  bytes.set(CODECS[type]);
  bytes.set(publicKey, 2);
  return PREFIX + toBase58Btc(bytes);
}

/** The did:key of a public key in compressed or uncompressed form; undefined where it is not on its curve. */
export function publicKeyToDidKey(type: KeyType, publicKey: Uint8Array): string | undefined {
  const compressed = CURVES[type].compress(publicKey);
  return compressed && formatDidKey(type, compressed);
}

function typeOf(bytes: Uint8Array): KeyType | undefined {
  for (const type of ["k256", "p256"] as const) {
    const [first, second] = CODECS[type];
    if (bytes[0] === first && bytes[1] === second) return type;
  }
  return undefined;
}

function decodeBase58(text: string): Uint8Array | undefined {
  if (text.length > DID_KEY_CHARS_MAX) return undefined;
  try {
    return fromBase58Btc(text);
  } catch {
    return undefined;
  }
}

function refusal(didKey: string, why: string): KithError {
  return new KithError("invalid_request", `Could not read the key "${didKey.slice(0, 100)}": ${why}`);
}
