import { expect, test } from "bun:test";
import { decodeJwt } from "jose";
import {
  FakeAccounts,
  FakeAppPasswords,
  FakePlc,
  FakeRefreshRows,
  FakeRepos,
  FakeReservedKeys,
} from "../../../accounts/_fixture.ts";
import {
  AccountCreator,
  AppPasswords,
  HandleRules,
  Invites,
  KeyReservations,
  Passwords,
  Sessions,
} from "../../../accounts/mod.ts";
import { generatePrivateKey, signerFromPrivateKey } from "../../../atproto/mod.ts";
import { HeaderAuthenticator, SessionTokens } from "../../../auth/mod.ts";
import { Router } from "../../router.ts";
import { handleMethods } from "../identity/handle_methods.ts";
import { accountMethods } from "./account_methods.ts";
import { appPasswordMethods } from "./app_password_methods.ts";
import { describeMethods } from "./describe_methods.ts";
import { inviteMethods } from "./invite_methods.ts";
import { keyMethods } from "./key_methods.ts";
import { sessionMethods } from "./session_methods.ts";

const SERVICE_DID = "did:web:pds.test";
const ADMIN = `Basic ${Buffer.from("admin:hunter2").toString("base64")}`;
const START = 1_790_000_000_000;
const QUIET = { info: () => {}, warn: () => {}, error: () => {} };
const HOUR = 3_600_000;

type Answer = { status: number; body: Record<string, unknown>; headers: Headers };

