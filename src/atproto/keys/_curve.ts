/** What a curve does for us. Keys and messages are bytes; public keys are compressed points of 33 bytes. */
export interface Curve {
  /** True for 32 bytes that are a scalar above zero and below the order. */
  isPrivateKey(privateKey: Uint8Array): boolean;
  publicKeyOf(privateKey: Uint8Array): Uint8Array;
  /** The compressed form of a point of 33 or 65 bytes, or undefined where it is not on the curve. */
  compress(publicKey: Uint8Array): Uint8Array | undefined;
  /** Returns a function that signs SHA-256 of its argument: 64 bytes r||s, low-S. */
  signWith(privateKey: Uint8Array): (bytes: Uint8Array) => Uint8Array;
  /** Returns a function that verifies 64-byte signatures over SHA-256 of its argument, refusing high-S. */
  verifyWith(publicKey: Uint8Array): Verify;
  /** The order of the group. */
  readonly order: bigint;
}

export type Verify = (bytes: Uint8Array, signature: Uint8Array) => boolean;

/** Length of r||s. */
export const SIGNATURE_BYTES = 64;

/** True where s is in the upper half, so that anyone could turn the signature into another valid one. */
export function isHighS(signature: Uint8Array, order: bigint): boolean {
  return sOf(signature) > order / 2n;
}

/** The same signature with s and the order's complement of s exchanged. */
export function flipS(signature: Uint8Array, order: bigint): Uint8Array {
  const s = order - sOf(signature);
  const flipped = Uint8Array.from(signature);
  if (s <= 0n) return flipped;
  flipped.set(Buffer.from(s.toString(16).padStart(64, "0"), "hex"), 32);
  return flipped;
}

function sOf(signature: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(signature.buffer, signature.byteOffset + 32, 32).toString("hex")}`);
}
