import { describe, expect, test } from "bun:test";
import * as reference from "@did-plc/lib";
import { highSOf } from "../../tests/high_s.ts";
import { hasVectors, vectorJson, vectorNames } from "../../tests/vectors.ts";
import { isKithError } from "../errors.ts";
import { signerFromPrivateKey } from "./keys/mod.ts";
import {
  type AnyPlcOperation,
  cidOfOperation,
  createGenesis,
  createTombstone,
  createUpdate,
  didOfGenesis,
  type PlcLogEntry,
  type PlcOperation,
  parsePlcOperation,
  plcStateOf,
  plcStateToDidDocument,
  signOperation,
  validateLog,
  validateOperation,
  withHandle,
} from "./plc.ts";
import type { Signer } from "./signer.ts";

const FOLDER = "did-method-plc/audit_log";
describe.skipIf(!hasVectors(FOLDER))("PLC audit logs", () => {
  const names = (kind: string): string[] => (hasVectors(FOLDER) ? vectorNames(`${FOLDER}/${kind}`) : []);

  test.each(names("valid"))("validateLog() accepts %s", (name) => {
    const log = vectorJson<PlcLogEntry[]>(`${FOLDER}/valid/${name}`);
    const state = validateLog(log, { did: log[0]!.did });
    expect(state === null).toBe(name === "log_tombstone.json");
    if (state) expect(plcStateToDidDocument(log[0]!.did, state).id).toBe(log[0]!.did);
  });

  test.each(names("invalid"))("validateLog() refuses %s", (name) => {
    const log = vectorJson<PlcLogEntry[]>(`${FOLDER}/invalid/${name}`);
    expect(() => validateLog(log, { did: log[0]!.did })).toThrow("Could not accept the PLC operation");
  });

  test.each(names("valid"))("validateLog() refuses %s once anything in it is changed", (name) => {
    const log = vectorJson<PlcLogEntry[]>(`${FOLDER}/valid/${name}`);
    const did = log[0]!.did;
    const refused = (changed: PlcLogEntry[]): void => {
      expect(() => validateLog(changed, { did })).toThrow("Could not accept the PLC operation");
    };
    log.forEach((entry, i) => {
      refused(log.with(i, { ...entry, nullified: !entry.nullified }));
      refused(log.with(i, { ...entry, did: "did:plc:other" }));
      refused(log.with(i, { ...entry, cid: log.at(i - 1)!.cid.replace(/.$/, "a") }));
      const unsigned = { ...entry.operation, sig: log.at(i - 1)!.operation.sig.replace(/^./, "-") };
      refused(log.with(i, { ...entry, operation: unsigned, cid: cidOfOperation(unsigned) }));
    });
    expect(() => validateLog(log, { did: `${did.slice(0, -1)}a` })).toThrow();
  });
});

const NOW = Date.parse("2026-08-20T12:00:00Z");
const HOUR = 3_600_000;
const keys = [1, 2, 3].map((fill) => signerFromPrivateKey("k256", new Uint8Array(32).fill(fill))) as [
  Signer,
  Signer,
  Signer,
];
const [strong, middle, weak] = keys;
const p256 = signerFromPrivateKey("p256", new Uint8Array(32).fill(4));
const GENESIS = {
  signingKey: p256.didKey,
  rotationKeys: keys.map(({ didKey }) => didKey),
  handle: "alice.example.com",
  pdsEndpoint: "https://pds.example.com",
  signer: weak,
};
const { did, operation: genesis } = createGenesis(GENESIS);

/** A log of operations accepted one after another, at the given hours. */
function logOf(...steps: [operation: AnyPlcOperation, hour: number][]): PlcLogEntry[] {
  let log: PlcLogEntry[] = [];
  for (const [operation, hour] of steps) {
    const nowMs = NOW + hour * HOUR;
    const { cid, nullified } = validateOperation(log, operation, { did, nowMs });
    const createdAt = new Date(nowMs).toISOString();
    log = log.map((entry) => (nullified.includes(entry.cid) ? { ...entry, nullified: true } : entry));
    log.push({ did, operation, cid, nullified: false, createdAt });
  }
  return log;
}

function problem(log: PlcLogEntry[], operation: unknown, hour = 0): string {
  try {
    validateOperation(log, operation, { did, nowMs: NOW + hour * HOUR });
    return "accepted";
  } catch (error) {
    if (isKithError(error, "invalid_request")) return error.message;
    throw error;
  }
}

const rename = (last: PlcOperation, signer: Signer, handle = "bob.example.com"): PlcOperation =>
  createUpdate(last, { signer, change: (state) => withHandle(state, handle) });

