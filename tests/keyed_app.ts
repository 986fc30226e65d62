/** oauth4webapi as an app that authenticates with a key of its own, and a person who says yes to it. */
import type { JoseKey } from "@atproto/oauth-client-node";
import { importJWK } from "jose";
import * as oauth from "oauth4webapi";
import type { KithServer } from "../src/server.ts";
import { approve } from "./oauth_app.ts";

const insecure = { [oauth.allowInsecureRequests]: true };

export interface KeyedAppOptions {
  readonly clientId: string;
  readonly redirectUri: string;
  readonly scope: string;
  readonly did: string;
  /** Of ES256. */
  readonly key: JoseKey;
}

export class KeyedApp {
  readonly #server: Pick<KithServer, "url" | "authorizations">;
  readonly #options: KeyedAppOptions;
  readonly #client: oauth.Client;
  readonly #as: oauth.AuthorizationServer;
  readonly #auth: oauth.ClientAuth;
  dpop: oauth.DPoPHandle;

  private constructor(
    server: Pick<KithServer, "url" | "authorizations">,
    parts: {
      options: KeyedAppOptions;
      as: oauth.AuthorizationServer;
      auth: oauth.ClientAuth;
      pair: CryptoKeyPair;
    },
  ) {
    this.#server = server;
    this.#options = parts.options;
    this.#client = { client_id: parts.options.clientId };
    this.#as = parts.as;
    this.#auth = parts.auth;
    this.dpop = oauth.DPoP(this.#client, parts.pair);
  }

  static async start(
    server: Pick<KithServer, "url" | "authorizations">,
    options: KeyedAppOptions,
  ): Promise<KeyedApp> {
    const issuer = new URL(server.url);
    const answer = await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...insecure });
    const as = await oauth.processDiscoveryResponse(issuer, answer);
    const key = (await importJWK(options.key.privateJwk as object, "ES256")) as CryptoKey;
    const auth = oauth.PrivateKeyJwt({ key, kid: options.key.kid ?? "" });
    return new KeyedApp(server, { options, as, auth, pair: await oauth.generateKeyPair("ES256") });
  }

  async signIn(): Promise<oauth.TokenEndpointResponse> {
    const { clientId, redirectUri, scope, did } = this.#options;
    const [as, client, auth] = [this.#as, this.#client, this.#auth];
    const verifier = oauth.generateRandomCodeVerifier();
    const parameters = {
      response_type: "code",
      redirect_uri: redirectUri,
      scope,
      state: "state-1",
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
      code_challenge_method: "S256",
    };
    const options = () => ({ DPoP: this.dpop, ...insecure });
    const pushed = await twice(
      () => oauth.pushedAuthorizationRequest(as, client, auth, parameters, options()),
      (response) => oauth.processPushedAuthorizationResponse(as, client, response),
    );
    const url = new URL(as.authorization_endpoint ?? "");
    url.search = new URLSearchParams({ client_id: clientId, request_uri: pushed.request_uri }).toString();
    const answer = await approve(this.#server, url.href, { did });
    const callback = oauth.validateAuthResponse(as, client, answer, "state-1");
    return twice(
      () => oauth.authorizationCodeGrantRequest(as, client, auth, callback, redirectUri, verifier, options()),
      (response) => oauth.processAuthorizationCodeResponse(as, client, response),
    );
  }

  refresh(token: string): Promise<oauth.TokenEndpointResponse> {
    const [as, client, auth] = [this.#as, this.#client, this.#auth];
    return twice(
      () => oauth.refreshTokenGrantRequest(as, client, auth, token, { DPoP: this.dpop, ...insecure }),
      (response) => oauth.processRefreshTokenResponse(as, client, response),
    );
  }

  async revoke(token: string): Promise<void> {
    const response = await oauth.revocationRequest(this.#as, this.#client, this.#auth, token, insecure);
    await oauth.processRevocationResponse(response);
  }

  async introspect(token: string): Promise<oauth.IntrospectionResponse> {
    const response = await oauth.introspectionRequest(this.#as, this.#client, this.#auth, token, insecure);
    return oauth.processIntrospectionResponse(this.#as, this.#client, response);
  }

  /** A GET with the token. */
  async call(nsid: string, token: string): Promise<Response> {
    const url = new URL(`${this.#server.url}/xrpc/${nsid}`);
    const send = () =>
      oauth
        .protectedResourceRequest(token, "GET", url, new Headers(), null, { DPoP: this.dpop, ...insecure })
        .catch((error: unknown) => {
          if (error instanceof oauth.WWWAuthenticateChallengeError) return error.response;
          throw error;
        });
    const first = await send();
    return first.headers.get("www-authenticate")?.includes("use_dpop_nonce") ? send() : first;
  }
}

/** Again with the nonce that the first answer asks for, as clients do. */
async function twice<T>(send: () => Promise<Response>, read: (response: Response) => Promise<T>): Promise<T> {
  try {
    return await read(await send());
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error;
    return read(await send());
  }
}
