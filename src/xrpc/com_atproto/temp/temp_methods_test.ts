import { expect, test } from "bun:test";
import { HandleAvailability, HandleRules } from "../../../accounts/mod.ts";
import { callerOf, type TestCall } from "../../calls_fixture.ts";
import { accountsInEveryState } from "../repos_fixture.ts";
import { tempMethods } from "./temp_methods.ts";

const NSID = "com.atproto.temp.";

function setUp() {
  const done: string[] = [];
  const logged: unknown[][] = [];
  const tell = (...what: unknown[]): void => void logged.push(what);
  const accounts = accountsInEveryState();
  const handles = new HandleRules([".test"]);
  const byIdentifier = (identifier: string) =>
    accounts.find(({ did, handle }) => did === identifier || handle === identifier);
  const call = callerOf(
    tempMethods({
      accounts: { byIdentifier },
      availability: new HandleAvailability({
        handles,
        accounts: { accountByHandle: (handle) => byIdentifier(handle) as never },
      }),
      handles,
      reservedHandles: { add: async (name, { now }) => done.push(`reserved ${name} at ${now}`) },
      credentials: { revokeAll: async (did) => void done.push(`revoked ${did}`) },
      log: { info: tell, warn: tell, error: tell },
      now: () => 7,
    }),
  );
  return {
    done,
    logged,
    call: (name: string, more: Partial<TestCall>) => call({ nsid: NSID + name, ...more }),
  };
}

test.each([
  ["active", ["revoked did:plc:active"]],
  ["deactivated", ["revoked did:plc:deactivated"]],
  ["takendown", ["revoked did:plc:takendown"]],
  ["suspended", ["revoked did:plc:suspended"]],
  ["creating", undefined],
  ["deleting", undefined],
  ["deleted", undefined],
  ["nobody", undefined],
])("revokeAccountCredentials of an account that is %s: %j", async (name, expected) => {
  for (const account of [`did:plc:${name}`, `${name}.test`, `${name.toUpperCase()}.test`]) {
    const { call, done } = setUp();
    const { status, body } = await call("revokeAccountCredentials", { as: "admin", json: { account } });
    expect([status, done]).toEqual(expected ? [200, expected] : [400, []]);
    if (!expected) expect(body).toMatchObject({ error: "InvalidRequest" });
  }
});

test("what the admin does is in the log", async () => {
  const { call, logged } = setUp();
  await call("addReservedHandle", { as: "admin", json: { handle: "brand" } });
  await call("revokeAccountCredentials", { as: "admin", json: { account: "did:plc:nobody" } });
  expect(logged).toMatchObject([
    ["An admin act", { act: `${NSID}addReservedHandle`, by: "admin", handle: "brand" }],
    ["An admin act that failed", { act: `${NSID}revokeAccountCredentials`, subject: "did:plc:nobody" }],
  ]);
});

test("a handle is as free as a sign-up would find it, in whatever state the account is that has it", async () => {
  const { call } = setUp();
  for (const { handle, state } of accountsInEveryState()) {
    const { body } = await call("checkHandleAvailability", { params: { handle } });
    expect([state, body]).toMatchObject([
      state,
      { handle, result: { $type: `${NSID}checkHandleAvailability#resultUnavailable` } },
    ]);
  }
  const { body } = await call("checkHandleAvailability", { params: { handle: "free.test", email: "" } });
  expect(body).toMatchObject({ result: { $type: `${NSID}checkHandleAvailability#resultAvailable` } });
});

test("addReservedHandle keeps the normal form of a name", async () => {
  const { call, done } = setUp();
  for (const handle of ["Brand", "Brand.TEST"]) {
    expect((await call("addReservedHandle", { as: "admin", json: { handle } })).body).toEqual({});
  }
  expect(done).toEqual(["reserved brand at 7", "reserved brand.test at 7"]);
});

test.each([
  ["requestPhoneVerification", { json: { phoneNumber: "+15550100" } }, 501, "MethodNotImplemented"],
  ["dereferenceScope", { params: { scope: "ref:x" } }, 400, "InvalidScopeReference"],
])("%s goes to nobody else", async (name, more, status, error) => {
  const answer = await setUp().call(name, more);
  expect([answer.status, answer.body]).toMatchObject([status, { error }]);
});
