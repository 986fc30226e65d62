import { expect, test } from "bun:test";
import {
  createGenesis,
  encodeCbor,
  generatePrivateKey,
  type KeyType,
  signerFromPrivateKey,
} from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import { FakeAccounts, FakePlc, FakeRepos, FakeReservedKeys } from "./_fixture.ts";
import type { CommunityAccount } from "./community_birth.ts";
import { AccountCreator } from "./create_account.ts";
import { finishCreations } from "./finish_creation.ts";
import { HandleRules } from "./handle_rules.ts";
import { Passwords } from "./passwords.ts";

const keyOf = (type: KeyType, fill: number) => generatePrivateKey(type, new Uint8Array(32).fill(fill));
const signerOf = (type: KeyType, fill: number) => signerFromPrivateKey(type, keyOf(type, fill));
const SERVER = signerOf("k256", 1);
const OWNER = signerOf("p256", 2);
const URL_HERE = "https://pds.test";

/** A community whose operation says what it is, but for the changes, and is in the directory. */
function makeCommunity(
  change: Partial<Parameters<typeof createGenesis>[0]> & { keyType?: KeyType } = {},
): CommunityAccount {
  const { keyType = "k256", ...rest } = change;
  const { did, operation } = createGenesis({
    signingKey: signerOf(keyType, 3).didKey,
    rotationKeys: [OWNER.didKey, SERVER.didKey],
    handle: "garden.test",
    pdsEndpoint: URL_HERE,
    signer: SERVER,
    ...rest,
  });
  const signingKey = { type: keyType, privateKey: keyOf(keyType, 3) };
  return {
    did,
    handle: "garden.test",
    signingKey,
    genesis: encodeCbor(operation),
    rotationKey: OWNER.didKey,
  };
}

function makeCreator() {
  const journal: string[] = [];
  const accounts = new FakeAccounts(journal);
  const plc = new FakePlc(journal);
  const repos = new FakeRepos(journal);
  const unfinished: string[] = [];
  const creator = new AccountCreator({
    accounts,
    invites: accounts,
    plc,
    repos,
    passwords: new Passwords({ cost: { memoryKib: 64, passes: 1 } }),
    handles: new HandleRules([".test"]),
    handleResolver: { resolve: async () => undefined },
    reservedKeys: new FakeReservedKeys(),
    rotationSigner: SERVER,
    publicUrl: URL_HERE,
    keyType: "k256",
    inviteRequired: true,
    onUnfinished: (did) => unfinished.push(did),
    now: () => 1234,
  });
  return { creator, accounts, plc, repos, journal, unfinished };
}

const caught = (promise: Promise<unknown>) => promise.catch((error: unknown) => error);

test.each(["k256", "p256"] as const)(
  "createForCommunity makes an account with a %s key, without password and address, asking for no invite",
  async (keyType) => {
    const { creator, accounts, plc, journal } = makeCreator();
    const community = makeCommunity({ keyType });
    plc.operations.set(community.did, {});
    const account = await creator.createForCommunity({ ...community, handle: "Garden.TEST" });
    const { did } = community;
    expect(account).toMatchObject({
      did,
      handle: "garden.test",
      email: null,
      passwordHash: "",
      state: "active",
    });
    expect(journal).toEqual(["begin", "repo", "finish active"]);
    const { begun } = accounts.rows.get(did)!;
    expect(begun).toMatchObject({
      signingKey: { type: keyType },
      genesisOperation: community.genesis,
      recoveryKey: OWNER.didKey,
      now: 1234,
    });
    // A second call finds it.
    expect(await creator.createForCommunity(community)).toEqual(account);
    expect(journal).toEqual(["begin", "repo", "finish active"]);
    expect(creator.isInFlight(did)).toBe(false);
  },
);

const other = signerOf("k256", 9).didKey;
const REFUSED: [what: string, community: CommunityAccount, code: string, words: string][] = [
  [
    "another DID",
    { ...makeCommunity(), did: "did:plc:ewvi7nxzyoun6zhxrhs64oiz" },
    "invalid_request",
    "another one",
  ],
  [
    "an operation that is none",
    { ...makeCommunity(), genesis: new Uint8Array([1, 2]) },
    "invalid_request",
    "another one",
  ],
  ["no operation", { ...makeCommunity(), genesis: new Uint8Array() }, "invalid_request", "another one"],
  [
    "an owner who comes second",
    makeCommunity({ rotationKeys: [SERVER.didKey, OWNER.didKey] }),
    "invalid_request",
    "not the first",
  ],
  [
    "a server that has no say",
    makeCommunity({ rotationKeys: [OWNER.didKey] }),
    "invalid_request",
    "rotation key is absent",
  ],
  ["another signing key", makeCommunity({ signingKey: other }), "invalid_request", "another signing key"],
  ["another handle", { ...makeCommunity(), handle: "forest.test" }, "invalid_request", "another handle"],
  [
    "another server",
    makeCommunity({ pdsEndpoint: "https://else.test" }),
    "invalid_request",
    "another server",
  ],
  ["a reserved handle", { ...makeCommunity(), handle: "admin.test" }, "handle_not_available", "reserved"],
  [
    "a handle of elsewhere",
    { ...makeCommunity(), handle: "garden.example.org" },
    "unsupported_domain",
    ".test",
  ],
  [
    "a taken handle",
    { ...makeCommunity({ handle: "taken.test" }), handle: "taken.test" },
    "handle_not_available",
    "taken",
  ],
];

