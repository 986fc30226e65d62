/** The owner of an account, with a real browser, consents on the pages of their own server, and agrees on those of the server that asked. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Browser, Page } from "playwright-core";
import { type Account, createAccount, PASSWORD } from "../client.ts";
import { does } from "../communities/consent.ts";
import { TestServer } from "../harness.ts";
import { PlcDirectory } from "../plc_directory.ts";
import { ReferencePds } from "../reference.ts";
import { launch, Watched } from "./chromium.ts";

let plc: PlcDirectory;
let reference: ReferencePds;
let other: TestServer;
let kith: TestServer;
let alice: Account;
let browser: Browser;

beforeAll(async () => {
  plc = await PlcDirectory.start();
  reference = await ReferencePds.start({ plc });
  const env = { PDS_DID_PLC_URL: plc.url };
  other = await TestServer.start({ env });
  const allowed = `${other.url},${reference.url}`;
  kith = await TestServer.start({ env: { ...env, KITH_COMMUNITY_PDS_ALLOWLIST: allowed } });
  alice = await createAccount(kith.url, "alice", plc);
  browser = await launch();
});
afterAll(async () => {
  await browser?.close();
  await kith?.[Symbol.asyncDispose]();
  await other?.[Symbol.asyncDispose]();
  await reference?.[Symbol.asyncDispose]();
  await plc?.[Symbol.asyncDispose]();
});

/** Through the method, and the link that it answers. */
async function byLink(page: Page, account: Account): Promise<void> {
  const asked = await does(kith.url, alice, "adopt", { body: { identifier: account.did } });
  await page.goto(String(asked.authorizeUrl));
}

async function adopt(
  account: Account,
  consent: (page: Page) => Promise<void>,
  ask: (page: Page, account: Account) => Promise<void> = byLink,
): Promise<void> {
  const origins = [kith.url, other.url, reference.url, kith.url.replace("localhost", "127.0.0.1")];
  await Watched.during(browser, { origins }, async (watched) => {
    const { page } = watched;
    await ask(page, account);
    await consent(page);
    await page.waitForURL((url) => url.href.startsWith(`${kith.url}/oauth/communities/callback`));
    expect(await watched.title()).toBe("Make this account a community?");
    expect(await page.locator("main").textContent()).toContain(alice.did);
    await watched.shoot(`adoption-ask-${account.handle.split(".")[0]}`);
    await page.getByRole("button", { name: "Agree", exact: true }).click();
    await page.getByRole("heading", { name: "The account is a community now" }).waitFor();
    // The pages of others may complain of what they like.
    if (account.agent.serviceUrl.origin === reference.url) watched.complaints.length = 0;
  });
  const { communities } = await does(kith.url, alice, "list", {});
  expect(communities).toContainEqual(expect.objectContaining({ did: account.did, role: "owner" }));
}

const signIn = async (page: Page) => {
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
};
const allow = async (page: Page) => {
  await signIn(page);
  await page.getByRole("button", { name: "Allow", exact: true }).click();
};

test("of another kith", async () => {
  await adopt(await createAccount(other.url, "zoe", plc), allow);
});

test("from the page of a member who owns the account too", async () => {
  await adopt(await createAccount(other.url, "xena", plc), allow, async (page, account) => {
    await page.goto(`${kith.url}/account`);
    await page.getByLabel("Handle or e-mail address").fill(alice.handle);
    await signIn(page);
    await page.getByRole("link", { name: "Communities" }).first().click();
    await page.getByRole("link", { name: "Other ways" }).click();
    await page.getByLabel("Handle or DID of the account").first().fill(account.did);
    await page.getByRole("button", { name: "Make a link for its owner" }).click();
    await page.getByRole("heading", { name: "Ask the owner of the account" }).waitFor();
    await page.getByRole("link", { name: "The account is mine: open it here" }).click();
  });
});

test("of the reference", async () => {
  await adopt(await createAccount(reference.url, "yuri", plc), async (page) => {
    await page.locator('input[type="password"]').fill(PASSWORD);
    await page.locator('input[type="password"]').press("Enter");
    await page.getByRole("button", { name: /^(Authorize|Accept|Allow)/ }).click();
  });
});
