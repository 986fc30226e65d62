import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { calculateJwkThumbprint, type JWK } from "jose";
import { hasVectors, vectorJson } from "../../tests/vectors.ts";
import { parsePermissionSet } from "../atproto/mod.ts";
import { hashSecret, OAuthAccess } from "../auth/mod.ts";
import { parseClientMetadata } from "./client_metadata.ts";
import {
  type Answer,
  CONFIDENTIAL,
  type Code,
  DEVICE,
  DID,
  documentOf,
  type Fields,
  ISSUER,
  newKey,
  OAuthFixture,
  PUBLIC,
  SCOPE,
} from "./oauth_fixture.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const WEB_REDIRECT = "https://web.example.org/callback";

let at: OAuthFixture;
beforeAll(async () => {
  at = await OAuthFixture.open();
});
afterAll(() => at[Symbol.asyncDispose]());

const token = (fields: Fields, proof?: string) => at.post("/oauth/token", fields, proof ? { proof } : {});
const exchange = async (): Promise<Answer> => token(await at.code());
const refresh = (answer: Answer, more: Fields = {}) =>
  token({
    grant_type: "refresh_token",
    client_id: PUBLIC,
    refresh_token: String(answer.json.refresh_token),
    ...more,
  });
const webCode = async () => at.code({ redirect_uri: WEB_REDIRECT }, { as: await at.assertion() });
const webExchange = async (): Promise<Answer> => token({ ...(await webCode()), ...(await at.assertion()) });
const webRefresh = async (answer: Answer, options: Parameters<OAuthFixture["assertion"]>[0] = {}) =>
  refresh(answer, await at.assertion(options));

/** Whether an access token still reads anything. */
async function isLive(answer: Answer): Promise<boolean> {
  const { dpop, nonces } = at;
  const access = new OAuthAccess({ grants: at.store, dpop, nonces, publicUrl: ISSUER, now: () => at.nowMs });
  const accessToken = String(answer.json.access_token);
  const ath = createHash("sha256").update(accessToken).digest("base64url");
  const proof = await at.proof("/xrpc/x.y.z", { claims: { htm: "GET", ath } });
  const request = new Request(`${ISSUER}/xrpc/x.y.z?a=b`, { headers: { dpop: proof } });
  return access.verify(request, accessToken).then(
    ({ did }) => did === DID,
    () => false,
  );
}

test("a code becomes tokens, of which only hashes are stored", async () => {
  const code = await at.code();
  const answer = await token(code);
  expect(answer.status).toBe(200);
  expect(answer.json).toEqual({
    access_token: expect.stringMatching(/^at-[\w-]{43}$/),
    refresh_token: expect.stringMatching(/^ref-[\w-]{22}\.[\w-]{43}$/),
    token_type: "DPoP",
    expires_in: 900,
    scope: SCOPE,
    sub: DID,
  });
  expect(answer.headers.get("cache-control")).toBe("no-store");
  const stored = JSON.stringify(at.store.grantsOf(DID));
  for (const secret of [code.code, answer.json.access_token, answer.json.refresh_token]) {
    expect(stored).not.toContain(String(secret));
  }
  expect(await isLive(answer)).toBe(true);
});

