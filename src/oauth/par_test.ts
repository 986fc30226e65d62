import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { KithError } from "../errors.ts";
import { CACHE_BYTES_MAX } from "./clients.ts";
import {
  asked,
  CONFIDENTIAL,
  DEVICE,
  DID,
  documentOf,
  type Fields,
  ISSUER,
  KEYS_URI,
  newKey,
  OAuthFixture,
  PUBLIC,
  RawAnswer,
  SCOPE,
} from "./oauth_fixture.ts";

let at: OAuthFixture;
beforeAll(async () => {
  at = await OAuthFixture.open();
});
afterAll(() => at[Symbol.asyncDispose]());

const fresh = (): Record<string, string> => asked(randomBytes(32).toString("base64url"));
const push = (fields: Fields) => at.post("/oauth/par", { ...fresh(), ...fields });

describe("PAR refuses", () => {
  const rows: [title: string, change: Fields, error: string][] = [
    ...["redirect_uri", "response_type", "state", "code_challenge", "client_id"].map(
      (name): [string, Fields, string] => [`a missing ${name}`, { [name]: undefined }, "invalid_request"],
    ),
    ...["redirect_uri", "response_type", "state", "client_id"].map((name): [string, Fields, string] => [
      `an empty ${name}`,
      { [name]: "" },
      "invalid_request",
    ]),
    ["a missing scope", { scope: undefined }, "invalid_scope"],
    ["a missing code_challenge_method", { code_challenge_method: undefined }, "invalid_request"],
    ["plain PKCE", { code_challenge_method: "plain" }, "invalid_request"],
    ["a short code_challenge", { code_challenge: "abc" }, "invalid_request"],
    ["an oversized state", { state: "s".repeat(2_049) }, "invalid_request"],
    ["an oversized scope", { scope: `atproto ${"x".repeat(9_000)}` }, "invalid_scope"],
    ["a body over every bound", { state: "s".repeat(70_000) }, "invalid_request"],
    ["the implicit flow", { response_type: "token" }, "unsupported_response_type"],
    ["an unknown response_mode", { response_mode: "web_message" }, "invalid_request"],
    ["an unknown prompt", { prompt: "dance" }, "invalid_request"],
    ["prompts that exclude each other", { prompt: "none login" }, "invalid_request"],
    ["a public client that would sign in silently", { prompt: "none" }, "consent_required"],
    ["a login_hint that is no name", { login_hint: "not a name" }, "invalid_request"],
    ["a scope without atproto", { scope: "repo:app.bsky.feed.post" }, "invalid_scope"],
    ["openid", { scope: "atproto openid" }, "invalid_scope"],
    ["a scope beyond the metadata", { scope: "atproto repo:*" }, "invalid_scope"],
    [
      "a permission set that cannot be found",
      { scope: "atproto include:com.example.app.authFull" },
      "invalid_scope",
    ],
    [
      "a redirect_uri of another app",
      { redirect_uri: "https://evil.example.org/callback" },
      "invalid_request",
    ],
    [
      "a redirect_uri with more behind it",
      { redirect_uri: "https://public.example.org/callback/x" },
      "invalid_request",
    ],
    [
      "a redirect_uri in other case",
      { redirect_uri: "https://public.example.org/Callback" },
      "invalid_request",
    ],
    ["client_secret", { client_secret: "hunter2" }, "invalid_client"],
    ["an assertion of a public client", { client_assertion: "a.b.c" }, "invalid_client"],
    ["request_uri", { request_uri: "urn:ietf:params:oauth:request_uri:req-x" }, "invalid_request"],
    ["a request object of a client without keys", { request: "a.b.c" }, "invalid_request"],
    ["dpop_jkt of another key than the proof's", { dpop_jkt: "a".repeat(43) }, "invalid_dpop_proof"],
    ["a malformed dpop_jkt", { dpop_jkt: "short" }, "invalid_request"],
    ["an http client_id", { client_id: "http://public.example.org/client.json" }, "invalid_client"],
    [
      "a client_id with a port",
      { client_id: "https://public.example.org:8443/client.json" },
      "invalid_client",
    ],
    ["a client_id that is an address", { client_id: "https://127.0.0.1/client.json" }, "invalid_client"],
    ["a client_id without a path", { client_id: "https://public.example.org/" }, "invalid_client"],
    ["a client_id with a fragment", { client_id: `${PUBLIC}#x` }, "invalid_client"],
    [
      "a client_id not in canonical form",
      { client_id: "https://PUBLIC.example.org/client.json" },
      "invalid_client",
    ],
    ["a client_id on this machine", { client_id: "https://localhost/client.json" }, "invalid_client"],
    ["a development client with a port", { client_id: "http://localhost:3000" }, "invalid_client"],
    ["a development client with a path", { client_id: "http://localhost/x" }, "invalid_client"],
    [
      "a development client with other parameters",
      { client_id: "http://localhost?client_name=x" },
      "invalid_client",
    ],
    [
      "a development client that redirects elsewhere",
      { client_id: "http://localhost?redirect_uri=https%3A%2F%2Fevil.example.org" },
      "invalid_client",
    ],
  ];
  test.each(rows)("%s", async (_title, change, error) => {
    const { status, json, headers } = await push(change);
    expect({ status, error: json.error }).toEqual({ status: 400, error });
    expect(json.request_uri).toBeUndefined();
    expect(String(json.error_description)).toMatch(/^[\x20-\x21\x23-\x5b\x5d-\x7e]{10,}$/);
    expect(headers.get("cache-control")).toBe("no-store");
    expect(headers.get("dpop-nonce")).toBe(at.nonces.current());
  });

  test.each(["client_id", "state", "scope", "code_challenge", "redirect_uri", "unheard_of"])(
    "a doubled %s, in a form and in JSON",
    async (name) => {
      const good: Record<string, string> = { ...fresh(), unheard_of: "x" };
      const form = `${new URLSearchParams(good)}&${name}=${encodeURIComponent(good[name] ?? "")}`;
      const json = JSON.stringify(good).replace(
        "{",
        `{${JSON.stringify(name)}:${JSON.stringify(good[name])},`,
      );
      for (const [body, type] of [
        [form, "application/x-www-form-urlencoded"],
        [json, "application/json"],
      ] as const) {
        const answer = await at.post("/oauth/par", body, { headers: { "content-type": type } });
        expect([answer.status, answer.json.error]).toEqual([400, "invalid_request"]);
      }
    },
  );

  test.each([
    ["text/plain", "a=b"],
    ["application/json", "[1]"],
    ["application/json", "{"],
    ["application/json", '{"state": 3}'],
    ["multipart/form-data", "x"],
  ])("a body that is %s: %s", async (type, body) => {
    const answer = await at.post("/oauth/par", body, { headers: { "content-type": type } });
    expect([answer.status, answer.json.error]).toEqual([400, "invalid_request"]);
  });

  test("a code_challenge that was used in the last 24 hours", async () => {
    const fields = fresh();
    expect((await at.post("/oauth/par", fields)).status).toBe(201);
    expect((await at.post("/oauth/par", fields)).json.error).toBe("invalid_request");
    at.pass(24 * 3_600_000 - 1_000);
    expect((await at.post("/oauth/par", fields)).json.error).toBe("invalid_request");
    at.pass(2_000);
    expect((await at.post("/oauth/par", fields)).status).toBe(201);
  });

  test("a client in the Authorization header, by 401", async () => {
    const headers = { authorization: `Basic ${btoa("client:secret")}` };
    const answer = await at.post("/oauth/par", fresh(), { headers });
    expect([answer.status, answer.json.error]).toEqual([401, "invalid_client"]);
    expect(answer.headers.get("www-authenticate")).toBe("Basic");
  });

  test("another verb, by 405", async () => {
    for (const path of ["/oauth/par", "/oauth/token", "/oauth/revoke", "/oauth/introspect"]) {
      const answer = await at.server.fetch(new Request(`${ISSUER}${path}`), { ip: "::1" });
      expect([answer?.status, answer?.headers.get("allow")]).toEqual([405, "POST"]);
    }
    expect(await at.server.fetch(new Request(`${ISSUER}/oauth/else`), { ip: "::1" })).toBeUndefined();
  });
});

