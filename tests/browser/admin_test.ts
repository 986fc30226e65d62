/** The operator's pages in a real Chromium: in, a backup, a drill, the accounts, out. Pictures of each. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { newBackupKey } from "../../src/backup/mod.ts";
import { loadConfig } from "../../src/config/mod.ts";
import { createServer, type KithServer } from "../../src/server.ts";
import { createAccount } from "../client.ts";
import { ADMIN_PASSWORD } from "../harness.ts";
import { waitFor } from "../wait.ts";
import { launch, Watched } from "./chromium.ts";

describe("the operator's pages in Chromium", () => {
  const folder = mkdtempSync(join(tmpdir(), "kith-browser-"));
  let server: KithServer;
  let browser: Browser;
  let watched: Watched;
  let page: Page;

  beforeAll(async () => {
    const env = {
      PDS_DATA_DIRECTORY: join(folder, "data"),
      PDS_DEV_MODE: "true",
      PDS_PORT: "0",
      PDS_ADMIN_PASSWORD: ADMIN_PASSWORD,
      KITH_BACKUP_DESTINATION: join(folder, "backup"),
      KITH_BACKUP_KEY: newBackupKey(),
      KITH_BACKUP_INTERVAL_HOURS: "0",
      LOG_ENABLED: "false",
    };
    server = await createServer(loadConfig({ env }).config);
    await createAccount(server.url, "alice");
    browser = await launch();
    watched = await Watched.open(browser, { origins: [server.url], baseURL: server.url });
    page = watched.page;
  });
  afterAll(async () => {
    await browser?.close();
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const text = async () => (await page.locator("main").textContent()) ?? "";
  const show = (name: string) => watched.shoot(`admin-${name}`);

  test("the password opens them, a wrong one is told", async () => {
    await page.goto("/admin");
    await page.getByLabel("Admin password").fill("wrong");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("alert").getByText("This is not the admin password.").waitFor();
    await show("sign-in-wrong");
    await page.getByLabel("Admin password").fill(ADMIN_PASSWORD);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("heading", { name: "Administration" }).waitFor();
    expect(await text()).toContain("Last proven restorable");
    await show("home");
    const [cookie] = (await watched.context.cookies()).filter(({ name }) => name.includes("admin"));
    expect({ httpOnly: cookie?.httpOnly, sameSite: cookie?.sameSite }).toEqual({
      ...{ httpOnly: true, sameSite: "Strict" },
    });
  });

  test("a backup is taken and proven", async () => {
    const reloaded = (words: string) =>
      waitFor(`"${words}" on the page`, async () => {
        await page.goto("/admin");
        return (await text()).includes(words) || undefined;
      });
    await page.getByRole("button", { name: "Back up now" }).click();
    await page.getByText("The snapshot has begun.").waitFor();
    await show("begun");
    await reloaded(" in all, ");
    await page.getByRole("button", { name: "Run a drill now" }).click();
    await page.getByText("The drill has begun.").waitFor();
    await reloaded("nothing would be lost");
    await show("proven");
  });

  test("accounts are listed, in German too, and signing out ends it", async () => {
    await page
      .getByRole("navigation", { name: "Administration" })
      .getByRole("link", { name: "Accounts" })
      .click();
    await page.getByRole("heading", { name: "Accounts" }).waitFor();
    expect(await text()).toContain("@alice");
    await show("accounts");
    await page.getByRole("link", { name: "Deutsch" }).click();
    await page.getByRole("heading", { name: "Konten" }).waitFor();
    await page.getByRole("link", { name: "Übersicht" }).first().click();
    await page.getByRole("button", { name: "Abmelden" }).click();
    await page.getByRole("heading", { name: "Als Betreiber anmelden" }).waitFor();
    await page.goto("/admin/accounts");
    expect(new URL(page.url()).pathname).toBe("/admin/sign-in");
  });

  test("the browser had nothing to complain about", () => {
    expect(watched.complaints).toEqual([]);
  });
});
