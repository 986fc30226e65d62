/** Sessions: signing in, the two tokens, rotation with its grace, signing out, and every kind of wrong token. */
import { describe, expect, test } from "bun:test";
import { decodeJwt, decodeProtectedHeader, SignJWT, UnsecuredJWT } from "jose";
import { PASSWORD, xrpc } from "../client.ts";
import { JWT_SECRET, KEY_TYPES } from "../harness.ts";
import { type Row, type Stage, testRows, useStage } from "../stage.ts";

const LOGIN = "com.atproto.server.createSession";
const GET = "com.atproto.server.getSession";
const REFRESH = "com.atproto.server.refreshSession";
const END = "com.atproto.server.deleteSession";

const loginAs =
  (identifier: (stage: Stage) => string, password = PASSWORD): Row["call"] =>
  (stage) => ({ body: { identifier: identifier(stage), password } });

async function login(stage: Stage): Promise<{ accessJwt: string; refreshJwt: string }> {
  const answer = await xrpc(stage.url, LOGIN, {
    body: { identifier: stage.alice.handle, password: PASSWORD },
  });
  return answer.json as { accessJwt: string; refreshJwt: string };
}

/** A token like alice's own, signed with the server's secret, with some claims changed. */
async function forge(
  stage: Stage,
  change: { claims?: Record<string, unknown>; typ?: string; secret?: string; alg?: string },
): Promise<string> {
  const own = decodeJwt(stage.alice.accessJwt);
  return new SignJWT({ ...own, ...change.claims })
    .setProtectedHeader({ typ: change.typ ?? "at+jwt", alg: change.alg ?? "HS256" })
    .sign(new TextEncoder().encode(change.secret ?? JWT_SECRET));
}

const withToken =
  (make: (stage: Stage) => string | Promise<string>, method?: string): Row["call"] =>
  async (stage) => ({ token: await make(stage), ...(method ? { method } : {}) });

const expired = { exp: Math.floor(Date.now() / 1000) - 60 };

const rows: Row[] = [
  {
    title: "signs in by handle",
    to: LOGIN,
    call: loginAs((stage) => stage.alice.handle),
    status: 200,
    check: (answer, { alice }) => {
      expect(answer.json).toMatchObject({ did: alice.did, handle: alice.handle, email: alice.email });
      expect(answer.json.active).toBe(true);
    },
  },
  {
    title: "signs in by a handle in capitals",
    to: LOGIN,
    call: loginAs((s) => s.alice.handle.toUpperCase()),
    status: 200,
  },
  { title: "signs in by DID", to: LOGIN, call: loginAs((s) => s.alice.did), status: 200 },
  {
    title: "signs in by e-mail address",
    to: LOGIN,
    call: loginAs((s) => s.alice.email.toUpperCase()),
    status: 200,
  },
  {
    title: "refuses a wrong password",
    to: LOGIN,
    call: loginAs((s) => s.alice.handle, "wrong"),
    status: 401,
    error: "AuthenticationRequired",
  },
  {
    title: "refuses an unknown name in the same words",
    to: LOGIN,
    call: loginAs(() => "nobody.test"),
    status: 401,
    error: "AuthenticationRequired",
  },
  {
    title: "refuses an overlong password",
    to: LOGIN,
    call: loginAs((s) => s.alice.handle, "x".repeat(10_000)),
    status: 401,
    error: "AuthenticationRequired",
  },
  {
    title: "tells who is signed in",
    to: GET,
    call: withToken((s) => s.alice.accessJwt),
    status: 200,
    check: (answer, { alice }) =>
      expect(answer.json).toMatchObject({ did: alice.did, handle: alice.handle, email: alice.email }),
  },
  { title: "asks for a token", to: GET, status: 401, error: "AuthMissing" },
  {
    title: "refuses the refresh token",
    to: GET,
    call: withToken((s) => s.alice.refreshJwt),
    status: 400,
    error: "InvalidToken",
  },
  {
    title: "refuses nonsense",
    to: GET,
    call: withToken(() => "nonsense"),
    status: 400,
    error: "InvalidToken",
  },
  {
    title: "refuses a signature by another secret",
    to: GET,
    call: withToken((s) => forge(s, { secret: "another-secret-0123456789abcdef" })),
    status: 400,
    error: "InvalidToken",
  },
  {
    title: "refuses another algorithm of the same secret",
    to: GET,
    call: withToken((s) => forge(s, { alg: "HS512", secret: JWT_SECRET.padEnd(64, "0") })),
    status: 400,
    error: "InvalidToken",
  },
  {
    title: "refuses a token without signature",
    to: GET,
    call: withToken((s) => new UnsecuredJWT(decodeJwt(s.alice.accessJwt)).encode()),
    status: 400,
    error: "InvalidToken",
  },
  { title: "takes a token that is like its own", to: GET, call: withToken((s) => forge(s, {})), status: 200 },
  {
    title: "refuses an expired token with 400 ExpiredToken, on which clients refresh",
    to: GET,
    call: withToken((s) => forge(s, { claims: expired })),
    status: 400,
    error: "ExpiredToken",
  },
  {
    title: "refuses a token for another audience",
    to: GET,
    call: withToken((s) => forge(s, { claims: { aud: "did:web:elsewhere.example" } })),
    status: 400,
    error: "InvalidToken",
  },
  {
    title: "refuses a token of another typ",
    to: GET,
    call: withToken((s) => forge(s, { typ: "dpop+jwt" })),
    status: 400,
    error: "InvalidToken",
  },
  {
    title: "refuses a scope it does not know",
    to: GET,
    call: withToken((s) => forge(s, { claims: { scope: "com.atproto.everything" } })),
    status: 400,
    error: "InvalidToken",
  },
  {
    title: "refuses the token of an account that is not here",
    to: GET,
    call: withToken((s) => forge(s, { claims: { sub: "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa" } })),
    status: [400, 403],
    error: "AccountNotFound",
  },
  {
    title: "refuses Basic credentials",
    to: GET,
    call: (s) => ({ headers: { authorization: `Basic ${btoa(`${s.alice.handle}:${PASSWORD}`)}` } }),
    status: 400,
    error: "InvalidToken",
  },
  {
    title: "refuses the access token",
    to: REFRESH,
    call: withToken((s) => s.alice.accessJwt, "POST"),
    status: 400,
    error: "InvalidToken",
  },
  {
    title: "refuses a refresh token that it does not know",
    to: REFRESH,
    call: withToken(
      (s) => forge(s, { typ: "refresh+jwt", claims: { scope: "com.atproto.refresh", jti: "unknown" } }),
      "POST",
    ),
    status: 400,
    error: "ExpiredToken",
  },
  {
    title: "refuses an expired refresh token",
    to: REFRESH,
    call: withToken(
      (s) =>
        forge(s, {
          typ: "refresh+jwt",
          claims: { ...expired, scope: "com.atproto.refresh", jti: "unknown" },
        }),
      "POST",
    ),
    status: 400,
    error: "ExpiredToken",
  },
  { title: "asks for a token", to: END, call: () => ({ method: "POST" }), status: 401, error: "AuthMissing" },
];

