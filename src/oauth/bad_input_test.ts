/** Every field of every endpoint missing, empty, doubled or oversized; proofs and requests that are forged, foreign or mixed up: the RFC's error, and no token. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHmac, randomBytes } from "node:crypto";
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { type JWK, SignJWT } from "jose";
import { signerFromPrivateKey } from "../atproto/mod.ts";
import {
  type Answer,
  asked,
  CONFIDENTIAL,
  DEVICE,
  DID,
  documentOf,
  type Fields,
  ISSUER,
  type Key,
  newKey,
  OAuthFixture,
  PUBLIC,
  SCOPE,
} from "./oauth_fixture.ts";

const WEB_REDIRECT = "https://web.example.org/callback";
const OVERSIZED = "x".repeat(40_000);

let at: OAuthFixture;
beforeAll(async () => {
  at = await OAuthFixture.open();
});
afterAll(() => at[Symbol.asyncDispose]());

type Endpoint = "par" | "code" | "refresh" | "revoke" | "introspect";
type Damage = "missing" | "empty" | "doubled" | "oversized";

const PATHS: Readonly<Record<Endpoint, string>> = {
  par: "/oauth/par",
  code: "/oauth/token",
  refresh: "/oauth/token",
  revoke: "/oauth/revoke",
  introspect: "/oauth/introspect",
};

/** A good request of the client with a key; each field is there that it may have. */
async function good(endpoint: Endpoint): Promise<Record<string, string>> {
  const assertion = (await at.assertion()) as Record<string, string>;
  if (endpoint === "par") {
    const optional = { response_mode: "query", prompt: "consent", login_hint: DID, ui_locales: "de" };
    const verifier = randomBytes(32).toString("base64url");
    const web = { redirect_uri: WEB_REDIRECT, dpop_jkt: at.key.jkt, ...assertion };
    return { ...asked(verifier), ...optional, ...web };
  }
  const code = await at.code({ redirect_uri: WEB_REDIRECT }, { as: await at.assertion() });
  if (endpoint === "code") return { ...code, ...assertion };
  const { json } = await at.post("/oauth/token", { ...code, ...(await at.assertion()) });
  const token = String(json.refresh_token);
  if (endpoint === "refresh")
    return { grant_type: "refresh_token", refresh_token: token, scope: "atproto", ...assertion };
  return { token, token_type_hint: "refresh_token", ...assertion };
}

function bodyOf(fields: Record<string, string>, name: string, damage: Damage): string {
  const form = new URLSearchParams(fields);
  if (damage === "missing") form.delete(name);
  if (damage === "empty") form.set(name, "");
  if (damage === "doubled") form.append(name, fields[name] ?? "");
  if (damage === "oversized") form.set(name, OVERSIZED);
  return form.toString();
}

/** What a field that is not there, or far too long, leads to; null where the request is good without it. */
const FIELDS: Readonly<
  Record<Endpoint, Readonly<Record<string, [missing: string | null, oversized: string | null]>>>
> = {
  par: {
    response_type: ["invalid_request", "unsupported_response_type"],
    redirect_uri: ["invalid_request", "invalid_request"],
    scope: ["invalid_scope", "invalid_scope"],
    state: ["invalid_request", "invalid_request"],
    code_challenge: ["invalid_request", "invalid_request"],
    code_challenge_method: ["invalid_request", "invalid_request"],
    response_mode: [null, "invalid_request"],
    prompt: [null, "invalid_request"],
    login_hint: [null, "invalid_request"],
    ui_locales: [null, null],
    dpop_jkt: [null, "invalid_request"],
  },
  code: {
    grant_type: ["invalid_request", "unsupported_grant_type"],
    code: ["invalid_request", "invalid_grant"],
    redirect_uri: ["invalid_request", "invalid_grant"],
    code_verifier: ["invalid_request", "invalid_grant"],
  },
  refresh: {
    grant_type: ["invalid_request", "unsupported_grant_type"],
    refresh_token: ["invalid_request", "invalid_grant"],
    scope: [null, "invalid_scope"],
  },
  revoke: { token: ["invalid_request", null], token_type_hint: [null, null] },
  introspect: { token: ["invalid_request", null], token_type_hint: [null, null] },
};
const OF_CLIENT: Readonly<Record<string, [missing: string, oversized: string]>> = {
  client_id: ["invalid_request", "invalid_client"],
  client_assertion: ["invalid_client", "invalid_client"],
  client_assertion_type: ["invalid_client", "invalid_client"],
};

