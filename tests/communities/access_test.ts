/** Who may call dev.kith.community: members of other servers, apps by their permissions, app passwords; and how many may be made. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Secp256k1Keypair } from "@atproto/crypto";
import { loadConfig } from "../../src/config/mod.ts";
import { createServer, type KithServer } from "../../src/server.ts";
import { type Account, type Answer, type Call, createAccount, PASSWORD, xrpc } from "../client.ts";
import { TestServer } from "../harness.ts";
import { OAuthApp } from "../oauth_app.ts";
import { PlcDirectory } from "../plc_directory.ts";
import { useStage } from "../stage.ts";
import { community, provision, provisionInput, ROOM } from "./group.ts";

const NAMESPACE = "dev.kith.community";
const NOTE = "dev.kith.test.note";
const GET_SERVICE_AUTH = "com.atproto.server.getServiceAuth";
const didOf = async (url: string): Promise<string> =>
  String((await xrpc(url, "com.atproto.server.describeServer")).json.did);
const outcome = ({ status, error }: Answer) => [status, error];

/** Methods that decide about a community as a whole. */
const DECIDING = ["provision", "mint", "adopt", "reauth", "delete", "grant", "revoke", "invite.create"];

describe("members of another server", () => {
  let other: TestServer;
  let zoe: Account;
  const holder = useStage({
    env: ROOM,
    onReady: async (stage) => {
      other = await TestServer.start({ env: { PDS_DID_PLC_URL: stage.plc.url } });
      zoe = await createAccount(other.url, "zoe", stage.plc);
    },
  });
  afterAll(async () => {
    await other?.[Symbol.asyncDispose]();
  });
  const tokenFor = async (params: { aud: string; lxm?: string }): Promise<string> => {
    const { status, json } = await xrpc(other.url, GET_SERVICE_AUTH, { params, token: zoe.accessJwt });
    expect(status).toBe(200);
    return String(json.token);
  };
  const byToken = async (name: string, call: Call, aud?: string): Promise<Answer> => {
    const { url } = holder.stage;
    const lxm = `${NAMESPACE}.${name}`;
    const token = await tokenFor({ aud: aud ?? `${await didOf(url)}#kith_community`, lxm });
    return community(url, name, { ...call, token });
  };

  test("this server's DID document names the service", async () => {
    const { url } = holder.stage;
    const document = await (await fetch(`${url}/.well-known/did.json`)).json();
    expect(document).toMatchObject({
      service: [
        { id: "#atproto_pds", type: "AtprotoPersonalDataServer", serviceEndpoint: url },
        { id: "#kith_community", type: "KithCommunity", serviceEndpoint: url },
      ],
    });
  });

  test("a token for the method and this server is good, by each of our names", async () => {
    const did = await didOf(holder.stage.url);
    for (const aud of [did, `${did}#atproto_pds`, `${did}#kith_community`]) {
      expect((await byToken("list", {}, aud)).json).toEqual({ communities: [] });
    }
  });

  test("another audience, another method or none is not, and no token twice", async () => {
    const { url } = holder.stage;
    const did = await didOf(url);
    const lxm = `${NAMESPACE}.list`;
    const wrong = [
      { aud: "did:web:elsewhere.test#kith_community", lxm },
      { aud: `${did}#kith_communities`, lxm },
      { aud: `${did}#bsky_appview`, lxm },
      { aud: `${did}#kith_community`, lxm: `${NAMESPACE}.get` },
      { aud: `${did}#kith_community` },
    ];
    for (const params of wrong) {
      const answer = await community(url, "list", { token: await tokenFor(params) });
      expect([params, ...outcome(answer)]).toEqual([params, 401, "BadJwt"]);
    }
    const token = await tokenFor({ aud: `${did}#kith_community`, lxm });
    expect((await community(url, "list", { token })).status).toBe(200);
    expect(outcome(await community(url, "list", { token }))).toEqual([401, "BadJwt"]);
  });

  test("the name of the service is good for its own methods alone", async () => {
    const { url } = holder.stage;
    const upload = "com.atproto.repo.uploadBlob";
    const did = await didOf(url);
    const token = String(
      (
        await xrpc(url, GET_SERVICE_AUTH, {
          params: { aud: `${did}#kith_community`, lxm: upload },
          token: holder.stage.alice.accessJwt,
        })
      ).json.token,
    );
    const answer = await xrpc(url, upload, { token, body: new Uint8Array([1]) });
    expect(outcome(answer)).toEqual([401, "BadJwt"]);
  });

  test("they make no communities here, and may belong to them", async () => {
    const { stage } = holder;
    const key = await Secp256k1Keypair.create();
    const request = provisionInput(key, { handle: "zoes.test" });
    expect(outcome(await byToken("provision", { body: request }))).toEqual([403, "CommunitiesDisabled"]);
    const { idempotencyKey, rotationKey } = request;
    const mint = await byToken("mint", { body: { idempotencyKey, rotationKey } });
    expect(outcome(mint)).toEqual([403, "CommunitiesDisabled"]);
    const body = { identifier: zoe.did, appPassword: "aaaa-bbbb-cccc-dddd" };
    expect(outcome(await byToken("adopt", { body }))).toEqual([403, "CommunitiesDisabled"]);

    const { did: communityDid } = await provision(stage.url, stage.alice, {
      name: "grove",
      hosting: "native",
    });
    const params = { communityDid };
    expect(outcome(await byToken("get", { params }))).toEqual([400, "CommunityNotFound"]);
    const invited = await community(stage.url, "invite.create", {
      token: stage.alice.accessJwt,
      body: { communityDid, canPublish: true },
    });
    await byToken("invite.redeem", { body: { token: String(invited.json.token) } });
    expect((await byToken("get", { params })).json).toMatchObject({ role: "member", canPublish: true });
    const record = { $type: NOTE, text: "from afar" };
    const written = await byToken("createRecord", { body: { communityDid, collection: NOTE, record } });
    expect(written.status).toBe(200);
    const uploaded = await byToken("uploadBlob", { params, body: new Uint8Array([1, 2]) });
    expect(uploaded.status).toBe(200);
  });

  test("their own server passes their calls on, by atproto-proxy", async () => {
    const { stage } = holder;
    const headers = { "atproto-proxy": `${await didOf(stage.url)}#kith_community` };
    const listed = await community(other.url, "list", { headers, token: zoe.accessJwt });
    expect(listed.json.communities).toMatchObject([{ handle: "grove.test", role: "member" }]);
    const [{ did: communityDid }] = listed.json.communities as [{ did: string }];
    const record = { $type: NOTE, text: "through two servers" };
    const body = { communityDid, collection: NOTE, record };
    const written = await community(other.url, "createRecord", { headers, token: zoe.accessJwt, body });
    expect(written.json.uri).toStartWith(`at://${communityDid}/`);
    // Without it, and with its own name, that server answers itself.
    const own = { "atproto-proxy": `${await didOf(other.url)}#kith_community` };
    for (const more of [{}, { headers: own }]) {
      const answer = await community(other.url, "list", { token: zoe.accessJwt, ...more });
      expect(answer.json).toEqual({ communities: [] });
    }
    const bad = await community(other.url, "list", {
      token: zoe.accessJwt,
      headers: { "atproto-proxy": "nonsense" },
    });
    expect(outcome(bad)).toEqual([400, "InvalidRequest"]);
  });
});

