/**
 * The authorization server of an account, as its client calls it: found from the account's own server, asked for consent, and for
 * tokens that only this server's keys can use. The protocol is oauth4webapi's.
 */
import { importJWK, type JWK } from "jose";
import * as oauth from "oauth4webapi";
import { hasScope, Permissions } from "../../atproto/mod.ts";
import { KithError } from "../../errors.ts";
import type { CommunityOAuth } from "../../storage/mod.ts";
import { normalizeEndpoint } from "../hosts/endpoint.ts";
import { BROAD_SCOPE, type ClientDocuments, SCOPE } from "./client_documents.ts";
import { dpopProof, ServerNonces } from "./request_signer.ts";

/** Where a server does not say when a token ends, and the latest that it may say. */
const EXPIRES_S = 300;
const EXPIRES_S_MAX = 24 * 3_600;
const TOKEN_CHARS_MAX = 16_384;
const WORDS_MAX = 300;
const PUBLISHING = ["create", "update", "delete"] as const;
/** Only what allows all covers it. */
const ANY_COLLECTION = "dev.kith.community.any";

/** By the rules of identity/safe_fetch.ts, or into this server itself; no redirect is followed. Throws KithErrors. */
export type ClientFetch = (
  url: string,
  request: { method: "GET" | "POST"; headers: Readonly<Record<string, string>>; body?: string },
) => Promise<Response>;

export interface AuthorizationServersOptions {
  readonly documents: Pick<ClientDocuments, "clientId" | "redirectUri" | "isLoopback" | "key">;
  readonly fetch: ClientFetch;
  readonly publicUrl: string;
  /** Also http, and this machine. */
  readonly devMode: boolean;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** The authorization server answered, and refused. */
export class OAuthRefused extends KithError {
  /** RFC 6749 section 5.2. */
  readonly error: string;

  constructor(facts: { issuer: string; action: string; error: string; description: string; cause: unknown }) {
    const { issuer, action, error, description, cause } = facts;
    const words = [error, description].filter((part) => part !== "").join(": ");
    super("upstream_failure", `"${issuer}" refused ${action}: ${words}`, { cause });
    this.error = error;
  }
}

/** What is kept of a consent while its person is away. */
export interface AskedConsent {
  readonly state: string;
  readonly verifier: string;
  readonly dpopKey: JWK;
  readonly did: string;
}

interface Http {
  readonly [oauth.allowInsecureRequests]: boolean;
  readonly [oauth.customFetch]: (
    url: string,
    init: { method: string; headers: Record<string, string>; body?: unknown },
  ) => Promise<Response>;
}

export class AuthorizationServers {
  readonly #options: AuthorizationServersOptions;
  readonly #nonces = new ServerNonces();

  constructor(options: AuthorizationServersOptions) {
    this.#options = options;
  }

  /**
   * The server that the account's own server names for its sign-ins. Throws KithError not_supported where there is none, and
   * upstream_failure, timeout.
   */
  async of(pdsEndpoint: string): Promise<oauth.AuthorizationServer> {
    const resource = new URL(pdsEndpoint);
    const document = await this.#told(pdsEndpoint, "its sign-in server", async () => {
      const response = await oauth.resourceDiscoveryRequest(resource, this.#http());
      if (response.status === 404) throw notOffered(pdsEndpoint);
      return await oauth.processResourceDiscoveryResponse(resource, response);
    });
    const [issuer, ...others] = document.authorization_servers ?? [];
    if (issuer === undefined) throw notOffered(pdsEndpoint);
    if (others.length > 0) throw wrong(pdsEndpoint, "it names several sign-in servers");
    const server = await this.at(issuer);
    const resources = server.protected_resources;
    if (Array.isArray(resources) && !resources.some((one) => sameOrigin(one, pdsEndpoint)))
      throw wrong(issuer, `it does not sign in for "${pdsEndpoint}"`);
    return server;
  }

