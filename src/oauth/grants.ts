/** Tokens: given for a code, renewed, looked at, ended. https://atproto.com/specs/oauth#tokens-and-session-lifetime */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { isScopeText, isScopeWithin } from "../atproto/mod.ts";
import { ACCESS_TOKEN_PREFIX, hashSecret } from "../auth/mod.ts";
import type { OAuthGrantRow, OAuthRequestRow, OAuthStore } from "../storage/mod.ts";
import type { AuthenticatedClient, ClientAuth } from "./client_auth.ts";
import { OAuthError } from "./oauth_error.ts";
import { type Parameters, required } from "./parameters.ts";
import { expandScope, type PermissionSets } from "./permission_sets.ts";

const DAY_MS = 24 * 3_600_000;
export const ACCESS_MS = 15 * 60_000;
/** A session however often it is renewed, and without being renewed: of apps that anybody can copy, and of those that hold a key. */
export const PUBLIC_LIFETIMES = { sessionMs: 14 * DAY_MS, refreshMs: 14 * DAY_MS };
export const CONFIDENTIAL_LIFETIMES = { sessionMs: 730 * DAY_MS, refreshMs: 90 * DAY_MS };
const REFRESH_PREFIX = "ref-";
const ID_BYTES = 16;
const SECRET_BYTES = 32;
const TOKEN_CHARS_MAX = 256;
/** RFC 7636 section 4.1. */
const VERIFIER = /^[A-Za-z0-9._~-]{43,128}$/;

export interface GrantsOptions {
  readonly store: Pick<
    OAuthStore,
    | "requestByCode"
    | "addGrant"
    | "grant"
    | "grantByCode"
    | "grantByAccessToken"
    | "rotateGrant"
    | "removeGrant"
  >;
  readonly clientAuth: Pick<ClientAuth, "compare">;
  readonly sets: PermissionSets;
  readonly issuer: string;
  /** Whether tokens of an account may be given out. */
  readonly maySignIn: (did: string) => boolean;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export interface TokenAnswer {
  readonly access_token: string;
  readonly token_type: "DPoP";
  readonly expires_in: number;
  readonly refresh_token?: string;
  readonly scope: string;
  readonly sub: string;
}

interface Secrets {
  readonly access: string;
  readonly refresh: string | undefined;
}

interface Asked {
  readonly parameters: Parameters;
  /** The key of the request's DPoP proof. */
  readonly dpopJkt: string;
}

export class Grants {
  readonly #options: GrantsOptions;

  constructor(options: GrantsOptions) {
    this.#options = options;
  }

  /** Exchanges a code. Throws OAuthError invalid_request, invalid_grant. */
  async exchange(caller: AuthenticatedClient, { parameters, dpopJkt }: Asked): Promise<TokenAnswer> {
    const { store, now } = this.#options;
    const codeHash = hashSecret(required(parameters, "code"));
    const request = store.requestByCode(codeHash);
    if (!request) {
      await this.#endReplayed(codeHash);
      throw noGrant("the code is unknown, has expired, or was used");
    }
    await this.#checkCode(request, { caller, parameters, dpopJkt });
    const { did, scope, expanded } = request;
    if (did === null || scope === null || expanded === null) throw noGrant("the code is of no account");
    const id = randomBytes(ID_BYTES).toString("base64url");
    const { client, auth } = caller;
    const secrets = newSecrets(id, client.mayRefresh);
    const { sessionMs, refreshMs } = lifetimesOf(auth.method);
    const grant: OAuthGrantRow = {
      id,
      did,
      clientId: client.id,
      clientAuth: auth,
      dpopJkt,
      scope,
      expanded,
      device: request.device,
      createdAt: now(),
      updatedAt: now(),
      expiresAt: now() + sessionMs,
      codeHash,
      accessHash: hashSecret(secrets.access),
      accessExpiresAt: now() + ACCESS_MS,
      refreshHash: secrets.refresh === undefined ? null : hashSecret(secrets.refresh),
      refreshExpiresAt: secrets.refresh === undefined ? now() : now() + Math.min(refreshMs, sessionMs),
    };
    if (!(await store.addGrant(grant, { now: now() }))) {
      // Another call with the same code was faster, or the account may not sign in any more.
      await this.#endReplayed(codeHash);
      throw noGrant("the code was used, or the account may not sign in");
    }
    return answerOf(grant, secrets);
  }

