/**
 * Authorization requests from the push to the code. A request belongs to the browser that has opened it: another one's attempt
 * neither succeeds nor uses it up.
 */
import { randomBytes } from "node:crypto";
import { hasScope, isScopeWithin, knownScopes, type PermissionSet, scopeValues } from "../atproto/mod.ts";
import { hashSecret } from "../auth/mod.ts";
import type { OAuthRequestRow, OAuthStore } from "../storage/mod.ts";
import {
  type AuthorizationParameters,
  checkAuthorization,
  type ResponseMode,
} from "./authorization_parameters.ts";
import type { AuthenticatedClient } from "./client_auth.ts";
import { type Client, isRedirectUriOf } from "./client_metadata.ts";
import type { Clients } from "./clients.ts";
import { OAuthError, type OAuthErrorCode } from "./oauth_error.ts";
import type { Parameters } from "./parameters.ts";
import { expandScope, type PermissionSets, setsOf } from "./permission_sets.ts";
import { type ClientJwts, REQUEST_OBJECT } from "./signed_by_client.ts";

/** Until the browser has to have opened it. */
export const PUSHED_MS = 5 * 60_000;
/** From the last time that its page was opened: people read mail and look for their phones meanwhile. */
export const OPENED_MS = 15 * 60_000;
export const REQUEST_MS_MAX = 60 * 60_000;
export const CODE_MS = 2 * 60_000;
/** A code_challenge is refused for so long after it was used. */
export const CHALLENGE_USED_MS = 24 * 3_600_000;
const URI_PREFIX = "urn:ietf:params:oauth:request_uri:req-";
const CODE_PREFIX = "cod-";
const SECRET_BYTES = 32;
/** With a request object, what else there is lies inside of it. RFC 9126 section 3 */
const OUTSIDE_OF_OBJECT = ["request", "client_id", "client_assertion", "client_assertion_type"];

export interface AuthorizationRequestsOptions {
  readonly store: Pick<
    OAuthStore,
    | "addRequest"
    | "request"
    | "bindRequest"
    | "approveRequest"
    | "removeRequest"
    | "consent"
    | "rememberConsent"
  >;
  readonly clients: Pick<Clients, "find">;
  readonly jwts: Pick<ClientJwts, "verify">;
  readonly sets: PermissionSets;
  readonly accounts: { byIdentifier(name: string): { readonly did: string } | undefined };
  readonly issuer: string;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** A request in the browser that has opened it. */
export interface OpenRequest {
  /** For `approve` and `deny`. */
  readonly id: string;
  readonly client: Client;
  readonly parameters: AuthorizationParameters;
  /** The permission sets that the scope includes, by NSID. */
  readonly sets: ReadonlyMap<string, PermissionSet>;
  /** The account that has to approve, where the app has named one that is here. */
  readonly did: string | undefined;
  /** When it was pushed. */
  readonly createdAt: number;
  readonly expiresAt: number;
}

/** Where the browser goes with the answer: to `url`; for "form_post", by a form with `parameters` to `redirectUri`. */
export interface AuthorizationAnswer {
  readonly mode: ResponseMode;
  readonly redirectUri: string;
  readonly parameters: Readonly<Record<string, string>>;
  /** Undefined for "form_post". */
  readonly url: string | undefined;
}

/** Why a request cannot be gone on with: for the page that says so. */
export type GoneKind = "unknown" | "expired" | "other_browser";

export class RequestGone extends OAuthError {
  readonly kind: GoneKind;

  constructor(kind: GoneKind, why: string) {
    super(
      "invalid_request",
      `Could not use the authorization request: ${why}. Go back to the app and begin again`,
    );
    this.kind = kind;
  }
}

export class AuthorizationRequests {
  readonly #options: AuthorizationRequestsOptions;

  constructor(options: AuthorizationRequestsOptions) {
    this.#options = options;
  }

