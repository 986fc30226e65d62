import { errors, type JWTPayload, jwtVerify, SignJWT } from "jose";
import { KithError } from "../errors.ts";
import type { SessionScope } from "./principal.ts";

/** As the reference: an access token lives 120 minutes. A refresh token's end is its session row's. */
export const ACCESS_LIFETIME_S = 120 * 60;
/** No token that we issue comes near; anything longer is not even decoded. */
export const TOKEN_CHARS_MAX = 4_096;
/** Verified access tokens that are remembered, so that a request costs a look-up and not an HMAC. */
export const REMEMBERED_TOKENS_MAX = 4_096;

const REFRESH_SCOPE = "com.atproto.refresh";
const SESSION_SCOPES: ReadonlySet<unknown> = new Set<SessionScope>([
  "com.atproto.access",
  "com.atproto.appPass",
  "com.atproto.appPassPrivileged",
  "com.atproto.takendown",
]);

export interface AccessClaims {
  readonly did: string;
  readonly scope: SessionScope;
  /** Seconds since 1970. */
  readonly exp: number;
}

export interface RefreshClaims {
  readonly did: string;
  readonly tokenId: string;
}

export interface IssueRequest {
  readonly did: string;
  readonly scope: SessionScope;
  readonly refreshId: string;
  /** When the refresh token ends, in milliseconds since 1970. */
  readonly refreshExpiresAt: number;
  /** When the refresh token was made, in milliseconds since 1970. */
  readonly refreshIssuedAt: number;
}

export interface SessionTokensOptions {
  /** PDS_JWT_SECRET; its UTF-8 bytes are the HMAC key. */
  readonly secret: string;
  /** The audience of every token. */
  readonly serviceDid: string;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/**
 * Issues and verifies the JWTs of password sessions: HS256, `typ` at+jwt and refresh+jwt, as the reference PDS does, so
 * that what reads its tokens reads ours. An access token is stateless: it names no session.
 */
export class SessionTokens {
  readonly #key: Promise<CryptoKey>;
  readonly #serviceDid: string;
  readonly #now: () => number;
  readonly #verified = new Map<string, AccessClaims>();

  constructor(options: SessionTokensOptions) {
    if (options.secret === "") throw new KithError("config_invalid", "The JWT secret is empty");
    this.#key = importSecret(options.secret);
    this.#serviceDid = options.serviceDid;
    this.#now = options.now ?? Date.now;
  }

  /** The two tokens of a session. */
  async issue(request: IssueRequest): Promise<{ accessJwt: string; refreshJwt: string }> {
    const iat = Math.floor(this.#now() / 1000);
    const [accessJwt, refreshJwt] = await Promise.all([
      this.#sign("at+jwt", { scope: request.scope, sub: request.did, iat, exp: iat + ACCESS_LIFETIME_S }),
      this.#sign("refresh+jwt", {
        scope: REFRESH_SCOPE,
        sub: request.did,
        jti: request.refreshId,
        iat: Math.floor(request.refreshIssuedAt / 1000),
        exp: Math.floor(request.refreshExpiresAt / 1000),
      }),
    ]);
    return { accessJwt, refreshJwt };
  }

  /** The claims of an access token. Throws KithError invalid_token or expired_token. */
  async verifyAccess(token: string): Promise<AccessClaims> {
    const known = this.#verified.get(token);
    if (known) {
      if (known.exp * 1000 <= this.#now()) throw expired();
      return known;
    }
    const { sub, scope, exp, cnf } = await this.#verify(token, "at+jwt", false);
    // A token bound to a key is an OAuth token: as a bearer token it would be worth as much to a thief.
    if (cnf !== undefined || !SESSION_SCOPES.has(scope)) throw invalid("Bad token scope");
    const claims = { did: sub as string, scope: scope as SessionScope, exp: exp as number };
    this.#remember(token, claims);
    return claims;
  }

  /** The claims of a refresh token. Throws KithError invalid_token, or expired_token unless that is allowed. */
  async verifyRefresh(token: string, options: { allowExpired?: boolean } = {}): Promise<RefreshClaims> {
    const { sub, jti, scope } = await this.#verify(token, "refresh+jwt", options.allowExpired === true);
    if (scope !== REFRESH_SCOPE) throw invalid("Bad token scope");
    if (typeof jti !== "string" || jti === "") throw invalid("Malformed token");
    return { did: sub as string, tokenId: jti };
  }

  async #sign(typ: string, payload: JWTPayload): Promise<string> {
    return new SignJWT({ ...payload, aud: this.#serviceDid })
      .setProtectedHeader({ typ, alg: "HS256" })
      .sign(await this.#key);
  }

  async #verify(token: string, typ: string, allowExpired: boolean): Promise<JWTPayload> {
    if (token.length > TOKEN_CHARS_MAX) throw invalid("Malformed token");
    try {
      const { payload } = await jwtVerify(token, await this.#key, {
        algorithms: ["HS256"],
        typ,
        audience: this.#serviceDid,
        requiredClaims: ["sub", "exp"],
        currentDate: new Date(this.#now()),
      });
      return checked(payload);
    } catch (error) {
      // jose looks at the signature and the other claims before it looks at the time.
      if (error instanceof errors.JWTExpired) {
        if (allowExpired) return checked(error.payload);
        throw expired();
      }
      throw error instanceof KithError ? error : invalid("Token could not be verified");
    }
  }

  #remember(token: string, claims: AccessClaims): void {
    if (this.#verified.size >= REMEMBERED_TOKENS_MAX) {
      const [oldest] = this.#verified.keys();
      if (oldest !== undefined) this.#verified.delete(oldest);
    }
    this.#verified.set(token, claims);
  }
}

function importSecret(secret: string): Promise<CryptoKey> {
  const hmac = { name: "HMAC", hash: "SHA-256" };
  const key = crypto.subtle.importKey("raw", new TextEncoder().encode(secret), hmac, false, [
    "sign",
    "verify",
  ]);
  // Whoever awaits it meets the error; until then it must not end the process as unhandled.
  key.catch(() => undefined);
  return key;
}

function checked(payload: JWTPayload): JWTPayload {
  if (typeof payload.sub !== "string" || !payload.sub.startsWith("did:")) throw invalid("Malformed token");
  return payload;
}

function invalid(message: string): KithError {
  return new KithError("invalid_token", message);
}

function expired(): KithError {
  return new KithError("expired_token", "Token has expired");
}
