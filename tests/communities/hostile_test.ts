/** Provisioning at a stock PDS that lies, refuses and breaks off, and with a PLC directory that does so, step by step. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { Secp256k1Keypair } from "@atproto/crypto";
import { type Account, type Answer, createAccount } from "../client.ts";
import { TestServer } from "../harness.ts";
import { FaultyPlc, PlcDirectory, type PlcFault } from "../plc_directory.ts";
import { adminCall, community, type ProvisionInput, provisionInput, ROOM } from "./group.ts";
import { type Lie, PDS_KEY, refuse, StockPds } from "./stock_pds.ts";

const NOTE = "dev.kith.test.note";
const declaration = { collection: NOTE, rkey: "self", record: { $type: NOTE, text: "declared" } };

let plc: PlcDirectory;
let directory: FaultyPlc;
let pds: StockPds;
let server: TestServer;
let alice: Account;

beforeAll(async () => {
  plc = await PlcDirectory.start();
  directory = new FaultyPlc(plc);
  pds = new StockPds();
  server = await TestServer.start({
    env: {
      ...ROOM,
      PDS_DID_PLC_URL: directory.url,
      PDS_RATE_LIMITS_ENABLED: "false",
      KITH_COMMUNITY_PDS_ALLOWLIST: pds.url,
    },
  });
  alice = await createAccount(server.url, "alice", plc);
});
beforeEach(() => {
  pds.lies.clear();
  directory.fault = "none";
  directory.dids.clear();
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await pds?.[Symbol.asyncDispose]();
  await directory?.[Symbol.asyncDispose]();
  await plc?.[Symbol.asyncDispose]();
});

let names = 0;

async function requestOf(): Promise<ProvisionInput> {
  const handle = `group${names}.test`;
  const email = `group${names++}@example.com`;
  return provisionInput(await Secp256k1Keypair.create(), {
    handle,
    email,
    pdsEndpoint: pds.url,
    declaration,
  });
}

const ask = (body: ProvisionInput): Promise<Answer> =>
  community(server.url, "provision", { token: alice.accessJwt, body });

async function attempts(): Promise<{ id: string; did?: string; lastError?: string }[]> {
  const { json } = await adminCall(server, "listAttempts", { params: { olderThanSeconds: "0" } });
  return json.attempts as { id: string; did?: string; lastError?: string }[];
}

/** Once everything is in order again the same call ends well. */
async function expectDone(body: ProvisionInput): Promise<string> {
  pds.lies.clear();
  directory.fault = "none";
  const answer = await ask(body);
  expect([answer.status, answer.json.message]).toEqual([200, undefined]);
  const did = String(answer.json.communityDid);
  const log = (await plc.log(did)) as { rotationKeys: string[] }[];
  expect(log.map(({ rotationKeys }) => rotationKeys[0])).toEqual([body.rotationKey, body.rotationKey]);
  expect(log[1]?.rotationKeys).toEqual([body.rotationKey, expect.stringContaining("did:key:zDn"), PDS_KEY]);
  const account = pds.accounts.get(did);
  expect([account?.active, account?.handle, account?.appPasswords.size]).toEqual([true, body.handle, 1]);
  expect(pds.records.get(`${did}/${NOTE}/self`)).toEqual(declaration.record);
  expect(answer.json.rootCredentials).toMatchObject({ password: account?.password });
  const live = [...pds.accounts.values()].filter(({ handle, active }) => handle === body.handle && active);
  expect(live).toHaveLength(1);
  expect(await attempts()).toEqual([]);
  return did;
}

/** What is half of an answer. */
const half: Lie = (_, answer) => {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  void answer();
  void writer
    .write(new TextEncoder().encode('{"did":"did:'))
    .then(() => writer.abort().catch(() => undefined));
  return new Response(readable, { headers: { "content-type": "application/json" } });
};
const lost: Lie = (_, answer) => {
  answer();
  return new Response("gateway timed out", { status: 504 });
};
const changed =
  (change: Record<string, unknown>): Lie =>
  async (_, answer) =>
    Response.json({ ...((await answer().json()) as object), ...change });
const broken: Lie = () => new Response("database is down", { status: 500 });
const page: Lie = () => new Response("<!doctype html><title>hello</title>");
const redirect: Lie = () => Response.redirect("http://localhost:1/xrpc/elsewhere", 302);
const endless: Lie = () => new Response(`{"did":"${"x".repeat(2_000_000)}"}`);
/** At the rehearsal, for which there is no token. */
const rehearsed =
  (error: string): Lie =>
  ({ token }, answer) =>
    token ? answer() : refuse(error);
