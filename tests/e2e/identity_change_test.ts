/** Changes of what the network knows an account by: handles, signing keys, and PLC operations of its owner's own. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { P256Keypair, Secp256k1Keypair } from "@atproto/crypto";
import {
  type Account,
  type Call,
  createAccount,
  createRecord,
  http,
  PASSWORD,
  post,
  repoCar,
  xrpc,
} from "../client.ts";
import { DnsServer } from "../dns_server.ts";
import { describeEvent } from "../firehose.ts";
import { ADMIN_PASSWORD, KEY_TYPES, TestServer } from "../harness.ts";
import { judgeRepo, signingKeyOf } from "../judges.ts";
import { FaultyPlc, PlcDirectory, type PlcFault } from "../plc_directory.ts";
import { SmtpSink } from "../smtp_sink.ts";
import { type Row, Stage, testRows, useStage } from "../stage.ts";
import { waitFor } from "../wait.ts";

const UPDATE = "com.atproto.identity.updateHandle";
const RESOLVE = "com.atproto.identity.resolveHandle";
const REQUEST = "com.atproto.identity.requestPlcOperationSignature";
const SIGN = "com.atproto.identity.signPlcOperation";
const SUBMIT = "com.atproto.identity.submitPlcOperation";
const RECOMMENDED = "com.atproto.identity.getRecommendedDidCredentials";
const ADMIN_HANDLE = "com.atproto.admin.updateAccountHandle";
const ADMIN_KEY = "com.atproto.admin.updateAccountSigningKey";
const DEACTIVATE = "com.atproto.server.deactivateAccount";
const ADMIN = { authorization: `Basic ${btoa(`admin:${ADMIN_PASSWORD}`)}` };

const asAdmin = (body: object): Call => ({ headers: ADMIN, body });
const asAlice = (body: object) => (s: Stage) => ({ token: s.alice.accessJwt, body });
const resolve = (handle: string) => () => ({ params: { handle } });
const DID_OF_ALICE = (answer: { json: Record<string, unknown> }, s: Stage) =>
  expect(answer.json.did).toBe(s.alice.did);

/** What everybody sees of the handle of an account, at the same moment. */
async function handlesOf({ url, plc }: Pick<Stage, "url" | "plc">, account: Account) {
  const { did, accessJwt: token } = account;
  const [session, described, document] = await Promise.all([
    xrpc(url, "com.atproto.server.getSession", { token }),
    xrpc(url, "com.atproto.repo.describeRepo", { params: { repo: did } }),
    plc.document(did),
  ]);
  const { handle, handleIsCorrect } = described.json;
  return { session: session.json.handle, handle, handleIsCorrect, aliases: document?.alsoKnownAs };
}

const seenAs = (handle: string) => ({
  session: handle,
  handle,
  handleIsCorrect: true,
  aliases: [`at://${handle}`],
});

async function appPassword(url: string, account: Account, privileged = true): Promise<string> {
  const body = { name: `app ${Math.random()}`, privileged };
  const made = await xrpc(url, "com.atproto.server.createAppPassword", { token: account.accessJwt, body });
  const login = { identifier: account.did, password: made.json.password };
  return String((await xrpc(url, "com.atproto.server.createSession", { body: login })).json.accessJwt);
}

