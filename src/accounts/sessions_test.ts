import { expect, test } from "bun:test";
import { FakeRefreshRows } from "./_fixture.ts";
import type { Account, AccountState } from "./account.ts";
import { Passwords } from "./passwords.ts";
import { IDENTIFIER_CHARS_MAX, REFRESH_GRACE_MS, REFRESH_LIFETIME_MS, Sessions } from "./sessions.ts";

const NOW = 1_790_000_000_000;
const passwords = new Passwords({ cost: { memoryKib: 64, passes: 1 } });
const passwordHash = await passwords.hash("pa55word");

function account(name: string, state: AccountState, change: Partial<Account> = {}): Account {
  return {
    did: `did:plc:${name}`,
    handle: `${name}.test`,
    email: `${name}@mail.test`,
    emailConfirmedAt: null,
    passwordHash,
    state,
    ...change,
  };
}

const ACCOUNTS = [
  account("alice", "active"),
  account("confirmed", "active", { emailConfirmedAt: NOW }),
  account("mailless", "active", { email: null }),
  account("sleeper", "deactivated"),
  account("gone", "takendown"),
  account("paused", "suspended"),
  account("unborn", "creating"),
  account("leaving", "deleting"),
  account("dead", "deleted"),
];

function makeSessions(options: { didDoc?: (did: string) => unknown } = {}) {
  const rows = new FakeRefreshRows();
  let now = NOW;
  let issued = 0;
  const sessions = new Sessions({
    accounts: {
      account: (did) => ACCOUNTS.find((one) => one.did === did),
      accountByHandle: (handle) => ACCOUNTS.find((one) => one.handle === handle),
      accountByEmail: (email) => ACCOUNTS.find((one) => one.email === email),
    },
    rows,
    tokens: {
      issue: async (request) => ({
        accessJwt: `${request.scope} of ${request.did} #${++issued}`,
        refreshJwt: request.refreshId,
      }),
    },
    passwords,
    now: () => now,
    ...options,
  });
  const tokenOf = (session: { did: string; refreshJwt: string }) => ({
    did: session.did,
    tokenId: session.refreshJwt,
  });
  return { sessions, rows, tokenOf, advance: (ms: number) => (now += ms) };
}

const signIn = (identifier: string, password = "pa55word", allowTakendown?: boolean) =>
  makeSessions().sessions.signIn({ identifier, password, allowTakendown });

test("Sessions.signIn answers all that clients read, and stores the refresh token", async () => {
  const { sessions, rows } = makeSessions();
  const session = await sessions.signIn({ identifier: "alice.test", password: "pa55word" });
  expect(session).toEqual({
    accessJwt: "com.atproto.access of did:plc:alice #1",
    refreshJwt: expect.stringMatching(/^[A-Za-z0-9+/]{43}=$/),
    did: "did:plc:alice",
    handle: "alice.test",
    email: "alice@mail.test",
    emailConfirmed: false,
    emailAuthFactor: false,
    active: true,
  });
  expect([...rows.rows.values()]).toMatchObject([
    { id: session.refreshJwt, did: "did:plc:alice", expiresAt: NOW + REFRESH_LIFETIME_MS },
  ]);
});

test.each(["alice.test", "ALICE.Test", "did:plc:alice", "alice@mail.test", "Alice@MAIL.test"])(
  "Sessions.signIn finds alice as %s",
  async (identifier) => expect(await signIn(identifier)).toMatchObject({ did: "did:plc:alice" }),
);

test.each([
  ["alice.test", "pa55worD"],
  ["alice.test", ""],
  ["alice.test", "p".repeat(100_000)],
  ["nobody.test", "pa55word"],
  ["did:plc:nobody", "pa55word"],
  ["DID:PLC:ALICE", "pa55word"],
  ["nobody@mail.test", "pa55word"],
  ["", "pa55word"],
  ["a".repeat(IDENTIFIER_CHARS_MAX + 1), "pa55word"],
  ["unborn.test", "pa55word"],
  ["leaving.test", "pa55word"],
  ["dead.test", "pa55word"],
  ["gone.test", "wrong"],
])("Sessions.signIn refuses %.30s with %.10s in the same words", async (identifier, password) => {
  const refusal = await signIn(identifier, password).catch((error: Error) => error);
  expect(refusal).toMatchObject({ code: "auth_required", message: "Invalid identifier or password" });
});

test("Sessions.signIn tells the status wherever an account is not active", async () => {
  expect(await signIn("sleeper.test")).toMatchObject({ active: false, status: "deactivated" });
  expect(await signIn("gone.test", "pa55word", true)).toMatchObject({ active: false, status: "takendown" });
  expect(await signIn("paused.test", "pa55word", true)).toMatchObject({ active: false, status: "suspended" });
});