/** The methods over in-memory stores, called through the real router. */
function makeServer({ inviteRequired = false } = {}) {
  let nowMs = START;
  const now = () => nowMs;
  const accounts = new FakeAccounts();
  const rows = new FakeRefreshRows();
  const plc = new FakePlc();
  const handles = new HandleRules([".test"]);
  const passwords = new Passwords({ cost: { memoryKib: 64, passes: 1 } });
  const tokens = new SessionTokens({ secret: "jwt secret", serviceDid: SERVICE_DID, now });
  const serviceTokens = { verify: () => Promise.reject(new Error("There is no service token here")) };
  const authenticator = new HeaderAuthenticator({
    tokens,
    serviceTokens,
    accounts,
    adminPassword: "hunter2",
  });
  const appPasswordRows = new FakeAppPasswords();
  const sessions = new Sessions({ accounts, rows, tokens, passwords, appPasswords: appPasswordRows, now });
  const reservedKeys = new FakeReservedKeys();
  const keys = new KeyReservations({ rows: reservedKeys, keyType: "k256", now });
  const creator = new AccountCreator({
    accounts,
    invites: accounts,
    plc,
    repos: new FakeRepos(),
    passwords,
    handles,
    handleResolver: { resolve: async () => undefined },
    reservedKeys,
    rotationSigner: signerFromPrivateKey("k256", generatePrivateKey("k256", new Uint8Array(32).fill(7))),
    publicUrl: "https://pds.test",
    keyType: "k256",
    inviteRequired,
    now,
  });
  const resolver = {
    resolve: async (handle: string) => (handle === "far.example.com" ? "did:plc:far" : undefined),
  };
  const methods = [
    ...describeMethods({
      did: SERVICE_DID,
      availableUserDomains: [".test"],
      inviteCodeRequired: inviteRequired,
      blobBytesMax: 5_000_000,
      contactEmail: "admin@pds.test",
    }),
    ...sessionMethods({ sessions, authenticator, languages: { guess: async () => {} } }),
    ...appPasswordMethods({
      appPasswords: new AppPasswords({ rows: appPasswordRows, now }),
      notices: { tell: async () => {} },
    }),
    ...accountMethods({ creator, sessions }),
    ...keyMethods({ keys }),
    ...inviteMethods({ invites: new Invites({ codes: accounts, hostname: "pds.test" }), log: QUIET }),
    ...handleMethods({ accounts, handles, resolver }),
  ];
  const router = new Router({ methods, authenticator });
  const call = async (path: string, init: RequestInit): Promise<Answer> => {
    const nsid = `com.atproto.${path.split("?")[0]}`;
    const request = new Request(`http://pds.test/xrpc/com.atproto.${path}`, init);
    const response = await router.handle(request, { nsid, context: { requestId: "r", ip: "127.0.0.1" } });
    const text = await response.text();
    return { status: response.status, body: text ? JSON.parse(text) : undefined, headers: response.headers };
  };
  const headers = (authorization?: string): Record<string, string> =>
    authorization
      ? { authorization: authorization.includes(" ") ? authorization : `Bearer ${authorization}` }
      : {};
  return {
    accounts,
    plc,
    rows,
    advance: (ms: number) => (nowMs += ms),
    get: (path: string, authorization?: string) => call(path, { headers: headers(authorization) }),
    post: (path: string, input?: unknown, authorization?: string) =>
      call(path, {
        method: "POST",
        headers: {
          ...headers(authorization),
          ...(input === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(input === undefined ? {} : { body: JSON.stringify(input) }),
      }),
  };
}

const ALICE = { handle: "alice.test", email: "alice@mail.test", password: "pa55word" };
const LOGIN = { identifier: "alice.test", password: "pa55word" };

async function withAlice() {
  const server = makeServer();
  const { status, body } = await server.post("server.createAccount", ALICE);
  expect(status).toBe(200);
  return { ...server, alice: body as { did: string; accessJwt: string; refreshJwt: string } };
}

const setState = (accounts: FakeAccounts, did: string, state: "deactivated" | "takendown" | "deleted") =>
  accounts.rows.set(did, { ...accounts.rows.get(did)!, state });

test("describeServer says what is set and leaves out what is not", async () => {
  expect((await makeServer().get("server.describeServer")).body).toEqual({
    did: SERVICE_DID,
    availableUserDomains: [".test"],
    inviteCodeRequired: false,
    blobUploadLimit: 5_000_000,
    links: {},
    contact: { email: "admin@pds.test" },
  });
});

test("createAccount answers an account with a session that works at once", async () => {
  const { alice, get, post } = await withAlice();
  expect(alice).toEqual({
    did: expect.stringMatching(/^did:plc:/),
    handle: "alice.test",
    accessJwt: expect.any(String),
    refreshJwt: expect.any(String),
  } as never);
  expect(decodeJwt(alice.accessJwt)).toMatchObject({ sub: alice.did, aud: SERVICE_DID });
  const session = {
    did: alice.did,
    handle: "alice.test",
    email: "alice@mail.test",
    emailConfirmed: false,
    emailAuthFactor: false,
    active: true,
  };
  expect(await get("server.getSession", alice.accessJwt)).toMatchObject({ status: 200, body: session });
  const renewed = await post("server.refreshSession", undefined, alice.refreshJwt);
  expect(renewed).toMatchObject({ status: 200, body: session });
});

test.each([
  [{ ...ALICE, handle: "bob.test" }, 400, "InvalidRequest", "Email already taken"],
  [{ ...ALICE, email: "bob@mail.test" }, 400, "HandleNotAvailable", "already taken"],
  [{ ...ALICE, handle: "admin.test", email: "bob@mail.test" }, 400, "HandleNotAvailable", "reserved"],
  [{ ...ALICE, handle: "bob.example.com" }, 400, "UnsupportedDomain", ""],
  [{ ...ALICE, handle: "a.bob.test" }, 400, "InvalidHandle", ""],
  [{ ...ALICE, handle: "b.test" }, 400, "InvalidHandle", ""],
  [{ ...ALICE, handle: "bob..test" }, 400, "InvalidHandle", '"bob..test"'],
  [{ ...ALICE, handle: 7 }, 400, "InvalidRequest", ""],
  [{ handle: "bob.test", password: "x" }, 400, "InvalidRequest", "Email is required"],
  [{ handle: "bob.test", email: "bob@mail.test" }, 400, "InvalidRequest", "Password is required"],
  [{ ...ALICE, handle: "bob.test", inviteCode: "no" }, 400, "InvalidInviteCode", ""],
  [
    { handle: "bob.test", email: "bob@mail.test", password: "p", did: "did:plc:ewvi7nxzyoun6zhxrhs64oiz" },
    401,
    "AuthenticationRequired",
    "Missing auth",
  ],
  [{ ...ALICE, plcOp: {} }, 400, "InvalidRequest", '"plcOp"'],
  [[], 400, "InvalidRequest", ""],
])("createAccount refuses %j: %d %s %s", async (input, status, error, words) => {
  const { post } = await withAlice();
  const answer = await post("server.createAccount", input);
  expect(answer).toMatchObject({ status, body: { error, message: expect.stringContaining(words) } });
});

test("createAccount is 502 where the PLC directory is silent, and works once it answers", async () => {
  const { plc, post } = makeServer();
  plc.mood = "silent";
  const refused = await post("server.createAccount", ALICE);
  expect(refused).toMatchObject({ status: 502, body: { error: "UpstreamFailure" } });
  plc.mood = "accepts";
  expect(await post("server.createAccount", ALICE)).toMatchObject({ status: 200 });
});

test("createAccount takes the admin's password, and no wrong one", async () => {
  const { post } = makeServer({ inviteRequired: true });
  const input = { ...ALICE, handle: "support.test" };
  expect(await post("server.createAccount", input)).toMatchObject({ body: { error: "InvalidInviteCode" } });
  const wrong = `Basic ${Buffer.from("admin:hunter3").toString("base64")}`;
  expect(await post("server.createAccount", input, wrong)).toMatchObject({ status: 401 });
  expect(await post("server.createAccount", input, ADMIN)).toMatchObject({ status: 200 });
});

test("createInviteCode makes a code that createAccount takes once", async () => {
  const { post } = makeServer({ inviteRequired: true });
  const { body } = await post("server.createInviteCode", { useCount: 1 }, ADMIN);
  expect(body).toEqual({ code: expect.stringMatching(/^pds-test-[a-z2-7]{5}-[a-z2-7]{5}$/) });
  const input = { ...ALICE, inviteCode: body.code };
  expect(await post("server.createAccount", input)).toMatchObject({ status: 200 });
  const bob = { handle: "bob.test", email: "bob@mail.test", password: "x", inviteCode: body.code };
  const refused = await post("server.createAccount", bob);
  expect(refused).toMatchObject({ status: 400, body: { error: "InvalidInviteCode" } });
});

test("createInviteCodes groups codes by account", async () => {
  const { post } = makeServer();
  const account = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
  const input = { codeCount: 2, useCount: 1, forAccounts: [account] };
  const { body } = await post("server.createInviteCodes", input, ADMIN);
  expect(body).toEqual({ codes: [{ account, codes: [expect.any(String), expect.any(String)] }] });
  const defaults = await post("server.createInviteCodes", { useCount: 1 }, ADMIN);
  expect(defaults.body).toEqual({ codes: [{ account: "admin", codes: [expect.any(String)] }] });
});

test.each([
  ["server.createInviteCode", { useCount: 1 }, undefined, 401, "AuthMissing"],
  ["server.createInviteCode", { useCount: 0 }, ADMIN, 400, "InvalidRequest"],
  ["server.createInviteCode", { useCount: 1, forAccount: "alice" }, ADMIN, 400, "InvalidRequest"],
  ["server.createInviteCode", {}, ADMIN, 400, "InvalidRequest"],
  ["server.createInviteCodes", { useCount: 1, codeCount: 1_000_000_000 }, ADMIN, 400, "InvalidRequest"],
  ["server.createInviteCodes", { useCount: 1, codeCount: -1 }, ADMIN, 400, "InvalidRequest"],
])("%s refuses %j from %p: %d %s", async (path, input, authorization, status, error) => {
  expect(await makeServer().post(path, input, authorization)).toMatchObject({ status, body: { error } });
});

test("createInviteCode refuses a member", async () => {
  const { alice, post } = await withAlice();
  const refused = await post("server.createInviteCode", { useCount: 1 }, alice.accessJwt);
  expect(refused).toMatchObject({ status: 401, body: { error: "AuthenticationRequired" } });
});

test("createSession signs in whatever header comes along, and always pairs active:false with a status", async () => {
  const { accounts, alice, post } = await withAlice();
  for (const authorization of [undefined, alice.accessJwt, "nonsense", ADMIN]) {
    const answer = await post("server.createSession", { ...LOGIN, authFactorToken: "" }, authorization);
    expect(answer).toMatchObject({ status: 200, body: { did: alice.did, active: true } });
  }
  setState(accounts, alice.did, "deactivated");
  const sleeping = await post("server.createSession", LOGIN);
  expect(sleeping).toMatchObject({ status: 200, body: { active: false, status: "deactivated" } });
});

test.each([
  [{ identifier: "alice.test", password: "wrong" }, 401, "AuthenticationRequired"],
  [{ identifier: "nobody.test", password: "pa55word" }, 401, "AuthenticationRequired"],
  [{ identifier: "alice.test", password: "" }, 401, "AuthenticationRequired"],
  [{ identifier: "x".repeat(5000), password: "pa55word" }, 401, "AuthenticationRequired"],
  [{ identifier: "alice.test", password: "x".repeat(5000) }, 401, "AuthenticationRequired"],
  [{ identifier: "alice.test", password: "x".repeat(20_000) }, 413, "PayloadTooLarge"],
  [{ identifier: "alice.test" }, 400, "InvalidRequest"],
  [{ identifier: { $ne: 1 }, password: "x" }, 400, "InvalidRequest"],
])("createSession refuses %.60j: %d %s", async (input, status, error) => {
  const { post } = await withAlice();
  const answer = await post("server.createSession", input);
  expect(answer).toMatchObject({ status, body: { error } });
  if (status === 401) expect(answer.body.message).toBe("Invalid identifier or password");
});

test("createSession tells who is taken down only with the right password, and lets in on request", async () => {
  const { accounts, alice, get, post } = await withAlice();
  setState(accounts, alice.did, "takendown");
  const wrong = await post("server.createSession", { ...LOGIN, password: "wrong", allowTakendown: true });
  expect(wrong).toMatchObject({ status: 401, body: { error: "AuthenticationRequired" } });
  const refused = await post("server.createSession", LOGIN);
  expect(refused).toMatchObject({ status: 401, body: { error: "AccountTakedown" } });
  const { status, body } = await post("server.createSession", { ...LOGIN, allowTakendown: true });
  expect({ status, body }).toMatchObject({ status: 200, body: { active: false, status: "takendown" } });
  const token = body.accessJwt as string;
  expect(decodeJwt(token).scope).toBe("com.atproto.takendown");
  expect(await get("server.getSession", token)).toMatchObject({ body: { error: "InvalidToken" } });
});

test("access tokens stop with their time and with their account", async () => {
  const { accounts, advance, alice, get } = await withAlice();
  const refusedAs = async (error: string, status: number) =>
    expect(await get("server.getSession", alice.accessJwt)).toMatchObject({ status, body: { error } });
  setState(accounts, alice.did, "takendown");
  await refusedAs("AccountTakedown", 401);
  setState(accounts, alice.did, "deleted");
  await refusedAs("AccountNotFound", 403);
  advance(2 * HOUR);
  await refusedAs("ExpiredToken", 400);
});

test("getSession wants an access token", async () => {
  const { alice, get } = await withAlice();
  const missing = await get("server.getSession");
  expect(missing).toMatchObject({ status: 401, body: { error: "AuthMissing" } });
  const [signed, signature = ""] = alice.accessJwt.split(/\.(?=[^.]*$)/);
  const forged = `${signed}.${signature.startsWith("A") ? "B" : "A"}${signature.slice(1)}`;
  for (const token of [alice.refreshJwt, "nonsense", ADMIN, forged]) {
    const answer = await get("server.getSession", token);
    expect(answer).toMatchObject({ status: 400, body: { error: "InvalidToken" } });
    expect(answer.body.message).not.toContain(token);
  }
});

test("refreshSession rotates with two hours of grace, then revokes the family", async () => {
  const { advance, alice, post } = await withAlice();
  const refresh = (token: string) => post("server.refreshSession", undefined, token);
  const idOf = (answer: Answer) => decodeJwt(answer.body.refreshJwt as string).jti;
  const [second, repeat] = [await refresh(alice.refreshJwt), await refresh(alice.refreshJwt)];
  expect(idOf(repeat)).toBe(idOf(second)!);
  advance(2 * HOUR + 1);
  for (const token of [alice.refreshJwt, second.body.refreshJwt as string]) {
    expect(await refresh(token)).toMatchObject({ status: 400, body: { error: "ExpiredToken" } });
  }
});

test("refreshSession refuses access tokens, nothing, and tokens past their end", async () => {
  const { advance, alice, post } = await withAlice();
  const refresh = (token?: string) => post("server.refreshSession", undefined, token);
  expect(await refresh()).toMatchObject({ status: 401, body: { error: "AuthMissing" } });
  expect(await refresh(alice.accessJwt)).toMatchObject({ status: 400, body: { error: "InvalidToken" } });
  advance(90 * 24 * HOUR);
  expect(await refresh(alice.refreshJwt)).toMatchObject({ status: 400, body: { error: "ExpiredToken" } });
});

test("deleteSession ends the family, also with an expired token, and takes no other", async () => {
  const { advance, alice, post, rows } = await withAlice();
  const leave = (token?: string) => post("server.deleteSession", undefined, token);
  expect(await leave()).toMatchObject({ status: 401, body: { error: "AuthMissing" } });
  expect(await leave(alice.accessJwt)).toMatchObject({ status: 400, body: { error: "InvalidToken" } });
  expect(rows.rows.size).toBe(1);
  advance(91 * 24 * HOUR);
  expect(await leave(alice.refreshJwt)).toMatchObject({ status: 200 });
  expect(rows.rows.size).toBe(0);
  expect(await leave(alice.refreshJwt)).toMatchObject({ status: 200 });
});

test("resolveHandle knows who is here, asks for who is elsewhere, and finds nobody else", async () => {
  const { accounts, alice, get } = await withAlice();
  const resolve = (handle: string) => get(`identity.resolveHandle?handle=${encodeURIComponent(handle)}`);
  expect(await resolve("Alice.TEST")).toMatchObject({ status: 200, body: { did: alice.did } });
  expect(await resolve("far.example.com")).toMatchObject({ status: 200, body: { did: "did:plc:far" } });
  for (const handle of ["nobody.test", "a.alice.test", "nobody.example.com"]) {
    expect(await resolve(handle)).toMatchObject({ status: 400, body: { error: "HandleNotFound" } });
  }
  for (const handle of ["alice", "al_ice.test", "../x", ""]) {
    expect(await resolve(handle)).toMatchObject({ status: 400, body: { error: "InvalidRequest" } });
  }
  setState(accounts, alice.did, "deactivated");
  expect(await resolve("alice.test")).toMatchObject({ status: 400, body: { error: "HandleNotFound" } });
});

test("reserveSigningKey gives the same key for a DID again, and a new one without", async () => {
  const server = makeServer();
  const reserve = async (input: object) =>
    (await server.post("server.reserveSigningKey", input)).body.signingKey as string;
  const first = await reserve({ did: "did:plc:ewvi7nxzyoun6zhxrhs64oiz" });
  expect(first).toStartWith("did:key:zQ3sh");
  expect(await reserve({ did: "did:plc:ewvi7nxzyoun6zhxrhs64oiz" })).toBe(first);
  expect(await reserve({})).not.toBe(await reserve({}));
  const refused = await server.post("server.reserveSigningKey", { did: "did:key:z" });
  expect(refused).toMatchObject({ status: 400, body: { error: "InvalidRequest" } });
});
