/** The endpoints of the authorization server that apps call; its pages are another's. */
import type { DpopVerifier } from "../auth/mod.ts";
import { isKithError, KithError } from "../errors.ts";
import type { AuthorizationRequests } from "./authorization_requests.ts";
import { type ClientAuth, HeaderAuthError } from "./client_auth.ts";
import type { Grants } from "./grants.ts";
import { JWKS, PATHS, resourceMetadata, serverMetadata } from "./metadata.ts";
import { OAuthError } from "./oauth_error.ts";
import { type Parameters, readParameters, required } from "./parameters.ts";

export type OAuthEndpoint = "par" | "token" | "revoke" | "introspect";

/** What the edge knows of a request. */
export interface OAuthContext {
  /** The client's address, after trusted proxies. */
  readonly ip: string;
  /** What was thrown, for the log. */
  failure?: unknown;
}

/** Counts what callers do; throws KithError rate_limited. */
export interface OAuthLimits {
  count(endpoint: OAuthEndpoint, caller: { request: Request; ip: string }): void;
}

export interface OAuthServerOptions {
  /** The public origin. */
  readonly issuer: string;
  /** Languages of the pages, BCP 47. */
  readonly locales: readonly string[];
  readonly dpop: Pick<DpopVerifier, "verify">;
  readonly nonces: { current(): string };
  readonly clientAuth: Pick<ClientAuth, "authenticate">;
  readonly requests: Pick<AuthorizationRequests, "push">;
  readonly grants: Pick<Grants, "exchange" | "refresh" | "revoke" | "introspect">;
  readonly limits?: OAuthLimits | undefined;
}

const STATUS: Readonly<Partial<Record<OAuthError["error"], number>>> = {
  server_error: 500,
  temporarily_unavailable: 503,
};
const RETRY_AFTER_S = 5;

export class OAuthServer {
  readonly #options: OAuthServerOptions;
  readonly #documents: ReadonlyMap<string, object>;

  constructor(options: OAuthServerOptions) {
    this.#options = options;
    this.#documents = new Map<string, object>([
      ["/.well-known/oauth-authorization-server", serverMetadata(options)],
      ["/.well-known/oauth-protected-resource", resourceMetadata(options)],
      [PATHS.jwks, JWKS],
    ]);
  }

  /** Answers what is for the authorization server; undefined for all else. Never rejects. */
  async fetch(request: Request, context: OAuthContext): Promise<Response | undefined> {
    const { pathname } = new URL(request.url);
    const document = this.#documents.get(pathname);
    const endpoint = ENDPOINTS.get(pathname);
    if (!document && !endpoint) return undefined;
    const verbs = document ? ["GET", "HEAD"] : ["POST"];
    if (!verbs.includes(request.method)) return wrongVerb(pathname, verbs);
    if (document) return Response.json(document);
    const headers = new Headers({ "Cache-Control": "no-store", Pragma: "no-cache" });
    try {
      const { status, json } = await this.#answer(request, { endpoint: endpoint as OAuthEndpoint, context });
      headers.set("DPoP-Nonce", this.#options.nonces.current());
      return Response.json(json, { status, headers });
    } catch (error) {
      context.failure = error;
      headers.set("DPoP-Nonce", this.#options.nonces.current());
      return errorResponse(error, headers);
    }
  }

  async #answer(
    request: Request,
    { endpoint, context }: { endpoint: OAuthEndpoint; context: OAuthContext },
  ): Promise<{ status: number; json: object }> {
    const { limits, clientAuth, grants, requests } = this.#options;
    limits?.count(endpoint, { request, ip: context.ip });
    const parameters = await readParameters(request);
    // First: a client that needs a new nonce sends the same again, and what may be used once must not be used up by then.
    const dpopJkt = await this.#keyOfProof(request, { endpoint, parameters });
    const caller = await clientAuth.authenticate(request, { parameters, dpopJkt });
    switch (endpoint) {
      case "par": {
        const { requestUri, expiresInS } = await requests.push(caller, { parameters, dpopJkt });
        return { status: 201, json: { request_uri: requestUri, expires_in: expiresInS } };
      }
      case "token": {
        if (dpopJkt === undefined) throw new TypeError("A token request without a key");
        const asked = { parameters, dpopJkt };
        const isCode = parameters.grant_type === "authorization_code";
        return {
          status: 200,
          json: await (isCode ? grants.exchange(caller, asked) : grants.refresh(caller, asked)),
        };
      }
      case "revoke":
        await grants.revoke(caller, parameters);
        return { status: 200, json: {} };
      case "introspect":
        return { status: 200, json: grants.introspect(caller, parameters) };
    }
  }

  async #keyOfProof(
    request: Request,
    { endpoint, parameters }: { endpoint: OAuthEndpoint; parameters: Parameters },
  ): Promise<string | undefined> {
    if (endpoint === "token") refuseGrantType(required(parameters, "grant_type"));
    const proof = request.headers.get("dpop");
    const isNeeded = endpoint === "token" || (endpoint === "par" && proof !== null);
    if (!isNeeded) return undefined;
    const url = this.#options.issuer + new URL(request.url).pathname;
    return (await this.#options.dpop.verify({ proof, method: request.method, url })).jkt;
  }
}

