import { expect, test } from "bun:test";
import { cidOfCbor, cidToString } from "../../../atproto/mod.ts";
import { callerOf } from "../../calls_fixture.ts";
import { statusMethods } from "./status_methods.ts";

const ALICE = "did:plc:alice";
const CID = cidOfCbor(Uint8Array.of(0xa0));
const HEAD = { commit: CID, data: CID, rev: "3l4xy3pkkis2a" };

function make({ head = HEAD as typeof HEAD | null, validDid = true } = {}) {
  const calls: unknown[][] = [];
  const names = { did: ALICE, handle: "alice.test", email: null, emailConfirmedAt: null, passwordHash: "" };
  const call = callerOf(
    statusMethods({
      accounts: { account: () => ({ ...names, state: "deactivated" }) },
      status: {
        activate: async (did) => void calls.push(["activate", did]),
        deactivate: async (did, options) => void calls.push(["deactivate", did, options]),
        isDidValid: async () => validDid,
      },
      repos: {
        readDurable: async (_did, read) =>
          read({
            state: () => ({ head }),
            counts: () => ({ blocks: 5, records: 3, expectedBlobs: 2, importedBlobs: 1 }),
          }),
      },
    }),
  );
  return { calls, call: (name: string, json?: unknown, as?: string) => call({ nsid: nsid(name), json, as }) };
}

const nsid = (name: string) => `com.atproto.server.${name}`;

test("checkAccountStatus answers all nine fields", async () => {
  const { call } = make();
  expect((await call("checkAccountStatus", undefined, ALICE)).body).toEqual({
    activated: false,
    validDid: true,
    repoCommit: cidToString(CID),
    repoRev: HEAD.rev,
    repoBlocks: 5,
    indexedRecords: 3,
    privateStateValues: 0,
    expectedBlobs: 2,
    importedBlobs: 1,
  });
  const invalid = await make({ validDid: false }).call("checkAccountStatus", undefined, ALICE);
  expect(invalid.body).toMatchObject({ validDid: false });
  expect((await make({ head: null }).call("checkAccountStatus", undefined, ALICE)).status).toBe(500);
});

test("activateAccount and deactivateAccount hand on what is asked, and answer nothing", async () => {
  const { call, calls } = make();
  expect(await call("activateAccount", undefined, ALICE)).toMatchObject({ status: 200, body: undefined });
  expect((await call("deactivateAccount", {}, ALICE)).status).toBe(200);
  const input = { deleteAfter: "1970-01-01T00:00:05Z" };
  expect((await call("deactivateAccount", input, ALICE)).status).toBe(200);
  expect(calls).toEqual([
    ["activate", ALICE],
    ["deactivate", ALICE, {}],
    ["deactivate", ALICE, { deleteAfter: 5_000 }],
  ]);
});

test.each([{ deleteAfter: "tomorrow" }, { deleteAfter: 5 }, "now"])(
  "deactivateAccount refuses %j",
  async (input) => {
    const { call, calls } = make();
    const answer = await call("deactivateAccount", input, ALICE);
    expect(answer).toMatchObject({ status: 400, body: { error: "InvalidRequest" } });
    expect(calls).toEqual([]);
  },
);

test.each(["activateAccount", "deactivateAccount", "checkAccountStatus"])(
  "%s needs a session",
  async (name) => {
    const answer = await make().call(name, name === "deactivateAccount" ? {} : undefined);
    expect(answer).toMatchObject({ status: 401, body: { error: "AuthMissing" } });
  },
);