describe("DPoP proofs of PAR and token", () => {
  const nowS = () => Math.floor(at.nowMs / 1000);
  const rows: [title: string, proof: () => Promise<string>, error: string][] = [
    ["another method", () => at.proof("/oauth/par", { claims: { htm: "GET" } }), "invalid_dpop_proof"],
    ["another path", () => at.proof("/oauth/token"), "invalid_dpop_proof"],
    [
      "another host",
      () => at.proof("", { claims: { htu: "https://evil.example/oauth/par" } }),
      "invalid_dpop_proof",
    ],
    ["a query", () => at.proof("/oauth/par?x=1"), "invalid_dpop_proof"],
    ["no nonce", () => at.proof("/oauth/par", { claims: { nonce: undefined } }), "use_dpop_nonce"],
    ["a made-up nonce", () => at.proof("/oauth/par", { claims: { nonce: "x" } }), "use_dpop_nonce"],
    ["no jti", () => at.proof("/oauth/par", { claims: { jti: undefined } }), "invalid_dpop_proof"],
    ["an old iat", () => at.proof("/oauth/par", { claims: { iat: nowS() - 3_600 } }), "invalid_dpop_proof"],
    ["another typ", () => at.proof("/oauth/par", { head: { typ: "JWT" } }), "invalid_dpop_proof"],
    [
      "another key than it names",
      async () => at.proof("/oauth/par", { head: { jwk: (await newKey()).jwk } }),
      "invalid_dpop_proof",
    ],
    ["nothing at all", async () => "nonsense", "invalid_dpop_proof"],
    [
      "no signature",
      async () => `${Buffer.from('{"typ":"dpop+jwt","alg":"none"}').toString("base64url")}.e30.`,
      "invalid_dpop_proof",
    ],
  ];
  test.each(rows)("with %s", async (_title, proof, error) => {
    const answer = await at.post("/oauth/par", fresh(), { proof: await proof() });
    expect([answer.status, answer.json.error]).toEqual([400, error]);
    expect(answer.headers.get("dpop-nonce")).toBe(at.nonces.current());
  });

  test("a second time", async () => {
    const proof = await at.proof("/oauth/par");
    expect((await at.post("/oauth/par", fresh(), { proof })).status).toBe(201);
    expect((await at.post("/oauth/par", fresh(), { proof })).json.error).toBe("invalid_dpop_proof");
  });

  test("with an old nonce", async () => {
    const proof = await at.proof("/oauth/par");
    at.pass(6 * 60_000);
    const again = await at.proof("/oauth/par", { claims: { nonce: "old" } });
    for (const one of [proof, again]) {
      expect((await at.post("/oauth/par", fresh(), { proof: one })).status).toBe(400);
    }
  });

  test("without one, dpop_jkt binds; without either, nothing is taken", async () => {
    const { jkt } = at.key;
    expect((await at.post("/oauth/par", { ...fresh(), dpop_jkt: jkt }, { proof: null })).status).toBe(201);
    const bare = await at.post("/oauth/par", fresh(), { proof: null });
    expect([bare.status, bare.json.error]).toEqual([400, "invalid_dpop_proof"]);
  });
});

