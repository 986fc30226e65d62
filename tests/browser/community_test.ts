/** A community in a real Chromium: the key is made and saved there, and its private half is in nothing that is sent. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromBase58Btc } from "@atcute/multibase";
import type { Browser, Page } from "playwright-core";
import { signerFromPrivateKey } from "../../src/atproto/mod.ts";
import { loadConfig } from "../../src/config/mod.ts";
import { createServer, type KithServer } from "../../src/server.ts";
import { type Account, createAccount, PASSWORD } from "../client.ts";
import { PlcDirectory } from "../plc_directory.ts";
import { launch, Watched } from "./chromium.ts";

/** Multicodec p256-priv, as a varint. */
const P256_PRIVATE = [0x86, 0x26];

describe("a community in Chromium", () => {
  const folder = mkdtempSync(join(tmpdir(), "kith-browser-"));
  let plc: PlcDirectory;
  let server: KithServer;
  let browser: Browser;
  let watched: Watched;
  let page: Page;
  let alice: Account;
  let bob: Account;
  /** Everything that the page has asked for: addresses, headers and bodies. */
  const sent: string[] = [];
  let secret = "";
  let didKey = "";
  let did = "";

  beforeAll(async () => {
    plc = await PlcDirectory.start();
    const env = {
      ...{ PDS_DATA_DIRECTORY: folder, PDS_DEV_MODE: "true", PDS_PORT: "0", LOG_ENABLED: "false" },
      PDS_DID_PLC_URL: plc.url,
    };
    server = await createServer(loadConfig({ env }).config);
    alice = await createAccount(server.url, "alice", plc);
    bob = await createAccount(server.url, "bob", plc);
    browser = await launch();
    watched = await Watched.open(browser, { origins: [server.url], baseURL: server.url });
    page = watched.page;
    page.on("request", (request) => {
      sent.push(`${request.url()} ${JSON.stringify(request.headers())} ${request.postData() ?? ""}`);
    });
  });
  afterAll(async () => {
    await browser?.close();
    await server?.stop();
    await plc?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  const home = (rest = "") => `/account/${alice.did}/communities${rest}`;
  const text = async () => (await page.locator("main").textContent()) ?? "";
  const signIn = async (on: Page, { handle }: Account) => {
    await on.getByLabel("Handle or e-mail address").fill(handle);
    await on.getByLabel("Password", { exact: true }).fill(PASSWORD);
    await on.getByRole("button", { name: "Sign in", exact: true }).click();
  };
  const show = (name: string) => watched.shoot(`community-${name}`);
  /** The file that a press of the button saves. */
  const saved = async (button: string) => {
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: button }).click(),
    ]);
    return { name: download.suggestedFilename(), text: readFileSync(await download.path(), "utf8") };
  };
  const publicKey = () => page.locator("input[name=rotationKey]").inputValue();

  test("the page makes a key, and saves it as a file that holds the private one", async () => {
    await page.goto("/account/communities");
    await signIn(page, alice);
    await page.getByText("A community is an identity that a group shares").waitFor();
    await show("none");
    await page.getByRole("link", { name: "New community" }).click();
    await page.getByLabel("Handle", { exact: true }).fill("chess");
    await page.getByLabel("Public key").waitFor({ state: "hidden" });
    await show("new");
    const first = await saved("Make the key");
    const again = await saved("Save the file again");
    expect(again).toEqual(first);
    const one = await publicKey();
    // Another one takes its place, and has to be saved again.
    await page.getByLabel("I have saved the key").check();
    const second = await saved("Make another key");
    expect(await page.getByLabel("I have saved the key").isChecked()).toBe(false);
    expect(second.name).not.toBe(first.name);
    didKey = await publicKey();
    expect(didKey).not.toBe(one);
    const [line = "", ...rest] = second.text.split("\n");
    secret = line;
    const bytes = fromBase58Btc(secret.slice(1));
    expect([secret[0], [...bytes.subarray(0, 2)], bytes.length]).toEqual(["z", P256_PRIVATE, 34]);
    expect(signerFromPrivateKey("p256", bytes.subarray(2)).didKey).toBe(didKey);
    expect(rest).toContain(`# public key: ${didKey}`);
    expect(rest.filter((one) => one !== "" && !one.startsWith("# "))).toEqual([]);
    await show("new-key");
  });

  test("it is not sent before the file is saved, and the community's first key is that of the file", async () => {
    const before = sent.length;
    await page.getByRole("button", { name: "Make the community" }).click();
    expect([sent.length, new URL(page.url()).pathname]).toEqual([before, home("/new")]);
    await page.getByLabel("I have saved the key").check();
    await page.getByRole("button", { name: "Make the community" }).click();
    await page.getByRole("heading", { name: "@chess.test is there" }).waitFor();
    await show("made");
    did = /did:plc:[a-z2-7]{24}/.exec(await text())?.[0] ?? "";
    const [genesis] = await plc.log(did);
    expect(genesis?.rotationKeys).toEqual([didKey, expect.any(String)]);
    // The browser's own way to send a form again.
    await page.reload();
    expect(await text()).toContain(did);
    expect(await plc.log(did)).toHaveLength(1);
  });

  test("nothing of the private key was ever sent", () => {
    const bytes = fromBase58Btc(secret.slice(1)).subarray(2);
    const raw = Buffer.from(bytes);
    const forms = [secret, secret.slice(1), raw.toString("hex"), raw.toString("base64url")];
    const encoded = forms.flatMap((form) => [form, encodeURIComponent(form)]);
    const all = sent.join("\n");
    expect(all).toContain(encodeURIComponent(didKey));
    for (const form of encoded) expect(all.toLowerCase()).not.toContain(form.toLowerCase());
  });

  test("somebody is invited by a link that is copied, joins, and is handed the community", async () => {
    await page.getByRole("link", { name: "To the community" }).click();
    await page.getByText("New invite").click();
    await page.getByRole("button", { name: "Make invite link" }).click();
    await page.getByRole("heading", { name: "The invite link" }).waitFor();
    await show("invite");
    const link = (await page.locator("main .secret code").textContent()) ?? "";
    await Watched.during(browser, { origins: [server.url], baseURL: server.url }, async (theirs) => {
      await theirs.page.goto(link);
      await signIn(theirs.page, bob);
      await theirs.page.getByRole("heading", { name: "Join @chess.test" }).waitFor();
      await theirs.shoot("community-join");
      await theirs.page.getByRole("button", { name: "Join" }).click();
      await theirs.page.getByText("Welcome: you are a member now.").waitFor();
      await theirs.shoot("community-joined");
    });
    await page.goto(home(`/one?community=${did}`));
    await page.getByText("Change", { exact: true }).last().click();
    await show("members");
    await page.getByRole("button", { name: "Check now" }).click();
    await page.getByText("All is well").waitFor();
    await show("health");
  });

  test("every page fits the narrowest phone", async () => {
    for (const rest of ["", "/new", "/ways", "/mint", `/one?community=${did}`, `/delete?community=${did}`]) {
      await page.goto(home(rest));
      await page.setViewportSize({ width: 320, height: 640 });
      const widths = await page.evaluate("[document.documentElement.scrollWidth, innerWidth]");
      expect([rest, widths]).toEqual([rest, [320, 320]]);
    }
    await page.setViewportSize({ width: 1280, height: 900 });
  });

  test("it is deleted by its name", async () => {
    await page.goto(home(`/delete?community=${did}`));
    await show("delete");
    await page.getByLabel("Type chess.test, to be sure").fill("chess.test");
    await page.getByRole("button", { name: "Delete for good" }).click();
    await page.getByText("The community is deleted.").waitFor();
  });

  test("no page or script complained, and nobody else was asked for anything", () => {
    expect(watched.complaints).toEqual([]);
  });
});