test("createGenesis() makes the operation and the DID that the reference makes", async () => {
  expect(did).toMatch(/^did:plc:[a-z2-7]{24}$/);
  expect(didOfGenesis(genesis)).toBe(did);
  expect(await reference.didForCreateOp(genesis as never)).toBe(did);
  const data = await reference.validateOperationLog(did, [genesis as never]);
  expect(data?.verificationMethods).toEqual({ atproto: p256.didKey });
  expect(data?.alsoKnownAs).toEqual(["at://alice.example.com"]);
});

test.each([strong, p256])("updates and a tombstone are what the reference accepts: %#", async (signer) => {
  const first = createGenesis({ ...GENESIS, rotationKeys: [signer.didKey], signer });
  const update = rename(first.operation, signer);
  const tombstone = createTombstone(update, { signer });
  expect(await reference.validateOperationLog(first.did, [first.operation, update] as never)).toMatchObject({
    alsoKnownAs: ["at://bob.example.com"],
  });
  expect(
    await reference.validateOperationLog(first.did, [first.operation, update, tombstone] as never),
  ).toBeNull();
});

test("validateOperation() accepts a chain, and validateLog() its log", () => {
  const update = rename(genesis, strong);
  const log = logOf([genesis, 0], [update, 1], [createTombstone(update, { signer: middle }), 2]);
  expect(validateLog(log.slice(0, 2), { did })?.alsoKnownAs).toEqual(["at://bob.example.com"]);
  expect(validateLog(log, { did })).toBeNull();
  const after = signOperation({ ...update, prev: log[2]!.cid }, strong);
  expect(problem(log, after, 3)).toContain("nothing follows a tombstone");
});

test("a stronger key overrides a weaker one for 72 hours, to the millisecond", () => {
  const taken = rename(genesis, weak, "mallory.example.com");
  const more = rename(taken, weak, "mallory2.example.com");
  const log = logOf([genesis, 0], [taken, 10], [more, 60]);
  const rescue = rename(genesis, middle, "alice2.example.com");
  const verdict = validateOperation(log, rescue, { did, nowMs: NOW + 82 * HOUR });
  expect(verdict).toEqual({
    cid: cidOfOperation(rescue),
    nullified: [cidOfOperation(taken), cidOfOperation(more)],
  });
  expect(() => validateOperation(log, rescue, { did, nowMs: NOW + 82 * HOUR + 1 })).toThrow("72 hours");
  const settled = logOf([genesis, 0], [taken, 10], [more, 60], [rescue, 70]);
  expect(settled.map(({ nullified }) => nullified)).toEqual([false, true, true, false]);
  expect(validateLog(settled, { did })?.alsoKnownAs).toEqual(["at://alice2.example.com"]);
  expect(problem(settled, rename(more, weak), 71)).toContain("not in the present log");
});

test("an equal or weaker key overrides nothing", () => {
  const log = logOf([genesis, 0], [rename(genesis, middle), 1]);
  for (const signer of [middle, weak]) {
    expect(problem(log, rename(genesis, signer, "x.example.com"), 2)).toContain("takes a rotation key above");
  }
  expect(problem(log, rename(genesis, strong, "x.example.com"), 2)).toBe("accepted");
});

test("a tombstone can be overridden, and can override", () => {
  const log = logOf(
    [genesis, 0],
    [createTombstone(genesis, { signer: weak }), 1],
    [rename(genesis, middle), 2],
  );
  expect(log.map(({ nullified }) => nullified)).toEqual([false, true, false]);
  const end = createTombstone(genesis, { signer: strong });
  expect(validateOperation(log, end, { did, nowMs: NOW + 3 * HOUR }).nullified).toEqual([log[2]!.cid]);
});

test.each<[string, unknown, string]>([
  ["a stranger's signature", rename(genesis, p256), "not signed by a rotation key"],
  ["another prev", signOperation({ ...genesis, prev: "bafyreih" }, strong), "not in the present log"],
  ["a second genesis", genesis, "not in the present log"],
  ["no signature", { ...genesis, sig: undefined }, '"sig" is missing'],
  ["an unknown field", { ...genesis, extra: 1 }, '"extra" is no field'],
  ["an unknown type", { ...genesis, type: "plc_other" }, "its type is"],
  ["no object", [], "not an object"],
  ["a service without type", { ...genesis, services: { a: { endpoint: "x" } } }, '"services"'],
  ["a lone surrogate", { ...genesis, alsoKnownAs: ["\ud800"] }, "cannot be encoded"],
  [
    "the legacy type",
    { type: "create", signingKey: "", recoveryKey: "", handle: "", service: "", prev: null, sig: "" },
    "read, not written",
  ],
])("validateOperation() refuses %s", (_, operation, why) => {
  expect(problem(logOf([genesis, 0]), operation)).toContain(why);
});

const changed = (change: object): PlcOperation =>
  signOperation({ ...genesis, prev: cidOfOperation(genesis), ...change }, strong);
const many = (count: number): string[] => Array.from({ length: count }, (_, i) => `at://a${i}.test`);
const methods = (count: number): object =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, p256.didKey]));

