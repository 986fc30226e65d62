import { describe, expect, test } from "bun:test";
import { type Account, HandleRules } from "../../accounts/mod.ts";
import { KithError } from "../../errors.ts";
import { EndpointAllowlist } from "./endpoint.ts";
import { chooseHost, createHostFor } from "./host_for.ts";
import { NativeHost, type NativeHostOptions } from "./native_host.ts";
import { DID } from "./stock_pds_fixture.ts";
import { Transports } from "./transports.ts";

const HERE = "https://kith.example.com";
const KEY = "did:key:zServer";

function makeHost(states: Record<string, Account["state"]> = {}) {
  const journal: string[] = [];
  const accountOf = (did: string): Account | undefined => {
    const state = states[did];
    if (state === undefined) return undefined;
    const handle = did === DID ? "garden.kith.example.com" : "taken.kith.example.com";
    return { did, handle, email: null, emailConfirmedAt: null, passwordHash: "", state };
  };
  const options: NativeHostOptions = {
    accounts: {
      account: accountOf,
      accountByHandle: (handle) =>
        Object.keys(states)
          .map(accountOf)
          .find((account) => account?.handle === handle),
      signer: () => ({ didKey: "did:key:zAccount" }),
    },
    births: {
      createForCommunity: async (community) => {
        journal.push(`create ${JSON.stringify(community)}`);
        return { did: community.did } as Account;
      },
      abandonForCommunity: async (did) => {
        const state = states[did];
        journal.push("abandon");
        return state === undefined || state === "deleted"
          ? "none"
          : state === "creating"
            ? "abandoned"
            : "there";
      },
    },
    repos: { deleteRepo: async (did) => void journal.push(`delete ${did}`) },
    handles: new HandleRules([".kith.example.com"], { hostname: "kith.example.com" }),
    serviceDid: "did:web:kith.example.com",
    publicUrl: HERE,
    handleDomains: [".kith.example.com"],
    rotationKey: KEY,
  };
  return { host: new NativeHost(options), journal };
}

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => "",
    (error: unknown) => (error instanceof KithError ? error.code : error),
  );

describe("NativeHost", () => {
  test("describes this server, which needs no invite for it", async () => {
    const { host } = makeHost();
    expect([host.kind, host.endpoint]).toEqual(["native", HERE]);
    expect(await host.describe()).toEqual({
      did: "did:web:kith.example.com",
      domains: [".kith.example.com"],
      inviteRequired: false,
      phoneRequired: false,
      publicUrl: HERE,
    });
  });

  test.each<[string, Parameters<NativeHost["preflight"]>[0], string]>([
    ["what is free", { handle: "Garden.kith.example.com" }, ""],
    ["empty fields", { handle: "garden.kith.example.com", email: "", inviteCode: "" }, ""],
    [
      "an e-mail address, of no use here",
      { handle: "garden.kith.example.com", email: "a@b.example.com" },
      "",
    ],
    ["an invite code, of no use here", { handle: "garden.kith.example.com", inviteCode: "code" }, ""],
    ["what is no handle", { handle: "gar_den.kith.example.com" }, "invalid_handle"],
    ["a short handle", { handle: "ab.kith.example.com" }, "invalid_handle"],
    ["a handle of elsewhere", { handle: "garden.example.org" }, "unsupported_domain"],
    ["a reserved handle", { handle: "admin.kith.example.com" }, "handle_not_available"],
    ["a taken handle", { handle: "TAKEN.kith.example.com" }, "handle_not_available"],
    ["the server's own name", { handle: "kith.example.com" }, "unsupported_domain"],
  ])("judges %s before anything is made", async (_, wanted, code) => {
    const { host, journal } = makeHost({ "did:plc:taken": "active" });
    expect([await codeOf(host.preflight(wanted)), journal]).toEqual([code, []]);
  });

  test.each<[Account["state"] | undefined, string]>([
    [undefined, "none"],
    ["creating", "none"],
    ["active", "active"],
    ["deactivated", "inactive"],
    ["takendown", "inactive"],
    ["deleting", "none"],
    ["deleted", "none"],
  ])("finds an account that is %p: %s", async (state, expected) => {
    const { host } = makeHost(state === undefined ? {} : { [DID]: state });
    expect(await host.hasAccount({ did: DID })).toBe(expected as "none");
  });

  test("makes an account of its key and operation, and of nothing else", async () => {
    const { host, journal } = makeHost();
    const native = {
      signingKey: { type: "k256", privateKey: new Uint8Array(1) },
      genesis: new Uint8Array(1),
      rotationKey: "did:key:zOwner",
    } as const;
    const community = { did: DID, handle: "garden.kith.example.com" };
    await host.createAccount({ ...community, native, password: "p", email: "a@b.example.com" });
    expect(journal).toEqual([`create ${JSON.stringify({ ...community, ...native })}`]);
    await expect(host.createAccount(community)).rejects.toThrow(/needs its key/);
  });

  test("is active at its birth, and has no passwords", async () => {
    const { host } = makeHost({ [DID]: "active" });
    await host.activate({ did: DID });
    expect(await codeOf(makeHost().host.activate({ did: DID }))).toBe("account_not_found");
    expect(await codeOf(makeHost({ [DID]: "takendown" }).host.activate({ did: DID }))).toBe(
      "invalid_request",
    );
    expect(await codeOf(host.createAppPassword({ did: DID, name: "x" }))).toBe("not_supported");
    expect(await codeOf(host.createSession({ identifier: DID, password: "x" }))).toBe("not_supported");
    expect(await host.recommended({ did: DID })).toEqual({
      rotationKeys: [KEY],
      alsoKnownAs: ["at://garden.kith.example.com"],
      verificationMethods: { atproto: "did:key:zAccount" },
      services: { atproto_pds: { type: "AtprotoPersonalDataServer", endpoint: HERE } },
    });
  });

  test.each<[Account["state"] | undefined, string, string[]]>([
    [undefined, "there is no account on this server", ["abandon"]],
    ["deleted", "there is no account on this server", ["abandon"]],
    ["creating", "the account on this server is deleted", ["abandon"]],
    ["active", "the account on this server is deleted", ["abandon", `delete ${DID}`]],
  ])("removes what is half-made and %p", async (state, words, expected) => {
    const { host, journal } = makeHost(state === undefined ? {} : { [DID]: state });
    expect([await host.removeHalfMade({ did: DID }), journal]).toEqual([words, expected]);
  });

  test("deletes an account without a password, and what is not there in peace", async () => {
    const { host, journal } = makeHost({ [DID]: "active" });
    await host.deleteAccount(DID);
    await host.deleteAccount("did:plc:nobody");
    expect(journal).toEqual([`delete ${DID}`]);
  });
});

