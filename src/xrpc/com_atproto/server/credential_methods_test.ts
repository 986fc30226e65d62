import { expect, test } from "bun:test";
import { FakeEmailTokens } from "../../../accounts/_fixture.ts";
import {
  type Account,
  AccountMail,
  Credentials,
  EmailTokens,
  Passwords,
  RESET_ANSWER_MS,
} from "../../../accounts/mod.ts";
import { KithError } from "../../../errors.ts";
import type { Mail } from "../../../mailer/mod.ts";
import { callerOf } from "../../calls_fixture.ts";
import { credentialMethods } from "./credential_methods.ts";

const ALICE = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const EMAIL = "alice@mail.test";
const WRONG = "AAAAA-22222";
const CODE = /[A-Z2-7]{5}-[A-Z2-7]{5}/;

type Change = { token?: { purpose: string; tokenHash: string; now: number }; did: string };

function make({ mailed = true, confirmed = false, state = "active" as Account["state"] } = {}) {
  const changes: unknown[] = [];
  const sent: string[] = [];
  const subjects: string[] = [];
  const waited: number[] = [];
  const rows = new FakeEmailTokens();
  const fake = { mailFails: undefined as unknown, emailFactor: false };
  const account: Account = {
    did: ALICE,
    handle: "alice.test",
    email: EMAIL,
    emailConfirmedAt: confirmed ? 1 : null,
    passwordHash: "",
    state,
  };
  const sender = {
    enqueue: async ({ text, subject }: Mail) => {
      if (fake.mailFails) throw fake.mailFails;
      sent.push(CODE.exec(text)?.[0] ?? "");
      subjects.push(subject);
    },
  };
  const tokens = new EmailTokens({ rows });
  const apply = (what: string) => async (change: Change) => {
    if (change.token) await rows.take(change.did, change.token);
    changes.push([what, { ...change, token: change.token?.purpose }]);
  };
  const credentials = new Credentials({
    accounts: {
      account: (did) => (did === ALICE ? account : undefined),
      accountByHandle: () => undefined,
      accountByEmail: (email) => (email === EMAIL ? account : undefined),
    },
    rows: {
      setPassword: apply("password"),
      confirmEmail: apply("confirmed"),
      changeEmail: apply("email"),
      revokeAll: apply("revoked"),
    },
    tokens,
    mail: new AccountMail({ tokens, sender: mailed ? sender : undefined, host: "pds.test" }),
    passwords: new Passwords({ cost: { memoryKib: 64, passes: 1 } }),
    sessions: {
      checkPassword: async ({ password, ip }) => {
        expect(ip).toBe("203.0.113.1");
        if (password !== "right") throw new KithError("auth_required", "Invalid identifier or password");
        return account;
      },
      unlock: (did) => void changes.push(["unlocked", did]),
    },
    factors: {
      hasEmail: () => fake.emailFactor,
      addEmail: async ({ did }) => void changes.push(["factor on", did]),
      removeEmail: async (did) => void changes.push(["factor off", did]),
    },
    repos: { deleteRepo: async (did) => void changes.push(["deleted", did]) },
    logger: { error: (message: string) => void changes.push(["logged", message]) } as never,
    wait: async (ms) => void waited.push(ms),
  });
  const caller = callerOf(credentialMethods({ credentials }));
  const call = (name: string, json?: unknown, as?: string) =>
    caller({ nsid: `com.atproto.server.${name}`, json, as });
  return { call, changes, sent, subjects, waited, fake };
}

test("requestEmailConfirmation and confirmEmail", async () => {
  const { call, sent, changes } = make();
  expect((await call("requestEmailConfirmation", undefined, ALICE)).status).toBe(200);
  const [token] = sent;
  const other = await call("confirmEmail", { email: "other@mail.test", token }, ALICE);
  expect(other).toMatchObject({ status: 400, body: { error: "InvalidEmail" } });
  const wrong = await call("confirmEmail", { email: EMAIL, token: WRONG }, ALICE);
  expect(wrong).toMatchObject({ status: 400, body: { error: "InvalidToken" } });
  expect((await call("confirmEmail", { email: EMAIL.toUpperCase(), token }, ALICE)).status).toBe(200);
  expect(changes).toEqual([["confirmed", { did: ALICE, email: EMAIL, token: "confirm_email" }]]);
});

test("requestEmailUpdate asks for a code where the address is confirmed, updateEmail hands it on", async () => {
  const free = make();
  expect((await free.call("requestEmailUpdate", undefined, ALICE)).body).toEqual({ tokenRequired: false });
  expect((await free.call("updateEmail", { email: "New@mail.test", token: "" }, ALICE)).status).toBe(200);
  expect(free.changes).toEqual([["email", { did: ALICE, email: "new@mail.test", token: undefined }]]);
  const bound = make({ confirmed: true });
  expect((await bound.call("requestEmailUpdate", undefined, ALICE)).body).toEqual({ tokenRequired: true });
  const [token] = bound.sent;
  expect((await bound.call("updateEmail", { email: "new@mail.test", token }, ALICE)).status).toBe(200);
  expect(bound.changes).toMatchObject([["email", { token: "update_email" }]]);
});

