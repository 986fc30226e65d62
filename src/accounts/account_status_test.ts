import { expect, test } from "bun:test";
import { buildDidDocument, type DidState, generatePrivateKey, signerFromPrivateKey } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import { AccountStatus, parseDeleteAfter } from "./account_status.ts";

const URL = "https://pds.test";
const KEY = signerFromPrivateKey("p256", generatePrivateKey("p256", new Uint8Array(32).fill(3))).didKey;
const OTHER_KEY = signerFromPrivateKey("k256", generatePrivateKey("k256", new Uint8Array(32).fill(4))).didKey;
const ROTATION_KEY = OTHER_KEY;
const ALICE = "did:plc:alice";
const WEB = "did:web:alice.example.com";

function stateOf({ endpoint = URL, key = KEY }: { endpoint?: string; key?: string } = {}): DidState {
  return {
    verificationMethods: { atproto: key },
    alsoKnownAs: ["at://alice.test"],
    services: { atproto_pds: { type: "AtprotoPersonalDataServer", endpoint } },
  };
}

function make(
  state: DidState | KithError = stateOf(),
  {
    rotationKeys = [ROTATION_KEY],
    accountState = "deactivated",
  }: { rotationKeys?: string[]; accountState?: "deactivated" | "takendown" } = {},
) {
  const journal: unknown[][] = [];
  const read = <T>(answer: (state: DidState) => T): T => {
    if (state instanceof KithError) throw state;
    return answer(state);
  };
  const status = new AccountStatus({
    accounts: {
      account: (did) => {
        if (![ALICE, WEB].includes(did)) return undefined;
        const names = { did, handle: "alice.test", email: null, emailConfirmedAt: null, passwordHash: "" };
        return { ...names, state: accountState };
      },
      signer: () => ({ didKey: KEY }),
      setDeleteAfter: async (...args) => void journal.push(["deleteAfter", ...args]),
    },
    repos: { setStatus: async (...args) => void journal.push(["status", ...args]) },
    plc: { data: async (did) => read((known) => ({ did, rotationKeys, ...known })) },
    documents: {
      resolve: async (did, { fresh }) => {
        journal.push(["resolve", did, fresh]);
        return read((known) => buildDidDocument(did, known));
      },
      forget: (did) => void journal.push(["forget", did]),
    },
    publicUrl: URL,
    rotationKey: ROTATION_KEY,
    onDeleteAfter: () => journal.push(["planned"]),
  });
  return { status, journal };
}

const FROM = { from: ["active", "deactivated"] };

test("AccountStatus.activate activates an account whose DID leads here", async () => {
  const { status, journal } = make();
  await status.activate(ALICE);
  expect(journal).toEqual([
    ["forget", ALICE],
    ["status", ALICE, "active", FROM],
  ]);
});

test("AccountStatus.activate asks for a did:web past every cache", async () => {
  const { status, journal } = make();
  await status.activate(WEB);
  expect(journal).toEqual([
    ["resolve", WEB, true],
    ["forget", WEB],
    ["status", WEB, "active", FROM],
  ]);
});

test.each([
  ["another server", stateOf({ endpoint: "https://other.test" }), "https://other.test"],
  ["another key", stateOf({ key: OTHER_KEY }), OTHER_KEY],
  ["no server", { ...stateOf(), services: {} }, "no server"],
  ["no key", { ...stateOf(), verificationMethods: {} }, "none"],
  ["http", stateOf({ endpoint: "http://pds.test" }), "no server"],
])("AccountStatus.activate refuses a DID of %s and changes nothing", async (_title, state, words) => {
  for (const did of [ALICE, WEB]) {
    const { status, journal } = make(state);
    const refused = status.activate(did);
    await expect(refused).rejects.toMatchObject({
      code: "invalid_request",
      message: expect.stringContaining(words),
    });
    expect(journal.filter(([what]) => what === "status")).toEqual([]);
    expect(await status.isDidValid(did)).toBe(false);
  }
});

test("AccountStatus wants the server's rotation key in the PLC data", async () => {
  const { status, journal } = make(stateOf(), { rotationKeys: [KEY] });
  await expect(status.activate(ALICE)).rejects.toMatchObject({
    code: "invalid_request",
    message: expect.stringContaining(ROTATION_KEY),
  });
  expect(await status.isDidValid(ALICE)).toBe(false);
  // A did:web has none.
  expect(await status.isDidValid(WEB)).toBe(true);
  expect(journal.filter(([what]) => what === "status")).toEqual([]);
});

test("AccountStatus says what the directory says, or that nobody can be asked", async () => {
  expect(await make().status.isDidValid(ALICE)).toBe(true);
  const { status, journal } = make(new KithError("timeout", "no answer"));
  await expect(status.activate(ALICE)).rejects.toMatchObject({ code: "timeout" });
  expect(await status.isDidValid(ALICE)).toBe(false);
  expect(journal).toEqual([]);
});

test("AccountStatus.deactivate takes or clears the time of the end, after the status", async () => {
  const { status, journal } = make();
  await status.deactivate(ALICE, { deleteAfter: 5_000 });
  await status.deactivate(ALICE);
  expect(journal).toEqual([
    ["status", ALICE, "deactivated", FROM],
    ["deleteAfter", ALICE, 5_000],
    ["planned"],
    ["status", ALICE, "deactivated", FROM],
    ["deleteAfter", ALICE, null],
  ]);
});

test("AccountStatus.deactivate leaves what is taken down so, and says what it is below", async () => {
  const { status, journal } = make(stateOf(), { accountState: "takendown" });
  await status.deactivate(ALICE, { deleteAfter: 5_000 });
  expect(journal).toEqual([
    ["status", ALICE, "takendown", { from: ["takendown"], ownerStatus: "deactivated" }],
    ["deleteAfter", ALICE, 5_000],
    ["planned"],
  ]);
});

test("AccountStatus knows only accounts that are here", async () => {
  const { status } = make();
  for (const change of ["activate", "deactivate"] as const) {
    await expect(status[change]("did:plc:bob")).rejects.toMatchObject({ code: "account_not_found" });
  }
});

test("parseDeleteAfter() reads a time and refuses what is none", () => {
  expect(parseDeleteAfter("1970-01-01T00:00:05.000Z")).toBe(5_000);
  expect(() => parseDeleteAfter("soon")).toThrow(expect.objectContaining({ code: "invalid_request" }));
});
