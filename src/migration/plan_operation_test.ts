import { describe, expect, test } from "bun:test";
import { cidOfOperation, type PlcOperation } from "../atproto/mod.ts";
import { checkSigned, follows, type PlanInput, planOperation } from "./plan_operation.ts";

const key = (end: string) => `did:key:zQ3sh${end}`;
const BSKY = "did:key:zQ3shhCGUqDKjStzuDxPkTxN6ujddP4RkEKJJouJGRRkaLGbg";
const RECOVERY = "did:key:zDnaerx9CtbPJ1q36T5Ln5wYt3MQYeGRG5ehnPAmxcf5mDZpv";
const target = {
  rotationKeys: [key("new")],
  alsoKnownAs: ["at://alice.new.example"],
  verificationMethods: { atproto: key("signing") },
  services: { atproto_pds: { type: "AtprotoPersonalDataServer", endpoint: "https://new.example" } },
};
const current = {
  did: "did:plc:a",
  rotationKeys: [key("mine"), BSKY, key("old")],
  alsoKnownAs: ["at://alice.old.example", "https://alice.example"],
  verificationMethods: { atproto: key("before"), atproto_label: key("label") },
  services: {
    atproto_pds: { type: "AtprotoPersonalDataServer", endpoint: "https://old.example" },
    atproto_labeler: { type: "AtprotoLabeler", endpoint: "https://labels.example" },
  },
};
const input: PlanInput = { current, source: { rotationKeys: [key("old")] }, target, dropKeys: [] };

describe("planOperation()", () => {
  test("keeps the member's keys, names and services, and takes the old server's away", () => {
    const { credentials, rotationKeys, keysDropped } = planOperation(input);
    expect(credentials).toEqual({
      rotationKeys: [key("mine"), key("new")],
      alsoKnownAs: ["at://alice.new.example", "https://alice.example"],
      verificationMethods: { atproto: key("signing"), atproto_label: key("label") },
      services: { ...current.services, ...target.services },
    });
    expect(rotationKeys.map(({ from }) => from)).toEqual(["kept", "new server"]);
    expect(keysDropped).toEqual([BSKY, key("old")]);
  });

  test("puts a recovery key first, and keeps none that is to be dropped", () => {
    const { credentials } = planOperation({ ...input, recoveryKey: RECOVERY, dropKeys: [key("mine")] });
    expect(credentials.rotationKeys).toEqual([RECOVERY, key("new")]);
  });

  test("keeps the member's own key where the source recommends it among its own, as a kith does", () => {
    const source = { rotationKeys: [key("mine"), key("operator"), key("old")], recoveryKey: key("mine") };
    const plan = planOperation({ ...input, source });
    expect(plan.credentials.rotationKeys).toEqual([key("mine"), key("new")]);
    const dropped = planOperation({ ...input, source, dropKeys: [key("mine")] });
    expect(dropped.credentials.rotationKeys).toEqual([key("new")]);
  });

  test("counts a key once", () => {
    const { credentials } = planOperation({
      ...input,
      target: { ...target, rotationKeys: [key("mine"), key("new")] },
    });
    expect(credentials.rotationKeys).toEqual([key("mine"), key("new")]);
  });

  test.each<[string, Partial<PlanInput>, string]>([
    [
      "too many keys",
      { current: { ...current, rotationKeys: ["1", "2", "3", "4", "5"].map(key) } },
      "6 rotation keys",
    ],
    ["a recovery key that is none", { recoveryKey: "did:key:nonsense" }, "no key that can be"],
    ["a target without a key", { target: { ...target, verificationMethods: {} } }, "does not say"],
    ["a target without a place", { target: { ...target, services: {} } }, "does not say"],
    ["a target without rotation keys", { target: { ...target, rotationKeys: [] } }, "does not say"],
  ])("refuses %s", (_, change, words) => {
    expect(() => planOperation({ ...input, ...change })).toThrow(words);
  });
});

describe("checkSigned()", () => {
  const last: PlcOperation = { type: "plc_operation", ...current, prev: null, sig: "c2ln" };
  delete (last as { did?: string }).did;
  const { credentials: wanted } = planOperation(input);
  const signed = { type: "plc_operation", ...wanted, prev: cidOfOperation(last), sig: "c2ln" };

  test("takes what was asked for, in any order of fields", () => {
    const services = Object.fromEntries(Object.entries(signed.services).reverse());
    expect(checkSigned({ ...signed, services }, { wanted, last })).toMatchObject({ prev: signed.prev });
    expect(follows(signed, last)).toBe(true);
  });

  test.each<[string, object, string]>([
    ["another key", { rotationKeys: [key("old")] }, "rotationKeys"],
    ["a further key", { rotationKeys: [...wanted.rotationKeys, key("old")] }, "rotationKeys"],
    ["another handle", { alsoKnownAs: ["at://mallory.example"] }, "alsoKnownAs"],
    ["another signing key", { verificationMethods: { atproto: key("x") } }, "verificationMethods"],
    ["another server", { services: current.services }, "services"],
    ["another past", { prev: cidOfOperation({ ...last, sig: "eA" }) }, "does not follow"],
    ["no past", { prev: null }, "does not follow"],
    ["no signature", { sig: undefined }, "no PLC operation"],
  ])("refuses %s", (_, change, words) => {
    expect(() => checkSigned({ ...signed, ...change }, { wanted, last })).toThrow(words);
  });

  test("refuses a tombstone", () => {
    const tombstone = { type: "plc_tombstone", prev: cidOfOperation(last), sig: "c2ln" };
    expect(() => checkSigned(tombstone, { wanted, last })).toThrow("plc_tombstone");
  });
});
