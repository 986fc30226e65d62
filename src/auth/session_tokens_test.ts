import { expect, test } from "bun:test";
import { createHmac, generateKeyPairSync } from "node:crypto";
import { decodeJwt, decodeProtectedHeader, SignJWT } from "jose";
import { REMEMBERED_TOKENS_MAX, SessionTokens, TOKEN_CHARS_MAX } from "./session_tokens.ts";

const DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const SERVICE = "did:web:pds.example.com";
const SECRET = "a secret of some length";
const NOW_S = 1_790_000_000;
const DAY_S = 86_400;

function makeTokens(options: { nowS?: number; secret?: string; serviceDid?: string } = {}) {
  let nowMs = (options.nowS ?? NOW_S) * 1000;
  const tokens = new SessionTokens({
    secret: options.secret ?? SECRET,
    serviceDid: options.serviceDid ?? SERVICE,
    now: () => nowMs,
  });
  return { tokens, setNow: (seconds: number) => (nowMs = seconds * 1000) };
}

function issue(tokens: SessionTokens, scope = "com.atproto.access" as const) {
  return tokens.issue({
    did: DID,
    scope,
    refreshId: "row 1",
    refreshExpiresAt: (NOW_S + 90 * DAY_S) * 1000,
    refreshIssuedAt: NOW_S * 1000,
  });
}

const b64 = (value: unknown) =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
const GOOD_HEADER = { typ: "at+jwt", alg: "HS256" };
const GOOD_PAYLOAD = { scope: "com.atproto.access", sub: DID, aud: SERVICE, iat: NOW_S, exp: NOW_S + 7200 };

/** A token with any header and payload, signed by HMAC with the right secret unless told otherwise. */
function forge(header: object, payload: object | string, secret = SECRET): string {
  const input = `${b64(header)}.${b64(payload)}`;
  return `${input}.${createHmac("sha256", secret).update(input).digest("base64url")}`;
}

test("SessionTokens.issue makes the tokens of the reference", async () => {
  const { accessJwt, refreshJwt } = await issue(makeTokens().tokens);
  expect(decodeProtectedHeader(accessJwt)).toEqual({ typ: "at+jwt", alg: "HS256" });
  expect(decodeJwt(accessJwt)).toEqual(GOOD_PAYLOAD);
  expect(decodeProtectedHeader(refreshJwt)).toEqual({ typ: "refresh+jwt", alg: "HS256" });
  expect(decodeJwt(refreshJwt)).toEqual({
    scope: "com.atproto.refresh",
    sub: DID,
    aud: SERVICE,
    jti: "row 1",
    iat: NOW_S,
    exp: NOW_S + 90 * DAY_S,
  });
});

test("SessionTokens verifies what it issued, and what anyone with the secret signs in that form", async () => {
  const { tokens } = makeTokens();
  const { accessJwt, refreshJwt } = await issue(tokens);
  const claims = { did: DID, scope: "com.atproto.access" as const, exp: NOW_S + 7200 };
  expect(await tokens.verifyAccess(accessJwt)).toEqual(claims);
  expect(await tokens.verifyAccess(accessJwt)).toEqual(claims);
  expect(await tokens.verifyAccess(forge(GOOD_HEADER, GOOD_PAYLOAD))).toEqual(claims);
  expect(await tokens.verifyRefresh(refreshJwt)).toEqual({ did: DID, tokenId: "row 1" });
});

test("SessionTokens refuses an expired access token, also one that it verified before", async () => {
  const { tokens, setNow } = makeTokens();
  const { accessJwt } = await issue(tokens);
  setNow(NOW_S + 7199);
  await tokens.verifyAccess(accessJwt);
  setNow(NOW_S + 7200);
  await expect(tokens.verifyAccess(accessJwt)).rejects.toMatchObject({ code: "expired_token" });
  const fresh = makeTokens({ nowS: NOW_S + 7200 }).tokens;
  await expect(fresh.verifyAccess(accessJwt)).rejects.toMatchObject({ code: "expired_token" });
});

