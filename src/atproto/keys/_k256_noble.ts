import { secp256k1 } from "@noble/curves/secp256k1.js";
import { sha256 } from "../cid.ts";
import type { Curve } from "./_curve.ts";

/** K-256 in JavaScript: everywhere, four times slower than the native module. */
export const k256Noble: Curve = {
  order: secp256k1.Point.Fn.ORDER,
  isPrivateKey: (privateKey) => secp256k1.utils.isValidSecretKey(privateKey),
  publicKeyOf: (privateKey) => secp256k1.getPublicKey(privateKey, true),
  compress(publicKey) {
    try {
      return secp256k1.Point.fromBytes(publicKey).toBytes(true);
    } catch {
      return undefined;
    }
  },
  signWith: (privateKey) => (bytes) =>
    secp256k1.sign(sha256(bytes), privateKey, { prehash: false, lowS: true }),
  verifyWith: (publicKey) => (bytes, signature) =>
    secp256k1.verify(signature, sha256(bytes), publicKey, { prehash: false, lowS: true }),
};
