/** What is done with communities that are there: adopting, looking after them, ending them. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { parseDidDocument } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import type { Community } from "../storage/mod.ts";
import { errorOf, openStores, type Stores } from "./_attempts_fixture.ts";
import { Adoptions } from "./adopt.ts";
import { type CreatorRules, requireCreator } from "./creators.ts";
import { Deletions } from "./deletion.ts";
import { Healths } from "./health.ts";
import type { HostClient, HostSession } from "./hosts/host.ts";
import { fakeHost, refusal } from "./hosts/stock_pds_fixture.ts";
import { AppPasswordRefused } from "./sessions.ts";

const NOW = 1_790_000_000_000;
const ALICE = "did:plc:alice";
const BOB = "did:plc:bob";
const PDS = "https://pds.test";
const ROTATION_KEY = "did:key:zRotation";
const unreachable = new KithError("upstream_failure", "Could not fetch it: no answer");

let stores: Stores;
/** A DID of its own for each test. */
let did: string;
let count = 0;
beforeAll(async () => {
  stores = await openStores();
});
afterAll(() => stores[Symbol.asyncDispose]());
beforeEach(() => {
  count += 1;
  did = `did:plc:group${count}`;
});

/** A handle that leads to another DID, whoever names it. */
const FOREIGN = "famous.test";

const documentOf = (endpoint: string | null, handle = "group.pds.test") =>
  parseDidDocument(
    {
      id: did,
      alsoKnownAs: [`at://${handle}`],
      service:
        endpoint === null
          ? []
          : [{ id: "#atproto_pds", type: "AtprotoPersonalDataServer", serviceEndpoint: endpoint }],
    },
    { did },
  );

/** A refusal of a host, as its calls throw it. */
const hostRefusal = (status: number, name: string) =>
  fakeHost({ createSession: refusal(status, name, "no") }).host.json("com.atproto.server.createSession", {
    input: {},
  });

const tokenOf = (scope: string) => `x.${Buffer.from(JSON.stringify({ scope })).toString("base64url")}.y`;

function hostWith(change: Partial<HostClient> = {}): HostClient {
  const host: Partial<HostClient> = {
    kind: "remote",
    endpoint: PDS,
    describe: async () => ({
      did: "did:web:pds.test",
      domains: [],
      inviteRequired: false,
      phoneRequired: false,
    }),
    createSession: async () => ({
      did,
      active: true,
      accessJwt: tokenOf("com.atproto.appPass"),
      refreshJwt: "r",
    }),
    endSession: async () => undefined,
    hasAccount: async () => "active",
    ...change,
  };
  return host as HostClient;
}

const communityOf = (change: Partial<Community> = {}): Community => ({
  ...{
    did,
    mode: "adopted",
    kind: "remote",
    handle: "group.pds.test",
    pdsEndpoint: PDS,
    pdsDid: "did:web:pds.test",
  },
  ...{ rotationKey: null, createdBy: ALICE, createdAt: NOW },
  ...change,
});

async function add(change: Partial<Community> = {}): Promise<Community> {
  const community = communityOf(change);
  const { createdAt: now, ...row } = community;
  await stores.communities.add({ ...row, appPassword: "app-password", now });
  return community;
}