describe("app passwords", () => {
  const holder = useStage({ env: ROOM });
  let made = 0;
  const sessionOf = async (privileged: boolean): Promise<string> => {
    const { stage } = holder;
    const { agent, handle } = stage.alice;
    made += 1;
    const name = `app ${made}`;
    const { data } = await agent.com.atproto.server.createAppPassword({ name, privileged });
    const body = { identifier: handle, password: data.password };
    return String((await xrpc(stage.url, "com.atproto.server.createSession", { body })).json.accessJwt);
  };

  test("read and publish, and decide nothing", async () => {
    const { stage } = holder;
    const token = await sessionOf(false);
    const group = await provision(stage.url, stage.alice, { name: "plain", hosting: "native" });
    const communityDid = group.did;
    expect((await community(stage.url, "list", { token })).json.communities).toHaveLength(1);
    const body = { communityDid, collection: NOTE, record: { $type: NOTE } };
    expect((await community(stage.url, "createRecord", { token, body })).status).toBe(200);
    const key = await Secp256k1Keypair.create();
    const inputs: Record<string, unknown>[] = [
      provisionInput(key, { handle: "other.test" }),
      { idempotencyKey: "key-of-a-mint", rotationKey: key.did() },
      { identifier: stage.alice.did, appPassword: "aaaa-bbbb-cccc-dddd" },
      { communityDid, appPassword: "aaaa-bbbb-cccc-dddd" },
      { communityDid },
      { communityDid, subject: stage.alice.did, role: "owner" },
      { communityDid, subject: stage.alice.did },
      { communityDid },
    ];
    for (const [i, name] of DECIDING.entries()) {
      const answer = await community(stage.url, name, { token, body: inputs[i] });
      expect([name, ...outcome(answer)]).toEqual([name, 401, "AuthenticationRequired"]);
    }
  });

  test.each(DECIDING)("get no token for %s elsewhere, but privileged ones", async (name) => {
    const { url } = holder.stage;
    for (const lxm of [`${NAMESPACE}.${name}`, `DEV.kith.community.${name}`]) {
      const params = { aud: "did:web:other.test#kith_community", lxm };
      const plain = await xrpc(url, GET_SERVICE_AUTH, { params, token: await sessionOf(false) });
      expect(outcome(plain)).toEqual([400, "InvalidRequest"]);
      const privileged = await xrpc(url, GET_SERVICE_AUTH, { params, token: await sessionOf(true) });
      expect(privileged.status).toBe(200);
    }
    const params = { aud: "did:web:other.test#kith_community", lxm: `${NAMESPACE}.createRecord` };
    const post = await xrpc(url, GET_SERVICE_AUTH, { params, token: await sessionOf(false) });
    expect(post.status).toBe(200);
  });
});

