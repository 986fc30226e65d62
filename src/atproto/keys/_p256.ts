import { createPrivateKey, createPublicKey, ECDH, sign, verify } from "node:crypto";
import { type Curve, flipS, isHighS } from "./_curve.ts";

const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const CURVE_NAME = "prime256v1";
/** SubjectPublicKeyInfo of a compressed P-256 point, up to the point. */
const SPKI_PREFIX = Buffer.from("3039301306072a8648ce3d020106082a8648ce3d030107032200", "hex");
/** PKCS #8 of a P-256 key without its public half, up to the scalar. */
const PKCS8_PREFIX = Buffer.from(
  "3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420",
  "hex",
);

/** For what node:crypto has no call for; loaded with the first private key. */
function noble() {
  return (require("@noble/curves/nist.js") as typeof import("@noble/curves/nist.js")).p256;
}

/** P-256 by node:crypto, which neither makes nor demands low-S: both are done here. */
export const p256Native: Curve = {
  order: ORDER,
  isPrivateKey: (privateKey) => noble().utils.isValidSecretKey(privateKey),
  publicKeyOf: (privateKey) => noble().getPublicKey(privateKey, true),
  compress(publicKey) {
    const hybrid = publicKey.length === 65 && publicKey[0] !== 4;
    if (hybrid) return undefined;
    try {
      const point = ECDH.convertKey(publicKey, CURVE_NAME, undefined, undefined, "compressed");
      return Uint8Array.from(point as Buffer);
    } catch {
      return undefined;
    }
  },
  signWith(privateKey) {
    const der = Buffer.concat([PKCS8_PREFIX, privateKey]);
    const key = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
    return (bytes) => {
      const signature = sign("sha256", bytes, { key, dsaEncoding: "ieee-p1363" });
      return isHighS(signature, ORDER) ? flipS(signature, ORDER) : Uint8Array.from(signature);
    };
  },
  verifyWith(publicKey) {
    const der = Buffer.concat([SPKI_PREFIX, publicKey]);
    const key = createPublicKey({ key: der, format: "der", type: "spki" });
    return (bytes, signature) =>
      !isHighS(signature, ORDER) && verify("sha256", bytes, { key, dsaEncoding: "ieee-p1363" }, signature);
  },
};
