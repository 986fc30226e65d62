import { expect, test } from "bun:test";
import { signerFromPrivateKey } from "../atproto/mod.ts";
import { Fixture } from "./_fixture.ts";
import { AccountStore, type NewAccountRow } from "./account_store.ts";
import { Hub } from "./hub.ts";
import { InviteStore } from "./invite_store.ts";
import { Keyring } from "./keyring.ts";
import { SessionStore } from "./session_store.ts";

const KEY = new Uint8Array(32).fill(7);
const TOMBSTONE = { key: "3a", kind: "account", before: Uint8Array.of(1), after: Uint8Array.of(2) } as const;

class Stores {
  readonly hub: Hub;
  readonly accounts: AccountStore;
  readonly invites: InviteStore;
  readonly sessions: SessionStore;
  constructor(hub: Hub, accounts: AccountStore) {
    this.hub = hub;
    this.accounts = accounts;
    this.invites = new InviteStore(hub);
    this.sessions = new SessionStore(hub);
  }
  static async open(folder: Fixture, keyring = Keyring.open(folder.file("master.key"))) {
    const hub = await Hub.open(folder.file("accounts.sqlite"), folder.options);
    return new Stores(hub, new AccountStore(hub, keyring));
  }
}

function newAccount(name: string, more: Partial<NewAccountRow> = {}): NewAccountRow {
  return {
    did: `did:plc:${name}`,
    handle: `${name}.test`,
    email: `${name}@example.com`,
    passwordHash: "hash",
    signingKey: { type: "k256", privateKey: KEY },
    genesisOperation: Uint8Array.of(5),
    now: 1000,
    ...more,
  };
}

const standing = (status: "active" | "deactivated") => ({ status, ownerStatus: status, takedownRef: null });
const down = (ownerStatus: "active" | "deactivated", takedownRef = "ref 1") =>
  ({ status: "takendown", ownerStatus, takedownRef }) as const;

/** The code of the KithError that a promise rejects with. */
const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "none",
    (error) => error.code,
  );

test("AccountStore.beginAccount() reserves names, seals the key and lists the repo as open, at once", async () => {
  await using folder = new Fixture();
  const { accounts, hub } = await Stores.open(folder);
  const account = await accounts.beginAccount(
    newAccount("alice", { handle: "Alice.Test", email: "A@Example.com" }),
  );
  expect(account).toMatchObject({
    handle: "alice.test",
    email: "a@example.com",
    state: "creating",
    generation: 1,
    createdAt: 1000,
    invitesDisabled: false,
  });
  expect(accounts.byIdentifier("ALICE.test")?.did).toBe("did:plc:alice");
  expect(accounts.byIdentifier("a@EXAMPLE.com")?.did).toBe("did:plc:alice");
  expect(accounts.byIdentifier("did:plc:alice")).toEqual(account);
  expect(accounts.signer("did:plc:alice").didKey).toBe(signerFromPrivateKey("k256", KEY).didKey);
  expect(accounts.openRepos()).toEqual([{ did: "did:plc:alice", generation: 1 }]);
  expect(accounts.creating()).toEqual([account]);
  await accounts.finishCreation(account.did, "active");
  expect(accounts.creating()).toEqual([]);
  expect(accounts.count()).toBe(1);
  await hub.close();
  const file = await Bun.file(folder.file("accounts.sqlite")).bytes();
  expect(Buffer.from(file).includes(Buffer.from(KEY))).toBe(false);
});

test("AccountStore.beginAccount() refuses taken names, also while their owner is creating, and writes nothing", async () => {
  await using folder = new Fixture();
  const { accounts, hub } = await Stores.open(folder);
  await accounts.beginAccount(newAccount("alice"));
  const attempt = (more: Partial<NewAccountRow>) => codeOf(accounts.beginAccount(newAccount("bob", more)));
  expect(await attempt({ handle: "ALICE.test" })).toBe("handle_not_available");
  expect(await attempt({ email: "ALICE@example.com" })).toBe("invalid_request");
  expect(await attempt({ did: "did:plc:alice" })).toBe("already_exists");
  expect(accounts.account("did:plc:bob")).toBeUndefined();
  expect(await attempt({ email: null })).toBe("none");
  expect(await codeOf(accounts.beginAccount(newAccount("carol", { email: null })))).toBe("none");
  await hub.close();
});