test.each(REFUSED)("createForCommunity refuses %s and stores nothing", async (_, community, code, words) => {
  const { creator, accounts, plc, journal } = makeCreator();
  const taken = makeCommunity({ handle: "taken.test", signingKey: signerOf("k256", 3).didKey });
  // Somebody else has that handle.
  await accounts.beginAccount({
    ...{ did: "did:plc:taken", handle: "taken.test", email: null, passwordHash: "", now: 0 },
    ...{ signingKey: taken.signingKey, genesisOperation: null },
  });
  plc.operations.set(community.did, {});
  journal.length = 0;
  const error = await caught(creator.createForCommunity(community));
  expect(error).toMatchObject({ code });
  expect((error as Error).message).toContain(words);
  expect(accounts.rows.has(community.did)).toBe(false);
  expect(journal.filter((entry) => entry !== "begin")).toEqual([]);
});

test("createForCommunity begins nothing for a DID that is not in the directory", async () => {
  const { creator, accounts, plc } = makeCreator();
  const community = makeCommunity();
  expect(await caught(creator.createForCommunity(community))).toMatchObject({ code: "upstream_failure" });
  plc.mood = "silent";
  expect(await caught(creator.createForCommunity(community))).toMatchObject({ code: "timeout" });
  expect(accounts.rows.size).toBe(0);
});

test("createForCommunity does not bring back what was deleted here", async () => {
  const { creator, accounts, plc } = makeCreator();
  const community = makeCommunity();
  plc.operations.set(community.did, {});
  await creator.createForCommunity(community);
  await accounts.finishCreation(community.did, "deleted");
  expect(await caught(creator.createForCommunity(community))).toMatchObject({ code: "already_exists" });
});

test("createForCommunity completes what was left half-made, and so does a start", async () => {
  for (const how of ["a call", "a start"]) {
    const { creator, accounts, plc, repos, unfinished, journal } = makeCreator();
    const community = makeCommunity();
    const { did } = community;
    plc.operations.set(did, {});
    repos.failure = new KithError("storage_full", "The disk is full");
    const error = await caught(creator.createForCommunity(community));
    expect(error).toMatchObject({ code: "storage_full" });
    expect((error as Error).message).toMatch(/It is completed as soon as the server can: try again then$/);
    expect([unfinished, accounts.account(did)?.state, creator.isInFlight(did)]).toEqual([
      [did],
      "creating",
      false,
    ]);
    repos.failure = undefined;
    if (how === "a call") await creator.createForCommunity(community);
    else await finishCreations({ accounts, plc, repos });
    expect(accounts.account(did)).toMatchObject({ state: "active", email: null });
    expect(journal.filter((entry) => entry === "begin")).toHaveLength(1);
  }
});

test("createForCommunity lets two calls at once do the work once", async () => {
  const { creator, plc, journal } = makeCreator();
  const community = makeCommunity();
  plc.operations.set(community.did, {});
  const [first, second] = await Promise.all([
    creator.createForCommunity(community),
    caught(creator.createForCommunity(community)),
  ]);
  expect(first).toMatchObject({ state: "active" });
  expect(second).toMatchObject({ code: "busy" });
  expect(journal).toEqual(["begin", "repo", "finish active"]);
});

test("abandonForCommunity takes back what is not decided, and nothing else", async () => {
  const { creator, accounts, plc, repos } = makeCreator();
  const community = makeCommunity();
  const { did } = community;
  plc.operations.set(did, {});
  expect(await creator.abandonForCommunity(did)).toBe("none");
  repos.failure = new KithError("storage_full", "The disk is full");
  await caught(creator.createForCommunity(community));
  expect(await creator.abandonForCommunity(did)).toBe("abandoned");
  expect(accounts.rows.size).toBe(0);
  // With a file there is an account, whatever the row says.
  await caught(creator.createForCommunity(community));
  repos.failure = undefined;
  repos.dids.add(did);
  expect(await creator.abandonForCommunity(did)).toBe("there");
  expect(accounts.account(did)?.state).toBe("active");
  expect(await creator.abandonForCommunity(did)).toBe("there");
  await accounts.finishCreation(did, "deleted");
  expect(await creator.abandonForCommunity(did)).toBe("none");
});
