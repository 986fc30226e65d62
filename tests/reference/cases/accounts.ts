/** Sign-up, sessions, app passwords, invites and codes by mail. */
import { PASSWORD } from "../../client.ts";
import { type Case, type Side, signIn, signUp } from "../oracle.ts";

const server = (name: string) => `com.atproto.server.${name}`;

/** Who the run is played by. */
export const MEMBERS = ["marker", "alice", "bob", "carol", "dan", "erin", "frank", "gina", "hugo"] as const;

export const signUps: readonly Case[] = MEMBERS.map((name) => signUp(name));

const create = (title: string, body: unknown, call: object = {}): Case => ({
  title,
  to: server("createAccount"),
  call: () => ({ body, ...call }),
});

const account = (handle: string, more: object = {}) => ({
  handle,
  email: `${handle.split(".")[0]}@new.example.com`,
  password: PASSWORD,
  ...more,
});

export const refusedSignUps: readonly Case[] = [
  create("a handle that is taken", account("alice.test")),
  create("a handle that is taken, in capitals", account("ALICE.test")),
  create("an address that is taken", account("newcomer.test", { email: "alice@example.com" })),
  create("an address that is taken, in capitals", account("newcomer.test", { email: "ALICE@example.com" })),
  create("a handle of a foreign domain", account("newcomer.example.com")),
  create("a handle of two labels below the domain", account("new.comer.test")),
  create("a handle that is too short", account("ab.test")),
  create("a handle that is too long", account(`${"a".repeat(19)}.test`)),
  create("a handle with an underscore", account("new_comer.test")),
  create("a handle that begins with a hyphen", account("-newcomer.test")),
  create("a reserved handle", account("admin.test")),
  create("no handle", account("")),
  create("a bad address", account("newcomer.test", { email: "newcomer" })),
  create("an address with spaces", account("newcomer.test", { email: "new comer@example.com" })),
  create("no address", { handle: "newcomer.test", password: PASSWORD }),
  create("a password that is too long", account("newcomer.test", { password: "p".repeat(300) })),
  create("a DID without a token", account("newcomer.test", { did: "did:plc:ewvi7nxzyoun6zhxrhs64oiz" })),
  create(
    "a DID with a token that is none",
    account("newcomer.test", { did: "did:plc:ewvi7nxzyoun6zhxrhs64oiz" }),
    {
      token: "garbage",
    },
  ),
  create("a bad DID", account("newcomer.test", { did: "plc:ewvi7" })),
  create("a PLC operation of one's own", account("newcomer.test", { plcOp: { type: "plc_operation" } })),
];

const login = (title: string, body: unknown, call: object = {}): Case => ({
  title,
  to: server("createSession"),
  call: () => ({ body, ...call }),
});

const as =
  (name: string, more: object = {}) =>
  (side: Side) => ({ token: side.token(name), ...more });
const post = (name: string) => as(name, { method: "POST" });

export const sessions: readonly Case[] = [
  login("by handle", { identifier: "alice.test", password: PASSWORD }),
  login("by handle in capitals", { identifier: "ALICE.TEST", password: PASSWORD }),
  login("by handle with an @", { identifier: "@alice.test", password: PASSWORD }),
  login("by address", { identifier: "alice@example.com", password: PASSWORD }),
  login("by address in capitals", { identifier: "Alice@Example.com", password: PASSWORD }),
  login("with a wrong password", { identifier: "alice.test", password: "wrong" }),
  login("of nobody", { identifier: "nobody.test", password: PASSWORD }),
  login("of no address", { identifier: "nobody@example.com", password: PASSWORD }),
  login("with an empty second factor, as the app sends it", {
    identifier: "alice.test",
    password: PASSWORD,
    authFactorToken: "",
    allowTakendown: true,
  }),
  login(
    "with a header of somebody else",
    { identifier: "alice.test", password: PASSWORD },
    { token: "garbage" },
  ),
  login("with an empty password", { identifier: "alice.test", password: "" }),
  signIn("alice"),
  { title: "of alice", to: server("getSession"), call: as("alice"), status: 200 },
  {
    title: "of alice by a refresh token",
    to: server("getSession"),
    call: (side) => ({ token: side.member("alice").refreshJwt }),
  },
  {
    title: "rotates",
    to: server("refreshSession"),
    call: (side) => ({ method: "POST", token: side.member("bob").refreshJwt }),
    keep: ({ json }, side) => {
      side.memory.set("bob's next refresh", String(json.refreshJwt));
      side.member("bob").accessJwt = String(json.accessJwt);
    },
    status: 200,
  },
  {
    title: "again with the same token",
    to: server("refreshSession"),
    call: (side) => ({ method: "POST", token: side.member("bob").refreshJwt }),
    status: 200,
  },
  {
    title: "with {} as a body",
    to: server("refreshSession"),
    call: (side) => ({ body: {}, token: side.kept("bob's next refresh") }),
  },
  {
    title: "by GET, as old clients do",
    to: server("refreshSession"),
    call: (side) => ({ token: side.kept("bob's next refresh") }),
  },
  signIn("frank"),
  {
    title: "ends",
    to: server("deleteSession"),
    call: (side) => ({ method: "POST", token: side.member("frank").refreshJwt }),
    status: 200,
  },
  {
    title: "again",
    to: server("deleteSession"),
    call: (side) => ({ method: "POST", token: side.member("frank").refreshJwt }),
  },
  {
    title: "of a session that has ended",
    to: server("refreshSession"),
    call: (side) => ({ method: "POST", token: side.member("frank").refreshJwt }),
  },
  { title: "by the access token", to: server("deleteSession"), call: post("frank") },
];

