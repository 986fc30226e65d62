import { expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { cidOfRaw, cidToString, type EventKind, signerFromPrivateKey, toCidLink } from "../atproto/mod.ts";
import { AccountFilesReader, type RepoStore, repoFilePath, type Standing } from "../storage/mod.ts";
import { create, type MadeAccount, RestoredFixture, START_MS } from "./_restored_fixture.ts";
import { type RestoreAccountsOptions, type RestoredAccounts, restoreAccounts } from "./restore_accounts.ts";
import { SNAPSHOT_ORDER } from "./restore_plan.ts";
import { SeenBlobs } from "./seen_blobs.ts";

const DID = "did:plc:alice";
const C = "app.test.post";
/** The accounts store and the files are known up to here; events come after it. */
const SNAPSHOT_SEQ = 1_000;
let runs = 0;

async function run(
  fixture: RestoredFixture,
  more: Partial<RestoreAccountsOptions> = {},
): Promise<RestoredAccounts> {
  const reader = new AccountFilesReader(fixture.folder.accounts);
  const accounts = reader.all();
  reader.close();
  return await restoreAccounts({
    ...{ stores: fixture.stores, state: fixture.state, accounts, repos: new Map() },
    ...{ accountsUpTo: SNAPSHOT_SEQ, snapshotAt: START_MS + 500, takesCommits: true },
    // Another log each time: what an attempt before has ended is done once more.
    logUpTo: ++runs,
    ...{ looksForBlobs: true, document: undefined, publicUrl: "https://pds.test" },
    ...{ now: fixture.nowMs + 60_000, clockId: 3 },
    ...more,
  });
}

/** Looks into an account's file as a restore has left it. */
async function inFile<T>(
  fixture: RestoredFixture,
  { did, generation }: MadeAccount,
  look: (store: RepoStore) => T,
): Promise<T> {
  const store = await fixture.stores.files.open(did, generation);
  try {
    return look(store);
  } finally {
    await store.close();
  }
}

const pendingKinds = (store: RepoStore) => store.pendingEvents().map(({ kind }) => kind);

test("restoreAccounts() rolls a repo forward, and leaves it with a newer commit and what is to be told, once", async () => {
  await using fixture = await RestoredFixture.open();
  const account = await fixture.account(DID);
  const [store, server] = [await fixture.file(account), await fixture.serverFile(account)];
  fixture.state.addEvents([
    fixture.commit(server, account.signer, []),
    fixture.commit(server, account.signer, [create(`${C}/a`)]),
    fixture.renamed(DID, "new.test"),
  ]);
  await store.close();
  const told = server.state().head;
  await server.close();
  const revs: string[] = [];
  for (const commits of [2, 0]) {
    const result = await run(fixture);
    expect(result).toMatchObject({ repos: 1, reposMade: 0, commits, deleted: [], troubles: [] });
    await inFile(fixture, account, (file) => {
      const { head, handle, signingKey } = file.state();
      expect([handle, signingKey]).toEqual(["new.test", account.signer.didKey]);
      expect(head?.data).toEqual(told?.data);
      expect((head?.rev ?? "") > (revs.at(-1) ?? told?.rev ?? "")).toBe(true);
      revs.push(head?.rev ?? "");
      expect(pendingKinds(file)).toEqual(["identity", "account", "sync"]);
    });
  }
  expect(fixture.accounts.openRepos()).toEqual([{ did: DID, generation: account.generation }]);
});

test("restoreAccounts() leaves alone what an attempt before has ended, and tells the same of it", async () => {
  await using fixture = await RestoredFixture.open();
  const account = await fixture.account(DID);
  const [store, server] = [await fixture.file(account), await fixture.serverFile(account)];
  const events = ["", "a", "b"].map((rkey) =>
    fixture.commit(server, account.signer, rkey === "" ? [] : [create(`${C}/${rkey}`)]),
  );
  // One is missing.
  fixture.state.addEvents(events.toSpliced(1, 1));
  await store.close();
  await server.close();
  const first = await run(fixture, { logUpTo: 1 });
  expect(first.troubles.map(({ what, isLoss }) => [what.includes("could not be applied"), isLoss])).toEqual([
    [true, true],
  ]);
  const head = () => inFile(fixture, account, (file) => file.state().head?.rev);
  const rev = await head();
  expect([await run(fixture, { logUpTo: 1 }), await head()]).toEqual([first, rev]);
  // With a longer log it is looked at again, and what was lost is still told.
  expect((await run(fixture, { logUpTo: 2 })).troubles).toEqual(first.troubles);
  expect(await head()).not.toBe(rev);
});

test("restoreAccounts() makes a repo from its events where its file was in no snapshot", async () => {
  await using fixture = await RestoredFixture.open();
  const account = await fixture.account(DID);
  const server = await fixture.serverFile(account);
  fixture.state.addEvents([
    fixture.commit(server, account.signer, []),
    fixture.commit(server, account.signer, [create(`${C}/a`)]),
  ]);
  await server.close();
  expect(await run(fixture)).toMatchObject({ repos: 1, reposMade: 1, commits: 2, troubles: [] });
  expect(await inFile(fixture, account, (store) => store.recordCount())).toBe(1);
});

test("restoreAccounts() makes an empty repo for an account that came into being meanwhile, told by #sync alone", async () => {
  await using fixture = await RestoredFixture.open();
  fixture.nowMs += 1_000;
  const account = await fixture.account(DID);
  expect(await run(fixture)).toMatchObject({ repos: 1, reposMade: 1, commits: 0, troubles: [] });
  await inFile(fixture, account, (store) => {
    expect([store.recordCount(), store.state().head !== null]).toEqual([0, true]);
    expect(pendingKinds(store)).toEqual(["identity", "account", "sync"]);
  });
});

test("restoreAccounts() says of an account that was moving in that nothing of its repo is here, without doubts and advice", async () => {
  await using fixture = await RestoredFixture.open();
  fixture.nowMs += 1_000;
  const account = await fixture.account(DID);
  const standing = { status: "deactivated", ownerStatus: "deactivated", takedownRef: null } as const;
  await fixture.accounts.projectState(DID, standing, { now: fixture.nowMs });
  const other = signerFromPrivateKey("k256", randomBytes(32)).didKey;
  const document = async () => ({
    id: DID,
    verificationMethod: [
      {
        id: "#atproto",
        type: "Multikey",
        controller: DID,
        publicKeyMultibase: other.slice("did:key:".length),
      },
    ],
    service: [
      { id: "#atproto_pds", type: "AtprotoPersonalDataServer", serviceEndpoint: "http://localhost:2583" },
    ],
  });
  // An attempt that was cut off does not keep the next one from telling it.
  for (const _ of [1, 2]) {
    const { troubles, formerUrls } = await run(fixture, { document, publicUrl: "http://localhost:2600" });
    expect(formerUrls).toEqual([]);
    expect(troubles.map(({ what }) => what)).toEqual([expect.stringContaining("was moving in")]);
  }
  expect(await inFile(fixture, account, (file) => file.state())).toMatchObject(standing);
});

test("restoreAccounts() never makes an empty repo for an older account", async () => {
  await using fixture = await RestoredFixture.open();
  const account = await fixture.account(DID);
  const server = await fixture.serverFile(account);
  fixture.commit(server, account.signer, []);
  // Of its later history there is something, of its beginning nothing.
  fixture.state.addEvents([fixture.commit(server, account.signer, [create(`${C}/a`)])]);
  await server.close();
  const { troubles, reposMade } = await run(fixture);
  expect([reposMade, troubles.map(({ isLoss }) => isLoss)]).toEqual([0, [true]]);
  expect(fixture.stores.files.exists(DID, account.generation)).toBe(false);
  expect(fixture.accounts.account(DID)?.state).toBe("deactivated");
});

test("restoreAccounts() leaves an account that was being created to the directory", async () => {
  await using fixture = await RestoredFixture.open();
  const account = await fixture.account(DID, "creating");
  const document = async () => ({ id: DID });
  expect(await run(fixture)).toMatchObject({ repos: 0, reposMade: 0, troubles: [] });
  expect(fixture.stores.files.exists(DID, account.generation)).toBe(false);
  expect(await run(fixture, { document, publicUrl: "https://pds.test" })).toMatchObject({ reposMade: 1 });
  expect(fixture.accounts.account(DID)?.state).toBe("creating");
  await inFile(fixture, account, (store) => expect(store.state().head).not.toBeNull());
});

test("restoreAccounts() begins a deletion anew that was made after the snapshot", async () => {
  await using fixture = await RestoredFixture.open();
  const account = await fixture.account(DID);
  const store = await fixture.file(account);
  fixture.commit(store, account.signer, []);
  await store.close();
  fixture.state.addEvents([fixture.told(DID, "deleted")]);
  expect(await run(fixture)).toMatchObject({ deleted: [DID], repos: 0 });
  const [dying] = fixture.accounts.deleting();
  expect([dying?.did, dying?.tombstone.kind]).toEqual([DID, "account"]);
  expect(await run(fixture)).toMatchObject({ deleted: [DID] });
});

test.each<[Standing["status"], EventKind[]]>([
  ["takendown", ["identity", "account"]],
  ["deactivated", ["identity", "account"]],
  ["active", ["identity", "account", "sync"]],
])("restoreAccounts() carries out again that an account became %s", async (status, kinds) => {
  await using fixture = await RestoredFixture.open();
  const account = await fixture.account(DID);
  const store = await fixture.file(account);
  fixture.commit(store, account.signer, []);
  await store.close();
  fixture.state.addEvents([fixture.told(DID, "deactivated"), fixture.told(DID, status)]);
  // An attempt that was cut off after it leaves the next one no doubt.
  for (const _ of [1, 2]) expect((await run(fixture)).troubles).toEqual([]);
  await inFile(fixture, account, (file) => {
    expect([file.state().status, pendingKinds(file)]).toEqual([status, kinds]);
  });
});

test("restoreAccounts() keeps what its owner has made of an account that is down, which the accounts store alone may know", async () => {
  await using fixture = await RestoredFixture.open();
  const account = await fixture.account(DID);
  const store = await fixture.file(account);
  fixture.commit(store, account.signer, []);
  await store.close();
  const down = { status: "takendown", ownerStatus: "deactivated", takedownRef: "case 7" } as const;
  await fixture.accounts.projectState(DID, down, { now: fixture.nowMs });
  fixture.state.addEvents([fixture.told(DID, "takendown")]);
  expect((await run(fixture)).troubles).toEqual([]);
  expect(await inFile(fixture, account, (file) => file.state())).toMatchObject(down);
});

test("restoreAccounts() does not activate who has moved away, and tells what is not in order", async () => {
  await using fixture = await RestoredFixture.open();
  const account = await fixture.account(DID);
  const store = await fixture.file(account);
  fixture.commit(store, account.signer, []);
  await store.close();
  const service = [
    { id: "#atproto_pds", type: "AtprotoPersonalDataServer", serviceEndpoint: "https://pds.elsewhere" },
  ];
  await run(fixture, { document: async () => ({ id: DID, service }) });
  const { troubles } = await run(fixture, { document: async () => ({ id: DID, service }) });
  expect(troubles.map(({ what, isLoss }) => [what.includes("https://pds.elsewhere"), isLoss])).toEqual([
    [true, false],
  ]);
  expect(await inFile(fixture, account, (file) => file.state().status)).toBe("deactivated");
});

test("restoreAccounts() leaves active whose DID documents name this server by another port of the machine", async () => {
  await using fixture = await RestoredFixture.open();
  const account = await fixture.account(DID);
  const store = await fixture.file(account);
  fixture.commit(store, account.signer, []);
  await store.close();
  const former = "http://localhost:2583";
  const service = [{ id: "#atproto_pds", type: "AtprotoPersonalDataServer", serviceEndpoint: former }];
  const document = async () => ({ id: DID, service });
  const result = await run(fixture, { document, publicUrl: "http://localhost:2600" });
  expect(result).toMatchObject({ troubles: [], formerUrls: [former] });
  expect(await inFile(fixture, account, (file) => file.state().status)).toBe("active");
});

test("restoreAccounts() does not sign what is damaged: it is deactivated, and its commit stays", async () => {
  await using fixture = await RestoredFixture.open();
  const account = await fixture.account(DID);
  const store = await fixture.file(account);
  fixture.commit(store, account.signer, [create(`${C}/a`), create(`${C}/b`)]);
  const { head } = store.state();
  store.fileForTests.transaction(() => {
    store.fileForTests.db.run("DELETE FROM block WHERE cid = (SELECT cid FROM record WHERE rkey = 'a')");
  });
  await store.close();
  const { troubles } = await run(fixture);
  expect(troubles.map(({ what, isLoss }) => [what.includes("damaged in the backup"), isLoss])).toEqual([
    [true, true],
  ]);
  await inFile(fixture, account, (file) => {
    expect([file.state().status, file.state().head, pendingKinds(file)]).toEqual([
      "deactivated",
      head,
      ["identity", "account"],
    ]);
  });
});

test("restoreAccounts() puts away the blobs that are taken down, and back the others", async () => {
  await using fixture = await RestoredFixture.open();
  const account = await fixture.account(DID);
  const store = await fixture.file(account);
  fixture.commit(store, account.signer, []);
  const [down, lifted, both, other] = ["down", "lifted", "both", "other"].map((text) =>
    cidOfRaw(Buffer.from(text)),
  );
  if (!down || !lifted || !both || !other) throw new Error("four blobs");
  for (const cid of [down, lifted, both])
    store.putBlob({ cid, mimeType: "text/plain", size: 4, createdAt: START_MS });
  for (const cid of [down, both]) store.takedowns.apply({ kind: "blob", cid, ref: "case 7" });
  await store.close();
  const seen = (cid: typeof down, quarantined: boolean) =>
    fixture.state.noteSeen({ did: DID, cid: cidToString(cid), size: 4, sha256: "", quarantined });
  for (const cid of [down, lifted, both])
    for (const folder of ["blobs", "blobs/quarantine"])
      fixture.state.noteFetched(`${folder}/did_plc_alice/${cidToString(cid)}`, "");
  // Of a server that goes on in the same place: taken down since.
  seen(other, true);
  // As they were when they were copied; one in both places.
  seen(down, false);
  seen(lifted, true);
  for (const quarantined of [true, false]) seen(both, quarantined);
  fixture.state.flush();
  for (const _ of [1, 2]) {
    expect((await run(fixture)).troubles).toEqual([]);
    const at = (quarantined: boolean) => fixture.state.seenBlobs(DID, { quarantined, after: "", limit: 9 });
    expect(at(true)).toEqual([down, both, other].map(cidToString).sort());
    expect(at(false)).toEqual([cidToString(lifted)]);
  }
});

test("restoreAccounts() puts away, and back, what restores before it have left where nothing else is", async () => {
  await using fixture = await RestoredFixture.open();
  const account = await fixture.account(DID);
  const store = await fixture.file(account);
  fixture.commit(store, account.signer, []);
  const [down, lifted] = ["down", "lifted"].map((text) => cidOfRaw(Buffer.from(text)));
  if (!down || !lifted) throw new Error("two blobs");
  for (const cid of [down, lifted])
    store.putBlob({ cid, mimeType: "text/plain", size: 4, createdAt: START_MS });
  store.takedowns.apply({ kind: "blob", cid: down, ref: "case 7" });
  await store.close();
  for (const cid of [down, lifted])
    fixture.state.noteSeen({
      did: DID,
      cid: cidToString(cid),
      size: 4,
      sha256: "",
      quarantined: cid === lifted,
    });
  fixture.state.flush();
  const at = (quarantined: boolean) => fixture.state.seenBlobs(DID, { quarantined, after: "", limit: 9 });
  for (const ownsBlobs of [false, true]) {
    expect((await run(fixture, { ownsBlobs })).troubles).toEqual([]);
    expect(at(ownsBlobs)).toEqual([cidToString(down)]);
    expect(at(!ownsBlobs)).toEqual([cidToString(lifted)]);
  }
});

test("restoreAccounts() lists blobs as missing whose files are not there", async () => {
  await using fixture = await RestoredFixture.open();
  const account = await fixture.account(DID);
  const server = await fixture.serverFile(account);
  const [lost, kept] = ["lost", "kept"].map((text) => cidOfRaw(Buffer.from(text)));
  if (!lost || !kept) throw new Error("two blobs");
  const refer = (cid: typeof lost) => ({
    $type: "blob",
    ref: toCidLink(cid),
    mimeType: "text/plain",
    size: 4,
  });
  fixture.state.addEvents([
    fixture.commit(server, account.signer, []),
    fixture.commit(server, account.signer, [
      create(`${C}/a`, { blob: refer(lost) }),
      create(`${C}/b`, { blob: refer(kept) }),
    ]),
  ]);
  await server.close();
  fixture.state.noteFetched(`blobs/did_plc_alice/${cidToString(kept)}`, "");
  const { troubles } = await run(fixture);
  expect(troubles.map(({ what }) => what.includes(cidToString(lost)))).toEqual([true]);
  await inFile(fixture, account, (store) => {
    expect(store.listMissingBlobs({ limit: 9 }).map(({ path }) => path)).toEqual([`${C}/a`]);
    expect(store.blob(kept)).toBeDefined();
  });
});

test("restoreAccounts() tells what was lost also where an attempt was cut off after it had gone on without it", async () => {
  await using fixture = await RestoredFixture.open();
  const account = await fixture.account(DID);
  const server = await fixture.serverFile(account);
  const lost = cidOfRaw(Buffer.from("lost"));
  const blob = { $type: "blob", ref: toCidLink(lost), mimeType: "text/plain", size: 4 };
  const writes = [[], [create(`${C}/a`, { blob })], [create(`${C}/b`)], [create(`${C}/c`)]];
  const events = writes.map((each) => fixture.commit(server, account.signer, each));
  await server.close();
  // One is missing.
  fixture.state.addEvents(events.toSpliced(2, 1));
  const blobs = Object.assign(new SeenBlobs(fixture.state), {
    list: () => Promise.reject(new Error("killed")),
  });
  for (const _ of [1, 2])
    expect(
      await run(fixture, { logUpTo: 1, stores: { ...fixture.stores, blobs } }).catch(
        ({ message }) => message,
      ),
    ).toBe("killed");
  const { troubles } = await run(fixture, { logUpTo: 1 });
  expect(troubles.map(({ what, isLoss }) => [what, isLoss])).toEqual([
    [expect.stringContaining("could not be applied"), true],
    [expect.stringContaining(cidToString(lost)), true],
  ]);
});

test("restoreAccounts() tells of an account whose file was taken from an older snapshot, as the newer one's is damaged", async () => {
  await using fixture = await RestoredFixture.open();
  const account = await fixture.account(DID);
  const store = await fixture.file(account);
  fixture.commit(store, account.signer, [create(`${C}/a`)]);
  await store.close();
  const path = `repos/${repoFilePath(DID, account.generation)}`;
  const entry = { path, kind: "repo" as const, size: 0, sha256: "", chunks: [] };
  const file = { entry, upTo: SNAPSHOT_SEQ, order: SNAPSHOT_ORDER };
  expect((await run(fixture, { repos: new Map([[path, file]]) })).troubles).toEqual([]);
  const { troubles } = await run(fixture, { repos: new Map([[path, { ...file, isInstead: true }]]) });
  expect(troubles.map(({ what, isLoss }) => [what.includes("an older one"), isLoss])).toEqual([[true, true]]);
});

test("restoreAccounts() replaces takedowns, and of what is left as it was not the preferences", async () => {
  await using fixture = await RestoredFixture.open();
  const account = await fixture.account(DID);
  const store = await fixture.file(account);
  fixture.commit(store, account.signer, [create(`${C}/a`)]);
  const preference = { id: 1, name: "app.test.pref", value: '{"$type":"app.test.pref"}' };
  store.replaceQuiet({ preference: [preference] });
  await store.close();
  const takedown = { collection: C, rkey: "a", cid: "bafy", ref: "late" };
  const quiet = { preference: [], record_takedown: [takedown], blob_takedown: [] };
  const rows = new Map([[DID, { did: DID, store: {}, quiet, upTo: SNAPSHOT_SEQ, order: 0, sha256: "x" }]]);
  for (const [takesCommits, preferences] of [
    [false, 1],
    [true, 0],
  ] as const) {
    await run(fixture, { rows, takesCommits });
    await inFile(fixture, account, (file) => {
      const { n = 0 } =
        file.fileForTests.db.query<{ n: number }, []>("SELECT count(*) n FROM preference").get() ?? {};
      expect([file.takedowns.record(C, "a")?.ref, n]).toEqual(["late", preferences]);
    });
  }
});
