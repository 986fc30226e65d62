import { expect, test } from "bun:test";
import { REMEMBERED_MS, STEP_UP_MS, StepUps } from "../../accounts/mod.ts";
import { type ErrorCode, KithError } from "../../errors.ts";
import type { Notice } from "../../mailer/mod.ts";
import { createAssets, type Locale, textsOf } from "../../web/mod.ts";
import { Form } from "../pages/form.ts";
import { PageCall } from "../pages/page_call.ts";
import { AccountPages, type AccountPagesOptions } from "./account_pages.ts";
import { parseAccountPath, returnPath } from "./paths.ts";

const DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const NOW = Date.UTC(2026, 2, 14);
const HOME = `/account/${DID}`;
const PASSWORD = "the password";

type Done = [string, ...unknown[]];

/** The pages over parts that note what is asked of them; an account with what `has` says. */
function make(
  has: {
    factors?: readonly string[];
    passkeys?: number;
    state?: string;
    isConfirmed?: boolean;
    hasMail?: boolean;
    ageMs?: number;
    throws?: Partial<Record<string, ErrorCode>>;
  } = {},
) {
  const clock = { now: NOW };
  const done: Done[] = [];
  const notices: Notice[] = [];
  const note =
    (name: string, answer?: unknown) =>
    async (...asked: unknown[]) => {
      done.push([name, ...asked]);
      const code = has.throws?.[name];
      if (code !== undefined) throw new KithError(code, `Refused: ${name}`);
      return answer;
    };
  const account = {
    did: DID,
    handle: "alice.test",
    email: "alice@example.com",
    emailConfirmedAt: has.isConfirmed ? NOW : null,
    passwordHash: "",
    state: has.state ?? "active",
  };
  const device = {
    ...{ id: "device", secretHash: "", cookieId: "" },
    accounts: [
      { did: DID, authenticatedAt: NOW, remember: true, needsPassword: (has.ageMs ?? 0) >= REMEMBERED_MS },
    ],
  };
  const required = () => has.factors ?? [];
  const passkeys = Array.from({ length: has.passkeys ?? 0 }, (_, index) => ({
    ...{ id: `key-${index}`, name: `Key ${index}`, createdAt: NOW, lastUsedAt: null },
  }));
  const list = async () => ({
    totpSince: null,
    email: false,
    passkeys,
    passkeyRequired: false,
    backupCodes: 0,
  });
  const verify = async (_did: string, proof: { kind: string; code?: string }) => {
    if (proof.code !== "123456") throw new KithError("auth_required", "Token is invalid");
  };
  const checkPassword = async ({ password }: { password: string }) => {
    if (password !== PASSWORD) throw new KithError("auth_required", "Invalid identifier or password");
  };
  const authenticated = async () => {
    for (const one of device.accounts) one.authenticatedAt = clock.now;
  };
  const stepUps = new StepUps({
    sessions: { checkPassword },
    factors: { required, verify },
    devices: { authenticated },
    now: () => clock.now,
  });
  const parts = {
    accounts: { account: (did: string) => (did === DID ? account : undefined) },
    stepUps,
    languages: { read: async () => {} },
    factors: {
      ...{ required, list, challenge: note("challenge", {}), mailCode: note("mailCode") },
      ...{ beginTotp: () => ({ secret: "JBSWY3DP", uri: "otpauth://totp/x?secret=JBSWY3DP" }) },
      ...{
        confirmTotp: note("confirmTotp", { backupCodes: ["aaaa-bbbb-cccc"] }),
        removeTotp: note("removeTotp"),
      },
      ...{ newBackupCodes: note("newBackupCodes", ["aaaa-bbbb-cccc"]), addEmail: note("addEmail") },
      ...{ removeEmail: note("removeEmail"), renamePasskey: note("renamePasskey") },
      ...{
        removePasskey: note("removePasskey"),
        requirePasskey: note("requirePasskey", { backupCodes: [] }),
      },
    },
    passkeys: { beginAdding: note("beginAdding", {}), finishAdding: note("finishAdding", { name: "Key" }) },
    credentials: {
      changePassword: note("changePassword", { passwordHash: "new" }),
      deleteAccount: note("deleteAccount"),
      requestAccountDelete: note("requestAccountDelete"),
      requestEmailUpdate: note("requestEmailUpdate"),
      requestEmailConfirmation: note("requestEmailConfirmation"),
      updateEmail: note("updateEmail"),
      confirmEmail: note("confirmEmail"),
    },
    devices: {
      signIn: note("signIn", { device }),
      list: async () => [],
      signOut: note("signOut", { device }),
    },
    appPasswords: { list: async () => [], create: note("create", { password: "aaaa-bbbb" }) },
    status: { deactivate: note("deactivate"), activate: note("activate") },
    identityChanges: { updateHandle: note("updateHandle") },
    mail: { isConfigured: has.hasMail ?? true },
    handleDomains: [".test"],
    handleClaim: "open",
    deleteAfter: () => undefined,
    notify: async (_call: unknown, notice: Notice) => void notices.push(notice),
    now: () => clock.now,
  };
  const pages = new AccountPages(parts as unknown as AccountPagesOptions);
  const assets = createAssets({ folder: "/oauth/assets" }).paths;
  const view = (of: { locale: Locale; csrf: string; nonce: string }) => ({
    ...of,
    ...{ t: textsOf(of.locale), site: { name: "pds.test", host: "pds.test" }, assets },
  });
  const setting = { publicUrl: "https://pds.test", csrfKey: new Uint8Array(32), pages: { view } };
  const go = async (method: "GET" | "POST", path: string, fields: Record<string, string> = {}) => {
    const url = new URL(path, "https://pds.test");
    const request = new Request(url, { method });
    const context = { requestId: "r", ip: "203.0.113.7" };
    const call = new PageCall(request, { url, context, opened: { device, setCookie: undefined }, setting });
    if (method === "POST") call.form = new Form(fields);
    const route = pages.find(url.pathname);
    const response = await (method === "POST" ? route?.post : route?.get)?.(call);
    if (!response) throw new Error(`No ${method} of ${path}`);
    const to = response.headers.get("location");
    return { status: response.status, to, text: to === null ? await response.text() : "" };
  };
  return { clock, done, notices, go };
}