describe("client documents", () => {
  const bad: [title: string, document: unknown][] = [
    ["that are not there", undefined],
    ["that answer 201", new RawAnswer({ status: 201, json: documentOf(PUBLIC) })],
    ["that redirect", new KithError("upstream_failure", "more than 0 redirects at 10.0.0.1")],
    ["that are slow", new KithError("timeout", "it took too long")],
    ["that are HTML", new RawAnswer({ type: "text/html", json: "<html>" })],
    ["that are sets of keys", new RawAnswer({ type: "application/jwk-set+json", json: documentOf(PUBLIC) })],
    ["that are no JSON", new RawAnswer({ json: "{" })],
    ["that are a list", []],
    ["of another client", documentOf(PUBLIC)],
  ];
  test.each(bad)("%s are refused", async (title, document) => {
    const id = `https://bad.example.org/${encodeURIComponent(title)}.json`;
    if (document !== undefined) at.documents.set(id, document);
    const answer = await push({ client_id: id });
    expect([answer.status, answer.json.error]).toEqual([400, "invalid_client_metadata"]);
    expect(String(answer.json.error_description)).not.toContain("10.0.0.1");
  });

  const fields: [field: string, value: unknown, error: string][] = [
    ["dpop_bound_access_tokens", false, "invalid_client_metadata"],
    ["dpop_bound_access_tokens", undefined, "invalid_client_metadata"],
    ["response_types", ["token"], "invalid_client_metadata"],
    ["response_types", undefined, "invalid_client_metadata"],
    ["grant_types", ["refresh_token"], "invalid_client_metadata"],
    ["grant_types", ["authorization_code", "implicit"], "invalid_client_metadata"],
    ["scope", "repo:*", "invalid_client_metadata"],
    ["scope", undefined, "invalid_client_metadata"],
    ["redirect_uris", [], "invalid_client_metadata"],
    ["redirect_uris", ["http://public.example.org/"], "invalid_redirect_uri"],
    ["redirect_uris", ["http://127.0.0.1/"], "invalid_redirect_uri"],
    ["redirect_uris", ["https://localhost/"], "invalid_redirect_uri"],
    ["redirect_uris", ["https://u:p@public.example.org/"], "invalid_redirect_uri"],
    ["redirect_uris", ["https://public.example.org/#x"], "invalid_redirect_uri"],
    ["redirect_uris", ["org.example.public:/callback"], "invalid_redirect_uri"],
    ["redirect_uris", ["javascript:alert(1)"], "invalid_redirect_uri"],
    ["redirect_uris", ["https://public.example.org/a\nb"], "invalid_redirect_uri"],
    ["redirect_uris", ["https://public.example.org/ü"], "invalid_redirect_uri"],
    ["token_endpoint_auth_method", "client_secret_basic", "invalid_client_metadata"],
    ["token_endpoint_auth_method", "private_key_jwt", "invalid_client_metadata"],
    ["client_uri", "https://other.example.org/", "invalid_client_metadata"],
    ["logo_uri", "http://public.example.org/logo.png", "invalid_client_metadata"],
    ["application_type", "toaster", "invalid_client_metadata"],
    ["client_secret", "x", "invalid_client_metadata"],
    ["jwks", { keys: [{ kty: "oct", k: "x" }] }, "invalid_client_metadata"],
  ];
  test.each(fields)("with %s %p are refused", async (field, value, error) => {
    const id = `https://fields.example.org/${randomBytes(6).toString("hex")}.json`;
    at.documents.set(id, { ...documentOf(id), client_uri: undefined, [field]: value });
    const answer = await push({ client_id: id });
    expect([answer.status, answer.json.error]).toEqual([400, error]);
  });

  test("are kept for ten minutes, failures for ten seconds", async () => {
    const id = "https://cached.example.org/client.json";
    const times = () => at.fetched.filter((url) => url === id).length;
    expect((await push({ client_id: id })).status).toBe(400);
    at.documents.set(id, { ...documentOf(id), redirect_uris: [asked("x").redirect_uri] });
    expect((await push({ client_id: id })).status).toBe(400);
    at.pass(11_000);
    expect((await push({ client_id: id })).status).toBe(201);
    at.pass(9 * 60_000);
    expect((await push({ client_id: id })).status).toBe(201);
    expect(times()).toBe(2);
    at.documents.delete(id);
    at.pass(2 * 60_000);
    expect((await push({ client_id: id })).status).toBe(400);
    expect(times()).toBe(3);
  });

  test("are kept up to a number of bytes in all, the last fetched", async () => {
    const documents = Math.ceil(CACHE_BYTES_MAX / 200_000) + 1;
    const ids = Array.from(
      { length: documents },
      (_, index) => `https://large${index}.example.org/client.json`,
    );
    const fetches = async (id: string) => {
      at.documents.set(id, { ...documentOf(id), client_uri: undefined, padding: "x".repeat(200_000) });
      const before = at.fetched.length;
      await at.clients.find(id);
      return at.fetched.length - before;
    };
    for (const id of ids) expect(await fetches(id)).toBe(1);
    expect(await fetches(ids.at(-1) ?? "")).toBe(0);
    expect(await fetches(ids[0] ?? "")).toBe(1);
  });
});

