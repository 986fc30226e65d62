/** For tests of this folder: an authorization server over a real store, with apps whose documents the test writes, and a clock that it sets. */
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";
import type { PermissionSet } from "../atproto/mod.ts";
import { DpopNonces, DpopVerifier, ReplayGuard } from "../auth/mod.ts";
import { KithError } from "../errors.ts";
import type { SafeFetch } from "../identity/mod.ts";
import { AccountStore, Hub, Keyring, Maintenance, OAuthStore } from "../storage/mod.ts";
import { AuthorizationRequests } from "./authorization_requests.ts";
import { ClientAuth } from "./client_auth.ts";
import { Clients } from "./clients.ts";
import { Grants } from "./grants.ts";
import { OAuthServer } from "./oauth_server.ts";
import { ClientJwts } from "./signed_by_client.ts";

export const ISSUER = "https://pds.example.com";
export const DID = "did:plc:alice";
export const DEVICE = "the browser";
export const PUBLIC = "https://public.example.org/client.json";
export const CONFIDENTIAL = "https://web.example.org/client.json";
export const SCOPE = "atproto repo:app.bsky.feed.post blob:image/*";
export const KEYS_URI = "https://web.example.org/jwks.json";

/** An answer that is not 200 with JSON. */
export class RawAnswer {
  readonly answer: { readonly status?: number; readonly type?: string; readonly json?: unknown };

  constructor(answer: RawAnswer["answer"]) {
    this.answer = answer;
  }
}

export type Fields = Readonly<Record<string, string | undefined>>;

export interface Key {
  readonly privateKey: CryptoKey;
  readonly jwk: JWK;
  readonly jkt: string;
}

export async function newKey(kid?: string): Promise<Key> {
  const { privateKey, publicKey } = await generateKeyPair("ES256", { extractable: true });
  const jwk = await exportJWK(publicKey);
  return {
    privateKey,
    jwk: kid === undefined ? jwk : { ...jwk, kid },
    jkt: await calculateJwkThumbprint(jwk),
  };
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly json: Record<string, unknown>;
}

export class OAuthFixture implements AsyncDisposable {
  nowMs = Date.parse("2026-06-01T00:00:00Z");
  /** What the network answers, by URL; a KithError is thrown. */
  readonly documents = new Map<string, unknown>();
  readonly sets = new Map<string, PermissionSet>();
  readonly fetched: string[] = [];
  readonly store: OAuthStore;
  readonly accounts: AccountStore;
  readonly requests: AuthorizationRequests;
  readonly clients: Clients;
  readonly server: OAuthServer;
  readonly nonces: DpopNonces;
  readonly dpop: DpopVerifier;
  readonly key: Key;
  /** Of the confidential client. */
  readonly clientKey: Key;
  readonly #close: () => Promise<void>;

