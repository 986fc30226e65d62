/** Everything that goes by a mailed code, over a real SMTP server: addresses, passwords, the end of an account. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Account, type Call, createAccount, PASSWORD, xrpc } from "../client.ts";
import { describeEvent } from "../firehose.ts";
import { TestServer } from "../harness.ts";
import { SMTP_PASSWORD, SmtpSink } from "../smtp_sink.ts";
import { Stage } from "../stage.ts";
import { waitFor } from "../wait.ts";

const FROM = "kith <noreply@pds.example.com>";
const WRONG = "AAAAA-22222";

const server = (name: string) => `com.atproto.server.${name}`;
const post = (token: string): Call => ({ method: "POST", token });

describe("mailed codes", () => {
  const smtp = new SmtpSink();
  let stage: Stage;
  beforeAll(async () => {
    await smtp.start();
    const env = { ...smtp.env(FROM), KITH_LOGIN_FAILURES_MAX: "50" };
    stage = await Stage.open({ env });
  });
  afterAll(async () => {
    await stage?.[Symbol.asyncDispose]();
    await smtp[Symbol.asyncDispose]();
  });
  const call = async (name: string, request: Call) => {
    const { status, error, json } = await xrpc(stage.url, server(name), request);
    return { status, error, json };
  };
  const signIn = (account: Account, password: string) =>
    call("createSession", { body: { identifier: account.did, password } });
  const sessionOf = (account: Account) => call("getSession", { token: account.accessJwt });

  test("a new member is welcomed", async () => {
    const mail = await waitFor("the welcome", () =>
      smtp.mails.find(({ to, text }) => to.includes(stage.alice.email) && /Subject: Welcome/.test(text)),
    );
    expect(mail.from).toBe("noreply@pds.example.com");
    expect(mail.text).toContain(`From: ${FROM}`);
    expect(mail.text).toContain("Content-Type: text/plain");
    expect(mail.text).toContain("Content-Type: text/html");
    expect(mail.text).toContain(stage.alice.handle);
  });

  test("a new app password and a new handle are told, also where an app or a client has done it", async () => {
    const bob = await createAccount(stage.url, "bobby-one", stage.plc);
    const asBob = { token: bob.accessJwt };
    await call("createAppPassword", { ...asBob, body: { name: "reader" } });
    const handle = bob.handle.replace("bobby-one", "bobby");
    await xrpc(stage.url, "com.atproto.identity.updateHandle", { ...asBob, body: { handle } });
    for (const words of [/"reader"/, /@bobby\./]) {
      await waitFor("the notice", () =>
        smtp.mails.some(({ to, text }) => to.includes(bob.email) && words.test(text) && /account/.test(text)),
      );
    }
  });

  test("confirmEmail takes the code once, for the address that it went to", async () => {
    const { alice } = stage;
    expect((await call("requestEmailConfirmation", post(alice.accessJwt))).status).toBe(200);
    const first = await smtp.codeTo(alice.email, /Confirm/);
    expect((await call("requestEmailConfirmation", post(alice.accessJwt))).status).toBe(200);
    const code = await smtp.codeTo(alice.email, /Confirm/);
    const confirm = (email: string, token: string) =>
      call("confirmEmail", { token: alice.accessJwt, body: { email, token } });
    expect(await confirm("other@example.com", code)).toMatchObject({ status: 400, error: "InvalidEmail" });
    expect(await confirm(alice.email, first)).toMatchObject({ status: 400, error: "InvalidToken" });
    expect(await confirm(alice.email, WRONG)).toMatchObject({ status: 400, error: "InvalidToken" });
    expect((await confirm(alice.email.toUpperCase(), code.toLowerCase())).status).toBe(200);
    expect((await sessionOf(alice)).json.emailConfirmed).toBe(true);
    expect(await confirm(alice.email, code)).toMatchObject({ status: 400, error: "InvalidToken" });
  });

  test("updateEmail needs a code of the confirmed address, and the new one is not confirmed", async () => {
    const { alice } = stage;
    const bob = await stage.account("bob");
    const update = (account: Account, body: object) =>
      call("updateEmail", { token: account.accessJwt, body });
    expect((await call("requestEmailUpdate", post(bob.accessJwt))).json).toEqual({ tokenRequired: false });
    expect((await update(bob, { email: "Robert@example.com" })).status).toBe(200);
    expect((await sessionOf(bob)).json).toMatchObject({ email: "robert@example.com", emailConfirmed: false });
    expect(await update(bob, { email: alice.email })).toMatchObject({ status: 400, error: "InvalidRequest" });
    expect(await update(bob, { email: "nothing" })).toMatchObject({ status: 400, error: "InvalidRequest" });
    const factor = { email: "robert@example.com", emailAuthFactor: true };
    expect(await update(bob, factor)).toMatchObject({ status: 400, error: "InvalidRequest" });

    const email = "alice.new@example.com";
    expect(await update(alice, { email })).toMatchObject({ status: 400, error: "TokenRequired" });
    expect((await call("requestEmailUpdate", post(alice.accessJwt))).json).toEqual({ tokenRequired: true });
    const token = await smtp.codeTo(alice.email, /Change of your e-mail/);
    expect(await update(alice, { email, token: WRONG })).toMatchObject({ error: "InvalidToken" });
    expect(await update(alice, { email: "robert@example.com", token })).toMatchObject({ status: 400 });
    expect((await update(alice, { email, token })).status).toBe(200);
    expect((await sessionOf(alice)).json).toMatchObject({ email, emailConfirmed: false });
  });

  test("requestPasswordReset answers alike for an address that nobody has", async () => {
    const carl = await stage.account("carl");
    const answers: object[] = [];
    const took: number[] = [];
    for (const email of [carl.email, "nobody@example.com", "no address"]) {
      const startedMs = performance.now();
      answers.push(await call("requestPasswordReset", { body: { email } }));
      took.push(performance.now() - startedMs);
    }
    expect(answers).toEqual(Array(3).fill({ status: 200, error: undefined, json: {} }));
    expect(Math.min(...took)).toBeGreaterThan(290);
    await smtp.codeTo(carl.email, /Reset/);
    expect(smtp.mails.filter(({ to }) => to.includes("nobody@example.com"))).toEqual([]);
  });

  test("resetPassword takes the code once, and signs everybody out", async () => {
    const dora = await stage.account("dora");
    const phone = await call("createAppPassword", { token: dora.accessJwt, body: { name: "phone" } });
    const app = await signIn(dora, String(phone.json.password));
    await call("requestPasswordReset", { body: { email: dora.email } });
    const token = await smtp.codeTo(dora.email, /Reset/);
    const reset = (body: object) => call("resetPassword", { body });
    expect(await reset({ token: WRONG, password: "new" })).toMatchObject({ error: "InvalidToken" });
    expect(await reset({ token, password: "" })).toMatchObject({ error: "InvalidRequest" });
    expect(await reset({ token, password: "x".repeat(300) })).toMatchObject({ error: "InvalidRequest" });
    expect((await signIn(dora, PASSWORD)).status).toBe(200);
    // Tokens tell seconds: those of this one count on.
    const second = Math.floor(Date.now() / 1000);
    await waitFor("the next second", () => Math.floor(Date.now() / 1000) > second);
    expect((await reset({ token, password: "new password" })).status).toBe(200);
    expect(await reset({ token, password: "again" })).toMatchObject({ status: 400, error: "InvalidToken" });
    expect(await signIn(dora, PASSWORD)).toMatchObject({ status: 401, error: "AuthenticationRequired" });
    for (const refreshJwt of [dora.refreshJwt, String(app.json.refreshJwt)]) {
      expect(await call("refreshSession", post(refreshJwt))).toMatchObject({ error: "ExpiredToken" });
    }
    expect(await sessionOf(dora)).toMatchObject({ status: 400, error: "ExpiredToken" });
    const opened = await signIn(dora, "new password");
    expect((await call("getSession", { token: String(opened.json.accessJwt) })).status).toBe(200);
  });

  test("deleteAccount takes the password and the code, and tells the network", async () => {
    const ellen = await stage.account("ellen");
    expect((await call("requestAccountDelete", post(ellen.accessJwt))).status).toBe(200);
    const token = await smtp.codeTo(ellen.email, /Deletion/);
    const remove = (body: object) => call("deleteAccount", { body: { did: ellen.did, token, ...body } });
    expect(await remove({ password: "wrong" })).toMatchObject({
      status: 401,
      error: "AuthenticationRequired",
    });
    expect(await remove({ password: PASSWORD, token: WRONG })).toMatchObject({ error: "InvalidToken" });
    const other = { did: stage.alice.did, password: PASSWORD };
    expect(await remove(other)).toMatchObject({ status: 400, error: "InvalidToken" });
    expect(await remove({ did: "alice.test", password: PASSWORD })).toMatchObject({
      error: "InvalidRequest",
    });
    const { value, events } = await stage.eventsDuring(async () => {
      const answer = await remove({ password: PASSWORD });
      await waitFor("the event", () =>
        stage.firehose.events.some(({ did, body }) => did === ellen.did && body.status === "deleted"),
      );
      return answer;
    });
    expect(value.status).toBe(200);
    expect(events.map(describeEvent)).toEqual(["#account deleted"]);
    expect(await signIn(ellen, PASSWORD)).toMatchObject({ status: 401, error: "AuthenticationRequired" });
    expect(await remove({ password: PASSWORD })).toMatchObject({ status: 401 });
  });

  test.each([
    ["requestEmailUpdate", {}],
    ["updateEmail", { body: { email: "a@example.com" } }],
    ["requestAccountDelete", {}],
  ] as const)("%s is not for an app password", async (name, request) => {
    const { alice } = stage;
    const made = await call("createAppPassword", { token: alice.accessJwt, body: { name } });
    const session = await signIn(alice, String(made.json.password));
    const token = String(session.json.accessJwt);
    const refused = await call(name, { method: "POST", token, ...request });
    expect(refused).toMatchObject({ status: 400, error: "InvalidToken" });
  });

  test("no more codes go to one mailbox than are of use", async () => {
    const fred = await stage.account("fred");
    for (let time = 0; time < 5; time++) {
      expect((await call("requestAccountDelete", post(fred.accessJwt))).status).toBe(200);
    }
    const sixth = await call("requestAccountDelete", post(fred.accessJwt));
    expect(sixth).toMatchObject({ status: 429, error: "RateLimitExceeded" });
  });

  test("neither codes nor passwords are in the log or readable in the data folder", async () => {
    await call("requestEmailConfirmation", post(stage.alice.accessJwt));
    const code = await smtp.codeTo("alice.new@example.com", /Confirm/);
    expect(stage.server.output).not.toContain(code);
    expect(stage.server.output).not.toContain(SMTP_PASSWORD);
    for (const name of ["accounts.sqlite", "accounts.sqlite-wal"]) {
      expect(readFileSync(join(stage.server.folder, name)).includes(code)).toBe(false);
    }
  });

  test("what a server refuses for good is dropped, what it cannot take now is kept", async () => {
    const gina = await stage.account("gina");
    await waitFor("the welcome", () => smtp.mails.some(({ to }) => to.includes(gina.email)));
    smtp.refuseWith = 550;
    await call("requestAccountDelete", post(gina.accessJwt));
    await waitFor("the drop", () => /Dropped a mail that was refused for good/.test(stage.server.output));
    smtp.refuseWith = 451;
    await call("requestAccountDelete", post(gina.accessJwt));
    await waitFor("the failure", () => /Could not send a mail; trying again later/.test(stage.server.output));
    smtp.refuseWith = undefined;
  });
});

test("mail that waits survives kill -9, and goes out after the start", async () => {
  await using smtp = await new SmtpSink().start();
  const env = smtp.env(FROM);
  await smtp.stop();
  await using kith = await TestServer.start({ env });
  const alice = await createAccount(kith.url, "alice");
  const asked = await xrpc(kith.url, server("requestEmailConfirmation"), post(alice.accessJwt));
  expect(asked.status).toBe(200);
  await kith.kill();
  await smtp.start();
  await kith.start();
  const token = await smtp.codeTo(alice.email, /Confirm/);
  const body = { email: alice.email, token };
  expect((await xrpc(kith.url, server("confirmEmail"), { token: alice.accessJwt, body })).status).toBe(200);
});

test("dev mode keeps the mail in a folder", async () => {
  await using kith = await TestServer.start();
  const alice = await createAccount(kith.url, "alice");
  const asked = await xrpc(kith.url, server("requestEmailConfirmation"), post(alice.accessJwt));
  expect(asked.status).toBe(200);
  const folder = join(kith.folder, "mail");
  await waitFor("the mail", () =>
    readdirSync(folder).some((name) => /Confirm your e-mail/.test(readFileSync(join(folder, name), "utf8"))),
  );
});
