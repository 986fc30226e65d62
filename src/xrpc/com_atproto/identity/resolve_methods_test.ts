import { expect, test } from "bun:test";
import { KithError } from "../../../errors.ts";
import { callerOf } from "../../calls_fixture.ts";
import { resolveMethods } from "./resolve_methods.ts";

const ALICE = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
const LIAR = "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb";
const NAMELESS = "did:plc:cccccccccccccccccccccccc";
const GONE = "did:plc:dddddddddddddddddddddddd";
const DARK = "did:plc:eeeeeeeeeeeeeeeeeeeeeeee";
const DOCUMENTS: Record<string, { id: string; alsoKnownAs?: string[] }> = {
  [ALICE]: { id: ALICE, alsoKnownAs: ["at://alice.test"] },
  [LIAR]: { id: LIAR, alsoKnownAs: ["at://alice.test"] },
  [NAMELESS]: { id: NAMELESS },
  [DARK]: { id: DARK, alsoKnownAs: ["at://dark.test"] },
};
const HANDLES: Record<string, string> = { "alice.test": ALICE, "liar.test": LIAR, "gone.test": GONE };
const asked: boolean[] = [];

const call = callerOf(
  resolveMethods({
    dids: {
      resolve: async (did, { fresh = false } = {}) => {
        asked.push(fresh);
        if (did === GONE) throw new KithError("did_deactivated", "it was given up");
        const document = DOCUMENTS[did];
        if (document) return document;
        throw new KithError("did_not_found", "there is none");
      },
    },
    handles: {
      resolve: async (handle) => {
        if (handle === "dark.test") throw new KithError("upstream_failure", "no answer");
        return HANDLES[handle];
      },
    },
  }),
);
const identity = (identifier: string) =>
  call({ nsid: "com.atproto.identity.resolveIdentity", params: { identifier } });

test("resolveDid gives the document", async () => {
  const { status, body } = await call({ nsid: "com.atproto.identity.resolveDid", params: { did: LIAR } });
  expect([status, body]).toEqual([200, { didDoc: DOCUMENTS[LIAR] }]);
});

test.each([
  [ALICE, { did: ALICE, handle: "alice.test" }],
  ["ALICE.test", { did: ALICE, handle: "alice.test" }],
  [LIAR, { did: LIAR, handle: "handle.invalid" }],
  ["liar.test", { did: LIAR, handle: "handle.invalid" }],
  [NAMELESS, { did: NAMELESS, handle: "handle.invalid" }],
  [DARK, { did: DARK, handle: "handle.invalid" }],
])(
  "resolveIdentity of %s shows a handle only where both lead to each other",
  async (identifier, expected) => {
    const { status, body } = await identity(identifier);
    expect([status, body]).toEqual([200, { ...expected, didDoc: DOCUMENTS[expected.did] }]);
  },
);

test.each([
  ["nobody.test", 400, "HandleNotFound"],
  ["did:plc:zzzzzzzzzzzzzzzzzzzzzzzz", 400, "DidNotFound"],
  [GONE, 400, "DidDeactivated"],
  ["gone.test", 400, "DidDeactivated"],
  ["dark.test", 502, "UpstreamFailure"],
  ["not a name", 400, "InvalidRequest"],
])("resolveIdentity of %s answers %d %s", async (identifier, status, error) => {
  const answer = await identity(identifier);
  expect([answer.status, (answer.body as { error: string }).error]).toEqual([status, error]);
});

test("refreshIdentity asks anew, for accounts of this server", async () => {
  const nsid = "com.atproto.identity.refreshIdentity";
  const json = { identifier: "alice.test" };
  expect((await call({ nsid, json })).status).toBe(401);
  asked.length = 0;
  const { status, body } = await call({ nsid, json, as: ALICE });
  expect([status, body]).toEqual([200, { did: ALICE, handle: "alice.test", didDoc: DOCUMENTS[ALICE] }]);
  expect(asked).toEqual([true]);
});
