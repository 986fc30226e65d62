import { KithError } from "../errors.ts";
import { AdminPassword } from "./admin_password.ts";
import { ACCESS_TOKEN_PREFIX, type OAuthAccess } from "./oauth_access.ts";
import type { AuthKind, Principal } from "./principal.ts";
import { isServiceToken, type ServiceTokens } from "./service_tokens.ts";
import { ACCESS_LIFETIME_S, type RefreshClaims, type SessionTokens } from "./session_tokens.ts";

/** The longest Authorization header that is looked into. */
export const AUTHORIZATION_CHARS_MAX = 8_192;

/** Decides who is calling the method `nsid`; throws a KithError where `kind` is not met. */
export interface Authenticator {
  authenticate(request: Request, kind: AuthKind, call: { readonly nsid: string }): Promise<Principal | null>;
  /** Headers of every answer to this request, also of a refusal. */
  answerHeaders?(request: Request): Readonly<Record<string, string>> | undefined;
}

/** What the authenticator asks about an account, on every request with a session: it must be cheap. */
export interface AccountStates {
  account(did: string): Awaitable<AccountView | undefined>;
}

interface AccountView {
  readonly state: string;
  /** Milliseconds since 1970: access tokens from before do not count any more. */
  readonly sessionsFrom?: number | null;
}

type Awaitable<T> = T | Promise<T>;

export interface HeaderAuthenticatorOptions {
  readonly tokens: SessionTokens;
  readonly serviceTokens: Pick<ServiceTokens, "verify">;
  readonly accounts: AccountStates;
  /** Tokens of apps; without it none is accepted. */
  readonly oauth?: Pick<OAuthAccess, "verify" | "nonce"> | undefined;
  /** PDS_ADMIN_PASSWORD. */
  readonly adminPassword: string;
  /** PDS_MOD_SERVICE_DID: it may moderate. */
  readonly modServiceDid?: string | undefined;
}

interface Credentials {
  readonly scheme: "bearer" | "basic" | "dpop";
  readonly value: string;
}

/** Reads the Authorization header: session and service tokens as Bearer, those of apps as DPoP, the admin password as Basic. */
export class HeaderAuthenticator implements Authenticator {
  readonly #tokens: SessionTokens;
  readonly #serviceTokens: Pick<ServiceTokens, "verify">;
  readonly #accounts: AccountStates;
  readonly #oauth: HeaderAuthenticatorOptions["oauth"];
  readonly #admin: AdminPassword;
  readonly #moderators: readonly string[];

  constructor(options: HeaderAuthenticatorOptions) {
    this.#tokens = options.tokens;
    this.#serviceTokens = options.serviceTokens;
    this.#accounts = options.accounts;
    this.#oauth = options.oauth;
    this.#admin = new AdminPassword(options.adminPassword);
    const { modServiceDid: did } = options;
    this.#moderators = did === undefined ? [] : [did, `${did}#atproto_labeler`];
  }

  /**
   * Who is calling; null for nobody, where `kind` allows it.
   * Throws KithError auth_missing, auth_required (a wrong admin password), invalid_token (also a token of another kind),
   * expired_token, account_not_found, account_takendown, account_suspended; of a service token bad_service_token,
   * expired_service_token; of an app's token invalid_access_token, invalid_dpop_proof, use_dpop_nonce.
   */
  async authenticate(
    request: Request,
    kind: AuthKind,
    { nsid }: { readonly nsid: string },
  ): Promise<Principal | null> {
    if (kind === "none") return null;
    if (kind === "admin") return this.#adminOf(request);
    const credentials = credentialsOf(request);
    if (credentials === null) {
      if (kind === "optional" || kind === "optionalService") return null;
      throw new KithError("auth_missing", "Authentication Required");
    }
    if (kind === "refresh") return this.#refresher(bearerOf(credentials));
    const admitsAdmin = kind === "optional" || kind === "optionalService" || kind === "moderator";
    if (admitsAdmin && credentials.scheme === "basic") return this.#adminOf(request);
    if (credentials.scheme === "dpop" && admitsUsers(kind)) return this.#app(request, credentials.value);
    // Clients send what they happen to have while they make an account.
    if (credentials.scheme === "dpop" && kind === "optionalService") return null;
    const token = bearerOf(credentials);
    if (kind === "moderator") return this.#moderator(token, nsid);
    if (kind === "service") return this.#serviceTokens.verify(token, { lxm: nsid });
    if (kind === "accessOrService") {
      return isServiceToken(token) ? this.#serviceUser(token, nsid) : this.#user(token, "access");
    }
    if (kind === "optionalService") {
      return isServiceToken(token) ? this.#serviceTokens.verify(token, { lxm: nsid }) : null;
    }
    return this.#user(token, kind);
  }

  /** The nonce for the next proof, on every answer to one who sends proofs. RFC 9449 section 8.2 */
  answerHeaders(request: Request): Readonly<Record<string, string>> | undefined {
    const sendsProofs =
      request.headers.has("dpop") || /^dpop /i.test(request.headers.get("authorization") ?? "");
    return this.#oauth && sendsProofs ? { "DPoP-Nonce": this.#oauth.nonce() } : undefined;
  }

  /** The claims of the refresh token in the header, also of an expired one: to end a session needs no more. */
  async expiredOrNotRefresh(request: Request): Promise<RefreshClaims> {
    const credentials = credentialsOf(request);
    if (credentials === null) throw new KithError("auth_missing", "Authentication Required");
    return this.#tokens.verifyRefresh(bearerOf(credentials), { allowExpired: true });
  }

