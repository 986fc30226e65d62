/** Something that signs for an account or a server: a key held here, in a module, or by a device. */
export interface Signer {
  /** The public key as did:key (multikey, base58btc). */
  readonly didKey: string;
  /** The JWT algorithm of this key: ES256K for K-256, ES256 for P-256. */
  readonly jwtAlg: "ES256K" | "ES256";
  /** Signs SHA-256 of `bytes`: 64 bytes r||s, low-S. https://atproto.com/specs/cryptography */
  sign(bytes: Uint8Array): Uint8Array;
}