describe("the token endpoint refuses", () => {
  const rows: [title: string, change: (code: Code) => Fields | Promise<Fields>, error: string][] = [
    ...["grant_type", "code", "redirect_uri", "code_verifier", "client_id"].flatMap(
      (name): [string, (code: Code) => Fields, string][] => [
        [`a missing ${name}`, () => ({ [name]: undefined }), "invalid_request"],
        [`an empty ${name}`, () => ({ [name]: "" }), "invalid_request"],
      ],
    ),
    ["an oversized code_verifier", () => ({ code_verifier: "v".repeat(129) }), "invalid_grant"],
    ["another grant_type", () => ({ grant_type: "password" }), "unsupported_grant_type"],
    ["another code_verifier", () => ({ code_verifier: "v".repeat(43) }), "invalid_grant"],
    ["another redirect_uri of the app", () => ({ redirect_uri: WEB_REDIRECT }), "invalid_grant"],
    ["a made-up code", () => ({ code: "cod-x" }), "invalid_grant"],
    ["client_secret", () => ({ client_secret: "x" }), "invalid_client"],
    ["the code of another client", () => at.assertion(), "invalid_grant"],
  ];
  test.each(rows)("%s, and the code is still good for its own", async (_title, change, error) => {
    const code = await at.code();
    const refused = await token({ ...code, ...(await change(code)) });
    expect([refused.status, refused.json.error, refused.json.access_token]).toEqual([400, error, undefined]);
    expect((await token(code)).status).toBe(200);
  });

  test("a code with another key's proof", async () => {
    const code = await at.code();
    const proof = await at.proof("/oauth/token", { key: await newKey() });
    expect((await token(code, proof)).json.error).toBe("invalid_grant");
  });

  test("a call without a proof", async () => {
    const answer = await at.post("/oauth/token", await at.code(), { proof: null });
    expect(answer.json.error).toBe("invalid_dpop_proof");
  });

  test("a code after two minutes", async () => {
    const code = await at.code();
    at.pass(2 * MINUTE_MS);
    expect((await token(code)).json.error).toBe("invalid_grant");
  });

  test("a code that was used, and ends what came of it", async () => {
    const code = await at.code();
    const first = await token(code);
    expect((await token(code)).json.error).toBe("invalid_grant");
    expect(await isLive(first)).toBe(false);
    expect((await refresh(first)).json.error).toBe("invalid_grant");
  });

  test("of two calls with one code at the same time at least one, and then both", async () => {
    const code = await at.code();
    const answers = await Promise.all([token(code), token(code)]);
    expect(answers.filter(({ status }) => status === 200).length).toBeLessThanOrEqual(1);
    expect(answers.some(({ status }) => status === 400)).toBe(true);
  });

  test("a client that authenticates otherwise than when it asked", async () => {
    const code = await webCode();
    const key = await newKey("key-9");
    at.keysAre([at.clientKey, key]);
    at.pass(MINUTE_MS);
    expect((await token({ ...code, ...(await at.assertion({ key })) })).json.error).toBe("invalid_grant");
    expect((await token({ ...code, client_id: CONFIDENTIAL })).json.error).toBe("invalid_client");
    at.keysAre([at.clientKey]);
  });
});

