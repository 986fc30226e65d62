import { expect, test } from "bun:test";
import type { Mail } from "../mailer/mod.ts";
import { FakeEmailTokens } from "./_fixture.ts";
import {
  AccountMail,
  CODES_PER_DAY_MAX,
  CODES_PER_HOUR_MAX,
  NOTICE_LIFETIME_MS,
  NOTICES_PER_DAY_MAX,
  WELCOME_LIFETIME_MS,
} from "./account_mail.ts";
import { EMAIL_TOKEN_LIFETIME_MS, EmailTokens } from "./email_tokens.ts";

const ALICE = { did: "did:plc:alice", handle: "alice.test", email: "alice@mail.test" };
const NOW = 1_790_000_000_000;
const HOUR_MS = 3_600_000;

function make({ configured = true } = {}) {
  let now = NOW;
  const sent: (Mail & { expiresAt: number })[] = [];
  const tokens = new EmailTokens({ rows: new FakeEmailTokens(), now: () => now });
  const sender = {
    enqueue: async (mail: Mail, { expiresAt }: { expiresAt: number }) =>
      void sent.push({ ...mail, expiresAt }),
  };
  const mail = new AccountMail({
    tokens,
    sender: configured ? sender : undefined,
    host: "pds.test",
    contact: "admin@pds.test",
    now: () => now,
  });
  return { mail, tokens, sent, advance: (ms: number) => (now += ms) };
}

test("AccountMail.sendCode() mails a code that is valid, and is tried no longer than that", async () => {
  const { mail, tokens, sent } = make();
  await mail.sendCode(ALICE, "plc_operation");
  expect(sent).toMatchObject([{ to: ALICE.email, expiresAt: NOW + EMAIL_TOKEN_LIFETIME_MS }]);
  const [code = ""] = /[A-Z2-7]{5}-[A-Z2-7]{5}/.exec(sent[0]?.text ?? "") ?? [];
  await tokens.take(ALICE.did, "plc_operation", code);
});

test("AccountMail says that no mail is set up, whom to ask, and what that one does", async () => {
  const { mail } = make({ configured: false });
  await expect(mail.sendCode(ALICE, "confirm_email")).rejects.toMatchObject({
    code: "invalid_request",
    message: expect.stringMatching(
      new RegExp(`no mail set up.*admin@pds\\.test.*"kith account code ${ALICE.did} confirm_email"`),
    ),
    hint: expect.stringContaining("PDS_EMAIL_SMTP_URL"),
  });
  await mail.welcome(ALICE);
});

test("AccountMail.sendCode() refuses an account without an address", async () => {
  const refused = make().mail.sendCode({ ...ALICE, email: null }, "confirm_email");
  await expect(refused).rejects.toMatchObject({
    code: "invalid_request",
    message: expect.stringMatching(
      new RegExp(`no e-mail address.*"kith account code ${ALICE.did} confirm_email"`),
    ),
  });
});

test("AccountMail.sendCode() is bounded by hour and by day, for each account and purpose", async () => {
  const { mail, sent, advance } = make();
  const send = (purpose: "reset_password" | "delete_account", did = ALICE.did) =>
    mail.sendCode({ ...ALICE, did }, purpose);
  for (let hour = 0; hour < CODES_PER_DAY_MAX / CODES_PER_HOUR_MAX; hour++) {
    for (let time = 0; time < CODES_PER_HOUR_MAX; time++) await send("reset_password");
    const retryAfterS = hour === 2 ? 22 * 3_600 : 3_600;
    await expect(send("reset_password")).rejects.toMatchObject({ code: "rate_limited", retryAfterS });
    advance(HOUR_MS);
  }
  await expect(send("reset_password")).rejects.toMatchObject({ code: "rate_limited" });
  await send("delete_account");
  await send("reset_password", "did:plc:bob");
  expect(sent).toHaveLength(CODES_PER_DAY_MAX + 2);
  advance(21 * HOUR_MS);
  await send("reset_password");
});

test("AccountMail.welcome() welcomes whoever has an address", async () => {
  const { mail, sent } = make();
  await mail.welcome({ ...ALICE, email: null });
  await mail.welcome(ALICE);
  expect(sent).toMatchObject([{ to: ALICE.email, expiresAt: NOW + WELCOME_LIFETIME_MS }]);
});

test("AccountMail.notify() tells of a change, so many times a day, and nobody where that cannot be", async () => {
  const { mail, sent, advance } = make();
  const notify = () => mail.notify(ALICE, { kind: "handle_changed", name: "new.test" });
  for (let count = 0; count < NOTICES_PER_DAY_MAX; count++) await notify();
  expect(sent).toHaveLength(NOTICES_PER_DAY_MAX);
  expect(sent[0]).toMatchObject({ to: ALICE.email, expiresAt: NOW + NOTICE_LIFETIME_MS });
  expect(sent[0]?.text).toContain("https://pds.test/account");
  await expect(notify()).rejects.toMatchObject({ code: "rate_limited" });
  // Codes are counted by themselves.
  await mail.sendCode(ALICE, "confirm_email");
  advance(24 * HOUR_MS);
  await notify();
  await mail.notify({ ...ALICE, email: null }, { kind: "totp_added" });
  await make({ configured: false }).mail.notify(ALICE, { kind: "totp_added" });
  expect(sent).toHaveLength(NOTICES_PER_DAY_MAX + 2);
});
