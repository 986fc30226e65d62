/** What this server is as an OAuth client, when it publishes for communities: its documents and its key. */
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from "jose";

export const OAUTH_PATHS = {
  metadata: "/oauth/communities/client-metadata.json",
  jwks: "/oauth/communities/jwks.json",
  callback: "/oauth/communities/callback",
} as const;

/** What publishing needs, and no more. */
export const SCOPE = "atproto repo:* blob:*/*";
/** Of servers that know no permissions of single things yet. */
export const BROAD_SCOPE = "atproto transition:generic";
const ANY_SCOPE = `${SCOPE} transition:generic`;

export interface ClientKeyStore {
  /** A JWK as text. */
  clientKey(): string | undefined;
  /** Answers the one that is kept then. */
  keepClientKey(key: string): Promise<string>;
}

export interface ClientDocumentsOptions {
  /** An origin without a slash at its end. */
  readonly publicUrl: string;
  /** What people call this server. */
  readonly serviceName: string;
  readonly keys: ClientKeyStore;
}

/** https://atproto.com/specs/oauth#clients */
export class ClientDocuments {
  readonly #options: ClientDocumentsOptions;
  #key: Promise<JWK> | undefined;

  constructor(options: ClientDocumentsOptions) {
    this.#options = options;
  }

  /** A server that is not on the internet: nobody can fetch its documents, so it is a development client, without a key. */
  get isLoopback(): boolean {
    return this.#options.publicUrl.startsWith("http:");
  }

  get clientId(): string {
    if (!this.isLoopback) return this.#options.publicUrl + OAUTH_PATHS.metadata;
    // Servers pass over the port, which may be another after a restart.
    const redirectUri = `http://127.0.0.1${OAUTH_PATHS.callback}`;
    return `http://localhost?${new URLSearchParams({ redirect_uri: redirectUri, scope: ANY_SCOPE })}`;
  }

  get redirectUri(): string {
    const { publicUrl } = this.#options;
    if (!this.isLoopback) return publicUrl + OAUTH_PATHS.callback;
    const { port } = new URL(publicUrl);
    return `http://127.0.0.1${port === "" ? "" : `:${port}`}${OAUTH_PATHS.callback}`;
  }

  /** A private JWK with its `kid`, made and kept where it is first needed. */
  key(): Promise<JWK> {
    this.#key ??= this.#makeKey().catch((error: unknown) => {
      this.#key = undefined;
      throw error;
    });
    return this.#key;
  }

  /** The document at a URL of this server; undefined where there is none. */
  async at(url: string): Promise<object | undefined> {
    if (this.isLoopback) return undefined;
    const { publicUrl } = this.#options;
    if (url === publicUrl + OAUTH_PATHS.metadata) return this.#metadata();
    if (url !== publicUrl + OAUTH_PATHS.jwks) return undefined;
    const { d: _, ...key } = await this.key();
    return { keys: [{ ...key, alg: "ES256", use: "sig" }] };
  }

  /** Answers a request for a document; undefined for all else. */
  async fetch(request: Request): Promise<Response | undefined> {
    const { pathname } = new URL(request.url);
    if (pathname !== OAUTH_PATHS.metadata && pathname !== OAUTH_PATHS.jwks) return undefined;
    const document = await this.at(this.#options.publicUrl + pathname);
    if (document === undefined) return undefined;
    if (request.method === "GET" || request.method === "HEAD") return Response.json(document);
    return new Response(null, { status: 405, headers: { Allow: "GET, HEAD" } });
  }

  #metadata(): object {
    const { publicUrl, serviceName } = this.#options;
    return {
      client_id: this.clientId,
      client_name: `Communities of ${serviceName}`,
      client_uri: publicUrl,
      redirect_uris: [this.redirectUri],
      scope: ANY_SCOPE,
      response_types: ["code"],
      grant_types: ["authorization_code", "refresh_token"],
      application_type: "web",
      token_endpoint_auth_method: "private_key_jwt",
      token_endpoint_auth_signing_alg: "ES256",
      dpop_bound_access_tokens: true,
      jwks_uri: publicUrl + OAUTH_PATHS.jwks,
    };
  }

  async #makeKey(): Promise<JWK> {
    const { keys } = this.#options;
    const text = keys.clientKey() ?? (await keys.keepClientKey(JSON.stringify(await newKey())));
    return JSON.parse(text) as JWK;
  }
}

/** A private JWK of ES256, with its thumbprint for a `kid`. */
export async function newKey(): Promise<JWK> {
  const { privateKey } = await generateKeyPair("ES256", { extractable: true });
  const jwk = await exportJWK(privateKey);
  return { ...jwk, kid: await calculateJwkThumbprint(jwk) };
}
