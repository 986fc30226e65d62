import { expect, test } from "bun:test";
import { KithError } from "../errors.ts";
import { HeaderAuthenticator } from "./authenticator.ts";
import { DpopNonces } from "./dpop_nonces.ts";
import {
  type AccessGrant,
  dpopChallenge,
  hashSecret,
  OAuthAccess,
  PERMISSIONS_KEPT_MAX,
} from "./oauth_access.ts";
import type { AuthKind } from "./principal.ts";
import { SessionTokens } from "./session_tokens.ts";

const URL_ = "http://pds.test/xrpc/x.y.z?a=b";
const states = ["active", "deactivated", "takendown", "suspended", "deleting", "deleted"];
let nowMs = 1_000;
const seen: unknown[] = [];

const grantOf = (state: string): AccessGrant => ({
  id: `grant ${state}`,
  did: `did:plc:${state}`,
  clientId: "https://app.example.com/client.json",
  dpopJkt: "jkt",
  expanded: "atproto repo:app.bsky.feed.post",
  accessExpiresAt: 2_000,
});
const grants = new Map(states.map((state) => [hashSecret(`at-${state}`), grantOf(state)]));
const nonces = new DpopNonces({ secret: new Uint8Array(32), now: () => nowMs });
const oauth = new OAuthAccess({
  grants: { grantByAccessToken: (hash) => grants.get(hash) },
  dpop: {
    verify: async (request) => {
      seen.push(request);
      if (request.proof === null) throw new KithError("invalid_dpop_proof", "there is none");
      return { jkt: request.proof };
    },
  },
  nonces,
  publicUrl: "https://pds.example.com",
  now: () => nowMs,
});
const authenticator = new HeaderAuthenticator({
  tokens: new SessionTokens({ secret: "secret", serviceDid: "did:web:pds.test" }),
  serviceTokens: { verify: () => Promise.reject(new KithError("bad_service_token", "no")) },
  oauth,
  adminPassword: "x",
  accounts: {
    account: (did) => {
      const state = did.replace("did:plc:", "");
      return states.includes(state) ? { state } : undefined;
    },
  },
});

const request = (authorization: string, proof: string | undefined = "jkt") =>
  new Request(URL_, { headers: { authorization, ...(proof === "" ? {} : { dpop: proof }) } });

const ROWS: [authorization: string, proof: string, kind: AuthKind, expected: string | null][] = [
  ["DPoP at-active", "jkt", "access", "grant active"],
  ["dpop at-active", "jkt", "access", "grant active"],
  ["DPoP at-active", "jkt", "optional", "grant active"],
  ["DPoP at-active", "jkt", "full", "grant active"],
  ["DPoP at-active", "jkt", "anySession", "grant active"],
  ["DPoP at-active", "jkt", "fullOrTakendown", "grant active"],
  ["DPoP at-active", "jkt", "accessOrService", "grant active"],
  ["DPoP at-active", "jkt", "optionalService", null],
  ["DPoP at-active", "jkt", "none", null],
  ["DPoP at-active", "jkt", "refresh", "invalid_token"],
  ["DPoP at-active", "jkt", "service", "invalid_token"],
  ["DPoP at-active", "jkt", "moderator", "invalid_token"],
  ["DPoP at-active", "jkt", "admin", "auth_required"],
  ["DPoP at-deactivated", "jkt", "access", "grant deactivated"],
  ["DPoP at-takendown", "jkt", "access", "account_takendown"],
  ["DPoP at-takendown", "jkt", "anySession", "account_takendown"],
  ["DPoP at-takendown", "jkt", "optional", "account_takendown"],
  ["DPoP at-suspended", "jkt", "access", "account_suspended"],
  ["DPoP at-deleting", "jkt", "access", "account_not_found"],
  ["DPoP at-deleted", "jkt", "access", "account_not_found"],
  ["DPoP at-active", "", "access", "invalid_dpop_proof"],
  ["DPoP at-active", "another key", "access", "invalid_access_token"],
  ["DPoP at-unknown", "jkt", "access", "invalid_access_token"],
  [`DPoP at-${"x".repeat(200)}`, "jkt", "access", "invalid_access_token"],
  ["DPoP eyJhbGciOiJIUzI1NiJ9.e30.x", "jkt", "access", "invalid_access_token"],
  ["Bearer at-active", "jkt", "access", "invalid_access_token"],
  ["Bearer at-active", "jkt", "accessOrService", "invalid_access_token"],
];
test.each(ROWS)(
  "HeaderAuthenticator: %s, key %p, for %s is %p",
  async (authorization, proof, kind, expected) => {
    const outcome = await authenticator
      .authenticate(request(authorization, proof), kind, { nsid: "x.y.z" })
      .then(
        (principal) => (principal?.kind === "oauth" ? principal.tokenId : principal),
        (error: KithError) => error.code,
      );
    expect(outcome).toBe(expected as string);
  },
);

test("OAuthAccess.verify() wants the proof to be for the public URL without its query, and for the token", async () => {
  seen.length = 0;
  await oauth.verify(request("DPoP at-active"), "at-active");
  const url = "https://pds.example.com/xrpc/x.y.z";
  expect(seen).toEqual([{ proof: "jkt", method: "GET", url, accessToken: "at-active" }]);
});

test("OAuthAccess.verify() refuses a token after its time", async () => {
  nowMs = 2_000;
  await expect(oauth.verify(request("DPoP at-active"), "at-active")).rejects.toMatchObject({
    code: "invalid_access_token",
  });
  nowMs = 1_000;
});

test("OAuthAccess keeps the permissions of a scope, and of a bounded number of them", async () => {
  const of = async () => (await oauth.verify(request("DPoP at-active"), "at-active")).permissions;
  const first = await of();
  expect(await of()).toBe(first);
  for (let i = 0; i < PERMISSIONS_KEPT_MAX; i++) {
    grants.set(hashSecret("at-other"), { ...grantOf("active"), expanded: `atproto x${i}` });
    await oauth.verify(request("DPoP at-other"), "at-other");
  }
  expect(await of()).not.toBe(first);
});

test("HeaderAuthenticator.answerHeaders() gives the nonce to who sends proofs", () => {
  expect(authenticator.answerHeaders(request("DPoP x", ""))).toEqual({ "DPoP-Nonce": nonces.current() });
  expect(authenticator.answerHeaders(request("Bearer x"))).toEqual({ "DPoP-Nonce": nonces.current() });
  expect(authenticator.answerHeaders(request("Bearer x", ""))).toBeUndefined();
});

test("dpopChallenge() says what RFC 9449 wants, in its alphabet", () => {
  expect(dpopChallenge(new KithError("use_dpop_nonce", 'it needs "ä"'))).toBe(
    `DPoP error="use_dpop_nonce", error_description="it needs '?'", algs="ES256 ES256K ES384 EdDSA"`,
  );
  expect(dpopChallenge(new KithError("invalid_access_token", "x"))).toContain('error="invalid_token"');
  expect(dpopChallenge(new KithError("scope_missing", "x"))).toContain('error="insufficient_scope"');
  expect(dpopChallenge(new KithError("invalid_token", "x"))).toBeUndefined();
});
