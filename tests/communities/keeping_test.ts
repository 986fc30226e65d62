/** Identities alone, accounts that were there before, what becomes of them, and of accounts whose owners have communities. */
import { afterAll, describe, expect, test } from "bun:test";
import { Secp256k1Keypair } from "@atproto/crypto";
import { type Account, type Answer, type Call, createAccount, PASSWORD, xrpc } from "../client.ts";
import { describeEvent } from "../firehose.ts";
import { ADMIN_PASSWORD, TestServer } from "../harness.ts";
import { type Stage, useStage } from "../stage.ts";
import { community, emailCode, provision, provisionInput, ROOM } from "./group.ts";

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

describe("what every call is given", () => {
  const holder = useStage({ env: ROOM });
  const DID = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
  const LONG = "x".repeat(100_000);
  /** No value of any field of ours. */
  const NO_VALUE: unknown[] = [
    null,
    1,
    1.5,
    -1,
    true,
    [],
    {},
    "",
    " ",
    "\u0000",
    "\ud800",
    LONG,
    "../..",
    "at://x",
    "{}",
  ];

  /** A call that is good in its form, of each method, with its input or its parameters. */
  const good = (
    key: string,
  ): [string, { input?: Record<string, unknown>; params?: Record<string, unknown> }][] => [
    [
      "provision",
      {
        input: {
          ...provisionInput({ did: () => key }, { handle: "wellformed.test" }),
          hosting: "native",
          pdsEndpoint: "https://pds.example.com",
          email: "a@example.com",
          inviteCode: "abc",
          declaration: { collection: NOTE, rkey: "self", record },
        },
      },
    ],
    ["mint", { input: { idempotencyKey: "12345678", rotationKey: key, handle: "a.example.com" } }],
    ["adopt", { input: { identifier: DID, appPassword: "aaaa-bbbb-cccc-dddd" } }],
    ["list", { params: { limit: 50, cursor: "x" } }],
    ["get", { params: { communityDid: DID } }],
    ["getHealth", { params: { communityDid: DID } }],
    ["reauth", { input: { communityDid: DID, appPassword: "aaaa-bbbb-cccc-dddd" } }],
    ["delete", { input: { communityDid: DID } }],
    [
      "createRecord",
      { input: { communityDid: DID, collection: NOTE, rkey: "a", record, validate: false, swapCommit: CID } },
    ],
    [
      "putRecord",
      {
        input: {
          communityDid: DID,
          collection: NOTE,
          rkey: "a",
          record,
          validate: false,
          swapCommit: CID,
          swapRecord: CID,
        },
      },
    ],
    [
      "deleteRecord",
      { input: { communityDid: DID, collection: NOTE, rkey: "a", swapCommit: CID, swapRecord: CID } },
    ],
    [
      "applyWrites",
      {
        input: {
          communityDid: DID,
          validate: true,
          swapCommit: CID,
          writes: [{ $type: "dev.kith.community.applyWrites#delete", collection: NOTE, rkey: "a" }],
        },
      },
    ],
    ["uploadBlob", { params: { communityDid: DID }, input: undefined }],
    ["grant", { input: { communityDid: DID, subject: DID, role: "member", canPublish: true } }],
    ["revoke", { input: { communityDid: DID, subject: DID } }],
    ["listMembers", { params: { communityDid: DID, limit: 50, cursor: "x" } }],
    [
      "invite.create",
      {
        input: {
          communityDid: DID,
          role: "member",
          canPublish: false,
          uses: 1,
          expiresAt: "2030-01-01T00:00:00Z",
        },
      },
    ],
    ["invite.redeem", { input: { token: "kith-invite-000000" } }],
    ["invite.revoke", { input: { communityDid: DID, id: "abc" } }],
    ["invite.list", { params: { communityDid: DID, limit: 50, cursor: "x" } }],
  ];
  const CID = "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a";
  const NAMES = good("did:key:z").map(([name]) => name);

  test.each(NAMES)("%s: no field of any value makes more than a refusal", async (name) => {
    const { stage } = holder;
    const key = (await Secp256k1Keypair.create()).did();
    const call = good(key).find(([other]) => other === name)?.[1] ?? {};
    const send = async (input: unknown, params: Record<string, unknown> | undefined, what: unknown) => {
      const body = name === "uploadBlob" ? new Uint8Array([1]) : input;
      const answer = await community(stage.url, name, {
        token: stage.alice.accessJwt,
        ...(params ? { params: params as Call["params"] & object } : {}),
        ...(body === undefined ? {} : { body }),
      });
      const isRefusal = answer.status >= 400 && answer.status < 500 && answer.error !== undefined;
      const isHarmless = answer.status === 200 && (name === "list" || answer.json.communities !== undefined);
      if (!isRefusal && !isHarmless) expect([name, what, answer.status, answer.json]).toEqual([]);
    };
    for (const field of Object.keys(call.input ?? {})) {
      for (const value of NO_VALUE)
        await send({ ...call.input, [field]: value }, call.params, [field, value]);
    }
    for (const field of Object.keys(call.params ?? {})) {
      for (const value of [
        "",
        " ",
        "\u0000",
        LONG.slice(0, 8_000),
        "-1",
        "0",
        "1e9",
        "x",
        "did:plc:x",
        "NaN",
      ]) {
        await send(call.input, { ...call.params, [field]: value }, [field, value.slice(0, 20)]);
      }
      await send(call.input, { ...call.params, [field]: ["a", "b"] }, [field, "twice"]);
    }
    if (call.input) {
      for (const input of [null, [], "x", 1]) await send(JSON.stringify(input), call.params, input);
      for (const text of ["", "{", "\u0000", '{"a":1'.repeat(1_000)])
        await send(text, call.params, text.slice(0, 9));
      await send({}, call.params, "nothing");
    }
  });

  test("provision: handles, keys and endpoints that cannot be", async () => {
    const { stage } = holder;
    const key = await Secp256k1Keypair.create();
    const rows: [Record<string, unknown>, number, string][] = [
      [{ handle: "garden" }, 400, "InvalidRequest"],
      [{ handle: "garden.example.com" }, 400, "UnsupportedDomain"],
      [{ handle: "alice.test" }, 400, "HandleNotAvailable"],
      [{ handle: "admin.test" }, 400, "HandleNotAvailable"],
      [{ handle: "x.test" }, 400, "InvalidHandle"],
      [{ handle: "a.b.test" }, 400, "InvalidHandle"],
      [{ rotationKey: key.did().slice(0, -1) }, 400, "InvalidRequest"],
      [{ rotationKey: "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK" }, 400, "InvalidRequest"],
      [{ rotationKey: "did:web:example.com" }, 400, "InvalidRequest"],
      [{ idempotencyKey: "1234567" }, 400, "InvalidRequest"],
      [{ idempotencyKey: "with space" }, 400, "InvalidRequest"],
      [{ hosting: "other" }, 400, "InvalidRequest"],
      [{ hosting: "native", pdsEndpoint: "https://pds.example.com" }, 400, "InvalidRequest"],
      [{ pdsEndpoint: "https://pds.example.com" }, 403, "HostNotAllowed"],
      [{ pdsEndpoint: "http://pds.example.com" }, 400, "InvalidRequest"],
      [{ pdsEndpoint: "https://169.254.169.254" }, 400, "InvalidRequest"],
      [{ pdsEndpoint: "https://0x7f.1" }, 400, "InvalidRequest"],
      [{ pdsEndpoint: "https://user@pds.example.com" }, 400, "InvalidRequest"],
      [{ pdsEndpoint: "https://pds.example.com/path" }, 400, "InvalidRequest"],
      [{ pdsEndpoint: "file:///etc/passwd" }, 400, "InvalidRequest"],
      [{ declaration: { collection: "x", rkey: "a", record } }, 400, "InvalidRequest"],
      [{ declaration: { collection: NOTE, rkey: "a/b", record } }, 400, "InvalidRequest"],
      [
        { declaration: { collection: NOTE, rkey: "a", record: { text: "x".repeat(70_000) } } },
        400,
        "InvalidRequest",
      ],
      [{ declaration: { collection: NOTE, rkey: "a", record: [1] } }, 400, "InvalidRequest"],
      [{ hosting: "stock", email: undefined }, 400, "InvalidEmail"],
      [{ hosting: "stock", email: "no address" }, 400, "InvalidEmail"],
    ];
    for (const [change, ...expected] of rows) {
      const body = { ...provisionInput(key, { handle: "goodname.test", email: "g@example.com" }), ...change };
      const got = await refused(stage, stage.alice, "provision", { body });
      expect([change, ...got]).toEqual([change, ...expected]);
    }
    // Nothing of all that is left: the same key and name serve a good request.
    const body = { ...provisionInput(key, { handle: "goodname.test" }), idempotencyKey: "the-same-key" };
    const bad = { ...body, handle: "alice.test" };
    expect(await refused(stage, stage.alice, "provision", { body: bad })).toEqual([
      400,
      "HandleNotAvailable",
    ]);
    await does(stage, stage.alice, "provision", { body });
  });
});