  /** Renews both tokens. Throws OAuthError invalid_request, invalid_scope, invalid_grant, unauthorized_client. */
  async refresh(caller: AuthenticatedClient, { parameters, dpopJkt }: Asked): Promise<TokenAnswer> {
    const { store, now } = this.#options;
    if (!caller.client.mayRefresh) {
      throw new OAuthError(
        "unauthorized_client",
        'Could not renew: the client\'s metadata does not have the grant type "refresh_token"',
      );
    }
    const token = required(parameters, "refresh_token");
    const grant = this.#grantOfRefreshToken(token);
    if (!grant || grant.refreshHash === null)
      throw noGrant("the refresh token is unknown, revoked, or was used");
    const refreshHash = hashSecret(token);
    if (!isSame(grant.refreshHash, refreshHash)) {
      await store.removeGrant(grant.id);
      throw noGrant("the refresh token was used before, so the session is ended: sign in again");
    }
    await this.#checkRefresh(grant, { caller, parameters, dpopJkt });
    const secrets = newSecrets(grant.id, true);
    if (secrets.refresh === undefined) throw new TypeError("A refresh without a refresh token");
    const { refreshMs } = lifetimesOf(grant.clientAuth.method);
    const rotation = {
      expanded: await this.#expandAnew(grant),
      updatedAt: now(),
      accessHash: hashSecret(secrets.access),
      accessExpiresAt: Math.min(now() + ACCESS_MS, grant.expiresAt),
      refreshHash: hashSecret(secrets.refresh),
      refreshExpiresAt: Math.min(now() + refreshMs, grant.expiresAt),
    };
    if (!(await store.rotateGrant(grant.id, refreshHash, rotation))) {
      throw noGrant("the refresh token was used before, so the session is ended: sign in again");
    }
    return answerOf({ ...grant, ...rotation }, secrets);
  }

  /** Ends the session of an access or refresh token. Nothing for one that is unknown. Throws OAuthError invalid_grant (another client's). */
  async revoke({ client }: AuthenticatedClient, parameters: Parameters): Promise<void> {
    const grant = this.#grantOf(required(parameters, "token"));
    if (!grant) return;
    if (grant.clientId !== client.id) throw noGrant("the token is another client's");
    await this.#options.store.removeGrant(grant.id);
  }

  /** What a token of the client's own is good for. RFC 7662. Throws OAuthError invalid_client for a client without a key. */
  introspect({ client, auth }: AuthenticatedClient, parameters: Parameters): object {
    if (auth.method === "none") {
      throw new OAuthError(
        "invalid_client",
        "Could not look at the token: only a client that authenticates may",
      );
    }
    const token = required(parameters, "token");
    const grant = this.#grantOf(token);
    const isAccess = token.startsWith(ACCESS_TOKEN_PREFIX);
    const hash = isAccess ? grant?.accessHash : grant?.refreshHash;
    const expiresAt = isAccess ? grant?.accessExpiresAt : grant?.refreshExpiresAt;
    const isOwn = grant?.clientId === client.id && isSame(hash ?? "", hashSecret(token));
    const isLive = (expiresAt ?? 0) > this.#options.now();
    if (!grant || !isOwn || !isLive || !this.#options.maySignIn(grant.did)) return { active: false };
    return {
      active: true,
      scope: grant.scope,
      client_id: grant.clientId,
      token_type: "DPoP",
      exp: Math.floor((expiresAt ?? 0) / 1000),
      iat: Math.floor(grant.updatedAt / 1000),
      sub: grant.did,
      aud: this.#options.issuer,
      iss: this.#options.issuer,
      cnf: { jkt: grant.dpopJkt },
    };
  }

  /** RFC 6749 section 4.1.2: who shows a code twice may have stolen it, or may have been stolen from. */
  async #endReplayed(codeHash: string): Promise<void> {
    const grant = this.#options.store.grantByCode(codeHash);
    if (grant) await this.#options.store.removeGrant(grant.id);
  }

  /** What its permission sets grant now; where one cannot be looked up, what they did before. */
  async #expandAnew({ scope, expanded }: OAuthGrantRow): Promise<string> {
    try {
      return await expandScope(scope, this.#options.sets);
    } catch (error) {
      if (error instanceof OAuthError) return expanded;
      throw error;
    }
  }