const appPassword = (title: string, body: unknown, name?: string): Case => ({
  title,
  to: server("createAppPassword"),
  call: as("bob", { body }),
  keep: ({ json }, side) => {
    if (name) side.memory.set(name, String(json.password));
  },
});

const appSession = (kept: string, name: string): Case => ({
  title: `with the password of ${kept}`,
  to: server("createSession"),
  call: (side) => ({ body: { identifier: "bob.test", password: side.kept(kept) } }),
  keep: ({ json }, side) => {
    const { accessJwt, refreshJwt } = json as { accessJwt: string; refreshJwt: string };
    side.members.set(name, { ...side.member("bob"), name, accessJwt, refreshJwt });
  },
  status: 200,
});

export const appPasswords: readonly Case[] = [
  appPassword("plain", { name: "plain" }, "plain"),
  appPassword("privileged", { name: "privileged", privileged: true }, "privileged"),
  appPassword("a second of the same name", { name: "plain" }),
  { title: "lists them", to: server("listAppPasswords"), call: as("bob"), status: 200 },
  appSession("plain", "bob's app"),
  appSession("privileged", "bob's privileged app"),
  { title: "of an app", to: server("getSession"), call: as("bob's app"), status: 200 },
  { title: "by an app", to: server("listAppPasswords"), call: as("bob's app") },
  { title: "by an app", to: server("createAppPassword"), call: as("bob's app", { body: { name: "more" } }) },
  {
    title: "of an app rotates",
    to: server("refreshSession"),
    call: (side) => ({ method: "POST", token: side.member("bob's app").refreshJwt }),
    status: 200,
  },
  { title: "of what is none", to: server("revokeAppPassword"), call: as("bob", { body: { name: "none" } }) },
  appPassword("a third", { name: "third" }, "third"),
  appSession("third", "bob's third app"),
  { title: "of the third", to: server("revokeAppPassword"), call: as("bob", { body: { name: "third" } }) },
  {
    title: "of a revoked app",
    to: server("refreshSession"),
    call: (side) => ({ method: "POST", token: side.member("bob's third app").refreshJwt }),
  },
  { title: "after one is revoked", to: server("listAppPasswords"), call: as("bob") },
];

const admin =
  (more: object = {}) =>
  (side: Side) => ({ headers: side.basic, ...more });

export const invites: readonly Case[] = [
  {
    title: "one",
    to: server("createInviteCode"),
    call: admin({ body: { useCount: 1 } }),
    keep: ({ json }, side) => side.memory.set("invite", String(json.code)),
    status: 200,
  },
  {
    title: "for alice",
    to: server("createInviteCode"),
    call: (side) => ({ headers: side.basic, body: { useCount: 2, forAccount: side.did("alice") } }),
  },
  { title: "as a user", to: server("createInviteCode"), call: as("alice", { body: { useCount: 1 } }) },
  {
    title: "with a wrong password",
    to: server("createInviteCode"),
    call: () => ({ headers: { authorization: `Basic ${btoa("admin:wrong")}` }, body: { useCount: 1 } }),
  },
  { title: "several", to: server("createInviteCodes"), call: admin({ body: { codeCount: 3, useCount: 1 } }) },
  {
    title: "several for two",
    to: server("createInviteCodes"),
    call: (side) => ({
      headers: side.basic,
      body: { codeCount: 2, useCount: 1, forAccounts: [side.did("alice"), side.did("bob")] },
    }),
  },
  { title: "of alice", to: server("getAccountInviteCodes"), call: as("alice") },
  {
    title: "of alice, the used too",
    to: server("getAccountInviteCodes"),
    call: as("alice", { params: { includeUsed: true, createAvailable: false } }),
  },
  { title: "by an app", to: server("getAccountInviteCodes"), call: as("bob's app") },
];

const code = (title: string, to: string, subject: RegExp, body: (code: string) => unknown): Case => ({
  title,
  to: server(to),
  call: async (side) => ({ token: side.token("frank"), body: body(await side.code("frank", subject)) }),
});

/** Of what each server writes over its mails. */
const SUBJECT = {
  confirm: /Subject:.*Confirm/i,
  update: /Subject:.*(?:update|change)/i,
  reset: /Subject:.*Password/i,
  remove: /Subject:.*Delet/i,
};

const wrongCode = (to: string, body: object): Case => ({
  title: "with a wrong code",
  to: server(to),
  call: as("frank", { body: { ...body, token: "AAAAA-22222" } }),
});

