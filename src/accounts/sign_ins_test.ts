import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { FakeAppPasswords, FakeRefreshRows } from "./_fixture.ts";
import { AccountMail } from "./account_mail.ts";
import { hashAppPassword } from "./app_passwords.ts";
import { Devices } from "./devices.ts";
import { EmailTokens } from "./email_tokens.ts";
import { Passwords } from "./passwords.ts";
import { SoftwareAuthenticator } from "./second_factors/authenticator_fixture.ts";
import { Passkeys } from "./second_factors/passkeys.ts";
import { SecondFactors } from "./second_factors/second_factors.ts";
import { ALICE, NOW, openStores, type Stores } from "./second_factors/stores_fixture.ts";
import { totpCode, totpStep } from "./second_factors/totp.ts";
import { Sessions } from "./sessions.ts";
import {
  DEVICE_SIGN_INS_MAX,
  NETWORK_SIGN_INS_MAX,
  SECOND_STEP_MS,
  SIGN_IN_WINDOW_MS,
  SignIns,
} from "./sign_ins.ts";
import { STEP_UP_MS, StepUps } from "./step_up.ts";

const SITE = { origin: "https://pds.test", rpId: "pds.test" };
const SEEN = { userAgent: "a browser", ip: "203.0.113.7" };
const APP_PASSWORD = "abcd-efgh-ijkl-mnop";
const ACTIVE = { status: "active", ownerStatus: "active", takedownRef: null } as const;
const TAKEN_DOWN = { ...ACTIVE, status: "takendown" } as const;
const SECRET = new Uint8Array(20).fill(3);
const passwords = new Passwords({ cost: { memoryKib: 64, passes: 1 } });

let stores: Stores;
beforeAll(async () => {
  stores = await openStores(await passwords.hash("pa55word"));
});
afterAll(() => stores[Symbol.asyncDispose]());
beforeEach(() => stores.factors.removeAll(ALICE));

function make() {
  const clock = { now: NOW };
  const now = () => clock.now;
  const sent: string[] = [];
  const sentTo: string[] = [];
  const tokens = new EmailTokens({ rows: stores.emailTokens, now });
  const sender = {
    enqueue: async ({ to, text }: { to: string; text: string }) => {
      sent.push(/[A-Z2-7]{5}-[A-Z2-7]{5}/.exec(text)?.[0] ?? "");
      sentTo.push(to);
    },
  };
  const mail = new AccountMail({ tokens, sender, host: "pds.test", now });
  const passkeys = new Passkeys({ rows: stores.factors, publicUrl: SITE.origin, name: "pds.test", now });
  const factors = new SecondFactors({ rows: stores.factors, passkeys, tokens, mail, name: "pds.test", now });
  const appPasswords = new FakeAppPasswords();
  const app = { name: "app", privileged: false, createdAt: NOW, accountMax: 1 };
  appPasswords.create({ ...app, did: ALICE, passwordHash: hashAppPassword(ALICE, APP_PASSWORD) ?? "" });
  const sessions = new Sessions({
    accounts: stores.accounts,
    rows: new FakeRefreshRows(),
    tokens: { issue: async ({ scope }) => ({ accessJwt: scope, refreshJwt: "" }) },
    passwords,
    appPasswords,
    factors,
    now,
  });
  const devices = new Devices({
    rows: stores.devices,
    publicUrl: SITE.origin,
    logger: { warn() {} } as never,
    now,
  });
  const signIns = new SignIns({ sessions, factors, passkeys, devices, now });
  const stepUps = new StepUps({ sessions, factors, devices, now });
  const newDevice = async () => (await devices.open({ ...SEEN, cookie: null })).device;
  const request = { ...SEEN, identifier: "alice.test", password: "pa55word", remember: true };
  const code = () => totpCode(SECRET, totpStep(clock.now));
  const setTotp = () => stores.factors.setTotp({ did: ALICE, secret: SECRET, step: 0, now: NOW });
  return {
    clock,
    sent,
    sentTo,
    passkeys,
    factors,
    sessions,
    devices,
    signIns,
    stepUps,
    newDevice,
    request,
    code,
    setTotp,
  };
}

async function addPasskey({ passkeys, stepUps, clock }: ReturnType<typeof make>) {
  const authenticator = new SoftwareAuthenticator(SITE);
  const fresh = stepUps.ofDevice({ accounts: [{ did: ALICE, authenticatedAt: clock.now }] }, ALICE);
  const options = await passkeys.beginAdding(fresh, { handle: "alice.test" });
  await passkeys.finishAdding(fresh, { answer: authenticator.create(options) });
  return authenticator;
}