  private constructor(parts: {
    hub: Hub;
    accounts: AccountStore;
    keys: [Key, Key];
    close: () => Promise<void>;
  }) {
    const now = () => this.nowMs;
    this.accounts = parts.accounts;
    this.#close = parts.close;
    [this.key, this.clientKey] = parts.keys;
    const store = new OAuthStore(parts.hub);
    this.store = store;
    const { accounts } = this;
    const [issuer, locales] = [ISSUER, ["en"]];
    const nonces = new DpopNonces({ now });
    const dpop = new DpopVerifier({ nonces, replays: new ReplayGuard({ now }), now });
    const clients = new Clients({ safeFetch: this.#fetch, now });
    const jwts = new ClientJwts({ clients, used: store, issuer, now });
    const clientAuth = new ClientAuth({ clients, jwts });
    const sets = { resolve: async (nsid: string) => this.sets.get(nsid) };
    const requests = new AuthorizationRequests({ store, clients, jwts, sets, accounts, issuer, now });
    const maySignIn = (did: string) => accounts.account(did)?.state === "active";
    const grants = new Grants({ store, clientAuth, sets, issuer, maySignIn, now });
    this.requests = requests;
    this.clients = clients;
    this.nonces = nonces;
    this.dpop = dpop;
    this.server = new OAuthServer({ issuer, locales, dpop, nonces, clientAuth, requests, grants });
    this.documents.set(PUBLIC, documentOf(PUBLIC));
    this.documents.set(CONFIDENTIAL, {
      ...documentOf(CONFIDENTIAL),
      token_endpoint_auth_method: "private_key_jwt",
      token_endpoint_auth_signing_alg: "ES256",
      jwks_uri: KEYS_URI,
    });
    this.keysAre([this.clientKey]);
  }

  static async open(): Promise<OAuthFixture> {
    const folder = mkdtempSync(join(tmpdir(), "kith-oauth-"));
    const onFatal = (error: unknown): never => {
      throw error;
    };
    const maintenance = Maintenance.start({ onFatal });
    const hub = await Hub.open(join(folder, "accounts.sqlite"), { maintenance, onFatal });
    const accounts = new AccountStore(hub, Keyring.open(join(folder, "master.key")));
    for (const did of [DID, "did:plc:bob"]) {
      await accounts.beginAccount({
        did,
        handle: `${did.slice(8)}.example.com`,
        email: null,
        passwordHash: "hash",
        signingKey: { type: "k256", privateKey: new Uint8Array(32).fill(7) },
        genesisOperation: Uint8Array.of(1),
        now: 1,
      });
      await accounts.finishCreation(did, "active");
    }
    const close = async () => {
      await hub.close();
      await maintenance.stop();
      rmSync(folder, { recursive: true, force: true });
    };
    return new OAuthFixture({ hub, accounts, keys: [await newKey(), await newKey("key-1")], close });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }

  /** The keys that the confidential client has. */
  keysAre(keys: readonly Key[]): void {
    this.documents.set(KEYS_URI, { keys: keys.map(({ jwk }) => jwk) });
  }

  pass(ms: number): void {
    this.nowMs += ms;
  }

  readonly #fetch: SafeFetch = async (url, request) => {
    this.fetched.push(url);
    if (request?.redirectsMax !== 0) throw new Error("A client's document may not redirect");
    const found = this.documents.get(url);
    if (found instanceof KithError) throw found;
    const raw = found instanceof RawAnswer ? found : new RawAnswer({ json: found });
    const { status = 200, type = "application/json", json } = raw.answer;
    const body = typeof json === "string" ? json : JSON.stringify(json ?? {});
    return {
      status: found === undefined ? 404 : status,
      headers: new Headers({ "content-type": type }),
      url,
      body: new TextEncoder().encode(body),
    };
  };

  /** A DPoP proof; `claims` and `head` replace what a good one has. */
  async proof(path: string, { key = this.key, claims = {}, head = {} }: ProofOptions = {}): Promise<string> {
    const payload = {
      jti: randomBytes(8).toString("hex"),
      htm: "POST",
      htu: `${ISSUER}${path}`,
      iat: Math.floor(this.nowMs / 1000),
      nonce: this.nonces.current(),
      ...claims,
    };
    return new SignJWT(payload)
      .setProtectedHeader({ typ: "dpop+jwt", alg: "ES256", jwk: key.jwk, ...head })
      .sign(key.privateKey);
  }

  /** A JWT of the confidential client. */
  signed(
    claims: object,
    { key = this.clientKey, head = {} }: { key?: Key; head?: object } = {},
  ): Promise<string> {
    const nowS = Math.floor(this.nowMs / 1000);
    const jti = randomBytes(8).toString("hex");
    const payload = { iss: CONFIDENTIAL, aud: ISSUER, jti, iat: nowS, exp: nowS + 60, ...claims };
    const kid = key.jwk.kid ?? "none";
    return new SignJWT(payload).setProtectedHeader({ alg: "ES256", kid, ...head }).sign(key.privateKey);
  }

  async assertion(options: { key?: Key; claims?: object; head?: object } = {}): Promise<Fields> {
    return {
      client_id: CONFIDENTIAL,
      client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
      client_assertion: await this.signed({ sub: CONFIDENTIAL, ...options.claims }, options),
    };
  }

  /** One POST; `fields` become a form, undefined ones are left out. `proof` of null sends none. */
  async post(path: string, fields: Fields | string, options: PostOptions = {}): Promise<Answer> {
    const proof = options.proof === undefined ? await this.proof(path) : options.proof;
    const given = typeof fields === "string" ? [] : Object.entries(fields);
    const form = new URLSearchParams(
      given.filter((entry): entry is [string, string] => entry[1] !== undefined),
    );
    const request = new Request(`${ISSUER}${path}`, {
      method: "POST",
      headers: {
        "content-type": "application/x-www-form-urlencoded",
        ...(proof === null ? {} : { dpop: proof }),
        ...options.headers,
      },
      body: typeof fields === "string" ? fields : form.toString(),
    });
    const response = await this.server.fetch(request, { ip: "203.0.113.1" });
    if (!response) throw new Error(`Nobody answers ${path}`);
    const json = (await response.json()) as Record<string, unknown>;
    return { status: response.status, headers: response.headers, json };
  }

  /** A pushed request and its code, as the public client unless `as` says otherwise. */
  async code(more: Fields = {}, { as = {}, did = DID }: { as?: Fields; did?: string } = {}): Promise<Code> {
    const verifier = randomBytes(32).toString("base64url");
    const fields = { ...asked(verifier), ...as, ...more };
    const pushed = await this.post("/oauth/par", fields);
    if (pushed.status !== 201) throw new Error(JSON.stringify(pushed.json));
    const requestUri = String(pushed.json.request_uri);
    const open = await this.requests.open({ requestUri, clientId: fields.client_id ?? "", device: DEVICE });
    const answer = await this.requests.approve(open.id, { device: DEVICE, did });
    return {
      grant_type: "authorization_code",
      client_id: fields.client_id ?? "",
      code: answer.parameters.code ?? "",
      redirect_uri: fields.redirect_uri ?? "",
      code_verifier: verifier,
    };
  }
}

export type Code = Readonly<
  Record<"grant_type" | "client_id" | "code" | "redirect_uri" | "code_verifier", string>
>;

interface ProofOptions {
  readonly key?: Key;
  readonly claims?: object;
  readonly head?: object;
}

interface PostOptions {
  readonly proof?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A good authorization request of the public client. */
export function asked(verifier: string): Record<string, string> {
  return {
    client_id: PUBLIC,
    response_type: "code",
    redirect_uri: "https://public.example.org/callback",
    scope: SCOPE,
    state: "a state",
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
  };
}

export function documentOf(id: string): Record<string, unknown> {
  return {
    client_id: id,
    client_name: "An app",
    client_uri: new URL("/", id).href,
    redirect_uris: ["https://public.example.org/callback", "https://web.example.org/callback"],
    scope: `${SCOPE} repo:app.bsky.feed.like transition:generic include:com.example.app.authFull`,
    response_types: ["code"],
    grant_types: ["authorization_code", "refresh_token"],
    application_type: "web",
    token_endpoint_auth_method: "none",
    dpop_bound_access_tokens: true,
  };
}