const confirmTo = (rest: string): string =>
  `${HOME}/confirm?${new URLSearchParams({ to: `${HOME}/${rest}` })}`;

const GUARDED: readonly (readonly ["GET" | "POST", string, string, Record<string, string>?])[] = [
  ["GET", "security", "security"],
  ["POST", "security/password", "security", { current: PASSWORD, password: "a new password" }],
  ["POST", "security/passkeys", "security", { name: "Key", credential: "{}" }],
  ["POST", "security/passkeys/rename", "security", { id: "key-0", name: "New" }],
  ["POST", "security/passkeys/remove", "security", { id: "key-0" }],
  ["POST", "security/passkeys/require", "security", { required: "yes" }],
  ["GET", "security/totp", "security/totp"],
  ["POST", "security/totp", "security/totp", { code: "123456" }],
  ["POST", "security/totp/begin", "security"],
  ["POST", "security/totp/remove", "security"],
  ["POST", "security/email-codes", "security", { on: "yes" }],
  ["POST", "security/backup-codes", "security"],
  ["GET", "app-passwords", "app-passwords"],
  ["POST", "app-passwords", "app-passwords", { name: "phone" }],
  ["GET", "handle", "handle"],
  ["POST", "handle", "handle", { handle: "new", domain: ".test" }],
  ["POST", "handle/own", "handle", { ownHandle: "alice.example.com" }],
  ["GET", "email", "email"],
  ["POST", "email", "email", { email: "new@example.com" }],
  ["POST", "status/deactivate", "status"],
  ["GET", "delete", "delete"],
  ["POST", "delete", "delete", { code: "AAAAA-22222", password: PASSWORD, understood: "on" }],
  ["POST", "delete/send-code", "delete"],
];

test.each(GUARDED)(
  "%s %s asks for a fresh sign-in, and goes on at %s",
  async (method, rest, back, fields) => {
    const { clock, done, notices, go } = make({ isConfirmed: true, passkeys: 1 });
    clock.now = NOW + STEP_UP_MS;
    expect((await go(method, `${HOME}/${rest}`, fields)).to).toBe(confirmTo(back));
    expect([done, notices]).toEqual([[], []]);
    clock.now = NOW + STEP_UP_MS - 1;
    expect((await go(method, `${HOME}/${rest}`, fields)).to ?? "").not.toContain("/confirm");
  },
);

test.each(["", "devices", "status"])("what only shows asks for none: %j", async (rest) => {
  const { clock, go } = make();
  clock.now = NOW + STEP_UP_MS * 2;
  expect((await go("GET", `${HOME}/${rest}`.replace(/\/$/, ""))).status).toBe(200);
});