describe.each([...KEY_TYPES])("sessions (%s)", (keyType) => {
  const holder = useStage({ keyType });
  testRows(holder, rows);

  test("createSession: the tokens are as the reference's, so that what reads those reads these", async () => {
    const { stage } = holder;
    const { accessJwt, refreshJwt } = await login(stage);
    const serviceDid = (await stage.alice.agent.com.atproto.server.describeServer()).data.did;
    expect(decodeProtectedHeader(accessJwt)).toEqual({ typ: "at+jwt", alg: "HS256" });
    expect(decodeProtectedHeader(refreshJwt)).toEqual({ typ: "refresh+jwt", alg: "HS256" });
    const [access, refresh] = [decodeJwt(accessJwt), decodeJwt(refreshJwt)];
    expect(access).toMatchObject({ scope: "com.atproto.access", sub: stage.alice.did, aud: serviceDid });
    expect(refresh).toMatchObject({ scope: "com.atproto.refresh", sub: stage.alice.did, aud: serviceDid });
    expect(typeof refresh.jti).toBe("string");
    expect(Number(access.exp) - Number(access.iat)).toBe(120 * 60);
    expect(Number(refresh.exp) - Number(refresh.iat)).toBe(90 * 86_400);
  });

  test("refreshSession: rotates; the old token gives the same successor again within the grace", async () => {
    const { stage } = holder;
    const first = await login(stage);
    const refresh = (token: string) => xrpc(stage.url, REFRESH, { method: "POST", token });
    const second = await refresh(first.refreshJwt);
    expect(second.status).toBe(200);
    expect(second.json).toMatchObject({ did: stage.alice.did, handle: stage.alice.handle });
    const jti = (answer: { json: Record<string, unknown> }) => decodeJwt(String(answer.json.refreshJwt)).jti;
    expect(jti(second)).not.toBe(decodeJwt(first.refreshJwt).jti);
    const again = await refresh(first.refreshJwt);
    expect(again.status).toBe(200);
    expect(jti(again)).toBe(jti(second));
    const together = await Promise.all(
      Array.from({ length: 8 }, () => refresh(String(second.json.refreshJwt))),
    );
    expect(together.map((answer) => answer.status)).toEqual(Array(8).fill(200));
    expect(new Set(together.map(jti)).size).toBe(1);
    const session = await xrpc(stage.url, GET, { token: String(together[0]?.json.accessJwt) });
    expect(session.json.did).toBe(stage.alice.did);
  });

  test("deleteSession: ends this session and no other", async () => {
    const { stage } = holder;
    const [one, other] = [await login(stage), await login(stage)];
    expect((await xrpc(stage.url, END, { method: "POST", token: one.refreshJwt })).status).toBe(200);
    const ended = await xrpc(stage.url, REFRESH, { method: "POST", token: one.refreshJwt });
    expect([ended.status, ended.error]).toEqual([400, "ExpiredToken"]);
    expect((await xrpc(stage.url, REFRESH, { method: "POST", token: other.refreshJwt })).status).toBe(200);
  });

  test("createSession: the refusals of a wrong password and of an unknown name do not differ", async () => {
    const { stage } = holder;
    const [wrong, unknown] = await Promise.all([
      xrpc(stage.url, LOGIN, { body: { identifier: stage.alice.handle, password: "wrong" } }),
      xrpc(stage.url, LOGIN, { body: { identifier: "nobody.test", password: "wrong" } }),
    ]);
    expect(unknown.json.message).toBe(wrong.json.message as string);
  });
});
