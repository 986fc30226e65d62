/** com.atproto.temp: what a sign-up asks before, and what an operator does; and methods of other services. */
import { describe, expect, test } from "bun:test";
import { PASSWORD, xrpc } from "../client.ts";
import { ADMIN_PASSWORD } from "../harness.ts";
import { type Row, type Stage, testRows, useStage } from "../stage.ts";

const AVAILABLE = "com.atproto.temp.checkHandleAvailability";
const QUEUE = "com.atproto.temp.checkSignupQueue";
const RESERVE = "com.atproto.temp.addReservedHandle";
const REVOKE = "com.atproto.temp.revokeAccountCredentials";
const PHONE = "com.atproto.temp.requestPhoneVerification";
const SCOPE = "com.atproto.temp.dereferenceScope";
const CREATE = "com.atproto.server.createAccount";

const admin = { authorization: `Basic ${btoa(`admin:${ADMIN_PASSWORD}`)}` };
const user = ({ alice }: Stage) => ({ token: alice.accessJwt });
const signUp = (handle: string) => ({
  body: { handle, email: `${handle.replace(/\W/g, "-")}@example.com`, password: PASSWORD },
});

const rows: Row[] = [
  {
    title: "lets nobody wait",
    to: QUEUE,
    call: user,
    status: 200,
    check: ({ json }) => expect(json).toEqual({ activated: true }),
  },
  { title: "is for users", to: QUEUE, status: 401, error: "AuthMissing" },
  {
    title: "is a query",
    to: QUEUE,
    call: (s) => ({ ...user(s), body: {} }),
    status: 405,
    error: "InvalidRequest",
  },
  {
    title: "says that a handle is free",
    to: AVAILABLE,
    call: () => ({ params: { handle: "Newcomer.test", email: "alice@example.com" } }),
    status: 200,
    check: ({ json }) =>
      expect(json).toEqual({ handle: "Newcomer.test", result: { $type: `${AVAILABLE}#resultAvailable` } }),
  },
  {
    title: "suggests free handles in the place of one that is taken",
    to: AVAILABLE,
    call: (s) => ({ params: { handle: s.alice.handle, birthDate: "1984-05-06T00:00:00Z" } }),
    status: 200,
    check: async ({ json }, s) => {
      const { $type, suggestions } = json.result as { $type: string; suggestions: { handle: string }[] };
      expect($type).toBe(`${AVAILABLE}#resultUnavailable`);
      expect(suggestions.length).toBeGreaterThan(2);
      for (const { handle } of suggestions) {
        expect(handle).toMatch(/^alice\d+\.test$/);
        const again = await xrpc(s.url, AVAILABLE, { params: { handle } });
        expect(again.json.result).toEqual({ $type: `${AVAILABLE}#resultAvailable` });
      }
    },
  },
  {
    title: "takes a reserved name and a domain of others for not free",
    to: AVAILABLE,
    call: () => ({ params: { handle: "admin.test" } }),
    status: 200,
    check: async ({ json }, s) => {
      expect(json.result).toMatchObject({ $type: `${AVAILABLE}#resultUnavailable` });
      const elsewhere = await xrpc(s.url, AVAILABLE, { params: { handle: "bob.elsewhere.org" } });
      expect(elsewhere.json.result).toMatchObject({ $type: `${AVAILABLE}#resultUnavailable` });
    },
  },
  {
    title: "tells the same of an address with an account and of one without",
    to: AVAILABLE,
    call: (s) => ({ params: { handle: "bob.test", email: s.alice.email } }),
    status: 200,
    check: async ({ json }, s) => {
      const other = await xrpc(s.url, AVAILABLE, {
        params: { handle: "bob.test", email: "nobody@example.com" },
      });
      expect(other.json).toEqual(json);
    },
  },
  ...[
    ["no handle", {}, "InvalidRequest"],
    ["what is no handle", { handle: "al ice" }, "InvalidRequest"],
    ["two handles", { handle: ["a.test", "b.test"] }, "InvalidRequest"],
    ["what is no date", { handle: "bob.test", birthDate: "1984" }, "InvalidRequest"],
    ["what is no address", { handle: "bob.test", email: "nonsense" }, "InvalidEmail"],
  ].map(
    ([what, params, error]): Row => ({
      title: `refuses ${what}`,
      to: AVAILABLE,
      call: () => ({ params: params as Record<string, string> }),
      status: 400,
      error: error as string,
    }),
  ),
  {
    title: "reserves a handle, more than once",
    to: RESERVE,
    call: () => ({ headers: admin, body: { handle: "Precious.test" } }),
    status: 200,
    check: async ({ json }, s) => {
      expect(json).toEqual({});
      const again = await xrpc(s.url, RESERVE, { headers: admin, body: { handle: "precious.test" } });
      expect(again.status).toBe(200);
      const { json: free } = await xrpc(s.url, AVAILABLE, { params: { handle: "precious.test" } });
      expect(free.result).toMatchObject({ $type: `${AVAILABLE}#resultUnavailable` });
    },
  },
  {
    title: "honours it",
    to: CREATE,
    call: () => signUp("precious.test"),
    status: 400,
    error: "HandleNotAvailable",
  },
  {
    title: "lets the admin give it away",
    to: CREATE,
    call: () => ({ ...signUp("precious.test"), headers: admin }),
    status: 200,
    events: ["#identity", "#account active", "#commit", "#sync"],
  },
  ...[
    ["nobody", () => ({ body: { handle: "x.test" } }), 401, "AuthMissing"],
    ["a user", (s: Stage) => ({ ...user(s), body: { handle: "x.test" } }), 401, "AuthenticationRequired"],
    ["no handle", () => ({ headers: admin, body: {} }), 400, "InvalidRequest"],
    ["a number", () => ({ headers: admin, body: { handle: 5 } }), 400, "InvalidRequest"],
    [
      "a handle of others",
      () => ({ headers: admin, body: { handle: "x.example.com" } }),
      400,
      "InvalidHandle",
    ],
    ["no name at all", () => ({ headers: admin, body: { handle: "" } }), 400, "InvalidHandle"],
  ].map(
    ([what, call, status, error]): Row => ({
      title: `refuses ${what}`,
      to: RESERVE,
      call: call as Row["call"],
      status: status as number,
      error: error as string,
    }),
  ),
  ...[
    ["nobody", (s: Stage) => ({ body: { account: s.alice.did } }), 401, "AuthMissing"],
    ["a user", (s: Stage) => ({ ...user(s), body: { account: s.alice.did } }), 401, "AuthenticationRequired"],
    ["no account", () => ({ headers: admin, body: {} }), 400, "InvalidRequest"],
    ["what is no account", () => ({ headers: admin, body: { account: "x" } }), 400, "InvalidRequest"],
    [
      "an account of others",
      () => ({ headers: admin, body: { account: "x.example.com" } }),
      400,
      "InvalidRequest",
    ],
  ].map(
    ([what, call, status, error]): Row => ({
      title: `refuses ${what}`,
      to: REVOKE,
      call: call as Row["call"],
      status: status as number,
      error: error as string,
    }),
  ),
  {
    title: "says that nobody is asked for a phone number",
    to: PHONE,
    call: () => ({ body: { phoneNumber: "+15550100" } }),
    status: 501,
    error: "MethodNotImplemented",
    check: ({ json }) => expect(json.message).toContain("asks for no phone number"),
  },
  { title: "refuses no number", to: PHONE, call: () => ({ body: {} }), status: 400, error: "InvalidRequest" },
  {
    title: "knows no reference",
    to: SCOPE,
    call: () => ({ params: { scope: "ref:abc" } }),
    status: 400,
    error: "InvalidScopeReference",
  },
  { title: "refuses no scope", to: SCOPE, status: 400, error: "InvalidRequest" },
  // Labelers', relays': without a service to pass them on to there is nobody to answer.
  ...[
    "com.atproto.temp.fetchLabels",
    "com.atproto.label.queryLabels",
    "com.atproto.sync.getHostStatus",
    "com.atproto.sync.listHosts",
    "com.atproto.sync.requestCrawl",
    "com.atproto.sync.notifyOfUpdate",
  ].map(
    (nsid): Row => ({
      title: "is another service's",
      to: nsid,
      call: (s) => ({
        ...user(s),
        ...(/Crawl|Update/.test(nsid) ? { body: { hostname: "a.example.com" } } : {}),
      }),
      status: 501,
      error: "MethodNotImplemented",
    }),
  ),
];