const ENDPOINTS: ReadonlyMap<string, OAuthEndpoint> = new Map([
  [PATHS.par, "par"],
  [PATHS.token, "token"],
  [PATHS.revoke, "revoke"],
  [PATHS.introspect, "introspect"],
]);

function refuseGrantType(type: string): void {
  if (type === "authorization_code" || type === "refresh_token") return;
  throw new OAuthError(
    "unsupported_grant_type",
    `Could not use the grant_type "${type.slice(0, 64)}": authorization_code and refresh_token are supported`,
  );
}

function wrongVerb(path: string, verbs: readonly string[]): Response {
  const headers = { Allow: verbs.join(", "), "Cache-Control": "no-store" };
  const text = `Could not call ${path}: use ${verbs[0]}`;
  return Response.json({ error: "invalid_request", error_description: text }, { status: 405, headers });
}

/** RFC 6749 section 5.2. Of a failure of ours nothing is told but that it happened. */
function errorResponse(thrown: unknown, headers: Headers): Response {
  const { status, error, description } = outcomeOf(thrown);
  if (thrown instanceof HeaderAuthError) headers.set("WWW-Authenticate", "Basic");
  const retryAfterS = isKithError(thrown) ? thrown.retryAfterS : undefined;
  if (retryAfterS !== undefined || status === 503) {
    headers.set("Retry-After", String(retryAfterS ?? RETRY_AFTER_S));
  }
  return Response.json({ error, error_description: plainText(description) }, { status, headers });
}

function outcomeOf(thrown: unknown): { status: number; error: string; description: string } {
  if (thrown instanceof OAuthError) {
    const status = thrown instanceof HeaderAuthError ? 401 : (STATUS[thrown.error] ?? 400);
    return { status, error: thrown.error, description: thrown.message };
  }
  if (isKithError(thrown, "use_dpop_nonce") || isKithError(thrown, "invalid_dpop_proof")) {
    return { status: 400, error: thrown.code, description: thrown.message };
  }
  if (isKithError(thrown, "rate_limited")) {
    return { status: 429, error: "temporarily_unavailable", description: thrown.message };
  }
  if (thrown instanceof KithError && ["busy", "storage_full", "shutting_down"].includes(thrown.code)) {
    const description = "Could not answer now: try again in a moment";
    return { status: 503, error: "temporarily_unavailable", description };
  }
  return { status: 500, error: "server_error", description: "Internal Server Error" };
}

/** RFC 6749 allows neither quotes nor backslashes nor anything beyond ASCII in a description. */
function plainText(text: string): string {
  return text.replace(/["\\]/g, "'").replace(/[^\x20-\x7e]/g, "?");
}