const rows: Row[] = [
  {
    title: "needs a session",
    to: UPDATE,
    call: () => ({ body: { handle: "x.test" } }),
    status: 401,
    error: "AuthMissing",
  },
  { title: "needs a handle", to: UPDATE, call: asAlice({}), status: 400, error: "InvalidRequest" },
  { title: "needs a text", to: UPDATE, call: asAlice({ handle: 1 }), status: 400, error: "InvalidRequest" },
  ...(
    [
      ["what is none", "not a handle", "InvalidHandle"],
      ["one of two labels", "a.alice.test", "InvalidHandle"],
      ["one too short", "ab.test", "InvalidHandle"],
      ["one too long", `${"a".repeat(19)}.test`, "InvalidHandle"],
      ["a reserved name", "admin.test", "HandleNotAvailable"],
      ["another's", "marker.test", "HandleNotAvailable"],
      ["a domain that is not theirs", "foreign.example.com", "InvalidHandle"],
      ["a reserved top-level domain", "alice.invalid", "InvalidHandle"],
    ] as const
  ).map(
    ([title, handle, error]): Row => ({
      title: `refuses ${title}`,
      to: UPDATE,
      call: asAlice({ handle }),
      status: 400,
      error,
    }),
  ),
  {
    title: "gives another handle, and tells",
    to: UPDATE,
    call: asAlice({ handle: "Alicia.TEST" }),
    status: 200,
    events: ["#identity"],
    check: async (answer, s) => {
      expect(answer.bytes.length).toBe(0);
      expect(await handlesOf(s, s.alice)).toEqual(seenAs("alicia.test"));
    },
  },
  { title: "finds the new one", to: RESOLVE, call: resolve("alicia.test"), status: 200, check: DID_OF_ALICE },
  {
    title: "does not find the old one",
    to: RESOLVE,
    call: resolve("alice.test"),
    status: 400,
    error: "HandleNotFound",
  },
  {
    title: "gives the DID under the new name",
    to: "/.well-known/atproto-did",
    call: () => ({ headers: { host: "alicia.test" } }),
    status: 200,
  },
  {
    title: "signs in by the new one",
    to: "com.atproto.server.createSession",
    call: () => ({ body: { identifier: "alicia.test", password: PASSWORD } }),
    status: 200,
    check: ({ json }) => expect(json.handle).toBe("alicia.test"),
  },
  {
    title: "does not sign in by the old one",
    to: "com.atproto.server.createSession",
    call: () => ({ body: { identifier: "alice.test", password: PASSWORD } }),
    status: 401,
    error: "AuthenticationRequired",
  },
  {
    title: "tells again of the same one, and spares the directory",
    to: UPDATE,
    call: asAlice({ handle: "alicia.test" }),
    status: 200,
    events: ["#identity"],
    check: async (_, s) => expect(await s.plc.log(s.alice.did)).toHaveLength(2),
  },
  {
    title: "serves an app password",
    to: UPDATE,
    call: async (s) => ({ token: await appPassword(s.url, s.alice, false), body: { handle: "app.test" } }),
    status: 400,
    error: "HandleNotAvailable",
  },
  {
    title: "takes no domain that points elsewhere",
    to: UPDATE,
    call: asAlice({ handle: "marker.example.com" }),
    status: 400,
    error: "InvalidHandle",
  },
  {
    title: "takes a domain of her own",
    to: UPDATE,
    call: asAlice({ handle: "own.example.com" }),
    status: 200,
    events: ["#identity"],
    check: async (_, s) => expect(await handlesOf(s, s.alice)).toEqual(seenAs("own.example.com")),
  },
  { title: "finds it", to: RESOLVE, call: resolve("own.example.com"), status: 200, check: DID_OF_ALICE },
  {
    title: "goes on while deactivated",
    to: DEACTIVATE,
    call: asAlice({}),
    status: 200,
    events: ["#account deactivated"],
  },
  {
    title: "goes on while deactivated",
    to: UPDATE,
    call: asAlice({ handle: "asleep.test" }),
    status: 200,
    events: ["#identity"],
  },
  {
    title: "wakes up under it",
    to: "com.atproto.server.activateAccount",
    call: (s) => ({ method: "POST", token: s.alice.accessJwt }),
    status: 200,
    events: ["#account active", "#identity", "#sync"],
  },
  {
    title: "is for the admin",
    to: ADMIN_HANDLE,
    call: asAlice({ did: "did:plc:x", handle: "x.test" }),
    status: 401,
    error: "AuthenticationRequired",
  },
  {
    title: "is for the admin",
    to: ADMIN_HANDLE,
    call: () => ({ body: {} }),
    status: 401,
    error: "AuthMissing",
  },
  {
    title: "needs a DID",
    to: ADMIN_HANDLE,
    call: () => asAdmin({ handle: "x.test" }),
    status: 400,
    error: "InvalidRequest",
  },
  {
    title: "needs an account that is here",
    to: ADMIN_HANDLE,
    call: () => asAdmin({ did: "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", handle: "nobody.test" }),
    status: 400,
    error: "InvalidRequest",
  },
  {
    title: "gives nothing that is another's",
    to: ADMIN_HANDLE,
    call: (s) => asAdmin({ did: s.alice.did, handle: "marker.test" }),
    status: 400,
    error: "HandleNotAvailable",
  },
  {
    title: "gives a reserved name of any length",
    to: ADMIN_HANDLE,
    call: (s) => asAdmin({ did: s.alice.did, handle: "me.test" }),
    status: 200,
    events: ["#identity"],
    check: async (_, s) => expect(await handlesOf(s, s.alice)).toEqual(seenAs("me.test")),
  },
  {
    title: "keeps it when she asks for it again",
    to: UPDATE,
    call: asAlice({ handle: "me.test" }),
    status: 200,
    events: ["#identity"],
  },
];

