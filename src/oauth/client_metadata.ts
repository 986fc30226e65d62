/** The document in which an app says what it is, and what of it may be believed. https://atproto.com/specs/oauth#clients */

import { hasScope, isScopeText, scopeValues } from "../atproto/mod.ts";
import { isIP } from "../ip.ts";
import { CLIENT_ALGORITHMS } from "./metadata.ts";
import { OAuthError } from "./oauth_error.ts";

const CLIENT_ID_CHARS_MAX = 2_048;
const REDIRECT_URIS_MAX = 64;
const KEYS_MAX = 32;
const TEXT_CHARS_MAX = 2_048;
/** Names that never lead to a server of the public internet. */
const LOCAL_NAMES = /(?:^|\.)(?:localhost|local|test|internal|invalid|example|home\.arpa|arpa)\.?$/;
/** A URL parser lets tabs and line ends pass, and hosts that mean something in a Content-Security-Policy; these go into headers. */
const PLAIN_URI = /^[\x21-\x7e]+$/;
const PLAIN_HOST = /^[a-z0-9._-]+$/;

export type Jwk = Readonly<Record<string, unknown>> & { readonly kid?: string; readonly alg?: string };

/** An app, checked. */
export interface Client {
  readonly id: string;
  /** A development client, `http://localhost`: no document, and nothing is known of who it is. */
  readonly isLoopback: boolean;
  readonly applicationType: "web" | "native";
  readonly redirectUris: readonly string[];
  readonly scope: string;
  readonly mayRefresh: boolean;
  readonly authMethod: "none" | "private_key_jwt";
  /** The one algorithm that it authenticates with, where it says one. */
  readonly authAlgorithm?: string;
  readonly jwks?: readonly Jwk[];
  readonly jwksUri?: string;
  /** What it says of itself; to be shown only of clients that are trusted. */
  readonly name?: string;
  readonly uri?: string;
  readonly logoUri?: string;
  readonly tosUri?: string;
  readonly policyUri?: string;
}

/** The URL of a client's document. Throws OAuthError invalid_client. */
export function parseClientId(id: string): URL {
  const refuse = (why: string) =>
    new OAuthError("invalid_client", `Could not use the client_id "${id.slice(0, 200)}": ${why}`);
  const url = id.length <= CLIENT_ID_CHARS_MAX ? URL.parse(id) : null;
  if (url?.protocol !== "https:") throw refuse("it is no https URL");
  if (url.username !== "" || url.password !== "") throw refuse("it has a user name or password");
  if (url.port !== "" || /^https:\/\/[^/]*:\d/.test(id)) throw refuse("it has a port");
  if (id.includes("#")) throw refuse("it has a fragment");
  if (isIP(url.hostname.replace(/^\[|\]$/g, "")) !== 0) throw refuse("its host is an IP address");
  if (!url.hostname.includes(".") || LOCAL_NAMES.test(url.hostname)) throw refuse("its host is not public");
  if (url.pathname === "/" || url.pathname.endsWith("/")) throw refuse("its path names no document");
  if (url.href !== id) throw refuse(`it is not in canonical form, "${url.href.slice(0, 200)}"`);
  return url;
}

