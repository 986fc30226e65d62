import { expect, test } from "bun:test";
import { FakeAppPasswords, FakeRefreshRows } from "./_fixture.ts";
import type { Account, AccountState } from "./account.ts";
import { AppPasswords } from "./app_passwords.ts";
import { LOGIN_FAILURES_MAX, LOGIN_LOCK_MS } from "./login_lock.ts";
import { Passwords } from "./passwords.ts";
import { IDENTIFIER_CHARS_MAX, REFRESH_GRACE_MS, REFRESH_LIFETIME_MS, Sessions } from "./sessions.ts";

const NOW = 1_790_000_000_000;
const IP = "203.0.113.7";
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
  const appPasswordRows = new FakeAppPasswords();
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
    appPasswords: appPasswordRows,
    now: () => now,
    ...options,
  });
  const tokenOf = (session: { did: string; refreshJwt: string }) => ({
    did: session.did,
    tokenId: session.refreshJwt,
  });
  const appPasswords = new AppPasswords({ rows: appPasswordRows, now: () => now });
  return { sessions, rows, appPasswords, tokenOf, advance: (ms: number) => (now += ms) };
}

const signIn = (identifier: string, password = "pa55word", allowTakendown?: boolean) =>
  makeSessions().sessions.signIn({ identifier, password, ip: IP, allowTakendown });

test("Sessions.signIn answers all that clients read, and stores the refresh token", async () => {
  const { sessions, rows } = makeSessions();
  const session = await sessions.signIn({ identifier: "alice.test", password: "pa55word", ip: IP });
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
    const refused = sessions.signIn({ identifier, password: "pa55word", ip: IP });
    await expect(refused).rejects.toMatchObject({ code: "account_takendown" });
    const session = await sessions.signIn({ identifier, password: "pa55word", ip: IP, allowTakendown: true });
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
  const first = await sessions.signIn({ identifier: "alice.test", password: "pa55word", ip: IP });
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
  const first = await sessions.signIn({ identifier: "alice.test", password: "pa55word", ip: IP });
  const repeats = await Promise.all(Array.from({ length: 5 }, () => sessions.refresh(tokenOf(first))));
  expect(new Set(repeats.map((one) => one.refreshJwt)).size).toBe(1);
});

test("Sessions.refresh revokes the whole family on a repeat after the grace", async () => {
  const { sessions, tokenOf, advance } = makeSessions();
  const first = await sessions.signIn({ identifier: "alice.test", password: "pa55word", ip: IP });
  const other = await sessions.signIn({ identifier: "alice.test", password: "pa55word", ip: IP });
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
  const first = await sessions.signIn({ identifier: "alice.test", password: "pa55word", ip: IP });
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

test.each([
  [false, "com.atproto.appPass"],
  [true, "com.atproto.appPassPrivileged"],
])(
  "Sessions.signIn with an app password (privileged: %p) keeps %s when it is renewed",
  async (privileged, scope) => {
    const { sessions, appPasswords, tokenOf } = makeSessions();
    const { password } = await appPasswords.create("did:plc:alice", { name: "phone", privileged });
    const session = await sessions.signIn({ identifier: "alice.test", password, ip: IP });
    expect(session.accessJwt).toStartWith(`${scope} of did:plc:alice`);
    const renewed = await sessions.refresh(tokenOf(session));
    expect(renewed.accessJwt).toStartWith(`${scope} of did:plc:alice`);
    const other = sessions.signIn({ identifier: "confirmed.test", password, ip: IP });
    await expect(other).rejects.toMatchObject({ code: "auth_required" });
  },
);

test("Sessions.signIn refuses an app password of who is taken down, and one that was revoked meanwhile", async () => {
  const { sessions, rows, appPasswords } = makeSessions();
  const gone = await appPasswords.create("did:plc:gone", { name: "phone", privileged: false });
  const request = { identifier: "gone.test", password: gone.password, ip: IP, allowTakendown: true };
  await expect(sessions.signIn(request)).rejects.toMatchObject({ code: "account_takendown" });
  const { password } = await appPasswords.create("did:plc:alice", { name: "phone", privileged: false });
  rows.secretIsCurrent = false;
  for (const secret of [password, "pa55word"]) {
    const refused = sessions.signIn({ identifier: "alice.test", password: secret, ip: IP });
    await expect(refused).rejects.toMatchObject({ code: "auth_required" });
  }
});

test.each(["alice.test", "nobody.test"])(
  "Sessions.signIn locks %s alike, by any of its names",
  async (name) => {
    const { sessions, advance } = makeSessions();
    const attempt = (identifier: string, password: string, ip = IP) =>
      sessions.signIn({ identifier, password, ip }).catch((error: { code: string }) => error.code);
    for (let failure = 1; failure <= LOGIN_FAILURES_MAX; failure++) {
      expect(await attempt(name.toUpperCase(), "wrong")).toBe("auth_required");
    }
    expect(await attempt(name, "pa55word")).toBe("rate_limited");
    expect(await attempt("confirmed.test", "pa55word")).toMatchObject({ handle: "confirmed.test" });
    if (name === "alice.test") {
      // Not that it is locked: that would tell a stranger whose address it is.
      expect(await attempt("did:plc:alice", "pa55word")).toBe("auth_required");
      for (const address of ["alice@mail.test", "nobody@mail.test"]) {
        for (let count = 0; count < LOGIN_FAILURES_MAX; count++) {
          expect(await attempt(address, "pa55word")).toBe("auth_required");
        }
        expect(await attempt(address, "pa55word")).toBe("rate_limited");
      }
      expect(await attempt(name, "pa55word", "198.51.100.1")).toMatchObject({ handle: name });
    }
    advance(LOGIN_LOCK_MS);
    expect(await attempt(name, "wrong")).toBe("auth_required");
  },
);

test("Sessions.checkPassword takes the account's own password alone, and counts as a sign-in does", async () => {
  const { sessions, appPasswords } = makeSessions();
  const { password } = await appPasswords.create("did:plc:alice", { name: "phone", privileged: true });
  const check = (did: string, secret: string) =>
    sessions.checkPassword({ did, password: secret, ip: IP }).catch((error: { code: string }) => error.code);
  expect(await check("did:plc:alice", "pa55word")).toMatchObject({ did: "did:plc:alice" });
  expect(await check("did:plc:nobody", "pa55word")).toBe("auth_required");
  for (let failure = 1; failure <= LOGIN_FAILURES_MAX; failure++) {
    expect(await check("did:plc:alice", password)).toBe("auth_required");
  }
  expect(await check("did:plc:alice", "pa55word")).toBe("rate_limited");
});
