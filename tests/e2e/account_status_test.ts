/** Turning an account off and on, what that means for everybody else, and the end that its owner asked for. */
import { describe, expect, test } from "bun:test";
import { Secp256k1Keypair } from "@atproto/crypto";
import { Client } from "@did-plc/lib";
import { PASSWORD, xrpc } from "../client.ts";
import { describeEvent } from "../firehose.ts";
import { KEY_TYPES } from "../harness.ts";
import { type Row, type Stage, testRows, useStage } from "../stage.ts";

const ACTIVATE = "com.atproto.server.activateAccount";
const DEACTIVATE = "com.atproto.server.deactivateAccount";
const CHECK = "com.atproto.server.checkAccountStatus";
const ROTATION_KEY = "5".repeat(64);

const post = ({ alice }: Stage) => ({
  method: "POST",
  token: alice.accessJwt,
});
const write = ({ alice }: Stage) => ({
  token: alice.accessJwt,
  body: { repo: alice.did, collection: "dev.kith.test.mark", record: { $type: "dev.kith.test.mark", n: 1 } },
});
const ofAlice = ({ alice }: Stage) => ({ params: { did: alice.did } });

const rows: Row[] = [
  {
    title: "needs a session",
    to: ACTIVATE,
    call: () => ({ method: "POST" }),
    status: 401,
    error: "AuthMissing",
  },
  { title: "needs a session", to: DEACTIVATE, call: () => ({ body: {} }), status: 401, error: "AuthMissing" },
  { title: "needs a session", to: CHECK, status: 401, error: "AuthMissing" },
  {
    title: "tells nine fields of a fresh account",
    to: CHECK,
    call: ({ alice }) => ({ token: alice.accessJwt }),
    status: 200,
    check: ({ json }) => {
      expect(json).toEqual({
        activated: true,
        validDid: true,
        repoCommit: expect.stringMatching(/^bafyrei/),
        repoRev: expect.stringMatching(/^3[a-z2-7]{12}$/),
        repoBlocks: 2,
        indexedRecords: 0,
        privateStateValues: 0,
        expectedBlobs: 0,
        importedBlobs: 0,
      } as never);
    },
  },
  {
    title: "turns it off, and tells",
    to: DEACTIVATE,
    call: ({ alice }) => ({ token: alice.accessJwt, body: {} }),
    status: 200,
    events: ["#account deactivated"],
  },
  {
    title: "lets its owner see so",
    to: "com.atproto.server.getSession",
    call: ({ alice }) => ({ token: alice.accessJwt }),
    status: 200,
    check: ({ json }) => expect(json).toMatchObject({ active: false, status: "deactivated" }),
  },
  {
    title: "lets its owner sign in",
    to: "com.atproto.server.createSession",
    call: ({ alice }) => ({ body: { identifier: alice.handle, password: PASSWORD } }),
    status: 200,
    check: ({ json }) => expect(json).toMatchObject({ active: false, status: "deactivated" }),
  },
  {
    title: "refuses a record",
    to: "com.atproto.repo.createRecord",
    call: write,
    status: 401,
    error: "AccountDeactivated",
  },
  {
    title: "takes a blob, for a move",
    to: "com.atproto.repo.uploadBlob",
    call: ({ alice }) => ({
      token: alice.accessJwt,
      body: new TextEncoder().encode("a blob"),
      headers: { "content-type": "text/plain" },
    }),
    status: 200,
  },
  {
    title: "says so of the repo",
    to: "com.atproto.sync.getRepo",
    call: ofAlice,
    status: 400,
    error: "RepoDeactivated",
  },
  {
    title: "gives its owner the repo",
    to: "com.atproto.sync.getRepo",
    call: (stage) => ({ ...ofAlice(stage), token: stage.alice.accessJwt }),
    status: 200,
  },
  {
    title: "says so of the repo",
    to: "com.atproto.sync.getLatestCommit",
    call: ofAlice,
    status: 400,
    error: "RepoDeactivated",
  },
  {
    title: "says so of the account",
    to: "com.atproto.sync.getRepoStatus",
    call: ofAlice,
    status: 200,
    check: ({ json }) => {
      expect(json).toMatchObject({ active: false, status: "deactivated" });
      expect("rev" in json).toBe(false);
    },
  },
  {
    title: "does not resolve the handle",
    to: "com.atproto.identity.resolveHandle",
    call: ({ alice }) => ({ params: { handle: alice.handle } }),
    status: 400,
    error: "HandleNotFound",
  },
  {
    title: "counts what is there",
    to: CHECK,
    call: ({ alice }) => ({ token: alice.accessJwt }),
    status: 200,
    check: ({ json }) => expect(json).toMatchObject({ activated: false, validDid: true, importedBlobs: 1 }),
  },
  {
    title: "refuses a time that is none",
    to: DEACTIVATE,
    call: ({ alice }) => ({ token: alice.accessJwt, body: { deleteAfter: "tomorrow" } }),
    status: 400,
    error: "InvalidRequest",
  },
  {
    title: "turns it on again, and tells account, identity, sync",
    to: ACTIVATE,
    call: post,
    status: 200,
    events: ["#account active", "#identity", "#sync"],
  },
  {
    title: "takes records again",
    to: "com.atproto.repo.createRecord",
    call: write,
    status: 200,
    events: [expect.stringMatching(/^#commit/) as unknown as string],
  },
];

describe.each([...KEY_TYPES])("status (%s)", (keyType) => {
  const holder = useStage({ keyType, env: { PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX: ROTATION_KEY } });
  testRows(holder, rows);

  test("an app password changes no status", async () => {
    const { url, alice } = holder.stage;
    const made = await xrpc(url, "com.atproto.server.createAppPassword", {
      token: alice.accessJwt,
      body: { name: "phone", privileged: true },
    });
    const body = { identifier: alice.handle, password: made.json.password };
    const token = String((await xrpc(url, "com.atproto.server.createSession", { body })).json.accessJwt);
    for (const call of [
      [ACTIVATE, { method: "POST" }],
      [DEACTIVATE, { body: {} }],
    ] as const) {
      const refused = await xrpc(url, call[0], { token, ...call[1] });
      expect([refused.status, refused.error]).toEqual([400, "InvalidToken"]);
    }
    expect((await xrpc(url, CHECK, { token })).status).toBe(200);
  });

  test("activateAccount refuses while the DID leads elsewhere, and says so", async () => {
    const { stage } = holder;
    const bob = await stage.account("bob");
    const directory = new Client(stage.plc.url);
    const key = await Secp256k1Keypair.import(ROTATION_KEY);
    await xrpc(stage.url, DEACTIVATE, { token: bob.accessJwt, body: {} });
    await directory.updatePds(bob.did, key, "https://pds.example.com");
    const { value: refused, events } = await stage.eventsDuring(() =>
      xrpc(stage.url, ACTIVATE, { method: "POST", token: bob.accessJwt }),
    );
    expect([refused.status, refused.error]).toEqual([400, "InvalidRequest"]);
    expect(String(refused.json.message)).toContain("https://pds.example.com");
    expect(events).toEqual([]);
    const status = await xrpc(stage.url, CHECK, { token: bob.accessJwt });
    expect(status.json).toMatchObject({ activated: false, validDid: false });
    await directory.updatePds(bob.did, key, stage.url);
    await directory.updateAtprotoKey(bob.did, key, key.did());
    const wrongKey = await xrpc(stage.url, ACTIVATE, { method: "POST", token: bob.accessJwt });
    expect([wrongKey.status, wrongKey.error]).toEqual([400, "InvalidRequest"]);
    await directory.updateAtprotoKey(bob.did, key, bob.didKey);
    expect((await xrpc(stage.url, ACTIVATE, { method: "POST", token: bob.accessJwt })).status).toBe(200);
  });

  test("deactivateAccount with deleteAfter: the account goes when its time has come", async () => {
    const { stage } = holder;
    const carl = await stage.account("carl");
    const dora = await stage.account("dora");
    const deactivate = (token: string, deleteAfter: Date) =>
      xrpc(stage.url, DEACTIVATE, { token, body: { deleteAfter: deleteAfter.toISOString() } });
    const hour = new Date(Date.now() + 3_600_000);
    expect((await deactivate(carl.accessJwt, hour)).status).toBe(200);
    // Who activates again, or says nothing of an end, stays.
    expect((await deactivate(dora.accessJwt, hour)).status).toBe(200);
    expect((await xrpc(stage.url, ACTIVATE, { method: "POST", token: dora.accessJwt })).status).toBe(200);
    const { events } = await stage.eventsDuring(async () => {
      expect((await deactivate(carl.accessJwt, new Date(Date.now() + 50))).status).toBe(200);
      // It is decided, and so answered for, a moment before it is told.
      await stage.firehose.find(
        "the deletion",
        (event) => event.did === carl.did && describeEvent(event) === "#account deleted",
      );
      const status = await xrpc(stage.url, "com.atproto.sync.getRepoStatus", { params: { did: carl.did } });
      expect(status.json.status).toBe("deleted");
    });
    expect(events.filter(({ did }) => did === carl.did).map(describeEvent)).toEqual([
      "#account deactivated",
      "#account deleted",
    ]);
    const gone = await xrpc(stage.url, "com.atproto.server.getSession", { token: carl.accessJwt });
    expect(gone.error).toBe("AccountNotFound");
    const kept = await xrpc(stage.url, "com.atproto.server.getSession", { token: dora.accessJwt });
    expect(kept.json).toMatchObject({ active: true });
  });

  test("the firehose of all this holds to Sync 1.1", () => holder.stage.judgeAll());
});