/** The client that a development client_id describes; undefined for another kind of id. Throws OAuthError invalid_client. */
export function loopbackClient(id: string): Client | undefined {
  if (!/^http:\/\/localhost(?:[/?#:]|$)/.test(id)) return undefined;
  const refuse = (why: string) =>
    new OAuthError("invalid_client", `Could not use the client_id "${id.slice(0, 200)}": ${why}`);
  const match = /^http:\/\/localhost\/?(?:\?([^#]*))?$/.exec(id);
  if (!match || id.length > CLIENT_ID_CHARS_MAX) throw refuse("it has a port, a path or a fragment");
  const query = new URLSearchParams(match[1] ?? "");
  for (const name of query.keys()) {
    if (name !== "redirect_uri" && name !== "scope") throw refuse(`"${name.slice(0, 64)}" may not be in it`);
  }
  if (query.getAll("scope").length > 1) throw refuse("it has two scopes");
  const scope = query.get("scope") ?? "atproto";
  if (!isScopeText(scope) || !hasScope(scope, "atproto")) throw refuse('its scope lacks "atproto"');
  const given = query.getAll("redirect_uri");
  const redirectUris = given.length > 0 ? given : ["http://127.0.0.1/", "http://[::1]/"];
  for (const uri of redirectUris) {
    if (!isLoopbackUri(uri))
      throw refuse(`"${uri.slice(0, 200)}" is not on http://127.0.0.1 or http://[::1]`);
  }
  return {
    id,
    isLoopback: true,
    applicationType: "native",
    redirectUris,
    scope,
    mayRefresh: true,
    authMethod: "none",
  };
}

/** Reads the document of the client `id`. Throws OAuthError invalid_client_metadata, invalid_redirect_uri. */
export function parseClientMetadata(document: unknown, { id }: { id: string }): Client {
  const fields = new Fields(document, id);
  if (fields.text("client_id") !== id) throw fields.refuse("its client_id is another");
  if (fields.value("dpop_bound_access_tokens") !== true) {
    throw fields.refuse("dpop_bound_access_tokens is not true");
  }
  if (!fields.list("response_types").includes("code")) throw fields.refuse('response_types lacks "code"');
  const grants = fields.list("grant_types");
  if (!grants.includes("authorization_code")) throw fields.refuse('grant_types lacks "authorization_code"');
  const unknown = grants.find((grant) => grant !== "authorization_code" && grant !== "refresh_token");
  if (unknown !== undefined) throw fields.refuse(`the grant type "${unknown}" is not supported`);
  refuseUnsupported(fields);
  const applicationType = fields.choice("application_type", ["web", "native"], "web");
  const redirectUris = fields.list("redirect_uris");
  if (redirectUris.length === 0) throw fields.refuse("redirect_uris is empty");
  if (redirectUris.length > REDIRECT_URIS_MAX) throw fields.refuse("it has too many redirect_uris");
  for (const uri of redirectUris) checkRedirectUri(uri, { id, applicationType });
  return {
    id,
    isLoopback: false,
    applicationType,
    redirectUris,
    scope: scopeOf(fields),
    mayRefresh: grants.includes("refresh_token"),
    ...authenticationOf(fields, applicationType),
    ...descriptionOf(fields),
  };
}

/** Whether an app may be sent back to `uri`: exactly one of its own, but for the port of a loopback address. RFC 8252 section 7.3 */
export function isRedirectUriOf({ redirectUris }: Pick<Client, "redirectUris">, uri: string): boolean {
  if (redirectUris.includes(uri)) return true;
  return (
    isLoopbackUri(uri) && redirectUris.some((own) => isLoopbackUri(own) && portless(own) === portless(uri))
  );
}

function scopeOf(fields: Fields): string {
  const scope = fields.text("scope") ?? "";
  if (!isScopeText(scope)) throw fields.refuse("scope is missing, too long or malformed");
  if (!hasScope(scope, "atproto")) throw fields.refuse('scope lacks "atproto"');
  if (scopeValues(scope).length !== scope.split(" ").length) throw fields.refuse("scope has a value twice");
  return scope;
}

function refuseUnsupported(fields: Fields): void {
  const subject = fields.text("subject_type");
  if (subject !== undefined && subject !== "public") throw fields.refuse('subject_type is not "public"');
  if (fields.value("tls_client_certificate_bound_access_tokens") === true) {
    throw fields.refuse("tokens bound to certificates are not supported");
  }
  for (const name of ["client_secret", "authorization_encrypted_response_alg"]) {
    if (fields.value(name) !== undefined) throw fields.refuse(`${name} is not supported`);
  }
}

function authenticationOf(
  fields: Fields,
  applicationType: Client["applicationType"],
): Pick<Client, "authMethod" | "authAlgorithm" | "jwks" | "jwksUri"> {
  const authMethod = fields.choice("token_endpoint_auth_method", ["none", "private_key_jwt"], "none");
  const authAlgorithm = fields.text("token_endpoint_auth_signing_alg");
  const jwksUri = fields.text("jwks_uri");
  const jwks = fields.value("jwks") === undefined ? undefined : readJwks(fields.value("jwks"));
  if (fields.value("jwks") !== undefined && jwks === undefined)
    throw fields.refuse("jwks is no set of public keys");
  if (jwks && jwksUri !== undefined) throw fields.refuse("it has both jwks and jwks_uri");
  if (jwksUri !== undefined && URL.parse(jwksUri)?.protocol !== "https:") {
    throw fields.refuse("jwks_uri is no https URL");
  }
  if (authMethod === "private_key_jwt") {
    if (applicationType === "native")
      throw fields.refuse("a native app cannot keep the key of private_key_jwt");
    if (jwksUri === undefined && (jwks?.length ?? 0) === 0) {
      throw fields.refuse("private_key_jwt needs keys, as jwks or jwks_uri");
    }
    if (authAlgorithm !== undefined && !CLIENT_ALGORITHMS.some((known) => known === authAlgorithm)) {
      throw fields.refuse(`token_endpoint_auth_signing_alg is none of ${CLIENT_ALGORITHMS.join(", ")}`);
    }
  }
  return {
    authMethod,
    ...(authAlgorithm === undefined ? {} : { authAlgorithm }),
    ...(jwks ? { jwks } : {}),
    ...(jwksUri === undefined ? {} : { jwksUri }),
  };
}

function descriptionOf(fields: Fields): Pick<Client, "name" | "uri" | "logoUri" | "tosUri" | "policyUri"> {
  const uri = fields.httpsUrl("client_uri");
  if (uri !== undefined && !isAbove(uri, fields.id))
    throw fields.refuse("client_uri is not above the client_id");
  const logoUri = fields.httpsUrl("logo_uri");
  const tosUri = fields.httpsUrl("tos_uri");
  const policyUri = fields.httpsUrl("policy_uri");
  const name = fields.text("client_name");
  return {
    ...(name === undefined ? {} : { name }),
    ...(uri === undefined ? {} : { uri }),
    ...(logoUri === undefined ? {} : { logoUri }),
    ...(tosUri === undefined ? {} : { tosUri }),
    ...(policyUri === undefined ? {} : { policyUri }),
  };
}

function isAbove(uri: string, id: string): boolean {
  const [above, document] = [new URL(uri), new URL(id)];
  const folder = above.pathname.endsWith("/") ? above.pathname : `${above.pathname}/`;
  return (
    above.origin === document.origin &&
    (above.pathname === document.pathname || document.pathname.startsWith(folder))
  );
}

/** Public keys only. Undefined where it is no key set of a sensible size. */
export function readJwks(json: unknown): Jwk[] | undefined {
  const keys = (json as { keys?: unknown } | null | undefined)?.keys;
  if (!Array.isArray(keys) || keys.length > KEYS_MAX) return undefined;
  const isPublic = (key: unknown): key is Jwk => {
    const { kty, kid, d, k, alg } = (key ?? {}) as Record<string, unknown>;
    const isText = (value: unknown) => value === undefined || typeof value === "string";
    return (
      typeof kty === "string" &&
      kty !== "oct" &&
      isText(kid) &&
      isText(alg) &&
      d === undefined &&
      k === undefined
    );
  };
  return keys.every(isPublic) ? keys : undefined;
}

function checkRedirectUri(
  uri: string,
  { id, applicationType }: { id: string; applicationType: Client["applicationType"] },
): void {
  const refuse = (why: string) =>
    new OAuthError("invalid_redirect_uri", `Could not use the redirect URI "${uri.slice(0, 200)}": ${why}`);
  const url = uri.length <= CLIENT_ID_CHARS_MAX ? URL.parse(uri) : null;
  if (url === null) throw refuse("it is no URL");
  if (!PLAIN_URI.test(uri)) throw refuse("it has a space, or a character that is not of ASCII");
  if (uri.includes("#")) throw refuse("it has a fragment");
  if (url.username !== "" || url.password !== "") throw refuse("it has a user name or password");
  const isNative = applicationType === "native";
  const clientHost = new URL(id).hostname;
  if (url.protocol === "https:") {
    const { hostname } = url;
    const isName = PLAIN_HOST.test(hostname) && hostname.includes(".");
    if (!isName || LOCAL_NAMES.test(hostname)) throw refuse("its host is not public");
    if (isNative && url.hostname !== clientHost)
      throw refuse("a native app's is on the host of its client_id");
    return;
  }
  if (url.protocol === "http:") {
    if (!isLoopbackUri(uri)) throw refuse("http is for 127.0.0.1 and [::1] only");
    if (!isNative) throw refuse("a web app's is https");
    return;
  }
  if (!isNative) throw refuse("a web app's is https");
  const scheme = clientHost.split(".").reverse().join(".");
  if (url.protocol !== `${scheme}:`)
    throw refuse(`its scheme is not "${scheme}", the client_id's host reversed`);
  if (!/^[^:]+:\/(?!\/)/.test(uri)) throw refuse(`it does not begin with "${scheme}:/" and one slash`);
}

function isLoopbackUri(uri: string): boolean {
  const url = PLAIN_URI.test(uri) ? URL.parse(uri) : null;
  if (url?.protocol !== "http:" || url.username !== "" || url.password !== "" || uri.includes("#"))
    return false;
  return /^http:\/\/(?:127\.0\.0\.1|\[::1\])(?::\d{1,5})?(?:[/?]|$)/.test(uri);
}

/** As text, since a path that a parser makes the same is another to a client that compares. */
function portless(uri: string): string {
  const [, origin = "", rest = ""] = /^(http:\/\/(?:127\.0\.0\.1|\[::1\]))(?::\d+)?(.*)$/.exec(uri) ?? [];
  return `${origin}${rest.startsWith("/") ? "" : "/"}${rest}`;
}

/** The fields of one document, with what is wrong with them. */
class Fields {
  readonly id: string;
  readonly #fields: Readonly<Record<string, unknown>>;

  constructor(document: unknown, id: string) {
    this.id = id;
    if (typeof document !== "object" || document === null || Array.isArray(document)) {
      throw new OAuthError(
        "invalid_client_metadata",
        `Could not use the client "${id}": it is no JSON object`,
      );
    }
    this.#fields = document as Record<string, unknown>;
  }

  refuse(why: string): OAuthError {
    return new OAuthError(
      "invalid_client_metadata",
      `Could not use the metadata of the client "${this.id}": ${why}`,
    );
  }

  /** Null is what some write for "none". */
  value(name: string): unknown {
    return Object.hasOwn(this.#fields, name) ? (this.#fields[name] ?? undefined) : undefined;
  }

  text(name: string): string | undefined {
    const value = this.value(name);
    if (value === undefined) return undefined;
    const charsMax = name === "scope" ? Number.POSITIVE_INFINITY : TEXT_CHARS_MAX;
    if (typeof value !== "string" || value.length > charsMax) throw this.refuse(`${name} is no short text`);
    return value;
  }

  list(name: string): readonly string[] {
    const value = this.value(name);
    if (value === undefined) throw this.refuse(`${name} is missing`);
    if (!Array.isArray(value) || !value.every((item) => typeof item === "string")) {
      throw this.refuse(`${name} is no list of texts`);
    }
    return value;
  }

  choice<const T extends string>(name: string, values: readonly T[], fallback: T): T {
    const given = this.text(name) ?? fallback;
    const value = values.find((known) => known === given);
    if (value === undefined) throw this.refuse(`${name} is none of ${values.join(", ")}`);
    return value;
  }

  httpsUrl(name: string): string | undefined {
    const value = this.text(name);
    if (value !== undefined && URL.parse(value)?.protocol !== "https:")
      throw this.refuse(`${name} is no https URL`);
    return value;
  }
}
