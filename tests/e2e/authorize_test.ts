/** What a person is asked on the way from an app and back, by a browser without JavaScript and an app that knows nothing of kith. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { NodeOAuthClient, type NodeSavedSession, type NodeSavedState } from "@atproto/oauth-client-node";
import { type Account, createAccount, PASSWORD, xrpc } from "../client.ts";
import { ADMIN_PASSWORD, TestServer } from "../harness.ts";
import { loopbackMetadata } from "../loopback_client.ts";
import { REDIRECT } from "../oauth_app.ts";
import { fieldOf, type Page, PageVisitor } from "../page_visitor.ts";
import { SmtpSink } from "../smtp_sink.ts";

const SCOPE = "atproto repo:app.bsky.feed.post?action=create blob:image/* account:email";

let server: TestServer;
let alice: Account;
const smtp = new SmtpSink();

beforeAll(async () => {
  await smtp.start();
  server = await TestServer.start({
    env: { ...smtp.env(), PDS_RATE_LIMITS_ENABLED: "false" },
  });
  alice = await createAccount(server.url, "alice");
});

afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await smtp[Symbol.asyncDispose]();
});

type ResponseMode = NonNullable<ConstructorParameters<typeof NodeOAuthClient>[0]["responseMode"]>;

/** An official client, with what it stores. */
function appOf(responseMode: ResponseMode) {
  const sessions = new Map<string, NodeSavedSession>();
  const states = new Map<string, NodeSavedState>();
  const client = new NodeOAuthClient({
    clientMetadata: loopbackMetadata({ redirectUri: REDIRECT, scope: SCOPE }),
    allowHttp: true,
    responseMode,
    plcDirectoryUrl: server.url,
    handleResolver: server.url,
    requestLock: async (_name, act) => act(),
    stateStore: storeOf(states),
    sessionStore: storeOf(sessions),
  });
  return { client, sessions };
}

function storeOf<T>(map: Map<string, T>) {
  return {
    get: async (key: string) => map.get(key),
    set: async (key: string, value: T) => void map.set(key, value),
    del: async (key: string) => void map.delete(key),
  };
}

type AuthorizeOptions = Parameters<NodeOAuthClient["authorize"]>[1];

async function begin(options: AuthorizeOptions & { input?: string; mode?: ResponseMode | "fragment" } = {}) {
  const { input = server.url, mode = "query", ...rest } = options;
  const app = appOf(mode as ResponseMode);
  const url = (await app.client.authorize(input, { scope: SCOPE, ...rest })).href;
  return { ...app, url };
}

const credentials = () => ({ identifier: alice.handle, password: PASSWORD });

async function signedIn(url: string, browser = new PageVisitor(server.url)): Promise<[PageVisitor, Page]> {
  const page = await browser.submit(await browser.get(url), "/sign-in", credentials());
  expect(page.title).toContain("asks for access");
  return [browser, page];
}

