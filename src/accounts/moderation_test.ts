import { expect, test } from "bun:test";
import { cidOfRaw, cidToString } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import type { Account } from "../storage/mod.ts";
import { type ModeratedRepo, Moderation, TAKEDOWN_REF_CHARS_MAX } from "./mod.ts";

const ALICE = "did:plc:alice";
const CID = cidOfRaw(Uint8Array.of(1));
const URI = `at://${ALICE}/a.b.c/one`;

interface Setting {
  readonly state?: Account["state"];
  readonly takedownRef?: string | null;
  readonly deactivatedAt?: number | null;
  /** What the repo says each time it is asked; the last stays. */
  readonly ownerStatuses?: ("active" | "deactivated")[];
  /** So many changes of status are refused as busy. */
  readonly busy?: number;
}

function make(setting: Setting = {}) {
  const { state = "active", takedownRef = null, deactivatedAt = null, ownerStatuses = ["active"] } = setting;
  let { busy = 0 } = setting;
  const journal: unknown[][] = [];
  const taken = {
    record: undefined as { cid: string; ref: string } | undefined,
    blob: undefined as string | undefined,
  };
  const here = { record: true, blob: true };
  const repo: ModeratedRepo = {
    state: () => ({
      ownerStatus: (ownerStatuses.length > 1 ? ownerStatuses.shift() : ownerStatuses[0]) ?? "active",
    }),
    recordCid: () => (here.record ? CID : undefined),
    blob: () => (here.blob ? {} : undefined),
    blobIsReferenced: () => false,
    takedowns: { record: () => taken.record, blob: () => taken.blob },
  };
  const account = { did: ALICE, handle: "alice.test", state, takedownRef, deactivatedAt } as Account;
  const moderation = new Moderation({
    accounts: { byIdentifier: (id) => ([ALICE, "alice.test"].includes(id) ? account : undefined) },
    repos: {
      readDurable: async (_did, read) => read(repo),
      moderate: async (...args) => void journal.push(["moderate", ...args]),
      setStatus: async (...args) => {
        journal.push(["status", ...args]);
        if (busy-- > 0) throw new KithError("busy", "changed meanwhile");
      },
    },
    status: {
      activate: async (did) => void journal.push(["activate", did]),
      deactivate: async (did) => void journal.push(["deactivate", did]),
    },
    now: () => 0,
    onLifted: () => journal.push(["lifted"]),
  });
  return { moderation, journal, taken, here };
}

const LIFT = { from: ["takendown", "suspended"], lifts: true };

test("Moderation takes an account down by a reference, its own where none is given", async () => {
  const { moderation, journal } = make();
  await moderation.setAccountTakedown(ALICE, { applied: true, ref: "case 1" });
  await moderation.setAccountTakedown(ALICE, { applied: true });
  await moderation.setAccountTakedown(ALICE, { applied: true, ref: "" });
  const own = { takedownRef: "1970-01-01T00:00:00.000Z" };
  expect(journal).toEqual([
    ["status", ALICE, "takendown", { takedownRef: "case 1" }],
    ["status", ALICE, "takendown", own],
    ["status", ALICE, "takendown", own],
  ]);
  const ref = "x".repeat(TAKEDOWN_REF_CHARS_MAX + 1);
  const refused = moderation.setAccountTakedown(ALICE, { applied: true, ref });
  await expect(refused).rejects.toMatchObject({ code: "invalid_request" });
});

test("Moderation gives an account back as its owner has left it, also where that changes at the same time", async () => {
  for (const state of ["takendown", "suspended"] as const) {
    const { moderation, journal } = make({ state, ownerStatuses: ["active", "deactivated"], busy: 1 });
    await moderation.setAccountTakedown(ALICE, { applied: false });
    expect(journal).toEqual([
      ["status", ALICE, "active", LIFT],
      ["status", ALICE, "deactivated", LIFT],
      ["lifted"],
    ]);
  }
  const { moderation, journal } = make({ state: "takendown", busy: 99 });
  await expect(moderation.setAccountTakedown(ALICE, { applied: false })).rejects.toMatchObject({
    code: "busy",
  });
  expect(journal).toHaveLength(4);
});

