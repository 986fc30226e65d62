import { expect, test } from "bun:test";
import {
  type AnyPlcOperation,
  createGenesis,
  createUpdate,
  generatePrivateKey,
  type PlcState,
  signerFromPrivateKey,
} from "../../../atproto/mod.ts";
import { KithError } from "../../../errors.ts";
import { PlcRefusedError } from "../../../identity/mod.ts";
import { callerOf } from "../../calls_fixture.ts";
import { accountsInEveryState, TestRepos } from "../repos_fixture.ts";
import { plcMethods } from "./plc_methods.ts";

const key = (fill: number) =>
  signerFromPrivateKey("k256", generatePrivateKey("k256", new Uint8Array(32).fill(fill)));
const [OWN, SIGNING, OLD] = [key(1), key(2), key(3)];
const RECOVERY = key(4).didKey;
const DID = "did:plc:deactivated";
const WEB = "did:web:example.com";
const SUBMIT = "com.atproto.identity.submitPlcOperation";
const RECOMMENDED = "com.atproto.identity.getRecommendedDidCredentials";
const SERVICE = { type: "AtprotoPersonalDataServer", endpoint: "https://pds.test" };

const GENESIS = createGenesis({
  signingKey: OLD.didKey,
  rotationKeys: [OLD.didKey],
  handle: "deactivated.old.test",
  pdsEndpoint: "https://old.test",
  signer: OLD,
}).operation;
const GOOD: PlcState = {
  rotationKeys: [OWN.didKey],
  alsoKnownAs: ["at://deactivated.test"],
  verificationMethods: { atproto: SIGNING.didKey },
  services: { atproto_pds: SERVICE },
};
const operationOf = (change: Partial<PlcState> = {}) =>
  createUpdate(GENESIS, { signer: OLD, change: () => ({ ...GOOD, ...change }) });

function setUp() {
  const journal: string[] = [];
  const web = { did: WEB, handle: "example.com", state: "active" as const };
  const repos = new TestRepos([...accountsInEveryState(), web]);
  const state = {
    mood: "accepts" as "accepts" | "refuses" | "silent" | "loses",
    last: GENESIS as AnyPlcOperation,
    recoveryKey: null as string | null,
  };
  const plc = {
    submit: async (did: string, operation: AnyPlcOperation) => {
      if (state.mood === "refuses")
        throw new PlcRefusedError(did, { status: 400, reason: "Invalid signature" });
      if (state.mood === "silent") throw new KithError("upstream_failure", "no answer");
      journal.push(`plc ${did}`);
      state.last = operation;
      if (state.mood === "loses") throw new KithError("upstream_failure", "no answer");
    },
    lastOperation: async () => state.last,
  };
  const accounts = Object.assign(repos, {
    signer: () => SIGNING,
    account: () => ({ recoveryKey: state.recoveryKey }),
  });
  const methods = plcMethods({
    accounts,
    plc,
    dids: { forget: (did) => journal.push(`forget ${did}`) },
    repos: { announceIdentity: async (did) => void journal.push(`announce ${did}`) },
    changes: { exclusively: (_did, task) => task() },
    rotationKeys: [RECOVERY, OWN.didKey],
    publicUrl: "https://pds.test",
  });
  return { call: callerOf(methods), journal, state };
}

test("getRecommendedDidCredentials says what the DID document should say, here", async () => {
  const { call, state } = setUp();
  const { status, body } = await call({ nsid: RECOMMENDED, as: DID });
  expect([status, body]).toEqual([200, { ...GOOD, rotationKeys: [RECOVERY, OWN.didKey] }]);
  const web = await call({ nsid: RECOMMENDED, as: WEB });
  expect(web.body).toEqual({
    alsoKnownAs: ["at://example.com"],
    verificationMethods: { atproto: SIGNING.didKey },
    services: { atproto_pds: SERVICE },
  });
  for (const [recoveryKey, keys] of [
    [SIGNING.didKey, { rotationKeys: [SIGNING.didKey, RECOVERY, OWN.didKey], recoveryKey: SIGNING.didKey }],
    [RECOVERY, { rotationKeys: [RECOVERY, OWN.didKey] }],
  ] as const) {
    state.recoveryKey = recoveryKey;
    expect((await call({ nsid: RECOMMENDED, as: DID })).body).toEqual({ ...GOOD, ...keys });
  }
  expect(await call({ nsid: RECOMMENDED })).toMatchObject({ status: 401 });
});

test.each(["accepts", "loses"] as const)(
  "submitPlcOperation submits, then tells the network, where the directory %s the operation or its answer",
  async (mood) => {
    const { call, journal, state } = setUp();
    state.mood = mood;
    const answer = await call({ nsid: SUBMIT, as: DID, json: { operation: operationOf() } });
    expect([answer.status, answer.bytes.length]).toEqual([200, 0]);
    expect(journal).toEqual([`plc ${DID}`, `forget ${DID}`, `announce ${DID}`]);
  },
);

const { sig: _, ...UNSIGNED } = operationOf();
test.each([
  ["without our rotation key", operationOf({ rotationKeys: [RECOVERY] }), "rotation key"],
  ["without a PDS", operationOf({ services: {} }), "type on atproto_pds"],
  [
    "with another PDS",
    operationOf({ services: { atproto_pds: { ...SERVICE, endpoint: "https://x.test" } } }),
    "endpoint",
  ],
  ["with another type", operationOf({ services: { atproto_pds: { ...SERVICE, type: "x" } } }), "type on"],
  ["with another key", operationOf({ verificationMethods: { atproto: OLD.didKey } }), "signing key"],
  ["without a key", operationOf({ verificationMethods: {} }), "signing key"],
  ["with another handle", operationOf({ alsoKnownAs: ["at://x.test", "at://deactivated.test"] }), "handle"],
  ["without a signature", UNSIGNED, "sig"],
  ["that ends the DID", { type: "plc_tombstone", prev: "x", sig: "x" }, "plc_tombstone"],
  ["that is none", {}, "type"],
])("submitPlcOperation refuses an operation %s", async (_, operation, words) => {
  const { call, journal } = setUp();
  const answer = await call({ nsid: SUBMIT, as: DID, json: { operation } });
  expect(answer).toMatchObject({ status: 400, body: { error: "InvalidRequest" } });
  expect((answer.body as { message: string }).message).toContain(words);
  expect(journal).toEqual([]);
});

test("submitPlcOperation tells nobody of what the directory has not", async () => {
  const { call, journal, state } = setUp();
  for (const [mood, status] of [
    ["refuses", 400],
    ["silent", 502],
  ] as const) {
    state.mood = mood;
    expect((await call({ nsid: SUBMIT, as: DID, json: { operation: operationOf() } })).status).toBe(status);
  }
  const web = await call({ nsid: SUBMIT, as: WEB, json: { operation: operationOf() } });
  expect(web).toMatchObject({ status: 400, body: { error: "InvalidRequest" } });
  expect((await call({ nsid: SUBMIT, as: DID, json: {} })).status).toBe(400);
  expect((await call({ nsid: SUBMIT, json: { operation: operationOf() } })).status).toBe(401);
  expect(journal).toEqual([]);
});
