/**
 * The two curves of the protocol behind one interface: keys as did:key, signing, verifying.
 * https://atproto.com/specs/cryptography
 */
export { type DidKey, formatDidKey, type KeyType, parseDidKey, publicKeyToDidKey } from "./did_key.ts";
export { generatePrivateKey, signerFromPrivateKey } from "./signer_from_private_key.ts";
export { type VerifyOptions, verifySignature } from "./verify_signature.ts";
