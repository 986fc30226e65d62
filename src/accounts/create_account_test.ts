import { expect, test } from "bun:test";
import { generatePrivateKey, type KeyType, signerFromPrivateKey } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import { FakeAccounts, FakePlc, FakeRepos, FakeReservedKeys } from "./_fixture.ts";
import { AccountCreator, type AccountCreatorOptions, type NewAccount } from "./create_account.ts";
import { HandleRules } from "./handle_rules.ts";
import { KeyReservations } from "./move_in.ts";
import { Passwords } from "./passwords.ts";

const SERVER_KEY = signerFromPrivateKey("k256", generatePrivateKey("k256", new Uint8Array(32).fill(1)));
const didKey = (type: KeyType, fill: number) =>
  signerFromPrivateKey(type, generatePrivateKey(type, new Uint8Array(32).fill(fill))).didKey;
const passwords = new Passwords({ cost: { memoryKib: 64, passes: 1 } });
const ALICE: NewAccount = { handle: "alice.test", email: "alice@mail.test", password: "pa55word" };
const ANYONE = { admin: false };
const MOVER = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const HANDLES: Record<string, string> = { "own.example.com": MOVER, "far.example.com": "did:plc:far" };

function makeCreator(change: Partial<AccountCreatorOptions> = {}) {
  const journal: string[] = [];
  const accounts = new FakeAccounts(journal);
  const plc = new FakePlc(journal);
  const repos = new FakeRepos(journal);
  const unfinished: string[] = [];
  const reservedKeys = new FakeReservedKeys();
  const creator = new AccountCreator({
    accounts,
    invites: accounts,
    plc,
    repos,
    passwords,
    handles: new HandleRules([".test"]),
    handleResolver: { resolve: async (handle) => HANDLES[handle] },
    reservedKeys,
    rotationSigner: SERVER_KEY,
    publicUrl: "https://pds.test",
    keyType: "k256",
    inviteRequired: false,
    onUnfinished: (did) => unfinished.push(did),
    now: () => 1234,
    ...change,
  });
  return { creator, accounts, plc, repos, journal, unfinished, reservedKeys };
}

test.each(["k256", "p256"] as const)(
  "AccountCreator.create makes an account with a %s key",
  async (keyType) => {
    const { creator, accounts, plc, repos, journal, unfinished } = makeCreator({ keyType });
    const account = await creator.create(
      { ...ALICE, handle: "Alice.TEST", email: "Alice@Mail.test" },
      ANYONE,
    );
    expect(account).toMatchObject({ handle: "alice.test", email: "alice@mail.test", state: "active" });
    expect(account.did).toMatch(/^did:plc:[a-z2-7]{24}$/);
    expect(journal).toEqual(["begin", "plc", "repo", "finish active"]);
    expect(repos.hasRepo(account.did)).toBe(true);
    expect(creator.isInFlight(account.did)).toBe(false);
    expect(unfinished).toEqual([]);
    const { begun } = accounts.rows.get(account.did)!;
    expect(begun.signingKey.type).toBe(keyType);
    expect(await passwords.verify("pa55word", begun.passwordHash)).toBe(true);
    expect(begun.genesisOperation?.length).toBeGreaterThan(100);
    expect(plc.operations.get(account.did)).toMatchObject({
      type: "plc_operation",
      prev: null,
      alsoKnownAs: ["at://alice.test"],
      rotationKeys: [SERVER_KEY.didKey],
      verificationMethods: { atproto: signerFromPrivateKey(keyType, begun.signingKey.privateKey).didKey },
      services: { atproto_pds: { type: "AtprotoPersonalDataServer", endpoint: "https://pds.test" } },
    });
  },
);

test("AccountCreator.create puts the caller's key before the operator's and the server's", async () => {
  const [mine, operators] = [didKey("p256", 2), didKey("k256", 3)];
  const { creator, plc, accounts } = makeCreator({ recoveryKey: operators });
  const alice = await creator.create({ ...ALICE, recoveryKey: mine }, ANYONE);
  expect(accounts.rows.get(alice.did)?.begun.recoveryKey).toBe(mine);
  const keys = [mine, operators, SERVER_KEY.didKey];
  expect(plc.operations.get(alice.did)).toMatchObject({ rotationKeys: keys });
  const bob = { handle: "bob.test", email: "bob@mail.test", password: "p", recoveryKey: SERVER_KEY.didKey };
  const { did } = await creator.create(bob, ANYONE);
  expect(plc.operations.get(did)).toMatchObject({ rotationKeys: [SERVER_KEY.didKey, operators] });
});

