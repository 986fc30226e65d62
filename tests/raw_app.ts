/** An app whose every request can be made by hand, kept, sent again and altered: for what should be worth nothing. */
import { createHash, randomBytes } from "node:crypto";
import { exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";
import type { KithServer } from "../src/server.ts";

export interface KeyPair {
  readonly privateKey: CryptoKey;
  readonly jwk: JWK;
}

export async function keyPair(kid?: string): Promise<KeyPair> {
  const { privateKey, publicKey } = await generateKeyPair("ES256", { extractable: true });
  return { privateKey, jwk: { ...(await exportJWK(publicKey)), ...(kid === undefined ? {} : { kid }) } };
}

export type Fields = Readonly<Record<string, string | undefined>>;

export interface Answer {
  readonly status: number;
  readonly json: Record<string, unknown>;
}

/** What a code is exchanged with. */
export interface Code {
  readonly code: string;
  readonly code_verifier: string;
}

export interface Tokens {
  readonly access: string;
  readonly refresh: string;
}

export interface RawAppOptions {
  readonly clientId: string;
  readonly redirectUri: string;
  readonly scope: string;
  readonly did: string;
  /** Of a client that authenticates. */
  readonly clientKey?: KeyPair;
}

type Server = Pick<KithServer, "url" | "authorizations">;

export class RawApp {
  readonly options: RawAppOptions;
  readonly #server: Server;
  readonly dpopKey: KeyPair;

  constructor(server: Server, options: RawAppOptions & { dpopKey: KeyPair }) {
    this.#server = server;
    this.options = options;
    this.dpopKey = options.dpopKey;
  }

  /** The same app with something else of its own. */
  as(more: Partial<RawAppOptions & { dpopKey: KeyPair }>): RawApp {
    return new RawApp(this.#server, { ...this.options, dpopKey: this.dpopKey, ...more });
  }

  /** The nonce that the server gives out now. */
  async nonce(): Promise<string> {
    const { headers } = await fetch(`${this.#server.url}/oauth/par`, { method: "POST" });
    return headers.get("dpop-nonce") ?? "";
  }

  async proof(method: string, path: string, claims: object = {}): Promise<string> {
    const payload = {
      ...{ jti: randomBytes(8).toString("hex"), htm: method, htu: `${this.#server.url}${path}` },
      ...{ iat: Math.floor(Date.now() / 1000), nonce: await this.nonce(), ...claims },
    };
    const { privateKey, jwk } = this.dpopKey;
    return new SignJWT(payload).setProtectedHeader({ typ: "dpop+jwt", alg: "ES256", jwk }).sign(privateKey);
  }

  /** Nothing for a client that cannot authenticate. */
  async assertion(): Promise<Fields> {
    const { clientId, clientKey } = this.options;
    if (!clientKey) return {};
    const nowS = Math.floor(Date.now() / 1000);
    const claims = { iss: clientId, sub: clientId, aud: this.#server.url, iat: nowS, exp: nowS + 60 };
    const jwt = new SignJWT({ ...claims, jti: randomBytes(8).toString("hex") });
    return {
      client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
      client_assertion: await jwt
        .setProtectedHeader({ alg: "ES256", kid: clientKey.jwk.kid ?? "" })
        .sign(clientKey.privateKey),
    };
  }

  /** One POST of a form, with a proof of its own unless one is given. */
  async form(path: string, fields: Fields, { proof }: { proof?: string } = {}): Promise<Answer> {
    const all = { client_id: this.options.clientId, ...(await this.assertion()), ...fields };
    const given = Object.entries(all).filter((one): one is [string, string] => one[1] !== undefined);
    const response = await fetch(`${this.#server.url}${path}`, {
      method: "POST",
      headers: { dpop: proof ?? (await this.proof("POST", path)) },
      body: new URLSearchParams(given),
    });
    return { status: response.status, json: (await response.json()) as Record<string, unknown> };
  }

  async push(fields: Fields = {}): Promise<{ requestUri: string; verifier: string }> {
    const { redirectUri, scope } = this.options;
    const verifier = randomBytes(32).toString("base64url");
    const { json } = await this.form("/oauth/par", {
      response_type: "code",
      redirect_uri: redirectUri,
      scope,
      state: "a state",
      code_challenge: createHash("sha256").update(verifier).digest("base64url"),
      code_challenge_method: "S256",
      ...fields,
    });
    if (json.error !== undefined) throw new Error(JSON.stringify(json));
    return { requestUri: String(json.request_uri), verifier };
  }

  /** The person says yes in a browser. */
  async approve(requestUri: string, device = "a browser"): Promise<string> {
    const { clientId, did } = this.options;
    const { id } = await this.#server.authorizations.open({ requestUri, clientId, device });
    const { parameters } = await this.#server.authorizations.approve(id, { device, did });
    return parameters.code ?? "";
  }

  async code(): Promise<Code> {
    const { requestUri, verifier } = await this.push();
    return { code: await this.approve(requestUri), code_verifier: verifier };
  }

  exchange(code: Code, more: Fields = {}): Promise<Answer> {
    const redirect = { redirect_uri: this.options.redirectUri };
    return this.form("/oauth/token", { grant_type: "authorization_code", ...redirect, ...code, ...more });
  }

  async signIn(): Promise<Tokens> {
    return tokensOf(await this.exchange(await this.code()));
  }

  refresh(refreshToken: string, more: Fields = {}): Promise<Answer> {
    return this.form("/oauth/token", { grant_type: "refresh_token", refresh_token: refreshToken, ...more });
  }

  revoke(token: string): Promise<Answer> {
    return this.form("/oauth/revoke", { token });
  }

  /** Reads what only a member may: the answer's status. */
  async read(token: string, headers: Record<string, string> = {}): Promise<number> {
    return this.#call("GET", token, { path: "/xrpc/com.atproto.server.getSession", headers });
  }

  async write(token: string, headers: Record<string, string> = {}): Promise<number> {
    const record = { $type: "app.bsky.feed.post", text: "written", createdAt: "2026-01-01T00:00:00Z" };
    const body = { repo: this.options.did, collection: "app.bsky.feed.post", record };
    return this.#call("POST", token, { path: "/xrpc/com.atproto.repo.createRecord", headers, body });
  }

  async #call(
    method: string,
    token: string,
    { path, headers, body }: { path: string; headers: Record<string, string>; body?: object },
  ): Promise<number> {
    const ath = createHash("sha256").update(token).digest("base64url");
    const response = await fetch(`${this.#server.url}${path}`, {
      method,
      headers: {
        authorization: `DPoP ${token}`,
        dpop: headers.dpop ?? (await this.proof(method, path, { ath })),
        ...(body ? { "content-type": "application/json" } : {}),
        ...headers,
      },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    await response.arrayBuffer();
    return response.status;
  }
}

export function tokensOf({ json }: Answer): Tokens {
  if (typeof json.access_token !== "string") throw new Error(JSON.stringify(json));
  return { access: json.access_token, refresh: String(json.refresh_token) };
}
