/** The account pages against what a browser of good will never sends, and the apps page; the server runs in this process. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "../../src/config/mod.ts";
import { createServer, type KithServer } from "../../src/server.ts";
import { type Account, createAccount, PASSWORD, xrpc } from "../client.ts";
import { OAuthApp } from "../oauth_app.ts";
import {
  fieldOf,
  formBody,
  formTo,
  type Page,
  type PageForm,
  PageVisitor,
  type Sending,
} from "../page_visitor.ts";

let server: KithServer;
let alice: Account;
let bob: Account;
const folder = mkdtempSync(join(tmpdir(), "kith-account-"));

beforeAll(async () => {
  const env = { PDS_DATA_DIRECTORY: folder, PDS_DEV_MODE: "true", PDS_PORT: "0", LOG_ENABLED: "false" };
  server = await createServer(loadConfig({ env }).config);
  alice = await createAccount(server.url, "alice");
  bob = await createAccount(server.url, "bob");
});

afterAll(async () => {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function signIn(account: Account): Promise<PageVisitor> {
  const visitor = new PageVisitor(server.url);
  const fields = { identifier: account.handle, password: PASSWORD };
  const page = await visitor.send(formTo(await visitor.get("/account"), "/account/sign-in"), { fields });
  expect(page.path).toBe(`/account/${account.did}`);
  return visitor;
}

const homeOf = ({ did }: Account): string => `/account/${did}`;

describe("apps", () => {
  const scope = "atproto repo:app.bsky.feed.post blob:image/*";

  test("one that is thrown out is out at once, and is asked again what it may do", async () => {
    const [app, other] = [
      await OAuthApp.start(server, { did: alice.did, scope }),
      await OAuthApp.start(server, { did: alice.did, scope: "atproto transition:generic" }),
    ];
    const [tokens, others] = [await app.signIn(), await other.signIn()];
    const visitor = await signIn(alice);
    const path = `${homeOf(alice)}/apps`;
    const page = await visitor.get(path);
    expect(page.text).toContain("localhost");
    expect(page.text).toContain("May do 3 things");
    const forms = page.forms.filter(({ action }) => action === `${path}/remove`);
    expect(forms).toHaveLength(2);
    const who = (token: string, by: OAuthApp) => by.call("com.atproto.server.getSession", token);
    expect((await who(tokens.access_token, app)).status).toBe(200);

    // Somebody else's grant is none of bob's business.
    const stranger = await signIn(bob);
    const grant = fieldOf(forms[1], "grant");
    const theirs = formTo(await stranger.get(homeOf(bob)), `${homeOf(bob)}/sign-out`);
    await stranger.send({ ...theirs, action: `${homeOf(bob)}/apps/remove` }, { fields: { grant } });
    expect((await who(tokens.access_token, app)).status).toBe(200);

    const form = forms[1];
    if (!form) throw new Error("No form");
    const removed = await visitor.send(form);
    expect(removed.text).toContain("The app has no access any more.");
    expect((await who(tokens.access_token, app)).status).toBe(401);
    await expect(app.refresh(tokens.refresh_token ?? "")).rejects.toMatchObject({ error: "invalid_grant" });
    expect((await who(others.access_token, other)).status).toBe(200);
    expect((await visitor.send(form)).status).toBe(200);
  });

  test("none", async () => {
    expect((await (await signIn(bob)).get(`${homeOf(bob)}/apps`)).text).toContain("No app has access.");
  });
});

interface BadRow {
  readonly title: string;
  /** What is sent in the place of the form and its fields. */
  readonly send: (visitor: PageVisitor, form: PageForm) => Promise<Page>;
  readonly status: number;
}

const send =
  (sending: Sending) =>
  (visitor: PageVisitor, form: PageForm): Promise<Page> =>
    visitor.send(form, sending);
const body = (form: PageForm, more = ""): string => formBody(form.fields) + more;

const BAD: readonly BadRow[] = [
  { title: "no token", send: send({ fields: { csrf: "" } }), status: 403 },
  { title: "a token that is none", send: send({ fields: { csrf: "A".repeat(64) } }), status: 403 },
  {
    title: "another site's origin",
    send: send({ headers: { Origin: "https://evil.example" } }),
    status: 403,
  },
  { title: "a null origin", send: send({ headers: { Origin: "null" } }), status: 403 },
  {
    title: "another site, as the browser says",
    send: send({ headers: { "Sec-Fetch-Site": "cross-site" } }),
    status: 403,
  },
  {
    title: "a sister site",
    send: send({ headers: { "Sec-Fetch-Site": "same-site" } }),
    status: 403,
  },
  {
    title: "neither origin nor site",
    send: send({ headers: { Origin: undefined, "Sec-Fetch-Site": undefined } }),
    status: 403,
  },
  { title: "no cookie", send: send({ headers: { Cookie: undefined } }), status: 403 },
  {
    title: "the token of another browser",
    send: async (visitor, form) => {
      const other = await signIn(bob);
      const csrf = fieldOf((await other.get(homeOf(bob))).forms[0], "csrf");
      return visitor.send(form, { fields: { csrf } });
    },
    status: 403,
  },
  {
    title: "a field twice",
    send: (visitor, form) => visitor.post(form.action, body(form, "&name=a&name=b")),
    status: 400,
  },
  {
    title: "the token twice",
    send: (visitor, form) => visitor.post(form.action, body(form, `&csrf=${fieldOf(form, "csrf")}`)),
    status: 400,
  },
  {
    title: "a huge body",
    send: (visitor, form) => visitor.post(form.action, body(form, `&name=${"a".repeat(70_000)}`)),
    status: 400,
  },
  {
    title: "JSON",
    send: send({ headers: { "Content-Type": "application/json" } }),
    status: 400,
  },
];

