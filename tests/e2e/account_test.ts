/** The life of an account: how it comes to be, what the directory and the firehose learn of it, and what is refused. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createAccount, http, PASSWORD, xrpc } from "../client.ts";
import { ADMIN_PASSWORD, KEY_TYPES, TestServer } from "../harness.ts";
import { PlcDirectory } from "../plc_directory.ts";
import { type Row, testRows, useStage } from "../stage.ts";

const CREATE = "com.atproto.server.createAccount";
const CREATION_EVENTS = ["#identity", "#account active", "#commit", "#sync"];

function creation(input: Record<string, unknown>): Row["call"] {
  return () => ({ body: { email: `${crypto.randomUUID()}@example.com`, password: PASSWORD, ...input } });
}

const rows: Row[] = [
  {
    title: "makes an account and tells identity, account, commit, sync in this order",
    to: CREATE,
    call: creation({ handle: "bob.test", email: "bob@example.com" }),
    status: 200,
    events: CREATION_EVENTS,
    check: (answer) => {
      expect(answer.json.handle).toBe("bob.test");
      expect(answer.json.did).toMatch(/^did:plc:[a-z2-7]{24}$/);
      expect(typeof answer.json.accessJwt).toBe("string");
      expect(typeof answer.json.refreshJwt).toBe("string");
    },
  },
  {
    title: "takes a handle in capitals as the same in small letters",
    to: CREATE,
    call: creation({ handle: "Carla.TEST" }),
    status: 200,
    events: CREATION_EVENTS,
    check: (answer) => expect(answer.json.handle).toBe("carla.test"),
  },
  {
    title: "refuses a handle that is taken",
    to: CREATE,
    call: creation({ handle: "bob.test" }),
    status: 400,
    error: "HandleNotAvailable",
  },
  {
    title: "refuses a handle that is taken, in capitals",
    to: CREATE,
    call: creation({ handle: "BOB.test" }),
    status: 400,
    error: "HandleNotAvailable",
  },
  {
    title: "refuses an e-mail address that is taken",
    to: CREATE,
    call: creation({ handle: "bobtwo.test", email: "BOB@example.com" }),
    status: 400,
    error: "InvalidRequest",
  },
  {
    title: "refuses a malformed handle",
    to: CREATE,
    call: creation({ handle: "no spaces.test" }),
    status: 400,
    error: ["InvalidHandle", "InvalidRequest"],
    check: (answer) => expect(answer.json.message).toContain("no spaces.test"),
  },
  {
    title: "refuses a handle of two labels of its own",
    to: CREATE,
    call: creation({ handle: "a.bcd.test" }),
    status: 400,
    error: "InvalidHandle",
  },
  {
    title: "refuses a handle under a domain of somebody else",
    to: CREATE,
    call: creation({ handle: "dan.example.com" }),
    status: 400,
    error: "UnsupportedDomain",
  },
  {
    title: "refuses a reserved name",
    to: CREATE,
    call: creation({ handle: "admin.test" }),
    status: 400,
    error: "HandleNotAvailable",
  },
  {
    title: "gives a reserved name to the admin",
    to: CREATE,
    call: async (stage) => ({
      ...(await creation({ handle: "admin.test" })?.(stage)),
      headers: { authorization: `Basic ${btoa(`admin:${ADMIN_PASSWORD}`)}` },
    }),
    status: 200,
    events: CREATION_EVENTS,
  },
  {
    title: "refuses a malformed e-mail address",
    to: CREATE,
    call: creation({ handle: "ellen.test", email: "not an address" }),
    status: 400,
    error: "InvalidRequest",
  },
  {
    title: "refuses to do without a password",
    to: CREATE,
    call: () => ({ body: { handle: "ellen.test", email: "ellen@example.com" } }),
    status: 400,
    error: ["InvalidPassword", "InvalidRequest"],
  },
  {
    title: "refuses a password beyond all measure",
    to: CREATE,
    call: creation({ handle: "ellen.test", password: "x".repeat(5_000) }),
    status: 400,
    error: "InvalidPassword",
  },
  {
    title: "refuses input of the wrong type",
    to: CREATE,
    call: creation({ handle: 7 }),
    status: 400,
    error: "InvalidRequest",
  },
  {
    title: "gives the name that all these refusals left free",
    to: CREATE,
    call: creation({ handle: "ellen.test", email: "ellen@example.com" }),
    status: 200,
    events: CREATION_EVENTS,
  },
];

describe.each([...KEY_TYPES])("accounts (%s)", (keyType) => {
  const holder = useStage({ keyType });
  testRows(holder, rows);

  test("createAccount: the directory shows key, handle and endpoint, and no more rotation keys than ours", async () => {
    const { alice, plc, server } = holder.stage;
    const document = (await plc.document(alice.did)) as {
      alsoKnownAs: string[];
      verificationMethod: { id: string; type: string; controller: string; publicKeyMultibase: string }[];
      service: { id: string; type: string; serviceEndpoint: string }[];
    };
    expect(document.alsoKnownAs).toEqual([`at://${alice.handle}`]);
    const [method] = document.verificationMethod;
    expect(method?.id).toEndWith("#atproto");
    expect(method?.controller).toBe(alice.did);
    expect(alice.didKey).toStartWith(keyType === "k256" ? "did:key:zQ3sh" : "did:key:zDna");
    expect(document.service).toEqual([
      { id: "#atproto_pds", type: "AtprotoPersonalDataServer", serviceEndpoint: server.url },
    ]);
    const [operation, ...rest] = await plc.log(alice.did);
    expect(rest).toEqual([]);
    expect(operation?.type).toBe("plc_operation");
    expect((operation?.rotationKeys as string[] | undefined)?.length).toBeGreaterThan(0);
    expect(operation?.rotationKeys).not.toContain(alice.didKey);
  });

  test("createAccount: the fresh repo is empty, signed, and the one the firehose told of", async () => {
    const carl = await holder.stage.account("carl");
    const repo = await holder.stage.repo(carl);
    expect(repo.records.size).toBe(0);
    const followed = await holder.stage.firehose.find(
      "the commit of the new account",
      (event) => event.did === carl.did && event.type === "#commit",
    );
    expect(followed.body.rev).toBe(repo.rev);
    expect(followed.body.since).toBeNull();
    expect("prevData" in followed.body).toBe(false);
    expect(followed.body.ops).toEqual([]);
  });

  test("createAccount: of eight at once for one name exactly one wins", async () => {
    const { stage } = holder;
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        xrpc(stage.url, CREATE, {
          body: { handle: "wanted.test", email: `wanted${i}@example.com`, password: PASSWORD },
        }),
      ),
    );
    expect(answers.map((answer) => answer.status).sort()).toEqual([200, ...Array(7).fill(400)]);
    const winner = answers.find((answer) => answer.status === 200)?.json.did;
    const resolved = await xrpc(stage.url, "com.atproto.identity.resolveHandle", {
      params: { handle: "wanted.test" },
    });
    expect(resolved.json.did).toBe(winner as string);
  });

  test("describeServer: says what a client needs to sign up", async () => {
    const { stage } = holder;
    const { data } = await stage.alice.agent.com.atproto.server.describeServer();
    expect(data.availableUserDomains).toEqual([".test"]);
    expect(data.inviteCodeRequired ?? false).toBe(false);
    expect(data.did).toStartWith("did:web:localhost");
  });

  test("the firehose of all this holds to Sync 1.1 and leads to what the repos hold", () =>
    holder.stage.judgeAll());
});

describe("invites", () => {
  let plc: PlcDirectory;
  let server: TestServer;
  beforeAll(async () => {
    plc = await PlcDirectory.start();
    server = await TestServer.start({ env: { PDS_DID_PLC_URL: plc.url, PDS_INVITE_REQUIRED: "true" } });
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    await plc[Symbol.asyncDispose]();
  });
  const admin = { authorization: `Basic ${btoa(`admin:${ADMIN_PASSWORD}`)}` };
  const create = (handle: string, inviteCode?: string) =>
    xrpc(server.url, CREATE, {
      body: { handle, email: `${crypto.randomUUID()}@example.com`, password: PASSWORD, inviteCode },
    });

  test("createAccount refuses without a code and with an unknown one", async () => {
    for (const code of [undefined, "localhost-aaaaa-aaaaa"]) {
      const answer = await create("dora.test", code);
      expect([answer.status, answer.error]).toEqual([400, "InvalidInviteCode"]);
    }
    const description = await xrpc(server.url, "com.atproto.server.describeServer");
    expect(description.json.inviteCodeRequired).toBe(true);
  });

  test("a code of one use serves one account, also when many come at once", async () => {
    const made = await http(`${server.url}/xrpc/com.atproto.server.createInviteCode`, {
      body: { useCount: 1 },
      headers: admin,
    });
    expect(made.status).toBe(200);
    const code = String(made.json.code);
    const answers = await Promise.all(
      ["one", "two", "three", "four"].map((name) => create(`${name}.test`, code)),
    );
    expect(answers.filter((answer) => answer.status === 200)).toHaveLength(1);
    for (const answer of answers.filter(({ status }) => status !== 200))
      expect([answer.status, answer.error]).toEqual([400, "InvalidInviteCode"]);
  });

  test("an invited member may have a reserved name", async () => {
    const made = await http(`${server.url}/xrpc/com.atproto.server.createInviteCode`, {
      body: { useCount: 1 },
      headers: admin,
    });
    expect((await create("support.test", String(made.json.code))).status).toBe(200);
  });

  test("createInviteCodes makes codes for each account that is named, or for the admin", async () => {
    const accounts = ["did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb"];
    const make = (body: object) =>
      xrpc(server.url, "com.atproto.server.createInviteCodes", { body, headers: admin });
    const { status, json } = await make({ codeCount: 2, useCount: 1, forAccounts: accounts });
    const made = json.codes as { account: string; codes: string[] }[];
    expect([status, made.map(({ account, codes }) => [account, codes.length])]).toEqual([
      200,
      accounts.map((account) => [account, 2]),
    ]);
    const all = made.flatMap(({ codes }) => codes);
    expect(new Set(all).size).toBe(4);
    expect((await create("evi.test", String(all[3]))).status).toBe(200);
    const own = await make({ codeCount: 1, useCount: 1 });
    expect(own.json.codes).toEqual([{ account: "admin", codes: [expect.any(String)] }]);
    expect(await make({ codeCount: 1_000_000, useCount: 1 })).toMatchObject({
      status: 400,
      error: "InvalidRequest",
    });
  });

  test("createInviteCode is the admin's alone", async () => {
    const answers = await Promise.all([
      xrpc(server.url, "com.atproto.server.createInviteCode", { body: { useCount: 1 } }),
      xrpc(server.url, "com.atproto.server.createInviteCode", {
        body: { useCount: 1 },
        headers: { authorization: `Basic ${btoa("admin:wrong")}` },
      }),
    ]);
    for (const answer of answers) expect(answer.status).toBe(401);
  });
});

test("dev mode: an account in the embedded directory, with no other service running", async () => {
  await using server = await TestServer.start();
  const alice = await createAccount(server.url, "alice");
  const document = (await (await fetch(`${server.url}/${alice.did}`)).json()) as { id: string };
  expect(document.id).toBe(alice.did);
  const forged = {
    type: "plc_operation",
    prev: null,
    sig: "AAAA",
    rotationKeys: [],
    verificationMethods: {},
  };
  const refused = await http(`${server.url}/${alice.did}`, {
    body: { ...forged, alsoKnownAs: [], services: {} },
  });
  expect(refused.status).toBe(400);
});
