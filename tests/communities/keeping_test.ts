/** Identities alone, accounts that were there before, what becomes of them, and of accounts whose owners have communities. */
import { afterAll, describe, expect, test } from "bun:test";
import { Secp256k1Keypair } from "@atproto/crypto";
import { type Account, type Answer, type Call, createAccount, PASSWORD, xrpc } from "../client.ts";
import { describeEvent } from "../firehose.ts";
import { ADMIN_PASSWORD, TestServer } from "../harness.ts";
import { FaultyPlc, PlcDirectory } from "../plc_directory.ts";
import { type Stage, useStage } from "../stage.ts";
import { adminCall, community, emailCode, provision, provisionInput, ROOM } from "./group.ts";

const NOTE = "dev.kith.test.note";
const ADMIN = { authorization: `Basic ${btoa(`admin:${ADMIN_PASSWORD}`)}` };
const record = { $type: NOTE, text: "hello" };

const outcome = ({ status, error }: Answer) => [status, error];

async function does(stage: Stage, by: Account, name: string, call: Call): Promise<Record<string, unknown>> {
  const { status, json } = await community(stage.url, name, { token: by.accessJwt, ...call });
  expect({ name, status, json }).toMatchObject({ status: 200 });
  return json;
}

async function refused(stage: Stage, by: Account, name: string, call: Call): Promise<unknown[]> {
  return outcome(await community(stage.url, name, { token: by.accessJwt, ...call }));
}

async function appPasswordOf({ agent }: Account, name: string): Promise<string> {
  return (await agent.com.atproto.server.createAppPassword({ name })).data.password;
}

describe("an identity alone", () => {
  const holder = useStage({ env: ROOM });

  test("mint: only the caller's key rules it, and nothing of it is here", async () => {
    const { stage } = holder;
    const key = await Secp256k1Keypair.create();
    const body = { idempotencyKey: "key-of-the-mint", rotationKey: key.did(), handle: "minted.example.com" };
    const made = await does(stage, stage.alice, "mint", { body });
    expect(await does(stage, stage.alice, "mint", { body })).toEqual(made);
    const { communityDid, attemptId, canDo, cannotDo } = made as Record<string, string>;
    expect([attemptId?.length, canDo?.length, cannotDo?.length].every((length) => Number(length) > 0)).toBe(
      true,
    );
    const log = await stage.plc.log(String(communityDid));
    expect(log).toHaveLength(2);
    const data = await (await fetch(`${stage.plc.url}/${communityDid}/data`)).json();
    expect(data).toMatchObject({ rotationKeys: [key.did()], alsoKnownAs: ["at://minted.example.com"] });
    const params = { communityDid: String(communityDid) };
    const seen = await does(stage, stage.alice, "get", { params });
    expect(seen).toMatchObject({ mode: "minted", handle: "minted.example.com", role: "owner" });
    expect(seen).not.toHaveProperty("hosting");
    const health = await does(stage, stage.alice, "getHealth", { params });
    expect(health).toMatchObject({
      status: "healthy",
      checks: [{ name: "identity" }, { name: "rotationKeys" }],
    });

    const calls: [string, Call][] = [
      ["createRecord", { body: { ...params, collection: NOTE, record } }],
      ["putRecord", { body: { ...params, collection: NOTE, rkey: "a", record } }],
      ["deleteRecord", { body: { ...params, collection: NOTE, rkey: "a" } }],
      [
        "applyWrites",
        {
          body: {
            ...params,
            writes: [{ $type: "dev.kith.community.applyWrites#delete", collection: NOTE, rkey: "a" }],
          },
        },
      ],
      ["uploadBlob", { params, body: new Uint8Array([1]) }],
      ["reauth", { body: { ...params, appPassword: "aaaa-bbbb-cccc-dddd" } }],
    ];
    for (const [name, call] of calls) {
      expect([name, await refused(stage, stage.alice, name, call)]).toEqual([name, [400, "NotSupported"]]);
    }
    const end = await does(stage, stage.alice, "delete", { body: params });
    expect((end.remains as string[]).join()).toContain(key.did());
    expect(await stage.plc.log(String(communityDid))).toHaveLength(2);
  });
});

