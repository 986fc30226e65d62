import { createHash } from "node:crypto";
import { calculateJwkThumbprint, type JWK } from "jose";
import { KithError } from "../errors.ts";
import { type DpopNonces, NONCE_STEP_MS, NONCE_STEPS_KEPT } from "./dpop_nonces.ts";
import { importJwsKey, type JwsKey } from "./jws_key.ts";
import type { ReplayGuard } from "./replay_guard.ts";

/** What clients may sign proofs with; ES256 is what the specification asks of every server. */
export const DPOP_ALGORITHMS = ["ES256", "ES256K", "ES384", "EdDSA"] as const;
/** No client makes a longer proof; a longer one is not even decoded. */
export const PROOF_CHARS_MAX = 4_096;
/** How far a client's clock may be off: the nonce tells how fresh a proof is, this only refuses nonsense. */
export const CLOCK_SKEW_S = 300;
const JTI_CHARS_MAX = 256;
/** Keys that are remembered with their thumbprints; every request of one session comes with the same. */
const KEYS_MAX = 2_048;

export interface DpopRequest {
  /** The DPoP header; null where there is none. */
  readonly proof: string | null;
  readonly method: string;
  /** The URL as the client must have it: public, without query. */
  readonly url: string;
  /** The access token that came with it: the proof must name it. */
  readonly accessToken?: string;
}

export interface DpopProof {
  /** The thumbprint of the client's key, RFC 7638. */
  readonly jkt: string;
}

interface ProofKey {
  readonly key: JwsKey;
  readonly jkt: string;
}

interface ProofClaims {
  readonly jti?: unknown;
  readonly htm?: unknown;
  readonly htu?: unknown;
  readonly iat?: unknown;
  readonly ath?: unknown;
  readonly nonce?: unknown;
}

export interface DpopVerifierOptions {
  readonly nonces: Pick<DpopNonces, "isValid">;
  readonly replays: Pick<ReplayGuard, "use">;
  /** Told the origin that a proof names where nothing but that is wrong: then it is mostly our own idea of it. */
  readonly onOtherOrigin?: (origins: { readonly named: string; readonly expected: string }) => void;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/**
 * Verifies DPoP proofs: that whoever calls holds the key that its token is bound to, for this call only.
 * https://www.rfc-editor.org/rfc/rfc9449#section-4.3
 */
export class DpopVerifier {
  readonly #options: DpopVerifierOptions;
  readonly #now: () => number;
  /** By the first part of a proof, which holds the key; the oldest first. */
  readonly #keys = new Map<string, ProofKey>();

  constructor(options: DpopVerifierOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** Throws KithError invalid_dpop_proof, or use_dpop_nonce where nothing but the nonce is missing or old. */
  async verify(request: DpopRequest): Promise<DpopProof> {
    const { proof } = request;
    if (proof === null || proof === "") throw refusal("there is none");
    if (proof.length > PROOF_CHARS_MAX) throw refusal("it is too long");
    const { jkt, key } = await this.#keyOf(proof.slice(0, Math.max(proof.indexOf("."), 0)));
    const claims = await claimsOf(proof, key);
    this.#check(claims, request);
    if (typeof claims.nonce !== "string" || !this.#options.nonces.isValid(claims.nonce)) {
      throw new KithError("use_dpop_nonce", "The DPoP proof needs the nonce that this answer carries");
    }
    const until = this.#now() + (NONCE_STEPS_KEPT + 1) * NONCE_STEP_MS;
    if (!this.#options.replays.use(["dpop", jkt, String(claims.jti)], { until })) {
      throw refusal("it was used before");
    }
    return { jkt };
  }

  async #keyOf(head: string): Promise<ProofKey> {
    const known = this.#keys.get(head);
    if (known) return known;
    const made = await keyOfHead(head);
    const [oldest] = this.#keys.keys();
    if (this.#keys.size >= KEYS_MAX && oldest !== undefined) this.#keys.delete(oldest);
    this.#keys.set(head, made);
    return made;
  }

  #check({ jti, htm, htu, iat, ath }: ProofClaims, { method, url, accessToken }: DpopRequest): void {
    if (typeof jti !== "string" || jti === "" || jti.length > JTI_CHARS_MAX)
      throw refusal("its jti is missing");
    if (htm !== method) throw refusal(`its htm is ${quoted(htm)}, not "${method}"`);
    this.#checkUrl(htu, url);
    if (typeof iat !== "number" || Math.abs(iat - this.#now() / 1000) > CLOCK_SKEW_S) {
      throw refusal("its iat is missing, or far from the present time");
    }
    if (accessToken === undefined) return;
    const expected = createHash("sha256").update(accessToken).digest("base64url");
    if (ath !== expected) throw refusal("its ath is not the hash of the access token");
  }

  /** The specification has `htu` without query and fragment, and asks to refuse one that has them. */
  #checkUrl(htu: unknown, url: string): void {
    const parsed = typeof htu === "string" && !/[?#]/.test(htu) ? URL.parse(htu) : null;
    if (parsed === null || parsed.username !== "" || parsed.password !== "") {
      throw refusal(`its htu ${quoted(htu)} is no URL without query and fragment`);
    }
    const expected = new URL(url);
    const isSamePath = parsed.pathname === expected.pathname;
    if (isSamePath && parsed.origin === expected.origin) return;
    if (isSamePath) this.#options.onOtherOrigin?.({ named: parsed.origin, expected: expected.origin });
    throw refusal(`its htu is ${quoted(htu)}, not "${url}"`);
  }
}

async function keyOfHead(head: string): Promise<ProofKey> {
  const { typ, alg, jwk, crit } = parseJson(head);
  if (typ !== "dpop+jwt") throw refusal(`its typ is ${quoted(typ)}, not "dpop+jwt"`);
  if (crit !== undefined) throw refusal("it has critical headers");
  if (!DPOP_ALGORITHMS.some((known) => known === alg)) {
    throw refusal(`its alg is ${quoted(alg)}; ${DPOP_ALGORITHMS.join(", ")} are supported`);
  }
  const { kty, d, k } = (jwk ?? {}) as JWK;
  if (typeof jwk !== "object" || (kty !== "EC" && kty !== "OKP") || d !== undefined || k !== undefined) {
    throw refusal("its jwk is no public key");
  }
  try {
    const key = await importJwsKey(jwk as JWK, alg as string);
    return { key, jkt: await calculateJwkThumbprint(jwk as JWK, "sha256") };
  } catch (cause) {
    throw refusal("its jwk is no public key", cause);
  }
}

async function claimsOf(proof: string, key: JwsKey): Promise<ProofClaims> {
  try {
    const claims: unknown = JSON.parse(new TextDecoder().decode(await key.verify(proof)));
    if (typeof claims === "object" && claims !== null) return claims;
  } catch (cause) {
    throw refusal("its signature is wrong", cause);
  }
  throw refusal("it has no claims");
}

function parseJson(head: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(Buffer.from(head, "base64url").toString("utf8"));
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch {
    // Told below, as for any other head that is none.
  }
  throw refusal("it is no JWT");
}

function quoted(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value.slice(0, 200)) : "missing";
}

function refusal(why: string, cause?: unknown): KithError {
  return new KithError("invalid_dpop_proof", `Could not accept the DPoP proof: ${why}`, { cause });
}
