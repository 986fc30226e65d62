/** com.atproto.admin: accounts as the operator and moderators see and change them, and who may. */
import { describe, expect, test } from "bun:test";
import { AtpAgent } from "@atproto/api";
import { Secp256k1Keypair } from "@atproto/crypto";
import { createServiceJwt } from "@atproto/xrpc-server";
import { type Account, type Call, PASSWORD, xrpc } from "../client.ts";
import { describeEvent } from "../firehose.ts";
import { ADMIN_PASSWORD, KEY_TYPES } from "../harness.ts";
import { type Row, Stage, testRows, useStage } from "../stage.ts";
import { waitFor } from "../wait.ts";

const admin = (name: string) => `com.atproto.admin.${name}`;
const basic = (password: string) => ({
  authorization: `Basic ${Buffer.from(`admin:${password}`).toString("base64")}`,
});
const ADMIN = basic(ADMIN_PASSWORD);
const NOBODY = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
const asAdmin = (call: Call = {}): Call => ({ ...call, headers: { ...ADMIN, ...call.headers } });

type TokenChange = Partial<Omit<Parameters<typeof createServiceJwt>[0], "lxm">> & { lxm?: string };

/** Every method, with a call that is right but for who makes it, and whether the moderation service may make it. */
const METHODS: readonly [name: string, call: (did: string) => Call, moderator: boolean][] = [
  ["getAccountInfo", (did) => ({ params: { did } }), true],
  ["getAccountInfos", (did) => ({ params: { dids: [did] } }), true],
  ["searchAccounts", () => ({ params: { email: "alice" } }), true],
  ["getSubjectStatus", (did) => ({ params: { did } }), true],
  [
    "updateSubjectStatus",
    (did) => ({ body: { subject: { $type: "com.atproto.admin.defs#repoRef", did } } }),
    true,
  ],
  ["getInviteCodes", () => ({}), true],
  ["disableInviteCodes", () => ({ body: { codes: ["none"] } }), true],
  ["disableAccountInvites", (did) => ({ body: { account: did } }), true],
  ["enableAccountInvites", (did) => ({ body: { account: did } }), true],
  ["sendEmail", (did) => ({ body: { recipientDid: did, senderDid: did, content: "hi" } }), true],
  ["updateAccountEmail", (did) => ({ body: { account: did, email: "alice@example.com" } }), false],
  ["updateAccountPassword", (did) => ({ body: { did, password: PASSWORD } }), false],
  ["deleteAccount", () => ({ body: { did: NOBODY } }), false],
];