test.each<[object, string]>([
  [{ rotationKeys: [] }, "no rotation key"],
  [{ rotationKeys: [strong.didKey, strong.didKey] }, "repeats a rotation key"],
  [{ rotationKeys: ["did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"] }, "is not supported"],
  [{ rotationKeys: many(6) }, "6 rotationKeys: 5 at most"],
  [{ verificationMethods: methods(10) }, "accepted"],
  [{ verificationMethods: methods(11) }, "11 verificationMethods: 10 at most"],
  [{ verificationMethods: { a: "did:web:a.test" } }, "is not a did:key"],
  [{ verificationMethods: { a: "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK" } }, "accepted"],
  [{ alsoKnownAs: many(11) }, "11 alsoKnownAs: 10 at most"],
  [{ alsoKnownAs: ["at://a.test", "at://a.test"] }, "repeats an alias"],
  [{ alsoKnownAs: [`at://${"a".repeat(254)}`] }, "259 characters"],
  [{ services: { ["s".repeat(33)]: { type: "t", endpoint: "e" } } }, "33 characters"],
  [{ services: { s: { type: "t".repeat(97), endpoint: "e" } } }, "97 characters"],
  [{ services: { s: { type: "t", endpoint: "e".repeat(257) } } }, "257 characters"],
  [{ alsoKnownAs: ["x".repeat(7500)] }, "larger than 7500 bytes"],
  [{ verificationMethods: {}, alsoKnownAs: [], services: {} }, "accepted"],
])("validateOperation() bounds what a new operation says: %#", (change, why) => {
  expect(problem(logOf([genesis, 0]), changed(change))).toContain(why);
});

test("validateOperation() takes one spelling of a signature only", () => {
  const log = logOf([genesis, 0]);
  const good = rename(genesis, strong);
  const bytes = Buffer.from(good.sig, "base64url");
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const trailing = good.sig.slice(0, -1) + alphabet[alphabet.indexOf(good.sig.at(-1) as string) + 1];
  const standard = bytes.toString("base64").replace(/=+$/, "");
  const spellings = [`${good.sig}==`, `${good.sig}\n`, ` ${good.sig}`, trailing, good.sig.slice(0, -1), ""];
  if (standard !== good.sig) spellings.push(standard);
  for (const sig of spellings) expect(problem(log, { ...good, sig })).toContain("base64url without padding");
  const high = Buffer.from(highSOf("k256", bytes)).toString("base64url");
  expect(problem(log, { ...good, sig: high })).toContain("not signed by a rotation key");
  expect(problem(log, good)).toBe("accepted");
});

test("a genesis must make the DID that it is sent for, be signed by its own key, and come first", () => {
  expect(problem([], genesis)).toBe("accepted");
  expect(() =>
    validateOperation([], genesis, { did: "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", nowMs: NOW }),
  ).toThrow(`it makes "${did}"`);
  expect(problem([], createGenesis({ ...GENESIS, signer: p256 }).operation)).toContain("not signed");
  expect(problem([], rename(genesis, strong))).toContain("the first operation has a prev");
  expect(problem([], createTombstone(genesis, { signer: strong }))).toContain(
    "cannot begin with a tombstone",
  );
  expect(() => validateLog([], { did })).toThrow("a log of 0 entries");
});

test("withHandle() replaces the first handle and keeps the other aliases", () => {
  const state = plcStateOf(genesis)!;
  const aliases = (...alsoKnownAs: string[]) => withHandle({ ...state, alsoKnownAs }, "new.test").alsoKnownAs;
  expect(aliases()).toEqual(["at://new.test"]);
  expect(aliases("https://a.test", "at://old.test", "at://b.test")).toEqual([
    "https://a.test",
    "at://new.test",
    "at://b.test",
  ]);
  expect(aliases("at://old.test", "at://new.test")).toEqual(["at://new.test"]);
  expect(aliases("https://a.test")).toEqual(["at://new.test", "https://a.test"]);
});

test("plcStateToDidDocument() is the document that the directory would serve", () => {
  expect(plcStateToDidDocument(did, plcStateOf(genesis)!)).toEqual({
    "@context": [
      "https://www.w3.org/ns/did/v1",
      "https://w3id.org/security/multikey/v1",
      "https://w3id.org/security/suites/ecdsa-2019/v1",
    ],
    id: did,
    alsoKnownAs: ["at://alice.example.com"],
    verificationMethod: [
      { id: `${did}#atproto`, type: "Multikey", controller: did, publicKeyMultibase: p256.didKey.slice(8) },
    ],
    service: [
      { id: "#atproto_pds", type: "AtprotoPersonalDataServer", serviceEndpoint: "https://pds.example.com" },
    ],
  });
});

test("parsePlcOperation() survives JSON round trips", () => {
  expect(parsePlcOperation(JSON.parse(JSON.stringify(genesis)))).toEqual(genesis);
});