describe.each([...KEY_TYPES])("handles (%s)", (keyType) => {
  let dns: DnsServer;
  let stage: Stage;
  const holder = {
    get stage() {
      return stage;
    },
  };
  beforeAll(async () => {
    dns = await DnsServer.start();
    const env = { PDS_HANDLE_BACKUP_NAMESERVERS: dns.address, PDS_ID_RESOLVER_TIMEOUT: "10000" };
    stage = await Stage.open({ keyType, env });
    dns.texts.set("_atproto.own.example.com", [`did=${stage.alice.did}`]);
    dns.texts.set("_atproto.marker.example.com", ["did=did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"]);
  });
  afterAll(async () => {
    await stage?.[Symbol.asyncDispose]();
    await dns?.[Symbol.asyncDispose]();
  });
  testRows(holder, rows);

  test("an old handle is free, for others and for who had it", async () => {
    const bob = await stage.account("bob");
    const carol = await stage.account("carol");
    const update = ({ accessJwt: token }: Account, handle: string) =>
      xrpc(stage.url, UPDATE, { token, body: { handle } });
    const wellKnown = (host: string) =>
      http(`${stage.url}/.well-known/atproto-did`, { headers: { host } }).then(({ status }) => status);
    expect((await update(bob, "robert.test")).status).toBe(200);
    expect([await wellKnown("robert.test"), await wellKnown("bob.test")]).toEqual([200, 404]);
    expect((await update(carol, "bob.test")).status).toBe(200);
    expect(await update(bob, "bob.test")).toMatchObject({ status: 400, error: "HandleNotAvailable" });
    expect((await update(carol, "carol.test")).status).toBe(200);
    expect((await update(bob, "bob.test")).status).toBe(200);
    expect(await handlesOf(stage, bob)).toEqual(seenAs("bob.test"));
  });

  test("of many who ask for one handle at the same time one gets it, and so do sign-ups", async () => {
    const racers = await Promise.all(["racer1", "racer2", "racer3"].map((name) => stage.account(name)));
    const signUp = { handle: "prize.test", email: "prize@example.com", password: PASSWORD };
    const answers = await Promise.all([
      ...racers.map(({ accessJwt: token }) =>
        xrpc(stage.url, UPDATE, { token, body: { handle: "prize.test" } }),
      ),
      xrpc(stage.url, "com.atproto.server.createAccount", { body: signUp }),
    ]);
    const refused = answers.filter(({ error }) => error === "HandleNotAvailable");
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(refused).toHaveLength(3);
    for (const racer of racers) {
      const { session, aliases } = await handlesOf(stage, racer);
      expect(aliases).toEqual([`at://${session}`]);
    }
  });

  test("one who changes again and again ends with the last", async () => {
    const dora = await stage.account("dora");
    for (const handle of ["dora1.test", "dora2.test", "dora3.test"]) {
      const answer = await xrpc(stage.url, UPDATE, { token: dora.accessJwt, body: { handle } });
      expect(answer.status).toBe(200);
    }
    expect(await handlesOf(stage, dora)).toEqual(seenAs("dora3.test"));
  });

  test("the firehose of all this holds to Sync 1.1", () => stage.judgeAll());
});

test("the server's own bare domain goes to whom it points at, or to whom the admin gives it", async () => {
  await using dns = await DnsServer.start();
  await using server = await TestServer.start({
    env: {
      PDS_SERVICE_HANDLE_DOMAINS: ".example.com",
      PDS_HANDLE_BACKUP_NAMESERVERS: dns.address,
      PDS_ID_RESOLVER_TIMEOUT: "10000",
    },
  });
  const { url } = server;
  const [alice, bob] = [await createAccount(url, "alice"), await createAccount(url, "robert")];
  const handle = "example.com";
  const update = ({ accessJwt: token }: Account) => xrpc(url, UPDATE, { token, body: { handle } });
  const didAt = async (path: string) =>
    new TextDecoder().decode((await http(`${url}${path}`, { headers: { host: handle } })).bytes);
  expect(await update(alice)).toMatchObject({ status: 400, error: "InvalidHandle" });
  dns.texts.set("_atproto.example.com", [`did=${alice.did}`]);
  expect((await update(alice)).status).toBe(200);
  expect((await xrpc(url, RESOLVE, { params: { handle } })).json).toEqual({ did: alice.did });
  expect(await didAt("/.well-known/atproto-did")).toBe(alice.did);
  expect((await http(`${url}/tls-check?domain=${handle}`)).status).toBe(200);
  expect(await update(bob)).toMatchObject({ status: 400, error: "InvalidHandle" });
  const give = () => xrpc(url, ADMIN_HANDLE, asAdmin({ did: bob.did, handle }));
  expect(await give()).toMatchObject({ status: 400, error: "HandleNotAvailable" });
  await xrpc(url, UPDATE, { token: alice.accessJwt, body: { handle: "alice.example.com" } });
  expect((await give()).status).toBe(200);
  expect(await didAt("/.well-known/atproto-did")).toBe(bob.did);
});