test("SessionTokens.verifyRefresh accepts an expired token only where that is allowed", async () => {
  const { refreshJwt } = await issue(makeTokens().tokens);
  const later = makeTokens({ nowS: NOW_S + 91 * DAY_S }).tokens;
  await expect(later.verifyRefresh(refreshJwt)).rejects.toMatchObject({ code: "expired_token" });
  expect(await later.verifyRefresh(refreshJwt, { allowExpired: true })).toEqual({
    did: DID,
    tokenId: "row 1",
  });
  const other = makeTokens({ nowS: NOW_S + 91 * DAY_S, secret: "another" }).tokens;
  const forged = other.verifyRefresh(refreshJwt, { allowExpired: true });
  await expect(forged).rejects.toMatchObject({ code: "invalid_token" });
});

const REFUSED: [what: string, token: string][] = [
  ["an empty text", ""],
  ["no JWT at all", "hello"],
  ["two parts", `${b64(GOOD_HEADER)}.${b64(GOOD_PAYLOAD)}`],
  ["alg none with no signature", `${b64({ typ: "at+jwt", alg: "none" })}.${b64(GOOD_PAYLOAD)}.`],
  ["alg none with the right HMAC", forge({ typ: "at+jwt", alg: "none" }, GOOD_PAYLOAD)],
  ["alg NONE", forge({ typ: "at+jwt", alg: "NONE" }, GOOD_PAYLOAD)],
  ["alg HS512 named over an HS256 signature", forge({ typ: "at+jwt", alg: "HS512" }, GOOD_PAYLOAD)],
  ["alg RS256 named over an HMAC", forge({ typ: "at+jwt", alg: "RS256" }, GOOD_PAYLOAD)],
  ["no alg", forge({ typ: "at+jwt" }, GOOD_PAYLOAD)],
  ["another secret", forge(GOOD_HEADER, GOOD_PAYLOAD, "another")],
  ["an empty secret", forge(GOOD_HEADER, GOOD_PAYLOAD, "\0")],
  ["a changed signature", forge(GOOD_HEADER, GOOD_PAYLOAD).slice(0, -3)],
  ["no typ", forge({ alg: "HS256" }, GOOD_PAYLOAD)],
  ["typ JWT", forge({ typ: "JWT", alg: "HS256" }, GOOD_PAYLOAD)],
  ["typ refresh+jwt", forge({ typ: "refresh+jwt", alg: "HS256" }, GOOD_PAYLOAD)],
  ["an unknown critical header", forge({ ...GOOD_HEADER, crit: ["x"], x: 1 }, GOOD_PAYLOAD)],
  ["another audience", forge(GOOD_HEADER, { ...GOOD_PAYLOAD, aud: "did:web:elsewhere.example" })],
  ["no audience", forge(GOOD_HEADER, { ...GOOD_PAYLOAD, aud: undefined })],
  ["no subject", forge(GOOD_HEADER, { ...GOOD_PAYLOAD, sub: undefined })],
  ["a subject that is no DID", forge(GOOD_HEADER, { ...GOOD_PAYLOAD, sub: "alice.test" })],
  ["a subject that is no text", forge(GOOD_HEADER, { ...GOOD_PAYLOAD, sub: { did: DID } })],
  ["no end", forge(GOOD_HEADER, { ...GOOD_PAYLOAD, exp: undefined })],
  ["an end that is no number", forge(GOOD_HEADER, { ...GOOD_PAYLOAD, exp: "never" })],
  ["no scope", forge(GOOD_HEADER, { ...GOOD_PAYLOAD, scope: undefined })],
  ["the refresh scope", forge(GOOD_HEADER, { ...GOOD_PAYLOAD, scope: "com.atproto.refresh" })],
  ["an OAuth scope", forge(GOOD_HEADER, { ...GOOD_PAYLOAD, scope: "atproto" })],
  ["a key binding", forge(GOOD_HEADER, { ...GOOD_PAYLOAD, cnf: { jkt: "x" } })],
  [
    "an end in the past and another audience",
    forge(GOOD_HEADER, { ...GOOD_PAYLOAD, exp: 1, aud: "did:x:y" }),
  ],
  ["a payload that is no object", forge(GOOD_HEADER, "[]")],
  ["a payload that is no JSON", forge(GOOD_HEADER, "{")],
  ["an oversize payload", forge(GOOD_HEADER, { ...GOOD_PAYLOAD, pad: "x".repeat(TOKEN_CHARS_MAX) })],
];