test("AccountStore.abandonAccount() gives names and the invite use back", async () => {
  await using folder = new Fixture();
  const { accounts, invites, hub } = await Stores.open(folder);
  await invites.createCode({ code: "one", uses: 1, forAccount: "admin", createdBy: "admin", now: 1 });
  const begin = (name: string, inviteCode = "one") =>
    codeOf(accounts.beginAccount(newAccount(name, { handle: "same.test", email: "same@x.y", inviteCode })));
  expect(await begin("alice", "none")).toBe("invalid_invite_code");
  expect(await begin("alice")).toBe("none");
  expect(invites.code("one")?.used).toBe(1);
  expect(await codeOf(accounts.beginAccount(newAccount("bob", { inviteCode: "one" })))).toBe(
    "invalid_invite_code",
  );
  await accounts.abandonAccount("did:plc:alice");
  await accounts.abandonAccount("did:plc:alice");
  expect(invites.code("one")?.used).toBe(0);
  expect(invites.inviteIsUsable("one")).toBe(true);
  expect(accounts.openRepos()).toEqual([]);
  expect(await begin("carol")).toBe("none");
  expect(accounts.account("did:plc:carol")?.generation).toBe(2);
  await accounts.finishCreation("did:plc:carol", "active");
  await accounts.abandonAccount("did:plc:carol");
  expect(accounts.account("did:plc:carol")?.state).toBe("active");
  await hub.close();
});

test("AccountStore deletion keeps the tombstone until it is finished, then frees names and erases the key", async () => {
  await using folder = new Fixture();
  const { accounts, sessions, hub } = await Stores.open(folder);
  await accounts.beginAccount(newAccount("alice"));
  await accounts.finishCreation("did:plc:alice", "active");
  await sessions.insert({ id: "t", did: "did:plc:alice", familyId: "f", now: 1, expiresAt: 9 });
  await accounts.beginDeletion("did:plc:alice", TOMBSTONE);
  expect(accounts.deleting().map((each) => [each.did, each.tombstone])).toEqual([
    ["did:plc:alice", TOMBSTONE],
  ]);
  await accounts.projectState("did:plc:alice", standing("active"), { now: 5 });
  expect(accounts.account("did:plc:alice")?.state).toBe("deleting");
  expect(await codeOf(accounts.beginAccount(newAccount("bob", { handle: "alice.test" })))).toBe(
    "handle_not_available",
  );
  await accounts.finishDeletion("did:plc:alice");
  expect(accounts.account("did:plc:alice")).toMatchObject({
    state: "deleted",
    handle: "handle.invalid",
    email: null,
  });
  expect(() => accounts.signer("did:plc:alice")).toThrow("no signing key");
  expect(sessions.find("t")).toBeUndefined();
  expect([accounts.deleting(), accounts.openRepos()]).toEqual([[], []]);
  expect(await codeOf(accounts.beginAccount(newAccount("alice")))).toBe("already_exists");
  const bob = await accounts.beginAccount(
    newAccount("bob", { handle: "alice.test", email: "alice@example.com" }),
  );
  expect(bob.generation).toBeGreaterThan(1);
  const names = { handle: "back.test", email: "back@example.com" };
  const back = await accounts.beginAccount(newAccount("alice", { genesisOperation: null, ...names }));
  expect(back).toMatchObject({ state: "creating", movesIn: true });
  expect(back.generation).toBeGreaterThan(bob.generation);
  await hub.close();
});