test("Sessions.signIn() asks for the factor only after the right password, and of no app password", async () => {
  const { sessions, code, setTotp, clock } = make();
  await setTotp();
  const signIn = (password: string, token?: string) =>
    sessions.signIn({ identifier: "alice.test", password, code: token, ip: SEEN.ip });
  const wrong = { code: "auth_required", message: "Invalid identifier or password" };
  await expect(signIn("wrong")).rejects.toMatchObject(wrong);
  await expect(signIn("wrong", code())).rejects.toMatchObject(wrong);
  await expect(signIn("pa55word")).rejects.toMatchObject({ code: "factor_required" });
  await expect(signIn("pa55word", "000000")).rejects.toMatchObject({ message: "Token is invalid" });
  expect(await signIn("pa55word", code())).toMatchObject({ did: ALICE, emailAuthFactor: false });
  await expect(signIn("pa55word", code())).rejects.toMatchObject({ message: "Token is invalid" });
  expect((await signIn(APP_PASSWORD)).accessJwt).toBe("com.atproto.appPass");
  clock.now += 60_000;
  await stores.accounts.projectState(ALICE, TAKEN_DOWN, { now: NOW });
  const takenDown = (token?: string) =>
    sessions.signIn({
      identifier: ALICE,
      password: "pa55word",
      code: token,
      ip: SEEN.ip,
      allowTakendown: true,
    });
  await expect(takenDown()).rejects.toMatchObject({ code: "factor_required" });
  expect((await takenDown(code())).accessJwt).toBe("com.atproto.takendown");
  await stores.accounts.projectState(ALICE, ACTIVE, { now: NOW });
});

test("SignIns.withPassword() signs in at once without factors; an app password is a wrong one", async () => {
  const { signIns, newDevice, request } = make();
  const done = await signIns.withPassword(await newDevice(), request);
  expect(done).toMatchObject({ step: "done", did: ALICE, setCookie: expect.stringContaining("Max-Age") });
  const refused = { code: "auth_required", message: "Invalid identifier or password" };
  for (const change of [{ password: "wrong" }, { password: APP_PASSWORD }, { identifier: "nobody.test" }]) {
    const attempt = signIns.withPassword(await newDevice(), { ...request, ...change });
    await expect(attempt).rejects.toMatchObject(refused);
  }
});

test("SignIns.withFactor() is the second step, in the same browser, in time", async () => {
  const { signIns, newDevice, request, code, setTotp, clock } = make();
  await setTotp();
  const device = await newDevice();
  const first = await signIns.withPassword(device, request);
  expect(first).toEqual({ step: "second_factor", did: ALICE, handle: "alice.test", kinds: ["totp"] });
  expect(signIns.waiting(device)).toMatchObject({ did: ALICE });
  const withCode = (typed: string, on = device) =>
    signIns.withFactor(on, { ...SEEN, proof: { kind: "code", code: typed } });
  await expect(withCode("000000")).rejects.toMatchObject({ code: "auth_required" });
  await expect(withCode(code(), await newDevice())).rejects.toMatchObject({ code: "expired_token" });
  expect(await withCode(code())).toMatchObject({ did: ALICE });
  await expect(withCode(code())).rejects.toMatchObject({ code: "expired_token" });
  await signIns.withPassword(device, request);
  clock.now += SECOND_STEP_MS;
  await expect(withCode(code())).rejects.toMatchObject({ code: "expired_token" });
});

test("SignIns.withFactor() ends with a password that was changed between the steps", async () => {
  const { signIns, newDevice, request, code, setTotp } = make();
  await setTotp();
  const device = await newDevice();
  await signIns.withPassword(device, request);
  const { passwordHash } = stores.account(ALICE);
  await stores.credentials.setPassword({ did: ALICE, passwordHash: "another", now: NOW });
  const late = signIns.withFactor(device, { ...SEEN, proof: { kind: "code", code: code() } });
  await expect(late).rejects.toMatchObject({ code: "auth_required" });
  await stores.credentials.setPassword({ did: ALICE, passwordHash, now: NOW });
});

test("SignIns.mailCode() mails one, and it signs in", async () => {
  const { signIns, newDevice, request, factors, sent } = make();
  await factors.addEmail(stores.account(ALICE));
  const device = await newDevice();
  await signIns.withPassword(device, request);
  await signIns.mailCode(device);
  await signIns.mailCode(device);
  expect(sent.length).toBe(1);
  const done = await signIns.withFactor(device, { ...SEEN, proof: { kind: "code", code: sent[0] ?? "" } });
  expect(done.did).toBe(ALICE);
});