  /** Throws KithErrors upstream_failure, timeout. */
  async at(issuer: string): Promise<oauth.AuthorizationServer> {
    const { publicUrl, devMode } = this.#options;
    if (issuer !== publicUrl && !isOrigin(issuer, devMode)) throw wrong(issuer, "it is no public server");
    const url = new URL(issuer);
    const server = await this.#told(issuer, "what it says of itself", async () =>
      oauth.processDiscoveryResponse(
        url,
        await oauth.discoveryRequest(url, { algorithm: "oauth2", ...this.#http() }),
      ),
    );
    if (!server.pushed_authorization_request_endpoint || !server.token_endpoint)
      throw wrong(issuer, "it takes no pushed requests");
    const page = URL.parse(server.authorization_endpoint ?? "");
    if (page?.protocol !== "https:" && !(devMode && page?.protocol === "http:"))
      throw wrong(issuer, "its page is not on https");
    return server;
  }

  /** Asks for consent; answers the page on which it is given. */
  async ask(server: oauth.AuthorizationServer, asked: AskedConsent & { loginHint: string }): Promise<string> {
    const { clientId, redirectUri } = this.#options.documents;
    const { state, verifier, dpopKey, loginHint } = asked;
    const parameters = {
      response_type: "code",
      redirect_uri: redirectUri,
      state,
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
      code_challenge_method: "S256",
      login_hint: loginHint,
    };
    const push = (scope: string) =>
      this.#call(server, { action: "a consent", dpopKey }, async ({ client, auth, http }) =>
        oauth.processPushedAuthorizationResponse(
          server,
          client,
          await oauth.pushedAuthorizationRequest(server, client, auth, { ...parameters, scope }, http),
        ),
      );
    // Permissions of single things are in no server's list: whether it knows them is seen when it is asked.
    const { request_uri } = await push(SCOPE).catch((error: unknown) => {
      if (error instanceof OAuthRefused && error.error === "invalid_scope") return push(BROAD_SCOPE);
      throw error;
    });
    const url = new URL(server.authorization_endpoint ?? "");
    url.searchParams.set("client_id", clientId);
    url.searchParams.set("request_uri", request_uri);
    return url.href;
  }

  /**
   * What the consent has come to. Throws KithError invalid_credentials where it is another account's, or does not let us publish:
   * what was granted is given back then.
   */
  async exchange(
    server: oauth.AuthorizationServer,
    { parameters, asked }: { parameters: URLSearchParams; asked: AskedConsent },
  ): Promise<CommunityOAuth> {
    const { state, verifier, dpopKey, did } = asked;
    const { redirectUri } = this.#options.documents;
    const given = await this.#call(
      server,
      { action: "the tokens of the consent", dpopKey },
      async ({ client, auth, http }) => {
        const answer = oauth.validateAuthResponse(server, client, parameters, state);
        const response = await oauth.authorizationCodeGrantRequest(
          ...([server, client, auth, answer, redirectUri, verifier, http] as const),
        );
        return oauth.processAuthorizationCodeResponse(server, client, response);
      },
    );
    const session = this.#sessionOf(server, { given, dpopKey: dpopKey as CommunityOAuth["dpopKey"] });
    const why = whyUseless(given, did);
    if (why === undefined) return session;
    await this.revoke(session);
    throw new KithError("invalid_credentials", `Could not use the consent of "${server.issuer}": ${why}`);
  }

  /** The session that comes after this one, whose tokens are worth nothing then. Throws OAuthRefused, and as `at`. */
  async refresh(session: CommunityOAuth, did: string): Promise<CommunityOAuth> {
    const server = await this.at(session.issuer);
    const given = await this.#call(
      server,
      { action: "to renew the session", dpopKey: session.dpopKey as JWK, clientId: session.clientId },
      async ({ client, auth, http }) =>
        oauth.processRefreshTokenResponse(
          server,
          client,
          await oauth.refreshTokenGrantRequest(server, client, auth, session.refreshToken, http),
        ),
    );
    if (given.sub !== did)
      throw wrong(server.issuer, `it renewed the session of "${did}" for another account`);
    const { clientId, dpopKey } = session;
    return this.#sessionOf(server, { given, dpopKey, clientId, refreshToken: session.refreshToken });
  }

  /** Gives the tokens back, as far as that can be; true where the server has taken them. */
  async revoke(session: CommunityOAuth): Promise<boolean> {
    try {
      const server = await this.at(session.issuer);
      if (!server.revocation_endpoint) return false;
      const about = {
        action: "to end the session",
        dpopKey: session.dpopKey as JWK,
        clientId: session.clientId,
      };
      await this.#call(server, about, async ({ client, auth, http }) => {
        const { DPoP: _, ...plain } = http;
        const signed = { ...plain, [oauth.customFetch]: this.#signedFetch(session) };
        const response = await oauth.revocationRequest(server, client, auth, session.refreshToken, signed);
        await oauth.processRevocationResponse(response);
      });
      return true;
    } catch (error) {
      if (!(error instanceof KithError)) throw error;
      return false;
    }
  }

  #sessionOf(
    { issuer }: oauth.AuthorizationServer,
    parts: {
      given: oauth.TokenEndpointResponse;
      dpopKey: CommunityOAuth["dpopKey"];
      clientId?: string;
      refreshToken?: string;
    },
  ): CommunityOAuth {
    const { given, dpopKey, clientId = this.#options.documents.clientId } = parts;
    const { access_token: accessToken, expires_in: seconds = EXPIRES_S } = given;
    const refreshToken = given.refresh_token ?? parts.refreshToken;
    if (refreshToken === undefined) throw wrong(issuer, "it gave no token to go on with");
    if (Math.max(accessToken.length, refreshToken.length) > TOKEN_CHARS_MAX)
      throw wrong(issuer, "its tokens are too long");
    const expiresAt = this.#options.now() + Math.min(seconds, EXPIRES_S_MAX) * 1_000;
    return { issuer, clientId, dpopKey, accessToken, refreshToken, expiresAt };
  }

  /** One request to the server, which may ask for it again with another nonce. */
  async #call<T>(
    { issuer }: oauth.AuthorizationServer,
    about: { action: string; dpopKey: JWK; clientId?: string },
    call: (parts: {
      client: oauth.Client;
      auth: oauth.ClientAuth;
      http: Http & { DPoP: oauth.DPoPHandle };
    }) => Promise<T>,
  ): Promise<T> {
    const { documents } = this.#options;
    const client: oauth.Client = { client_id: about.clientId ?? documents.clientId };
    const auth = documents.isLoopback ? oauth.None() : await this.#keyAuth();
    const DPoP = oauth.DPoP(client, await pairOf(about.dpopKey));
    const parts = { client, auth, http: { ...this.#http(), DPoP } };
    return await this.#told(issuer, about.action, async () => {
      try {
        return await call(parts);
      } catch (error) {
        if (!oauth.isDPoPNonceError(error)) throw error;
        return await call(parts);
      }
    });
  }

  async #keyAuth(): Promise<oauth.ClientAuth> {
    const jwk = await this.#options.documents.key();
    const key = (await importJWK(jwk, "ES256")) as CryptoKey;
    return oauth.PrivateKeyJwt({ key, kid: jwk.kid ?? "" });
  }

  #http(): Http {
    const { fetch, devMode } = this.#options;
    return {
      [oauth.allowInsecureRequests]: devMode,
      [oauth.customFetch]: (url, { method, headers, body }) =>
        fetch(url, {
          method: method === "POST" ? "POST" : "GET",
          headers,
          ...(body ? { body: String(body) } : {}),
        }),
    };
  }

  /** There are servers that revoke, of a token that is bound to a key, only for who has it. */
  #signedFetch({ dpopKey }: CommunityOAuth): Http[typeof oauth.customFetch] {
    const { now } = this.#options;
    return async (url, init) => {
      const dpop = await dpopProof({ method: "POST", url }, { dpopKey, nonces: this.#nonces, now });
      const response = await this.#http()[oauth.customFetch](url, {
        ...init,
        headers: { ...init.headers, dpop },
      });
      this.#nonces.learn({ url, headers: response.headers });
      return response;
    };
  }

  /** Runs what talks to a server; what goes wrong is a KithError. */
  async #told<T>(url: string, action: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof KithError) throw error;
      if (error instanceof oauth.ResponseBodyError || error instanceof oauth.AuthorizationResponseError) {
        const { error: name, error_description: description = "" } = error;
        const facts = { error: printable(name), description: printable(description) };
        throw new OAuthRefused({ issuer: url, action, ...facts, cause: error });
      }
      throw new KithError("upstream_failure", `"${url}" answered wrongly when asked for ${action}`, {
        cause: error,
      });
    }
  }
}