describe("an account that was there", () => {
  let other: TestServer;
  let zoe: Account;
  const holder = useStage({
    env: () => ({ ...ROOM, KITH_LOGIN_FAILURES_MAX: "100", KITH_COMMUNITY_PDS_ALLOWLIST: "" }),
    onReady: async (stage) => {
      other = await TestServer.start({
        env: { PDS_DID_PLC_URL: stage.plc.url, KITH_LOGIN_FAILURES_MAX: "100" },
      });
      zoe = await createAccount(other.url, "zoe", stage.plc);
    },
  });
  afterAll(async () => {
    await other?.[Symbol.asyncDispose]();
  });

  test("adopt: refuses what is no app password of an account that it can use", async () => {
    const { stage } = holder;
    const bob = await stage.account("bob");
    const rows: [object, number, string][] = [
      [{ identifier: bob.handle, appPassword: PASSWORD }, 400, "InvalidCredentials"],
      [{ identifier: bob.did, appPassword: "aaaa-bbbb-cccc-dddd" }, 400, "InvalidCredentials"],
      [
        { identifier: bob.did, appPassword: await appPasswordOf(stage.alice, "alices") },
        400,
        "InvalidCredentials",
      ],
      [{ identifier: "nobody.test", appPassword: "aaaa-bbbb-cccc-dddd" }, 400, "HandleNotFound"],
      [{ identifier: "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", appPassword: "x" }, 400, "DidNotFound"],
      [{ identifier: zoe.did, appPassword: "aaaa-bbbb-cccc-dddd" }, 403, "HostNotAllowed"],
    ];
    for (const [body, ...expected] of rows) {
      expect([body, await refused(stage, stage.alice, "adopt", { body })]).toEqual([body, expected]);
    }
    expect(await does(stage, stage.alice, "list", {})).toEqual({ communities: [] });
  });

  /** Adopted, published for, shut out, let in again, and given up. */
  const lives = async (
    stage: Stage,
    { account, url, hosting }: { account: Account; url: string; hosting: string },
  ) => {
    const { alice } = stage;
    const appPassword = await appPasswordOf(account, "community");
    const body = { identifier: account.did, appPassword };
    const made = await does(stage, alice, "adopt", { body });
    expect(made).toMatchObject({ communityDid: account.did, handle: account.handle });
    expect(await refused(stage, alice, "adopt", { body })).toEqual([400, "AlreadyExists"]);
    const params = { communityDid: account.did };
    expect(await does(stage, alice, "get", { params })).toMatchObject({
      mode: "adopted",
      hosting,
      role: "owner",
    });
    const write = { body: { ...params, collection: NOTE, rkey: "a", record } };
    const written = await does(stage, alice, "putRecord", write);
    expect(written.uri).toBe(`at://${account.did}/${NOTE}/a`);
    const read = await xrpc(url, "com.atproto.repo.getRecord", {
      params: { repo: account.did, collection: NOTE, rkey: "a" },
    });
    expect(read.json.value).toEqual(record);
    expect(await does(stage, alice, "getHealth", { params })).toMatchObject({ status: "healthy" });

    await account.agent.com.atproto.server.revokeAppPassword({ name: "community" });
    const health = await does(stage, alice, "getHealth", { params });
    expect(health).toMatchObject({ status: "expired" });
    expect(await refused(stage, alice, "putRecord", write)).toEqual([502, "UpstreamFailure"]);
    expect(JSON.stringify(health.checks)).toContain("reauth");
    for (const wrong of ["aaaa-bbbb-cccc-dddd", PASSWORD]) {
      const reauth = { body: { ...params, appPassword: wrong } };
      expect(await refused(stage, alice, "reauth", reauth)).toEqual([400, "InvalidCredentials"]);
    }
    const anew = await appPasswordOf(account, "community anew");
    await does(stage, alice, "reauth", { body: { ...params, appPassword: anew } });
    expect(await does(stage, alice, "getHealth", { params })).toMatchObject({ status: "healthy" });
    await does(stage, alice, "putRecord", write);

    await account.agent.com.atproto.server.deactivateAccount({});
    expect(await does(stage, alice, "getHealth", { params })).toMatchObject({ status: "deactivated" });
    await account.agent.com.atproto.server.activateAccount();

    const end = await does(stage, alice, "delete", { body: params });
    expect((end.remains as string[]).join()).toContain("owner's");
    expect(await refused(stage, alice, "get", { params })).toEqual([400, "CommunityNotFound"]);
    const still = await xrpc(url, "com.atproto.sync.getRepoStatus", { params: { did: account.did } });
    expect(still.json).toMatchObject({ active: true });
  };

  test("adopt: one of this server", async () => {
    const { stage } = holder;
    const account = await stage.account("carol");
    await lives(stage, { account, url: stage.url, hosting: "loopback" });
  });

  test("adopt: one of another server, once the operator allows it", async () => {
    const { stage } = holder;
    stage.server.set("KITH_COMMUNITY_PDS_ALLOWLIST", other.url);
    await stage.server.stop();
    await stage.server.start();
    await lives(stage, { account: zoe, url: other.url, hosting: "remote" });
  });
});