describe("Adoptions", () => {
  const anyone: CreatorRules = { enabled: true, creators: "anyone", isMember: () => false };
  const adoptionsOf = (
    more: {
      host?: Partial<HostClient>;
      rules?: CreatorRules;
      endpoint?: string | null;
      handle?: string;
      max?: number;
    } = {},
  ) =>
    new Adoptions({
      communities: stores.communities,
      rules: more.rules ?? anyone,
      communitiesMax: more.max ?? 100,
      hostFor: () => hostWith(more.host),
      chooseHost: (endpoint) => {
        if (endpoint !== PDS) throw new KithError("host_not_allowed", "no");
        return { kind: "remote", endpoint };
      },
      didOf: async (identifier) => {
        if (identifier.startsWith("did:")) return identifier;
        return identifier === FOREIGN ? BOB : did;
      },
      dids: {
        resolve: async () => documentOf(more.endpoint === undefined ? PDS : more.endpoint, more.handle),
      },
      endConsent: async () => false,
      allowHttp: false,
      now: () => NOW,
    });
  const given = (identifier = did) => ({ caller: ALICE, identifier, appPassword: "aaaa-bbbb-cccc-dddd" });

  test("a handle that the DID's document names, and that leads elsewhere, is not believed", async () => {
    expect((await adoptionsOf({ handle: FOREIGN }).adopt(given())).handle).toBeNull();
  });

  test("adopts by the DID's document, whoever is called how", async () => {
    const community = await adoptionsOf().adopt(given("group.pds.test"));
    expect(community).toEqual(communityOf());
    expect(stores.communities.find(did)).toEqual(community);
    expect(stores.communities.secrets(did)).toMatchObject({
      appPassword: "aaaa-bbbb-cccc-dddd",
      session: null,
    });
    expect(stores.members.member(did, ALICE)).toMatchObject({ role: "owner", canPublish: true });
    expect((await errorOf(adoptionsOf().adopt(given()))).code).toBe("already_exists");
  });

  const session = (change: Partial<HostSession>) => async () => ({
    ...{ did, active: true, accessJwt: tokenOf("com.atproto.appPass"), refreshJwt: "r", ...change },
  });
  test.each([["com.atproto.appPass"], ["com.atproto.access"]])(
    "the session of a %s password is ended",
    async (scope) => {
      const ended: string[] = [];
      const host: Partial<HostClient> = {
        createSession: session({ accessJwt: tokenOf(scope) }),
        endSession: async ({ refreshJwt }) => void ended.push(refreshJwt),
      };
      await adoptionsOf({ host })
        .adopt(given())
        .catch(() => undefined);
      expect(ended).toEqual(["r"]);
    },
  );

  const refusals: [string, Parameters<typeof adoptionsOf>[0], KithError["code"], string][] = [
    [
      "a main password",
      { host: { createSession: session({ accessJwt: tokenOf("com.atproto.access") }) } },
      "invalid_credentials",
      "main password",
    ],
    [
      "the password of another",
      { host: { createSession: session({ did: BOB }) } },
      "invalid_credentials",
      BOB,
    ],
    [
      "an account that is not active",
      { host: { createSession: session({ active: false }) } },
      "invalid_credentials",
      "not active",
    ],
    [
      "a wrong password",
      { host: { createSession: () => hostRefusal(401, "AuthenticationRequired") as never } },
      "invalid_credentials",
      "sign in",
    ],
    [
      "a host that is down",
      { host: { createSession: () => hostRefusal(500, "Down") as never } },
      "upstream_failure",
      "",
    ],
    [
      "a host that lies about its DID",
      {
        host: {
          describe: async () => {
            throw unreachable;
          },
        },
      },
      "upstream_failure",
      "",
    ],
    ["a host that is not allowed", { endpoint: "https://other.test" }, "host_not_allowed", ""],
    ["a DID without a server", { endpoint: null }, "invalid_request", "no server"],
    ["more than the caller may have", { max: 0 }, "community_quota", ""],
    [
      "a stranger",
      { rules: { enabled: true, creators: "members", isMember: () => false } },
      "communities_disabled",
      "",
    ],
  ];
  test.each(refusals)("refuses %s, and keeps nothing", async (_, options, code, words) => {
    const error = await errorOf(adoptionsOf(options).adopt(given()));
    expect([error.code, error.message]).toEqual([code, expect.stringContaining(words)]);
    expect(stores.communities.find(did)).toBeUndefined();
    expect(error.message).not.toContain("aaaa-bbbb");
  });

  test("reauth() puts another app password in the place of the one before, and drops its session", async () => {
    const community = await add();
    await stores.communities.saveSession(did, { accessJwt: "a", refreshJwt: "r" });
    await adoptionsOf().reauth(community, { caller: ALICE, appPassword: "new" });
    expect(stores.communities.secrets(did)).toMatchObject({ appPassword: "new", session: null });
    const wrong = adoptionsOf({ host: { createSession: session({ did: BOB }) } });
    await errorOf(wrong.reauth(community, { caller: ALICE, appPassword: "other" }));
    expect(stores.communities.secrets(did).appPassword).toBe("new");
  });

  test.each<[string, Partial<Community>]>([
    ["native", { kind: "native", mode: "provisioned" }],
    ["minted", { kind: null, mode: "minted", pdsEndpoint: null }],
    ["one that has moved", { pdsEndpoint: "https://before.test" }],
  ])("reauth() is not for %s", async (_, change) => {
    const error = await errorOf(adoptionsOf().reauth(await add(change), { caller: ALICE, appPassword: "x" }));
    expect(error.code).toBe("not_supported");
  });
});

