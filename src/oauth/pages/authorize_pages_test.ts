import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import type { Device } from "../../accounts/mod.ts";
import { PageSite } from "../../web/mod.ts";
import {
  asked,
  CONFIDENTIAL,
  DID,
  type Fields,
  ISSUER,
  OAuthFixture,
  PUBLIC,
  SCOPE,
} from "../oauth_fixture.ts";
import { AuthorizePages } from "./authorize_pages.ts";
import { PageServer } from "./page_server.ts";
import { SignInPages } from "./sign_in_pages.ts";

const BOB = "did:plc:bob";
const MINUTE_MS = 60_000;
const TOKEN = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

describe("AuthorizePages", () => {
  let fixture: OAuthFixture;
  let server: PageServer;
  let signedIn: Device["accounts"] = [];
  let trusted: string[] = [];

  beforeAll(async () => {
    fixture = await OAuthFixture.open();
    const { requests, accounts, store: grants } = fixture;
    const never = () => Promise.reject(new Error("Not of this test"));
    const signIn = new SignInPages({
      signIns: { passkeyOptions: async () => ({ challenge: TOKEN }) } as never,
      accounts,
      languages: { read: never },
      hasSignUp: true,
    });
    const signUp = { routes: () => ({}), page: never } as never;
    const more = { devices: { signOut: never }, status: { activate: never }, signIn, signUp };
    const pages = new AuthorizePages({
      ...{ requests, accounts, grants, ...more },
      logos: { pathOf: async ({ logoUri }) => logoUri && `/oauth/assets/${logoUri.split("/").at(-1)}` },
      get trustedClients() {
        return trusted;
      },
    });
    server = new PageServer({
      publicUrl: ISSUER,
      csrfKey: new Uint8Array(32),
      pages: siteOf(),
      devices: {
        open: async () => ({
          device: { id: "device", secretHash: "hash", cookieId: "cookie", accounts: signedIn },
          setCookie: undefined,
        }),
      },
      routes: pages.routes(),
    });
  });
  afterAll(() => fixture[Symbol.asyncDispose]());
  beforeEach(async () => {
    signedIn = [];
    trusted = [];
    for (const did of [DID, BOB]) {
      for (const id of [PUBLIC, CONFIDENTIAL]) await fixture.store.forgetConsent(did, id);
    }
  });

  const account = (did: string, ageMs = MINUTE_MS) => ({
    did,
    authenticatedAt: fixture.nowMs - ageMs,
    remember: true,
    needsPassword: false,
  });

  async function begin(fields: Fields = {}, { isPublic = false } = {}): Promise<string> {
    const own = isPublic
      ? {}
      : { ...(await fixture.assertion()), redirect_uri: "https://web.example.org/callback" };
    const base = asked(randomBytes(32).toString("base64url"));
    const { status, json } = await fixture.post("/oauth/par", { ...base, ...own, ...fields });
    expect([status, json.error_description]).toEqual([201, undefined]);
    const query = { client_id: isPublic ? PUBLIC : CONFIDENTIAL, request_uri: String(json.request_uri) };
    return `${ISSUER}/oauth/authorize?${new URLSearchParams(query)}`;
  }

  async function open(url: string) {
    const answer = await server.fetch(new Request(url), { requestId: "1", ip: "203.0.113.1" });
    const location = answer?.headers.get("location") ?? undefined;
    const html = (await answer?.text()) ?? "";
    const title = /<h1>(.*?)<\/h1>/.exec(html)?.[1]?.replaceAll("<wbr>", "");
    const { searchParams } = new URL(location ?? "/", ISSUER);
    const code = searchParams.get("code")?.slice(0, 4);
    return { status: answer?.status, title, html, location, error: searchParams.get("error"), code };
  }

  const remember = (scope: string, did = DID, clientId = CONFIDENTIAL) =>
    fixture.store.rememberConsent({ did, clientId, scope, now: fixture.nowMs });

  test.each<[string, string[], string[], string | null, string | undefined]>([
    ["nobody is signed in", [], [], "login_required", undefined],
    ["several are", [DID, BOB], [DID], "account_selection_required", undefined],
    ["it was never allowed", [DID], [], "consent_required", undefined],
    ["it was allowed before", [DID], [DID], null, "cod-"],
  ])("prompt=none where %s", async (_title, dids, allowed, error, code) => {
    signedIn = dids.map((did) => account(did));
    for (const did of allowed) await remember(SCOPE, did);
    expect(await open(await begin({ prompt: "none" }))).toMatchObject({ status: 303, error, code });
  });

  test("an app with a key is let in again without a question, for no more than it was allowed", async () => {
    signedIn = [account(DID)];
    expect((await open(await begin())).title).toContain("asks for access");
    await remember(SCOPE);
    expect(await open(await begin())).toMatchObject({ status: 303, code: "cod-" });
    expect((await open(await begin({ prompt: "consent" }))).title).toContain("asks for access");
    await remember("atproto blob:image/*");
    expect((await open(await begin())).title).toContain("asks for access");
  });

  test("one that anybody can copy is asked about each time", async () => {
    signedIn = [account(DID)];
    await remember(SCOPE, DID, PUBLIC);
    expect((await open(await begin({}, { isPublic: true }))).title).toContain("asks for access");
  });

  test("prompt=login, and a sign-in that is too old, ask for the password of the account", async () => {
    signedIn = [account(DID)];
    await remember(SCOPE);
    const login = await open(await begin({ prompt: "login" }));
    expect(login.location).toStartWith("/oauth/authorize/sign-in?");
    signedIn = [account(DID, -MINUTE_MS)];
    expect((await open(await begin({ prompt: "login" }))).code).toBe("cod-");
    signedIn = [{ ...account(DID), needsPassword: true }];
    expect((await open(await begin())).location).toContain(`did=${encodeURIComponent(DID)}`);
    const consent = (await begin()).replace("/authorize?", "/authorize/consent?");
    expect((await open(`${consent}&did=${DID}`)).location).toStartWith("/oauth/authorize/sign-in?");
  });

  test("login_hint: another account that is signed in does not do", async () => {
    signedIn = [account(BOB)];
    await remember(SCOPE, BOB);
    const url = await begin({ login_hint: DID });
    expect((await open(url)).title).toBe("Sign in");
    const consent = url.replace("/authorize?", "/authorize/consent?");
    expect((await open(`${consent}&did=${BOB}`)).location).toStartWith("/oauth/authorize/sign-in?");
  });

  test("an app is called by its own name only where the operator vouches for it", async () => {
    signedIn = [account(DID)];
    const plain = await open(await begin());
    expect([plain.title, plain.html.includes("An app")]).toEqual(["web.example.org asks for access", false]);
    expect(plain.html).toContain(CONFIDENTIAL);
    trusted = [CONFIDENTIAL];
    expect((await open(await begin())).title).toBe("An app asks for access");
  });

  test("an app's logo is shown only where the operator vouches for it, and comes from this server", async () => {
    const document = fixture.documents.get(CONFIDENTIAL) as object;
    fixture.documents.set(CONFIDENTIAL, { ...document, logo_uri: "https://web.example.org/logo.png" });
    fixture.pass(11 * MINUTE_MS);
    for (const signedInHere of [[], [account(DID)]]) {
      for (const vouched of [[], [CONFIDENTIAL]]) {
        [signedIn, trusted] = [signedInHere, vouched];
        const { html } = await open(await begin());
        expect(html.includes('src="/oauth/assets/logo.png"')).toBe(vouched.length > 0);
        expect(html).not.toContain("https://web.example.org/logo.png");
      }
    }
    trusted = [];
    fixture.documents.set(CONFIDENTIAL, document);
    fixture.pass(11 * MINUTE_MS);
  });

  test("a request that has expired says so, and what to do", async () => {
    const url = await begin();
    expect((await open(url)).title).toBe("Sign in");
    fixture.pass(16 * MINUTE_MS);
    expect(await open(url)).toMatchObject({ status: 400, title: "This has taken too long" });
    const late = await begin();
    fixture.pass(6 * MINUTE_MS);
    expect(await open(late)).toMatchObject({ status: 400, title: "This has taken too long" });
  });

  test("an app whose document cannot be had any more is named as the one that is wrong", async () => {
    const url = await begin();
    const document = fixture.documents.get(CONFIDENTIAL);
    fixture.documents.delete(CONFIDENTIAL);
    fixture.pass(0);
    const clients = await open(url);
    // It is kept for ten minutes.
    expect(clients.title).toBe("Sign in");
    fixture.pass(11 * MINUTE_MS);
    expect(await open(url)).toMatchObject({ status: 400, title: "There is something wrong with the app" });
    fixture.documents.set(CONFIDENTIAL, document);
    fixture.pass(MINUTE_MS);
    expect((await open(url)).title).toBe("Sign in");
  });
});

function siteOf(): PageSite {
  return new PageSite({
    site: { name: "Cottage", host: "pds.example.com" },
    colors: {},
    pictures: {},
    assetFolder: "/oauth/assets",
    fetchPicture: () => Promise.reject(new Error("No picture")),
    onMissingPicture: () => {},
    now: () => 0,
  });
}
