/** In which language mails go out: that of the pages that a member has used, else that of the request, else English. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createAccount, PASSWORD, xrpc } from "../client.ts";
import { TestServer } from "../harness.ts";
import { formTo, PageVisitor } from "../page_visitor.ts";
import { SmtpSink } from "../smtp_sink.ts";
import { waitFor } from "../wait.ts";

const GERMAN = { "accept-language": "de-AT,de;q=0.9,en;q=0.5" };
const smtp = new SmtpSink();
let server: TestServer;

beforeAll(async () => {
  await smtp.start();
  const env = { PDS_EMAIL_SMTP_URL: smtp.url, PDS_EMAIL_FROM_ADDRESS: "kith <noreply@pds.example.com>" };
  server = await TestServer.start({ env });
});

afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await smtp[Symbol.asyncDispose]();
});

/** The language of the next mail to an address, as its HTML says it. */
async function languageOfMailTo(address: string): Promise<string> {
  const mail = await waitFor(`a mail to "${address}"`, () =>
    smtp.mails.find(({ to }) => to.includes(address)),
  );
  smtp.mails.splice(smtp.mails.indexOf(mail), 1);
  const [, language = "none"] = /<html lang=(?:3D)?"(\w+)"/.exec(mail.text) ?? [];
  expect(mail.text).toContain({ en: "Hello @", de: "Hallo @" }[language] ?? "no greeting");
  return language;
}

const call = (name: string, request: Parameters<typeof xrpc>[2]) =>
  xrpc(server.url, `com.atproto.server.${name}`, request);

test("without a word about languages, and in one that there is not: English", async () => {
  const ann = await createAccount(server.url, "ann");
  expect(await languageOfMailTo(ann.email)).toBe("en");
  const headers = { "accept-language": "fr, *;q=0.1" };
  await call("requestPasswordReset", { body: { email: ann.email }, headers });
  expect(await languageOfMailTo(ann.email)).toBe("en");
});

test("of an account that has told none, a request tells it for its own mail", async () => {
  const ben = await createAccount(server.url, "ben");
  expect(await languageOfMailTo(ben.email)).toBe("en");
  const requests = [
    ["requestPasswordReset", { body: { email: ben.email } }],
    ["requestEmailConfirmation", { method: "POST", token: ben.accessJwt }],
    ["requestAccountDelete", { method: "POST", token: ben.accessJwt }],
  ] as const;
  for (const [name, request] of requests) {
    await call(name, { ...request, headers: GERMAN });
    expect([name, await languageOfMailTo(ben.email)]).toEqual([name, "de"]);
    await call(name, request);
    expect([name, await languageOfMailTo(ben.email)]).toEqual([name, "en"]);
  }
});

test("an app that signs somebody up or in says what the member reads, from then on", async () => {
  const signUp = { handle: "cleo.test", email: "cleo@example.com", password: PASSWORD };
  expect((await call("createAccount", { body: signUp, headers: GERMAN })).status).toBe(200);
  expect(await languageOfMailTo(signUp.email)).toBe("de");
  const signIn = { identifier: signUp.email, password: PASSWORD };
  const headers = { "accept-language": "en" };
  expect((await call("createSession", { body: signIn, headers })).status).toBe(200);
  await call("requestPasswordReset", { body: { email: signUp.email } });
  expect(await languageOfMailTo(signUp.email)).toBe("de");
  const dan = await createAccount(server.url, "dan");
  expect(await languageOfMailTo(dan.email)).toBe("en");
  await call("createSession", { body: { identifier: dan.did, password: PASSWORD }, headers: GERMAN });
  await call("requestPasswordReset", { body: { email: dan.email } });
  expect(await languageOfMailTo(dan.email)).toBe("de");
});

test("pages: signing up, and whatever language is chosen on a page, holds for all mails", async () => {
  const visitor = new PageVisitor(server.url);
  const asked = await visitor.get("/account/sign-up?lang=de");
  const fields = { handle: "eli", email: "eli@example.com", password: PASSWORD };
  const home = await visitor.send(formTo(asked, "/account/sign-up"), { fields });
  expect(await languageOfMailTo(fields.email)).toBe("de");
  const did = /did:plc:[a-z2-7]+/.exec(home.path)?.[0] ?? "";
  const forgot = async () => {
    await call("requestPasswordReset", {
      body: { email: fields.email },
      headers: { "accept-language": "en" },
    });
    return languageOfMailTo(fields.email);
  };
  expect(await forgot()).toBe("de");
  await visitor.get(`/account/${did}/app-passwords?lang=en`);
  const page = await visitor.get(`/account/${did}/app-passwords`);
  await visitor.send(formTo(page, `/account/${did}/app-passwords`), { fields: { name: "phone" } });
  expect(await languageOfMailTo(fields.email)).toBe("en");
  await visitor.get(`/account/${did}?lang=de`);
  expect(await forgot()).toBe("de");
});

test("a browser that asks for a reset, of somebody of whom no language is known", async () => {
  const fay = await createAccount(server.url, "fay");
  expect(await languageOfMailTo(fay.email)).toBe("en");
  const visitor = new PageVisitor(server.url);
  const page = await visitor.get("/account/forgot?lang=de");
  await visitor.send(formTo(page, "/account/forgot"), { fields: { email: fay.email } });
  expect(await languageOfMailTo(fay.email)).toBe("de");
});