export const mailed: readonly Case[] = [
  { title: "asks for a code", to: server("requestEmailConfirmation"), call: post("frank"), status: 200 },
  wrongCode("confirmEmail", { email: "frank@example.com" }),
  code("another address", "confirmEmail", SUBJECT.confirm, (token) => ({ email: "x@example.com", token })),
  { title: "asks again", to: server("requestEmailConfirmation"), call: post("frank") },
  {
    ...code("its own", "confirmEmail", SUBJECT.confirm, (token) => ({ email: "frank@example.com", token })),
    status: 200,
  },
  { title: "with a confirmed address", to: server("getSession"), call: as("frank") },
  { title: "of a confirmed address", to: server("requestEmailConfirmation"), call: post("frank") },
  { title: "of a confirmed address", to: server("requestEmailUpdate"), call: post("frank"), status: 200 },
  {
    title: "without a code",
    to: server("updateEmail"),
    call: as("frank", { body: { email: "frank@example.org" } }),
  },
  wrongCode("updateEmail", { email: "frank@example.org" }),
  code("to one that is taken", "updateEmail", SUBJECT.update, (token) => ({
    email: "alice@example.com",
    token,
  })),
  { title: "once more", to: server("requestEmailUpdate"), call: post("frank") },
  code("to one that is no address", "updateEmail", SUBJECT.update, (token) => ({ email: "frank", token })),
  { title: "of an unconfirmed address", to: server("requestEmailUpdate"), call: post("erin") },
  {
    title: "of an unconfirmed address",
    to: server("updateEmail"),
    call: as("erin", { body: { email: "erin@example.org" } }),
    status: 200,
  },
  { title: "with a new address", to: server("getSession"), call: as("erin") },
  { title: "by an app", to: server("requestEmailUpdate"), call: post("bob's app") },
  { title: "by an app", to: server("requestEmailConfirmation"), call: post("bob's app") },
  {
    title: "of nobody",
    to: server("requestPasswordReset"),
    call: () => ({ body: { email: "nobody@example.com" } }),
  },
  {
    title: "of frank",
    to: server("requestPasswordReset"),
    call: () => ({ body: { email: "frank@example.com" } }),
    status: 200,
  },
  {
    title: "with a wrong code",
    to: server("resetPassword"),
    call: () => ({ body: { token: "AAAAA-22222", password: "new password" } }),
  },
  {
    title: "to a new one",
    to: server("resetPassword"),
    call: async (side) => ({
      body: { token: await side.code("frank", SUBJECT.reset), password: "new password of frank" },
    }),
    status: 200,
  },
  login("with the old password", { identifier: "frank.test", password: PASSWORD }),
  { title: "of before the reset", to: server("getSession"), call: as("frank") },
  signIn("frank", { password: "new password of frank" }),
];

export const deletions: readonly Case[] = [
  { title: "asks for a code", to: server("requestAccountDelete"), call: post("frank"), status: 200 },
  {
    title: "with a wrong password",
    to: server("deleteAccount"),
    call: (side) => ({ body: { did: side.did("frank"), password: "wrong", token: "AAAAA-22222" } }),
  },
  {
    title: "with a wrong code",
    to: server("deleteAccount"),
    call: (side) => ({
      body: { did: side.did("frank"), password: "new password of frank", token: "AAAAA-22222" },
    }),
  },
  {
    title: "of nobody",
    to: server("deleteAccount"),
    call: () => ({ body: { did: "did:plc:ewvi7nxzyoun6zhxrhs64oiz", password: "x", token: "AAAAA-22222" } }),
  },
  {
    title: "of frank",
    to: server("deleteAccount"),
    call: async (side) => ({
      body: {
        did: side.did("frank"),
        password: "new password of frank",
        token: await side.code("frank", SUBJECT.remove),
      },
    }),
    status: 200,
  },
  { title: "of a deleted account", to: server("getSession"), call: as("frank") },
  login("of a deleted account", { identifier: "frank.test", password: "new password of frank" }),
  {
    title: "of a deleted account",
    to: "com.atproto.sync.getRepoStatus",
    call: (side) => ({ params: { did: side.did("frank") } }),
  },
  {
    title: "of a deleted account",
    to: "com.atproto.repo.describeRepo",
    call: (side) => ({ params: { repo: side.did("frank") } }),
  },
  {
    title: "of a deleted account",
    to: "com.atproto.sync.getRepo",
    call: (side) => ({ params: { did: side.did("frank") } }),
  },
];

/** What one of the two takes and the other refuses: last, so that both stay alike until then. */
export const oneSided: readonly Case[] = [
  create("no password", { handle: "newcomer.test", email: "newcomer@example.com" }),
  { title: "without a name", to: server("createAppPassword"), call: as("gina", { body: { name: "" } }) },
  {
    title: "with a long name",
    to: server("createAppPassword"),
    call: as("gina", { body: { name: "n".repeat(500) } }),
  },
  {
    title: "without a body",
    to: server("deactivateAccount"),
    call: (side) => ({ method: "POST", token: side.token("gina") }),
  },
  { title: "for no use", to: server("createInviteCode"), call: admin({ body: { useCount: 0 } }) },
  { title: "for less than none", to: server("createInviteCode"), call: admin({ body: { useCount: -1 } }) },
];
