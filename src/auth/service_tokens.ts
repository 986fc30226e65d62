import {
  checkServiceJwt,
  type DidDocument,
  parseServiceJwt,
  type ServiceJwtClaims,
  serviceIssuer,
  verificationKeyOf,
  verifyServiceJwt,
} from "../atproto/mod.ts";
import { isKithError, KithError } from "../errors.ts";
import type { ServicePrincipal } from "./principal.ts";

/** Tokens that are remembered as used, each until it expires; past the bound the oldest are forgotten. */
export const USED_TOKENS_MAX = 10_000;
/** The service id of a PDS, by which newer tokens name us. */
const OWN_SERVICE_ID = "atproto_pds";

/** A service of this server beside the PDS, for methods of its own. */
export interface OwnService {
  /** Without its "#". */
  readonly id: string;
  /** What the names of its methods begin with, with the dot at the end. */
  readonly prefix: string;
}

export interface ServiceTokensOptions {
  /** The DID of this server: the audience, bare or with `#atproto_pds`. */
  readonly serviceDid: string;
  /** By their ids too a token may name us, for their own methods alone. */
  readonly services?: readonly OwnService[];
  /** DID documents; `fresh` asks past the cache. */
  readonly dids: { resolve(did: string, options?: { fresh?: boolean }): Promise<DidDocument> };
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/**
 * Verifies what other servers and apps send on behalf of an account: a short-lived JWT by the `#atproto` key of its DID
 * document, for this server and one method, good for one call.
 * https://atproto.com/specs/xrpc#inter-service-authentication-jwt
 */
export class ServiceTokens {
  readonly #options: ServiceTokensOptions;
  readonly #now: () => number;
  /** Expiry in seconds since 1970, by issuer and jti, the oldest first. */
  readonly #used = new Map<string, number>();

  constructor(options: ServiceTokensOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /**
   * Whose call of `lxm` this token admits; it serves once. `issuers` are those who may call, where that is not everybody.
   * Throws KithError bad_service_token, expired_service_token, untrusted_issuer.
   */
  async verify(
    token: string,
    { lxm, issuers }: { readonly lxm: string; readonly issuers?: readonly string[] },
  ): Promise<ServicePrincipal> {
    const { serviceDid, services = [] } = this.#options;
    const own = services
      .filter(({ prefix }) => lxm.startsWith(prefix))
      .map(({ id }) => `${serviceDid}#${id}`);
    const aud = [serviceDid, `${serviceDid}#${OWN_SERVICE_ID}`, ...own];
    const expected = { aud, lxm, issuers, nowSeconds: Math.floor(this.#now() / 1000) };
    try {
      if (issuers && !issuers.includes(parseServiceJwt(token).claims.iss)) {
        throw new KithError("untrusted_issuer", "Could not accept the service token: untrusted issuer");
      }
      const { claims } = checkServiceJwt(token, expected);
      this.#refuseUsed(claims);
      await this.#verifySignature(token, { iss: claims.iss, expected });
      const release = this.#use(claims);
      return { kind: "service", did: serviceIssuer(claims.iss).did, lxm, release };
    } catch (error) {
      throw asServiceError(error);
    }
  }

  async #verifySignature(
    token: string,
    { iss, expected }: { iss: string; expected: Parameters<typeof checkServiceJwt>[1] },
  ): Promise<void> {
    const didKey = await this.#keyOf(iss);
    try {
      if (didKey === undefined) throw new KithError("invalid_token", `"${iss}" has no signing key`);
      verifyServiceJwt(token, { ...expected, didKey });
    } catch (error) {
      // The key may be a new one, and the document that we hold an old one.
      const newKey = await this.#keyOf(iss, { fresh: true });
      if (newKey === undefined || newKey === didKey) throw error;
      verifyServiceJwt(token, { ...expected, didKey: newKey });
    }
  }

  async #keyOf(iss: string, options?: { fresh: boolean }): Promise<string | undefined> {
    const { did, keyId } = serviceIssuer(iss);
    try {
      return verificationKeyOf(await this.#options.dids.resolve(did, options), keyId);
    } catch (cause) {
      throw new KithError("invalid_token", `could not resolve its issuer "${did}"`, { cause });
    }
  }

  #refuseUsed(claims: ServiceJwtClaims): void {
    const key = keyOfToken(claims);
    if (key !== undefined && this.#used.has(key)) throw new KithError("invalid_token", "it was used already");
  }

  #use(claims: ServiceJwtClaims): () => void {
    // Another call may have come with the same token while its key was looked up.
    this.#refuseUsed(claims);
    const key = keyOfToken(claims);
    if (key === undefined) return () => {};
    this.#forgetExpired();
    this.#used.set(key, claims.exp);
    return () => void this.#used.delete(key);
  }

  #forgetExpired(): void {
    const nowSeconds = this.#now() / 1000;
    for (const [key, exp] of this.#used) {
      if (exp > nowSeconds && this.#used.size < USED_TOKENS_MAX) return;
      this.#used.delete(key);
    }
  }
}

/** True for a token that claims to be a service token: session tokens are signed symmetrically. */
export function isServiceToken(token: string): boolean {
  const [head = ""] = token.split(".", 1);
  try {
    const { alg } = JSON.parse(Buffer.from(head, "base64url").toString("utf8")) as { alg?: unknown };
    return alg === "ES256" || alg === "ES256K";
  } catch {
    return false;
  }
}

/** Undefined where the issuer gave it no name: there is nothing to tell a replay by. */
function keyOfToken({ iss, jti }: ServiceJwtClaims): string | undefined {
  return jti === undefined ? undefined : `${iss} ${jti}`;
}

function asServiceError(error: unknown): unknown {
  if (isKithError(error, "expired_token")) return new KithError("expired_service_token", error.message);
  if (!isKithError(error, "invalid_token")) return error;
  const said = error.message;
  const message = said.startsWith("Could not") ? said : `Could not accept the service token: ${said}`;
  return new KithError("bad_service_token", message, { cause: error.cause });
}