const REFUSED: [what: string, change: Partial<NewAccount>, code: string, words?: string][] = [
  ["no e-mail address", { email: undefined }, "invalid_request", "Email is required"],
  ["an empty e-mail address", { email: "" }, "invalid_request", "Email is required"],
  ["what is no e-mail address", { email: "alice" }, "invalid_request", "Not an e-mail address"],
  ["an e-mail address with a header", { email: "a@b.test\r\nBcc: c@d.test" }, "invalid_request"],
  ["no password", { password: undefined }, "invalid_request", "Password is required"],
  ["an empty password", { password: "" }, "invalid_password", "Password is required"],
  ["an oversize password", { password: "x".repeat(257) }, "invalid_password", "Password too long"],
  ["a bad handle", { handle: "al_ice.test" }, "invalid_handle"],
  ["a short handle", { handle: "al.test" }, "invalid_handle"],
  ["another domain", { handle: "alice.example.org" }, "unsupported_domain"],
  ["a reserved name", { handle: "admin.test" }, "handle_not_available"],
  ["a taken handle", { handle: "TAKEN.test" }, "handle_not_available", "already taken: taken.test"],
  ["a taken e-mail address", { email: "Taken@mail.test" }, "invalid_request", "already taken: taken@"],
  ["an unknown invite code", { inviteCode: "pds-test-aaaaa-bbbbb" }, "invalid_invite_code"],
  ["an oversize invite code", { inviteCode: "x".repeat(100_000) }, "invalid_invite_code"],
  ["a DID without a proof", { did: "did:plc:ewvi7nxzyoun6zhxrhs64oiz" }, "auth_required", "Missing auth"],
  ["a PLC operation", { plcOp: { type: "plc_operation" } }, "invalid_request", '"plcOp"'],
  ["a recovery key that is none", { recoveryKey: "did:key:zQ3sh" }, "invalid_request", "recovery key"],
  ["a recovery key of another curve", { recoveryKey: `did:key:z6Mk${"h".repeat(44)}` }, "invalid_request"],
  ["an oversize recovery key", { recoveryKey: `did:key:z${"Q".repeat(99_999)}` }, "invalid_request"],
];

test.each(REFUSED)(
  "AccountCreator.create refuses %s and stores nothing",
  async (_, change, code, words = "") => {
    const { creator, accounts, journal } = makeCreator();
    await creator.create({ handle: "taken.test", email: "taken@mail.test", password: "p" }, ANYONE);
    journal.length = 0;
    const refusal = await creator.create({ ...ALICE, ...change }, ANYONE).catch((error: Error) => error);
    const { message } = refusal as Error;
    expect(refusal).toMatchObject({ code });
    expect(message).toContain(words);
    expect(message.length).toBeLessThan(500);
    expect(message).not.toContain("pa55word");
    expect(journal).toEqual([]);
    expect(accounts.rows.size).toBe(1);
  },
);

test("AccountCreator.create tells who moves in without a proof what else it would refuse, and nothing of the DID", async () => {
  const { creator, accounts, journal } = makeCreator({ inviteRequired: true });
  accounts.invites.set("code", 1);
  const did = MOVER;
  const codeOf = (change: Partial<NewAccount>) =>
    creator
      .create({ ...ALICE, did, inviteCode: "code", ...change }, ANYONE)
      .catch((error: KithError) => error.code);
  await creator.create({ ...ALICE, did, inviteCode: "code" }, { admin: true, did });
  journal.length = 0;
  accounts.invites.set("code", 1);
  const bob = { handle: "bob.test", email: "bob@mail.test" };
  // Also of a DID that has an account here.
  expect(await codeOf(bob)).toBe("auth_required");
  expect(await codeOf({ ...bob, did: "did:plc:44ybard66vv44zksje25o7dz" })).toBe("auth_required");
  expect(await codeOf({ ...bob, inviteCode: "wrong" })).toBe("invalid_invite_code");
  expect(await codeOf({ ...bob, email: ALICE.email })).toBe("invalid_request");
  expect(await codeOf({ ...bob, handle: ALICE.handle })).toBe("handle_not_available");
  expect([journal, accounts.invites.get("code")]).toEqual([[], 1]);
});

