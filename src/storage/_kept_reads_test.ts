import { expect, test } from "bun:test";
import { generatePrivateKey, signerFromPrivateKey } from "../atproto/mod.ts";
import { Fixture } from "./_fixture.ts";
import { KeptTables } from "./_kept_reads.ts";
import { AccountStore } from "./account_store.ts";
import { CredentialStore } from "./credential_store.ts";
import { Hub } from "./hub.ts";
import { IdentityChangeStore } from "./identity_change_store.ts";
import { Keyring } from "./keyring.ts";
import { SecondFactorStore } from "./second_factor_store.ts";

const ALICE = "did:plc:alice";
const KEY = { type: "k256" as const, privateKey: generatePrivateKey("k256", new Uint8Array(32).fill(1)) };
const NEW_KEY = generatePrivateKey("k256", new Uint8Array(32).fill(2));
const NEW_DID_KEY = signerFromPrivateKey("k256", NEW_KEY).didKey;
const TOMBSTONE = { key: "3a", kind: "account", before: Uint8Array.of(1), after: Uint8Array.of(2) } as const;
const NAMES = ["alice.test", "new.test", "handle.invalid"];
const PASSKEY = { id: "key", did: ALICE, publicKey: new Uint8Array([1]), counter: 0, transports: [] };
const NO_CHANGE = "nothing";

async function openStores(folder: Fixture) {
  const hub = await Hub.open(folder.file("accounts.sqlite"), folder.options);
  const keyring = Keyring.open(folder.file("master.key"));
  return {
    hub,
    keyring,
    accounts: new AccountStore(hub, keyring),
    changes: new IdentityChangeStore(hub, keyring),
    credentials: new CredentialStore(hub),
    factors: new SecondFactorStore(hub, keyring),
  };
}

type Stores = Awaited<ReturnType<typeof openStores>>;

/** What the stores tell; new ones have kept nothing. */
function told({ accounts, factors }: Pick<Stores, "accounts" | "factors">): unknown {
  const byHandle = NAMES.map((name) => accounts.accountByHandle(name));
  return { byDid: accounts.account(ALICE), byHandle, factors: factors.state(ALICE) };
}

function toldAnew({ hub, keyring }: Stores): unknown {
  return told({ accounts: new AccountStore(hub, keyring), factors: new SecondFactorStore(hub, keyring) });
}

const begin = (accounts: AccountStore) =>
  accounts.beginAccount({
    did: ALICE,
    handle: "alice.test",
    email: "a@example.com",
    passwordHash: "hash",
    signingKey: KEY,
    genesisOperation: Uint8Array.of(5),
    now: 1,
  });

const down = { status: "takendown", ownerStatus: "active", takedownRef: "ref" } as const;
const up = { status: "active", ownerStatus: "active", takedownRef: null } as const;
const off = { status: "deactivated", ownerStatus: "deactivated", takedownRef: null } as const;
const factorsOff = { email: false, passkeys: 0, passkeyRequired: false, backupCodes: 0, totpSince: null };