  async #checkCode(
    request: OAuthRequestRow,
    { caller, parameters, dpopJkt }: Asked & { caller: AuthenticatedClient },
  ): Promise<void> {
    const { redirectUri, codeChallenge } = request.parameters;
    const verifier = required(parameters, "code_verifier");
    const asked = required(parameters, "redirect_uri");
    if (request.expiresAt <= this.#options.now()) throw noGrant("the code has expired");
    if (request.clientId !== caller.client.id) throw noGrant("the code is another client's");
    if (asked !== redirectUri) throw noGrant("the redirect_uri is not that of the authorization request");
    const hash = createHash("sha256").update(verifier).digest("base64url");
    if (!VERIFIER.test(verifier) || !isSame(hash, codeChallenge ?? "")) {
      throw noGrant("the code_verifier does not fit the code_challenge");
    }
    if (request.dpopJkt !== dpopJkt) throw noGrant("the code is bound to another key than the DPoP proof's");
    if ((await this.#options.clientAuth.compare(caller, request.clientAuth)) !== "same") {
      throw noGrant("the client authenticates otherwise than it did for the authorization request");
    }
  }

  async #checkRefresh(
    grant: OAuthGrantRow,
    { caller, parameters, dpopJkt }: Asked & { caller: AuthenticatedClient },
  ): Promise<void> {
    const { store, clientAuth, maySignIn, now } = this.#options;
    if (grant.clientId !== caller.client.id) throw noGrant("the refresh token is another client's");
    if (grant.dpopJkt !== dpopJkt)
      throw noGrant("the refresh token is bound to another key than the DPoP proof's");
    if (grant.refreshExpiresAt <= now() || grant.expiresAt <= now()) {
      await store.removeGrant(grant.id);
      throw noGrant("the session has expired: sign in again");
    }
    if (!maySignIn(grant.did)) throw noGrant("the account may not sign in");
    const likeness = await clientAuth.compare(caller, grant.clientAuth);
    if (likeness === "gone") {
      await store.removeGrant(grant.id);
      throw noGrant(
        "the client does not have the key any more that the session was begun with: sign in again",
      );
    }
    if (likeness === "other") throw noGrant("the session was begun with another key of the client");
    const { scope } = parameters;
    if (scope !== undefined && (!isScopeText(scope) || !isScopeWithin(scope, grant.scope))) {
      throw new OAuthError("invalid_scope", "Could not renew: the scope is more than was granted");
    }
  }

  #grantOf(token: string): OAuthGrantRow | undefined {
    if (token.length > TOKEN_CHARS_MAX) return undefined;
    return token.startsWith(REFRESH_PREFIX)
      ? this.#grantOfRefreshToken(token)
      : this.#options.store.grantByAccessToken(hashSecret(token));
  }

  /** By its id, which every refresh token of a grant has in it: an old one is so known for what it is. */
  #grantOfRefreshToken(token: string): OAuthGrantRow | undefined {
    if (token.length > TOKEN_CHARS_MAX || !token.startsWith(REFRESH_PREFIX)) return undefined;
    const [id = ""] = token.slice(REFRESH_PREFIX.length).split(".", 1);
    return this.#options.store.grant(id);
  }
}

function newSecrets(id: string, mayRefresh: boolean): Secrets {
  const secret = () => randomBytes(SECRET_BYTES).toString("base64url");
  return {
    access: `${ACCESS_TOKEN_PREFIX}${secret()}`,
    refresh: mayRefresh ? `${REFRESH_PREFIX}${id}.${secret()}` : undefined,
  };
}

function answerOf(
  { accessExpiresAt, updatedAt, scope, did }: OAuthGrantRow,
  { access, refresh }: Secrets,
): TokenAnswer {
  return {
    access_token: access,
    token_type: "DPoP",
    expires_in: Math.floor((accessExpiresAt - updatedAt) / 1000),
    ...(refresh === undefined ? {} : { refresh_token: refresh }),
    scope,
    sub: did,
  };
}

function lifetimesOf(method: "none" | "private_key_jwt"): typeof PUBLIC_LIFETIMES {
  return method === "none" ? PUBLIC_LIFETIMES : CONFIDENTIAL_LIFETIMES;
}

/** In constant time, of texts of one length. */
function isSame(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}

function noGrant(why: string): OAuthError {
  return new OAuthError("invalid_grant", `Could not accept it: ${why}`);
}
