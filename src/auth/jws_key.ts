/** Keys that others sign their JWTs with. */
import { compactVerify, importJWK, type JWK } from "jose";
import { publicKeyToDidKey, verifySignature } from "../atproto/mod.ts";

export interface JwsKey {
  /** The payload of a compact JWS by this key and algorithm. Rejects any other. */
  verify(jws: string): Promise<Uint8Array>;
}

const COORDINATE_BYTES = 32;
/** A signature of 64 bytes. */
const COMPACT = /^([\w-]+)\.([\w-]+)\.([\w-]{86})$/;

/** A public key as JWK, for one algorithm. Rejects where it is none for it. */
export async function importJwsKey(jwk: JWK, alg: string): Promise<JwsKey> {
  if (!isForSigning(jwk)) throw new TypeError("a key for something else than signatures");
  if (alg === "ES256K") return es256kKey(jwk);
  const { kty, crv, x, y, n, e } = jwk;
  // Without key_ops: WebCrypto refuses a key that says more than it can do, as those of the official client do.
  const key = await importJWK({ kty, crv, x, y, n, e } as JWK, alg);
  return { verify: async (jws) => (await compactVerify(jws, key, { algorithms: [alg] })).payload };
}

/** RFC 7517 sections 4.2 and 4.3. */
function isForSigning({ use, key_ops: operations }: JWK): boolean {
  const isNamed = (name: string) => operations?.includes(name) === true;
  return (use ?? "sig") === "sig" && (operations === undefined || isNamed("verify") || isNamed("sign"));
}

/** RFC 8812, which jose does not have; signatures may be high-S, as in any JWT. */
function es256kKey({ kty, crv, x, y }: JWK): JwsKey {
  if (kty !== "EC" || crv !== "secp256k1") throw new TypeError("not a key of secp256k1");
  const point = Buffer.concat([Uint8Array.of(4), coordinate(x), coordinate(y)]);
  const didKey = publicKeyToDidKey("k256", point);
  if (didKey === undefined) throw new TypeError("not a point of secp256k1");
  return {
    verify: async (jws) => {
      const [, head = "", payload = "", signature = ""] = COMPACT.exec(jws) ?? [];
      const { alg, crit } = JSON.parse(Buffer.from(head, "base64url").toString("utf8")) as JWK & {
        crit?: unknown;
      };
      const isRight =
        alg === "ES256K" &&
        crit === undefined &&
        verifySignature(didKey, Buffer.from(`${head}.${payload}`), Buffer.from(signature, "base64url"), {
          allowMalleable: true,
        });
      if (!isRight) throw new TypeError("not a signature of this key");
      return Buffer.from(payload, "base64url");
    },
  };
}

function coordinate(text: string | undefined): Uint8Array {
  const bytes = Buffer.from(text ?? "", "base64url");
  if (bytes.length !== COORDINATE_BYTES) throw new TypeError(`not ${COORDINATE_BYTES} bytes`);
  return bytes;
}
