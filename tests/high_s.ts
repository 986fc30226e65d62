/** The other valid signature over the same message, which atproto refuses: s in the upper half of the order. */
import { p256 } from "@noble/curves/nist.js";
import { secp256k1 } from "@noble/curves/secp256k1.js";

export function highSOf(type: "k256" | "p256", signature: Uint8Array): Uint8Array {
  const order = (type === "k256" ? secp256k1 : p256).Point.Fn.ORDER;
  const s = BigInt(`0x${Buffer.from(signature.subarray(32)).toString("hex")}`);
  const flipped = Uint8Array.from(signature);
  flipped.set(Buffer.from((order - s).toString(16).padStart(64, "0"), "hex"), 32);
  return flipped;
}