describe("refresh", () => {
  test("gives new tokens, and the old ones are worth nothing", async () => {
    const first = await exchange();
    const second = await refresh(first);
    expect(second.json).toMatchObject({ scope: SCOPE, sub: DID, expires_in: 900 });
    expect(await isLive(first)).toBe(false);
    expect(await isLive(second)).toBe(true);
  });

  test("with a token that was used ends the session, whoever asks", async () => {
    for (const thief of [{}, await at.assertion()]) {
      const first = await exchange();
      const second = await refresh(first);
      expect((await refresh(first, thief)).json.error).toBe("invalid_grant");
      expect(await isLive(second)).toBe(false);
      expect((await refresh(second)).json.error).toBe("invalid_grant");
    }
  });

  test("of two calls at the same time ends the session too: one of them is a copy", async () => {
    const first = await exchange();
    const answers = await Promise.all([refresh(first), refresh(first)]);
    const won = answers.find(({ status }) => status === 200);
    if (won) expect(await isLive(won)).toBe(false);
    expect(answers.some(({ json }) => json.error === "invalid_grant")).toBe(true);
  });

  test("by another client or key is refused, and the session stays", async () => {
    const first = await exchange();
    expect((await refresh(first, await at.assertion())).json.error).toBe("invalid_grant");
    const proof = await at.proof("/oauth/token", { key: await newKey() });
    const fields = {
      grant_type: "refresh_token",
      client_id: PUBLIC,
      refresh_token: String(first.json.refresh_token),
    };
    expect((await token(fields, proof)).json.error).toBe("invalid_grant");
    expect((await refresh(first)).status).toBe(200);
  });

  test.each([
    ["none", undefined, "invalid_request"],
    ["nonsense", "ref-", "invalid_grant"],
    ["one of nobody's", `ref-${"a".repeat(22)}.${"b".repeat(43)}`, "invalid_grant"],
    ["an oversized one", `ref-${"a".repeat(5_000)}`, "invalid_grant"],
  ])("with %s is refused", async (_title, value, error) => {
    const answer = await token({ grant_type: "refresh_token", client_id: PUBLIC, refresh_token: value });
    expect([answer.status, answer.json.error]).toEqual([400, error]);
  });

  test("is for apps whose metadata has it", async () => {
    const first = await exchange();
    at.documents.set(PUBLIC, { ...documentOf(PUBLIC), grant_types: ["authorization_code"] });
    at.pass(11 * MINUTE_MS);
    expect((await refresh(first)).json.error).toBe("unauthorized_client");
    const second = await exchange();
    expect([second.status, second.json.refresh_token]).toEqual([200, undefined]);
    at.documents.set(PUBLIC, documentOf(PUBLIC));
    at.pass(11 * MINUTE_MS);
    expect((await refresh(first)).status).toBe(200);
  });

  test("takes no more scope than was granted", async () => {
    const first = await exchange();
    expect((await refresh(first, { scope: "atproto repo:*" })).json.error).toBe("invalid_scope");
    expect((await refresh(first, { scope: "atproto" })).json.scope).toBe(SCOPE);
  });

  test("an access token ends after 15 minutes", async () => {
    const first = await exchange();
    at.pass(15 * MINUTE_MS - 1);
    expect(await isLive(first)).toBe(true);
    at.pass(1);
    expect(await isLive(first)).toBe(false);
  });

  test("of a public client ends 14 days after the sign-in, however often", async () => {
    let answer = await exchange();
    for (let day = 0; day < 13; day++) {
      at.pass(DAY_MS);
      answer = await refresh(answer);
      expect(answer.status).toBe(200);
    }
    at.pass(DAY_MS - MINUTE_MS);
    answer = await refresh(answer);
    expect(answer.json.expires_in).toBe(60);
    at.pass(MINUTE_MS);
    expect((await refresh(answer)).json.error).toBe("invalid_grant");
    expect(await isLive(answer)).toBe(false);
  });

  test("of a confidential client goes on for two years, unless idle for 90 days", async () => {
    let answer = await webExchange();
    for (let quarter = 0; quarter < 8; quarter++) {
      at.pass(89 * DAY_MS);
      answer = await webRefresh(answer);
      expect(answer.status).toBe(200);
    }
    at.pass(19 * DAY_MS);
    expect((await webRefresh(answer)).json.error).toBe("invalid_grant");
    const idle = await webExchange();
    at.pass(90 * DAY_MS);
    expect((await webRefresh(idle)).json.error).toBe("invalid_grant");
  });

  test("by another key of the client is refused; once its own is gone, the session ends", async () => {
    const answer = await webExchange();
    const key = await newKey("key-2");
    at.keysAre([at.clientKey, key]);
    at.pass(11 * MINUTE_MS);
    expect((await webRefresh(answer, { key })).json.error).toBe("invalid_grant");
    at.keysAre([key]);
    at.pass(11 * MINUTE_MS);
    expect((await webRefresh(answer)).json.error).toBe("invalid_client");
    expect((await webRefresh(answer, { key })).json).toMatchObject({
      error: "invalid_grant",
      error_description: expect.stringContaining("does not have the key"),
    });
    at.keysAre([at.clientKey]);
    at.pass(11 * MINUTE_MS);
    expect((await webRefresh(answer)).json.error).toBe("invalid_grant");
  });
});