describe("private_key_jwt", () => {
  const redirect_uri = "https://web.example.org/callback";
  const rows: [title: string, options: { claims?: object; head?: object }][] = [
    ["another iss", { claims: { iss: PUBLIC } }],
    ["another sub", { claims: { sub: PUBLIC } }],
    ["another aud", { claims: { aud: "https://other.example" } }],
    ["the aud of an endpoint", { claims: { aud: `${ISSUER}/oauth/token` } }],
    ["two audiences", { claims: { aud: [ISSUER, "https://other.example"] } }],
    ["no jti", { claims: { jti: undefined } }],
    ["no iat", { claims: { iat: undefined } }],
    ["no exp", { claims: { exp: undefined } }],
    ["an end in the past", { claims: { exp: 1 } }],
    ["an old iat", { claims: { iat: 1, exp: 4_000_000_000 } }],
    ["an iat in the future", { claims: { iat: 4_000_000_000, exp: 4_000_000_060 } }],
    ["an unknown kid", { head: { kid: "other" } }],
    ["no kid", { head: { kid: undefined } }],
    ["another typ", { head: { typ: "at+jwt" } }],
  ];
  test.each(rows)("with %s is refused", async (_title, options) => {
    const answer = await push({ redirect_uri, ...(await at.assertion(options)) });
    expect([answer.status, answer.json.error]).toEqual([400, "invalid_client"]);
  });

  test("takes keys of both media types that they may have", async () => {
    at.pass(11 * 60_000);
    const json = { keys: [at.clientKey.jwk] };
    at.documents.set(KEYS_URI, new RawAnswer({ type: "application/jwk-set+json; charset=utf-8", json }));
    expect((await push({ redirect_uri, ...(await at.assertion()) })).status).toBe(201);
    at.pass(11 * 60_000);
    at.documents.set(KEYS_URI, new RawAnswer({ type: "text/plain", json }));
    const refused = await push({ redirect_uri, ...(await at.assertion()) });
    expect([refused.status, refused.json.error]).toEqual([400, "invalid_client_metadata"]);
    at.keysAre([at.clientKey]);
    at.pass(11 * 60_000);
  });

  test("is good once, also a minute old; without one, or by another's key, nothing is taken", async () => {
    const assertion = await at.assertion({ claims: { iat: Math.floor(at.nowMs / 1000) - 59 } });
    expect((await push({ redirect_uri, ...assertion })).status).toBe(201);
    expect((await push({ redirect_uri, ...assertion })).json.error).toBe("invalid_client");
    expect((await push({ redirect_uri, client_id: CONFIDENTIAL })).json.error).toBe("invalid_client");
    const stolen = await at.assertion({ key: await newKey("key-1") });
    expect((await push({ redirect_uri, ...stolen })).json.error).toBe("invalid_client");
    const good = await at.assertion();
    const typed = {
      ...good,
      client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:saml2-bearer",
    };
    expect((await push({ redirect_uri, ...typed })).json.error).toBe("invalid_client");
    const unsigned = `${Buffer.from('{"alg":"none","kid":"key-1"}').toString("base64url")}.e30.`;
    expect((await push({ redirect_uri, ...good, client_assertion: unsigned })).json.error).toBe(
      "invalid_client",
    );
  });

  test("is not used up by a proof that needs a nonce", async () => {
    const fields = { ...fresh(), redirect_uri, ...(await at.assertion()) };
    const proof = await at.proof("/oauth/par", { claims: { nonce: "old" } });
    expect((await at.post("/oauth/par", fields, { proof })).json.error).toBe("use_dpop_nonce");
    expect((await at.post("/oauth/par", fields)).status).toBe(201);
  });

  test("may not be by the key of the proof", async () => {
    const proof = await at.proof("/oauth/par", { key: at.clientKey });
    const fields = { ...fresh(), redirect_uri, ...(await at.assertion()) };
    expect((await at.post("/oauth/par", fields, { proof })).json.error).toBe("invalid_client");
  });

  test("a key that is new is found without waiting", async () => {
    const key = await newKey("key-2");
    at.keysAre([at.clientKey, key]);
    at.pass(31_000);
    expect((await push({ redirect_uri, ...(await at.assertion({ key })) })).status).toBe(201);
  });
});

