/** The account pages in a real Chromium: passkeys, an authenticator app, and an app that is thrown out. Pictures of every page. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { totpCode, totpStep } from "../../src/accounts/mod.ts";
import { loadConfig } from "../../src/config/mod.ts";
import { createServer, type KithServer } from "../../src/server.ts";
import { type Account, createAccount, PASSWORD } from "../client.ts";
import { OAuthApp } from "../oauth_app.ts";
import { launch, Watched } from "./chromium.ts";
import { addAuthenticator } from "./passkey.ts";

describe("account pages in Chromium", () => {
  const folder = mkdtempSync(join(tmpdir(), "kith-browser-"));
  let server: KithServer;
  let browser: Browser;
  let watched: Watched;
  let page: Page;
  let alice: Account;

  beforeAll(async () => {
    const env = { PDS_DATA_DIRECTORY: folder, PDS_DEV_MODE: "true", PDS_PORT: "0", LOG_ENABLED: "false" };
    server = await createServer(loadConfig({ env }).config);
    alice = await createAccount(server.url, "alice");
    browser = await launch();
    watched = await Watched.open(browser, { origins: [server.url], baseURL: server.url });
    page = watched.page;
    await addAuthenticator(page);
  });
  afterAll(async () => {
    await browser?.close();
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const home = () => `/account/${alice.did}`;
  const path = () => new URL(page.url()).pathname;
  const text = async () => (await page.locator("main").textContent()) ?? "";
  const shownKey = async () =>
    (await page.locator("main .secret code").textContent())?.replaceAll(" ", "") ?? "";
  const signInByPassword = async () => {
    await page.goto("/account");
    await page.getByLabel("Handle or e-mail address").fill(alice.handle);
    await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
    await page.getByRole("button", { name: "Sign in", exact: true }).click();
  };
  const signOut = async () => {
    await page.goto(home());
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("heading", { name: "You are signed out" }).waitFor();
  };
  const show = (name: string) => watched.shoot(`account-${name}`);

  test("a passkey is added, and signs in by itself", async () => {
    await page.goto("/account");
    await show("sign-in");
    await signInByPassword();
    await page.waitForURL(`**${home()}`);
    await show("home");
    await page.goto(`${home()}/security`);
    await show("security-none");
    await page.getByLabel("Name of the passkey").fill("My laptop");
    await page.getByRole("button", { name: "Add a passkey" }).click();
    await page.getByText("The passkey is added").waitFor();
    expect(await text()).toContain("My laptop");
    await signOut();
    await show("signed-out");
    await page.goto("/account");
    await page.getByRole("button", { name: "Sign in with a passkey" }).click();
    await page.waitForURL(`**${home()}`);
    await page.goto(`${home()}/security`);
    expect(await text()).toMatch(/My laptop\s*Added .*, last used/);
    await show("security-passkey");
  });

  test("it is renamed, required after the password, and used as that", async () => {
    await page.goto(`${home()}/security`);
    await page.getByText("Rename", { exact: true }).first().click();
    await page.getByLabel("New name").fill("The laptop");
    await page.getByRole("button", { name: "Rename" }).click();
    await page.getByText("The passkey has its new name.").waitFor();
    await page.getByRole("button", { name: "Ask for a passkey after the password: Turn on" }).click();
    await page.getByRole("heading", { name: "Your backup codes" }).waitFor();
    expect(await page.locator("main .codes code").count()).toBe(10);
    await show("backup-codes");
    await page.getByRole("link", { name: "I have kept them" }).click();
    await signOut();
    await signInByPassword();
    await page.getByRole("heading", { name: "One more step" }).waitFor();
    await show("factor-passkey");
    await page.getByRole("button", { name: "Use passkey" }).click();
    await page.waitForURL(`**${home()}`);
  });

  test("the step-up by a passkey leads on to what was asked for", async () => {
    await page.goto(`${home()}/confirm?to=${encodeURIComponent(`${home()}/handle`)}`);
    await page.getByRole("heading", { name: "Please confirm that it is you" }).waitFor();
    await show("step-up-passkey");
    await page.getByRole("link", { name: "Backup code" }).click();
    await show("step-up-code");
    await page.getByRole("link", { name: "Passkey" }).click();
    await page.getByRole("button", { name: "Use passkey" }).click();
    await page.waitForURL(`**${home()}/handle`);
  });

  test("an authenticator app is set up with the key that is shown, and asked at sign-in", async () => {
    await page.goto(`${home()}/security`);
    await page.getByRole("button", { name: "Authenticator app: Set up" }).click();
    await page.getByRole("img", { name: "QR code for the authenticator app" }).waitFor();
    await show("totp-setup");
    const key = await shownKey();
    const secret = fromBase32(key);
    const codeNow = () => totpCode(secret, totpStep(Date.now()));
    await page.getByLabel("Code that the app shows now").fill("000000");
    await page.getByRole("button", { name: "Turn on" }).click();
    await page.getByText("The code is wrong or has expired.").first().waitFor();
    // the key stays the same, so that what was scanned is right
    expect(await shownKey()).toBe(key);
    const used = codeNow();
    await page.getByLabel("Code that the app shows now").fill(used);
    await page.getByRole("button", { name: "Turn on" }).click();
    await page.getByText("The authenticator app is set up.").waitFor();
    await show("security-all");
    await signOut();
    await signInByPassword();
    await page.getByRole("link", { name: "Code from the authenticator app" }).click();
    await show("factor-totp");
    // a code is good for half a minute before and after, and once
    const next = totpCode(secret, totpStep(Date.now()) + 1);
    await page.getByLabel("Code from your authenticator app").fill(next);
    await page.getByRole("button", { name: "Confirm" }).click();
    await page.waitForURL(`**${home()}`);
  });

  test("an app that is thrown out is out at once", async () => {
    const app = await OAuthApp.start(server, {
      did: alice.did,
      scope: "atproto repo:* blob:*/* identity:handle",
    });
    const { access_token: token } = await app.signIn();
    const status = async () => (await app.call("com.atproto.server.getSession", token)).status;
    expect(await status()).toBe(200);
    await page.goto(`${home()}/apps`);
    await page.getByText("May do 4 things").click();
    await show("apps");
    await page.getByRole("button", { name: "Remove the access of localhost" }).click();
    await page.getByText("The app has no access any more.").waitFor();
    expect(await status()).toBe(401);
  });

  test("every other page is there, on a phone as well", async () => {
    for (const rest of ["devices", "app-passwords", "handle", "email", "status", "delete"]) {
      await page.goto(`${home()}/${rest}`);
      expect(path()).toBe(`${home()}/${rest}`);
      await show(rest);
      await page.setViewportSize({ width: 320, height: 640 });
      const widths = await page.evaluate("[document.documentElement.scrollWidth, innerWidth]");
      expect([rest, widths]).toEqual([rest, [320, 320]]);
      await page.setViewportSize({ width: 1280, height: 900 });
    }
    await page.goto(`${home()}/app-passwords`);
    await page.getByLabel("Name", { exact: true }).fill("Phone");
    await page.getByRole("button", { name: "Make app password" }).click();
    await page.getByText("App password for Phone").waitFor();
    await show("app-password-made");
    await page.goto(`${home()}/delete`);
    await page.getByRole("button", { name: "Send me the code for deletion" }).click();
    await page.getByLabel("Code from the mail").waitFor();
    await show("delete-code");
  });

  test("no page or script complained, and nobody else was asked for anything", () => {
    expect(watched.complaints).toEqual([]);
  });
});

function fromBase32(text: string): Uint8Array {
  const bits = [...text].map((char) =>
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(char).toString(2).padStart(5, "0"),
  );
  return Uint8Array.from(bits.join("").match(/.{8}/g) ?? [], (byte) => Number.parseInt(byte, 2));
}
