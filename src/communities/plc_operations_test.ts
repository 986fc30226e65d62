import { describe, expect, test } from "bun:test";
import {
  cidOfOperation,
  createUpdate,
  decodeCbor,
  type PlcLogEntry,
  type PlcOperation,
  plcStateOf,
  signerFromPrivateKey,
  validateLog,
  validateOperation,
} from "../atproto/mod.ts";
import type { RecommendedCredentials } from "./hosts/host.ts";
import {
  buildGenesis,
  buildMint,
  buildTombstone,
  buildUpdate,
  checkRotationKey,
  operationFrom,
} from "./plc_operations.ts";

const key = (byte: number, type: "k256" | "p256" = "k256") =>
  signerFromPrivateKey(type, new Uint8Array(32).fill(byte));
const R = key(1);
const C = key(2, "p256");
const S = key(3);
const PDS = key(4);
const SIGNING = key(5);
const ENDPOINT = "https://pds.test";
const HANDLE = "group.pds.test";
const NOW_MS = Date.parse("2026-11-01T00:00:00Z");

const { did, genesis } = buildGenesis({
  rotationKey: R.didKey,
  subordinate: C,
  signingKey: S.didKey,
  handle: HANDLE,
  pdsEndpoint: ENDPOINT,
});
const first = operationFrom(genesis);

function entry(operation: PlcOperation, minute = 0): PlcLogEntry {
  const createdAt = new Date(NOW_MS + minute * 60_000).toISOString();
  return { did, operation, cid: cidOfOperation(operation), nullified: false, createdAt };
}

const USUAL = {
  rotationKeys: [PDS.didKey],
  alsoKnownAs: [`at://${HANDLE}`],
  verificationMethods: { atproto: SIGNING.didKey },
  services: { atproto_pds: { type: "AtprotoPersonalDataServer", endpoint: ENDPOINT } },
} satisfies RecommendedCredentials;

function update(recommended: unknown, log: readonly PlcLogEntry[] = [entry(first)]): PlcOperation {
  return operationFrom(
    buildUpdate({
      ...{ did, log, rotationKey: R.didKey, subordinate: C, handle: HANDLE, endpoint: ENDPOINT },
      recommended: recommended as RecommendedCredentials,
      nowMs: NOW_MS + 3_600_000,
    }),
  );
}

const pds = (change: object) => ({
  ...USUAL,
  services: { atproto_pds: { ...USUAL.services.atproto_pds, ...change } },
});
const upstream = expect.objectContaining({ code: "upstream_failure" });

describe("buildGenesis()", () => {
  test("puts the caller's key first and signs with the one below it", () => {
    expect(plcStateOf(first)).toEqual({
      rotationKeys: [R.didKey, C.didKey],
      verificationMethods: { atproto: S.didKey },
      alsoKnownAs: [`at://${HANDLE}`],
      services: { atproto_pds: { type: "AtprotoPersonalDataServer", endpoint: ENDPOINT } },
    });
    expect(validateOperation([], first, { did, nowMs: NOW_MS }).nullified).toEqual([]);
  });
});

describe("buildMint()", () => {
  test("fault 18: takes its own key out again", () => {
    const mint = buildMint({ rotationKey: R.didKey, handle: null, signer: C });
    const log = [mint.genesis, mint.update].map((bytes, i) => ({
      ...entry(operationFrom(bytes), i),
      did: mint.did,
    }));
    expect(validateLog(log, { did: mint.did })).toEqual({
      rotationKeys: [R.didKey],
      verificationMethods: {},
      alsoKnownAs: [],
      services: {},
    });
    const last = operationFrom(mint.update);
    const byOurs = buildTombstone(last, C).operation;
    expect(() => validateOperation(log, byOurs, { did: mint.did, nowMs: NOW_MS })).toThrow("rotation key");
  });
});