/** One life, each step with what it changes of what is told. */
const STEPS: [string, (stores: Stores) => Promise<unknown>, object | typeof NO_CHANGE][] = [
  ["beginAccount()", ({ accounts }) => begin(accounts), { state: "creating", movesIn: false }],
  ["abandonAccount()", ({ accounts }) => accounts.abandonAccount(ALICE), NO_CHANGE],
  ["beginAccount() again", ({ accounts }) => begin(accounts), { state: "creating" }],
  ["finishCreation()", ({ accounts }) => accounts.finishCreation(ALICE, "active"), { state: "active" }],
  ["markOpen()", ({ accounts }) => accounts.markOpen(ALICE), {}],
  [
    "a takedown",
    ({ accounts }) => accounts.projectState(ALICE, down, { now: 7 }),
    { state: "takendown", sessionsFrom: 7 },
  ],
  [
    "its end",
    ({ accounts }) => accounts.projectState(ALICE, up, { now: 8 }),
    { state: "active", takedownRef: null },
  ],
  ["a deactivation", ({ accounts }) => accounts.projectState(ALICE, off, { now: 9 }), { deactivatedAt: 9 }],
  ["its return", ({ accounts }) => accounts.projectState(ALICE, up, { now: 9 }), { deactivatedAt: null }],
  [
    "setInvitesDisabled()",
    ({ accounts }) => accounts.setInvitesDisabled(ALICE, { disabled: true, note: "why" }),
    { invitesDisabled: true, inviteNote: "why" },
  ],
  [
    "project() of a handle",
    ({ changes }) => changes.project(ALICE, { handle: "new.test" }),
    { handle: "new.test" },
  ],
  [
    "begin() of a key",
    ({ changes }) =>
      changes.begin({ did: ALICE, signingKey: { ...KEY, privateKey: NEW_KEY, didKey: NEW_DID_KEY }, now: 1 }),
    {},
  ],
  ["project() of a key", ({ changes }) => changes.project(ALICE, { signingKey: NEW_DID_KEY }), {}],
  [
    "setPassword()",
    ({ credentials }) => credentials.setPassword({ did: ALICE, passwordHash: "other", now: 12 }),
    { passwordHash: "other", sessionsFrom: 12 },
  ],
  [
    "changeEmail()",
    ({ credentials }) => credentials.changeEmail({ did: ALICE, email: "b@example.com" }),
    { email: "b@example.com" },
  ],
  [
    "a confirmed address",
    ({ hub }) => hub.write((run) => run("UPDATE account SET email_confirmed_at = 3")),
    { emailConfirmedAt: 3 },
  ],
  ["setEmail()", ({ factors }) => factors.setEmail(ALICE, "b@example.com"), { factors: { email: true } }],
  [
    "setTotp()",
    ({ factors }) => factors.setTotp({ did: ALICE, secret: NEW_KEY, step: 1, now: 4 }),
    { factors: { totpSince: 4 } },
  ],
  [
    "setBackupCodes()",
    ({ factors }) => factors.setBackupCodes(ALICE, ["a", "b"]),
    { factors: { backupCodes: 2 } },
  ],
  ["useBackupCode()", ({ factors }) => factors.useBackupCode(ALICE, "a"), { factors: { backupCodes: 1 } }],
  [
    "addPasskey()",
    ({ factors }) => factors.addPasskey({ ...PASSKEY, name: "k", createdAt: 1, accountMax: 5 }),
    { factors: { passkeys: 1 } },
  ],
  [
    "requirePasskey()",
    ({ factors }) => factors.requirePasskey(ALICE, true),
    { factors: { passkeyRequired: true } },
  ],
  [
    "removePasskey()",
    ({ factors }) => factors.removePasskey({ did: ALICE, id: "key" }),
    { factors: { passkeys: 0, passkeyRequired: false } },
  ],
  ["removeTotp()", ({ factors }) => factors.removeTotp(ALICE), { factors: { totpSince: null } }],
  ["removeAll()", ({ factors }) => factors.removeAll(ALICE), { factors: factorsOff }],
  [
    "setEmail() again",
    ({ factors }) => factors.setEmail(ALICE, "b@example.com"),
    { factors: { email: true } },
  ],
  [
    "an address that is changed",
    ({ credentials }) => credentials.changeEmail({ did: ALICE, email: "c@example.com", byAdmin: true }),
    { email: "c@example.com", emailConfirmedAt: null, factors: { email: false } },
  ],
  [
    "revokeAll()",
    ({ credentials }) => credentials.revokeAll({ did: ALICE, sessionsFrom: 20 }),
    { passwordHash: "", sessionsFrom: 20, factors: factorsOff },
  ],
  ["resealKeys()", ({ accounts }) => accounts.resealKeys(), {}],
  ["beginDeletion()", ({ accounts }) => accounts.beginDeletion(ALICE, TOMBSTONE), { state: "deleting" }],
  [
    "finishDeletion()",
    ({ accounts }) => accounts.finishDeletion(ALICE),
    { state: "deleted", handle: "handle.invalid" },
  ],
];

