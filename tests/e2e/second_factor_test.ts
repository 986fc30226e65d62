/** createSession with a second factor: codes by mail, as official clients ask for them and pass them on. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { AtpAgent, ComAtprotoServerCreateSession } from "@atproto/api";
import { type Account, type Call, PASSWORD, xrpc } from "../client.ts";
import { SmtpSink } from "../smtp_sink.ts";
import { Stage } from "../stage.ts";

const CODE = /Your sign-in code/;
const NO_CODE = "AAAAA-22222";

const server = (name: string) => `com.atproto.server.${name}`;

describe("second factors of createSession", () => {
  const smtp = new SmtpSink();
  let stage: Stage;
  beforeAll(async () => {
    await smtp.start();
    stage = await Stage.open({ env: smtp.env() });
  });
  afterAll(async () => {
    await stage?.[Symbol.asyncDispose]();
    await smtp[Symbol.asyncDispose]();
  });
  const call = async (name: string, request: Call) => {
    const { status, error, json } = await xrpc(stage.url, server(name), request);
    return { status, error, json };
  };
  const update = (account: Account, body: object) => call("updateEmail", { token: account.accessJwt, body });
  const signIn = (account: Account, body: object = {}) =>
    call("createSession", { body: { identifier: account.handle, password: PASSWORD, ...body } });
  const confirm = async (account: Account) => {
    await call("requestEmailConfirmation", { method: "POST", token: account.accessJwt });
    const token = await smtp.codeTo(account.email, /Confirm/);
    const body = { email: account.email, token };
    expect((await call("confirmEmail", { token: account.accessJwt, body })).status).toBe(200);
  };

  test("codes by mail are switched on for a confirmed address alone, and the session says so", async () => {
    const { alice } = stage;
    const on = { email: alice.email, emailAuthFactor: true };
    expect(await update(alice, on)).toMatchObject({ status: 400, error: "InvalidRequest" });
    await confirm(alice);
    const elsewhere = { email: "other@example.com", emailAuthFactor: true };
    expect(await update(alice, elsewhere)).toMatchObject({ status: 400, error: "InvalidRequest" });
    expect((await update(alice, on)).status).toBe(200);
    const session = await call("getSession", { token: alice.accessJwt });
    expect(session.json).toMatchObject({ emailConfirmed: true, emailAuthFactor: true });
  });

  test("a wrong password is told nothing of it, the right one brings a code by mail", async () => {
    const { alice } = stage;
    const wrong = await signIn(alice, { password: "wrong" });
    expect(wrong).toMatchObject({ status: 401, error: "AuthenticationRequired" });
    expect(await signIn(alice, { authFactorToken: "" })).toMatchObject({
      status: 401,
      error: "AuthFactorTokenRequired",
    });
    const bad = await signIn(alice, { authFactorToken: NO_CODE });
    expect(bad).toMatchObject({ status: 401, error: "AuthenticationRequired" });
    expect(bad.json.message).toContain("Token is invalid");
    const authFactorToken = await smtp.codeTo(alice.email, CODE);
    const both = { password: "wrong", authFactorToken };
    expect((await signIn(alice, both)).json.message).toBe("Invalid identifier or password");
    const done = await signIn(alice, { authFactorToken });
    expect(done).toMatchObject({ status: 200, json: { did: alice.did, emailAuthFactor: true } });
    expect(await signIn(alice, { authFactorToken })).toMatchObject({ error: "AuthenticationRequired" });
  });

  test("the official agent is asked for the code, and signs in with it", async () => {
    const { alice } = stage;
    const agent = new AtpAgent({ service: stage.url });
    const login = { identifier: alice.handle, password: PASSWORD };
    const asked = agent.login(login);
    await expect(asked).rejects.toBeInstanceOf(ComAtprotoServerCreateSession.AuthFactorTokenRequiredError);
    const authFactorToken = await smtp.codeTo(alice.email, CODE);
    const { data } = await agent.login({ ...login, authFactorToken: ` ${authFactorToken.toLowerCase()}` });
    expect(data).toMatchObject({ did: alice.did, emailAuthFactor: true });
  });

  test("app passwords and open sessions are not asked", async () => {
    const { alice } = stage;
    const made = await call("createAppPassword", { token: alice.accessJwt, body: { name: "phone" } });
    expect((await signIn(alice, { password: made.json.password })).status).toBe(200);
    expect((await call("refreshSession", { method: "POST", token: alice.refreshJwt })).status).toBe(200);
  });

  test("wrong codes lock the account for the network that they come from", async () => {
    const bob = await stage.account("bob");
    await confirm(bob);
    expect((await update(bob, { email: bob.email, emailAuthFactor: true })).status).toBe(200);
    await signIn(bob);
    const authFactorToken = await smtp.codeTo(bob.email, CODE);
    for (let tries = 0; tries < 5; tries++) {
      expect((await signIn(bob, { authFactorToken: NO_CODE })).status).toBe(401);
    }
    expect(await signIn(bob, { authFactorToken })).toMatchObject({ status: 429, error: "RateLimitExceeded" });
  });

  test("switching it off takes a code of the address; a change of the address switches it off too", async () => {
    const { alice } = stage;
    const off = { email: alice.email, emailAuthFactor: false };
    expect(await update(alice, off)).toMatchObject({ status: 400, error: "TokenRequired" });
    const ask = () => call("requestEmailUpdate", { method: "POST", token: alice.accessJwt });
    expect((await ask()).json).toEqual({ tokenRequired: true });
    const token = await smtp.codeTo(alice.email, /Change/);
    expect(await update(alice, { ...off, token: NO_CODE })).toMatchObject({ error: "InvalidToken" });
    expect((await update(alice, { ...off, token })).status).toBe(200);
    expect((await signIn(alice)).json).toMatchObject({ emailConfirmed: true, emailAuthFactor: false });
    expect((await update(alice, { ...off, emailAuthFactor: true })).status).toBe(200);
    await ask();
    const email = "alice.new@example.com";
    const change = { email, token: await smtp.codeTo(alice.email, /Change/) };
    expect((await update(alice, change)).status).toBe(200);
    expect((await signIn(alice)).json).toMatchObject({
      email,
      emailConfirmed: false,
      emailAuthFactor: false,
    });
  });
});