describe("requireCreator()", () => {
  const rows: [string, CreatorRules, boolean][] = [
    ["a member", { enabled: true, creators: "members", isMember: () => true }, true],
    ["a stranger", { enabled: true, creators: "members", isMember: () => false }, false],
    ["a stranger, where anyone may", { enabled: true, creators: "anyone", isMember: () => false }, true],
    ["one who is named", { enabled: true, creators: [ALICE], isMember: () => false }, true],
    ["one who is not", { enabled: true, creators: [BOB], isMember: () => false }, false],
    ["a member, where others are named", { enabled: true, creators: [BOB], isMember: () => true }, true],
    ["anybody, where none are made", { enabled: false, creators: "anyone", isMember: () => true }, false],
  ];
  test.each(rows)("%s", (_, rules, may) => {
    const ask = () => requireCreator(rules, ALICE);
    if (may) expect(ask).not.toThrow();
    else expect(ask).toThrow(KithError);
  });
});

describe("Healths", () => {
  const healthsOf = (
    more: {
      host?: Partial<HostClient>;
      resolve?: () => Promise<ReturnType<typeof documentOf>>;
      rotationKeys?: string[] | KithError;
      check?: KithError;
    } = {},
  ) =>
    new Healths({
      communities: stores.communities,
      plc: {
        data: async () => {
          if (more.rotationKeys instanceof KithError) throw more.rotationKeys;
          return { rotationKeys: more.rotationKeys ?? [ROTATION_KEY] } as never;
        },
      },
      dids: { resolve: more.resolve ?? (async () => documentOf(PDS)) },
      didOf: async (handle) => (handle === FOREIGN ? BOB : did),
      hostFor: () => hostWith(more.host),
      checkSession: async () => {
        if (more.check) throw more.check;
      },
      allowHttp: false,
    });
  const stock = () => ({ did, kind: "remote", pdsEndpoint: PDS }) as const;

  const rows: [
    string,
    string,
    Parameters<typeof healthsOf>[0] | (() => Parameters<typeof healthsOf>[0]),
    Partial<Community>,
    string,
  ][] = [
    ["all is well", "healthy", {}, { rotationKey: ROTATION_KEY }, ""],
    [
      "the app password is not taken",
      "expired",
      () => ({ check: new AppPasswordRefused(stock()) }),
      {},
      "credentials",
    ],
    ["its server cannot be reached", "unreachable", { check: unreachable }, {}, "credentials"],
    [
      "its server cannot be asked",
      "unreachable",
      {
        host: {
          hasAccount: async () => {
            throw unreachable;
          },
        },
      },
      {},
      "account",
    ],
    [
      "the account is deactivated",
      "deactivated",
      { host: { hasAccount: async () => "inactive" } },
      {},
      "account",
    ],
    ["there is no account", "gone", { host: { hasAccount: async () => "none" } }, {}, "account"],
    [
      "the DID leads elsewhere",
      "moved",
      () => ({ resolve: async () => documentOf("https://other.test") }),
      {},
      "identity",
    ],
    ["the DID names no server", "moved", () => ({ resolve: async () => documentOf(null) }), {}, "identity"],
    [
      "the DID was given up",
      "gone",
      {
        resolve: async () => {
          throw new KithError("did_deactivated", "tombstone");
        },
      },
      {},
      "identity",
    ],
    [
      "the directory is down",
      "unreachable",
      {
        resolve: async () => {
          throw unreachable;
        },
      },
      {},
      "identity",
    ],
    [
      "an identity alone",
      "healthy",
      {},
      { kind: null, pdsEndpoint: null, mode: "minted", rotationKey: ROTATION_KEY },
      "",
    ],
    ["a native one without a session", "healthy", { check: unreachable }, { kind: "native" }, ""],
  ];
  test.each(rows)("%s: %s", async (_, status, options, change, failing) => {
    const community = await add(change);
    const health = await healthsOf(typeof options === "function" ? options() : options).of(community);
    expect(health.status as string).toBe(status);
    const failed = health.checks.filter(({ ok }) => !ok);
    expect(failed.map(({ name }) => name as string)).toEqual(failing === "" ? [] : [failing]);
    for (const { message } of failed) expect(message).not.toBe("");
  });

  test("another key before the owner's is told, and is not the end of it", async () => {
    const community = await add({ rotationKey: ROTATION_KEY });
    const health = await healthsOf({ rotationKeys: ["did:key:zOther", ROTATION_KEY] }).of(community);
    expect(health.status).toBe("healthy");
    expect(health.checks.find(({ name }) => name === "rotationKeys")).toMatchObject({
      ok: false,
      message: expect.stringContaining("did:key:zOther"),
    });
  });

  test("another handle is noted", async () => {
    const community = await add();
    const health = await healthsOf({ resolve: async () => documentOf(PDS, "renamed.test") }).of(community);
    expect(health.handle).toBe("renamed.test");
    expect(stores.communities.find(did)?.handle).toBe("renamed.test");
    const claimed = await healthsOf({ resolve: async () => documentOf(PDS, FOREIGN) }).of(community);
    expect(claimed.handle).toBeUndefined();
    expect(stores.communities.find(did)?.handle).toBe("renamed.test");
  });

  test("a defect of ours is none of the world's", async () => {
    const broken = healthsOf({
      resolve: async () => {
        throw new TypeError("broken");
      },
    });
    await expect(broken.of(await add())).rejects.toThrow("broken");
  });
});