describe("revocation", () => {
  const revoke = (fields: Fields) =>
    at.post("/oauth/revoke", { client_id: PUBLIC, ...fields }, { proof: null });

  test.each(["access_token", "refresh_token"])("of the %s ends the session at once", async (name) => {
    const answer = await exchange();
    expect((await revoke({ token: String(answer.json[name]) })).status).toBe(200);
    expect(await isLive(answer)).toBe(false);
    expect((await refresh(answer)).json.error).toBe("invalid_grant");
  });

  test("of an unknown token is no error, of another client's is", async () => {
    expect((await revoke({ token: "nonsense" })).status).toBe(200);
    const answer = await exchange();
    const others = await revoke({ token: String(answer.json.access_token), ...(await at.assertion()) });
    expect(others.json.error).toBe("invalid_grant");
    expect((await revoke({})).json.error).toBe("invalid_request");
    expect((await revoke({ token: "x", client_id: undefined })).json.error).toBe("invalid_request");
    expect(await isLive(answer)).toBe(true);
  });

  test("ends with a new password and with a takedown; a request that is approved then too", async () => {
    const answer = await exchange();
    const code = await at.code();
    await at.store.removeAllOf(DID);
    expect(await isLive(answer)).toBe(false);
    expect((await refresh(answer)).json.error).toBe("invalid_grant");
    expect((await token(code)).json.error).toBe("invalid_grant");
  });
});

describe("introspection", () => {
  const look = async (value: unknown, as?: Fields) =>
    at.post(
      "/oauth/introspect",
      { token: String(value), ...(as ?? (await at.assertion())) },
      { proof: null },
    );

  test("tells a confidential client of its own tokens, and nobody of others'", async () => {
    const own = await webExchange();
    expect((await look(own.json.access_token)).json).toMatchObject({
      active: true,
      client_id: CONFIDENTIAL,
      sub: DID,
      scope: SCOPE,
      token_type: "DPoP",
      iss: ISSUER,
      cnf: { jkt: at.key.jkt },
    });
    const next = await webRefresh(own);
    for (const value of [
      own.json.access_token,
      own.json.refresh_token,
      "x",
      (await exchange()).json.access_token,
    ]) {
      expect((await look(value)).json).toEqual({ active: false });
    }
    expect((await look(next.json.refresh_token)).json).toMatchObject({ active: true });
    expect((await look(next.json.access_token, { client_id: PUBLIC })).json.error).toBe("invalid_client");
    at.pass(16 * MINUTE_MS);
    expect((await look(next.json.access_token)).json).toEqual({ active: false });
  });
});

describe("permission sets", () => {
  const nsid = "com.example.app.authFull";
  const setWith = (collection: string) => {
    const permissions = [{ type: "permission", resource: "repo", collection: [collection] }];
    const document = { id: nsid, defs: { main: { type: "permission-set", permissions } } };
    const set = parsePermissionSet(document, { nsid });
    if (!set) throw new Error("Not a set");
    at.sets.set(nsid, set);
  };
  const expandedOf = (answer: Answer) =>
    at.store.grantByAccessToken(hashSecret(String(answer.json.access_token)))?.expanded;

  test("are written out at the approval, anew at a refresh, and kept where they cannot be had", async () => {
    setWith("com.example.app.post");
    const first = await token(await at.code({ scope: `atproto include:${nsid}` }));
    expect(first.json.scope).toBe(`atproto include:${nsid}`);
    expect(expandedOf(first)).toBe("atproto repo:com.example.app.post");
    setWith("com.example.app.like");
    expect(expandedOf(first)).toBe("atproto repo:com.example.app.post");
    const second = await refresh(first);
    expect(expandedOf(second)).toBe("atproto repo:com.example.app.like");
    at.sets.delete(nsid);
    expect(expandedOf(await refresh(second))).toBe("atproto repo:com.example.app.like");
  });
});