const rows = Object.entries(FIELDS).flatMap(([endpoint, fields]) =>
  Object.entries({ ...OF_CLIENT, ...fields }).flatMap(([name, [missing, oversized]]) =>
    (["missing", "empty", "doubled", "oversized"] as const).map(
      (damage): [Endpoint, Damage, string, string | null] => {
        const error = damage === "oversized" ? oversized : missing;
        return [endpoint as Endpoint, damage, name, damage === "doubled" ? "invalid_request" : error];
      },
    ),
  ),
);

test.each(rows)("%s: %s %s leads to %p", async (endpoint, damage, name, error) => {
  const fields = await good(endpoint);
  const answer = await at.post(PATHS[endpoint], bodyOf(fields, name, damage));
  if (error === null) {
    expect(answer.status).toBeLessThan(300);
    return;
  }
  expectRefused(answer, error);
  // What was refused for its form has used nothing up.
  const again = { ...fields, ...(await at.assertion()) };
  if (endpoint !== "par") expect((await at.post(PATHS[endpoint], again)).status).toBe(200);
});

function expectRefused({ status, json, headers }: Answer, error: string): void {
  expect({ status, error: json.error }).toEqual({ status: 400, error });
  expect(Object.keys(json).toSorted()).toEqual(["error", "error_description"]);
  expect(headers.get("cache-control")).toBe("no-store");
}

const base64url = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** A proof by hand: what its head says, and what signs it. */
async function forged(path: string, { head, key }: { head: object; key?: Uint8Array }): Promise<string> {
  const [, claims = ""] = (await at.proof(path)).split(".");
  const text = `${base64url({ typ: "dpop+jwt", jwk: at.key.jwk, ...head })}.${claims}`;
  if (!key) return `${text}.`;
  return `${text}.${createHmac("sha256", key).update(text).digest("base64url")}`;
}

describe("a proof at PAR and at the token endpoint", () => {
  const nowS = () => Math.floor(at.nowMs / 1000);
  const claiming = (path: string, claims: object) => at.proof(path, { claims });
  const proofs: [title: string, make: (path: string) => Promise<string>, error?: string][] = [
    ["of another method", (path) => claiming(path, { htm: "GET" })],
    ["of a method in small letters", (path) => claiming(path, { htm: "post" })],
    ["of another URL", (path) => claiming(path, { htu: `${ISSUER}/oauth/revoke` })],
    ["of another origin", (path) => claiming(path, { htu: `https://evil.example${path}` })],
    ["of another scheme", (path) => claiming(path, { htu: `http://pds.example.com${path}` })],
    ["of another port", (path) => claiming(path, { htu: `${ISSUER}:8443${path}` })],
    ["of the path alone", (path) => claiming(path, { htu: path })],
    ["with a query", (path) => claiming(path, { htu: `${ISSUER}${path}?a=b` })],
    ["with an empty query", (path) => claiming(path, { htu: `${ISSUER}${path}?` })],
    ["with a fragment", (path) => claiming(path, { htu: `${ISSUER}${path}#a` })],
    ["without a jti", (path) => claiming(path, { jti: undefined })],
    ["with an oversized jti", (path) => claiming(path, { jti: "j".repeat(257) })],
    ["with a jti that is a number", (path) => claiming(path, { jti: 1 })],
    ["from the past", (path) => claiming(path, { iat: nowS() - 301 })],
    ["from the future", (path) => claiming(path, { iat: nowS() + 301 })],
    ["whose iat is a text", (path) => claiming(path, { iat: String(nowS()) })],
    ["without a nonce", (path) => claiming(path, { nonce: undefined }), "use_dpop_nonce"],
    [
      "with a nonce that is a list",
      (path) => claiming(path, { nonce: [at.nonces.current()] }),
      "use_dpop_nonce",
    ],
    ["with an invented nonce", (path) => claiming(path, { nonce: "n".repeat(43) }), "use_dpop_nonce"],
    ["with alg none", (path) => forged(path, { head: { alg: "none" } })],
    ["with alg None", (path) => forged(path, { head: { alg: "None" } })],
    [
      "signed by HMAC with the public key as secret",
      (path) => forged(path, { head: { alg: "HS256" }, key: Buffer.from(JSON.stringify(at.key.jwk)) }),
    ],
    [
      "signed by HMAC that says it is ES256",
      (path) => forged(path, { head: { alg: "ES256" }, key: Buffer.from(at.key.jwk.x ?? "") }),
    ],
    [
      "with a symmetric key",
      (path) =>
        forged(path, { head: { alg: "HS256", jwk: { kty: "oct", k: "AAAA" } }, key: Buffer.alloc(3) }),
    ],
    ["by another key than it names", async (path) => named(path, await newKey())],
    ["of another typ", (path) => at.proof(path, { head: { typ: "jwt" } })],
    [
      "with an unknown critical header",
      (path) => forged(path, { head: { alg: "ES256", crit: ["x"], x: 1 } }),
    ],
    ["twice in one header", async (path) => `${await at.proof(path)}, ${await at.proof(path)}`],
    ["that is oversized", (path) => claiming(path, { more: "m".repeat(5_000) })],
    ["that is none", async () => "proof"],
  ];
  const named = (path: string, { jwk }: Key) => at.proof(path, { head: { jwk } });
  const all = proofs.flatMap(([title, make, error = "invalid_dpop_proof"]) =>
    (["par", "code", "refresh"] as const).map((endpoint): [Endpoint, string, typeof make, string] => [
      endpoint,
      title,
      make,
      error,
    ]),
  );

  test.each(all)("%s: %s", async (endpoint, _title, make, error) => {
    const [path, fields] = [PATHS[endpoint], await good(endpoint)];
    expectRefused(await at.post(path, fields, { proof: await make(path) }), error);
    // The assertion is as good as before: it had not been looked at.
    expect((await at.post(path, fields)).status).toBeLessThan(300);
  });

  test.each(["code", "refresh"] as const)("%s: a proof of another key, or none", async (endpoint) => {
    const fields = await good(endpoint);
    expectRefused(await at.post(PATHS[endpoint], fields, { proof: null }), "invalid_dpop_proof");
    const proof = await at.proof(PATHS[endpoint], { key: await newKey() });
    expectRefused(await at.post(PATHS[endpoint], fields, { proof }), "invalid_grant");
    const again = { ...fields, ...(await at.assertion()) };
    expect((await at.post(PATHS[endpoint], again)).status).toBe(200);
  });
});