test("updateEmail with the same address switches codes by mail on without a token, and off with one, and says so by mail", async () => {
  const { call, changes, sent, subjects, fake } = make({ confirmed: true });
  expect((await call("updateEmail", { email: EMAIL, emailAuthFactor: false }, ALICE)).status).toBe(200);
  expect((await call("updateEmail", { email: EMAIL, emailAuthFactor: true }, ALICE)).status).toBe(200);
  expect(changes.splice(0)).toEqual([["factor on", ALICE]]);
  expect(subjects.splice(0)).toEqual(["Codes by e-mail turned on (pds.test)"]);
  fake.emailFactor = true;
  sent.splice(0);
  const off = (token?: string) =>
    call("updateEmail", { email: EMAIL.toUpperCase(), emailAuthFactor: false, token }, ALICE);
  expect((await off()).body).toMatchObject({ error: "TokenRequired" });
  expect((await off(WRONG)).body).toMatchObject({ error: "InvalidToken" });
  await call("requestEmailUpdate", {}, ALICE);
  expect((await off(sent[0])).status).toBe(200);
  expect(changes).toEqual([["factor off", ALICE]]);
  expect(subjects.at(-1)).toBe("Codes by e-mail turned off (pds.test)");
});

test.each([
  { email: "nothing" },
  { email: "" },
  { email: "new@mail.test", emailAuthFactor: true },
  { token: WRONG },
])("updateEmail refuses %j", async (input) => {
  const { call, changes } = make();
  expect(await call("updateEmail", input, ALICE)).toMatchObject({
    status: 400,
    body: { error: "InvalidRequest" },
  });
  expect(changes).toEqual([]);
});

test("requestPasswordReset answers alike, whatever becomes of it, and takes its time", async () => {
  const { call, sent, waited, fake, changes } = make({ state: "takendown" });
  for (const email of [EMAIL.toUpperCase(), "nobody@mail.test", "x"]) {
    expect(await call("requestPasswordReset", { email })).toMatchObject({ status: 200, body: undefined });
  }
  fake.mailFails = new KithError("busy", "the queue is full");
  expect((await call("requestPasswordReset", { email: EMAIL })).status).toBe(200);
  expect(waited).toEqual(Array(4).fill(RESET_ANSWER_MS));
  expect(sent).toHaveLength(1);
  expect(changes).toEqual([["logged", "Could not send a code for a reset"]]);
  // Past the bound of codes: silent too.
  for (let time = 0; time < 9; time++) {
    expect((await call("requestPasswordReset", { email: EMAIL })).status).toBe(200);
  }
});

test("resetPassword takes the code of a reset, and a password that may be one", async () => {
  const { call, sent, changes } = make();
  await call("requestPasswordReset", { email: EMAIL });
  await call("requestAccountDelete", undefined, ALICE);
  const [token, other] = sent;
  for (const [input, error] of [
    [{ token: other, password: "new" }, "InvalidToken"],
    [{ token: WRONG, password: "new" }, "InvalidToken"],
    [{ token: "no code", password: "new" }, "InvalidToken"],
    [{ token, password: "" }, "InvalidRequest"],
    [{ token, password: "x".repeat(257) }, "InvalidRequest"],
    [{ token }, "InvalidRequest"],
  ] as const) {
    expect(await call("resetPassword", input)).toMatchObject({ status: 400, body: { error } });
  }
  expect((await call("resetPassword", { token, password: "new" })).status).toBe(200);
  expect(changes).toMatchObject([
    [
      "password",
      { did: ALICE, token: "reset_password", passwordHash: expect.stringMatching(/^\$argon2id\$/) },
    ],
    ["unlocked", ALICE],
  ]);
});

test("deleteAccount looks at the password first, then at the code, which it leaves to the deletion", async () => {
  const { call, sent, changes } = make();
  await call("requestAccountDelete", undefined, ALICE);
  const [token] = sent;
  const remove = (input: object) => call("deleteAccount", { did: ALICE, password: "right", token, ...input });
  expect(await remove({ password: "wrong", token: WRONG })).toMatchObject({
    status: 401,
    body: { error: "AuthenticationRequired" },
  });
  expect(await remove({ token: WRONG })).toMatchObject({ status: 400, body: { error: "InvalidToken" } });
  expect(await remove({ did: "alice.test" })).toMatchObject({
    status: 400,
    body: { error: "InvalidRequest" },
  });
  expect(changes).toEqual([]);
  expect((await remove({})).status).toBe(200);
  expect(changes).toEqual([["deleted", ALICE]]);
});

test.each([
  ["requestEmailConfirmation", undefined, ALICE, `${ALICE} confirm_email`],
  ["requestEmailUpdate", undefined, ALICE, `${ALICE} update_email`],
  ["requestAccountDelete", undefined, ALICE, `${ALICE} delete_account`],
  ["requestPasswordReset", { email: EMAIL }, undefined, "HANDLE reset_password"],
  ["requestPasswordReset", { email: "nobody@mail.test" }, undefined, "HANDLE reset_password"],
])("%s of %j says that no mail is set up, and the command that helps", async (name, input, as, words) => {
  const answer = await make({ mailed: false, confirmed: true }).call(name, input, as);
  expect(answer).toMatchObject({
    status: 400,
    body: {
      error: "InvalidRequest",
      message: expect.stringMatching(new RegExp(`no mail set up.*"kith account code ${words}"`)),
    },
  });
});

test.each([
  ["requestEmailConfirmation", undefined],
  ["confirmEmail", { email: EMAIL, token: WRONG }],
  ["requestEmailUpdate", undefined],
  ["updateEmail", { email: EMAIL }],
  ["requestAccountDelete", undefined],
])("%s needs a session, of an account that is here", async (name, input) => {
  const { call } = make();
  expect(await call(name, input)).toMatchObject({ status: 401, body: { error: "AuthMissing" } });
  const gone = await call(name, input, "did:plc:nobody");
  expect(gone).toMatchObject({ status: 403, body: { error: "AccountNotFound" } });
});
