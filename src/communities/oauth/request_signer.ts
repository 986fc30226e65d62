/** Proofs of possession for calls to the server of an account. RFC 9449 section 7 */
import { createHash, randomUUID } from "node:crypto";
import { importJWK, type JWK, SignJWT } from "jose";
import type { RequestSigner } from "../../identity/mod.ts";

const ORIGINS_MAX = 1_000;
const NONCE_CHARS_MAX = 1_024;

/** What servers want to see in the next proof, by their origin. */
export class ServerNonces {
  readonly #nonces = new Map<string, string>();

  of(url: string): string | undefined {
    return this.#nonces.get(new URL(url).origin);
  }

  /** True where the answer brings another than we had. */
  learn({ url, headers }: { url: string; headers: Headers }): boolean {
    const nonce = headers.get("dpop-nonce");
    if (nonce === null || nonce === "" || nonce.length > NONCE_CHARS_MAX) return false;
    const { origin } = new URL(url);
    const isNew = this.#nonces.get(origin) !== nonce;
    this.#nonces.delete(origin);
    this.#nonces.set(origin, nonce);
    const oldest = this.#nonces.keys().next().value;
    if (this.#nonces.size > ORIGINS_MAX && oldest !== undefined) this.#nonces.delete(oldest);
    return isNew;
  }
}

export interface DpopSession {
  readonly accessToken: string;
  /** A private JWK, P-256. */
  readonly dpopKey: Readonly<Record<string, unknown>>;
}

/** Signs requests with the key that an access token is bound to. */
export function requestSigner(
  { accessToken, dpopKey }: DpopSession,
  { nonces, now }: { nonces: ServerNonces; now: () => number },
): RequestSigner {
  const ath = createHash("sha256").update(accessToken).digest("base64url");
  return {
    headers: async (request) => ({
      authorization: `DPoP ${accessToken}`,
      dpop: await dpopProof(request, { dpopKey, nonces, now, ath }),
    }),
    learn: (answer) => {
      const isNew = nonces.learn(answer);
      if (!isNew || answer.status !== 401) return false;
      return /error="?use_dpop_nonce\b/.test(answer.headers.get("www-authenticate") ?? "");
    },
  };
}

/** `ath`: the hash of the access token that goes with it, where one does. */
export async function dpopProof(
  { method, url }: { method: string; url: string },
  parts: { dpopKey: DpopSession["dpopKey"]; nonces: ServerNonces; now: () => number; ath?: string },
): Promise<string> {
  const { dpopKey, nonces, now, ath } = parts;
  const { origin, pathname } = new URL(url);
  const { kty, crv, x, y } = dpopKey as JWK;
  const nonce = nonces.of(url);
  const claims = {
    jti: randomUUID(),
    htm: method,
    htu: origin + pathname,
    iat: Math.floor(now() / 1_000),
    ...(ath === undefined ? {} : { ath }),
    ...(nonce === undefined ? {} : { nonce }),
  };
  return await new SignJWT(claims)
    .setProtectedHeader({ typ: "dpop+jwt", alg: "ES256", jwk: { kty, crv, x, y } as JWK })
    .sign(await importJWK(dpopKey as JWK, "ES256"));
}