test("Sessions.signIn lets who is taken down in only when asked, with a narrow token and no row", async () => {
  const { sessions, rows } = makeSessions();
  for (const identifier of ["gone.test", "paused.test"]) {
    const refused = sessions.signIn({ identifier, password: "pa55word" });
    await expect(refused).rejects.toMatchObject({ code: "account_takendown" });
    const session = await sessions.signIn({ identifier, password: "pa55word", allowTakendown: true });
    expect(session.accessJwt).toStartWith("com.atproto.takendown of ");
  }
  expect(rows.rows.size).toBe(0);
});

test("Sessions says whether the e-mail address is confirmed, and leaves out what is not there", async () => {
  expect(await signIn("confirmed.test")).toMatchObject({ emailConfirmed: true });
  const mailless = await signIn("mailless.test");
  expect(mailless).toMatchObject({ emailConfirmed: false });
  expect(Object.keys(mailless)).not.toContain("email");
  expect(Object.keys(mailless)).not.toContain("didDoc");
});

test("Sessions shows the DID document where it is given one", async () => {
  const { sessions } = makeSessions({ didDoc: async (id) => ({ id }) });
  expect(await sessions.describe("did:plc:alice")).toMatchObject({ didDoc: { id: "did:plc:alice" } });
});

test("Sessions.refresh replaces the token, and gives a repeat within the grace the same one", async () => {
  const { sessions, rows, tokenOf, advance } = makeSessions();
  const first = await sessions.signIn({ identifier: "alice.test", password: "pa55word" });
  advance(60_000);
  const second = await sessions.refresh(tokenOf(first));
  expect(second.refreshJwt).not.toBe(first.refreshJwt);
  expect(second).toMatchObject({ handle: "alice.test", email: "alice@mail.test", active: true });
  expect(rows.find(second.refreshJwt)?.expiresAt).toBe(NOW + 60_000 + REFRESH_LIFETIME_MS);
  advance(REFRESH_GRACE_MS);
  expect((await sessions.refresh(tokenOf(first))).refreshJwt).toBe(second.refreshJwt);
});

test("Sessions.refresh gives concurrent repeats the same next token", async () => {
  const { sessions, tokenOf } = makeSessions();
  const first = await sessions.signIn({ identifier: "alice.test", password: "pa55word" });
  const repeats = await Promise.all(Array.from({ length: 5 }, () => sessions.refresh(tokenOf(first))));
  expect(new Set(repeats.map((one) => one.refreshJwt)).size).toBe(1);
});

test("Sessions.refresh revokes the whole family on a repeat after the grace", async () => {
  const { sessions, tokenOf, advance } = makeSessions();
  const first = await sessions.signIn({ identifier: "alice.test", password: "pa55word" });
  const other = await sessions.signIn({ identifier: "alice.test", password: "pa55word" });
  const second = await sessions.refresh(tokenOf(first));
  advance(REFRESH_GRACE_MS + 1);
  for (const token of [first, second]) {
    await expect(sessions.refresh(tokenOf(token))).rejects.toMatchObject({ code: "expired_token" });
  }
  expect(await sessions.refresh(tokenOf(other))).toMatchObject({ did: "did:plc:alice" });
});

test("Sessions.refresh refuses tokens of nobody, of the dead and of who is taken down", async () => {
  const { sessions } = makeSessions();
  for (const [name, code] of [
    ["alice", "expired_token"],
    ["sleeper", "expired_token"],
    ["gone", "account_takendown"],
    ["paused", "account_takendown"],
    ["dead", "account_not_found"],
    ["nobody", "account_not_found"],
  ]) {
    const refused = sessions.refresh({ did: `did:plc:${name}`, tokenId: "unknown" });
    await expect(refused).rejects.toMatchObject({ code });
  }
});

test("Sessions.end removes the family, whichever of its tokens is sent, and minds no repeat", async () => {
  const { sessions, rows, tokenOf } = makeSessions();
  const first = await sessions.signIn({ identifier: "alice.test", password: "pa55word" });
  const second = await sessions.refresh(tokenOf(first));
  await sessions.end({ did: "did:plc:sleeper", tokenId: first.refreshJwt });
  expect(rows.rows.size).toBe(2);
  await sessions.end(tokenOf(first));
  await sessions.end(tokenOf(first));
  expect(rows.rows.size).toBe(0);
  await expect(sessions.refresh(tokenOf(second))).rejects.toMatchObject({ code: "expired_token" });
});

test("Sessions.refresh keeps a session of an app password one", async () => {
  const { sessions, rows } = makeSessions();
  const row = { did: "did:plc:alice", familyId: "f", expiresAt: NOW + 1000, appPasswordName: "phone" };
  await rows.insert({ id: "app", ...row });
  const session = await sessions.refresh({ did: "did:plc:alice", tokenId: "app" });
  expect(session.accessJwt).toStartWith("com.atproto.appPass of ");
});
