import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import type { Mail } from "../../mailer/mod.ts";
import { AccountMail } from "../account_mail.ts";
import { EmailTokens, SIGN_IN_CODE_LIFETIME_MS } from "../email_tokens.ts";
import { StepUps } from "../step_up.ts";
import { SoftwareAuthenticator } from "./authenticator_fixture.ts";
import { BACKUP_CODES, formatBackupCode, readCode } from "./codes.ts";
import { Passkeys } from "./passkeys.ts";
import {
  CODE_AGAIN_MS,
  CODE_FAILURES_MAX,
  CODE_LOCK_MS,
  CODES_EVERYWHERE_FACTOR,
  SecondFactors,
  TOTP_SETUP_MS,
} from "./second_factors.ts";
import { ALICE, BOB, NOW, openStores, type Stores } from "./stores_fixture.ts";
import { TOTP_STEP_MS, totpCode, totpStep } from "./totp.ts";

const IP = "203.0.113.7";
const SITE = { origin: "https://pds.test", rpId: "pds.test" };
const WRONG = { code: "auth_required", message: "Token is invalid" };
const LOCKED = { code: "rate_limited", message: expect.stringContaining("too many wrong codes") };

let stores: Stores;
beforeAll(async () => {
  stores = await openStores();
});
afterAll(() => stores[Symbol.asyncDispose]());
beforeEach(async () => {
  await stores.factors.removeAll(ALICE);
  await stores.factors.removeAll(BOB);
});

function make({ mailed = true } = {}) {
  const clock = { now: NOW };
  const now = () => clock.now;
  const sent: string[] = [];
  const tokens = new EmailTokens({ rows: stores.emailTokens, now });
  const sender = {
    enqueue: async ({ text }: Mail) => void sent.push(/\b[A-Z2-7]{5}-[A-Z2-7]{5}\b/.exec(text)?.[0] ?? ""),
  };
  const mail = new AccountMail({ tokens, sender: mailed ? sender : undefined, host: "pds.test", now });
  const passkeys = new Passkeys({ rows: stores.factors, publicUrl: SITE.origin, name: "pds.test", now });
  const factors = new SecondFactors({ rows: stores.factors, passkeys, tokens, mail, name: "pds.test", now });
  const freshOf = (did: string) =>
    new StepUps({ sessions: {}, factors: {}, devices: {}, now } as never).ofDevice(
      { accounts: [{ did, authenticatedAt: clock.now }] },
      did,
    );
  const verify = (code: string, { did = ALICE, ip = IP } = {}) =>
    factors.verify(did, { kind: "code", code }, { ip });
  /** Sets the app of an account up, half a minute ago; its codes. */
  const setUpTotp = async (did = ALICE) => {
    const { uri } = factors.beginTotp(freshOf(did), { handle: "alice.test" });
    const secret = fromBase32(new URL(uri).searchParams.get("secret") ?? "");
    const codeAt = (steps = 0) => totpCode(secret, totpStep(clock.now) + steps);
    const { backupCodes } = await factors.confirmTotp(freshOf(did), { code: codeAt(), ip: IP });
    clock.now += TOTP_STEP_MS;
    return { codeAt, backupCodes };
  };
  return { clock, sent, factors, passkeys, freshOf, verify, setUpTotp };
}

function fromBase32(text: string): Uint8Array {
  const bits = [...text].map((char) =>
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(char).toString(2).padStart(5, "0"),
  );
  return Uint8Array.from(bits.join("").match(/.{8}/g) ?? [], (byte) => Number.parseInt(byte, 2));
}

async function addPasskey({ passkeys, freshOf }: ReturnType<typeof make>, did = ALICE) {
  const authenticator = new SoftwareAuthenticator(SITE);
  const options = await passkeys.beginAdding(freshOf(did), { handle: "alice.test" });
  const { id } = await passkeys.finishAdding(freshOf(did), { answer: authenticator.create(options) });
  return { authenticator, id };
}

test("an account without factors is admitted, and has none", async () => {
  const { factors } = make();
  await factors.admit(stores.account(ALICE), { ip: IP });
  await factors.admit(stores.account(ALICE), { code: "123456", ip: IP });
  expect(await factors.list(ALICE)).toEqual({
    ...{ totpSince: null, email: false, passkeys: [], passkeyRequired: false, backupCodes: 0 },
  });
});

test("TOTP is on from its first code, which gives the backup codes and is worth nothing afterwards", async () => {
  const { factors, freshOf, clock, verify } = make();
  const begun = factors.beginTotp(freshOf(ALICE), { handle: "alice.test" });
  expect(begun.uri).toContain("otpauth://totp/pds.test:alice.test?");
  expect(factors.beginTotp(freshOf(ALICE), { handle: "alice.test" })).toEqual(begun);
  expect(factors.required(ALICE)).toEqual([]);
  const wrong = factors.confirmTotp(freshOf(ALICE), { code: "000000", ip: IP });
  await expect(wrong).rejects.toMatchObject(WRONG);
  const code = totpCode(fromBase32(begun.secret), totpStep(clock.now));
  const { backupCodes } = await factors.confirmTotp(freshOf(ALICE), { code, ip: IP });
  expect(new Set(backupCodes).size).toBe(BACKUP_CODES);
  expect(factors.required(ALICE)).toEqual(["totp", "backup"]);
  await expect(verify(code)).rejects.toMatchObject(WRONG);
  expect(await factors.list(ALICE)).toMatchObject({ totpSince: NOW, backupCodes: BACKUP_CODES });
});