describe("an assertion", () => {
  const forgeries: [title: string, make: () => Promise<string>][] = [
    ["with alg none", async () => `${base64url({ alg: "none", kid: "key-1" })}.${await claims()}.`],
    [
      "signed by HMAC with the public key as secret",
      async () => {
        const text = `${base64url({ alg: "HS256", kid: "key-1" })}.${await claims()}`;
        const key = JSON.stringify(at.clientKey.jwk);
        return `${text}.${createHmac("sha256", key).update(text).digest("base64url")}`;
      },
    ],
    ["by an algorithm that the document does not name", async () => (await k256Assertion()).jwt],
    ["that is good from tomorrow", () => signed({ nbf: Math.floor(at.nowMs / 1000) + 86_400 })],
    ["whose exp is a text", () => signed({ exp: "tomorrow" })],
    ["whose iat is a text", () => signed({ iat: "now" })],
    ["whose jti is oversized", () => signed({ jti: "j".repeat(257) })],
    ["whose jti is empty", () => signed({ jti: "" })],
    ["for the metadata's URL", () => signed({ aud: `${ISSUER}/` })],
    ["with its key inside", async () => inside(await newKey())],
    ["of an oversized kid", () => at.signed({ sub: CONFIDENTIAL }, { head: { kid: "k".repeat(257) } })],
  ];
  const signed = (more: object) => at.signed({ sub: CONFIDENTIAL, ...more });
  const claims = async () => (await signed({})).split(".")[1] ?? "";
  const inside = (key: Key) =>
    at.signed({ sub: CONFIDENTIAL }, { key, head: { kid: "key-1", jwk: key.jwk } });

  test.each(forgeries)("%s", async (_title, make) => {
    const fields = { ...(await good("code")), client_assertion: await make() };
    expectRefused(await at.post("/oauth/token", fields), "invalid_client");
  });

  test("by ES256K is taken of a client that says so, once, and by no other key", async () => {
    const { jwk, jwt } = await k256Assertion();
    const id = "https://k256.example.org/client.json";
    const auth = { token_endpoint_auth_method: "private_key_jwt", token_endpoint_auth_signing_alg: "ES256K" };
    at.documents.set(id, { ...documentOf(id), ...auth, jwks: { keys: [jwk] } });
    const send = async (assertion: string) =>
      at.post("/oauth/par", {
        ...asked(randomBytes(32).toString("base64url")),
        ...{ client_id: id, client_assertion: assertion },
        client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
      });
    const own = (await k256Assertion(id)).jwt;
    expect((await send(own)).status).toBe(201);
    for (const bad of [own, jwt, (await k256Assertion(id, 8)).jwt])
      expectRefused(await send(bad), "invalid_client");
  });
});