describe("Deletions", () => {
  const asked: string[] = [];
  const deletionsOf = (deleteRepo: () => Promise<unknown> = async () => void asked.push("delete")) =>
    new Deletions({
      communities: stores.communities,
      repos: { deleteRepo },
      sessions: {
        end: async (community) => {
          asked.push(`end ${community.kind}`);
          return { way: "appPassword", open: true };
        },
      },
      now: () => NOW,
    });
  beforeEach(() => void asked.splice(0));

  test.each<[string, Partial<Community>, string[], RegExp]>([
    [
      "native",
      { kind: "native", mode: "provisioned", rotationKey: ROTATION_KEY },
      ["delete"],
      /ruled by the rotation key/,
    ],
    ["remote", { mode: "provisioned", rotationKey: ROTATION_KEY }, ["end remote"], /Revoke the app password/],
    ["adopted", { kind: "loopback" }, ["end loopback"], /rotation keys that it had/],
    [
      "minted",
      { kind: null, mode: "minted", pdsEndpoint: null, rotationKey: ROTATION_KEY },
      [],
      /ruled by the rotation key/,
    ],
  ])("of a community (%s): what is done and what remains", async (_, change, calls, words) => {
    const community = await add(change);
    const { done, remains } = await deletionsOf().delete(community, ALICE);
    expect(asked).toEqual(calls);
    expect(done.length).toBeGreaterThan(0);
    expect(remains.join(" ")).toMatch(words);
    expect(stores.communities.find(did)).toBeUndefined();
    expect(stores.members.member(did, ALICE)).toBeUndefined();
    expect(stores.audit.of(did, { limit: 9 }).entries).toMatchObject([
      { action: "community.delete", actor: ALICE },
    ]);
  });

  test("goes on where its account is gone already, and stops where it cannot be deleted", async () => {
    const native = { kind: "native", mode: "provisioned" } as const;
    const fails = (code: KithError["code"]) =>
      deletionsOf(async () => {
        throw new KithError(code, "x");
      });
    const community = await add(native);
    expect((await errorOf(fails("storage_full").delete(community, ALICE))).code).toBe("storage_full");
    expect(stores.communities.find(did)).toBeDefined();
    await fails("account_not_found").delete(community, ALICE);
    expect(stores.communities.find(did)).toBeUndefined();
  });
});