  /** Takes a pushed request. Throws OAuthError. */
  async push(
    { client, auth }: AuthenticatedClient,
    { parameters: given, dpopJkt }: { parameters: Parameters; dpopJkt: string | undefined },
  ): Promise<{ requestUri: string; expiresInS: number }> {
    const { store, sets, now } = this.#options;
    const parameters = checkAuthorization(await this.#unwrap(client, given), client);
    const jkt = dpopJkt ?? parameters.dpopJkt;
    if (jkt === undefined) {
      throw new OAuthError(
        "invalid_dpop_proof",
        "Could not bind the request: send a DPoP proof, or dpop_jkt",
      );
    }
    if (parameters.dpopJkt !== undefined && parameters.dpopJkt !== jkt) {
      throw new OAuthError(
        "invalid_dpop_proof",
        "Could not bind the request: dpop_jkt is not the proof's key",
      );
    }
    // The app is told now of a set that cannot be had, rather than the person later.
    await setsOf(parameters.scope, sets);
    const secret = randomBytes(SECRET_BYTES).toString("base64url");
    const row: OAuthRequestRow = {
      id: hashSecret(secret),
      clientId: client.id,
      clientAuth: auth,
      parameters: toRow(parameters),
      dpopJkt: jkt,
      device: null,
      did: null,
      scope: null,
      expanded: null,
      codeHash: null,
      createdAt: now(),
      expiresAt: now() + PUSHED_MS,
    };
    const hash = hashSecret(JSON.stringify(["code_challenge", parameters.codeChallenge]));
    const useOnce = { hash, until: now() + CHALLENGE_USED_MS };
    if (!(await store.addRequest(row, { useOnce, now: now() }))) {
      throw new OAuthError(
        "invalid_request",
        "Could not take the request: its code_challenge was used before",
      );
    }
    return { requestUri: `${URI_PREFIX}${secret}`, expiresInS: PUSHED_MS / 1000 };
  }

  /**
   * Opens a request in a browser, `device`, which it then belongs to. May be repeated there. Throws OAuthError invalid_request
   * where it is unknown, another client's or browser's, answered, or has expired; and those of `Clients.find`.
   */
  async open(asked: { requestUri: string; clientId: string; device: string }): Promise<OpenRequest> {
    const { store, clients, sets, accounts, now } = this.#options;
    const { requestUri, clientId, device } = asked;
    if (!requestUri.startsWith(URI_PREFIX)) throw gone("its request_uri is none of ours");
    const id = hashSecret(requestUri.slice(URI_PREFIX.length));
    const row = this.#live(id);
    if (row.clientId !== clientId) throw gone("it is of another client_id");
    const client = await clients.find(clientId);
    const parameters = fromRow(row.parameters);
    if (!isRedirectUriOf(client, parameters.redirectUri) || !isScopeWithin(parameters.scope, client.scope)) {
      throw gone("the app does not say of itself any more what it asked for");
    }
    const found = await setsOf(parameters.scope, sets);
    const expiresAt = Math.min(now() + OPENED_MS, row.createdAt + REQUEST_MS_MAX);
    if (!(await store.bindRequest(id, { device, expiresAt }))) {
      throw gone("another browser has opened it", "other_browser");
    }
    const { loginHint } = parameters;
    const did = loginHint === undefined ? undefined : accounts.byIdentifier(loginHint)?.did;
    return { id, client, parameters, sets: found, did, createdAt: row.createdAt, expiresAt };
  }

  /** Whether an account has allowed the app all of a request before, and need not be asked again. */
  isRemembered({ client, parameters }: Pick<OpenRequest, "client" | "parameters">, did: string): boolean {
    // Anybody can claim to be a public client.
    if (client.authMethod === "none" || parameters.prompts.includes("consent")) return false;
    const allowed = this.#options.store.consent(did, client.id);
    return allowed !== undefined && isScopeWithin(parameters.scope, allowed);
  }

  /**
   * Answers with a code, for the scope that the person has allowed: the asked one, or a part of it that has `atproto`.
   * Throws OAuthError invalid_request (as `open`), invalid_scope, access_denied (another account than the app has named, or one
   * that may not sign in).
   */
  async approve(
    id: string,
    { device, did, scope }: { device: string; did: string; scope?: string },
  ): Promise<AuthorizationAnswer> {
    const { store, sets, accounts, now } = this.#options;
    const row = this.#live(id, device);
    const parameters = fromRow(row.parameters);
    const allowed = scope === undefined ? parameters.scope : knownPart(scope);
    if (!hasScope(allowed, "atproto") || !isScopeWithin(allowed, parameters.scope)) {
      throw new OAuthError(
        "invalid_scope",
        "Could not approve: the scope is not a part of what was asked for",
      );
    }
    const { loginHint } = parameters;
    const named = loginHint === undefined ? undefined : accounts.byIdentifier(loginHint)?.did;
    if (named !== undefined && named !== did) {
      throw new OAuthError("access_denied", "Could not approve: the app has asked for another account");
    }
    const code = `${CODE_PREFIX}${randomBytes(SECRET_BYTES).toString("base64url")}`;
    const approval = {
      device,
      did,
      scope: allowed,
      expanded: await expandScope(allowed, sets),
      codeHash: hashSecret(code),
      expiresAt: now() + CODE_MS,
    };
    if (!(await store.approveRequest(id, approval))) {
      throw new OAuthError(
        "access_denied",
        "Could not approve: it was answered, or the account may not sign in",
      );
    }
    if (row.clientAuth.method !== "none") {
      await store.rememberConsent({ did, clientId: row.clientId, scope: allowed, now: now() });
    }
    return this.#answer(parameters, { code });
  }

  /** Answers that there will be no code. Throws OAuthError invalid_request, as `open`. */
  async deny(
    id: string,
    { device, error, description }: { device: string; error: OAuthErrorCode; description?: string },
  ): Promise<AuthorizationAnswer> {
    const row = this.#live(id, device);
    if (!(await this.#options.store.removeRequest(id, { device }))) throw gone("it was answered");
    return this.#answer(fromRow(row.parameters), {
      error,
      ...(description === undefined ? {} : { error_description: description }),
    });
  }

  #live(id: string, device?: string): OAuthRequestRow {
    const row = this.#options.store.request(id);
    if (!row) throw gone("it is unknown or has expired");
    if (row.expiresAt <= this.#options.now()) throw gone("it has expired", "expired");
    if (row.codeHash !== null) throw gone("it was answered");
    if (device !== undefined && row.device !== device) {
      throw gone("another browser has opened it", "other_browser");
    }
    return row;
  }

  /** The parameters of a signed request object, or those given plainly. */
  async #unwrap(client: Client, given: Parameters): Promise<Parameters> {
    if (given.request === undefined) return given;
    const outside = Object.keys(given).find((name) => !OUTSIDE_OF_OBJECT.includes(name));
    if (outside !== undefined) {
      throw new OAuthError(
        "invalid_request",
        `Could not take the request: "${outside}" is outside of "request"`,
      );
    }
    const { claims } = await this.#options.jwts.verify(client, given.request, REQUEST_OBJECT);
    if (claims.client_id !== client.id) {
      throw new OAuthError(
        "invalid_request_object",
        "Could not accept the request: its client_id is another",
      );
    }
    const texts = Object.entries(claims).filter(
      (entry): entry is [string, string] => typeof entry[1] === "string",
    );
    if (texts.some(([name]) => name === "request" || name === "client_secret")) {
      throw new OAuthError("invalid_request_object", "Could not accept the request: it may not be nested");
    }
    return Object.fromEntries(texts.filter(([, value]) => value !== ""));
  }