test("AccountStore.listAccounts() pages by time and DID", async () => {
  await using folder = new Fixture();
  const { accounts, hub } = await Stores.open(folder);
  for (const [name, now] of [
    ["c", 1],
    ["a", 2],
    ["b", 2],
    ["d", 3],
  ] as const) {
    const { did } = await accounts.beginAccount(newAccount(name, { now }));
    await accounts.finishCreation(did, "active");
  }
  const first = accounts.listAccounts({ limit: 3 });
  expect(first.accounts.map((each) => each.handle)).toEqual(["c.test", "a.test", "b.test"]);
  const second = accounts.listAccounts({ limit: 3, cursor: first.cursor });
  expect(second.accounts.map((each) => each.handle)).toEqual(["d.test"]);
  expect(second.cursor).toBeUndefined();
  expect(() => accounts.listAccounts({ limit: 3, cursor: "x" })).toThrow("is malformed");
  await hub.close();
});

test("AccountStore.projectState() repeats a state without moving the time of deactivation", async () => {
  await using folder = new Fixture();
  const { accounts, hub } = await Stores.open(folder);
  const { did } = await accounts.beginAccount(newAccount("alice"));
  await accounts.projectState(did, standing("active"), { now: 1 });
  expect(accounts.account(did)?.state).toBe("creating");
  await accounts.finishCreation(did, "active");
  await accounts.projectState(did, standing("deactivated"), { now: 77 });
  await accounts.projectState(did, standing("deactivated"), { now: 99 });
  expect(accounts.account(did)).toMatchObject({ state: "deactivated", deactivatedAt: 77 });
  await accounts.projectState(did, standing("active"), { now: 100 });
  expect(accounts.account(did)).toMatchObject({ state: "active", deactivatedAt: null });
  await hub.close();
});

test("AccountStore keeps open repos and the high-water seq over a restart", async () => {
  await using folder = new Fixture();
  const { accounts, hub } = await Stores.open(folder);
  await accounts.beginAccount(newAccount("alice"));
  await accounts.unmarkOpen("did:plc:alice");
  expect(accounts.openRepos()).toEqual([]);
  await accounts.markOpen("did:plc:alice");
  await accounts.markOpen("did:plc:alice");
  await accounts.raiseHighWater(1_700_000_000_000_001);
  await accounts.raiseHighWater(5);
  await hub.close();
  const again = await Stores.open(folder);
  expect(again.accounts.openRepos()).toEqual([{ did: "did:plc:alice", generation: 1 }]);
  expect(again.accounts.highWater()).toBe(1_700_000_000_000_001);
  await again.hub.close();
});

test("SessionStore.rotate() repeats within the grace, and removes the family on reuse after it", async () => {
  await using folder = new Fixture();
  const { sessions, hub } = await Stores.open(folder);
  const insert = (id: string, familyId: string, appPasswordName: string | null = null) =>
    sessions.insert({ id, did: "did:plc:x", familyId, now: 0, expiresAt: 1000, appPasswordName });
  await insert("a", "f");
  await insert("z", "g", "phone");
  const rotate = (id: string, nextId: string, now: number) =>
    sessions.rotate(id, { nextId, now, graceUntil: now + 10, expiresAt: 2000 });
  const first = await rotate("a", "b", 100);
  expect(first).toMatchObject({ id: "b", familyId: "f", expiresAt: 2000 });
  expect(await rotate("a", "c", 105)).toEqual(first);
  expect(sessions.find("c")).toBeUndefined();
  expect(await rotate("none", "d", 105)).toBeUndefined();
  expect(await rotate("a", "c", 111)).toBeUndefined();
  expect([sessions.find("a"), sessions.find("b")]).toEqual([undefined, undefined]);
  expect(sessions.find("z")?.appPasswordName).toBe("phone");
  expect(await rotate("z", "y", 1000)).toBeUndefined();
  await sessions.insert({ id: "q", did: "did:plc:y", familyId: "h", now: 1001, expiresAt: 3000 });
  expect(sessions.find("z")).toBeUndefined();
  await insert("r", "i");
  await sessions.removeFamily("h");
  await sessions.removeAllOf("did:plc:x");
  expect([sessions.find("q"), sessions.find("r")]).toEqual([undefined, undefined]);
  await hub.close();
});