test.each([
  [{}, { password: PASSWORD, way: "password" }, true],
  [{}, { password: "wrong", way: "password" }, false],
  [{}, {}, false],
  [{ factors: ["totp"] }, { password: PASSWORD, code: "123456", way: "totp" }, true],
  [{ factors: ["totp"] }, { password: PASSWORD, code: "000000", way: "totp" }, false],
  [{ factors: ["totp"] }, { password: PASSWORD, way: "totp" }, false],
  [{ factors: ["totp"] }, { code: "123456", way: "totp" }, false],
])("with %j, %j confirms: %p", async (has, fields, isRight) => {
  const { clock, go } = make(has);
  clock.now = NOW + STEP_UP_MS;
  const to = `${HOME}/security`;
  const page = await go("POST", confirmTo("security"), { ...fields, to } as Record<string, string>);
  expect([page.status, page.to]).toEqual(isRight ? [303, to] : [400, null]);
  expect((await go("GET", to)).status).toBe(isRight ? 200 : 303);
});

test.each([
  "https://evil.example",
  "//evil.example",
  "/account/did:plc:other/security",
  `${HOME}x`,
  "/account",
])("a confirmation leads to no other place: %s", async (to) => {
  const { go } = make();
  expect((await go("POST", `${HOME}/confirm`, { password: PASSWORD, to })).to).toBe(HOME);
});

test("the ways to confirm are those of the account", async () => {
  const { go, done } = make({ factors: ["passkey", "totp", "email", "backup"], passkeys: 1 });
  const first = await go("GET", confirmTo("security"));
  expect(first.text).toContain('data-passkey="get"');
  for (const way of ["totp", "email", "backup"]) expect(first.text).toContain(`way=${way}`);
  const asked = await go("GET", `${confirmTo("security")}&way=email`);
  expect([asked.text.includes("a…@example.com"), asked.text.includes('name="code"')]).toEqual([true, false]);
  expect(done.map(([name]) => name)).toEqual(["challenge"]);
  const mailed = await go("POST", `${HOME}/confirm/send-code`, { to: `${HOME}/security` });
  expect(done.map(([name]) => name)).toEqual(["challenge", "mailCode"]);
  expect((await go("GET", mailed.to ?? "")).text).toContain('name="code"');
  expect(done.map(([name]) => name)).toEqual(["challenge", "mailCode"]);
  const alone = await make({ passkeys: 1 }).go("GET", confirmTo("security"));
  expect(alone.text).toContain("way=password");
});

test.each([
  ["security/passkeys/remove", { id: "key-0" }, "passkey_removed"],
  ["security/passkeys/require", { required: "yes" }, "passkey_required"],
  ["security/passkeys/require", { required: "no" }, "passkey_not_required"],
  ["security/passkeys", { name: "Key", credential: "{}" }, "passkey_added"],
  ["security/totp", { code: "123456" }, "totp_added"],
  ["security/email-codes", { on: "yes" }, "email_codes_on"],
  ["security/email-codes", { on: "no" }, "email_codes_off"],
  ["security/backup-codes", {}, "backup_codes_renewed"],
  ["app-passwords", { name: "phone" }, "app_password_added"],
  ["handle", { handle: "new", domain: ".test" }, "handle_changed"],
])("%s %j is told by mail: %s", async (rest, fields, kind) => {
  const { go, notices } = make({ passkeys: 1, factors: ["totp"] });
  await go("POST", `${HOME}/${rest}`, fields as Record<string, string>);
  expect(notices.map((notice) => notice.kind as string)).toEqual([kind]);
});

test.each([
  ["security/passkeys/remove", { id: "key-9" }, {}, 303, ""],
  ["security/passkeys/rename", { id: "key-9", name: "New" }, { renamePasskey: "invalid_request" }, 303, ""],
  ["security/passkeys/rename", { id: "key-0", name: "x".repeat(65) }, {}, 400, "1 to 64 characters"],
  ["security/passkeys", { name: "", credential: "{}" }, {}, 400, "1 to 64 characters"],
  [
    "security/passkeys",
    { name: "K", credential: "{" },
    { finishAdding: "auth_required" },
    400,
    "was not accepted",
  ],
  [
    "security/passkeys",
    { name: "K", credential: "{}" },
    { finishAdding: "invalid_request" },
    400,
    "too many",
  ],
  ["security/totp", { code: "1" }, { confirmTotp: "auth_required" }, 400, "The code is wrong"],
  ["security/totp", { code: "1" }, { confirmTotp: "expired_token" }, 400, "open for too long"],
  ["security/totp", { code: "1" }, { confirmTotp: "rate_limited" }, 400, "Too many tries"],
  ["security/email-codes", { on: "yes" }, { addEmail: "invalid_request" }, 400, "Confirm your e-mail"],
  ["handle", { handle: "new", domain: ".evil" }, {}, 400, "letters, digits and hyphens"],
  ["handle", { handle: "new", domain: ".test" }, { updateHandle: "upstream_failure" }, 400, "busy"],
  [
    "handle",
    { handle: "new", domain: ".test" },
    { updateHandle: "invalid_request" },
    400,
    "cannot be changed from here",
  ],
  ["status/reactivate", {}, { activate: "invalid_request" }, 400, "cannot be reactivated here"],
])("%s %j where %j is refused with words", async (rest, fields, throws, status, text) => {
  const state = rest.startsWith("status") ? "deactivated" : "active";
  const { go, notices } = make({ passkeys: 1, state, throws: throws as Record<string, ErrorCode> });
  const page = await go("POST", `${HOME}/${rest}`, fields as Record<string, string>);
  expect([page.status, page.text]).toEqual([status, expect.stringContaining(text)]);
  expect(notices).toEqual([]);
});

