import type { Signer } from "../signer.ts";
import { CURVES } from "./_curves.ts";
import { formatDidKey, type KeyType } from "./did_key.ts";

/**
 * A private key from 32 random bytes, given back as they are. RangeError in the one case out of 2^128 (K-256) or 2^32
 * (P-256) where they are no key of the curve: call again with others.
 */
export function generatePrivateKey(type: KeyType, random32: Uint8Array): Uint8Array {
  if (!CURVES[type].isPrivateKey(random32)) throw new RangeError(`these bytes are no ${type} private key`);
  return Uint8Array.from(random32);
}

/** A signer over a private key of 32 bytes, which is parsed once and held. RangeError where it is no key. */
export function signerFromPrivateKey(type: KeyType, privateKey: Uint8Array): Signer {
  const curve = CURVES[type];
  if (!curve.isPrivateKey(privateKey)) throw new RangeError(`not a ${type} private key`);
  const held = Uint8Array.from(privateKey);
  return {
    didKey: formatDidKey(type, curve.publicKeyOf(held)),
    jwtAlg: type === "k256" ? "ES256K" : "ES256",
    sign: curve.signWith(held),
  };
}