test("AccountStore.setDeleteAfter() holds while the account is deactivated, and endingAccounts() goes by time", async () => {
  await using folder = new Fixture();
  const { accounts, hub } = await Stores.open(folder);
  for (const name of ["alice", "bob", "carl"]) {
    await accounts.beginAccount(newAccount(name));
    await accounts.finishCreation(`did:plc:${name}`, "active");
  }
  await accounts.setDeleteAfter("did:plc:alice", 5);
  expect(accounts.endingAccounts(9)).toEqual([]);
  for (const [name, at] of [
    ["alice", 7],
    ["bob", 6],
    ["carl", null],
  ] as const) {
    await accounts.projectState(`did:plc:${name}`, standing("deactivated"), { now: 1 });
    await accounts.setDeleteAfter(`did:plc:${name}`, at);
  }
  expect(accounts.endingAccounts(9)).toEqual([
    { did: "did:plc:bob", deleteAfter: 6 },
    { did: "did:plc:alice", deleteAfter: 7 },
  ]);
  expect(accounts.endingAccounts(1)).toHaveLength(1);
  await accounts.projectState("did:plc:bob", down("active"), { now: 2 });
  await accounts.projectState("did:plc:alice", standing("deactivated"), { now: 2 });
  expect(accounts.endingAccounts(9)).toEqual([{ did: "did:plc:alice", deleteAfter: 7 }]);
  await accounts.finishDeletion("did:plc:alice");
  expect(accounts.endingAccounts(9)).toEqual([]);
  await hub.close();
});

test("AccountStore.projectState() ends the sessions of what is taken down, and keeps what the owner has made of it", async () => {
  await using folder = new Fixture();
  const { accounts, sessions, hub } = await Stores.open(folder);
  const { did } = await accounts.beginAccount(newAccount("alice"));
  await accounts.finishCreation(did, "active");
  const open = (id: string) =>
    sessions.insert({ id, did, familyId: id, now: 0, expiresAt: 9_999, secretHash: "hash" });
  expect(await open("a")).toBe(true);
  await accounts.projectState(did, standing("deactivated"), { now: 50 });
  await accounts.setDeleteAfter(did, 500);
  expect(sessions.find("a")).toBeDefined();
  await accounts.projectState(did, down("deactivated"), { now: 60 });
  const taken = { state: "takendown", takedownRef: "ref 1", deactivatedAt: 50, sessionsFrom: 60 };
  expect(accounts.account(did)).toMatchObject(taken);
  expect(sessions.find("a")).toBeUndefined();
  expect(await open("b")).toBe(false);
  expect(accounts.endingAccounts(9)).toEqual([]);
  await accounts.projectState(did, down("deactivated", "ref 2"), { now: 70 });
  expect(accounts.account(did)).toMatchObject({ ...taken, takedownRef: "ref 2" });
  await accounts.projectState(did, standing("deactivated"), { now: 80 });
  expect(accounts.account(did)).toMatchObject({ state: "deactivated", takedownRef: null, deactivatedAt: 50 });
  expect(accounts.endingAccounts(9)).toEqual([{ did, deleteAfter: 500 }]);
  expect(await open("b")).toBe(true);
  await accounts.projectState(did, down("active"), { now: 90 });
  expect(accounts.account(did)?.deactivatedAt).toBeNull();
  await hub.close();
});

