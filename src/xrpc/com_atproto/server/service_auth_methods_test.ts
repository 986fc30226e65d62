import { expect, test } from "bun:test";
import { parseServiceJwt, signerFromPrivateKey, verifyServiceJwt } from "../../../atproto/mod.ts";
import type { SessionScope } from "../../../auth/mod.ts";
import { callerOf } from "../../calls_fixture.ts";
import { ServiceJwts } from "../../proxy/service_jwts.ts";
import { serviceAuthMethods } from "./service_auth_methods.ts";

const NOW_S = 1_790_000_000;
const DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const AUD = "did:web:api.example.com";
const LXM = "com.atproto.repo.uploadBlob";
const signer = signerFromPrivateKey("k256", new Uint8Array(32).fill(3));
const now = () => NOW_S * 1000 + 400;
const call = callerOf(
  serviceAuthMethods({ serviceJwts: new ServiceJwts({ signer: () => signer, now }), now }),
);

type Params = Record<string, string | number>;
const ask = (params: Params, scope?: SessionScope) =>
  call({ nsid: "com.atproto.server.getServiceAuth", params, as: DID, scope });

test("getServiceAuth gives a token by the account's key that ends in a minute", async () => {
  const { status, body } = await ask({ aud: AUD, lxm: LXM });
  expect(status).toBe(200);
  const { token } = body as { token: string };
  const claims = verifyServiceJwt(token, { aud: AUD, lxm: LXM, nowSeconds: NOW_S, didKey: signer.didKey });
  expect(claims).toEqual({
    iat: NOW_S,
    iss: DID,
    aud: AUD,
    exp: NOW_S + 60,
    lxm: LXM,
    jti: expect.any(String),
  });
});

test("getServiceAuth takes an audience with a service id, an end of its own, and no method", async () => {
  const one = (await ask({ aud: `${AUD}#svc`, lxm: LXM, exp: NOW_S + 3600 })).body as { token: string };
  expect(parseServiceJwt(one.token).claims).toMatchObject({ aud: `${AUD}#svc`, exp: NOW_S + 3600 });
  const other = (await ask({ aud: AUD, exp: NOW_S + 60 })).body as { token: string };
  expect("lxm" in parseServiceJwt(other.token).claims).toBe(false);
  expect(parseServiceJwt(one.token).claims.jti).not.toBe(parseServiceJwt(other.token).claims.jti);
});

test.each<[string, Params, SessionScope | undefined, string]>([
  ["a past end", { aud: AUD, lxm: LXM, exp: NOW_S - 1 }, undefined, "BadExpiration"],
  ["an end of 0", { aud: AUD, lxm: LXM, exp: 0 }, undefined, "BadExpiration"],
  ["an end in more than an hour", { aud: AUD, lxm: LXM, exp: NOW_S + 3602 }, undefined, "BadExpiration"],
  ["a long life without a method", { aud: AUD, exp: NOW_S + 120 }, undefined, "BadExpiration"],
  ["no audience", { lxm: LXM }, undefined, "InvalidRequest"],
  ["an audience that is no DID", { aud: "api.example.com" }, undefined, "InvalidRequest"],
  ["an audience of another kind of DID", { aud: "did:key:z6Mk" }, undefined, "InvalidRequest"],
  ["an audience with two fragments", { aud: `${AUD}#a#b` }, undefined, "InvalidRequest"],
  ["an audience with an empty fragment", { aud: `${AUD}#` }, undefined, "InvalidRequest"],
  ["a method that is no NSID", { aud: AUD, lxm: "*" }, undefined, "InvalidRequest"],
  ["a protected method", { aud: AUD, lxm: "com.atproto.server.getSession" }, undefined, "InvalidRequest"],
  [
    "a protected method in other letters",
    { aud: AUD, lxm: "com.atproto.server.GETsession" },
    undefined,
    "InvalidRequest",
  ],
  [
    "chat with an app password",
    { aud: AUD, lxm: "chat.bsky.convo.getLog" },
    "com.atproto.appPass",
    "InvalidRequest",
  ],
  [
    "a move with an app password",
    { aud: AUD, lxm: "com.atproto.server.createAccount" },
    "com.atproto.appPass",
    "InvalidRequest",
  ],
  ["a taken-down account but for a move", { aud: AUD, lxm: LXM }, "com.atproto.takendown", "InvalidToken"],
  ["a taken-down account without a method", { aud: AUD }, "com.atproto.takendown", "InvalidToken"],
])("getServiceAuth refuses %s", async (_title, params, scope, error) => {
  const answer = await ask(params, scope);
  expect([answer.status, (answer.body as { error: string }).error]).toEqual([400, error]);
});

test.each<[SessionScope, string]>([
  ["com.atproto.appPassPrivileged", "chat.bsky.convo.getLog"],
  ["com.atproto.appPass", LXM],
  ["com.atproto.takendown", "com.atproto.server.createAccount"],
  ["com.atproto.access", "com.atproto.server.createAccount"],
])("getServiceAuth gives a session of %s a token for %s", async (scope, lxm) => {
  expect((await ask({ aud: AUD, lxm }, scope)).status).toBe(200);
});