describe.each([...KEY_TYPES])("signing keys (%s)", (keyType) => {
  const holder = useStage({ keyType });
  const reserve = async (did?: string) => {
    const body = did === undefined ? {} : { did };
    const answer = await xrpc(holder.stage.url, "com.atproto.server.reserveSigningKey", { body });
    return String(answer.json.signingKey);
  };

  test("another key signs a new commit, and all that follows, while writes go on", async () => {
    const { stage } = holder;
    const { alice, url, plc } = stage;
    await createRecord(url, alice, { record: post("one") });
    const signingKey = await reserve(alice.did);
    const writer = async () => {
      for (let n = 0; n < 10; n++) {
        const record = { $type: "dev.kith.test.mark", n };
        await createRecord(url, alice, { collection: "dev.kith.test.mark", record });
      }
    };
    const before = stage.firehose.events.length;
    const writing = writer();
    const answer = await xrpc(url, ADMIN_KEY, asAdmin({ did: alice.did, signingKey }));
    expect([answer.status, answer.bytes.length]).toEqual([200, 0]);
    await writing;
    expect(signingKeyOf(await plc.document(alice.did))).toBe(signingKey);
    await judgeRepo(await repoCar(url, alice.did), alice.did, signingKey);
    // Every commit on the firehose is by the key that the directory had then.
    await stage.judgeAll();
    const told = stage.firehose.events.slice(before).filter(({ did }) => did === alice.did);
    const types = told.map(({ type }) => type).filter((type) => type !== "#commit");
    expect(types).toEqual(["#identity", "#sync"]);
    // Service tokens are signed by it, too, and the handle is told.
    const status = await xrpc(url, "com.atproto.server.checkAccountStatus", { token: alice.accessJwt });
    expect(status.json).toMatchObject({ activated: true, validDid: true });
    const recommended = await xrpc(url, RECOMMENDED, { token: alice.accessJwt });
    expect(recommended.json.verificationMethods).toEqual({ atproto: signingKey });
  });

  test("survives a start, and is repeated with the same key", async () => {
    const { stage } = holder;
    const bob = await stage.account("bob");
    const signingKey = await reserve();
    const change = () => xrpc(stage.url, ADMIN_KEY, asAdmin({ did: bob.did, signingKey }));
    expect((await change()).status).toBe(200);
    const again = await stage.eventsDuring(change);
    expect([again.value.status, again.events.map(describeEvent)]).toEqual([200, ["#identity", "#sync"]]);
    expect(await stage.plc.log(bob.did)).toHaveLength(2);
  });

  test("only a key that is held here, for this account", async () => {
    const { stage } = holder;
    const foreign = (await Secp256k1Keypair.create()).did();
    const others = await reserve("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa");
    for (const signingKey of [foreign, others, "did:key:zabc", (await P256Keypair.create()).did()]) {
      const answer = await xrpc(stage.url, ADMIN_KEY, asAdmin({ did: stage.alice.did, signingKey }));
      expect([answer.status, answer.error]).toEqual([400, "InvalidRequest"]);
    }
    const body = { did: stage.alice.did, signingKey: await reserve() };
    for (const call of [{ token: stage.alice.accessJwt, body }, { body }, asAdmin({ did: body.did })]) {
      const { status } = await xrpc(stage.url, ADMIN_KEY, call);
      expect([400, 401]).toContain(status);
    }
  });

  test("the firehose of all this holds to Sync 1.1", () => holder.stage.judgeAll());
});