describe("an app sends a person here", () => {
  test("who signs in, unticks one permission and allows the rest; the app can do that and no more", async () => {
    const { client, url } = await begin();
    const [browser, page] = await signedIn(url);
    expect(page.html).toContain(alice.handle);
    const form = page.forms.find(({ action }) => action.includes("/consent"));
    const scopes = form?.fields.flatMap(([name, value]) => (name === "scope" ? value : [])) ?? [];
    expect(scopes.toSorted()).toEqual(SCOPE.split(" ").toSorted());
    const scope = scopes.filter((one) => one !== "account:email");
    const back = await browser.submit(page, "/consent", { scope, decision: "allow" });
    expect(back.away?.origin).toBe("http://127.0.0.1");
    const { session } = await client.callback(back.away?.searchParams ?? new URLSearchParams());
    expect(session.did).toBe(alice.did as `did:plc:${string}`);
    const info = await session.getTokenInfo(false);
    expect(info.scope.split(" ").toSorted()).toEqual(scope.toSorted());
    const seen = await (await session.fetchHandler("/xrpc/com.atproto.server.getSession")).json();
    expect(seen).not.toHaveProperty("email");
    expect((await session.getTokenInfo(true)).expired).toBe(false);
    await session.signOut();
    await expect(client.restore(alice.did)).rejects.toThrow();
  });

  test("who says no: the app is told so, with iss and state", async () => {
    const { client, url } = await begin({ state: "mine" });
    const [browser, page] = await signedIn(url);
    const back = await browser.submit(page, "/consent", { decision: "deny" });
    expect(Object.fromEntries(back.away?.searchParams ?? [])).toMatchObject({
      error: "access_denied",
      iss: server.url,
    });
    await expect(client.callback(back.away?.searchParams ?? new URLSearchParams())).rejects.toMatchObject({
      state: "mine",
    });
  });

  test("who goes back before signing in", async () => {
    const { url } = await begin();
    const browser = new PageVisitor(server.url);
    const back = await browser.submit(await browser.get(url), "/cancel");
    expect(back.away?.searchParams.get("error")).toBe("access_denied");
  });

  test("a wrong name, a wrong password and an app password are answered alike", async () => {
    const made = await xrpc(server.url, "com.atproto.server.createAppPassword", {
      token: alice.accessJwt,
      body: { name: "phone" },
    });
    const seen = new Set<string>();
    const rows = [
      { identifier: "nobody.test", password: PASSWORD },
      { identifier: alice.handle, password: "wrong" },
      { identifier: alice.handle, password: String(made.json.password) },
    ];
    for (const row of rows) {
      const { url } = await begin();
      const browser = new PageVisitor(server.url);
      const page = await browser.submit(await browser.get(url), "/sign-in", row);
      expect(page.status).toBe(400);
      const same = page.html
        .replaceAll(row.identifier, "NAME")
        .replaceAll(/(request_uri=|nonce="|name="csrf" value="|challenge&quot;:&quot;)[^"&]+/g, "$1");
      seen.add(same);
    }
    expect(seen.size).toBe(1);
  });

  test("response_mode: fragment, and form_post by a form of its own", async () => {
    for (const mode of ["fragment", "form_post"] as const) {
      const { url } = await begin({ mode });
      const [browser, page] = await signedIn(url);
      const back = await browser.submit(page, "/consent", { decision: "allow" });
      if (mode === "fragment") {
        expect(new URLSearchParams(back.away?.hash.slice(1)).get("code")).toStartWith("cod-");
        continue;
      }
      const fields = Object.fromEntries(back.forms[0]?.fields ?? []);
      expect(back.forms[0]?.action).toBe(REDIRECT);
      expect(Object.keys(fields).toSorted()).toEqual(["code", "iss", "state"]);
      expect(back.headers.get("content-security-policy")).toContain("form-action 'self' http://127.0.0.1;");
    }
  });

  test("login_hint: no other account may answer", async () => {
    const { url } = await begin({ input: alice.handle });
    const bob = await createAccount(server.url, "bob");
    const browser = new PageVisitor(server.url);
    const page = await browser.get(url);
    expect(page.html).toContain(`value="${alice.handle}"`);
    expect(page.html).not.toContain("/oauth/authorize/sign-up");
    const other = await browser.submit(page, "/sign-in", { identifier: bob.handle, password: "bob's own" });
    expect(other.status).toBe(400);
    const done = await browser.submit(page, "/sign-in", credentials());
    expect(done.title).toContain("asks for access");
    expect(done.html).not.toContain("/oauth/authorize/choose");
  });

  test("prompts: create, login and select_account", async () => {
    const browser = new PageVisitor(server.url);
    const [, first] = await signedIn((await begin()).url, browser);
    expect(first.title).toContain("asks for access");
    const at = async (options: AuthorizeOptions) => (await browser.get((await begin(options)).url)).title;
    expect(await at({})).toContain("asks for access");
    expect(await at({ prompt: "create" })).toBe("Create an account");
    expect(await at({ prompt: "login" })).toBe("Sign in");
    expect(await at({ prompt: "select_account" })).toBe("Choose an account");
    const again = await signedIn((await begin({ prompt: "login" })).url, browser);
    expect(again[1].title).toContain("asks for access");
  });

  test("several accounts: one is chosen, one is signed out", async () => {
    const carol = await createAccount(server.url, "carol");
    const browser = new PageVisitor(server.url);
    await signedIn((await begin()).url, browser);
    const { url } = await begin({ prompt: "select_account" });
    const choose = await browser.get(url);
    const another = await browser.get(choose.path.replace("/authorize?", "/authorize/sign-in?"));
    const second = await browser.submit(another, "/sign-in", {
      identifier: carol.email,
      password: PASSWORD,
    });
    expect(second.html).toContain(carol.handle);
    const both = await browser.get(url);
    expect([both.html.includes(alice.handle), both.html.includes(carol.handle)]).toEqual([true, true]);
    const chosen = await browser.submit(both, "/choose", { did: alice.did });
    expect(chosen.html).toContain(alice.handle);
    let left = await browser.submit(both, "/sign-out", { did: carol.did });
    expect(left.html).not.toContain(carol.handle);
    left = await browser.submit(left, "/sign-out", { did: alice.did });
    expect(left.title).toBe("Sign in");
    expect((await browser.submit(left, "/sign-in", credentials())).title).toContain("asks for access");
  });

  test("signing up, a second app, and a password that was forgotten", async () => {
    const browser = new PageVisitor(server.url);
    const { url, client } = await begin({ prompt: "create" });
    const form = await browser.get(url);
    const bad = await browser.submit(form, "/sign-up", { handle: "a", email: "no", password: "short" });
    expect(bad.status).toBe(400);
    const unfit = await browser.submit(form, "/sign-up", { handle: "a b", email: "no", password: "short" });
    for (const text of ["A handle has letters", "not an e-mail address", "A password has 8"])
      expect(unfit.html).toContain(text);
    const taken = { handle: "alice", email: "dora@example.com", password: PASSWORD };
    expect((await browser.submit(form, "/sign-up", taken)).html).toContain("This handle is taken");
    const page = await browser.submit(form, "/sign-up", { ...taken, handle: "dora" });
    expect(page.title).toContain("asks for access");
    const back = await browser.submit(page, "/consent", { decision: "allow" });
    const { session } = await client.callback(back.away?.searchParams ?? new URLSearchParams());
    expect((await session.getTokenInfo(false)).sub).toStartWith("did:plc:");

    const other = new PageVisitor(server.url);
    const forgot = await other.get((await begin()).url.replace("/authorize?", "/authorize/forgot?"));
    const asked = await other.submit(forgot, "/forgot", { email: "dora@example.com" });
    expect(asked.title).toBe("Set a new password");
    const unknown = await other.submit(forgot, "/forgot", { email: "nobody@example.com" });
    expect(unknown.title).toBe("Set a new password");
    const code = await smtp.codeTo("dora@example.com", /Reset your password/);
    const wrong = await other.submit(asked, "/reset", { code: "AAAAA-22222", password: "another password" });
    expect(wrong.html).toContain("The code is wrong");
    const done = await other.submit(asked, "/reset", { code, password: "another password" });
    expect(done.title).toBe("Your password is changed");
    expect((await browser.get((await begin()).url)).title).toBe("Sign in");
  });

  test("a deactivated account is reactivated, or nothing happens", async () => {
    const eve = await createAccount(server.url, "eve");
    const body = {};
    await xrpc(server.url, "com.atproto.server.deactivateAccount", { token: eve.accessJwt, body });
    const { url } = await begin();
    const browser = new PageVisitor(server.url);
    const signIn = { identifier: eve.handle, password: PASSWORD };
    const page = await browser.submit(await browser.get(url), "/sign-in", signIn);
    expect(page.title).toBe("Your account is deactivated");
    const consent = `${url.replace("/authorize?", "/authorize/consent?")}&did=${eve.did}`;
    expect((await browser.get(consent)).title).toBe("Your account is deactivated");
    const active = await browser.submit(page, "/reactivate");
    expect(active.title).toContain("asks for access");
  });

  test("a code by mail is asked for where the account wants that", async () => {
    const fay = await createAccount(server.url, "fay");
    const call = (nsid: string, body?: object) =>
      xrpc(server.url, `com.atproto.server.${nsid}`, {
        token: fay.accessJwt,
        ...(body ? { body } : { method: "POST" }),
      });
    await call("requestEmailConfirmation");
    await call("confirmEmail", { email: fay.email, token: await smtp.codeTo(fay.email, /Confirm/) });
    await call("updateEmail", { email: fay.email, emailAuthFactor: true });
    const browser = new PageVisitor(server.url);
    const { url } = await begin();
    const signIn = { identifier: fay.handle, password: PASSWORD };
    const page = await browser.submit(await browser.get(url), "/sign-in", signIn);
    expect([page.title, page.html.includes("f…@example.com")]).toEqual(["One more step", true]);
    expect((await browser.submit(page, "/factor", { code: "AAAAA-22222" })).html).toContain("wrong");
    const early = await browser.get(`${url.replace("/authorize?", "/authorize/consent?")}&did=${fay.did}`);
    expect(early.title).toBe("Sign in");
    const code = await smtp.codeTo(fay.email, /sign-in code/);
    await browser.get(page.path);
    const asked = await browser.get(page.path.replace("&sent=1", ""));
    expect([asked.html.includes('name="code"'), asked.html.includes("Send a code")]).toEqual([false, true]);
    expect((await browser.submit(asked, "/factor/mail")).html).toContain('name="code"');
    expect(smtp.mails.filter(({ to, text }) => to.includes(fay.email) && /sign-in/.test(text))).toEqual([]);
    expect((await browser.submit(page, "/factor", { code })).title).toContain("asks for access");
  });

  test("an account that is taken down is refused, with the right password", async () => {
    const gus = await createAccount(server.url, "gus");
    const { url } = await begin();
    const browser = new PageVisitor(server.url);
    const signIn = { identifier: gus.handle, password: PASSWORD };
    const page = await browser.submit(await browser.get(url), "/sign-in", signIn);
    await takeDown(gus.did);
    const late = await browser.submit(page, "/consent", { decision: "allow" });
    expect([late.away, late.html.includes("taken down")]).toEqual([undefined, true]);
    const again = await browser.submit(await browser.get((await begin()).url), "/sign-in", signIn);
    expect(again.html).toContain("taken down");
  });

  test("in German where the browser says so, and in the language that was chosen from then on", async () => {
    const browser = new PageVisitor(server.url, { "accept-language": "de-DE,de;q=0.9" });
    const { url } = await begin();
    expect((await browser.get(url)).html).toContain('<html lang="de">');
    expect((await browser.get(`${url}&lang=en`)).title).toBe("Sign in");
    expect((await browser.get(url)).title).toBe("Sign in");
  });

  test("browsers and password managers find the page for the password", async () => {
    const answer = await fetch(`${server.url}/.well-known/change-password`, { redirect: "manual" });
    expect([answer.status, answer.headers.get("location")]).toEqual([303, "/account/security"]);
  });
});

describe("what is not as it should be", () => {
  test("a request is of the browser that has opened it; another one's attempt takes nothing away", async () => {
    const { url } = await begin();
    const [browser, page] = await signedIn(url);
    const other = new PageVisitor(server.url);
    const foreign = await other.get(url);
    expect([foreign.status, foreign.title]).toEqual([400, "This was begun in another browser"]);
    const back = await browser.submit(page, "/consent", { decision: "allow" });
    expect(back.away?.searchParams.get("code")).toStartWith("cod-");
  });

  test("a frame, a picture or a script of another site opens nothing", async () => {
    const { url } = await begin();
    for (const [mode, dest] of [
      ["no-cors", "image"],
      ["cors", "empty"],
      ["navigate", "iframe"],
    ] as const) {
      const foreign = new PageVisitor(server.url, { "sec-fetch-mode": mode, "sec-fetch-dest": dest });
      expect((await foreign.get(url)).status).toBe(403);
    }
    expect((await fetch(url, { method: "HEAD" })).status).toBe(405);
    await signedIn(url);
  });

  test("no other origin may read a page", async () => {
    const { url } = await begin();
    for (const init of [{}, { method: "OPTIONS" }, { method: "PUT" }]) {
      const answer = await fetch(url, { ...init, headers: { origin: "https://evil.example" } });
      expect(answer.headers.get("access-control-allow-origin")).toBeNull();
      expect(answer.headers.get("content-security-policy")).toContain("default-src 'none'");
    }
  });

  test("each form is refused that is not ours, or not of this browser", async () => {
    const { url } = await begin();
    const [browser, page] = await signedIn(url);
    const [other] = await signedIn((await begin()).url);
    const foreign = await other.get((await begin()).url);
    const csrfOf = (from: Page) => fieldOf(from.forms[0], "csrf");
    const own = `csrf=${csrfOf(page)}`;
    const steps =
      "sign-in passkey factor factor/mail sign-up forgot reset choose sign-out consent reactivate cancel";
    const rows: [string, number, string, Record<string, string | undefined>?][] = [
      ["without a token", 403, "decision=allow"],
      ["with another browser's token", 403, `csrf=${csrfOf(foreign)}`],
      ["from another site", 403, own, { origin: "https://evil.example" }],
      ["from another site, as the browser says", 403, own, { "sec-fetch-site": "cross-site" }],
      ["from nowhere", 403, own, { origin: undefined, "sec-fetch-site": undefined }],
      ["doubled", 400, `${own}&did=a&did=b`],
      ["too large", 400, `${own}&x=${"x".repeat(70_000)}`],
      ["as JSON", 400, "{}", { "content-type": "application/json" }],
    ];
    for (const step of steps.split(" ")) {
      for (const [title, status, body, headers] of rows) {
        const at = url.replace("/authorize?", `/authorize/${step}?`);
        const answer = await browser.post(at, body, headers);
        expect([step, title, answer.status, answer.away]).toEqual([step, title, status, undefined]);
      }
    }
    const nobody = new PageVisitor(server.url);
    const at = url.replace("/authorize?", "/authorize/consent?");
    expect((await nobody.post(at, own)).title).toBe("Please allow cookies");
    expect((await browser.submit(page, "/consent", { decision: "allow" })).away).toBeDefined();
  });

  test("the URL: unknown, another app's, incomplete, doubled, or without a pushed request", async () => {
    const { url } = await begin();
    const { searchParams } = new URL(url);
    const [uri = "", id = ""] = [searchParams.get("request_uri"), searchParams.get("client_id")].map(String);
    const query = (values: [string, string][]) => `/oauth/authorize?${new URLSearchParams(values)}`;
    const rows = [
      query([["client_id", id]]),
      query([["request_uri", uri]]),
      query([]),
      query([
        ["client_id", id],
        ["request_uri", "urn:ietf:params:oauth:request_uri:req-unknown"],
      ]),
      query([
        ["client_id", id],
        ["request_uri", "https://evil.example/request"],
      ]),
      query([
        ["client_id", "http://localhost"],
        ["request_uri", uri],
      ]),
      query([
        ["client_id", id],
        ["client_id", id],
        ["request_uri", uri],
      ]),
      query([
        ["client_id", id],
        ["redirect_uri", REDIRECT],
        ["response_type", "code"],
        ["scope", "atproto"],
        ["state", "x"],
      ]),
    ];
    for (const row of rows) {
      const page = await new PageVisitor(server.url).get(row);
      expect([row, page.status, page.title, page.away]).toEqual([
        row,
        400,
        "We do not know this request",
        undefined,
      ]);
    }
    await signedIn(url);
  });

  test("a consent: replayed, for more than was asked, of an account that is not signed in here", async () => {
    const { url } = await begin();
    const [browser, page] = await signedIn(url);
    const more = await browser.submit(page, "/consent", { decision: "allow", scope: ["atproto", "repo:*"] });
    expect([more.status, more.away]).toEqual([400, undefined]);
    const odd = await browser.submit(page, "/consent", { decision: "maybe" });
    expect([odd.status, odd.away]).toEqual([400, undefined]);
    const hugo = await createAccount(server.url, "hugo");
    const other = await browser.submit(page, "/consent", { decision: "allow", did: hugo.did });
    expect([other.title, other.away]).toEqual(["Sign in", undefined]);
    const back = await browser.submit(page, "/consent", { decision: "allow" });
    expect(back.away?.searchParams.get("code")).toStartWith("cod-");
    for (const decision of ["allow", "deny"]) {
      const again = await browser.submit(page, "/consent", { decision });
      expect([again.status, again.title, again.away]).toEqual([
        400,
        "We do not know this request",
        undefined,
      ]);
    }
  });

  test("a second step without a first one leads to the first", async () => {
    const { url } = await begin();
    const browser = new PageVisitor(server.url);
    const page = await browser.get(url);
    const at = (step: string) => url.replace("/authorize?", `/authorize/${step}?`);
    expect((await browser.get(at("factor"))).html).toContain("open for too long");
    const csrf = fieldOf(page.forms[0], "csrf");
    expect((await browser.post(at("factor"), `csrf=${csrf}&code=123456`)).title).toBe("Sign in");
    expect((await browser.post(at("passkey"), `csrf=${csrf}&credential=nonsense`)).html).toContain(
      "not accepted",
    );
  });
});

async function takeDown(did: string): Promise<void> {
  const answer = await xrpc(server.url, "com.atproto.admin.updateSubjectStatus", {
    headers: { authorization: `Basic ${btoa(`admin:${ADMIN_PASSWORD}`)}` },
    body: { subject: { $type: "com.atproto.admin.defs#repoRef", did }, takedown: { applied: true } },
  });
  expect(answer.status).toBe(200);
}