describe("temp", () => {
  const holder = useStage();
  testRows(holder, rows);

  test("revokeAccountCredentials ends all that an account is signed in to with, until its password is reset", async () => {
    const { stage } = holder;
    const bob = await stage.account("bob");
    const app = await xrpc(stage.url, "com.atproto.server.createAppPassword", {
      token: bob.accessJwt,
      body: { name: "app" },
    });
    const revoked = await xrpc(stage.url, REVOKE, { headers: admin, body: { account: bob.handle } });
    expect([revoked.status, revoked.bytes.length]).toEqual([200, 0]);
    for (const password of [PASSWORD, String(app.json.password)]) {
      const body = { identifier: bob.handle, password };
      const { status, error } = await xrpc(stage.url, "com.atproto.server.createSession", { body });
      expect([status, error]).toEqual([401, "AuthenticationRequired"]);
    }
    const old = await xrpc(stage.url, "com.atproto.server.getSession", { token: bob.accessJwt });
    expect(old.status).toBe(400);
    const refresh = await xrpc(stage.url, "com.atproto.server.refreshSession", {
      method: "POST",
      token: bob.refreshJwt,
    });
    expect(refresh.status).toBe(400);
    const others = await xrpc(stage.url, "com.atproto.server.getSession", { token: stage.alice.accessJwt });
    expect(others.status).toBe(200);
  });
});
