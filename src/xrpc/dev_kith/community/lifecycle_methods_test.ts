import { expect, test } from "bun:test";
import { KithError } from "../../../errors.ts";
import type { Community } from "../../../storage/mod.ts";
import { callerOf } from "../../calls_fixture.ts";
import { lifecycleMethods } from "./lifecycle_methods.ts";

const ALICE = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const GROUP = "did:plc:44ybard66vv44zksje25o7dz";
const NOW = 1_790_000_000_000;
const KEY = "did:key:zQ3shqwJEJyMBsBXCWyCBpUBMqxcon9oHB7mCvx4sSpMdLJwc";
const COMMUNITY: Community = {
  ...{ did: GROUP, mode: "adopted", kind: "remote", handle: "group.test", pdsEndpoint: "https://pds.test" },
  ...{ pdsDid: "did:web:pds.test", rotationKey: null, createdBy: ALICE, createdAt: NOW },
};

function make(change: { handle?: string | null } = {}) {
  const asked: unknown[] = [];
  const community = { ...COMMUNITY, ...change };
  const methods = lifecycleMethods({
    attempts: {
      provision: async (caller, request) => {
        asked.push([caller, request]);
        return {
          ...{ attemptId: "a", status: "activated", communityDid: GROUP, handle: "group.test" },
          ...{ pdsEndpoint: "https://pds.test", canDo: ["x"], cannotDo: ["y"] },
        };
      },
      mint: async (caller, request) => {
        asked.push([caller, request]);
        return { attemptId: "a", communityDid: GROUP, canDo: [], cannotDo: [] };
      },
    },
    adoptions: {
      adopt: async (given) => {
        asked.push(given);
        return community;
      },
      reauth: async (_, given) => void asked.push(given),
    },
    consents: {
      askToAdopt: async (given) => {
        asked.push(given);
        return "https://login.test/a";
      },
      askAgain: async (_, given) => {
        asked.push(given);
        return "https://login.test/b";
      },
    },
    healths: { of: async () => ({ status: "healthy", handle: undefined, checks: [] }) },
    deletions: { delete: async () => ({ done: ["a"], remains: ["b"] }) },
    members: {
      require: (communityDid, given) => {
        asked.push([communityDid, given]);
        if (communityDid !== GROUP) throw new KithError("community_not_found", "no");
        const member = { subject: ALICE, role: "owner", canPublish: true, grantedBy: ALICE, grantedAt: NOW };
        return { community, member } as never;
      },
    },
    serviceDid: "did:web:kith.test",
    now: () => NOW,
  });
  const caller = callerOf(methods);
  const call = (name: string, given: Omit<Parameters<typeof caller>[0], "nsid">) =>
    caller({ as: ALICE, ...given, nsid: `dev.kith.community.${name}` });
  return { call, asked };
}

const REQUEST = { idempotencyKey: "12345678", handle: "group.test", rotationKey: KEY };

test("provision hands on what was asked for, whole", async () => {
  const { call, asked } = make();
  const declaration = { collection: "dev.kith.test.group", rkey: "self", record: { name: "x" } };
  const json = {
    ...REQUEST,
    hosting: "stock",
    pdsEndpoint: "https://pds.test",
    email: "a@b.test",
    inviteCode: "c",
    declaration,
  };
  expect(await call("provision", { json })).toMatchObject({ status: 200, body: { communityDid: GROUP } });
  expect(asked).toEqual([[ALICE, json]]);
});

test("provision knows two kinds of hosting", async () => {
  const { call, asked } = make();
  const answer = await call("provision", { json: { ...REQUEST, hosting: "cloud" } });
  expect(answer).toMatchObject({
    status: 400,
    body: { error: "InvalidRequest", message: expect.stringContaining('"cloud"') },
  });
  expect(asked).toEqual([]);
});

test.each([
  ["provision", REQUEST],
  ["mint", { idempotencyKey: "12345678", rotationKey: KEY }],
  ["adopt", { identifier: "a.test", appPassword: "x" }],
  ["reauth", { communityDid: GROUP, appPassword: "x" }],
  ["delete", { communityDid: GROUP }],
])("%s is not for app passwords", async (name, json) => {
  const { call, asked } = make();
  const refused = await call(name, { json, scope: "com.atproto.appPass" });
  expect(refused).toMatchObject({ status: 401, body: { error: "AuthenticationRequired" } });
  expect(asked).toEqual([]);
  expect(await call(name, { json, scope: "com.atproto.appPassPrivileged" })).toMatchObject({ status: 200 });
});

test("adopt tells what can be done, and without an app password where its owner consents", async () => {
  const json = { identifier: "group.test", appPassword: "x" };
  const { body } = await make().call("adopt", { json });
  expect(body).toMatchObject({ communityDid: GROUP, handle: "group.test" });
  const lists = body as { canDo: string[]; cannotDo: string[] };
  expect([lists.canDo.length, lists.cannotDo.length].every((length) => length > 0)).toBe(true);
  expect((await make({ handle: null }).call("adopt", { json })).body).not.toHaveProperty("handle");
  for (const appPassword of [undefined, ""]) {
    const answer = await make().call("adopt", { json: { identifier: "group.test", appPassword } });
    expect(answer).toMatchObject({ status: 200, body: { authorizeUrl: "https://login.test/a" } });
    expect(answer.body).not.toHaveProperty("communityDid");
  }
});

test("reauth takes an app password, or tells where its owner consents", async () => {
  const { call, asked } = make();
  const json = { communityDid: GROUP };
  expect((await call("reauth", { json: { ...json, appPassword: "x" } })).body).toEqual({ status: "healthy" });
  const { body } = await call("reauth", { json });
  expect(body).toEqual({ status: "consentNeeded", authorizeUrl: "https://login.test/b" });
  expect(asked).toContainEqual({ caller: ALICE });
});

test("who may look, give another app password, and end it", async () => {
  const { call, asked } = make();
  const params = { communityDid: GROUP };
  expect((await call("getHealth", { params })).body).toEqual({
    status: "healthy",
    checks: [],
    checkedAt: new Date(NOW).toISOString(),
  });
  await call("reauth", { json: { ...params, appPassword: "x" } });
  expect((await call("delete", { json: params })).body).toEqual({ done: ["a"], remains: ["b"] });
  const rights = asked.flatMap((one) => (Array.isArray(one) ? [one[1].right] : []));
  expect(rights).toEqual(["see", "own", "own"]);
  const strange = await call("delete", { json: { communityDid: ALICE } });
  expect(strange).toMatchObject({ status: 400, body: { error: "CommunityNotFound" } });
});
