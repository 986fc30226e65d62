import { describe, expect, test } from "bun:test";
import type { DidDocument } from "../../atproto/mod.ts";
import { KithError } from "../../errors.ts";
import { didWebOf, StockHost } from "./stock_host.ts";
import {
  type Answerer,
  DID,
  fakeHost,
  goodAnswers,
  OTHER_DID,
  PASSWORD,
  PDS,
  refusal,
  unreachable,
} from "./stock_pds_fixture.ts";

const NOBODY = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
const NOW = Date.UTC(2026, 10, 21);
const ACCOUNT = { did: DID, password: PASSWORD };

function makeHost(
  change: Record<string, Answerer | undefined> = {},
  {
    documents = {},
    kind = "remote",
    serviceDid,
  }: {
    documents?: Record<string, unknown>;
    kind?: "remote" | "loopback";
    serviceDid?: string;
  } = {},
) {
  const { host, calls, asked } = fakeHost({ ...goodAnswers(), ...change } as Record<string, Answerer>);
  const dids = {
    resolve: async (did: string) => {
      const document = documents[did];
      if (document === undefined) throw new KithError("did_not_found", "not there");
      if (document instanceof Error) throw document;
      return { id: did, ...(document as object) } as unknown as DidDocument;
    },
  };
  const own = serviceDid === undefined ? {} : { serviceDid };
  const stock = new StockHost({ kind, host, dids, now: () => NOW, devMode: false, ...own });
  return { stock, calls, asked };
}

/** The outcome of a call, or what it was refused with. */
async function outcomeOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    return await promise;
  } catch (error) {
    if (!(error instanceof KithError)) throw error;
    return `${error.code}: ${error.message}`;
  }
}

test("didWebOf() is the did:web of an origin", () => {
  expect(didWebOf("https://PDS.example.com")).toBe("did:web:pds.example.com");
  expect(didWebOf("http://localhost:2583")).toBe("did:web:localhost%3a2583");
});

describe("StockHost.describe()", () => {
  test("tells what the host is and asks for", async () => {
    const { stock } = makeHost({
      describeServer: {
        did: "did:web:pds.example.com",
        availableUserDomains: [".PDS.example.com", "other.example.com"],
        inviteCodeRequired: true,
        phoneVerificationRequired: true,
        contact: {},
      },
    });
    expect(await stock.describe()).toEqual({
      did: "did:web:pds.example.com",
      domains: [".pds.example.com", ".other.example.com"],
      inviteRequired: true,
      phoneRequired: true,
    });
  });

  const named = (did: string): Answerer => ({ did, availableUserDomains: [] });
  const serves = (...endpoints: unknown[]) => ({
    service: endpoints.map((serviceEndpoint) => ({ id: "#atproto_pds", serviceEndpoint })),
  });
  test.each<[string, string, unknown, string]>([
    ["its own did:web", "did:web:pds.example.com", undefined, ""],
    ["a did:plc whose document names it", OTHER_DID, serves(PDS), ""],
    [
      "a did:plc whose document names it, spelt otherwise",
      OTHER_DID,
      serves("https://PDS.example.com:443/"),
      "",
    ],
    ["the did:web of an entryway that names it", "did:web:example.com", serves(1, "x", PDS), ""],
    [
      "the did:web of another",
      "did:web:victim.example.com",
      serves("https://victim.example.com"),
      "does not name it",
    ],
    ["the did:web of its parent", "did:web:example.com", serves("https://example.com"), "does not name it"],
    ["a did:web with another port", "did:web:pds.example.com%3A8443", undefined, "does not resolve"],
    ["a did:plc that names another", OTHER_DID, serves("https://pds.example.org"), "does not name it"],
    [
      "a did:plc with its name in a path",
      OTHER_DID,
      serves(`https://evil.example.org/${PDS}`),
      "does not name it",
    ],
    ["a did:plc with a strange document", OTHER_DID, { service: "x" }, "does not name it"],
    ["a DID that is not there", OTHER_DID, undefined, "does not resolve"],
  ])("with %s", async (_, did, document, refused) => {
    const { stock } = makeHost({ describeServer: named(did) }, { documents: { [did]: document } });
    const outcome = await outcomeOf(stock.describe());
    if (refused === "") expect(outcome).toMatchObject({ did });
    else
      expect(outcome).toMatch(
        new RegExp(`^upstream_failure: "${PDS}" says that it is "${did}", .*${refused}`),
      );
  });

  test("takes this server's own DID of itself alone", async () => {
    const describeServer = named(OTHER_DID);
    const own = { kind: "loopback", serviceDid: OTHER_DID } as const;
    expect(await makeHost({ describeServer }, own).stock.describe()).toMatchObject({
      did: OTHER_DID,
      publicUrl: PDS,
    });
    expect(await outcomeOf(makeHost({ describeServer }).stock.describe())).toMatch(/^upstream_failure/);
  });

  test("passes a time-out of the resolver on", async () => {
    const documents = { [OTHER_DID]: new KithError("timeout", "too slow") };
    const { stock } = makeHost({ describeServer: named(OTHER_DID) }, { documents });
    expect(await outcomeOf(stock.describe())).toMatch(/^timeout/);
  });

  test.each<[string, Answerer]>([
    ["nothing", {}],
    ["no DID", { did: "pds.example.com" }],
    ["a number for a DID", { did: 7 }],
    ["a list", []],
    ["no JSON", new Response("<html>")],
    ["JSON cut off", new Response('{"did":"did:web:pds')],
    ["domains that are none", { did: "did:web:pds.example.com", availableUserDomains: ["\u001b[2J"] }],
    ["a thousand domains", { did: "did:web:pds.example.com", availableUserDomains: Array(1_000).fill(".a") }],
    ["a DID of a megabyte", { did: `did:web:${"a".repeat(1_000_000)}` }],
    ["an error", refusal(500)],
    ["no answer", unreachable],
  ])("refuses %s", async (_, describeServer) => {
    const outcome = await outcomeOf(makeHost({ describeServer }).stock.describe());
    expect(outcome).toMatch(/^upstream_failure: /);
    expect(String(outcome).length).toBeLessThan(700);
  });
});

