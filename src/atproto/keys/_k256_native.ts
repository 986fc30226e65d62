import { sha256 } from "../cid.ts";
import { type Curve, SIGNATURE_BYTES } from "./_curve.ts";

/** The raw binding of libsecp256k1: outputs are written into arguments, 0 means success. */
interface Secp256k1 {
  privateKeyVerify(privateKey: Uint8Array): number;
  publicKeyCreate(output: Uint8Array, privateKey: Uint8Array): number;
  publicKeyConvert(output: Uint8Array, publicKey: Uint8Array): number;
  ecdsaSign(
    output: { signature: Uint8Array; recid: number | null },
    hash: Uint8Array,
    privateKey: Uint8Array,
    data: undefined,
    nonceFunction: undefined,
  ): number;
  ecdsaVerify(signature: Uint8Array, hash: Uint8Array, publicKey: Uint8Array): number;
}

interface Addon {
  readonly Secp256k1: new () => Secp256k1;
}

const COMPRESSED_BYTES = 33;
const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;

/**
 * K-256 by libsecp256k1, or undefined where no prebuilt file is there or it does not load (musl). Each `require` names
 * its file: that way, and not through node-gyp-build, the bundler embeds it, and only that of the target it builds for.
 */
export function loadK256Native(): Curve | undefined {
  const library = load();
  return library === undefined ? undefined : curveOf(library);
}

function load(): Secp256k1 | undefined {
  try {
    let addon: Addon | undefined;
    if (process.platform === "linux" && process.arch === "x64") {
      addon = require("secp256k1/prebuilds/linux-x64/secp256k1.glibc.node");
    } else if (process.platform === "darwin" && process.arch === "arm64") {
      addon = require("secp256k1/prebuilds/darwin-arm64/secp256k1.node");
    }
    return addon && new addon.Secp256k1();
  } catch {
    return undefined;
  }
}

function curveOf(library: Secp256k1): Curve {
  return {
    order: ORDER,
    isPrivateKey: (privateKey) => privateKey.length === 32 && library.privateKeyVerify(privateKey) === 0,
    publicKeyOf(privateKey) {
      const publicKey = new Uint8Array(COMPRESSED_BYTES);
      if (library.publicKeyCreate(publicKey, privateKey) !== 0) throw new RangeError("invalid private key");
      return publicKey;
    },
    compress(publicKey) {
      const compressed = new Uint8Array(COMPRESSED_BYTES);
      const hybrid = publicKey.length === 65 && publicKey[0] !== 4;
      return !hybrid && library.publicKeyConvert(compressed, publicKey) === 0 ? compressed : undefined;
    },
    signWith: (privateKey) => (bytes) => {
      const output = { signature: new Uint8Array(SIGNATURE_BYTES), recid: null };
      if (library.ecdsaSign(output, sha256(bytes), privateKey, undefined, undefined) !== 0) {
        throw new RangeError("could not sign: invalid private key");
      }
      return output.signature;
    },
    // libsecp256k1 makes low-S only, and verifies low-S only
    verifyWith: (publicKey) => (bytes, signature) =>
      library.ecdsaVerify(signature, sha256(bytes), publicKey) === 0,
  };
}