describe("signed request objects", () => {
  const redirect_uri = "https://web.example.org/callback";
  const inside = (): Record<string, string> => ({ ...fresh(), client_id: CONFIDENTIAL, redirect_uri });
  const send = async (request: string, more: Fields = {}) =>
    at.post("/oauth/par", { ...(await at.assertion()), request, ...more });

  test("are taken, once, with all that is asked inside", async () => {
    const request = await at.signed(inside(), { head: { typ: "oauth-authz-req+jwt" } });
    expect((await send(request)).status).toBe(201);
    expect((await send(request)).json.error).toBe("invalid_request_object");
  });

  const rows: [title: string, claims: () => object, head: object, error: string][] = [
    ["that are old", () => ({ iat: Math.floor(at.nowMs / 1000) - 400 }), {}, "invalid_request_object"],
    ["for another server", () => ({ aud: "https://other.example" }), {}, "invalid_request_object"],
    ["of another client", () => ({ client_id: PUBLIC }), {}, "invalid_request_object"],
    ["without jti", () => ({ jti: undefined }), {}, "invalid_request_object"],
    ["that are nested", () => ({ request: "a.b.c" }), {}, "invalid_request_object"],
    ["by an unknown key", () => ({}), { kid: "other" }, "invalid_request_object"],
    ["without a state", () => ({ state: undefined }), {}, "invalid_request"],
  ];
  test.each(rows)("%s are refused", async (_title, claims, head, error) => {
    const answer = await send(await at.signed({ ...inside(), ...claims() }, { head }));
    expect([answer.status, answer.json.error]).toEqual([400, error]);
  });

  test("with parameters beside them are refused", async () => {
    const answer = await send(await at.signed(inside()), { scope: "atproto transition:generic" });
    expect([answer.status, answer.json.error]).toEqual([400, "invalid_request"]);
  });
});