/** Why tokens are of no use for a community of this account; undefined where they are. */
function whyUseless(given: oauth.TokenEndpointResponse, did: string): string | undefined {
  const { sub, scope = "", token_type: type } = given;
  if (sub !== did)
    return `it is that of ${typeof sub === "string" ? `"${printable(sub)}"` : "nobody"}, not of "${did}"`;
  if (type !== "dpop") return "its token is bound to no key";
  const permissions = Permissions.of(scope);
  const isWhole =
    hasScope(scope, "atproto") &&
    PUBLISHING.every((action) => permissions.allowsRepo({ collection: ANY_COLLECTION, action })) &&
    permissions.allowsBlob("application/octet-stream");
  return isWhole ? undefined : "it does not allow writing any record and uploading any blob";
}

async function pairOf(jwk: JWK): Promise<CryptoKeyPair> {
  const { kty, crv, x, y } = jwk;
  const [privateKey, publicKey] = await Promise.all([
    importJWK(jwk, "ES256"),
    importJWK({ kty, crv, x, y } as JWK, "ES256", { extractable: true }),
  ]);
  return { privateKey: privateKey as CryptoKey, publicKey: publicKey as CryptoKey };
}

function isOrigin(text: string, devMode: boolean): boolean {
  try {
    return normalizeEndpoint(text, { devMode }) === text;
  } catch {
    return false;
  }
}

function sameOrigin(one: unknown, other: string): boolean {
  return typeof one === "string" && URL.parse(one)?.origin === new URL(other).origin;
}

function notOffered(endpoint: string): KithError {
  const why = "it offers no sign-in by OAuth. Use an app password";
  return new KithError("not_supported", `Could not ask "${endpoint}" for a consent: ${why}`);
}

function wrong(url: string, why: string): KithError {
  return new KithError("upstream_failure", `Could not use the sign-in server "${printable(url)}": ${why}`);
}

/** A stranger's words. */
function printable(text: string): string {
  return text.slice(0, WORDS_MAX).replace(/[\p{Cc}\p{Cf}\p{Co}\p{Cs}]+/gu, " ");
}