/** An assertion by secp256k1, which jose does not sign by. */
async function k256Assertion(id = CONFIDENTIAL, fill = 7): Promise<{ jwk: JWK; jwt: string }> {
  const privateKey = new Uint8Array(32).fill(fill);
  const point = Buffer.from(secp256k1.getPublicKey(new Uint8Array(32).fill(7), false));
  const [x, y] = [point.subarray(1, 33).toString("base64url"), point.subarray(33).toString("base64url")];
  const nowS = Math.floor(at.nowMs / 1000);
  const times = { iat: nowS, exp: nowS + 60, jti: randomBytes(8).toString("hex") };
  const claims = { iss: id, sub: id, aud: ISSUER, ...times };
  const text = `${base64url({ alg: "ES256K", kid: "key-1" })}.${base64url(claims)}`;
  const signature = await signerFromPrivateKey("k256", privateKey).sign(Buffer.from(text));
  return {
    jwk: { kty: "EC", crv: "secp256k1", x, y, kid: "key-1" },
    jwt: `${text}.${Buffer.from(signature).toString("base64url")}`,
  };
}

describe("redirect URIs that are mixed up", () => {
  const own = "https://public.example.org/callback";
  test.each([
    `${own}?`,
    `${own}?a=b`,
    `${own}#`,
    `${own}/`,
    `${own}/../callback`,
    `${own}%2f..`,
    "https://public.example.org/CALLBACK",
    "https://PUBLIC.example.org/callback",
    "https://public.example.org:443/callback",
    "https://public.example.org:8443/callback",
    "https://public.example.org./callback",
    "https://public.example.org@evil.example/callback",
    "https://user@public.example.org/callback",
    "http://public.example.org/callback",
    "https://public.example.org.evil.example/callback",
    "//public.example.org/callback",
    " https://public.example.org/callback",
    "https://public.example.org/callback\n",
    "javascript:alert(1)",
    "data:text/html,x",
    "http://127.0.0.1/callback",
    "org.example.public:/callback",
  ])("%j is not the app's", async (redirect_uri) => {
    const fields = { ...asked(randomBytes(32).toString("base64url")), redirect_uri };
    expectRefused(await at.post("/oauth/par", fields), "invalid_request");
  });

  test("a code goes with the one that was pushed, not with another of the app", async () => {
    const code = await at.code({ redirect_uri: WEB_REDIRECT });
    expectRefused(await at.post("/oauth/token", { ...code, redirect_uri: own }), "invalid_grant");
    expect((await at.post("/oauth/token", code)).status).toBe(200);
  });
});

describe("a document that changes between requests", () => {
  const id = "https://changing.example.org/client.json";
  const changes: [title: string, change: object | undefined][] = [
    ["is gone", undefined],
    ["takes its redirect URI back", { redirect_uris: [WEB_REDIRECT] }],
    ["takes a part of its scope back", { scope: "atproto" }],
    ["has another client_id", { client_id: PUBLIC }],
  ];

  test.each(changes)("%s: a request from before leads nowhere", async (_title, change) => {
    at.documents.set(id, { ...documentOf(id), client_uri: undefined });
    at.pass(11 * 60_000);
    const fields = { ...asked(randomBytes(32).toString("base64url")), client_id: id };
    const { json } = await at.post("/oauth/par", fields);
    const request = { requestUri: String(json.request_uri), clientId: id, device: DEVICE };
    expect((await at.requests.open(request)).client.id).toBe(id);
    // As long as people may take, and longer than a document is kept.
    at.pass(11 * 60_000);
    if (change) at.documents.set(id, { ...documentOf(id), client_uri: undefined, ...change });
    else at.documents.delete(id);
    await expect(at.requests.open(request)).rejects.toMatchObject({
      error: expect.stringMatching(/^invalid_(request|client_metadata)$/),
    });
  });

  test("an app that begins to authenticate, or ceases to, loses what it has", async () => {
    const keys = { token_endpoint_auth_method: "private_key_jwt", jwks: { keys: [at.clientKey.jwk] } };
    const plain = { ...documentOf(id), client_uri: undefined };
    const assertion = async () => ({
      ...(await at.assertion({ claims: { iss: id, sub: id } })),
      client_id: id,
    });
    for (const [before, after] of [
      [plain, { ...plain, ...keys }],
      [{ ...plain, ...keys }, plain],
    ] as const) {
      at.documents.set(id, before);
      at.pass(11 * 60_000);
      const as = async (document: object): Promise<Fields> =>
        "jwks" in document ? assertion() : { client_id: id };
      const code = await at.code({}, { as: await as(before) });
      const { json } = await at.post("/oauth/token", { ...code, ...(await as(before)) });
      at.pass(9.5 * 60_000);
      const late = await at.code({}, { as: await as(before) });
      at.documents.set(id, after);
      at.pass(60_000);
      const refresh = { grant_type: "refresh_token", refresh_token: String(json.refresh_token) };
      expectRefused(await at.post("/oauth/token", { ...refresh, ...(await as(after)) }), "invalid_grant");
      expectRefused(await at.post("/oauth/token", { ...late, ...(await as(after)) }), "invalid_grant");
      expect(at.store.grantsOf(DID).filter(({ clientId }) => clientId === id)).toEqual([]);
    }
  });
});

