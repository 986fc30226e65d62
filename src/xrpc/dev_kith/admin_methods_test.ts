import { expect, test } from "bun:test";
import type { Account } from "../../accounts/mod.ts";
import { KithError } from "../../errors.ts";
import { callerOf } from "../calls_fixture.ts";
import { adminSocketMethods } from "./admin_methods.ts";

const ALICE = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const NOW = 1_790_000_000_000;

function make(state: Account["state"] = "active") {
  const logged: unknown[] = [];
  const asked: string[] = [];
  const account: Account = {
    did: ALICE,
    handle: "alice.test",
    email: "alice@mail.test",
    emailConfirmedAt: null,
    passwordHash: "",
    state,
  };
  const methods = adminSocketMethods({
    accounts: {
      account: (did) => (did === ALICE ? account : undefined),
      accountByHandle: (handle) => (handle.toLowerCase() === account.handle ? account : undefined),
      accountByEmail: (email) => (email.toLowerCase() === account.email ? account : undefined),
    },
    emailTokens: { create: async (did, purpose) => `${did} ${purpose}` },
    factors: { reset: async (did) => void asked.push(`reset ${did}`) },
    relays: {
      configured: ["https://relay.test"],
      hostname: "pds.test",
      requestCrawl: async (relay, hostname) => {
        asked.push(`${relay} ${hostname}`);
        if (relay.includes("no")) throw new KithError("upstream_failure", "it says no");
      },
    },
    log: { warn: (...words) => void logged.push(words) },
    now: () => NOW,
  });
  const caller = callerOf(methods);
  const call = (name: string, given: { json?: object; params?: Record<string, string>; as?: string }) =>
    caller({ as: "admin", ...given, nsid: `dev.kith.admin.${name}` });
  return { call, logged, asked };
}

test.each([[ALICE], ["alice.test"], ["Alice.Test"], [" @alice.test "], ["ALICE@mail.test"]])(
  "findAccount finds %p",
  async (account) => {
    const answer = await make().call("findAccount", { params: { account } });
    expect(answer).toMatchObject({ status: 200, body: { did: ALICE, handle: "alice.test", active: true } });
  },
);

test.each([
  ["active", 200, { active: true }],
  ["deactivated", 200, { active: false, status: "deactivated" }],
  ["takendown", 200, { active: false, status: "takendown" }],
  ["suspended", 200, { active: false, status: "suspended" }],
  ["creating", 403, { error: "AccountNotFound" }],
  ["deleting", 403, { error: "AccountNotFound" }],
  ["deleted", 403, { error: "AccountNotFound" }],
] as [Account["state"], number, object][])("findAccount of one that is %s", async (state, status, body) => {
  expect(await make(state).call("findAccount", { params: { account: ALICE } })).toMatchObject({
    status,
    body,
  });
});

test.each([["did:plc:nobody"], ["bob.test"], ["bob@mail.test"], ["@"], [""]])(
  "findAccount says that there is no %p",
  async (account) => {
    const answer = await make().call("findAccount", { params: { account } });
    expect(answer).toMatchObject({ status: 403, body: { error: "AccountNotFound" } });
  },
);

test("createEmailCode makes a code, and the log says for whom, what for and by whom", async () => {
  const { call, logged } = make();
  const json = { did: ALICE, purpose: "reset_password", operator: "olga" };
  expect((await call("createEmailCode", { json })).body).toEqual({
    code: `${ALICE} reset_password`,
    expiresAt: new Date(NOW + 15 * 60_000).toISOString(),
  });
  expect(logged).toEqual([
    [
      "The operator made a code for an account",
      { did: ALICE, purpose: "reset_password", operator: "olga", requestId: "test" },
    ],
  ]);
});

test.each([
  [{ did: ALICE, purpose: "party" }, 400, "InvalidRequest"],
  [{ did: "alice.test", purpose: "reset_password" }, 400, "InvalidRequest"],
  [{ did: ALICE }, 400, "InvalidRequest"],
  [{ did: "did:plc:vwzwgnygau7ed7b7wt5ux7y2", purpose: "reset_password" }, 403, "AccountNotFound"],
])("createEmailCode of %j is refused, and not logged", async (json, status, error) => {
  const { call, logged } = make();
  expect(await call("createEmailCode", { json })).toMatchObject({ status, body: { error } });
  expect(logged).toEqual([]);
});

test("createEmailCode of a code to sign in with is valid for a shorter time", async () => {
  const { body } = await make().call("createEmailCode", { json: { did: ALICE, purpose: "second_factor" } });
  expect(body).toMatchObject({ expiresAt: new Date(NOW + 10 * 60_000).toISOString() });
});

test("resetSecondFactor takes the factors away, and the log says whose and by whom", async () => {
  const { call, logged, asked } = make();
  const json = { did: ALICE, operator: "olga" };
  expect((await call("resetSecondFactor", { json })).status).toBe(200);
  expect(asked).toEqual([`reset ${ALICE}`]);
  expect(logged).toMatchObject([
    [expect.stringContaining("second factors"), { did: ALICE, operator: "olga" }],
  ]);
  const nobody = { did: "did:plc:vwzwgnygau7ed7b7wt5ux7y2" };
  const refused = await call("resetSecondFactor", { json: nobody });
  expect(refused).toMatchObject({ status: 403, body: { error: "AccountNotFound" } });
  expect(asked.length).toBe(1);
});

test.each([
  [{}, ["https://relay.test pds.test"], [{ relay: "https://relay.test", accepted: true }]],
  [
    { relays: ["bsky.network", "http://no.test:81/"] },
    ["https://bsky.network pds.test", "http://no.test:81 pds.test"],
    [
      { relay: "https://bsky.network", accepted: true },
      { relay: "http://no.test:81", accepted: false, message: "it says no" },
    ],
  ],
])("requestCrawl of %j asks each relay and tells its answer", async (json, calls, relays) => {
  const { call, asked } = make();
  const { body } = await call("requestCrawl", { json });
  expect(body).toEqual({ hostname: "pds.test", relays });
  expect(asked).toEqual(calls);
});

test.each([["ftp://relay.test"], ["https://relay.test/path"], ["https://a@relay.test"], ["a b"], [""]])(
  "requestCrawl refuses the relay %p",
  async (relay) => {
    const { call, asked } = make();
    const answer = await call("requestCrawl", { json: { relays: ["good.test", relay] } });
    expect(answer).toMatchObject({ status: 400, body: { error: "InvalidRequest" } });
    expect(asked).toEqual([]);
  },
);
