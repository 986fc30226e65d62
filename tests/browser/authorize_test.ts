/** A person with a real browser, an app with the official client in it, and everything that they do with each other. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { NodeOAuthClient } from "@atproto/oauth-client-node";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { totpCode, totpStep } from "../../src/accounts/second_factors/totp.ts";
import { type Account, createAccount, PASSWORD, xrpc } from "../client.ts";
import { ADMIN_PASSWORD, TestServer } from "../harness.ts";
import { loopbackMetadata } from "../loopback_client.ts";
import type { App } from "./app_page.ts";
import { type AppServer, startApp } from "./app_server.ts";
import { launch, PICTURES, Watched } from "./chromium.ts";
import { giveFactors, insertPasskey, type Passkey } from "./passkey.ts";

declare const window: { app: App };

const SCOPE =
  "atproto repo:app.bsky.feed.post?action=create blob:image/* rpc:app.bsky.actor.getPreferences?aud=did:web:api.bsky.app%23bsky_appview account:email identity:handle transition:generic";
const REFUSED = ["account:email", "transition:generic"];

let server: TestServer;
let app: AppServer;
let browser: Browser;
let alice: Account;
let passkey: Passkey;
const totpSecret = randomBytes(20);

beforeAll(async () => {
  server = await TestServer.start();
  app = await startApp({ server: server.url, scope: SCOPE });
  alice = await createAccount(server.url, "alice");
  passkey = await giveFactors(server, { did: alice.did, totpSecret });
  browser = await launch();
  console.log(`Pictures of the pages: ${PICTURES}`);
});

afterAll(async () => {
  await browser?.close();
  app?.[Symbol.dispose]();
  await server?.[Symbol.asyncDispose]();
});

const person = (act: (watched: Watched) => Promise<unknown>, options: BrowserContextOptions = {}) =>
  Watched.during(browser, { origins: [server.url, app.origin], ...options }, act);

/** Opens the app and lets it send the person to the server. */
async function begin(page: Page, options: { prompt?: "create" | "login" | "select_account" } = {}) {
  await page.goto(app.url);
  await page.locator("body[data-ready]").waitFor();
  await page.evaluate(([input, rest]) => window.app.signIn(input, rest), [server.url, options] as const);
  await page.waitForURL(/\/oauth\/authorize/);
}

async function backAtApp(page: Page, problem = ""): Promise<void> {
  await page.waitForURL(new RegExp(`^${app.origin}/`));
  await page.locator("body[data-ready]").waitFor();
  expect(await page.evaluate(() => window.app.problem())).toContain(problem);
  if (problem === "") expect(await page.evaluate(() => window.app.problem())).toBe("");
}

async function signIn(page: Page, password = PASSWORD): Promise<void> {
  await page.getByLabel("Handle or e-mail address").fill(alice.handle);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
}

const call = (page: Page, path: string, body?: object) =>
  page.evaluate(([at, json]) => window.app.call(at, json), [path, body] as const);

test("somebody signs up, allows all but two things, and the app does what it may until it is thrown out", async () => {
  await person(async (watched) => {
    const { page } = watched;
    await begin(page, { prompt: "create" });
    await watched.shoot("sign-up");
    await page.getByLabel("Handle", { exact: true }).fill("alice");
    await page.getByLabel("E-mail address").fill("nora@example.com");
    await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
    await page.getByRole("button", { name: "Create account" }).click();
    await page.getByText("This handle is taken", { exact: false }).first().waitFor();
    await watched.shoot("sign-up-taken");
    await page.getByLabel("Handle", { exact: true }).fill("nora");
    await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
    await page.getByRole("button", { name: "Create account" }).click();
    await page.getByRole("button", { name: "Allow", exact: true }).waitFor();
    expect(await watched.title()).toContain("asks for access");
    await watched.shoot("consent");
    for (const scope of REFUSED) await page.locator(`input[value="${scope}"]`).uncheck();
    await watched.shoot("consent-unticked");
    await page.getByRole("button", { name: "Allow", exact: true }).click();
    await backAtApp(page);
    const did = (await page.evaluate(() => window.app.did())) ?? "";
    expect(did).toStartWith("did:plc:");

    const granted = (await page.evaluate(() => window.app.scope({ refresh: false }))) ?? "";
    expect(granted.split(" ").toSorted()).toEqual(
      SCOPE.split(" ")
        .filter((one) => !REFUSED.includes(one))
        .toSorted(),
    );
    const record = { $type: "app.bsky.feed.post", text: "hello", createdAt: new Date().toISOString() };
    const post = { repo: did, collection: "app.bsky.feed.post", record };
    expect((await call(page, "/xrpc/com.atproto.repo.createRecord", post)).status).toBe(200);
    const like = {
      ...post,
      collection: "app.bsky.feed.like",
      record: { ...record, $type: "app.bsky.feed.like" },
    };
    expect((await call(page, "/xrpc/com.atproto.repo.createRecord", like)).status).toBe(403);
    expect((await call(page, "/xrpc/com.atproto.server.getSession")).json).not.toHaveProperty("email");
    expect(await page.evaluate(() => window.app.scope({ refresh: true }))).toBe(granted as "atproto");

    const answer = await xrpc(server.url, "com.atproto.admin.updateAccountPassword", {
      headers: { authorization: `Basic ${btoa(`admin:${ADMIN_PASSWORD}`)}` },
      body: { did, password: "another password" },
    });
    expect(answer.status).toBe(200);
    const after = await call(page, "/xrpc/com.atproto.server.getSession").catch((error: unknown) => error);
    expect(after instanceof Error || (after as { status: number }).status === 401).toBe(true);
  });
});

