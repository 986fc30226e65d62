import { flipS, isHighS, SIGNATURE_BYTES, type Verify } from "./_curve.ts";
import { CURVES } from "./_curves.ts";
import { type KeyType, parseDidKey } from "./did_key.ts";

export interface VerifyOptions {
  /** Accept high-S too, as JWTs of other software may have it. Default false. */
  readonly allowMalleable?: boolean;
}

/** Parsed keys kept, the longest unused thrown out first. */
const KEYS_MAX = 1024;
const keys = new Map<string, { readonly type: KeyType; readonly verify: Verify }>();

/**
 * True where `signature` (64 bytes r||s, low-S) by the key `didKey` over SHA-256 of `bytes` is right. False for
 * any other length or form. KithError invalid_request where `didKey` is no K-256 or P-256 key.
 */
export function verifySignature(
  didKey: string,
  bytes: Uint8Array,
  signature: Uint8Array,
  options: VerifyOptions = {},
): boolean {
  const { type, verify } = keyOf(didKey);
  if (signature.length !== SIGNATURE_BYTES) return false;
  const { order } = CURVES[type];
  const flip = options.allowMalleable === true && isHighS(signature, order);
  return verify(bytes, flip ? flipS(signature, order) : signature);
}

function keyOf(didKey: string): { readonly type: KeyType; readonly verify: Verify } {
  let key = keys.get(didKey);
  if (key === undefined) {
    const { type, publicKey } = parseDidKey(didKey);
    key = { type, verify: CURVES[type].verifyWith(publicKey) };
    const oldest = keys.keys().next();
    if (keys.size >= KEYS_MAX && !oldest.done) keys.delete(oldest.value);
  } else {
    keys.delete(didKey);
  }
  keys.set(didKey, key);
  return key;
}