describe("buildUpdate()", () => {
  test("adds the host's keys behind ours, and takes what it recommends as it is written", () => {
    const operation = update({
      ...pds({ endpoint: `${ENDPOINT}/` }),
      alsoKnownAs: [`at://${HANDLE.toUpperCase()}`],
    });
    expect(plcStateOf(operation)).toEqual({
      rotationKeys: [R.didKey, C.didKey, PDS.didKey],
      verificationMethods: { atproto: SIGNING.didKey },
      alsoKnownAs: [`at://${HANDLE}`],
      services: { atproto_pds: { type: "AtprotoPersonalDataServer", endpoint: `${ENDPOINT}/` } },
    });
  });

  test("fault 9: keeps services and keys of others, and takes none but its own from the host", () => {
    const services = { atproto_space_host: { type: "AtprotoSpaceHost", endpoint: "https://spaces.test" } };
    const byOwner = createUpdate(first, {
      signer: R,
      change: (state) => ({
        ...state,
        services: { ...state.services, ...services },
        verificationMethods: { ...state.verificationMethods, label: S.didKey },
      }),
    });
    const recommended = {
      ...USUAL,
      services: { ...USUAL.services, evil: { type: "Evil", endpoint: "https://evil.test" } },
      verificationMethods: { ...USUAL.verificationMethods, evil: PDS.didKey },
    };
    const state = plcStateOf(update(recommended, [entry(first), entry(byOwner, 1)]));
    expect(state?.services).toEqual({ ...services, ...USUAL.services });
    expect(state?.verificationMethods).toEqual({ label: S.didKey, atproto: SIGNING.didKey });
  });

  test.each<[string, unknown]>([
    ["no keys", { ...USUAL, rotationKeys: undefined }],
    ["an empty list of keys", { ...USUAL, rotationKeys: [] }],
    ["keys that are no list", { ...USUAL, rotationKeys: "did:key:z" }],
    ["a key that is no text", { ...USUAL, rotationKeys: [5] }],
    ["the caller's key", { ...USUAL, rotationKeys: [R.didKey] }],
    ["our key", { ...USUAL, rotationKeys: [PDS.didKey, C.didKey] }],
    ["a key twice", { ...USUAL, rotationKeys: [PDS.didKey, PDS.didKey] }],
    ["a malformed key", { ...USUAL, rotationKeys: ["did:key:zQ3shNo"] }],
    ["more keys than fit", { ...USUAL, rotationKeys: [4, 6, 7, 8].map((byte) => key(byte).didKey) }],
    ["another handle", { ...USUAL, alsoKnownAs: ["at://evil.test"] }],
    ["another handle too", { ...USUAL, alsoKnownAs: [`at://${HANDLE}`, "at://evil.test"] }],
    ["another handle first", { ...USUAL, alsoKnownAs: ["at://evil.test", `at://${HANDLE}`] }],
    ["no handle", { ...USUAL, alsoKnownAs: [] }],
    ["no signing key", { ...USUAL, verificationMethods: {} }],
    ["a malformed signing key", { ...USUAL, verificationMethods: { atproto: "z" } }],
    ["the caller's key to sign", { ...USUAL, verificationMethods: { atproto: R.didKey } }],
    ["our key to sign", { ...USUAL, verificationMethods: { atproto: C.didKey } }],
    ["no service", { ...USUAL, services: {} }],
    ["a service of another type", pds({ type: "Evil" })],
    ["another endpoint", pds({ endpoint: "https://evil.test" })],
    ["the endpoint below another name", pds({ endpoint: "https://pds.test.evil.test" })],
    ["fault 13: an endpoint of http", pds({ endpoint: "http://pds.test" })],
    ["fault 13: an endpoint with a port", pds({ endpoint: "https://pds.test:8443" })],
    ["fault 13: an endpoint with a dot at its end", pds({ endpoint: "https://pds.test." })],
    ["fault 13: an endpoint of no origin", pds({ endpoint: "data:text/plain,x" })],
    ["an endpoint with a path", pds({ endpoint: "https://pds.test/evil" })],
    ["an endpoint with a query", pds({ endpoint: "https://pds.test/?evil" })],
    ["an endpoint with a user", pds({ endpoint: "https://evil@pds.test" })],
    ["an endpoint that is none", pds({ endpoint: "pds.test" })],
    ["an endpoint that is no text", pds({ endpoint: 5 })],
    ["an endless endpoint", pds({ endpoint: `https://pds.test/${" ".repeat(300)}` })],
    ["nothing", {}],
  ])("refuses a host that recommends %s", (_, recommended) => {
    expect(() => update(recommended)).toThrow(upstream);
  });

  test("does not go against the owner's key", () => {
    const byOwner = createUpdate(first, {
      signer: R,
      change: (state) => ({ ...state, rotationKeys: [R.didKey] }),
    });
    expect(() => update(USUAL, [entry(first), entry(byOwner, 1)])).toThrow("changed by somebody else");
    const { operation } = buildTombstone(first, R);
    const ended = { ...entry(first), operation, cid: cidOfOperation(operation) };
    expect(() => update(USUAL, [entry(first), ended])).toThrow("given up");
    expect(() => update(USUAL, [])).toThrow("not in the PLC directory");
  });

  test("is what a directory takes", () => {
    const log = [entry(first), entry(update(USUAL), 1)];
    expect(validateLog(log, { did })?.rotationKeys[0]).toBe(R.didKey);
  });
});

test("fault 17: buildTombstone() makes what the caller's key can take back, and no other", () => {
  const { operation, cid } = buildTombstone(first, C);
  expect(cidOfOperation(operation)).toBe(cid);
  const ended = { ...entry(first, 1), operation, cid };
  const restore = (signer: typeof R) =>
    createUpdate(first, { signer, change: (state) => ({ ...state, rotationKeys: [R.didKey] }) });
  const judge = (signer: typeof R, hours: number) =>
    validateOperation([entry(first), ended], restore(signer), { did, nowMs: NOW_MS + hours * 3_600_000 });
  expect(judge(R, 71).nullified).toEqual([cid]);
  expect(() => judge(C, 1)).toThrow("above");
  expect(() => judge(R, 73)).toThrow("72 hours");
});

test("checkRotationKey() takes K-256 and P-256, and no key of this server", () => {
  for (const type of ["k256", "p256"] as const) checkRotationKey(key(9, type).didKey, { not: [PDS.didKey] });
  for (const text of [
    "",
    "did:key:z",
    "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK",
    PDS.didKey,
  ]) {
    expect(() => checkRotationKey(text, { not: [PDS.didKey] })).toThrow(
      expect.objectContaining({ code: "invalid_request" }),
    );
  }
});

test("operationFrom() reads what was stored, and nothing else", () => {
  expect(decodeCbor(genesis)).toEqual(first as never);
  expect(() => operationFrom(Uint8Array.of(0xa0))).toThrow();
});