describe("who may call com.atproto.admin", () => {
  const key = Secp256k1Keypair.create({ exportable: true });
  const labelKey = Secp256k1Keypair.create({ exportable: true });
  let moderator = { did: "", url: "" };
  const documents = Bun.serve({
    port: 0,
    hostname: "localhost",
    fetch: async () => {
      const { did } = moderator;
      const method = async (id: string, pair: Promise<Secp256k1Keypair>) => ({
        id: `${did}#${id}`,
        type: "Multikey",
        controller: did,
        publicKeyMultibase: (await pair).did().slice("did:key:".length),
      });
      const verificationMethod = [await method("atproto", key), await method("atproto_label", labelKey)];
      return Response.json({ id: did, verificationMethod, service: [] });
    },
  });
  const url = `http://localhost:${documents.port}`;
  moderator = { url, did: `did:web:localhost%3A${documents.port}` };
  const holder = useStage({
    env: { PDS_MOD_SERVICE_URL: moderator.url, PDS_MOD_SERVICE_DID: moderator.did },
  });
  const serviceDid = async () => {
    const { url: server } = holder.stage;
    return String((await xrpc(server, "com.atproto.server.describeServer")).json.did);
  };
  const token = async (change: TokenChange & { lxm: string }) =>
    createServiceJwt({ iss: moderator.did, aud: await serviceDid(), keypair: await key, ...change });

  test.each(METHODS)("%s refuses nobody, a wrong password, a session and strangers", async (name, make) => {
    const { stage } = holder;
    const call = make(stage.alice.did);
    const ask = async (more: Call) => {
      const { status, error } = await xrpc(stage.url, admin(name), { ...call, ...more });
      return `${status} ${error}`;
    };
    expect(await ask({})).toBe("401 AuthMissing");
    expect(await ask({ headers: basic("wrong") })).toBe("401 AuthenticationRequired");
    expect(await ask({ headers: basic("") })).toBe("401 AuthenticationRequired");
    const session = await ask({ token: stage.alice.accessJwt });
    expect(["401 BadJwt", "401 UntrustedIss", "401 AuthenticationRequired"]).toContain(session);
    const auth = await xrpc(stage.url, "com.atproto.server.getServiceAuth", {
      params: { aud: await serviceDid(), lxm: admin(name) },
      token: stage.alice.accessJwt,
    });
    // Tokens of protected methods are not given at all.
    if (auth.status === 200) {
      expect(["401 UntrustedIss", "401 AuthenticationRequired"]).toContain(
        await ask({ token: String(auth.json.token) }),
      );
    }
  });

  test.each(METHODS)(
    "%s takes the moderation service's token where it should, once",
    async (name, make, may) => {
      const { stage } = holder;
      const call = make(stage.alice.did);
      const ask = async (jwt: string) => {
        const { status, error } = await xrpc(stage.url, admin(name), { ...call, token: jwt });
        return status === 200 ? "200" : `${status} ${error}`;
      };
      const lxm = admin(name);
      if (!may) return expect(await ask(await token({ lxm }))).toBe("401 AuthenticationRequired");
      const jwt = await token({ lxm });
      expect(await ask(jwt)).toBe("200");
      expect(await ask(jwt)).toBe("401 BadJwt");
      const labeler = `${moderator.did}#atproto_labeler`;
      expect(await ask(await token({ lxm, iss: labeler, keypair: await labelKey }))).toBe("200");
      expect(await ask(await token({ lxm, aud: `${await serviceDid()}#atproto_pds` }))).toBe("200");
      const wrong: Record<string, TokenChange> = {
        "401 BadJwt lxm": { lxm: "com.atproto.repo.uploadBlob" },
        "401 BadJwt aud": { aud: "did:web:elsewhere.test" },
        "401 BadJwt key": { keypair: await labelKey },
        "401 BadJwt labeler": { iss: labeler },
        "401 UntrustedIss iss": { iss: stage.alice.did },
        "401 BadJwt service": { iss: `${moderator.did}#atproto_pds` },
        "401 JwtExpired exp": { exp: Math.floor(Date.now() / 1000) - 1 },
      };
      for (const [expected, change] of Object.entries(wrong)) {
        expect(expected).toStartWith(await ask(await token({ lxm, ...change })));
      }
    },
  );

  test("the log tells who did what to whom, and no secret", async () => {
    const { stage } = holder;
    const lxm = admin("disableAccountInvites");
    const note = "a note of the moderators";
    await xrpc(stage.url, lxm, { token: await token({ lxm }), body: { account: stage.alice.did, note } });
    const password = "a new password of alice";
    const body = { did: stage.alice.did, password };
    await xrpc(stage.url, admin("updateAccountPassword"), asAdmin({ body }));
    await xrpc(stage.url, admin("deleteAccount"), asAdmin({ body: { did: NOBODY } }));
    const lineWith = (...words: string[]) =>
      waitFor(words.join(", "), () =>
        stage.server.output.split("\n").find((line) => words.every((word) => line.includes(word))),
      );
    await lineWith("An admin act", lxm, moderator.did, stage.alice.did);
    await lineWith("An admin act", admin("updateAccountPassword"), '"by":"admin"', stage.alice.did);
    await lineWith("An admin act that failed", admin("deleteAccount"), NOBODY, "subject_not_found");
    for (const secret of [password, ADMIN_PASSWORD, note]) expect(stage.server.output).not.toContain(secret);
    documents.stop(true);
  });
});

