/** An authorization server for tests, and the server of an account that names it: what they answer can be changed, what they get is kept. */
import { decodeJwt } from "jose";
import { AuthorizationServers, type ClientFetch } from "./authorization_server.ts";
import { ClientDocuments, newKey } from "./client_documents.ts";

export const PDS = "https://pds.example.com";
export const ISSUER = "https://login.example.com";
export const DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
export const PUBLIC_URL = "https://kith.example.com";
export const NOW = Date.UTC(2026, 0, 1);

export interface Sent {
  readonly path: string;
  readonly form: Readonly<Record<string, string>>;
  /** Claims of the proof that came with it. */
  readonly proof: Readonly<Record<string, unknown>> | undefined;
}

type Answer = { status?: number; headers?: Record<string, string>; json: object };
type Answerer = object | ((sent: Sent) => Answer);

export const TOKENS = {
  access_token: "access-1",
  refresh_token: "refresh-1",
  token_type: "DPoP",
  expires_in: 3_600,
  scope: "atproto repo:* blob:*/*",
  sub: DID,
};

const DOCUMENTS: Readonly<Record<string, object>> = {
  [`${PDS}/.well-known/oauth-protected-resource`]: { resource: PDS, authorization_servers: [ISSUER] },
  [`${ISSUER}/.well-known/oauth-authorization-server`]: {
    issuer: ISSUER,
    authorization_endpoint: `${ISSUER}/authorize`,
    token_endpoint: `${ISSUER}/token`,
    pushed_authorization_request_endpoint: `${ISSUER}/par`,
    revocation_endpoint: `${ISSUER}/revoke`,
    authorization_response_iss_parameter_supported: true,
    protected_resources: [PDS],
  },
  [`${ISSUER}/par`]: () => ({ status: 201, json: { request_uri: "urn:example:1", expires_in: 60 } }),
  [`${ISSUER}/token`]: TOKENS,
  [`${ISSUER}/revoke`]: {},
};

/** `answers` are by URL, over those of a server that does everything well. */
export function fakeServers(
  answers: Readonly<Record<string, Answerer>> = {},
  { publicUrl = PUBLIC_URL, devMode = false } = {},
) {
  const sent: Sent[] = [];
  const fetch: ClientFetch = async (url, { headers, body }) => {
    const answer = { ...DOCUMENTS, ...answers }[url] as Answerer | undefined;
    const proof = headers.dpop === undefined ? undefined : decodeJwt(headers.dpop);
    const form = Object.fromEntries(new URLSearchParams(body ?? ""));
    const request = { path: new URL(url).pathname, form, proof };
    if (body !== undefined) sent.push(request);
    if (answer === undefined) return Response.json({}, { status: 404 });
    if (typeof answer !== "function") return Response.json(answer);
    const { json, status = 200, headers: more = {} } = answer(request);
    return Response.json(json, { status, headers: more });
  };
  let key: string | undefined;
  const keys = {
    clientKey: () => key,
    keepClientKey: async (made: string) => {
      key ??= made;
      return key;
    },
  };
  const documents = new ClientDocuments({ publicUrl, serviceName: "kith.example.com", keys });
  const servers = new AuthorizationServers({ documents, fetch, publicUrl, devMode, now: () => NOW });
  return { servers, documents, sent };
}

export async function askedConsent() {
  return { state: "state-1", verifier: "v".repeat(43), dpopKey: await newKey(), did: DID };
}

/** What a browser brings back. */
export function callback(change: Record<string, string> = {}): URLSearchParams {
  return new URLSearchParams({ state: "state-1", iss: ISSUER, code: "code-1", ...change });
}