test("the set-up of TOTP must be confirmed in time, and by the account that began it", async () => {
  const { factors, freshOf, clock } = make();
  const { secret } = factors.beginTotp(freshOf(ALICE), { handle: "alice.test" });
  const code = () => totpCode(fromBase32(secret), totpStep(clock.now));
  const ofBob = factors.confirmTotp(freshOf(BOB), { code: code(), ip: IP });
  await expect(ofBob).rejects.toMatchObject({ code: "expired_token" });
  clock.now += TOTP_SETUP_MS;
  const late = factors.confirmTotp(freshOf(ALICE), { code: code(), ip: IP });
  await expect(late).rejects.toMatchObject({ code: "expired_token" });
});

test.each([
  [0, true],
  [1, true],
  [-1, false], // the step of the set-up itself
  [2, false],
])("TOTP takes the code of step %d: %p", async (steps, isTaken) => {
  const { setUpTotp, verify } = make();
  const { codeAt } = await setUpTotp();
  if (isTaken) expect(await verify(codeAt(steps))).toBe("totp");
  else await expect(verify(codeAt(steps))).rejects.toMatchObject(WRONG);
});

test("a TOTP code is taken once, also of two at the same time, and none of before it", async () => {
  const { setUpTotp, verify, clock } = make();
  const { codeAt } = await setUpTotp();
  const both = await Promise.allSettled([verify(codeAt()), verify(codeAt())]);
  expect(both.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
  clock.now += 2 * TOTP_STEP_MS;
  expect(await verify(codeAt(1))).toBe("totp");
  await expect(verify(codeAt(0))).rejects.toMatchObject(WRONG);
});

test("codes of one account are no codes of another", async () => {
  const { setUpTotp, verify } = make();
  const { codeAt, backupCodes } = await setUpTotp();
  await setUpTotp(BOB);
  await expect(verify(codeAt(), { did: BOB })).rejects.toMatchObject(WRONG);
  await expect(verify(backupCodes[0] ?? "", { did: BOB })).rejects.toMatchObject(WRONG);
});

test("a backup code is taken once, however it is typed; new ones take the place of the old", async () => {
  const { setUpTotp, verify, factors, freshOf } = make();
  const [first = "", second = ""] = (await setUpTotp()).backupCodes;
  expect(await verify(` ${first.toUpperCase().replaceAll("-", " ")} `)).toBe("backup");
  await expect(verify(first)).rejects.toMatchObject(WRONG);
  expect((await factors.list(ALICE)).backupCodes).toBe(BACKUP_CODES - 1);
  const [fresh = ""] = await factors.newBackupCodes(freshOf(ALICE));
  await expect(verify(second)).rejects.toMatchObject(WRONG);
  expect(await verify(fresh)).toBe("backup");
  await factors.removeTotp(freshOf(ALICE));
  expect(factors.required(ALICE)).toEqual([]);
  expect((await factors.list(ALICE)).backupCodes).toBe(0);
  await expect(factors.newBackupCodes(freshOf(ALICE))).rejects.toMatchObject({ code: "invalid_request" });
});

test("after five wrong codes an account is locked for the network, after ten for all; passkeys go on", async () => {
  const made = make();
  const { setUpTotp, verify, clock, factors } = made;
  const { codeAt } = await setUpTotp();
  const { authenticator } = await addPasskey(made);
  for (let tries = 0; tries < CODE_FAILURES_MAX; tries++) {
    await expect(verify("000000")).rejects.toMatchObject(WRONG);
  }
  await expect(verify(codeAt())).rejects.toMatchObject(LOCKED);
  for (let tries = CODE_FAILURES_MAX; tries < CODE_FAILURES_MAX * CODES_EVERYWHERE_FACTOR; tries++) {
    await expect(verify("000000", { ip: "198.51.100.1" })).rejects.toMatchObject(WRONG);
  }
  await expect(verify(codeAt(), { ip: "192.0.2.1" })).rejects.toMatchObject(LOCKED);
  const answer = authenticator.get(await factors.challenge(ALICE));
  expect(await factors.verify(ALICE, { kind: "passkey", answer }, { ip: IP })).toBe("passkey");
  clock.now += CODE_LOCK_MS;
  expect(await verify(codeAt())).toBe("totp");
});

test("codes by mail need mail and a confirmed address, and end with the address", async () => {
  const withoutMail = make({ mailed: false });
  const noMail = withoutMail.factors.addEmail(stores.account(ALICE));
  await expect(noMail).rejects.toMatchObject({ message: expect.stringContaining("no mail set up") });
  const { factors } = make();
  const unconfirmed = factors.addEmail(stores.account(BOB));
  await expect(unconfirmed).rejects.toMatchObject({ message: expect.stringContaining("not confirmed") });
  await factors.addEmail(stores.account(ALICE));
  expect(factors.required(ALICE)).toEqual(["email"]);
  await stores.hub.write((run) => run("UPDATE account SET email = 'new@mail.test' WHERE did = ?", ALICE));
  expect(factors.required(ALICE)).toEqual([]);
  await stores.hub.write((run) => run("UPDATE account SET email = 'alice@mail.test' WHERE did = ?", ALICE));
  await factors.removeEmail(ALICE);
  expect(factors.required(ALICE)).toEqual([]);
});

test("a code is mailed once in a while, taken once, and valid for ten minutes", async () => {
  const { factors, sent, verify, clock } = make();
  const alice = stores.account(ALICE);
  await factors.addEmail(alice);
  const ask = () => factors.admit(alice, { code: "", ip: IP });
  const required = { code: "factor_required", message: expect.stringContaining("sent") };
  await expect(ask()).rejects.toMatchObject(required);
  await expect(ask()).rejects.toMatchObject(required);
  expect(sent.length).toBe(1);
  const [first = ""] = sent;
  await factors.admit(alice, { code: first.toLowerCase().replace("-", ""), ip: IP });
  await expect(verify(first)).rejects.toMatchObject(WRONG);
  await expect(ask()).rejects.toMatchObject(required);
  clock.now += CODE_AGAIN_MS;
  await expect(ask()).rejects.toMatchObject(required);
  const [, second = "", third = ""] = sent;
  await expect(verify(second)).rejects.toMatchObject(WRONG);
  clock.now += SIGN_IN_CODE_LIFETIME_MS;
  await expect(verify(third)).rejects.toMatchObject(WRONG);
  // Past the bound of mails an older code is still good, as long as it is.
  for (let mails = sent.length; mails < 5; mails++) {
    await expect(ask()).rejects.toMatchObject(required);
    clock.now += CODE_AGAIN_MS;
  }
  await expect(ask()).rejects.toMatchObject(required);
  expect(await verify(sent.at(-1) ?? "")).toBe("email");
  await expect(ask()).rejects.toMatchObject({ code: "rate_limited" });
});

test("a passkey is asked for where its owner says so, until it is gone", async () => {
  const made = make();
  const { factors, freshOf, verify } = made;
  await expect(factors.requirePasskey(freshOf(ALICE), true)).rejects.toMatchObject({
    code: "invalid_request",
  });
  const { id } = await addPasskey(made);
  expect(factors.required(ALICE)).toEqual([]);
  const { backupCodes } = await factors.requirePasskey(freshOf(ALICE), true);
  expect(factors.required(ALICE)).toEqual(["passkey", "backup"]);
  const refused = factors.admit(stores.account(ALICE), { ip: IP });
  await expect(refused).rejects.toMatchObject({
    code: "factor_required",
    message: expect.stringContaining("passkey"),
  });
  expect(await verify(backupCodes[0] ?? "")).toBe("backup");
  await factors.renamePasskey(freshOf(ALICE), { id, name: "key" });
  expect((await factors.list(ALICE)).passkeys).toMatchObject([{ id, name: "key" }]);
  const foreign = { code: "invalid_request" };
  await expect(factors.renamePasskey(freshOf(BOB), { id, name: "mine" })).rejects.toMatchObject(foreign);
  await expect(factors.removePasskey(freshOf(BOB), id)).rejects.toMatchObject(foreign);
  await factors.removePasskey(freshOf(ALICE), id);
  expect(factors.required(ALICE)).toEqual([]);
  await addPasskey(made);
  expect(factors.required(ALICE)).toEqual([]);
});

test("SecondFactors.reset() leaves the password alone, and lifts the lock", async () => {
  const made = make();
  const { factors, setUpTotp, verify } = made;
  await setUpTotp();
  await addPasskey(made);
  await factors.addEmail(stores.account(ALICE));
  for (let tries = 0; tries < CODE_FAILURES_MAX; tries++) await verify("000000").catch(() => {});
  await factors.reset(ALICE);
  expect(await factors.list(ALICE)).toMatchObject({
    totpSince: null,
    email: false,
    passkeys: [],
    backupCodes: 0,
  });
  await setUpTotp();
});

test.each([
  ["123456", "totp"],
  [" 123 456\n", "totp"],
  ["ABCDE-FGHIJ", "email"],
  ["abcdefghij", "email"],
  ["abcd-efgh-ijkl", "backup"],
  ["12345", undefined],
  ["1234567", undefined],
  ["", undefined],
  ["abcd-efgh-ijk1", undefined],
  [`${" ".repeat(200)}123456`, undefined],
] as const)("readCode(%p) is %p", (typed, kind) => expect(readCode(typed)?.kind).toBe(kind));

test("formatBackupCode() makes what readCode() reads", () => {
  const code = formatBackupCode(Uint8Array.from({ length: 12 }, (_, at) => 31 - at));
  expect(code).toBe("7654-32zy-xwvu");
  expect(readCode(code)).toEqual({ kind: "backup", code: "765432zyxwvu" });
});