describe("StockHost.preflight()", () => {
  const WANTED = { handle: "garden.pds.example.com", email: "garden@example.com" };
  const described = (change: object): Record<string, Answerer> => ({
    describeServer: { did: "did:web:pds.example.com", availableUserDomains: [".pds.example.com"], ...change },
  });
  const available = (is: boolean): Answerer => ({
    result: { $type: `com.atproto.temp.checkHandleAvailability#result${is ? "Available" : "Unavailable"}` },
  });
  type PreflightRow = [
    title: string,
    change: Partial<typeof WANTED & { inviteCode: string }>,
    answers: Record<string, Answerer>,
    code: string,
  ];
  test.each<PreflightRow>([
    ["what is free", {}, {}, ""],
    ["another spelling", { handle: "GARDEN.pds.example.com" }, {}, ""],
    ["an invite code", { inviteCode: "code" }, described({ inviteCodeRequired: true }), ""],
    ["a handle that the host says is free", {}, { checkHandleAvailability: available(true) }, ""],
    [
      "a handle that only the host thinks long enough",
      { handle: "a.pds.example.com" },
      { checkHandleAvailability: available(true) },
      "",
    ],
    ["a host that passes the question on and is refused", {}, { checkHandleAvailability: refusal(401) }, ""],
    ["a host that resolves no handles", {}, { resolveHandle: refusal(501) }, ""],
    [
      "no invite code where one is asked for",
      {},
      described({ inviteCodeRequired: true }),
      "invalid_invite_code",
    ],
    [
      "a host that wants a phone number",
      {},
      described({ phoneVerificationRequired: true }),
      "invalid_request",
    ],
    ["no e-mail address", { email: "" }, {}, "invalid_email"],
    ["what is no e-mail address", { email: "garden" }, {}, "invalid_email"],
    [
      "an e-mail address with a header",
      { email: "a@b.example.com\r\nBcc: x@y.example.com" },
      {},
      "invalid_email",
    ],
    [
      "an e-mail address that the host refuses",
      {},
      { checkHandleAvailability: refusal(400, "InvalidEmail", "no") },
      "invalid_email",
    ],
    ["what is no handle", { handle: "gar_den.pds.example.com" }, {}, "invalid_handle"],
    ["a handle of elsewhere", { handle: "garden.example.org" }, {}, "unsupported_domain"],
    ["a handle of a host that gives none", {}, described({ availableUserDomains: [] }), "unsupported_domain"],
    ["the host's own name", { handle: "pds.example.com" }, {}, "unsupported_domain"],
    ["a short handle", { handle: "ab.pds.example.com" }, {}, "invalid_handle"],
    ["a long handle", { handle: `${"a".repeat(19)}.pds.example.com` }, {}, "invalid_handle"],
    ["two labels", { handle: "a.garden.pds.example.com" }, {}, "invalid_handle"],
    ["a reserved handle", { handle: "admin.pds.example.com" }, {}, "handle_not_available"],
    [
      "a reserved domain",
      { handle: "garden.pds.local" },
      described({ availableUserDomains: [".pds.local"] }),
      "invalid_handle",
    ],
    ["a handle that is taken", {}, { resolveHandle: { did: OTHER_DID } }, "handle_not_available"],
    [
      "a handle that the host says is taken",
      {},
      { checkHandleAvailability: available(false) },
      "handle_not_available",
    ],
    [
      "an invite code that is used up",
      { inviteCode: "code" },
      { createAccount: refusal(400, "InvalidInviteCode", "Provided invite code not available") },
      "invalid_invite_code",
    ],
    [
      "an e-mail address that is taken",
      {},
      { createAccount: refusal(400, "InvalidRequest", "Email already taken: garden@example.com") },
      "invalid_email",
    ],
    [
      "a handle that is taken by an account that is not active",
      {},
      { createAccount: refusal(400, "InvalidRequest", "Handle already taken: garden.pds.example.com") },
      "handle_not_available",
    ],
    [
      "a handle of which more is wrong",
      {},
      { createAccount: refusal(400, "InvalidHandle") },
      "invalid_handle",
    ],
    [
      "a host that has a word against it",
      {},
      { createAccount: refusal(400, "HandleNotAvailable") },
      "handle_not_available",
    ],
    [
      "a host that gives no such handles",
      {},
      { createAccount: refusal(400, "UnsupportedDomain") },
      "unsupported_domain",
    ],
    [
      "a host with another word for an address",
      {},
      { createAccount: refusal(400, "InvalidEmail") },
      "invalid_email",
    ],
    ["a host that wants a DID of its own", {}, { createAccount: refusal(400, "IncompatibleDidDoc") }, ""],
    [
      "a host that refuses the rehearsal",
      {},
      { createAccount: refusal(400, "InvalidRequest", "no such DID") },
      "",
    ],
    ["a host that fails at the rehearsal", {}, { createAccount: refusal(500) }, ""],
    ["a host that takes the rehearsal", {}, { createAccount: {} }, ""],
    ["a host that cannot say", {}, { resolveHandle: refusal(500) }, "upstream_failure"],
    ["a host that answers half", {}, { resolveHandle: {} }, "upstream_failure"],
    ["a host that is away", {}, { describeServer: unreachable }, "upstream_failure"],
    ["a host that is another", {}, described({ did: "did:web:victim.example.com" }), "upstream_failure"],
  ])("judges %s", async (_, change, answers, code) => {
    const { stock, calls } = makeHost(answers);
    const outcome = await outcomeOf(stock.preflight({ ...WANTED, ...change }));
    expect(String(outcome ?? "").split(":")[0]).toBe(code);
    const asks = new Set(["describeServer", "checkHandleAvailability", "resolveHandle"]);
    const others = calls.filter(({ method }) => !asks.has(method));
    // The rehearsal has no proof, and is of nobody's DID.
    for (const { method, token, given } of others) {
      expect({ method, token, did: given.did }).toEqual({
        method: "createAccount",
        token: undefined,
        did: NOBODY,
      });
    }
    expect(others.length).toBe(code === "" || answers.createAccount ? 1 : 0);
  });
});

