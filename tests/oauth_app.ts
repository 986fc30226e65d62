/** An app in the tests: oauth4webapi, which knows nothing of kith, and a person who says yes to it. */
import * as oauth from "oauth4webapi";
import type { KithServer } from "../src/server.ts";
import { loopbackClientId } from "./loopback_client.ts";

export const REDIRECT = "http://127.0.0.1/callback";
const DEVICE = "device-of-the-test";
const insecure = { [oauth.allowInsecureRequests]: true };

/** The development client that asks for a scope. */
export function clientIdFor(scope: string): `http://localhost?${string}` {
  return loopbackClientId({ redirectUri: REDIRECT, scope });
}

/** What the pages do once the person has said yes: the URL that the browser is sent to. */
export async function approve(
  server: Pick<KithServer, "authorizations">,
  authorizeUrl: string,
  { did, scope }: { did: string; scope?: string | undefined },
): Promise<URL> {
  const { searchParams } = new URL(authorizeUrl);
  const requestUri = searchParams.get("request_uri") ?? "";
  const clientId = searchParams.get("client_id") ?? "";
  const { id } = await server.authorizations.open({ requestUri, clientId, device: DEVICE });
  const answer = await server.authorizations.approve(id, {
    device: DEVICE,
    did,
    ...(scope ? { scope } : {}),
  });
  return new URL(answer.url ?? "");
}

/** oauth4webapi, from discovery to the tokens. */
export class OAuthApp {
  readonly client: oauth.Client;
  readonly #server: Pick<KithServer, "url" | "authorizations">;
  readonly #did: string;
  readonly #scope: string;
  as!: oauth.AuthorizationServer;
  dpop!: oauth.DPoPHandle;

  private constructor(
    server: Pick<KithServer, "url" | "authorizations">,
    { did, scope }: { did: string; scope: string },
  ) {
    this.client = { client_id: clientIdFor(scope) };
    this.#server = server;
    this.#did = did;
    this.#scope = scope;
  }

  /** An app for a scope, whose person is `did`. */
  static async start(
    server: Pick<KithServer, "url" | "authorizations">,
    options: { did: string; scope: string },
  ): Promise<OAuthApp> {
    const judge = new OAuthApp(server, options);
    const issuer = new URL(server.url);
    const answer = await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...insecure });
    judge.as = await oauth.processDiscoveryResponse(issuer, answer);
    judge.dpop = oauth.DPoP(judge.client, await oauth.generateKeyPair("ES256"));
    return judge;
  }

  /** Where the person is sent to. */
  async begin(verifier = oauth.generateRandomCodeVerifier()): Promise<URL> {
    const { as, client, dpop } = this;
    const parameters = {
      response_type: "code",
      redirect_uri: REDIRECT,
      scope: this.#scope,
      state: "state-1",
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
      code_challenge_method: "S256",
    };
    const pushed = await this.#twice(
      () =>
        oauth.pushedAuthorizationRequest(as, client, oauth.None(), parameters, { DPoP: dpop, ...insecure }),
      (response) => oauth.processPushedAuthorizationResponse(as, client, response),
    );
    const url = new URL(as.authorization_endpoint ?? "");
    url.searchParams.set("client_id", client.client_id);
    url.searchParams.set("request_uri", pushed.request_uri);
    return url;
  }

  /** `allowed` is what the person leaves of the scope. */
  async signIn({ allowed }: { allowed?: string } = {}): Promise<oauth.TokenEndpointResponse> {
    const { as, client, dpop } = this;
    const verifier = oauth.generateRandomCodeVerifier();
    const url = await this.begin(verifier);
    const answer = await approve(this.#server, url.href, { did: this.#did, scope: allowed });
    const callback = oauth.validateAuthResponse(as, client, answer, "state-1");
    return this.#twice(
      () =>
        oauth.authorizationCodeGrantRequest(as, client, oauth.None(), callback, REDIRECT, verifier, {
          DPoP: dpop,
          ...insecure,
        }),
      (response) => oauth.processAuthorizationCodeResponse(as, client, response),
    );
  }

  refresh(token: string): Promise<oauth.TokenEndpointResponse> {
    const { as, client, dpop } = this;
    return this.#twice(
      () => oauth.refreshTokenGrantRequest(as, client, oauth.None(), token, { DPoP: dpop, ...insecure }),
      (response) => oauth.processRefreshTokenResponse(as, client, response),
    );
  }

  async revoke(token: string): Promise<void> {
    const response = await oauth.revocationRequest(this.as, this.client, oauth.None(), token, insecure);
    await oauth.processRevocationResponse(response);
  }

  /** A call with the token; the nonce that the answer asks for is used for a second try, as clients do. */
  async call(
    nsid: string,
    token: string,
    body?: object,
    more: {
      params?: Readonly<Record<string, string>>;
      method?: string;
      headers?: Record<string, string>;
    } = {},
  ): Promise<Response> {
    const url = new URL(`${this.#server.url}/xrpc/${nsid}`);
    for (const [name, value] of Object.entries(more.params ?? {})) url.searchParams.set(name, value);
    const headers = new Headers({ ...(body ? { "content-type": "application/json" } : {}), ...more.headers });
    const method = more.method ?? (body ? "POST" : "GET");
    const text = body ? JSON.stringify(body) : null;
    const send = () =>
      oauth.protectedResourceRequest(token, method, url, headers, text, {
        DPoP: this.dpop,
        ...insecure,
      });
    const answer = () =>
      send().catch((error: unknown) => {
        if (error instanceof oauth.WWWAuthenticateChallengeError) return error.response;
        throw error;
      });
    const first = await answer();
    return first.headers.get("www-authenticate")?.includes("use_dpop_nonce") ? answer() : first;
  }

  /** Uploads a blob that says it is of a type. */
  async upload(token: string, bytes: Uint8Array<ArrayBuffer>, type: string): Promise<Response> {
    const url = new URL(`${this.#server.url}/xrpc/com.atproto.repo.uploadBlob`);
    const send = () =>
      oauth
        .protectedResourceRequest(token, "POST", url, new Headers({ "content-type": type }), bytes, {
          DPoP: this.dpop,
          ...insecure,
        })
        .catch((error: unknown) => {
          if (error instanceof oauth.WWWAuthenticateChallengeError) return error.response;
          throw error;
        });
    const first = await send();
    return first.headers.get("www-authenticate")?.includes("use_dpop_nonce") ? send() : first;
  }

  async #twice<T>(send: () => Promise<Response>, read: (response: Response) => Promise<T>): Promise<T> {
    try {
      return await read(await send());
    } catch (error) {
      if (!oauth.isDPoPNonceError(error)) throw error;
      return read(await send());
    }
  }
}
