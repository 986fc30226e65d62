/**
 * Nothing that was revoked, used, replaced, stolen or has expired reads or writes anything: at once, seconds, hours, days and months
 * later. The server listens in this process, so that its clock can be set. Each row first shows that what it holds was good.
 */
import { afterAll, beforeAll, expect, setSystemTime, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "../../src/config/mod.ts";
import { createServer, type KithServer } from "../../src/server.ts";
import { type Account, createAccount, PASSWORD, xrpc } from "../client.ts";
import { clientIdFor, REDIRECT } from "../oauth_app.ts";
import { formTo, PageVisitor } from "../page_visitor.ts";
import { type Answer, type KeyPair, keyPair, RawApp, tokensOf } from "../raw_app.ts";

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
/** When a thief tries, counted from when what it has became worthless. */
const LATER = [0, 5 * SECOND_MS, 6 * MINUTE_MS, 2 * HOUR_MS, 25 * HOUR_MS, 15 * DAY_MS, 100 * DAY_MS];
const APP = "https://web.example.org";
const CLIENT_ID = `${APP}/client.json`;
const SCOPE = "atproto repo:app.bsky.feed.post?action=create";
const TOKEN = "/oauth/token";

let server: KithServer;
let [alice, bob] = [{}, {}] as [Account, Account];
/** Keys of the app that has a server. */
let published: KeyPair[] = [];
let [phone, web] = [{}, {}] as [RawApp, RawApp];
let written = 0;
const folder = mkdtempSync(join(tmpdir(), "kith-worthless-"));
const METADATA = {
  client_id: CLIENT_ID,
  redirect_uris: [`${APP}/callback`],
  scope: SCOPE,
  response_types: ["code"],
  grant_types: ["authorization_code", "refresh_token"],
  token_endpoint_auth_method: "private_key_jwt",
  token_endpoint_auth_signing_alg: "ES256",
  dpop_bound_access_tokens: true,
  jwks_uri: `${APP}/jwks.json`,
};
const { fetch } = globalThis;
/** The app's documents; everything else is asked where it is. */
const led = Object.assign(async (input: string | URL | Request, init?: RequestInit) => {
  const url = String(input instanceof Request ? input.url : input);
  if (url === CLIENT_ID) return Response.json(METADATA);
  if (url === METADATA.jwks_uri) return Response.json({ keys: published.map(({ jwk }) => jwk) });
  return fetch(input, init);
}, fetch);

beforeAll(async () => {
  globalThis.fetch = led;
  const env = { PDS_DATA_DIRECTORY: folder, PDS_DEV_MODE: "true", PDS_PORT: "0", LOG_ENABLED: "false" };
  server = await createServer(loadConfig({ env: { ...env, PDS_RATE_LIMITS_ENABLED: "false" } }).config);
  [alice, bob] = [await createAccount(server.url, "alice"), await createAccount(server.url, "bob")];
  const clientKey = await keyPair("key-1");
  published = [clientKey];
  const shared = { scope: SCOPE, did: alice.did };
  const ofPhone = { clientId: clientIdFor(SCOPE), redirectUri: REDIRECT, ...shared };
  phone = new RawApp(server, { ...ofPhone, dpopKey: await keyPair() });
  const ofWeb = { clientId: CLIENT_ID, redirectUri: `${APP}/callback`, ...shared, clientKey };
  web = new RawApp(server, { ...ofWeb, dpopKey: await keyPair() });
});

afterAll(async () => {
  setSystemTime();
  globalThis.fetch = fetch;
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

const pass = (ms: number) => void setSystemTime(new Date(Date.now() + ms));

/** Posts of Alice that are there. */
async function posts(): Promise<number> {
  const params = { repo: alice.did, collection: "app.bsky.feed.post", limit: 100 };
  const { json } = await xrpc(server.url, "com.atproto.repo.listRecords", { params });
  return (json.records as unknown[]).length;
}

/** Whether an access token is good for anything. */
async function isGood(app: RawApp, token: string): Promise<boolean> {
  const [read, wrote] = [await app.read(token), await app.write(token)];
  if (wrote === 200) written += 1;
  for (const status of [read, wrote]) expect([200, 401]).toContain(status);
  return read === 200 || wrote === 200;
}

const gotTokens = ({ json }: Answer) => json.access_token !== undefined;

/** Tries what has become worthless: true where it was good for something. */
type Try = () => Promise<boolean>;

type Row = [title: string, make: () => Promise<Try>];

/** A token that was good. */
async function goodTokens(app: RawApp) {
  const tokens = await app.signIn();
  expect(await isGood(app, tokens.access)).toBe(true);
  return tokens;
}

const accessTokens: Row[] = [
  [
    "an access token that was revoked",
    async () => {
      const { access } = await goodTokens(phone);
      await phone.revoke(access);
      return () => isGood(phone, access);
    },
  ],
  [
    "an access token whose refresh token was revoked",
    async () => {
      const { access, refresh } = await goodTokens(web);
      await web.revoke(refresh);
      return () => isGood(web, access);
    },
  ],
  [
    "an access token that was replaced",
    async () => {
      const { access, refresh } = await goodTokens(phone);
      expect(gotTokens(await phone.refresh(refresh))).toBe(true);
      return () => isGood(phone, access);
    },
  ],
  [
    "an access token that has expired",
    async () => {
      const { access } = await goodTokens(web);
      pass(15 * MINUTE_MS);
      return () => isGood(web, access);
    },
  ],
  [
    "an access token with another key's proof",
    async () => {
      const { access } = await goodTokens(phone);
      const thief = phone.as({ dpopKey: await keyPair() });
      return () => isGood(thief, access);
    },
  ],
  [
    "an access token as Bearer, with and without a proof",
    async () => {
      const { access } = await goodTokens(phone);
      const as = { authorization: `Bearer ${access}` };
      return async () => {
        const bare = await xrpc(server.url, "com.atproto.server.getSession", { token: access });
        const statuses = [bare.status, await phone.read(access, as), await phone.write(access, as)];
        return statuses.some((status) => status === 200);
      };
    },
  ],
  [
    "an access token with a proof that was used, or is for another call",
    async () => {
      const { access } = await goodTokens(phone);
      const ath = createHash("sha256").update(access).digest("base64url");
      const dpop = await phone.proof("GET", "/xrpc/com.atproto.server.getSession", { ath });
      expect(await phone.read(access, { dpop })).toBe(200);
      return async () =>
        [await phone.read(access, { dpop }), await phone.write(access, { dpop })].includes(200);
    },
  ],
  [
    "an access token with the proof of another token, or with an old nonce",
    async () => {
      const [{ access }, other] = [await goodTokens(phone), await goodTokens(phone)];
      const nonce = await phone.nonce();
      pass(5 * MINUTE_MS);
      const path = "/xrpc/com.atproto.server.getSession";
      const hash = (token: string) => createHash("sha256").update(token).digest("base64url");
      return async () => {
        const old = await phone.proof("GET", path, { ath: hash(access), nonce });
        const others = await phone.proof("GET", path, { ath: hash(other.access) });
        return [await phone.read(access, { dpop: old }), await phone.read(access, { dpop: others })].includes(
          200,
        );
      };
    },
  ],
];

const refreshTokens: Row[] = [false, true].flatMap((isWeb): Row[] => {
  const app = () => (isWeb ? web : phone);
  const kind = isWeb ? "a confidential client" : "a public client";
  return [
    [
      `a refresh token of ${kind} that was used, and all that came of it`,
      async () => {
        const first = await goodTokens(app());
        const second = tokensOf(await app().refresh(first.refresh));
        expect(gotTokens(await app().refresh(first.refresh))).toBe(false);
        return async () =>
          gotTokens(await app().refresh(first.refresh)) ||
          gotTokens(await app().refresh(second.refresh)) ||
          (await isGood(app(), second.access));
      },
    ],
    [
      `a refresh token of ${kind} that was revoked`,
      async () => {
        const { refresh } = await goodTokens(app());
        await app().revoke(refresh);
        return async () => gotTokens(await app().refresh(refresh));
      },
    ],
    [
      `a refresh token of ${kind} that has expired`,
      async () => {
        const { refresh, access } = await goodTokens(app());
        pass((isWeb ? 90 : 14) * DAY_MS);
        return async () => gotTokens(await app().refresh(refresh)) || (await isGood(app(), access));
      },
    ],
    [
      `a refresh token of ${kind} with another key, or by another client`,
      async () => {
        const { refresh } = await goodTokens(app());
        const thief = app().as({ dpopKey: await keyPair() });
        const { dpopKey } = app();
        const other = (isWeb ? phone : web).as({ dpopKey });
        return async () => gotTokens(await thief.refresh(refresh)) || gotTokens(await other.refresh(refresh));
      },
    ],
    [
      `a code of ${kind} that was used, and what came of it`,
      async () => {
        const code = await app().code();
        const tokens = tokensOf(await app().exchange(code));
        expect(gotTokens(await app().exchange(code))).toBe(false);
        return async () =>
          gotTokens(await app().exchange(code)) ||
          gotTokens(await app().refresh(tokens.refresh)) ||
          (await isGood(app(), tokens.access));
      },
    ],
    [
      `a code of ${kind} that has expired`,
      async () => {
        const code = await app().code();
        pass(2 * MINUTE_MS);
        return async () => gotTokens(await app().exchange(code));
      },
    ],
    [
      `a code of ${kind} with another key, verifier or client`,
      async () => {
        const code = await app().code();
        const thief = app().as({ dpopKey: await keyPair() });
        const other = isWeb ? phone : web;
        return async () =>
          gotTokens(await thief.exchange(code)) ||
          gotTokens(await other.as({ dpopKey: app().dpopKey }).exchange(code)) ||
          gotTokens(await app().exchange({ ...code, code_verifier: "v".repeat(43) }));
      },
    ],
  ];
});

const gone = (promise: Promise<unknown>): Promise<boolean> =>
  promise.then(
    () => true,
    () => false,
  );

const requests: Row[] = [
  [
    "a request_uri that was answered",
    async () => {
      const { requestUri } = await phone.push();
      await phone.approve(requestUri);
      return () => gone(phone.approve(requestUri));
    },
  ],
  [
    "a request_uri that has expired",
    async () => {
      const { requestUri } = await phone.push();
      pass(5 * MINUTE_MS);
      return () => gone(phone.approve(requestUri));
    },
  ],
  [
    "a request_uri that another browser has opened",
    async () => {
      const { requestUri } = await phone.push();
      const { clientId } = phone.options;
      await server.authorizations.open({ requestUri, clientId, device: "the owner's" });
      return () => gone(phone.approve(requestUri, "a thief's"));
    },
  ],
  [
    "a request_uri of another client",
    async () => {
      const { requestUri } = await phone.push();
      return () => gone(web.approve(requestUri));
    },
  ],
  [
    "a client assertion that was used",
    async () => {
      const used = await web.assertion();
      const { refresh } = await goodTokens(web);
      expect((await web.form("/oauth/introspect", { token: refresh, ...used })).json.active).toBe(true);
      return async () => {
        const again = await web.refresh(refresh, used);
        return gotTokens(again) || again.json.error !== "invalid_client";
      };
    },
  ],
  [
    "a proof for tokens that was used",
    async () => {
      const proof = await phone.proof("POST", TOKEN);
      const first = await phone.code();
      const fields = { grant_type: "authorization_code", redirect_uri: REDIRECT };
      expect(gotTokens(await phone.form(TOKEN, { ...fields, ...first }, { proof }))).toBe(true);
      return async () =>
        gotTokens(await phone.form(TOKEN, { ...fields, ...(await phone.code()) }, { proof }));
    },
  ],
  [
    "a key that the client has taken back, with a refresh token that was its",
    async () => {
      const own = web.as({ clientKey: await keyPair(`key-${Date.now()}`) });
      const key = own.options.clientKey as KeyPair;
      published = [...published, key];
      pass(MINUTE_MS);
      const { refresh } = await goodTokens(own);
      published = published.filter((one) => one !== key);
      pass(11 * MINUTE_MS);
      return async () => gotTokens(await own.refresh(refresh)) || gotTokens(await web.refresh(refresh));
    },
  ],
];

/** Signs in on the account's pages. */
async function visitorOf(account: Account): Promise<PageVisitor> {
  const visitor = new PageVisitor(server.url);
  const form = formTo(await visitor.get(`/account/${account.did}`), "/account/sign-in");
  await visitor.send(form, { fields: { identifier: account.handle, password: PASSWORD, remember: "on" } });
  expect(await isIn(visitor)).toBe(true);
  return visitor;
}

const isIn = async (visitor: PageVisitor, did = alice.did) =>
  (await visitor.get(`/account/${did}/apps`)).path === `/account/${did}/apps`;

function copyOf(visitor: PageVisitor): PageVisitor {
  const copy = new PageVisitor(server.url);
  for (const [name, value] of visitor.cookies) copy.cookies.set(name, value);
  return copy;
}

/** What comes of asking to be let in without a question. */
async function silently(visitor: PageVisitor): Promise<boolean> {
  const { requestUri } = await web.push({ prompt: "none" });
  const browser = copyOf(visitor);
  const query = new URLSearchParams({ client_id: CLIENT_ID, request_uri: requestUri });
  const { away } = await browser.get(`${server.url}/oauth/authorize?${query}`);
  return away?.searchParams.has("code") === true;
}

const browsers: Row[] = [
  [
    "the cookies of a browser that was signed out",
    async () => {
      const visitor = await visitorOf(alice);
      const copy = copyOf(visitor);
      const path = `/account/${alice.did}`;
      await visitor.send(formTo(await visitor.get(path), `${path}/sign-out`));
      return async () => (await isIn(copyOf(copy))) || (await isIn(copyOf(visitor)));
    },
  ],
  [
    "the cookies of a browser that was signed out from another one",
    async () => {
      const [lost, own] = [await visitorOf(alice), await visitorOf(alice)];
      const path = `/account/${alice.did}/devices`;
      await own.send(formTo(await own.get(path), `${path}/sign-out-others`));
      return () => isIn(copyOf(lost));
    },
  ],
  [
    "a sign-in that is older than seven days",
    async () => {
      const visitor = await visitorOf(alice);
      pass(7 * DAY_MS);
      return async () => (await isIn(copyOf(visitor))) || (await silently(visitor));
    },
  ],
  [
    "the cookies of somebody else",
    async () => {
      const visitor = new PageVisitor(server.url);
      const form = formTo(await visitor.get(`/account/${bob.did}`), "/account/sign-in");
      await visitor.send(form, { fields: { identifier: bob.handle, password: PASSWORD, remember: "on" } });
      expect(await isIn(visitor, bob.did)).toBe(true);
      return async () => (await isIn(copyOf(visitor))) || (await silently(visitor));
    },
  ],
  [
    "a consent that was taken back",
    async () => {
      const visitor = await visitorOf(alice);
      await web.signIn();
      expect(await silently(visitor)).toBe(true);
      const path = `/account/${alice.did}/apps`;
      let page = await visitor.get(path);
      const forms = () =>
        page.forms.filter(({ action }) => action.endsWith("/remove") || action.endsWith("/forget"));
      for (let [form] = forms(); form; [form] = forms()) page = await visitor.send(form);
      return async () => silently(await visitorOf(alice));
    },
  ],
];

const all = [...accessTokens, ...refreshTokens, ...requests, ...browsers];

test.each(all)(
  "%s is worth nothing, now and later",
  async (_title, make) => {
    // Never back: what the server keeps for a while would be from the future.
    pass(HOUR_MS);
    const tryIt = await make();
    const became = Date.now();
    for (const ms of LATER) {
      setSystemTime(new Date(became + ms));
      expect([ms, await tryIt()]).toEqual([ms, false]);
    }
  },
  120_000,
);

test("nothing was written but by what was good", async () => {
  expect(await posts()).toBe(written);
});