describe("the account of a member ends", () => {
  const holder = useStage({ env: ROOM });
  const remove = (stage: Stage, { did }: Account) =>
    xrpc(stage.url, "com.atproto.admin.deleteAccount", { headers: ADMIN, body: { did } });

  test("not while it is the last owner of a community: the answer says of which, and what to do", async () => {
    const { stage } = holder;
    const bob = await stage.account("bob");
    const group = await provision(stage.url, bob, { name: "bobs", hosting: "native" });
    const code = await emailCode(stage.server, bob.did, "delete_account");
    const body = { did: bob.did, password: PASSWORD, token: code };
    const own = await xrpc(stage.url, "com.atproto.server.deleteAccount", { body });
    expect(outcome(own)).toEqual([400, "LastOwner"]);
    expect(own.json.message).toContain("bobs.test");
    expect(outcome(await remove(stage, bob))).toEqual([400, "LastOwner"]);
    // Wrong words learn nothing of it.
    const wrong = await xrpc(stage.url, "com.atproto.server.deleteAccount", {
      body: { ...body, password: "no" },
    });
    expect(outcome(wrong)).toEqual([401, "AuthenticationRequired"]);
    await does(stage, bob, "grant", {
      body: { communityDid: group.did, subject: stage.alice.did, role: "owner" },
    });
    expect((await xrpc(stage.url, "com.atproto.server.deleteAccount", { body })).status).toBe(200);
    const { members } = await does(stage, stage.alice, "listMembers", {
      params: { communityDid: group.did },
    });
    expect(members).toMatchObject([{ did: stage.alice.did }]);
  });

  test("an account of a community itself takes the community with it", async () => {
    const { stage } = holder;
    const group = await provision(stage.url, stage.alice, { name: "ending", hosting: "native" });
    const { events } = await stage.eventsDuring(() => remove(stage, { did: group.did } as Account));
    expect(events.map(describeEvent)).toEqual(["#account deleted"]);
    const params = { communityDid: group.did };
    expect(await refused(stage, stage.alice, "get", { params })).toEqual([400, "CommunityNotFound"]);
  });

  test("what is left of one that has moved away may go, and its owner stays one", async () => {
    const { stage } = holder;
    await using there = await TestServer.start({ env: { PDS_DID_PLC_URL: stage.plc.url } });
    const dora = await stage.account("dora");
    const group = await provision(stage.url, dora, { name: "doras", hosting: "native" });
    const moved = await move(stage, { account: dora, to: there.url });
    await dora.agent.com.atproto.server.deactivateAccount({});
    expect((await remove(stage, dora)).status).toBe(200);
    const serviceDid = (await xrpc(stage.url, "com.atproto.server.describeServer")).json.did;
    const params = { aud: String(serviceDid), lxm: "dev.kith.community.list" };
    const { json } = await xrpc(there.url, "com.atproto.server.getServiceAuth", { params, token: moved });
    const list = await community(stage.url, "list", { token: String(json.token) });
    expect(list.json.communities).toMatchObject([{ did: group.did, role: "owner" }]);
  });
});