test("AccountCreator.create asks for an invite where one is required, of everyone but the admin", async () => {
  const { creator, accounts } = makeCreator({ inviteRequired: true });
  accounts.invites.set("one-use", 1);
  for (const inviteCode of [undefined, "", "wrong"]) {
    const refused = creator.create({ ...ALICE, inviteCode }, ANYONE);
    await expect(refused).rejects.toMatchObject({ code: "invalid_invite_code" });
  }
  await creator.create({ ...ALICE, inviteCode: "one-use" }, ANYONE);
  expect(accounts.invites.get("one-use")).toBe(0);
  const bob = { handle: "bob.test", email: "bob@mail.test", password: "p" };
  const second = creator.create({ ...bob, inviteCode: "one-use" }, ANYONE);
  await expect(second).rejects.toMatchObject({ code: "invalid_invite_code" });
  expect(await creator.create(bob, { admin: true })).toMatchObject({ handle: "bob.test" });
});

test("AccountCreator.create gives a reserved name to an invited member and to the admin", async () => {
  const { creator, accounts } = makeCreator();
  accounts.invites.set("code", 1);
  await creator.create({ ...ALICE, handle: "support.test", inviteCode: "code" }, ANYONE);
  const admin = { handle: "admin.test", email: "admin@mail.test", password: "p" };
  expect(await creator.create(admin, { admin: true })).toMatchObject({ handle: "admin.test" });
});

test("AccountCreator.create lets one of two win who want the same handle at once", async () => {
  const { creator, accounts, plc } = makeCreator();
  const both = await Promise.allSettled([
    creator.create(ALICE, ANYONE),
    creator.create({ ...ALICE, email: "other@mail.test" }, ANYONE),
  ]);
  expect(both.map((one) => one.status).sort()).toEqual(["fulfilled", "rejected"]);
  const lost = both.find((one) => one.status === "rejected");
  expect(lost).toMatchObject({ reason: { code: "handle_not_available" } });
  expect([accounts.rows.size, plc.operations.size]).toEqual([1, 1]);
});

test.each([
  ["refuses", "invalid_request", "the PLC directory refused its operation: Invalid Signature on op"],
  ["silent after refusing", "invalid_request", "Invalid Signature on op"],
  ["silent", "upstream_failure", "Nothing was created"],
] as const)("AccountCreator.create leaves nothing where the directory is %s", async (mood, code, words) => {
  const { creator, accounts, plc, journal, unfinished } = makeCreator({ inviteRequired: true });
  accounts.invites.set("code", 1);
  plc.mood = mood;
  const request = { ...ALICE, inviteCode: "code" };
  const refusal = await creator.create(request, ANYONE).catch((error: Error) => error);
  expect(refusal).toMatchObject({ code, message: expect.stringContaining(words) });
  expect(journal).toEqual(["begin", "plc", "abandon"]);
  expect([accounts.rows.size, accounts.invites.get("code"), unfinished.length]).toEqual([0, 1, 0]);
  plc.mood = "accepts";
  expect(await creator.create(request, ANYONE)).toMatchObject({ handle: "alice.test" });
});

test("AccountCreator.create goes on where only the directory's answer was lost", async () => {
  const { creator, plc, journal } = makeCreator();
  plc.mood = "loses the answer";
  expect(await creator.create(ALICE, ANYONE)).toMatchObject({ state: "active" });
  expect(journal).toEqual(["begin", "plc", "repo", "finish active"]);
});

test("AccountCreator.create reports a row that it could neither use nor remove", async () => {
  const { creator, accounts, plc, unfinished } = makeCreator();
  plc.mood = "silent";
  accounts.abandonAccount = async () => {
    throw new KithError("storage_full", "no room");
  };
  await expect(creator.create(ALICE, ANYONE)).rejects.toMatchObject({ code: "upstream_failure" });
  expect(unfinished).toEqual([...accounts.rows.keys()]);
});