describe("PLC operations", () => {
  const smtp = new SmtpSink();
  let stage: Stage;
  beforeAll(async () => {
    await smtp.start();
    const env = { ...smtp.env("kith <noreply@example.com>") };
    stage = await Stage.open({ env });
  });
  afterAll(async () => {
    await stage?.[Symbol.asyncDispose]();
    await smtp[Symbol.asyncDispose]();
  });
  const codeFor = async (account: Account, call: Call = { method: "POST" }) => {
    expect((await xrpc(stage.url, REQUEST, { token: account.accessJwt, ...call })).status).toBe(200);
    return smtp.codeTo(account.email, /identity/);
  };
  const sign = (account: Account, body: unknown) => xrpc(stage.url, SIGN, { token: account.accessJwt, body });

  test("request, sign and submit, as goat does to add a rotation key", async () => {
    const { alice } = stage;
    const mine = (await Secp256k1Keypair.create()).did();
    const [genesis = {}] = await stage.plc.log(alice.did);
    const token = await codeFor(alice);
    const rotationKeys = [mine, ...(genesis.rotationKeys as string[])];
    const signed = await sign(alice, { token, rotationKeys });
    expect(signed.status).toBe(200);
    const { operation } = signed.json as { operation: Record<string, unknown> };
    const { sig: _sig, prev: _prev, ...state } = genesis;
    expect(operation).toEqual({
      ...state,
      rotationKeys,
      prev: expect.stringMatching(/^bafyrei/),
      sig: expect.any(String),
    });
    // It is not handed in before its owner does.
    expect(await stage.plc.log(alice.did)).toHaveLength(1);
    const { value, events } = await stage.eventsDuring(() =>
      xrpc(stage.url, SUBMIT, { token: alice.accessJwt, body: { operation } }),
    );
    expect([value.status, events.map(describeEvent)]).toEqual([200, ["#identity"]]);
    expect((await stage.plc.log(alice.did)).at(-1)?.rotationKeys).toEqual(rotationKeys);
    // And the server's key still counts.
    const update = { token: alice.accessJwt, body: { handle: "alicia.test" } };
    expect((await xrpc(stage.url, UPDATE, update)).status).toBe(200);
    expect((await stage.plc.log(alice.did)).at(-1)?.rotationKeys).toEqual(rotationKeys);
  });

  test("a code serves once, its own account, and not what is wrong", async () => {
    const bob = await stage.account("bob");
    const token = await codeFor(bob, { body: {} });
    expect(await sign(bob, {})).toMatchObject({ status: 400, error: "InvalidRequest" });
    expect(await sign(bob, { token: "AAAAA-22222" })).toMatchObject({ status: 400, error: "InvalidToken" });
    expect(await sign(stage.alice, { token })).toMatchObject({ status: 400, error: "InvalidToken" });
    for (const wrong of [
      { rotationKeys: [] },
      { rotationKeys: "did:key:x" },
      { services: { atproto_pds: "https://x.test" } },
      { verificationMethods: { atproto: 1 } },
    ]) {
      const refused = await sign(bob, { token, ...wrong });
      expect([wrong, refused.status, refused.error]).toEqual([wrong, 400, "InvalidRequest"]);
    }
    expect((await sign(bob, { token })).status).toBe(200);
    expect(await sign(bob, { token })).toMatchObject({ status: 400, error: "InvalidToken" });
    for (const nsid of [REQUEST, SIGN]) {
      expect(await xrpc(stage.url, nsid, { body: {} })).toMatchObject({ status: 401, error: "AuthMissing" });
      const app = { token: await appPassword(stage.url, bob), body: {} };
      expect(await xrpc(stage.url, nsid, app)).toMatchObject({ status: 400, error: "InvalidToken" });
    }
  });

  test("a deactivated account gets its operation, for it may be moving away", async () => {
    const carl = await stage.account("carl");
    expect((await xrpc(stage.url, DEACTIVATE, { token: carl.accessJwt, body: {} })).status).toBe(200);
    const services = { atproto_pds: { type: "AtprotoPersonalDataServer", endpoint: "https://new.test" } };
    expect((await sign(carl, { token: await codeFor(carl), services })).status).toBe(200);
  });

  test("a recovery key of sign-up comes first, in the directory and in what is recommended", async () => {
    const recoveryKey = (await P256Keypair.create()).did();
    const body = { handle: "rita.test", email: "rita@example.com", password: PASSWORD, recoveryKey };
    const made = await xrpc(stage.url, "com.atproto.server.createAccount", { body });
    const [genesis] = await stage.plc.log(String(made.json.did));
    const keys = genesis?.rotationKeys as string[];
    expect([keys.length, keys[0]]).toEqual([2, recoveryKey]);
    const recommended = await xrpc(stage.url, RECOMMENDED, { token: String(made.json.accessJwt) });
    expect(recommended.json).toMatchObject({ rotationKeys: keys, recoveryKey });
  });
});