describe("apps", () => {
  const folder = mkdtempSync(join(tmpdir(), "kith-communities-"));
  let server: KithServer;
  let alice: Account;
  beforeAll(async () => {
    const env = { PDS_DATA_DIRECTORY: folder, PDS_DEV_MODE: "true", PDS_PORT: "0", LOG_ENABLED: "false" };
    const own = { ...ROOM, KITH_LEXICON_RESOLUTION: "false" };
    server = await createServer(loadConfig({ env: { ...env, ...own } }).config);
    alice = await createAccount(server.url, "alice");
  });
  afterAll(async () => {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const callerOf = async (scope: string) => {
    const app = await OAuthApp.start(server, { did: alice.did, scope });
    const { access_token: token } = await app.signIn();
    return async (
      name: string,
      { body, params }: { body?: object; params?: Record<string, string> } = {},
    ) => {
      const answer = await app.call(`${NAMESPACE}.${name}`, token, body, params ? { params } : {});
      const json = (await answer.json()) as Record<string, unknown>;
      return { ...json, status: answer.status };
    };
  };

  test("need the permission for the method at this server's service", async () => {
    const aud = encodeURIComponent(`${server.config.serviceDid}#kith_community`);
    const scopes = ["list", "provision", "createRecord"].map((name) => `rpc:${NAMESPACE}.${name}?aud=${aud}`);
    const call = await callerOf(`atproto ${scopes.join(" ")}`);
    const key = await Secp256k1Keypair.create();
    const made: Record<string, unknown> = await call("provision", {
      body: provisionInput(key, { handle: "byanapp.test" }),
    });
    expect(made.status).toBe(200);
    expect((await call("list")).status).toBe(200);
    const communityDid = String(made.communityDid);
    const record = { $type: NOTE };
    const body = { communityDid, collection: NOTE, record };
    expect((await call("createRecord", { body })).status).toBe(200);
    for (const [name, given] of [
      ["get", { params: { communityDid } }],
      ["delete", { body: { communityDid } }],
      ["putRecord", { body: { ...body, rkey: "a" } }],
    ] as const) {
      expect(await call(name, given)).toMatchObject({
        status: 403,
        error: "ScopeMissingError",
        message: expect.stringContaining(`rpc:${NAMESPACE}.${name}?aud=`),
      });
    }
  });

  test("with the permission at another service they may not", async () => {
    const call = await callerOf(
      `atproto rpc:${NAMESPACE}.list?aud=did:web:other.test%23kith_community rpc:*?aud=${server.config.serviceDid}%23other`,
    );
    expect(await call("list")).toMatchObject({ status: 403, error: "ScopeMissingError" });
    const anywhere = await callerOf(`atproto rpc:${NAMESPACE}.list?aud=*`);
    expect((await anywhere("list")).status).toBe(200);
  });

  test("what stands for an app password decides nothing", async () => {
    const call = await callerOf("atproto transition:generic");
    expect((await call("list")).status).toBe(200);
    const key = await Secp256k1Keypair.create();
    const body = provisionInput(key, { handle: "generic.test" });
    expect(await call("provision", { body })).toMatchObject({ status: 403, error: "ScopeMissingError" });
    const app = await OAuthApp.start(server, { did: alice.did, scope: "atproto transition:generic" });
    const { access_token: token } = await app.signIn();
    for (const [name, status] of [
      ["delete", 403],
      ["createRecord", 200],
    ] as const) {
      const params = { aud: "did:web:other.test#kith_community", lxm: `${NAMESPACE}.${name}` };
      expect((await app.call(GET_SERVICE_AUTH, token, undefined, { params })).status).toBe(status);
    }
  });
});

describe("how many", () => {
  const make = async (
    env: Record<string, string>,
    work: (parts: { url: string; account: (name: string) => Promise<Account> }) => Promise<void>,
  ): Promise<void> => {
    await using plc = await PlcDirectory.start();
    await using server = await TestServer.start({ env: { PDS_DID_PLC_URL: plc.url, ...env } });
    await work({ url: server.url, account: (name) => createAccount(server.url, name, plc) });
  };
  const ask = async (url: string, by: Account, handle: string): Promise<Answer> => {
    const body = provisionInput(await Secp256k1Keypair.create(), { handle });
    return community(url, "provision", { token: by.accessJwt, body });
  };

  test.each<[string, Record<string, string>, forBob: number]>([
    ["a member has", { ...ROOM, KITH_COMMUNITIES_PER_MEMBER: "1" }, 200],
    ["a member makes in a day", { ...ROOM, KITH_COMMUNITIES_PER_MEMBER_PER_DAY: "1" }, 200],
    ["the server makes in a day", { ...ROOM, KITH_COMMUNITIES_PER_DAY: "1" }, 429],
  ])("%s is bounded", async (_, env, forBob) => {
    await make(env, async ({ url, account }) => {
      const [alice, bob] = [await account("alice"), await account("bob")];
      expect((await ask(url, alice, "one.test")).status).toBe(200);
      const second = await ask(url, alice, "two.test");
      expect(outcome(second)).toEqual([429, "CommunityQuotaExceeded"]);
      expect((await ask(url, bob, "three.test")).status).toBe(forBob);
    });
  });

  test("none are made where they are not enabled, and those that are there go on", async () => {
    await using plc = await PlcDirectory.start();
    await using server = await TestServer.start({ env: { PDS_DID_PLC_URL: plc.url } });
    const alice = await createAccount(server.url, "alice", plc);
    const { did: communityDid } = await provision(server.url, alice, { name: "earlier", hosting: "native" });
    server.set("KITH_COMMUNITIES_ENABLED", "false");
    await server.stop();
    await server.start();
    expect(outcome(await ask(server.url, alice, "new.test"))).toEqual([403, "CommunitiesDisabled"]);
    const { accessJwt: token } = alice;
    const body = { communityDid, collection: NOTE, record: { $type: NOTE } };
    expect((await community(server.url, "createRecord", { token, body })).status).toBe(200);
    expect((await community(server.url, "delete", { token, body: { communityDid } })).status).toBe(200);
  });

  test("others than the members make them where the operator says so", async () => {
    await using plc = await PlcDirectory.start();
    await using other = await TestServer.start({ env: { PDS_DID_PLC_URL: plc.url } });
    const zoe = await createAccount(other.url, "zoe", plc);
    for (const creators of ["anyone", zoe.did]) {
      await make(
        { ...ROOM, PDS_DID_PLC_URL: plc.url, KITH_COMMUNITY_CREATORS: creators },
        async ({ url }) => {
          const params = { aud: await didOf(url), lxm: `${NAMESPACE}.provision` };
          const { json } = await xrpc(other.url, GET_SERVICE_AUTH, { params, token: zoe.accessJwt });
          const body = provisionInput(await Secp256k1Keypair.create(), { handle: "zoes.test" });
          const made = await community(url, "provision", { token: String(json.token), body });
          expect(made.status).toBe(200);
        },
      );
    }
  });

  test("nobody without a session makes any", async () => {
    await make({}, async ({ url }) => {
      const body = provisionInput(await Secp256k1Keypair.create(), { handle: "no.test" });
      expect(outcome(await community(url, "provision", { body }))).toEqual([401, "AuthMissing"]);
      const basic = { authorization: `Basic ${btoa(`admin:${PASSWORD}`)}` };
      const answer = await community(url, "provision", { body, headers: basic });
      expect(answer.status).toBe(400);
    });
  });
});
