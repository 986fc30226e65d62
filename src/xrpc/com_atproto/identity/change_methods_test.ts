import { expect, test } from "bun:test";
import { KithError } from "../../../errors.ts";
import { callerOf } from "../../calls_fixture.ts";
import { adminIdentityMethods } from "../admin/identity_methods.ts";
import { signMethods } from "./sign_methods.ts";
import { updateHandleMethod } from "./update_handle.ts";

const ALICE = "did:plc:alice";
const KEY = "did:key:zQ3shok";
const UPDATE = "com.atproto.identity.updateHandle";
const REQUEST = "com.atproto.identity.requestPlcOperationSignature";
const SIGN = "com.atproto.identity.signPlcOperation";
const ADMIN_HANDLE = "com.atproto.admin.updateAccountHandle";
const ADMIN_KEY = "com.atproto.admin.updateAccountSigningKey";

function setUp(failure?: KithError) {
  const journal: unknown[][] = [];
  const logged: unknown[][] = [];
  const tell = (...what: unknown[]): void => void logged.push(what);
  const log = { info: tell, warn: tell, error: tell };
  const note = async (...what: unknown[]): Promise<void> => {
    if (failure) throw failure;
    journal.push(what);
  };
  const changes = {
    updateHandle: (...values: unknown[]) => note("handle", ...values),
    updateSigningKey: (...values: unknown[]) => note("key", ...values),
  };
  const notices = { tell: (did: string, notice: object) => note("notice", did, notice) };
  const signing = {
    requestCode: (did: string) => note("code", did),
    sign: async (did: string, wanted: object) => {
      await note("sign", did, wanted);
      return { type: "plc_operation" as const, sig: "" } as never;
    },
  };
  const methods = [
    updateHandleMethod({ changes, notices, claim: "open" }),
    ...signMethods({ signing }),
    ...adminIdentityMethods({ changes, log }),
  ];
  return { call: callerOf(methods), journal, logged };
}

test("the methods that change an identity hand on what they are asked", async () => {
  const { call, journal } = setUp();
  const calls = [
    { nsid: UPDATE, as: ALICE, json: { handle: "a.test" } },
    { nsid: UPDATE, as: ALICE, scope: "com.atproto.appPass", json: { handle: "Not a handle", more: 1 } },
    { nsid: REQUEST, as: ALICE },
    { nsid: REQUEST, as: ALICE, json: {} },
    { nsid: ADMIN_HANDLE, as: "admin", json: { did: ALICE, handle: "a.test" } },
    { nsid: ADMIN_KEY, as: "admin", json: { did: ALICE, signingKey: KEY } },
  ] as const;
  for (const one of calls) {
    const { status, bytes } = await call(one);
    expect([one.nsid, status, bytes.length]).toEqual([one.nsid, 200, 0]);
  }
  expect(journal).toEqual([
    ["handle", ALICE, "a.test", "open"],
    ["notice", ALICE, { kind: "handle_changed", name: "a.test" }],
    ["handle", ALICE, "Not a handle", "open"],
    ["notice", ALICE, { kind: "handle_changed", name: "Not a handle" }],
    ["code", ALICE],
    ["code", ALICE],
    ["handle", ALICE, "a.test", "admin"],
    ["key", ALICE, KEY],
  ]);
  const wanted = { token: "x", services: {}, verificationMethods: {}, rotationKeys: [], alsoKnownAs: [] };
  const signed = await call({ nsid: SIGN, as: ALICE, json: wanted });
  expect([signed.status, signed.body]).toEqual([200, { operation: { type: "plc_operation", sig: "" } }]);
  expect(journal.at(-1)).toEqual(["sign", ALICE, wanted]);
});

test.each([
  ["nothing", UPDATE, {}],
  ["a handle that is a number", UPDATE, { handle: 1 }],
  ["a list", UPDATE, []],
  ["keys that are a text", SIGN, { rotationKeys: KEY }],
  ["keys that are null", SIGN, { rotationKeys: null }],
  ["aliases that are numbers", SIGN, { alsoKnownAs: [1] }],
  ["a code that is a number", SIGN, { token: 1 }],
  ["no DID", ADMIN_HANDLE, { handle: "a.test" }],
  ["no handle", ADMIN_HANDLE, { did: ALICE }],
  ["a DID that is none", ADMIN_HANDLE, { did: "alice", handle: "a.test" }],
  ["no key", ADMIN_KEY, { did: ALICE }],
  ["a key that is none", ADMIN_KEY, { did: ALICE, signingKey: "key" }],
])("%s is refused by %s", async (_title, nsid, json) => {
  const { call, journal } = setUp();
  const answer = await call({ nsid, as: nsid.includes(".admin.") ? "admin" : ALICE, json });
  expect(answer).toMatchObject({ status: 400, body: { error: "InvalidRequest" } });
  expect(journal).toEqual([]);
});

test("an account that is not here is the admin's mistake, and a caller's end", async () => {
  const { call } = setUp(new KithError("account_not_found", "Account not found"));
  for (const [nsid, json] of [
    [ADMIN_HANDLE, { did: ALICE, handle: "a.test" }],
    [ADMIN_KEY, { did: ALICE, signingKey: KEY }],
  ] as const) {
    expect(await call({ nsid, as: "admin", json })).toMatchObject({
      status: 400,
      body: { error: "InvalidRequest" },
    });
  }
  const answer = await call({ nsid: UPDATE, as: ALICE, json: { handle: "a.test" } });
  expect(answer).toMatchObject({ status: 403, body: { error: "AccountNotFound" } });
});

test.each([
  ["An admin act", undefined, {}],
  ["An admin act that failed", new KithError("busy", "no"), { refused: "busy" }],
])("the admin's changes of identities are in the log: %s", async (message, failure, outcome) => {
  const { call, logged } = setUp(failure);
  await call({ nsid: ADMIN_HANDLE, as: "admin", json: { did: ALICE, handle: "a.test" } });
  await call({ nsid: ADMIN_KEY, as: "admin", json: { did: ALICE, signingKey: KEY } });
  const by = { by: "admin", subject: ALICE, ...outcome };
  expect(logged).toMatchObject([
    [message, { act: ADMIN_HANDLE, handle: "a.test", ...by }],
    [message, { act: ADMIN_KEY, signingKey: KEY, ...by }],
  ]);
});