test("without a moderation service nobody's token is taken", async () => {
  await using stage = await Stage.open();
  const keypair = await Secp256k1Keypair.create();
  const lxm = admin("getInviteCodes");
  const described = await xrpc(stage.url, "com.atproto.server.describeServer");
  const aud = String(described.json.did);
  const jwt = await createServiceJwt({ iss: stage.alice.did, aud, lxm, keypair });
  const refused = await xrpc(stage.url, lxm, { token: jwt });
  expect([refused.status, refused.error]).toEqual([401, "UntrustedIss"]);
});

const bad = (to: string, body: unknown, title: string, error = "InvalidRequest"): Row => ({
  title: `refuses ${title}`,
  to: admin(to),
  call: () => asAdmin({ body }),
  status: 400,
  error,
});
const badQuery = (to: string, params: Call["params"], title: string, error = "InvalidRequest"): Row => ({
  title: `refuses ${title}`,
  to: admin(to),
  call: () => asAdmin({ params }),
  status: 400,
  error,
});
const REPO = "com.atproto.admin.defs#repoRef";
const RECORD = "com.atproto.repo.strongRef";
const BLOB = "com.atproto.admin.defs#repoBlobRef";
const CID = "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a";

const BAD_INPUT: Row[] = [
  badQuery("getAccountInfo", {}, "no DID"),
  badQuery("getAccountInfo", { did: "alice.test" }, "a handle for a DID"),
  badQuery("getAccountInfo", { did: NOBODY }, "an unknown DID", "NotFound"),
  badQuery("getAccountInfos", {}, "no DIDs"),
  badQuery("getAccountInfos", { dids: [NOBODY, "nonsense"] }, "what is no DID"),
  badQuery("searchAccounts", { limit: 101 }, "too large a page"),
  badQuery("searchAccounts", { limit: 0 }, "an empty page"),
  badQuery("searchAccounts", { cursor: "nonsense" }, "a malformed cursor"),
  badQuery("getSubjectStatus", {}, "no subject"),
  badQuery("getSubjectStatus", { did: NOBODY }, "an unknown DID", "NotFound"),
  badQuery("getSubjectStatus", { blob: CID }, "a blob of nobody"),
  badQuery("getSubjectStatus", { did: NOBODY, blob: "nonsense" }, "what is no CID"),
  badQuery("getSubjectStatus", { uri: `at://${NOBODY}/a.b.c/d` }, "a record of an unknown DID", "NotFound"),
  badQuery("getSubjectStatus", { uri: `at://${NOBODY}` }, "an address of no record"),
  badQuery("getSubjectStatus", { uri: "nonsense" }, "what is no address"),
  badQuery("getInviteCodes", { sort: "beauty" }, "an unknown order"),
  badQuery("getInviteCodes", { limit: 501 }, "too large a page"),
  badQuery("getInviteCodes", { cursor: "nonsense" }, "a malformed cursor"),
  bad("updateSubjectStatus", {}, "no subject"),
  bad("updateSubjectStatus", { subject: { did: NOBODY } }, "a subject without a type"),
  bad("updateSubjectStatus", { subject: { $type: "a.b.c", did: NOBODY } }, "a subject of another type"),
  bad("updateSubjectStatus", { subject: { $type: REPO, did: "x" } }, "what is no DID"),
  bad("updateSubjectStatus", { subject: { $type: REPO, did: NOBODY } }, "an unknown DID", "NotFound"),
  bad(
    "updateSubjectStatus",
    { subject: { $type: REPO, did: NOBODY }, takedown: { applied: "yes" } },
    "a status that is text",
  ),
  bad("updateSubjectStatus", { subject: { $type: REPO, did: NOBODY }, takedown: {} }, "an empty status"),
  bad(
    "updateSubjectStatus",
    { subject: { $type: REPO, did: NOBODY }, takedown: { applied: true }, deactivated: { applied: false } },
    "a takedown with an activation",
  ),
  bad(
    "updateSubjectStatus",
    { subject: { $type: RECORD, uri: `at://${NOBODY}/a.b.c/d`, cid: CID }, takedown: { applied: true } },
    "a record of an unknown DID",
    "NotFound",
  ),
  bad(
    "updateSubjectStatus",
    { subject: { $type: RECORD, uri: `at://${NOBODY}/a.b.c`, cid: CID }, takedown: { applied: true } },
    "an address of no record",
  ),
  bad(
    "updateSubjectStatus",
    { subject: { $type: BLOB, did: NOBODY, cid: CID }, takedown: { applied: true } },
    "a blob of an unknown DID",
    "NotFound",
  ),
  {
    ...bad("updateSubjectStatus", {}, "a reference that is too long"),
    call: ({ alice }) => {
      const takedown = { applied: true, ref: "x".repeat(1_001) };
      return asAdmin({ body: { subject: { $type: REPO, did: alice.did }, takedown } });
    },
  },
  bad("deleteAccount", {}, "no DID"),
  bad("deleteAccount", { did: 1 }, "a number for a DID"),
  bad("deleteAccount", { did: NOBODY }, "an unknown DID", "NotFound"),
  bad("updateAccountPassword", { did: NOBODY }, "no password"),
  bad("updateAccountPassword", { did: NOBODY, password: "x" }, "an unknown DID", "NotFound"),
  {
    ...bad("updateAccountPassword", {}, "too long a password", "InvalidRequest"),
    call: ({ alice }) => asAdmin({ body: { did: alice.did, password: "x".repeat(300) } }),
  },
  bad("updateAccountEmail", { account: NOBODY }, "no address"),
  bad("updateAccountEmail", { account: NOBODY, email: "a@example.com" }, "an unknown DID"),
  bad("updateAccountEmail", { account: "nobody.test", email: "a@example.com" }, "an unknown handle"),
  {
    ...bad("updateAccountEmail", {}, "what is no address"),
    call: ({ alice }) => asAdmin({ body: { account: alice.did, email: "nonsense" } }),
  },
  {
    ...bad("updateAccountEmail", {}, "an address that another has"),
    call: ({ alice }) => asAdmin({ body: { account: alice.did, email: "marker@example.com" } }),
  },
  bad("disableInviteCodes", { accounts: ["admin"] }, "to disable the admin's"),
  bad("disableInviteCodes", { codes: "x" }, "text for a list"),
  bad("disableInviteCodes", { codes: Array(2_001).fill("x") }, "too many codes"),
  bad("disableAccountInvites", {}, "no account"),
  bad("disableAccountInvites", { account: NOBODY }, "an unknown DID", "NotFound"),
  bad("enableAccountInvites", { account: NOBODY }, "an unknown DID", "NotFound"),
  bad("sendEmail", { recipientDid: NOBODY, senderDid: NOBODY }, "no content"),
  bad("sendEmail", { recipientDid: NOBODY, senderDid: NOBODY, content: "x" }, "an unknown DID"),
  {
    ...bad("sendEmail", {}, "an empty content"),
    call: ({ alice }) => asAdmin({ body: { recipientDid: alice.did, senderDid: NOBODY, content: " " } }),
  },
  {
    ...bad("sendEmail", {}, "a subject of two lines"),
    call: ({ alice }) =>
      asAdmin({ body: { recipientDid: alice.did, senderDid: NOBODY, content: "x", subject: "a\nBcc: b" } }),
  },
];

