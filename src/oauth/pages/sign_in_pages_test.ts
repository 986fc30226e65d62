import { expect, test } from "bun:test";
import type { Device } from "../../accounts/mod.ts";
import { PageSite } from "../../web/mod.ts";
import type { PageCall } from "./page_call.ts";
import { PageServer } from "./page_server.ts";
import { SignInPages, type Trail } from "./sign_in_pages.ts";
import { SignUpPages } from "./sign_up_pages.ts";

const ORIGIN = "https://pds.example.com";
const DID = "did:plc:alice";
const DEVICE: Device = { id: "d", secretHash: "s", cookieId: "c", accounts: [] };
const CLIENT = { clientId: "https://app.example/client.json" };

/** The pages on the way to an app, or to the account, and whether each sign-in was to be remembered. */
function make({ toApp }: { toApp: boolean }) {
  const remembered: boolean[] = [];
  const read: string[] = [];
  const done = async (_device: Device, { remember }: { remember: boolean }) => {
    remembered.push(remember);
    return { step: "done", did: DID, device: DEVICE, setCookie: "a=b" };
  };
  const signIns = {
    passkeyOptions: async () => ({}),
    ...{ withPassword: done, withPasskey: done, withNewAccount: done },
  } as never;
  const languages = { read: async (_did: string, language: string) => void read.push(language) };
  const trail = (call: PageCall): Trail => ({
    call,
    ...(toApp ? { client: CLIENT } : {}),
    link: (step) => `/account/${step}`,
    page: (body, options) => call.page(body, options),
    onward: () => "/account",
  });
  const accounts = { account: () => undefined };
  const taken: string[] = [];
  const take = async ({ password }: { password: string }) => {
    taken.push(password);
    return { did: DID };
  };
  const creator = { create: take } as never;
  const credentials = { resetPassword: take } as never;
  const signIn = new SignInPages({ signIns, accounts, languages, hasSignUp: true });
  const signUp = new SignUpPages({
    ...{ creator, signIns, languages, credentials, welcome: () => {} },
    domains: [".test"],
    isInviteRequired: false,
  });
  const server = new PageServer({
    publicUrl: ORIGIN,
    csrfKey: new Uint8Array(32),
    pages: new PageSite({
      site: { name: "Cottage", host: "pds.example.com" },
      colors: {},
      pictures: {},
      assetFolder: "/oauth/assets",
      fetchPicture: () => Promise.reject(new Error("No picture")),
      onMissingPicture: () => {},
      now: () => 0,
    }),
    devices: { open: async () => ({ device: DEVICE, setCookie: undefined }) },
    routes: { ...signIn.routes("/account", trail), ...signUp.routes("/account", trail) },
  });
  const go = async (path: string, fields?: Record<string, string>) => {
    const headers = { cookie: "a=b", origin: ORIGIN, "accept-language": "de" };
    const init = fields && { method: "POST", body: new URLSearchParams(fields) };
    const request = new Request(`${ORIGIN}${path}`, { headers, ...init });
    const answer = await server.fetch(request, { requestId: "1", ip: "203.0.113.1" });
    return { status: answer?.status, html: (await answer?.text()) ?? "" };
  };
  return { go, remembered, read, taken };
}

const csrfOf = (html: string) => /name="csrf" value="([^"]*)"/.exec(html)?.[1] ?? "";
const ACCOUNT = { handle: "alice", email: "alice@example.com", password: "pa55word" };

test.each([
  { toApp: false, isTicked: true },
  { toApp: true, isTicked: false },
])("on the way to an app ($toApp) the device is remembered by itself: $isTicked", async (row) => {
  const { go, remembered } = make(row);
  const { html } = await go("/account/sign-in");
  expect(/<input type="checkbox" id="remember"[^>]* checked/.test(html)).toBe(row.isTicked);
  const [, passkey] = /name="remember" value="(\w*)" data-ticked-as="remember"/.exec(html) ?? [];
  expect(passkey).toBe(row.isTicked ? "on" : "");
  const csrf = csrfOf(html);
  expect((await go("/account/sign-up", { csrf, ...ACCOUNT })).status).toBe(303);
  expect(remembered).toEqual([row.isTicked]);
});

const WAYS = [
  ["sign-in", { identifier: "alice", password: "x", remember: "on" }, true],
  ["sign-in", { identifier: "alice", password: "x" }, false],
  ["passkey", { credential: "{}", remember: "on" }, true],
  ["passkey", { credential: "{}", remember: "" }, false],
  ["passkey", { credential: "{}" }, false],
] as const;

for (const toApp of [true, false]) {
  test.each(WAYS)(`%s with %j, to an app: ${toApp}, is remembered: %p`, async (step, fields, isTicked) => {
    const { go, remembered, read } = make({ toApp });
    const csrf = csrfOf((await go("/account/sign-in")).html);
    expect((await go(`/account/${step}`, { csrf, ...fields })).status).toBe(303);
    expect([remembered, read]).toEqual([[isTicked], ["de"]]);
  });
}

test.each([
  [0, false],
  [7, false],
  [8, true],
  [256, true],
  [257, false],
])("a new password of %p characters is taken at sign-up and at a reset: %p", async (length, isTaken) => {
  const { go, taken } = make({ toApp: false });
  const password = "p".repeat(length);
  const csrf = csrfOf((await go("/account/sign-in")).html);
  const signUp = await go("/account/sign-up", { csrf, ...ACCOUNT, password });
  const reset = await go("/account/reset", { csrf, code: "AAAAA-22222", password });
  expect([signUp.status, reset.status]).toEqual(isTaken ? [303, 200] : [400, 400]);
  expect(taken).toEqual(isTaken ? [password, password] : []);
  for (const { html } of [signUp, reset]) expect(html).not.toContain("pppp");
});