test("KeptReads never tell what was before: every step of an account's life shows at once", async () => {
  await using folder = new Fixture();
  const stores = await openStores(folder);
  for (const [step, change, expected] of STEPS) {
    // Twice: the second is told from memory.
    expect([told(stores), told(stores)]).toEqual([toldAnew(stores), toldAnew(stores)]);
    await change(stores);
    const now = told(stores) as { byDid?: object };
    expect({ step, ...now }).toEqual({ step, ...(toldAnew(stores) as object) });
    if (expected === NO_CHANGE) expect({ step, byDid: now.byDid }).toEqual({ step, byDid: undefined });
    else {
      const { factors = {}, ...account } = expected as { factors?: object };
      expect({ step, ...now }).toMatchObject({ step, byDid: account, factors });
    }
  }
  await stores.hub.close();
});

test("KeptReads forget what a transaction has read of itself where it is rolled back", async () => {
  await using folder = new Fixture();
  const stores = await openStores(folder);
  await begin(stores.accounts);
  let within: string | undefined;
  const failing = stores.hub.write((run) => {
    run("UPDATE account SET state = 'active', handle = 'new.test'");
    within = stores.accounts.accountByHandle("new.test")?.state;
    stores.accounts.account(ALICE);
    throw new Error("no");
  });
  expect(await failing.catch((error: Error) => error.message)).toBe("no");
  expect(within).toBe("active");
  expect(told(stores)).toEqual(toldAnew(stores));
  expect(stores.accounts.account(ALICE)?.state).toBe("creating");
  await stores.hub.close();
});

test("KeptReads rest on tables that nothing writes but statements that name them", async () => {
  await using folder = new Fixture();
  const { hub } = await openStores(folder);
  expect(hub.read("SELECT name FROM sqlite_schema WHERE type = 'trigger'")).toEqual([]);
  expect(
    hub.read(
      `SELECT t.name FROM sqlite_schema t, pragma_foreign_key_list(t.name) k
       WHERE t.type = 'table' AND (k.on_update <> 'NO ACTION' OR k.on_delete <> 'NO ACTION')`,
    ),
  ).toEqual([]);
  await hub.close();
});

test.each([
  ["INSERT INTO account (did) VALUES (?)", ["account"]],
  ["  insert or ignore into account VALUES (1)", ["account"]],
  ["INSERT OR REPLACE INTO open_repo (did) SELECT did FROM account", []],
  ["REPLACE INTO account VALUES (1)", ["account"]],
  ["UPDATE account\n SET did = 1", ["account"]],
  ["UPDATE OR IGNORE account SET did = 1", ["account"]],
  ["DELETE FROM account WHERE did = ?", ["account"]],
  ["DELETE FROM device_account WHERE did = ?", []],
  ["DELETE FROM passkey", ["passkey"]],
  ["WITH x AS (SELECT 1) DELETE FROM session", ["account", "passkey"]],
  ['UPDATE "session" SET did = 1', ["account", "passkey"]],
])("KeptTables.during() forgets after %j", (sql, forgotten) => {
  const tables = new KeptTables();
  const names = ["account", "passkey"];
  const kept = names.map((table) => tables.keep<string>({ tables: [table], keysMax: 2 }));
  for (const reads of kept) reads.get("k", () => "before");
  tables.during((note) => note(sql));
  const after = names.filter((_, at) => kept[at]?.get("k", () => "after") === "after");
  expect(after).toEqual(forgotten);
});

test("KeptReads.get() keeps so many answers at most, and none that there is nothing", () => {
  const reads = new KeptTables().keep<string>({ tables: ["account"], keysMax: 2 });
  const asked: string[] = [];
  const get = (key: string) =>
    reads.get(key, (name) => {
      asked.push(name);
      return name === "nobody" ? undefined : name;
    });
  for (const key of ["a", "b", "a", "nobody", "nobody", "c", "b", "a"]) get(key);
  expect(asked).toEqual(["a", "b", "nobody", "nobody", "c", "a"]);
});
