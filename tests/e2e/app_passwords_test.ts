/** App passwords: what a session of one may do, how long it lives, and the lock after too many wrong passwords. */
import { describe, expect, test } from "bun:test";
import { decodeJwt } from "jose";
import { type Account, PASSWORD, xrpc } from "../client.ts";
import { KEY_TYPES } from "../harness.ts";
import { type Row, testRows, useStage } from "../stage.ts";

const CREATE = "com.atproto.server.createAppPassword";
const LIST = "com.atproto.server.listAppPasswords";
const REVOKE = "com.atproto.server.revokeAppPassword";
const SIGN_IN = "com.atproto.server.createSession";
const REFRESH = "com.atproto.server.refreshSession";

/** Sessions and passwords that one row leaves for the next. */
const kept: { password: string; accessJwt: string; refreshJwt: string }[] = [];

const rows: Row[] = [
  {
    title: "makes one of four groups, shown once",
    to: CREATE,
    call: ({ alice }) => ({ token: alice.accessJwt, body: { name: "phone" } }),
    status: 200,
    check: ({ json }) => {
      expect(json).toMatchObject({ name: "phone", privileged: false });
      expect(json.password).toMatch(/^[a-z2-7]{4}(-[a-z2-7]{4}){3}$/);
      expect(new Date(String(json.createdAt)).toISOString()).toBe(String(json.createdAt));
      kept.push({ password: String(json.password), accessJwt: "", refreshJwt: "" });
    },
  },
  {
    title: "makes a privileged one",
    to: CREATE,
    call: ({ alice }) => ({ token: alice.accessJwt, body: { name: "desk", privileged: true } }),
    status: 200,
    check: ({ json }) => {
      kept.push({ password: String(json.password), accessJwt: "", refreshJwt: "" });
    },
  },
  {
    title: "refuses a second one of a name",
    to: CREATE,
    call: ({ alice }) => ({ token: alice.accessJwt, body: { name: "phone" } }),
    status: 400,
    error: "InvalidRequest",
  },
  {
    title: "refuses an empty name",
    to: CREATE,
    call: ({ alice }) => ({ token: alice.accessJwt, body: { name: "" } }),
    status: 400,
    error: "InvalidRequest",
  },
  {
    title: "refuses input without a name",
    to: CREATE,
    call: ({ alice }) => ({ token: alice.accessJwt, body: {} }),
    status: 400,
    error: "InvalidRequest",
  },
  {
    title: "needs a session",
    to: CREATE,
    call: () => ({ body: { name: "x" } }),
    status: 401,
    error: "AuthMissing",
  },
  { title: "needs a session", to: LIST, status: 401, error: "AuthMissing" },
  {
    title: "needs a session",
    to: REVOKE,
    call: () => ({ body: { name: "x" } }),
    status: 401,
    error: "AuthMissing",
  },
  {
    title: "lists names without passwords",
    to: LIST,
    call: ({ alice }) => ({ token: alice.accessJwt }),
    status: 200,
    check: ({ json }) => {
      const passwords = json.passwords as Record<string, unknown>[];
      expect(passwords.map(({ name, privileged }) => [name, privileged])).toEqual([
        ["phone", false],
        ["desk", true],
      ]);
      expect(JSON.stringify(passwords)).not.toContain('"password"');
    },
  },
];

async function signIn(url: string, account: Pick<Account, "handle">, password: string) {
  return xrpc(url, SIGN_IN, { body: { identifier: account.handle, password } });
}