  #answer(
    { redirectUri, responseMode: mode, state }: AuthorizationParameters,
    outcome: Readonly<Record<string, string>>,
  ): AuthorizationAnswer {
    const parameters = { iss: this.#options.issuer, state, ...outcome };
    return { mode, redirectUri, parameters, url: urlOf(redirectUri, { mode, parameters }) };
  }
}

function urlOf(
  redirectUri: string,
  { mode, parameters }: { mode: ResponseMode; parameters: Readonly<Record<string, string>> },
): string | undefined {
  if (mode === "form_post") return undefined;
  const text = new URLSearchParams(parameters).toString();
  if (mode === "fragment") return `${redirectUri}#${text}`;
  const join = redirectUri.includes("?") ? (/[?&]$/.test(redirectUri) ? "" : "&") : "?";
  return `${redirectUri}${join}${text}`;
}

/** What is known nowhere was not shown to anybody, and may mean something one day. */
function knownPart(scope: string): string {
  return scopeValues(scope)
    .filter((value) => knownScopes(value).length > 0)
    .join(" ");
}

function toRow({ prompts, ...texts }: AuthorizationParameters): Record<string, string> {
  return { ...texts, prompts: prompts.join(" ") };
}

function fromRow(row: Readonly<Record<string, string>>): AuthorizationParameters {
  const { prompts = "", ...texts } = row;
  // Written by `toRow`.
  return {
    ...texts,
    prompts: prompts.split(" ").filter((word) => word !== ""),
  } as unknown as AuthorizationParameters;
}

function gone(why: string, kind: GoneKind = "unknown"): RequestGone {
  return new RequestGone(kind, why);
}