describe("a directory with faults", () => {
  let plc: PlcDirectory;
  beforeAll(async () => {
    plc = await PlcDirectory.start();
  });
  afterAll(() => plc[Symbol.asyncDispose]());
  const withServer = async (
    run: (parts: { server: TestServer; faulty: FaultyPlc; alice: Account }) => Promise<void>,
  ) => {
    await using faulty = new FaultyPlc(plc);
    await using server = await TestServer.start({ env: { PDS_DID_PLC_URL: faulty.url } });
    await run({ server, faulty, alice: await createAccount(server.url, "alice", plc) });
  };
  const aliasOf = async (did: string) => (await plc.document(did))?.alsoKnownAs;
  const handleOf = async (url: string, { accessJwt: token }: Account) =>
    (await xrpc(url, "com.atproto.server.getSession", { token })).json.handle;

  test("refuses, fails, or loses its answer: the account and the directory agree", () =>
    withServer(async ({ server, faulty, alice }) => {
      const update = (handle: string) =>
        xrpc(server.url, UPDATE, { token: alice.accessJwt, body: { handle } });
      const faults: [PlcFault, number, string, string][] = [
        ["refuses", 400, "InvalidRequest", "alice.test"],
        ["fails", 502, "UpstreamFailure", "alice.test"],
      ];
      for (const [fault, status, error, handle] of faults) {
        faulty.fault = fault;
        expect(await update("alicia.test")).toMatchObject({ status, error });
        expect([await handleOf(server.url, alice), await aliasOf(alice.did)]).toEqual([
          handle,
          [`at://${handle}`],
        ]);
      }
      faulty.fault = "loses-answer";
      expect((await update("alicia.test")).status).toBe(200);
      expect([await handleOf(server.url, alice), await aliasOf(alice.did)]).toEqual([
        "alicia.test",
        ["at://alicia.test"],
      ]);
    }));

  test.each([
    ["takes-silently", "alicia.test"],
    ["drops-silently", "alice.test"],
  ] as const)("kill -9 while the directory %s the operation: the start finds out", async (fault, handle) =>
    withServer(async ({ server, faulty, alice }) => {
      faulty.fault = fault;
      const call = { token: alice.accessJwt, body: { handle: "alicia.test" } };
      const lost = xrpc(server.url, UPDATE, call).catch(() => undefined);
      await waitFor("the operation", () => faulty.unanswered > 0);
      await server.kill();
      await lost;
      faulty.fault = "none";
      await server.start();
      await waitFor("the end of it", async () => /change of identity/.test(server.output));
      expect([await handleOf(server.url, alice), await aliasOf(alice.did)]).toEqual([
        handle,
        [`at://${handle}`],
      ]);
      const bob = await createAccount(server.url, "bob", plc);
      const taken = await xrpc(server.url, UPDATE, { token: bob.accessJwt, body: { handle: "alicia.test" } });
      expect(taken.status).toBe(handle === "alicia.test" ? 400 : 200);
    }),
  );

  test.each(["takes-silently", "drops-silently"] as const)(
    "kill -9 while the directory %s a new key: the account signs on by the one that the directory has",
    async (fault) =>
      withServer(async ({ server, faulty, alice }) => {
        const reserved = await xrpc(server.url, "com.atproto.server.reserveSigningKey", { body: {} });
        const signingKey = String(reserved.json.signingKey);
        faulty.fault = fault;
        const lost = xrpc(server.url, ADMIN_KEY, asAdmin({ did: alice.did, signingKey })).catch(
          () => undefined,
        );
        await waitFor("the operation", () => faulty.unanswered > 0);
        await server.kill();
        await lost;
        faulty.fault = "none";
        await server.start();
        await waitFor("the end of it", async () => /change of identity/.test(server.output));
        await createRecord(server.url, alice, {
          collection: "dev.kith.test.mark",
          record: { $type: "dev.kith.test.mark", n: 1 },
        });
        const key = signingKeyOf(await plc.document(alice.did));
        expect(key).toBe(fault === "takes-silently" ? signingKey : alice.didKey);
        await judgeRepo(await repoCar(server.url, alice.did), alice.did, key);
        // What was dropped can be asked for again.
        const again = await xrpc(server.url, ADMIN_KEY, asAdmin({ did: alice.did, signingKey }));
        expect(again.status).toBe(200);
        await judgeRepo(await repoCar(server.url, alice.did), alice.did, signingKey);
      }),
  );
});