test("AccountCreator.create never takes back a DID that is public: it reports it and says so", async () => {
  const { creator, accounts, repos, unfinished } = makeCreator();
  repos.failure = new KithError("storage_full", "no room on the disk");
  const refusal = await creator.create(ALICE, ANYONE).catch((error: Error) => error);
  expect(refusal).toMatchObject({ code: "storage_full", message: expect.stringContaining("sign in then") });
  expect(accounts.creating().map((row) => row.did)).toEqual(unfinished);
  expect(unfinished).toHaveLength(1);
  expect(creator.isInFlight(unfinished[0] ?? "")).toBe(false);
});

test("AccountCreator.isInFlight is true from before the row is there", async () => {
  const { creator, accounts } = makeCreator();
  const seen: boolean[] = [];
  const begin = accounts.beginAccount.bind(accounts);
  accounts.beginAccount = async (begun) => {
    seen.push(creator.isInFlight(begun.did));
    return begin(begun);
  };
  await creator.create(ALICE, ANYONE);
  expect(seen).toEqual([true]);
});

test("AccountCreator.create lets an account move in: no operation, no event, deactivated", async () => {
  const { creator, accounts, plc, journal } = makeCreator();
  const caller = { admin: false, did: MOVER };
  const account = await creator.create({ ...ALICE, did: MOVER }, caller);
  expect(account).toMatchObject({ did: MOVER, handle: "alice.test", state: "deactivated" });
  expect(journal).toEqual(["begin", "repo", "finish deactivated"]);
  expect(accounts.rows.get(MOVER)?.begun.genesisOperation).toBeNull();
  expect(plc.operations.size).toBe(0);
  const again = creator.create({ ...ALICE, did: MOVER, handle: "other.test", email: "o@mail.test" }, caller);
  await expect(again).rejects.toMatchObject({ code: "already_exists" });
});

test("AccountCreator.create gives a mover the key that was reserved for it, once", async () => {
  const { creator, accounts, reservedKeys } = makeCreator();
  const keys = new KeyReservations({ rows: reservedKeys, keyType: "p256", now: () => 1 });
  const reserved = await keys.reserve(MOVER);
  expect(await keys.reserve(MOVER)).toBe(reserved);
  expect(await keys.reserve()).not.toBe(await keys.reserve());
  await expect(keys.reserve("did:key:zQ3sh")).rejects.toMatchObject({ code: "invalid_request" });
  await creator.create({ ...ALICE, did: MOVER }, { admin: false, did: MOVER });
  const { type, privateKey } = accounts.rows.get(MOVER)!.begun.signingKey;
  expect(signerFromPrivateKey(type, privateKey).didKey).toBe(reserved);
  expect(reservedKeys.rows.has(MOVER)).toBe(false);
});

test.each([
  ["a handle of its own that points to it", { handle: "Own.Example.com" }, "none"],
  ["a did:web", { did: "did:web:own.example.com" }, "none"],
  ["a handle that points elsewhere", { handle: "far.example.com" }, "invalid_handle"],
  ["a handle that points nowhere", { handle: "none.example.com" }, "invalid_handle"],
  ["a handle under a reserved domain", { handle: "own.example" }, "invalid_handle"],
  ["a reserved name of ours", { handle: "admin.test" }, "handle_not_available"],
  ["a DID of another kind", { did: "did:key:zQ3sh" }, "invalid_request"],
  ["a DID that another has proven", { did: "did:plc:other" }, "auth_required"],
  ["a recovery key", { recoveryKey: didKey("k256", 2) }, "invalid_request"],
] as const)("AccountCreator.create of a mover with %s", async (_, change, code) => {
  const { creator, accounts } = makeCreator();
  const request = { ...ALICE, did: MOVER, ...change };
  const proven = request.did === "did:plc:other" ? MOVER : request.did;
  const outcome = await creator.create(request, { admin: false, did: proven }).then(
    () => "none",
    (error: KithError) => error.code,
  );
  expect(outcome).toBe(code);
  expect(accounts.rows.size).toBe(code === "none" ? 1 : 0);
});