test("a loopback client may be sent back to any port of its own, and to no other path", async () => {
  const redirect = "http://127.0.0.1:49152/callback";
  const client_id = `http://localhost?${new URLSearchParams({ redirect_uri: "http://127.0.0.1/callback", scope: SCOPE })}`;
  const answer = await token(await at.code({ client_id, redirect_uri: redirect }));
  expect(answer.status).toBe(200);
  for (const other of [
    "http://127.0.0.1:49152/other",
    "http://localhost:49152/callback",
    "http://[::1]/callback",
  ]) {
    await expect(at.code({ client_id, redirect_uri: other })).rejects.toThrow("invalid_request");
  }
});

test("a native client goes to its own scheme", () => {
  const id = "https://app.example.org/client.json";
  const native = (uri: string) => () =>
    parseClientMetadata({ ...documentOf(id), application_type: "native", redirect_uris: [uri] }, { id });
  for (const uri of ["org.example.app:/callback", "https://app.example.org/cb", "http://127.0.0.1:8080/cb"]) {
    expect(native(uri)).not.toThrow();
  }
  for (const uri of [
    "org.example.app://callback",
    "org.example.other:/cb",
    "myapp:/cb",
    "https://web.example.org/cb",
  ]) {
    expect(native(uri)).toThrow(expect.objectContaining({ error: "invalid_redirect_uri" }));
  }
});

const DOCUMENTS = "identity-oauth-documents";
const RFCS = "rfc-oauth";

test.if(hasVectors(DOCUMENTS))("documents of apps in the wild are taken", () => {
  for (const name of ["flaskdemo", "smokesignal", "statusphere"]) {
    const document = vectorJson<{ client_id: string }>(`${DOCUMENTS}/${name}-client-metadata.json`);
    expect(parseClientMetadata(document, { id: document.client_id }).scope).toBe(
      "atproto transition:generic",
    );
  }
});

test.if(hasVectors(DOCUMENTS))("our metadata has every field that others' has", async () => {
  const answer = await at.server.fetch(new Request(`${ISSUER}/.well-known/oauth-authorization-server`), {
    ip: "::1",
  });
  const ours = (await answer?.json()) as Record<string, unknown>;
  const theirs = vectorJson<object>(`${DOCUMENTS}/indie-authorization-server.json`);
  for (const field of Object.keys(theirs)) expect(Object.keys(ours)).toContain(field);
  expect(ours).toMatchObject({
    issuer: ISSUER,
    require_pushed_authorization_requests: true,
    authorization_response_iss_parameter_supported: true,
    client_id_metadata_document_supported: true,
    code_challenge_methods_supported: ["S256"],
  });
  expect(ours.token_endpoint_auth_signing_alg_values_supported).not.toContain("none");
});

test.if(hasVectors(RFCS))("PKCE and thumbprints are those of the RFCs", async () => {
  const vectors = vectorJson<{
    pkce_s256: Record<string, string>;
    jwk_thumbprint: { jwk: JWK; jkt: string };
  }>(`${RFCS}/rfc-vectors.json`);
  const { code_verifier: verifier = "", code_challenge: challenge = "" } = vectors.pkce_s256;
  const pushed = await at.post("/oauth/par", {
    client_id: PUBLIC,
    response_type: "code",
    redirect_uri: "https://public.example.org/callback",
    scope: "atproto",
    state: "s",
    code_challenge: challenge,
    code_challenge_method: "S256",
  });
  const open = await at.requests.open({
    requestUri: String(pushed.json.request_uri),
    clientId: PUBLIC,
    device: DEVICE,
  });
  const { parameters } = await at.requests.approve(open.id, { device: DEVICE, did: DID });
  const answer = await token({
    grant_type: "authorization_code",
    client_id: PUBLIC,
    code: parameters.code,
    redirect_uri: "https://public.example.org/callback",
    code_verifier: verifier,
  });
  expect(answer.status).toBe(200);
  expect(await calculateJwkThumbprint(vectors.jwk_thumbprint.jwk)).toBe(vectors.jwk_thumbprint.jkt);
});