/** When it is meant. */
const meant =
  (error: string, status = 400): Lie =>
  ({ token }, answer) =>
    token ? refuse(error, status) : answer();

describe("before anything is permanent", () => {
  test.each<[string, string, Lie, number, string]>([
    [
      "says that it is another server",
      "describeServer",
      changed({ did: "did:web:pds.example.com" }),
      502,
      "UpstreamFailure",
    ],
    [
      "says that it is a member",
      "describeServer",
      (call, answer) => changed({ did: alice.did })(call, answer),
      502,
      "UpstreamFailure",
    ],
    [
      "says that it is us",
      "describeServer",
      (call, answer) => changed({ did: `did:web:localhost%3A${server.port}` })(call, answer),
      502,
      "UpstreamFailure",
    ],
    ["says that it is nobody", "describeServer", changed({ did: "nobody" }), 502, "UpstreamFailure"],
    ["leads elsewhere", "describeServer", redirect, 502, "UpstreamFailure"],
    ["answers half", "describeServer", half, 502, "UpstreamFailure"],
    ["answers a page", "describeServer", page, 502, "UpstreamFailure"],
    ["answers without end", "describeServer", endless, 502, "UpstreamFailure"],
    ["is broken", "describeServer", broken, 502, "UpstreamFailure"],
    [
      "asks for a phone",
      "describeServer",
      changed({ phoneVerificationRequired: true }),
      400,
      "InvalidRequest",
    ],
    ["asks for an invite", "describeServer", changed({ inviteCodeRequired: true }), 400, "InvalidInviteCode"],
    [
      "has other domains",
      "describeServer",
      changed({ availableUserDomains: [".example.com"] }),
      400,
      "UnsupportedDomain",
    ],
    [
      "has the handle",
      "resolveHandle",
      () => Response.json({ did: "did:plc:ewvi7nxzyoun6zhxrhs64oiz" }),
      400,
      "HandleNotAvailable",
    ],
    ["refuses the handle", "createAccount", rehearsed("InvalidHandle"), 400, "InvalidHandle"],
    ["refuses the invite", "createAccount", rehearsed("InvalidInviteCode"), 400, "InvalidInviteCode"],
    ["refuses the address", "createAccount", rehearsed("InvalidEmail"), 400, "InvalidEmail"],
  ])("a host that %s", async (_, method, lie, status, error) => {
    const body = await requestOf();
    pds.lies.set(method, lie);
    const answer = await ask(body);
    expect([answer.status, answer.error]).toEqual([status, error]);
    expect([[...directory.dids], await attempts()]).toEqual([[], []]);
    await expectDone(body);
  });

  test.each<[PlcFault, number, string]>([
    ["is-down", 502, "UpstreamFailure"],
    ["refuses", 502, "UpstreamFailure"],
  ])("a directory that %s", async (fault, status, error) => {
    const body = await requestOf();
    directory.fault = fault;
    const answer = await ask(body);
    expect([answer.status, answer.error]).toEqual([status, error]);
    expect(await attempts()).toEqual([]);
    for (const did of directory.dids) expect(await plc.document(did)).toBeUndefined();
    await expectDone(body);
  });
});

describe("an account that is refused once there is a DID", () => {
  test.each([
    "InvalidHandle",
    "HandleNotAvailable",
    "UnsupportedDomain",
    "InvalidInviteCode",
    "InvalidEmail",
    "InvalidRequest",
  ])("%s: it is taken back", async (error) => {
    const body = await requestOf();
    pds.lies.set("createAccount", meant(error));
    const answer = await ask(body);
    expect([answer.status, answer.error, await attempts()]).toEqual([400, error, []]);
    const [did = "", ...others] = directory.dids;
    expect(others).toEqual([]);
    expect((await plc.log(did)).map(({ type }) => type)).toEqual(["plc_operation", "plc_tombstone"]);
    expect(await expectDone(body)).not.toBe(did);
  });
});

