/** On the way from an app: with a backup code, and with an invite code; by a browser without JavaScript. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { CODE_FAILURES_MAX } from "../../src/accounts/second_factors/second_factors.ts";
import { totpCode, totpStep } from "../../src/accounts/second_factors/totp.ts";
import { createAccount, PASSWORD, xrpc } from "../client.ts";
import { ADMIN_PASSWORD, TestServer } from "../harness.ts";
import { clientIdFor, OAuthApp } from "../oauth_app.ts";
import { formTo, type Page, PageVisitor } from "../page_visitor.ts";

const SCOPE = "atproto";
const NAME = "The Cottage";
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/** Where an app sends somebody. */
async function begin(server: TestServer): Promise<string> {
  const app = await OAuthApp.start(
    { url: server.url, authorizations: undefined as never },
    { did: "did:plc:anybody", scope: SCOPE },
  );
  const url = await app.begin();
  expect(url.searchParams.get("client_id")).toBe(clientIdFor(SCOPE));
  return url.href;
}

function fromBase32(text: string): Uint8Array {
  const bits = [...text].map((char) => ALPHABET.indexOf(char).toString(2).padStart(5, "0")).join("");
  return Uint8Array.from(bits.match(/.{8}/g) ?? [], (byte) => Number.parseInt(byte, 2));
}

describe("backup codes", () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await TestServer.start({ env: { PDS_SERVICE_NAME: NAME } });
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  /** Sets an authenticator app up, on the account's own pages; the backup codes that are shown with it. */
  async function setUpTotp(handle: string): Promise<readonly string[]> {
    const visitor = new PageVisitor(server.url);
    const fields = { identifier: handle, password: PASSWORD };
    const asked = await visitor.get("/account/security");
    const security = await visitor.send(formTo(asked, "/account/sign-in"), { fields });
    const path = security.path.split("?")[0] ?? "";
    const [options = ""] = /data-passkey="create" data-options="[^"]*"/.exec(security.html) ?? [];
    expect(options).toContain(`&quot;rp&quot;:{&quot;name&quot;:&quot;${NAME}&quot;`);
    const setup = await visitor.send(formTo(security, `${path}/totp/begin`));
    const [, secret = ""] = /<code>([A-Z2-7 ]{39})<\/code>/.exec(setup.html) ?? [];
    const code = totpCode(fromBase32(secret.replaceAll(" ", "")), totpStep(Date.now()));
    const shown = await visitor.send(formTo(setup, `${path}/totp`), { fields: { code } });
    return shown.text.match(/[a-z2-7]{4}-[a-z2-7]{4}-[a-z2-7]{4}/g) ?? [];
  }

  test("one signs in where the authenticator app is not at hand, and does so once", async () => {
    const ada = await createAccount(server.url, "ada");
    const codes = await setUpTotp(ada.handle);
    expect(codes).toHaveLength(10);
    const [first = "", second = ""] = codes;
    const atCode = async (): Promise<[PageVisitor, Page]> => {
      const browser = new PageVisitor(server.url);
      const fields = { identifier: ada.handle, password: PASSWORD };
      const factor = await browser.submit(await browser.get(await begin(server)), "/sign-in", fields);
      expect([factor.title, factor.html.includes("6 digits")]).toEqual(["One more step", true]);
      const [, link = ""] = /href="([^"]*way=backup[^"]*)"/.exec(factor.html) ?? [];
      return [browser, await browser.get(link.replaceAll("&amp;", "&"))];
    };
    const [browser, page] = await atCode();
    const wrong = await browser.submit(page, "/factor", { code: "aaaa-bbbb-cccc" });
    expect([wrong.status, wrong.html.includes("The code is wrong")]).toEqual([400, true]);
    const typed = first.toUpperCase().replaceAll("-", " ");
    expect((await browser.submit(wrong, "/factor", { code: typed })).title).toContain("asks for access");
    const [other, again] = await atCode();
    const used = await other.submit(again, "/factor", { code: first });
    expect([used.status, used.html.includes("The code is wrong")]).toEqual([400, true]);
    expect((await other.submit(used, "/factor", { code: second })).title).toContain("asks for access");
    const [third, guessing] = await atCode();
    for (let guess = 0; guess < CODE_FAILURES_MAX; guess++) {
      expect((await third.submit(guessing, "/factor", { code: `aaaa-bbbb-cc${guess + 2}c` })).status).toBe(
        400,
      );
    }
    const locked = await third.submit(guessing, "/factor", { code: codes[2] ?? "" });
    expect([locked.status, locked.html.includes("Too many tries")]).toEqual([429, true]);
  });
});

describe("invite codes", () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await TestServer.start({ env: { PDS_INVITE_REQUIRED: "true" } });
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  const makeCode = async (useCount: number): Promise<string> => {
    const authorization = `Basic ${btoa(`admin:${ADMIN_PASSWORD}`)}`;
    const request = { body: { useCount }, headers: { authorization } };
    return String((await xrpc(server.url, "com.atproto.server.createInviteCode", request)).json.code);
  };

  test("whoever signs up on the way from an app needs one that is good, and uses it up", async () => {
    const invite = await makeCode(1);
    const browser = new PageVisitor(server.url);
    const first = await browser.get((await begin(server)).replace("/authorize?", "/authorize/sign-up?"));
    expect(first.html).toContain('name="invite"');
    const fields = { handle: "ida", email: "ida@example.com", password: PASSWORD };
    const rows = [
      ["", "This server needs an invite code"],
      ["pds-test-aaaaa-bbbbb", "This invite code is not valid"],
    ] as const;
    for (const [code, words] of rows) {
      const refused = await browser.submit(first, "/sign-up", { ...fields, invite: code });
      expect([refused.status, refused.title]).toEqual([400, "Create an account"]);
      expect(refused.html).toContain(words);
      expect(refused.html).toContain('value="ida@example.com"');
      expect(refused.html).not.toContain(PASSWORD);
    }
    const done = await browser.submit(first, "/sign-up", { ...fields, invite: ` ${invite} ` });
    expect(done.title).toContain("asks for access");
    const back = await browser.submit(done, "/consent", { decision: "allow" });
    expect(back.away?.searchParams.get("code")).toStartWith("cod-");

    const other = new PageVisitor(server.url);
    const second = await other.get((await begin(server)).replace("/authorize?", "/authorize/sign-up?"));
    const late = { handle: "bea", email: "bea@example.com", password: PASSWORD, invite };
    const usedUp = await other.submit(second, "/sign-up", late);
    expect([usedUp.status, usedUp.html.includes("This invite code is not valid")]).toEqual([400, true]);
    const { status } = await xrpc(server.url, "com.atproto.identity.resolveHandle", {
      params: { handle: "bea.test" },
    });
    expect(status).toBe(400);
  });
});