describe("StockHost.createAccount()", () => {
  const NEW = {
    ...ACCOUNT,
    handle: "garden.pds.example.com",
    email: "garden@example.com",
    serviceToken: "signed",
  };

  test("makes it with the service token, and ends the session that it is answered", async () => {
    const { stock, calls } = makeHost();
    await stock.createAccount({ ...NEW, inviteCode: "code" });
    await stock.createAccount({ ...NEW, inviteCode: "" });
    const { serviceToken: token, ...input } = NEW;
    expect(calls).toEqual([
      { method: "createAccount", token, given: { ...input, inviteCode: "code" } },
      { method: "deleteSession", token: "refresh", given: {} },
      { method: "createAccount", token, given: input },
      { method: "deleteSession", token: "refresh", given: {} },
    ]);
  });

  test("is not undone by a session that cannot be ended", async () => {
    const { stock } = makeHost({ deleteSession: unreachable });
    expect(await outcomeOf(stock.createAccount(NEW))).toBeUndefined();
  });

  const answer = { did: DID, accessJwt: "access", refreshJwt: "refresh" };
  test.each<[string, Answerer, RegExp]>([
    [
      "another DID",
      { ...answer, did: OTHER_DID },
      /^upstream_failure: .*for "did:plc:44y.*, not for "did:plc:ewv/,
    ],
    ["no session", { did: DID }, /^upstream_failure: .*wrongly: accessJwt, refreshJwt$/],
    [
      "a refusal",
      refusal(400, "InvalidRequest", "Email already taken"),
      /InvalidRequest: Email already taken$/,
    ],
    ["nothing", unreachable, /^upstream_failure/],
  ])("refuses %s, and calls once", async (_, createAccount, expected) => {
    const { stock, asked } = makeHost({ createAccount });
    expect(await outcomeOf(stock.createAccount(NEW))).toMatch(expected);
    expect(asked()).toEqual(["createAccount"]);
  });
});