describe.each([...KEY_TYPES])("app passwords (%s)", (keyType) => {
  kept.length = 0;
  const holder = useStage({ keyType });
  testRows(holder, rows);

  test.each([
    [0, "com.atproto.appPass"],
    [1, "com.atproto.appPassPrivileged"],
  ])("app password %d opens a session of scope %s, which it keeps", async (index, scope) => {
    const { url, alice } = holder.stage;
    const mine = kept.at(index - 2);
    const opened = await signIn(url, alice, mine?.password ?? "");
    expect(opened.status).toBe(200);
    expect(decodeJwt(String(opened.json.accessJwt)).scope).toBe(scope);
    const renewed = await xrpc(url, REFRESH, { method: "POST", token: String(opened.json.refreshJwt) });
    expect(renewed.status).toBe(200);
    expect(decodeJwt(String(renewed.json.accessJwt)).scope).toBe(scope);
    Object.assign(mine ?? {}, { accessJwt: renewed.json.accessJwt, refreshJwt: renewed.json.refreshJwt });
  });

  test("a session of one writes records, and does nothing to the account", async () => {
    const { url, alice } = holder.stage;
    const token = kept.at(-2)?.accessJwt ?? "";
    const record = { $type: "dev.kith.test.mark", number: 1 };
    const written = await xrpc(url, "com.atproto.repo.createRecord", {
      token,
      body: { repo: alice.did, collection: "dev.kith.test.mark", record },
    });
    expect(written.status).toBe(200);
    const session = await xrpc(url, "com.atproto.server.getSession", { token });
    expect(session.json).toMatchObject({ did: alice.did, active: true });
    for (const one of kept.slice(-2)) {
      const refused = await xrpc(url, CREATE, { token: one.accessJwt, body: { name: "another" } });
      expect([refused.status, refused.error]).toEqual([400, "InvalidToken"]);
    }
    const list = await xrpc(url, LIST, { token });
    expect((list.json.passwords as unknown[]).length).toBe(2);
  });

  test("it opens no other account", async () => {
    const { url } = holder.stage;
    const bob = await holder.stage.account("bob");
    const refused = await signIn(url, bob, kept.at(-2)?.password ?? "");
    expect([refused.status, refused.error]).toEqual([401, "AuthenticationRequired"]);
  });

  test("revokeAppPassword ends its sessions and no others, and minds no repeat", async () => {
    const { url, alice } = holder.stage;
    const [phone, desk] = kept.slice(-2);
    for (let time = 0; time < 2; time++) {
      const revoked = await xrpc(url, REVOKE, { token: alice.accessJwt, body: { name: "phone" } });
      expect(revoked.status).toBe(200);
    }
    expect((await signIn(url, alice, phone?.password ?? "")).error).toBe("AuthenticationRequired");
    const ended = await xrpc(url, REFRESH, { method: "POST", token: phone?.refreshJwt });
    expect([ended.status, ended.error]).toEqual([400, "ExpiredToken"]);
    expect((await xrpc(url, REFRESH, { method: "POST", token: desk?.refreshJwt })).status).toBe(200);
    expect((await xrpc(url, REFRESH, { method: "POST", token: alice.refreshJwt })).status).toBe(200);
  });
});

describe("the lock after wrong passwords", () => {
  const holder = useStage({ env: { KITH_LOGIN_FAILURES_MAX: "3", KITH_LOGIN_LOCK_MS: "600000" } });
  const from = (ip: string) => ({ "x-forwarded-for": ip });

  test("it holds alike for a name that nobody has, says for how long, and only where they came from", async () => {
    const { url, alice } = holder.stage;
    const answers: unknown[][] = [];
    for (const identifier of [alice.handle, "nobody.test"]) {
      const headers = from("203.0.113.1");
      const attempts = ["wrong", "wrong", "wrong", PASSWORD].map((password) => ({ identifier, password }));
      const seen: unknown[] = [];
      for (const body of attempts) {
        const { status, error, json, headers: got } = await xrpc(url, SIGN_IN, { body, headers });
        seen.push([status, error, json.message, got.has("retry-after")]);
      }
      answers.push(seen);
    }
    expect(answers[0]).toEqual(answers[1] ?? []);
    const [wrong, , , locked] = answers[0] as unknown[][];
    expect(wrong?.slice(0, 2)).toEqual([401, "AuthenticationRequired"]);
    expect(locked?.slice(0, 2)).toEqual([429, "RateLimitExceeded"]);
    expect(locked?.[3]).toBe(true);
    // By another name it is locked too, and answers as to any wrong password: nobody learns whose address it is.
    const body = { identifier: alice.email, password: PASSWORD };
    expect((await xrpc(url, SIGN_IN, { body, headers: from("203.0.113.1") })).status).toBe(401);
    expect((await xrpc(url, SIGN_IN, { body, headers: from("203.0.113.2") })).status).toBe(200);
    expect((await xrpc(url, REFRESH, { method: "POST", token: alice.refreshJwt })).status).toBe(200);
  });
});