test.each(REFUSED)("SessionTokens.verifyAccess refuses %s", async (_, token) => {
  await expect(makeTokens().tokens.verifyAccess(token)).rejects.toMatchObject({ code: "invalid_token" });
});

test("SessionTokens refuses a token signed by a key pair of the caller's", async () => {
  for (const alg of ["RS256", "ES256"]) {
    const { privateKey } =
      alg === "RS256"
        ? generateKeyPairSync("rsa", { modulusLength: 2048 })
        : generateKeyPairSync("ec", { namedCurve: "P-256" });
    const token = await new SignJWT(GOOD_PAYLOAD).setProtectedHeader({ typ: "at+jwt", alg }).sign(privateKey);
    await expect(makeTokens().tokens.verifyAccess(token)).rejects.toMatchObject({ code: "invalid_token" });
  }
});

test("SessionTokens keeps the two kinds apart, expired or not", async () => {
  const { tokens, setNow } = makeTokens();
  const { accessJwt, refreshJwt } = await issue(tokens);
  for (const seconds of [NOW_S, NOW_S + 365 * DAY_S]) {
    setNow(seconds);
    await expect(tokens.verifyAccess(refreshJwt)).rejects.toMatchObject({ code: "invalid_token" });
    await expect(tokens.verifyRefresh(accessJwt)).rejects.toMatchObject({ code: "invalid_token" });
  }
});

test("SessionTokens.verifyRefresh refuses a token without an id or with another scope", async () => {
  const { tokens } = makeTokens();
  const header = { typ: "refresh+jwt", alg: "HS256" };
  const payload = { ...GOOD_PAYLOAD, scope: "com.atproto.refresh", jti: "row 1" };
  expect(await tokens.verifyRefresh(forge(header, payload))).toEqual({ did: DID, tokenId: "row 1" });
  for (const change of [{ jti: undefined }, { jti: "" }, { jti: 7 }, { scope: "com.atproto.access" }]) {
    const refused = tokens.verifyRefresh(forge(header, { ...payload, ...change }));
    await expect(refused).rejects.toMatchObject({ code: "invalid_token" });
  }
});

test("SessionTokens quotes no token in an error", async () => {
  const token = forge(GOOD_HEADER, GOOD_PAYLOAD, "another");
  const refusal = await makeTokens()
    .tokens.verifyAccess(token)
    .catch((error: Error) => error);
  expect(String(refusal)).not.toContain(token.slice(-20));
  expect((refusal as Error).cause).toBeUndefined();
});

test("SessionTokens remembers a bounded number of tokens and verifies the others again", async () => {
  const { tokens } = makeTokens();
  const first = forge(GOOD_HEADER, { ...GOOD_PAYLOAD, n: -1 });
  await tokens.verifyAccess(first);
  for (let n = 0; n <= REMEMBERED_TOKENS_MAX; n++) {
    await tokens.verifyAccess(forge(GOOD_HEADER, { ...GOOD_PAYLOAD, n }));
  }
  expect(await tokens.verifyAccess(first)).toMatchObject({ did: DID });
});

test("SessionTokens does not start with an empty secret", () => {
  expect(() => makeTokens({ secret: "" })).toThrow(expect.objectContaining({ code: "config_invalid" }));
});