describe("StockHost.hasAccount()", () => {
  const session = { did: DID, accessJwt: "access", refreshJwt: "refresh" };
  type Has = [
    title: string,
    password: string | undefined,
    answers: Record<string, Answerer>,
    expected: string,
  ];
  test.each<Has>([
    ["ours", PASSWORD, {}, "inactive"],
    ["ours, active", PASSWORD, { createSession: { ...session, active: true } }, "active"],
    [
      "ours, of a host that says it by a status alone",
      PASSWORD,
      { createSession: { ...session, status: "deactivated" } },
      "inactive",
    ],
    ["ours, of a host that says nothing", PASSWORD, { createSession: session }, "active"],
    ["another's", "wrong", {}, "foreign"],
    ["none", PASSWORD, { getRepoStatus: refusal(400, "RepoNotFound") }, "none"],
    [
      "one that was deleted",
      PASSWORD,
      { getRepoStatus: { did: DID, active: false, status: "deleted" } },
      "none",
    ],
    ["one of an older host", PASSWORD, { getRepoStatus: refusal(400, "RepoDeactivated") }, "inactive"],
    ["one, without a password", undefined, {}, "inactive"],
    ["an active one, without a password", undefined, { getRepoStatus: { did: DID, active: true } }, "active"],
    [
      "another DID's status",
      PASSWORD,
      { getRepoStatus: { did: OTHER_DID, active: true } },
      "upstream_failure",
    ],
    [
      "another DID's session",
      PASSWORD,
      { createSession: { ...session, did: OTHER_DID } },
      "upstream_failure",
    ],
    [
      "one that is taken down",
      PASSWORD,
      { createSession: refusal(401, "AccountTakedown") },
      "upstream_failure",
    ],
    ["a host that is ill", PASSWORD, { getRepoStatus: refusal(500) }, "upstream_failure"],
    ["a host that does not know the method", PASSWORD, { getRepoStatus: refusal(501) }, "upstream_failure"],
  ])("finds %s", async (_, password, answers, expected) => {
    const { stock, asked } = makeHost(answers);
    const outcome = await outcomeOf(stock.hasAccount({ did: DID, password }));
    expect(String(outcome).split(":")[0]).toBe(expected);
    // Nothing that was opened stays open.
    const opened = asked().includes("createSession") && (expected === "active" || expected === "inactive");
    expect(asked().includes("deleteSession")).toBe(opened);
  });
});