test("Moderation tells of an account anew where there is nothing to lift", async () => {
  const { moderation, journal } = make();
  await moderation.setAccountTakedown(ALICE, { applied: false });
  await moderation.announce(ALICE);
  expect(journal).toEqual(Array(2).fill(["moderate", ALICE, { kind: "announce" }]));
});

test("Moderation switches accounts off and on as owners do, but on only where nothing is taken down", async () => {
  const { moderation, journal } = make();
  await moderation.setDeactivated(ALICE, { applied: true });
  await moderation.setDeactivated(ALICE, { applied: false });
  expect(journal).toEqual([
    ["deactivate", ALICE],
    ["activate", ALICE],
  ]);
  const down = make({ state: "takendown" }).moderation.setDeactivated(ALICE, { applied: false });
  await expect(down).rejects.toMatchObject({ code: "invalid_request" });
});

test("Moderation takes records and blobs down, by DID or handle", async () => {
  const { moderation, journal } = make();
  const cid = cidToString(CID);
  await moderation.setRecordTakedown({ uri: "at://alice.test/a.b.c/one", cid }, { applied: true, ref: "r" });
  await moderation.setBlobTakedown({ did: ALICE, cid: CID }, { applied: false });
  const record = { collection: "a.b.c", rkey: "one", cid };
  expect(journal).toEqual([
    ["moderate", ALICE, { kind: "record", ...record, ref: "r" }],
    ["moderate", ALICE, { kind: "blob", cid: CID, ref: null }],
  ]);
});

test("Moderation tells how things are, also of what is gone where its takedown is not", async () => {
  const { moderation, taken, here } = make({ state: "takendown", takedownRef: "case 1", deactivatedAt: 5 });
  expect(await moderation.accountStatus(ALICE)).toEqual({
    takedown: { applied: true, ref: "case 1" },
    deactivated: { applied: true },
  });
  const open = { takedown: { applied: false } };
  const put = { takedown: { applied: true, ref: "r" } };
  expect(await moderation.recordStatus(URI)).toEqual({ uri: URI, cid: cidToString(CID), ...open });
  expect(await moderation.blobStatus(ALICE, CID)).toEqual(open);
  here.record = here.blob = false;
  for (const ask of [() => moderation.recordStatus(URI), () => moderation.blobStatus(ALICE, CID)]) {
    await expect(ask()).rejects.toMatchObject({ code: "subject_not_found" });
  }
  taken.record = { cid: "bafyold", ref: "r" };
  taken.blob = "r";
  expect(await moderation.recordStatus(URI)).toEqual({ uri: URI, cid: "bafyold", ...put });
  expect(await moderation.blobStatus(ALICE, CID)).toEqual(put);
});

test("Moderation finds no subject where there is no account", async () => {
  const unknown = "did:plc:bob";
  for (const { moderation, did } of [
    { moderation: make().moderation, did: unknown },
    { moderation: make({ state: "deleting" }).moderation, did: ALICE },
    { moderation: make({ state: "creating" }).moderation, did: ALICE },
  ]) {
    const applied = { applied: true };
    for (const ask of [
      () => moderation.accountStatus(did),
      () => moderation.recordStatus(`at://${did}/a.b.c/one`),
      () => moderation.blobStatus(did, CID),
      () => moderation.setAccountTakedown(did, applied),
      () => moderation.setRecordTakedown({ uri: `at://${did}/a.b.c/one`, cid: "bafy" }, applied),
      () => moderation.setBlobTakedown({ did, cid: CID }, applied),
      () => moderation.setDeactivated(did, applied),
      () => moderation.announce(did),
    ]) {
      await expect(ask()).rejects.toMatchObject({ code: "subject_not_found" });
    }
  }
});