  /** True where the header holds the admin's password, false where it is no Basic header. Throws auth_required. */
  isAdmin(request: Request): boolean {
    const header = request.headers.get("authorization");
    return header !== null && /^basic /i.test(header) && this.#adminOf(request).kind === "admin";
  }

  /** True for the admin's password. */
  isAdminPassword(password: string): boolean {
    return this.#admin.matches(password);
  }

  #adminOf(request: Request): Principal {
    const credentials = credentialsOf(request);
    if (credentials === null) throw new KithError("auth_missing", "Authentication Required");
    if (credentials.scheme !== "basic" || !this.#admin.matchesBasic(credentials.value)) {
      throw new KithError("auth_required", "Admin credentials are wrong");
    }
    return { kind: "admin" };
  }

  #moderator(token: string, lxm: string): Promise<Principal> {
    if (this.#moderators.length === 0) {
      throw new KithError("untrusted_issuer", "Untrusted issuer: this server has no moderation service");
    }
    return this.#serviceTokens.verify(token, { lxm, issuers: this.#moderators });
  }

  /** What a session may not, no token of the account's key may either: one of before a takedown, or of a key held elsewhere. */
  async #serviceUser(token: string, lxm: string): Promise<Principal> {
    const principal = await this.#serviceTokens.verify(token, { lxm });
    const account = await this.#accounts.account(principal.did);
    if (account?.state === "takendown" || account?.state === "suspended") {
      refuseByState(account.state, { admitsTakendown: false });
    }
    return principal;
  }

  async #refresher(token: string): Promise<Principal> {
    const { did, tokenId } = await this.#tokens.verifyRefresh(token);
    return { kind: "refresh", did, tokenId };
  }

  async #app(request: Request, token: string): Promise<Principal> {
    if (!this.#oauth) throw new KithError("invalid_token", "Unexpected authorization type");
    const principal = await this.#oauth.verify(request, token);
    const account = await this.#accounts.account(principal.did);
    refuseByState(account?.state, { admitsTakendown: false });
    return principal;
  }

  async #user(
    token: string,
    kind: "optional" | "access" | "full" | "anySession" | "fullOrTakendown",
  ): Promise<Principal> {
    const { did, scope, exp } = await this.#tokens.verifyAccess(token);
    const admitsNarrow = kind === "optional" || kind === "anySession" || kind === "fullOrTakendown";
    const isNarrowScope = scope === "com.atproto.takendown";
    const wantsFull = kind === "full" || kind === "fullOrTakendown";
    const isApp = scope !== "com.atproto.access" && !isNarrowScope;
    if ((isNarrowScope && !admitsNarrow) || (isApp && wantsFull)) {
      throw new KithError("invalid_token", "Bad token scope");
    }
    const account = await this.#accounts.account(did);
    // What an app may do, an owner who is taken down has not decided.
    refuseByState(account?.state, { admitsTakendown: admitsNarrow && !(isApp && kind === "anySession") });
    if (exp - ACCESS_LIFETIME_S < Math.floor((account?.sessionsFrom ?? 0) / 1000)) {
      throw new KithError("expired_token", "Token has been revoked");
    }
    // A session that was opened before the takedown is worth no more than one opened after it.
    const isTakenDown = account?.state === "takendown" || account?.state === "suspended";
    const isNarrow = kind !== "optional" && isTakenDown;
    return { kind: "user", did, scope: isNarrow ? "com.atproto.takendown" : scope };
  }
}

/** Whether the caller may be a user; a kind that is not known here yet may not be one of an app. */
function admitsUsers(kind: AuthKind): boolean {
  const kinds: readonly AuthKind[] = [
    "optional",
    "access",
    "full",
    "anySession",
    "fullOrTakendown",
    "accessOrService",
  ];
  return kinds.includes(kind);
}

/** An access token outlives its account: what has become of the account is asked on every request. */
function refuseByState(
  state: string | undefined,
  { admitsTakendown }: { readonly admitsTakendown: boolean },
): void {
  if (state === "active" || state === "deactivated") return;
  if (state === "takendown" || state === "suspended") {
    // An owner may still read and carry away what is taken down.
    if (admitsTakendown) return;
    if (state === "suspended") throw new KithError("account_suspended", "Account has been suspended");
    throw new KithError("account_takendown", "Account has been taken down");
  }
  throw new KithError("account_not_found", "Account not found");
}

/** The scheme and the value of the Authorization header; null where there is none. */
function credentialsOf(request: Request): Credentials | null {
  const header = request.headers.get("authorization");
  if (header === null || header === "") return null;
  const space = header.indexOf(" ");
  const scheme = header.slice(0, Math.max(space, 0)).toLowerCase();
  const value = header.slice(space + 1).trim();
  if (header.length > AUTHORIZATION_CHARS_MAX || value === "" || value.includes(" ")) {
    throw new KithError("invalid_token", "Malformed authorization header");
  }
  if (scheme !== "bearer" && scheme !== "basic" && scheme !== "dpop") {
    throw new KithError("invalid_token", "Unexpected authorization type");
  }
  return { scheme, value };
}

function bearerOf(credentials: Credentials): string {
  if (credentials.scheme !== "bearer") throw new KithError("invalid_token", "Unexpected authorization type");
  if (credentials.value.startsWith(ACCESS_TOKEN_PREFIX)) {
    throw new KithError(
      "invalid_access_token",
      "An app's access token is bound to a key: it is sent as DPoP",
    );
  }
  return credentials.value;
}