test("what nobody has words for is thrown on", async () => {
  const { go } = make({ throws: { updateHandle: "storage_damaged" } });
  await expect(go("POST", `${HOME}/handle`, { handle: "new", domain: ".test" })).rejects.toMatchObject({
    code: "storage_damaged",
  });
});

test.each([
  ["delete/send-code", {}, "kith account code alice.test delete_account", 'name="understood"'],
  ["email/send-code", {}, "kith account code alice.test confirm_email", 'name="code"'],
  ["email", { email: "new@example.com" }, "kith account code alice.test update_email", 'name="changeCode"'],
])("without mail, %s says whom to ask, and takes the code", async (rest, fields, command, field) => {
  const { go, done } = make({ hasMail: false, isConfirmed: rest === "email" });
  const page = await go("POST", `${HOME}/${rest}`, fields as Record<string, string>);
  expect(page.text).toContain(command);
  expect(page.text).toContain(field);
  expect(done).toEqual([]);
});

test.each(["takendown", "suspended"])(
  "an account that is %s has its overview, apps and devices",
  async (state) => {
    const { go } = make({ state });
    expect((await go("GET", HOME)).text).toContain("have taken this account down");
    expect((await go("GET", `${HOME}/devices`)).status).toBe(200);
    for (const rest of ["security", "handle", "email", "status", "delete", "app-passwords", "confirm"]) {
      expect((await go("GET", `${HOME}/${rest}`)).to).toBe(HOME);
    }
    expect((await go("POST", `${HOME}/status/reactivate`)).to).toBe(HOME);
  },
);

test("a sign-in that is too old leads to the password, of the account that was asked for", async () => {
  const { go } = make({ ageMs: REMEMBERED_MS });
  const query = new URLSearchParams({ to: `${HOME}/apps?x=1`, identifier: "alice.test" });
  expect((await go("GET", `${HOME}/apps?x=1`)).to).toBe(`/account/sign-in?${query}`);
});

test.each([
  ["/account", { did: undefined, rest: "" }],
  ["/account/", { did: undefined, rest: "" }],
  ["/account/security", { did: undefined, rest: "security" }],
  ["/account/did:web:localhost%3A3000/handle/own", { did: "did:web:localhost%3A3000", rest: "handle/own" }],
  ["/accounts", undefined],
  ["/", undefined],
])("parseAccountPath(%j) is %j", (path, expected) => {
  expect(parseAccountPath(path)).toEqual(expected);
});

test.each([
  ["/account", "/account"],
  [`${HOME}/security?a=1`, `${HOME}/security?a=1`],
  ["/account/../oauth/authorize", undefined],
  ["/account\\..\\..\\evil", undefined],
  ["/accountant", undefined],
  ["//evil.example/account", undefined],
  ["https://evil.example/account", undefined],
  ["/account/\t/evil", "/account//evil"],
  [`/account/${"a".repeat(2_000)}`, undefined],
  ["", undefined],
  [null, undefined],
])("returnPath(%j) is %j", (text, expected) => {
  expect(returnPath(text)).toBe(expected as string);
});

test.each([
  [7, false],
  [8, true],
  [256, true],
  [257, false],
])("a new password of %p characters is taken in place of the old one: %p", async (length, isTaken) => {
  const { go, done } = make();
  const password = "p".repeat(length);
  const page = await go("POST", `${HOME}/security/password`, { current: PASSWORD, password });
  expect([page.status, done.some(([name]) => name === "changePassword")]).toEqual(
    isTaken ? [303, true] : [400, false],
  );
});
