import { createHash } from "node:crypto";
import { Permissions } from "../atproto/mod.ts";
import { isKithError, KithError } from "../errors.ts";
import { DPOP_ALGORITHMS, type DpopVerifier } from "./dpop_proof.ts";
import type { OAuthPrincipal } from "./principal.ts";

/** Begins every access token of an app: so a mistaken scheme is told from a wrong token. */
export const ACCESS_TOKEN_PREFIX = "at-";
/** Ours are 46 characters long. */
const TOKEN_CHARS_MAX = 128;
/** Scopes whose permissions are kept ready. */
export const PERMISSIONS_KEPT_MAX = 512;

/** What an access token of an app stands for. */
export interface AccessGrant {
  readonly id: string;
  readonly did: string;
  readonly clientId: string;
  readonly dpopJkt: string;
  /** The scope with its permission sets written out. */
  readonly expanded: string;
  readonly accessExpiresAt: number;
}

export interface AccessGrants {
  /** By the hash of the token; asked on each request, so that what is revoked ends at once. */
  grantByAccessToken(hash: string): AccessGrant | undefined;
}

export interface OAuthAccessOptions {
  readonly grants: AccessGrants;
  readonly dpop: Pick<DpopVerifier, "verify">;
  readonly nonces: { current(): string };
  /** The origin that clients know us by. */
  readonly publicUrl: string;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** Who calls with the access token of an app: it must come with a proof of the key that it is bound to. RFC 9449 section 7. */
export class OAuthAccess {
  readonly #options: OAuthAccessOptions;
  readonly #now: () => number;
  /** By scope, the one that was asked for longest ago first. */
  readonly #permissions = new Map<string, Permissions>();

  constructor(options: OAuthAccessOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** The nonce for the next proof. */
  nonce(): string {
    return this.#options.nonces.current();
  }

  /** Throws KithError invalid_access_token, invalid_dpop_proof, use_dpop_nonce. */
  async verify(request: Request, token: string): Promise<OAuthPrincipal> {
    if (!token.startsWith(ACCESS_TOKEN_PREFIX) || token.length > TOKEN_CHARS_MAX) {
      throw refusal("it is none of an app: a session's is sent as Bearer");
    }
    // Before the proof: a made-up token shall not cost a signature, nor room in what is remembered of proofs.
    const grant = this.#options.grants.grantByAccessToken(hashSecret(token));
    if (!grant) throw refusal("it was revoked or replaced, or never issued");
    if (grant.accessExpiresAt <= this.#now()) throw refusal("it has expired");
    const { pathname } = new URL(request.url);
    const { jkt } = await this.#options.dpop.verify({
      proof: request.headers.get("dpop"),
      method: request.method,
      url: `${this.#options.publicUrl}${pathname}`,
      accessToken: token,
    });
    if (grant.dpopJkt !== jkt) throw refusal("it is bound to another key than that of the DPoP proof");
    const { did, clientId, id: tokenId, expanded } = grant;
    return { kind: "oauth", did, clientId, tokenId, permissions: this.#permissionsOf(expanded) };
  }

  #permissionsOf(scope: string): Permissions {
    const permissions = this.#permissions.get(scope) ?? Permissions.of(scope);
    this.#permissions.delete(scope);
    this.#permissions.set(scope, permissions);
    const [oldest] = this.#permissions.keys();
    if (this.#permissions.size > PERMISSIONS_KEPT_MAX && oldest !== undefined)
      this.#permissions.delete(oldest);
    return permissions;
  }
}

/** What is stored of a token, a code, or another secret of 256 random bits. */
export function hashSecret(secret: string): string {
  return createHash("sha256").update(secret).digest("base64url");
}

/** The WWW-Authenticate header that a refusal needs besides its body; undefined for one that is not about such tokens. */
export function dpopChallenge(error: unknown): string | undefined {
  const names = { invalid_access_token: "invalid_token", scope_missing: "insufficient_scope" } as const;
  if (isKithError(error, "invalid_dpop_proof") || isKithError(error, "use_dpop_nonce")) {
    return challenge(error.code, error.message);
  }
  if (isKithError(error, "invalid_access_token") || isKithError(error, "scope_missing")) {
    return challenge(names[error.code as keyof typeof names], error.message);
  }
  return undefined;
}

function challenge(error: string, description: string): string {
  // RFC 6750 section 3 allows no quotes, backslashes or anything beyond ASCII in it.
  const text = description.replace(/["\\]/g, "'").replace(/[^\x20-\x7e]/g, "?");
  return `DPoP error="${error}", error_description="${text}", algs="${DPOP_ALGORITHMS.join(" ")}"`;
}

function refusal(why: string): KithError {
  return new KithError("invalid_access_token", `Could not accept the access token: ${why}`);
}