test("by the password and a code, and the next time from the list of accounts", async () => {
  await person(async (watched) => {
    const { page } = watched;
    await begin(page);
    await watched.shoot("sign-in");
    await signIn(page, "wrong");
    await page.getByText("do not go together").waitFor();
    await watched.shoot("sign-in-wrong");
    await signIn(page);
    await page.getByRole("heading", { name: "One more step" }).waitFor();
    await watched.shoot("factor-passkey");
    await page.getByRole("link", { name: "Code from the authenticator app" }).click();
    await watched.shoot("factor-totp");
    await page.getByLabel("Code from your authenticator app").fill("000000");
    await page.getByRole("button", { name: "Confirm" }).click();
    await page.getByText("The code is wrong").first().waitFor();
    await watched.shoot("factor-totp-wrong");
    await page
      .getByLabel("Code from your authenticator app")
      .fill(totpCode(totpSecret, totpStep(Date.now())));
    await page.getByRole("button", { name: "Confirm" }).click();
    await page.getByRole("button", { name: "Do not allow" }).click();
    await backAtApp(page, "did not allow");
    await begin(page, { prompt: "select_account" });
    await watched.shoot("choose-account");
    await page
      .getByRole("button", { name: `@${alice.handle}` })
      .first()
      .click();
    await page.getByRole("button", { name: "Allow", exact: true }).click();
    await backAtApp(page);
    expect(await page.evaluate(() => window.app.did())).toBe(alice.did as `did:plc:${string}`);
    await page.evaluate(() => window.app.signOut());
  });
});

test.each([true, false])("by a passkey alone, and the browser remembers it: %p", async (isTicked) => {
  await person(async (watched) => {
    const { page } = watched;
    await insertPasskey(page, passkey);
    await begin(page);
    await page.getByLabel("Stay signed in on this device").setChecked(isTicked);
    await page.getByRole("button", { name: "Sign in with a passkey" }).click();
    await page.getByRole("button", { name: "Allow", exact: true }).click();
    const [cookie] = (await page.context().cookies(server.url)).filter(({ httpOnly }) => httpOnly);
    expect((cookie?.expires ?? 0) > 0).toBe(isTicked);
    await backAtApp(page);
    expect(await page.evaluate(() => window.app.did())).toBe(alice.did as `did:plc:${string}`);
  });
});

test("by the password and a passkey", async () => {
  await person(async (watched) => {
    const { page } = watched;
    await insertPasskey(page, passkey);
    await begin(page);
    await signIn(page);
    await page.getByRole("button", { name: "Use passkey" }).click();
    await page.getByRole("button", { name: "Allow", exact: true }).click();
    await backAtApp(page);
    expect(await page.evaluate(() => window.app.did())).toBe(alice.did as `did:plc:${string}`);
  });
});

test("in a window of its own", async () => {
  await person(async (watched) => {
    const { page } = watched;
    await insertPasskey(page, passkey);
    await page.goto(app.url);
    await page.locator("body[data-ready]").waitFor();
    const opened = page.waitForEvent("popup");
    const did = page.evaluate((input) => window.app.signInPopup(input), server.url);
    // It may fail before the click is over.
    did.catch(() => undefined);
    const popup = await opened;
    await popup.getByLabel("Handle or e-mail address").fill(alice.handle);
    await popup.getByLabel("Password", { exact: true }).fill("wrong");
    const closed = popup.waitForEvent("close");
    await popup.getByRole("button", { name: "Cancel, and go back to the app" }).click();
    await expect(did).rejects.toThrow();
    // What is still told of it is about nothing that is known once the browser's context has ended.
    await closed;
  });
});