test("SignIns.mailCode() goes to the address that the account has by then", async () => {
  const { signIns, newDevice, request, factors, sentTo } = make();
  await factors.addEmail(stores.account(ALICE));
  const device = await newDevice();
  await signIns.withPassword(device, request);
  const move = (email: string) =>
    stores.hub.write((run) => {
      run("UPDATE account SET email = ? WHERE did = ?", email, ALICE);
    });
  await move("new@mail.test");
  await expect(signIns.mailCode(device)).rejects.toMatchObject({ code: "invalid_request" });
  await factors.addEmail(stores.account(ALICE));
  await signIns.mailCode(device);
  expect(sentTo).toEqual(["new@mail.test"]);
  await move("alice@mail.test");
});

test("a passkey is a second factor, and enough alone", async () => {
  const made = make();
  const { signIns, newDevice, request, setTotp } = made;
  const authenticator = await addPasskey(made);
  await setTotp();
  const device = await newDevice();
  expect(await signIns.withPassword(device, request)).toMatchObject({ kinds: ["passkey", "totp"] });
  const answer = authenticator.get(await signIns.challenge(device));
  expect((await signIns.withFactor(device, { ...SEEN, proof: { kind: "passkey", answer } })).did).toBe(ALICE);
  const other = await newDevice();
  const alone = authenticator.get(await signIns.passkeyOptions(other));
  expect((await signIns.withPasskey(other, { ...SEEN, answer: alone, remember: false })).did).toBe(ALICE);
  await stores.accounts.projectState(ALICE, TAKEN_DOWN, { now: NOW });
  const third = await newDevice();
  const takenDown = signIns.withPasskey(third, {
    ...SEEN,
    answer: authenticator.get(await signIns.passkeyOptions(third)),
    remember: false,
  });
  await expect(takenDown).rejects.toMatchObject({ code: "account_takendown" });
  await stores.accounts.projectState(ALICE, ACTIVE, { now: NOW });
});

test("sign-ins are limited by browser and by network", async () => {
  const { signIns, newDevice, clock } = make();
  const attempt = (device: Awaited<ReturnType<typeof newDevice>>, ip = SEEN.ip) =>
    signIns.withPasskey(device, { userAgent: "", ip, answer: {}, remember: false }).then(
      () => "in",
      (error: { code: string }) => error.code,
    );
  const device = await newDevice();
  for (let count = 0; count < DEVICE_SIGN_INS_MAX; count++)
    expect(await attempt(device)).toBe("auth_required");
  expect(await attempt(device, "198.51.100.1")).toBe("rate_limited");
  for (let count = DEVICE_SIGN_INS_MAX; count < NETWORK_SIGN_INS_MAX; count++) {
    expect(await attempt({ ...device, id: `device ${count}` })).toBe("auth_required");
  }
  expect(await attempt(await newDevice())).toBe("rate_limited");
  expect(await attempt(await newDevice(), "198.51.100.1")).toBe("auth_required");
  clock.now += SIGN_IN_WINDOW_MS;
  expect(await attempt(device)).toBe("auth_required");
});

test("StepUps wants a full sign-in of the last ten minutes, or another", async () => {
  const made = make();
  const { signIns, stepUps, newDevice, request, code, setTotp, clock, devices } = made;
  const { device, setCookie } = (await signIns.withPassword(await newDevice(), request)) as {
    device: Awaited<ReturnType<typeof newDevice>>;
    setCookie: string;
  };
  expect(stepUps.ofDevice(device, ALICE)).toMatchObject({ did: ALICE, isProven: true });
  expect(() => stepUps.ofDevice(device, "did:plc:bob")).toThrow("Sign in again");
  clock.now += STEP_UP_MS;
  expect(() => stepUps.ofDevice(device, ALICE)).toThrow(
    expect.objectContaining({ code: "step_up_required" }),
  );
  await setTotp();
  const again = (change: object) => stepUps.again(device, { did: ALICE, ip: SEEN.ip, ...change });
  const proof = (typed: string) => ({ proof: { kind: "code", code: typed } });
  await expect(again({})).rejects.toMatchObject({ code: "auth_required" });
  await expect(again(proof(code()))).rejects.toMatchObject({ code: "auth_required" });
  await expect(again({ password: "pa55word" })).rejects.toMatchObject({ code: "factor_required" });
  const wrong = again({ password: "pa55word", ...proof("000000") });
  await expect(wrong).rejects.toMatchObject({ code: "auth_required" });
  expect((await again({ password: "pa55word", ...proof(code()) })).did).toBe(ALICE);
  const opened = await devices.open({ ...SEEN, cookie: setCookie.split(";")[0] ?? "" });
  expect(stepUps.ofDevice(opened.device, ALICE).did).toBe(ALICE);
  const authenticator = await addPasskey(made);
  const answer = authenticator.get(await made.factors.challenge(ALICE));
  expect((await again({ proof: { kind: "passkey", answer } })).did).toBe(ALICE);
});
