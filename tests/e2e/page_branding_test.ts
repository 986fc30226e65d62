/** Every page that a server of its own name shows, in both languages: whose it is, and that everybody can use it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { faultsOf, readPage } from "../../src/web/_html_check.ts";
import { LOCALES } from "../../src/web/mod.ts";
import { type Account, createAccount, PASSWORD } from "../client.ts";
import { TestServer } from "../harness.ts";
import { OAuthApp } from "../oauth_app.ts";
import { formTo, type Page, PageVisitor } from "../page_visitor.ts";
import { waitFor } from "../wait.ts";

const NAME = "The Cottage";
const LOGO =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
/** Pages of an account, below its own path. */
const SECTIONS =
  "/ apps devices security security/totp app-passwords handle email status confirm?way=password nothing-here";
const ACCOUNT = "sign-in sign-up forgot reset choose";
const AUTHORIZE = "sign-in sign-up forgot reset choose consent";

let server: TestServer;
let alice: Account;
let visitor: PageVisitor;
let authorize: URL;

beforeAll(async () => {
  server = await TestServer.start({
    env: {
      PDS_SERVICE_NAME: NAME,
      PDS_LOGO_URL: LOGO,
      PDS_PRIMARY_COLOR: "#b00b5e",
      PDS_HOME_URL: "https://cottage.example",
      PDS_SUPPORT_URL: "https://cottage.example/help",
      PDS_PRIVACY_POLICY_URL: "https://cottage.example/privacy",
      PDS_TERMS_OF_SERVICE_URL: "https://cottage.example/terms",
      PDS_CONTACT_EMAIL_ADDRESS: "hello@cottage.example",
    },
  });
  alice = await createAccount(server.url, "alice");
  visitor = new PageVisitor(server.url);
  const asked = await visitor.get("/account");
  const fields = { identifier: alice.handle, password: PASSWORD };
  await visitor.send(formTo(asked, "/account/sign-in"), { fields });
  const app = await OAuthApp.start(
    { url: server.url, authorizations: undefined as never },
    { did: alice.did, scope: "atproto transition:generic" },
  );
  authorize = await app.begin();
  await waitFor("the logo", async () => (await visitor.get("/account/reset")).html.includes("<img "));
});

afterAll(() => server?.[Symbol.asyncDispose]());

function paths(): string[] {
  const own = (rest: string) => `/account/${alice.did}/${rest}`.replace(/\/+$/, "");
  const onTheWay = (step: string) => {
    const url = new URL(authorize);
    url.pathname += step === "" ? "" : `/${step}`;
    if (step === "consent") url.searchParams.set("did", alice.did);
    return url.pathname + url.search;
  };
  return [
    "/",
    ...ACCOUNT.split(" ").map((step) => `/account/${step}`),
    ...SECTIONS.split(" ").map((rest) => own(rest === "/" ? "" : rest)),
    ...["", ...AUTHORIZE.split(" ")].map(onTheWay),
    "/oauth/authorize",
    "/oauth/authorize/nothing-here",
  ];
}

/** What every page has, whatever it is about. */
async function judge(page: Page, locale: string): Promise<void> {
  const { elements } = await readPage(page.html);
  const first = (tag: string) => elements.find((element) => element.tag === tag);
  expect(faultsOf({ elements, text: "" })).toEqual([]);
  expect(first("html")?.attributes.get("lang")).toBe(locale);
  expect(first("title")?.text).toContain(NAME);
  const brand = elements.find(({ attributes }) => attributes.get("class") === "brand");
  expect([brand?.text, brand?.attributes.get("href")]).toEqual([NAME, "https://cottage.example"]);
  expect(first("img")?.attributes.get("src")).toMatch(/^\/oauth\/assets\/logo-[\w-]{16}\.png$/);
  for (const link of ["/help", "/privacy", "/terms"])
    expect(page.links).toContain(`https://cottage.example${link}`);
  expect(page.links).toContain("mailto:hello@cottage.example");
  const [, sheet = ""] = /<link rel="stylesheet" href="([^"]+)"/.exec(page.html) ?? [];
  expect(await (await fetch(server.url + sheet)).text()).toContain("#b00b5e");
}

for (const locale of LOCALES) {
  describe(`pages in ${locale}`, () => {
    test("each that a link leads to is the server's own, and everybody can use it", async () => {
      await visitor.get(`/?lang=${locale}`);
      const titles = new Set<string>();
      for (const path of paths()) {
        const page = await visitor.get(path);
        await judge(page, locale).catch((error: unknown) => {
          throw new Error(`"${page.path}" (${page.status}, "${page.title}")`, { cause: error });
        });
        titles.add(page.title);
      }
      expect(titles.size).toBeGreaterThan(18);
    });

    test("so is each that a form leads to which is refused", async () => {
      const somebody = new PageVisitor(server.url);
      const rows = [
        ["sign-in", { identifier: "nobody.test", password: "wrong" }],
        ["sign-up", { handle: "", email: "no", password: "short" }],
        ["forgot", { email: "no" }],
        ["reset", { code: "AAAAA-22222", password: "a new password" }],
        ["reset", { code: "AAAAA-22222", password: "short" }],
      ] as const;
      for (const [step, fields] of rows) {
        const page = await somebody.get(`/account/${step}?lang=${locale}`);
        const refused = await somebody.send(formTo(page, `/account/${step}`), { fields });
        expect([step, refused.status]).toEqual([step, 400]);
        await judge(refused, locale);
        expect(refused.html).toMatch(/role="alert" tabindex="-1" autofocus/);
      }
    });
  });
}