describe("AuthorizationRequests", () => {
  const pushed = async (more: Fields = {}) => {
    const { json, status } = await push(more);
    expect(status).toBe(201);
    return { requestUri: String(json.request_uri), clientId: PUBLIC, device: DEVICE };
  };
  const fails = (promise: Promise<unknown>) =>
    promise.then(
      () => "nothing",
      (error: { error?: string }) => error.error,
    );

  test("a request is the browser's that opened it: another can neither use it nor burn it", async () => {
    const request = await pushed();
    const { id } = await at.requests.open(request);
    const other = "another browser";
    expect(await fails(at.requests.open({ ...request, device: other }))).toBe("invalid_request");
    expect(await fails(at.requests.approve(id, { device: other, did: DID }))).toBe("invalid_request");
    expect(await fails(at.requests.deny(id, { device: other, error: "access_denied" }))).toBe(
      "invalid_request",
    );
    expect((await at.requests.open(request)).id).toBe(id);
    expect((await at.requests.approve(id, { device: DEVICE, did: DID })).parameters.code).toBeString();
  });

  test.each([
    ["query", /^https:\/\/public\.example\.org\/callback\?iss=.*&state=a\+state&code=cod-/],
    ["fragment", /^https:\/\/public\.example\.org\/callback#iss=.*&state=a\+state&code=cod-/],
    ["form_post", undefined],
  ])("the answer by %s has iss, state and code", async (mode, pattern) => {
    const { id } = await at.requests.open(await pushed({ response_mode: mode }));
    const answer = await at.requests.approve(id, { device: DEVICE, did: DID });
    expect(answer).toMatchObject({ mode, parameters: { iss: ISSUER, state: "a state" } });
    if (pattern) expect(answer.url).toMatch(pattern);
    else expect(answer.url).toBeUndefined();
    expect(await fails(at.requests.approve(id, { device: DEVICE, did: DID }))).toBe("invalid_request");
  });

  test("who denies sends the app an error, once", async () => {
    const { id } = await at.requests.open(await pushed());
    const answer = await at.requests.deny(id, { device: DEVICE, error: "access_denied", description: "No" });
    expect(answer.parameters).toEqual({
      iss: ISSUER,
      state: "a state",
      error: "access_denied",
      error_description: "No",
    });
    expect(await fails(at.requests.deny(id, { device: DEVICE, error: "access_denied" }))).toBe(
      "invalid_request",
    );
  });

  test("it ends after five minutes unopened, fifteen idle, an hour in all", async () => {
    const unopened = await pushed();
    at.pass(5 * 60_000);
    expect(await fails(at.requests.open(unopened))).toBe("invalid_request");
    const idle = await pushed();
    const { id } = await at.requests.open(idle);
    at.pass(15 * 60_000);
    expect(await fails(at.requests.approve(id, { device: DEVICE, did: DID }))).toBe("invalid_request");
    const long = await pushed();
    for (let i = 0; i < 6; i++) {
      await at.requests.open(long);
      at.pass(10 * 60_000);
    }
    expect(await fails(at.requests.open(long))).toBe("invalid_request");
  });

  test("another client_id, or a made-up request_uri, opens nothing and burns nothing", async () => {
    const request = await pushed();
    expect(await fails(at.requests.open({ ...request, clientId: CONFIDENTIAL }))).toBe("invalid_request");
    expect(await fails(at.requests.open({ ...request, requestUri: "urn:x" }))).toBe("invalid_request");
    expect(await fails(at.requests.open({ ...request, requestUri: `${request.requestUri}x` }))).toBe(
      "invalid_request",
    );
    expect((await at.requests.open(request)).parameters.scope).toBe(SCOPE);
  });

  test("login_hint pins the account, and what is unknown is not shown", async () => {
    const { id, did } = await at.requests.open(await pushed({ login_hint: "@Bob.example.com" }));
    expect(did).toBe("did:plc:bob");
    expect(await fails(at.requests.approve(id, { device: DEVICE, did: DID }))).toBe("access_denied");
    const unknown = await at.requests.open(
      await pushed({ scope: "atproto repo:app.bsky.feed.post what:ever" }),
    );
    expect(unknown.parameters.scope).toBe("atproto repo:app.bsky.feed.post");
  });

  test("a prompt that is given over and over is one", async () => {
    const { parameters } = await at.requests.open(await pushed({ prompt: "login consent login  login" }));
    expect(parameters.prompts).toEqual(["login", "consent"]);
  });

  test("a confidential client's consent is remembered, a public one's never", async () => {
    const redirect_uri = "https://web.example.org/callback";
    const { json } = await push({ redirect_uri, ...(await at.assertion()) });
    const web = { requestUri: String(json.request_uri), clientId: CONFIDENTIAL, device: DEVICE };
    const open = await at.requests.open(web);
    expect(at.requests.isRemembered(open, DID)).toBe(false);
    await at.requests.approve(open.id, { device: DEVICE, did: DID });
    expect(at.requests.isRemembered(open, DID)).toBe(true);
    expect(at.requests.isRemembered(open, "did:plc:bob")).toBe(false);
    const wider = { ...open, parameters: { ...open.parameters, scope: "atproto transition:generic" } };
    expect(at.requests.isRemembered(wider, DID)).toBe(false);
    const asOf = await at.requests.open(await pushed());
    await at.requests.approve(asOf.id, { device: DEVICE, did: DID });
    expect(at.requests.isRemembered(asOf, DID)).toBe(false);
  });
});