describe("forms", () => {
  test.each(BAD.map((row) => [row.title, row] as const))("with %s change nothing", async (_title, row) => {
    const visitor = await signIn(alice);
    const path = `${homeOf(alice)}/app-passwords`;
    const form = formTo(await visitor.get(path), path);
    const isNamed = row.title !== "a field twice" && row.title !== "a huge body";
    const fields = form.fields.filter(([name]) => name !== "name");
    const page = await row.send(visitor, {
      ...form,
      fields: isNamed ? [...fields, ["name", "made"]] : fields,
    });
    expect([page.status, page.headers.get("content-type")]).toEqual([row.status, "text/html; charset=utf-8"]);
    const answer = await xrpc(server.url, "com.atproto.server.listAppPasswords", { token: alice.accessJwt });
    expect(answer.json.passwords).toEqual([]);
  });

  test.each([
    ["apps/remove", { grant: "x" }],
    ["devices/sign-out", { id: "x" }],
    ["devices/sign-out-others", {}],
    ["app-passwords", { name: "mine" }],
    ["app-passwords/remove", { name: "mine" }],
    ["security/password", { current: PASSWORD, password: "another password" }],
    ["security/passkeys", { name: "mine", credential: "{}" }],
    ["security/passkeys/remove", { id: "x" }],
    ["security/passkeys/rename", { id: "x", name: "mine" }],
    ["security/passkeys/require", { required: "yes" }],
    ["security/totp", { code: "123456" }],
    ["security/totp/remove", {}],
    ["security/email-codes", { on: "yes" }],
    ["security/backup-codes", {}],
    ["handle", { handle: "stolen", domain: ".test" }],
    ["handle/own", { ownHandle: "stolen.example.com" }],
    ["email", { email: "evil@example.com" }],
    ["email/send-code", {}],
    ["email/confirm", { code: "AAAAA-22222" }],
    ["status/deactivate", {}],
    ["status/reactivate", {}],
    ["delete", { code: "AAAAA-22222", password: PASSWORD, understood: "on" }],
    ["delete/send-code", {}],
    ["sign-out", {}],
    ["sign-out-all", {}],
    ["confirm", { password: PASSWORD }],
  ])("%s of an account that is not signed in here leads to signing in", async (rest, fields) => {
    const visitor = await signIn(bob);
    const form = formTo(await visitor.get(homeOf(bob)), `${homeOf(bob)}/sign-out`);
    const page = await visitor.send({ ...form, action: `${homeOf(alice)}/${rest}` }, { fields });
    expect(page.path).toStartWith("/account/sign-in?to=");
    // GET of it as well, and it tells as much of an account that does not exist.
    expect((await visitor.get(`${homeOf(alice)}/${rest}`)).path).toStartWith("/account/sign-in?to=");
    const nobody = await visitor.get(`/account/did:plc:aaaaaaaaaaaaaaaaaaaaaaaa/${rest}`);
    expect(nobody.path).toStartWith("/account/sign-in?to=");
    expect((await visitor.get("/account")).path).toBe(homeOf(bob));
  });

  test("ids of another account do nothing", async () => {
    const [mine, theirs] = [await signIn(bob), await signIn(alice)];
    const path = `${homeOf(alice)}/devices`;
    const out = formTo(await theirs.get(path), `${path}/sign-out`);
    const own = formTo(await mine.get(homeOf(bob)), `${homeOf(bob)}/sign-out`);
    const id = fieldOf(out, "id");
    await mine.send({ ...own, action: `${homeOf(bob)}/devices/sign-out` }, { fields: { id } });
    expect((await theirs.get(path)).path).toBe(path);
    for (const rest of ["rename", "remove"]) {
      const action = `${homeOf(bob)}/security/passkeys/${rest}`;
      const page = await mine.send({ ...own, action }, { fields: { id: "c29tZWJvZHk", name: "mine" } });
      expect(page.path).toBe(`${homeOf(bob)}/security`);
    }
  });

  test.each([
    "//evil.example/",
    "https://evil.example/account",
    "/\\evil.example",
    "/oauth/authorize",
    "/account/../xrpc/x",
    "/account\\..\\x",
  ])("nobody is sent on to %s", async (to) => {
    const visitor = new PageVisitor(server.url);
    const page = await visitor.get(`/account/sign-in?${new URLSearchParams({ to })}`);
    const fields = { identifier: alice.handle, password: PASSWORD };
    expect((await visitor.send(formTo(page, "/account/sign-in"), { fields })).path).toBe(homeOf(alice));
  });

  test("paths that are no page say so, and acts have no page of their own", async () => {
    const visitor = await signIn(alice);
    for (const rest of ["nothing", "apps/x", "security/passkeys/add/x", "../.."]) {
      expect((await visitor.get(`${homeOf(alice)}/${rest}`)).status).toBe(rest === "../.." ? 200 : 404);
    }
    expect((await visitor.get(`${homeOf(alice)}/security/totp/remove`)).path).toBe(
      `${homeOf(alice)}/security`,
    );
    expect((await fetch(`${server.url}/account`, { method: "DELETE" })).status).toBe(405);
  });
});