describe("what a person leaves of a scope", () => {
  const scope = `${SCOPE} repo:app.bsky.feed.like`;
  const nothing = (promise: Promise<unknown>) =>
    promise.then(
      () => "approved",
      (error: { error?: string }) => error.error,
    );
  const open = async () => {
    const { json } = await at.post("/oauth/par", { ...asked(randomBytes(32).toString("base64url")), scope });
    return at.requests.open({ requestUri: String(json.request_uri), clientId: PUBLIC, device: DEVICE });
  };

  test.each([
    "repo:app.bsky.feed.post",
    "",
    "atproto repo:*",
    "atproto repo:app.bsky.feed.post repo:app.bsky.graph.follow",
    "atproto blob:*/*",
    "atproto transition:generic",
    "atproto rpc:*?aud=did:web:api.bsky.app%23bsky_appview",
    "atproto account:email",
    "atproto identity:*",
    "atproto include:com.example.app.authFull",
  ])("%j is more than was asked, and grants nothing", async (more) => {
    const { id } = await open();
    const approval = { device: DEVICE, did: DID, scope: more };
    expect(await nothing(at.requests.approve(id, approval))).toBe("invalid_scope");
    expect(at.store.request(id)?.codeHash).toBeNull();
  });

  test.each([
    ["atproto", "atproto"],
    ["atproto repo:app.bsky.feed.post", "atproto repo:app.bsky.feed.post"],
    ["atproto repo:app.bsky.feed.post?action=create", undefined],
    ["atproto repo?collection=app.bsky.feed.post", "atproto repo:app.bsky.feed.post"],
    ["atproto what:ever", "atproto"],
  ])("%j is a part: %j is granted", async (part, expanded) => {
    const { id } = await open();
    const approval = { device: DEVICE, did: DID, scope: part };
    expect(await nothing(at.requests.approve(id, approval))).toBe(expanded ? "approved" : "invalid_scope");
    expect(at.store.request(id)?.expanded).toEqual(expanded ?? null);
    expect(at.store.request(id)?.scope ?? "").not.toContain("what:ever");
  });
});

test("requests.open() takes no request_uri of another form or size", async () => {
  const { json } = await at.post("/oauth/par", asked(randomBytes(32).toString("base64url")));
  const uri = String(json.request_uri);
  for (const requestUri of [
    "",
    uri.slice(0, -1),
    ` ${uri}`,
    uri.toUpperCase(),
    OVERSIZED,
    `${uri}${OVERSIZED}`,
  ]) {
    await expect(at.requests.open({ requestUri, clientId: PUBLIC, device: DEVICE })).rejects.toMatchObject({
      error: "invalid_request",
    });
  }
  expect((await at.requests.open({ requestUri: uri, clientId: PUBLIC, device: DEVICE })).client.id).toBe(
    PUBLIC,
  );
});

test("a request object with alg none, or by HMAC, is refused", async () => {
  const fields = { ...asked(randomBytes(32).toString("base64url")), redirect_uri: WEB_REDIRECT };
  const claims = { ...fields, client_id: CONFIDENTIAL, iss: CONFIDENTIAL, aud: ISSUER, jti: "1" };
  const nowS = Math.floor(at.nowMs / 1000);
  const none = `${base64url({ alg: "none", kid: "key-1" })}.${base64url({ ...claims, iat: nowS })}.`;
  const hmac = await new SignJWT({ ...claims, iat: nowS })
    .setProtectedHeader({ alg: "HS256", kid: "key-1" })
    .sign(Buffer.from(JSON.stringify(at.clientKey.jwk).padEnd(32)));
  for (const request of [none, hmac]) {
    expectRefused(
      await at.post("/oauth/par", { ...(await at.assertion()), request }),
      "invalid_request_object",
    );
  }
});