describe("com.atproto.admin: bad input", () => {
  testRows(useStage(), BAD_INPUT);
});

describe.each([...KEY_TYPES])("com.atproto.admin: accounts (%s)", (keyType) => {
  const holder = useStage({ keyType });
  const agentOf = ({ url }: Stage) => {
    const agent = new AtpAgent({ service: url });
    agent.setHeader("authorization", ADMIN.authorization);
    return agent.com.atproto.admin;
  };
  const signIn = (stage: Stage, account: Account, password: string, more: object = {}) =>
    xrpc(stage.url, "com.atproto.server.createSession", {
      body: { identifier: account.did, password, ...more },
    });

  test("getAccountInfo and getAccountInfos show what is there, unknown ones left out", async () => {
    const { stage } = holder;
    const { alice } = stage;
    const { data } = await agentOf(stage).getAccountInfo({ did: alice.did });
    expect(data).toEqual({
      did: alice.did,
      handle: alice.handle,
      email: alice.email,
      indexedAt: expect.stringMatching(/^\d{4}-.*Z$/),
      invites: [],
      invitesDisabled: false,
    } as never);
    const infos = await agentOf(stage).getAccountInfos({ dids: [alice.did, NOBODY, alice.did] });
    expect(infos.data.infos).toEqual([data]);
  });

  test("searchAccounts finds by a part of the address, in pages, and all without one", async () => {
    const { stage } = holder;
    for (const name of ["ann-search", "bob-search", "cat-search"]) await stage.account(name);
    const found: string[] = [];
    let cursor: string | undefined;
    let pages = 0;
    do {
      const { data } = await agentOf(stage).searchAccounts({ email: "-SEARCH@example", limit: 2, cursor });
      found.push(...data.accounts.map(({ email }) => email ?? ""));
      cursor = data.cursor;
      pages += 1;
    } while (cursor !== undefined && pages < 9);
    expect(found).toEqual(["ann-search@example.com", "bob-search@example.com", "cat-search@example.com"]);
    expect((await agentOf(stage).searchAccounts({ email: "nobody@" })).data.accounts).toEqual([]);
    expect((await agentOf(stage).searchAccounts({})).data.accounts.length).toBe(5);
  });

  test("updateAccountPassword ends every session, and the new one opens", async () => {
    const { stage } = holder;
    const dora = await stage.account("dora");
    const second = Math.floor(Date.now() / 1000);
    await waitFor("the next second", () => Math.floor(Date.now() / 1000) > second);
    await agentOf(stage).updateAccountPassword({ did: dora.did, password: "by the admin" });
    const old = await xrpc(stage.url, "com.atproto.server.getSession", { token: dora.accessJwt });
    expect(old.error).toBe("ExpiredToken");
    const refresh = { method: "POST", token: dora.refreshJwt };
    expect((await xrpc(stage.url, "com.atproto.server.refreshSession", refresh)).error).toBe("ExpiredToken");
    expect((await signIn(stage, dora, PASSWORD)).status).toBe(401);
    expect((await signIn(stage, dora, "by the admin")).status).toBe(200);
  });

  test("updateAccountEmail takes a DID or a handle, and the address is not confirmed", async () => {
    const { stage } = holder;
    const emma = await stage.account("emma");
    const infoOf = async () => (await agentOf(stage).getAccountInfo({ did: emma.did })).data;
    for (const account of [emma.did, emma.handle.toUpperCase()]) {
      const email = `${account === emma.did ? "One" : "Two"}@Example.com`;
      await agentOf(stage).updateAccountEmail({ account, email });
      expect(await infoOf()).toMatchObject({ email: email.toLowerCase() });
      expect((await infoOf()).emailConfirmedAt).toBeUndefined();
    }
  });

  test("deleteAccount deletes, tells the network, and is not found again", async () => {
    const { stage } = holder;
    const fred = await stage.account("fred");
    const { events } = await stage.eventsDuring(async () => {
      await agentOf(stage).deleteAccount({ did: fred.did });
      await waitFor("the event", () =>
        stage.firehose.events.some(({ did, body }) => did === fred.did && body.status === "deleted"),
      );
    });
    expect(events.map(describeEvent)).toEqual(["#account deleted"]);
    const again = await xrpc(stage.url, admin("deleteAccount"), asAdmin({ body: { did: fred.did } }));
    expect([again.status, again.error]).toEqual([400, "NotFound"]);
    expect((await signIn(stage, fred, PASSWORD)).status).toBe(401);
  });

  test("the firehose of all this holds to Sync 1.1", () => holder.stage.judgeAll());
});