test("StockHost signs in by its password for each call, and out after it", async () => {
  const { stock, calls } = makeHost();
  expect(await stock.recommended(ACCOUNT)).toEqual({ rotationKeys: ["did:key:zPds"] });
  await stock.activate(ACCOUNT);
  expect(await stock.createAppPassword({ ...ACCOUNT, name: "kith-1" })).toBe("abcd-efgh-ijkl-mnop");
  const tokens = calls.map(({ method, token }) => (token === undefined ? method : `${method} ${token}`));
  const around = (...inner: string[]) => ["createSession", ...inner, "deleteSession refresh"];
  expect(tokens).toEqual([
    ...around("getRecommendedDidCredentials access"),
    ...around("activateAccount access"),
    ...around("listAppPasswords access", "createAppPassword access"),
  ]);
  expect(calls.find(({ method }) => method === "createAppPassword")?.given).toEqual({
    name: "kith-1",
    privileged: false,
  });
  expect(await outcomeOf(stock.activate({ did: DID }))).toMatch(/^auth_required: .*password .* is not known/);
});

test("StockHost ends a session also where its work was refused", async () => {
  const { stock, asked } = makeHost({
    activateAccount: refusal(400, "InvalidRequest", "DID document wrong"),
  });
  expect(await outcomeOf(stock.activate(ACCOUNT))).toMatch(/InvalidRequest: DID document wrong$/);
  expect(asked().at(-1)).toBe("deleteSession");
});

test("StockHost.createAppPassword() revokes one of the same name first", async () => {
  const listAppPasswords = { passwords: [{ name: "other" }, { name: "kith-1" }] };
  const { stock, asked, calls } = makeHost({ listAppPasswords });
  await stock.createAppPassword({ ...ACCOUNT, name: "kith-1" });
  expect(asked().slice(1, 4)).toEqual(["listAppPasswords", "revokeAppPassword", "createAppPassword"]);
  expect(calls[2]?.given).toEqual({ name: "kith-1" });
});

test.each<[string, Answerer]>([
  ["a thousand keys", { rotationKeys: Array(1_000).fill("did:key:z") }],
  ["a key that is no text", { rotationKeys: [{}] }],
  ["a service that is none", { services: { atproto_pds: "https://pds.example.com" } }],
  ["methods that are a list", { verificationMethods: ["x"] }],
  ["an endless name", { alsoKnownAs: ["a".repeat(3_000)] }],
])("StockHost.recommended() refuses %s", async (_, getRecommendedDidCredentials) => {
  const outcome = await outcomeOf(makeHost({ getRecommendedDidCredentials }).stock.recommended(ACCOUNT));
  expect(outcome).toMatch(/^upstream_failure: .* answered com.atproto.identity.getRecommended.* wrongly: /);
});

describe("StockHost.removeHalfMade()", () => {
  test.each<[string, Parameters<StockHost["removeHalfMade"]>[0], Record<string, Answerer>, RegExp]>([
    ["what is not there", ACCOUNT, { getRepoStatus: refusal(400, "RepoNotFound") }, /^there is no account/],
    ["another's", { did: DID, password: "wrong" }, {}, /stays as it is/],
    ["without a password", { did: DID }, {}, /stays as it is/],
  ])("leaves %s", async (_, account, answers, words) => {
    const { stock, asked } = makeHost(answers);
    expect(await stock.removeHalfMade(account)).toMatch(words);
    expect(asked()).not.toContain("deactivateAccount");
  });

  test("deactivates ours, to be deleted now", async () => {
    const { stock, calls } = makeHost();
    expect(await stock.removeHalfMade(ACCOUNT)).toMatch(/is deactivated, and may be deleted there/);
    const call = calls.find(({ method }) => method === "deactivateAccount");
    expect(call).toMatchObject({ token: "access", given: { deleteAfter: "2026-11-21T00:00:00.000Z" } });
  });
});