/** By the steps that every client takes; resolves with a session at the new server. */
async function move(stage: Stage, { account, to }: { account: Account; to: string }): Promise<string> {
  const there = (await xrpc(to, "com.atproto.server.describeServer")).json.did;
  const { agent, did } = account;
  const { data: auth } = await agent.com.atproto.server.getServiceAuth({
    aud: String(there),
    lxm: "com.atproto.server.createAccount",
  });
  const handle = `moved-${account.handle}`;
  const created = await xrpc(to, "com.atproto.server.createAccount", {
    token: auth.token,
    body: { did, handle, email: account.email, password: PASSWORD },
  });
  expect(created.status).toBe(200);
  const token = String(created.json.accessJwt);
  const car = new Uint8Array((await agent.com.atproto.sync.getRepo({ did })).data);
  const headers = { "content-type": "application/vnd.ipld.car" };
  const imported = await xrpc(to, "com.atproto.repo.importRepo", { token, body: car, headers });
  expect(imported.status).toBe(200);
  const credentials = await xrpc(to, "com.atproto.identity.getRecommendedDidCredentials", { token });
  const code = await emailCode(stage.server, did, "plc_operation");
  const signed = await agent.com.atproto.identity.signPlcOperation({ token: code, ...credentials.json });
  const { operation } = signed.data;
  const submitted = await xrpc(to, "com.atproto.identity.submitPlcOperation", { token, body: { operation } });
  expect(submitted.status).toBe(200);
  const activated = await xrpc(to, "com.atproto.server.activateAccount", { token, method: "POST" });
  expect(activated.status).toBe(200);
  return token;
}

describe("an attempt that does not come to its end", () => {
  test("is gone on with by its caller, and by nobody else; or it is taken back by the operator", async () => {
    await using plc = await PlcDirectory.start();
    await using faulty = new FaultyPlc(plc);
    await using server = await TestServer.start({ env: { PDS_DID_PLC_URL: faulty.url, ...ROOM } });
    const [alice, bob] = [
      await createAccount(server.url, "alice", plc),
      await createAccount(server.url, "bob", plc),
    ];
    const key = await Secp256k1Keypair.create();
    const email = "garden@example.com";
    const ask = async (by: Account, body: object): Promise<Answer> =>
      community(server.url, "provision", { token: by.accessJwt, body });
    const request = { ...provisionInput(key, { handle: "garden.test", hosting: "stock", email }) };
    faulty.fault = "loses-answer";
    const failed = await ask(alice, request);
    expect(outcome(failed)).toEqual([502, "ProvisioningFailed"]);
    expect(failed.json.message).toContain("same idempotency key");
    faulty.fault = "none";

    // One at a time; and bob's key of the same name is his own.
    const next = provisionInput(key, { handle: "second.test" });
    expect(outcome(await ask(alice, next))).toEqual([429, "CommunityQuotaExceeded"]);
    const bobs = { ...request, handle: "bobs.test", email: "bobs@example.com" };
    const made = await ask(bob, bobs);
    expect(made.status).toBe(200);

    const none = await adminCall(server, "listAttempts");
    expect(none.json.attempts).toEqual([]);
    const listed = await adminCall(server, "listAttempts", { params: { olderThanSeconds: "0" } });
    expect(listed.json.attempts).toMatchObject([
      { caller: alice.did, handle: "garden.test", kind: "loopback" },
    ]);
    const [{ id, did }] = listed.json.attempts as [{ id: string; did: string }];
    expect(did).not.toBe(String(made.json.communityDid));
    const early = await adminCall(server, "reapAttempt", { body: { id, dryRun: false } });
    expect(early.json.attempt).toMatchObject({ reaped: false });
    const dry = await adminCall(server, "reapAttempt", { body: { id, olderThanSeconds: 0 } });
    expect(dry.json.attempt).toMatchObject({ reaped: false, verdict: expect.stringContaining("tombstone") });
    expect(await plc.log(did)).toHaveLength(1);
    const reaped = await adminCall(server, "reapAttempt", {
      body: { id, olderThanSeconds: 0, dryRun: false },
    });
    expect(reaped.json.attempt).toMatchObject({ reaped: true });
    expect(await plc.log(did)).toMatchObject([{}, { type: "plc_tombstone" }]);
    const gone = await adminCall(server, "reapAttempt", { body: { id, olderThanSeconds: 0 } });
    expect([gone.status, gone.json.error]).toEqual([400, "AttemptNotFound"]);

    // The key and the name are free again.
    const again = await ask(alice, request);
    expect(again.json).toMatchObject({ status: "activated", handle: "garden.test" });
    expect(again.json.communityDid).not.toBe(did);
    // Not of the network: there it is no method at all.
    const outside = await xrpc(server.url, "dev.kith.admin.listAttempts", { headers: ADMIN });
    expect(outside.status).toBe(501);
  });
});