describe("what is gone on with", () => {
  const lies: [string, string, Lie][] = [
    [
      "takes the account, and its answer is lost",
      "createAccount",
      (call, answer) => (call.token ? lost(call, answer) : answer()),
    ],
    [
      "takes the account, and answers half",
      "createAccount",
      (call, answer) => (call.token ? half(call, answer) : answer()),
    ],
    ["is broken when it is to take the account", "createAccount", meant("InternalServerError", 500)],
    ["has too much to do", "createAccount", meant("RateLimitExceeded", 429)],
    ["knows no token", "createAccount", meant("AuthenticationRequired", 401)],
    [
      "answers for another account",
      "createAccount",
      (call, answer) => (call.token ? changed({ did: alice.did })(call, answer) : answer()),
    ],
    [
      "signs in another account",
      "createSession",
      (call, answer) => changed({ did: alice.did })(call, answer),
    ],
    [
      "tells of another account",
      "getRepoStatus",
      (call, answer) => (call.given.did ? Response.json({ did: alice.did, active: true }) : answer()),
    ],
    ["is broken when it is to recommend", "getRecommendedDidCredentials", broken],
    ["recommends half", "getRecommendedDidCredentials", half],
    ["recommends no keys", "getRecommendedDidCredentials", changed({ rotationKeys: [] })],
    [
      "recommends many keys",
      "getRecommendedDidCredentials",
      changed({ rotationKeys: Array(9).fill(PDS_KEY) }),
    ],
    ["recommends what is no key", "getRecommendedDidCredentials", changed({ rotationKeys: ["did:key:zQ3"] })],
    ["recommends a key twice", "getRecommendedDidCredentials", changed({ rotationKeys: [PDS_KEY, PDS_KEY] })],
    [
      "recommends another handle",
      "getRecommendedDidCredentials",
      changed({ alsoKnownAs: ["at://alice.test"] }),
    ],
    [
      "recommends two handles",
      "getRecommendedDidCredentials",
      changed({ alsoKnownAs: ["at://a.test", "at://b.test"] }),
    ],
    ["recommends no signing key", "getRecommendedDidCredentials", changed({ verificationMethods: {} })],
    [
      "recommends another server",
      "getRecommendedDidCredentials",
      changed({
        services: {
          atproto_pds: { type: "AtprotoPersonalDataServer", endpoint: "https://evil.example.com" },
        },
      }),
    ],
    [
      "recommends another service",
      "getRecommendedDidCredentials",
      changed({ services: { atproto_pds: { type: "Other", endpoint: "http://localhost" } } }),
    ],
    ["is broken when it is to activate", "activateAccount", broken],
    ["activates, and its answer is lost", "activateAccount", lost],
    ["makes the app password, and its answer is lost", "createAppPassword", lost],
    ["makes the app password, and answers half", "createAppPassword", half],
    ["makes no app password", "createAppPassword", changed({ password: "" })],
    ["is broken when it is to take the declaration", "putRecord", broken],
    ["takes the declaration, and its answer is lost", "putRecord", lost],
  ];
  test.each(lies)("a host that %s", async (_, method, lie) => {
    const body = await requestOf();
    pds.lies.set(method, lie);
    const answer = await ask(body);
    expect([answer.status, answer.error]).toEqual([502, "ProvisioningFailed"]);
    expect(answer.json.message).toContain("same idempotency key");
    const [attempt] = await attempts();
    expect(attempt?.lastError).toEqual(expect.any(String));
    expect(await expectDone(body)).toBe(attempt?.did ?? "");
  });

  test("a host that recommends the caller's own key to itself", async () => {
    const body = await requestOf();
    pds.lies.set("getRecommendedDidCredentials", changed({ rotationKeys: [body.rotationKey] }));
    expect((await ask(body)).error).toBe("ProvisioningFailed");
    await expectDone(body);
  });

  const faults: [PlcFault, "genesis" | "update"][] = [
    ["fails", "genesis"],
    ["loses-answer", "genesis"],
    ["is-down", "update"],
    ["fails", "update"],
    ["refuses", "update"],
    ["loses-answer", "update"],
  ];
  test.each(faults)("a directory that %s at the %s", async (fault, when) => {
    const body = await requestOf();
    if (when === "genesis") directory.fault = fault;
    const turn: Lie = (_, answer) => {
      directory.fault = fault;
      return answer();
    };
    if (when === "update") pds.lies.set("getRecommendedDidCredentials", turn);
    const answer = await ask(body);
    expect([answer.status, answer.error]).toEqual([502, "ProvisioningFailed"]);
    const [attempt] = await attempts();
    expect(await expectDone(body)).toBe(attempt?.did ?? "");
  });
});

test("nothing that the host was told or has told is in what the server has printed", () => {
  const told = [...pds.secrets.keys()].filter((secret) => server.output.includes(secret));
  expect([pds.secrets.size > 100, told]).toEqual([true, []]);
});