test("in German, where the browser says so", async () => {
  await person(
    async (watched) => {
      const { page } = watched;
      await begin(page);
      expect(await watched.title()).toBe("Anmelden");
      expect(await page.locator("html").getAttribute("lang")).toBe("de");
      await watched.shoot("sign-in-german");
    },
    { locale: "de-DE" },
  );
});

test("a forgotten password, and what goes wrong", async () => {
  await person(async (watched) => {
    const { page } = watched;
    await begin(page);
    const { href } = new URL(page.url());
    await page.getByRole("link", { name: "Forgotten your password?" }).click();
    await watched.shoot("forgot");
    await page.getByLabel("E-mail address").fill("alice@example.com");
    await page.getByRole("button", { name: "Send the code" }).click();
    await page.getByRole("heading", { name: "Set a new password" }).waitFor();
    await watched.shoot("reset");
    await page.getByLabel("Code from the mail").fill("AAAAA-22222");
    await page.getByLabel("New password").fill("a new password");
    await page.getByRole("button", { name: "Set password" }).click();
    await page.getByText("The code is wrong").first().waitFor();
    await watched.shoot("reset-wrong");
    await page.goto(href);
    await watched.context.clearCookies();
    await signIn(page);
    await page.getByRole("heading", { name: "Please allow cookies" }).waitFor();
    await watched.shoot("cookies-needed");
    await page.goto(href);
    expect(await watched.title()).toBe("This was begun in another browser");
    await watched.shoot("other-browser");
    await page.goto(`${server.url}/oauth/authorize?client_id=http://localhost&request_uri=unknown`);
    await watched.shoot("unknown-request");
    await page.goto(`${server.url}/oauth/authorize/nothing`);
    await watched.shoot("not-found");
  });
});

test("an account that is deactivated", async () => {
  const eve = await createAccount(server.url, "eve");
  const body = { deleteAfter: new Date(Date.now() + 30 * 86_400_000).toISOString() };
  await xrpc(server.url, "com.atproto.server.deactivateAccount", { token: eve.accessJwt, body });
  await person(async (watched) => {
    const { page } = watched;
    await begin(page);
    await page.getByLabel("Handle or e-mail address").fill(eve.email);
    await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
    await page.getByRole("button", { name: "Sign in", exact: true }).click();
    await page.getByRole("heading", { name: "Your account is deactivated" }).waitFor();
    await watched.shoot("reactivate");
    await page.getByRole("button", { name: "Reactivate account" }).click();
    await page.getByRole("button", { name: "Allow", exact: true }).click();
    await backAtApp(page);
    expect(await page.evaluate(() => window.app.did())).toBe(eve.did as `did:plc:${string}`);
  });
});

for (const javaScriptEnabled of [true, false]) {
  const title = javaScriptEnabled ? "by itself" : "by a button where there is no script";
  test(`an answer that a form takes back goes ${title}`, async () => {
    const client = new NodeOAuthClient({
      clientMetadata: loopbackMetadata({ redirectUri: app.url, scope: "atproto" }),
      allowHttp: true,
      responseMode: "form_post",
      plcDirectoryUrl: server.url,
      handleResolver: server.url,
      requestLock: async (_name, act) => act(),
      stateStore: { get: async () => undefined, set: async () => {}, del: async () => {} },
      sessionStore: { get: async () => undefined, set: async () => {}, del: async () => {} },
    });
    const eve = await createAccount(server.url, `fred-${javaScriptEnabled ? "one" : "two"}`);
    const url = await client.authorize(eve.handle, { scope: "atproto" });
    await person(
      async (watched) => {
        const { page } = watched;
        await page.goto(url.href);
        if (!javaScriptEnabled) await watched.shoot("sign-in-without-script");
        await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
        await page.getByRole("button", { name: "Sign in", exact: true }).click();
        await page.getByRole("button", { name: "Allow", exact: true }).click();
        if (!javaScriptEnabled) {
          await page.getByRole("button", { name: "Go on" }).waitFor();
          await watched.shoot("form-post");
          await page.getByRole("button", { name: "Go on" }).click();
        }
        await page.waitForURL(new RegExp(`^${app.origin}/`));
        const text = (await page.locator("body").textContent()) ?? "";
        expect(Object.keys(JSON.parse(text)).toSorted()).toEqual(["code", "iss", "state"]);
      },
      { javaScriptEnabled },
    );
  });
}