describe("chooseHost()", () => {
  const rules = { devMode: false };
  const publicUrl = HERE;
  const allowlist = EndpointAllowlist.parse(["https://pds.example.com"], rules);
  type Choice = [wanted: Parameters<typeof chooseHost>[0], expected: string];
  test.each<Choice>([
    [{}, `native ${HERE}`],
    [{ hosting: "native" }, `native ${HERE}`],
    [{ hosting: "stock" }, `loopback ${HERE}`],
    [{ pdsEndpoint: HERE }, `native ${HERE}`],
    [{ pdsEndpoint: "HTTPS://KITH.example.com.:443/" }, `native ${HERE}`],
    [{ pdsEndpoint: `${HERE}/`, hosting: "stock" }, `loopback ${HERE}`],
    [{ pdsEndpoint: "https://PDS.example.com/" }, "remote https://pds.example.com"],
    [{ pdsEndpoint: "https://pds.example.com", hosting: "stock" }, "remote https://pds.example.com"],
    [{ pdsEndpoint: "https://pds.example.com", hosting: "native" }, "invalid_request"],
    [{ pdsEndpoint: "https://pds.example.org" }, "host_not_allowed"],
    [{ pdsEndpoint: "https://10.0.0.1" }, "invalid_request"],
    [{ pdsEndpoint: "http://pds.example.com" }, "invalid_request"],
    [{ pdsEndpoint: "" }, "invalid_request"],
  ])("%j means %s", (wanted, expected) => {
    const choose = () => {
      try {
        const { kind, endpoint } = chooseHost(wanted, { publicUrl, allowlist, ...rules });
        return `${kind} ${endpoint}`;
      } catch (error) {
        return error instanceof KithError ? error.code : error;
      }
    };
    expect(choose()).toBe(expected);
  });
});

test("createHostFor() finds the host of each kind", () => {
  const { host: native } = makeHost();
  const transports = new Transports({
    stream: () => Promise.reject(new Error("not asked")),
    handler: async () => undefined,
    publicUrl: HERE,
    sleep: async () => undefined,
    now: Date.now,
  });
  const dids = { resolve: () => Promise.reject(new Error("not asked")) };
  const serviceDid = "did:web:kith.example.com";
  const hostFor = createHostFor({
    ...{ native, transports, dids, serviceDid },
    ...{ publicUrl: HERE, devMode: false, now: Date.now },
  });
  expect(hostFor("native", HERE)).toBe(native);
  const found = [hostFor("loopback", HERE), hostFor("remote", "https://PDS.example.com/")];
  expect(found.map(({ kind, endpoint }) => `${kind} ${endpoint}`)).toEqual([
    `loopback ${HERE}`,
    "remote https://pds.example.com",
  ]);
  expect(() => hostFor("remote", "https://127.0.0.1")).toThrow(KithError);
});