test("InviteStore pages codes, counts their uses, and disables them by name and by account", async () => {
  await using folder = new Fixture();
  const { accounts, invites, hub } = await Stores.open(folder);
  for (const [n, code] of ["a", "b", "c"].entries()) {
    const forAccount = code === "c" ? "did:plc:alice" : "admin";
    await invites.createCode({ code, uses: 2, forAccount, createdBy: "admin", now: n === 2 ? 1 : n });
  }
  for (const name of ["alice", "bob"]) await accounts.beginAccount(newAccount(name, { inviteCode: "a" }));
  const names = (page: { codes: readonly { code: string }[] }) => page.codes.map(({ code }) => code);
  const first = invites.page({ sort: "recent", limit: 2 });
  expect([names(first), first.cursor]).toEqual([["c", "b"], "1::b"]);
  const rest = invites.page({ sort: "recent", limit: 2, cursor: first.cursor });
  expect([names(rest), rest.cursor]).toEqual([["a"], undefined]);
  const used = invites.page({ sort: "usage", limit: 1 });
  expect([names(used), used.cursor]).toEqual([["a"], "2::a"]);
  expect(used.codes[0]?.usedBy.map(({ did }) => did).sort()).toEqual(["did:plc:alice", "did:plc:bob"]);
  for (const cursor of ["x", "1", "::a", "-1::a", `1::${"x".repeat(301)}`]) {
    expect(() => invites.page({ sort: "recent", limit: 1, cursor })).toThrow("is malformed");
  }
  expect(invites.inviterOf("did:plc:bob")?.code).toBe("a");
  expect(invites.inviterOf("did:plc:nobody")).toBeUndefined();
  expect([invites.inviteIsUsable("a"), invites.inviteIsUsable("b"), invites.inviteIsUsable("c")]).toEqual([
    false,
    true,
    true,
  ]);
  await accounts.finishCreation("did:plc:alice", "active");
  await accounts.projectState("did:plc:alice", down("active"), { now: 5 });
  expect(invites.inviteIsUsable("c")).toBe(false);
  await accounts.projectState("did:plc:alice", standing("active"), { now: 6 });
  await invites.disable({ codes: ["b", "unheard-of"], accounts: ["did:plc:alice"] });
  expect([invites.inviteIsUsable("b"), invites.inviteIsUsable("c")]).toEqual([false, false]);
  expect(await codeOf(accounts.beginAccount(newAccount("carl", { inviteCode: "b" })))).toBe(
    "invalid_invite_code",
  );
  await hub.close();
});

test("InviteStore.createEarned() sees what was made before, in the same transaction", async () => {
  await using folder = new Fixture();
  const { invites, hub } = await Stores.open(folder);
  const did = "did:plc:alice";
  await invites.createCode({ code: "given", uses: 1, forAccount: did, createdBy: "admin", now: 1 });
  const seen: string[][] = [];
  const earn = (code: string, disabled = false) =>
    invites.createEarned(did, (made) => {
      seen.push(made.map((each) => each.code));
      return { codes: [code], disabled, now: 2 };
    });
  await Promise.all([earn("one"), earn("two", true)]);
  expect(seen).toEqual([[], ["one"]]);
  expect(invites.codesOf(did).map(({ code, disabled, createdBy }) => [code, disabled, createdBy])).toEqual([
    ["one", false, did],
    ["two", true, did],
    ["given", false, "admin"],
  ]);
  await hub.close();
});

test("AccountStore.countByState() counts anew after each change, and none that is deleted", async () => {
  await using folder = new Fixture();
  const { hub, accounts } = await Stores.open(folder);
  try {
    expect(accounts.countByState()).toEqual({});
    for (const name of ["a", "b", "c"]) await accounts.beginAccount(newAccount(name));
    expect(accounts.countByState()).toEqual({ creating: 3 });
    await accounts.finishCreation("did:plc:a", "active");
    await accounts.finishCreation("did:plc:b", "deactivated");
    expect(accounts.countByState()).toEqual({ active: 1, deactivated: 1, creating: 1 });
    await accounts.beginDeletion("did:plc:a", TOMBSTONE);
    await accounts.finishDeletion("did:plc:a");
    expect(accounts.countByState()).toEqual({ deactivated: 1, creating: 1 });
  } finally {
    await hub.close();
  }
});
