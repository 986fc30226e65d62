/**
 * The calls that make a community's account at a stock PDS, the same over both ways: the reference PDS over HTTP, and this
 * server's own handler without a socket. What a host may lie about is told by a server that stands before the reference.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes, randomUUID } from "node:crypto";
import {
  createGenesis,
  createServiceJwt,
  createUpdate,
  generatePrivateKey,
  type KeyType,
  type PlcOperation,
  type Signer,
  signerFromPrivateKey,
} from "../../src/atproto/mod.ts";
import type { HostClient } from "../../src/communities/hosts/host.ts";
import { StockHost } from "../../src/communities/hosts/stock_host.ts";
import { Transports } from "../../src/communities/hosts/transports.ts";
import { Publisher } from "../../src/communities/publisher.ts";
import {
  AppPasswordRefused,
  type StockCommunity,
  StockSessions,
  type StockTokens,
} from "../../src/communities/sessions.ts";
import { KithError } from "../../src/errors.ts";
import {
  createDidResolver,
  createPlcClient,
  createSafeFetch,
  createSafeStream,
  isHostError,
} from "../../src/identity/mod.ts";
import { KithParts } from "../kith_parts.ts";
import { PlcDirectory } from "../plc_directory.ts";
import { ReferencePds } from "../reference.ts";
import { type Script, ScriptedHost } from "../scripted_host.ts";
import { waitFor } from "../wait.ts";

setDefaultTimeout(120_000);

const LXM = "com.atproto.server.createAccount";
const COLLECTION = "dev.kith.test.post";
const DOMAIN = ".test";

let plc: PlcDirectory;
let kith: KithParts;
let reference: ReferencePds;

beforeAll(async () => {
  plc = await PlcDirectory.start();
  kith = await KithParts.open({ PDS_DID_PLC_URL: plc.url });
  reference = await ReferencePds.start({ plc });
});
afterAll(async () => {
  await reference?.[Symbol.asyncDispose]();
  await kith?.[Symbol.asyncDispose]();
  await plc?.[Symbol.asyncDispose]();
});

function transportsOf(publicUrl: string, parts = kith): Transports {
  return new Transports({
    stream: createSafeStream({ allowPrivateNetwork: true }),
    handler: (request) => parts.handler(request),
    publicUrl,
    sleep: (ms) => Bun.sleep(ms),
    now: Date.now,
  });
}

function stockAt(
  kind: "loopback" | "remote",
  endpoint: string,
  transports = transportsOf(endpoint),
): StockHost {
  const safeFetch = createSafeFetch({ allowPrivateNetwork: true });
  const client = createPlcClient({ url: plc.url });
  const limits = { timeoutMs: 5_000, staleMs: 1, maxMs: 1, devMode: true };
  const dids = createDidResolver({ plc: client, safeFetch, ...limits });
  const host = transports.host(kind, endpoint);
  return new StockHost({ kind, host, dids, devMode: true, now: Date.now });
}

const newSigner = (type: KeyType): Signer =>
  signerFromPrivateKey(type, generatePrivateKey(type, randomBytes(32)));

/** A community whose first operation is in the directory. */
interface Begun {
  readonly did: string;
  readonly handle: string;
  readonly email: string;
  readonly password: string;
  readonly owner: Signer;
  readonly subordinate: Signer;
  readonly signer: Signer;
  readonly genesis: PlcOperation;
}

async function begin(name: string, host: HostClient): Promise<Begun> {
  const [owner, subordinate, signer] = [newSigner("k256"), newSigner("p256"), newSigner("p256")];
  const handle = `${name}${DOMAIN}`;
  const { did, operation: genesis } = createGenesis({
    signingKey: signer.didKey,
    rotationKeys: [owner.didKey, subordinate.didKey],
    handle,
    pdsEndpoint: host.endpoint,
    signer: subordinate,
  });
  await createPlcClient({ url: plc.url }).submit(did, genesis);
  const password = randomBytes(32).toString("base64url");
  return { did, handle, email: `${name}@example.com`, password, owner, subordinate, signer, genesis };
}

async function born(name: string, host: HostClient): Promise<Begun> {
  const begun = await begin(name, host);
  await host.createAccount({ ...accountOf(begun), serviceToken: await tokenFor(begun, host) });
  return begun;
}

const accountOf = ({ did, handle, email, password }: Begun) => ({ did, handle, email, password });

async function tokenFor({ did, signer }: Begun, host: HostClient): Promise<string> {
  const { did: aud } = await host.describe();
  const iat = Math.floor(Date.now() / 1_000);
  return createServiceJwt({ iss: did, aud, lxm: LXM, iat, exp: iat + 60, jti: randomUUID(), signer });
}

/** The second operation, as the machine makes it of what the host recommends. */
async function lead(begun: Begun, host: HostClient): Promise<void> {
  const recommended = await host.recommended(begun);
  const operation = createUpdate(begun.genesis, {
    signer: begun.subordinate,
    change: (state) => ({
      ...state,
      rotationKeys: [...state.rotationKeys, ...(recommended.rotationKeys ?? [])],
      verificationMethods: { atproto: recommended.verificationMethods?.atproto ?? "" },
      services: { ...recommended.services },
    }),
  });
  await createPlcClient({ url: plc.url }).submit(begun.did, operation);
}

const caught = (promise: Promise<unknown>) => promise.catch((error: unknown) => error);
const codeOf = async (promise: Promise<unknown>) => {
  const error = await caught(promise);
  return error instanceof KithError ? error.code : error;
};

const PLACES = ["loopback", "remote"] as const;

describe.each(PLACES)("a stock PDS by %s", (kind) => {
  const suffix = kind === "loopback" ? "here" : "there";
  let host: HostClient;
  beforeAll(() => {
    host = stockAt(kind, kind === "loopback" ? kith.config.publicUrl : reference.url);
  });

  test("says who it is", async () => {
    const { port } = new URL(host.endpoint);
    expect(await host.describe()).toMatchObject({
      did: `did:web:localhost%3A${port}`,
      domains: [DOMAIN],
      inviteRequired: false,
      phoneRequired: false,
    });
  });

  test("judges names before anything is made", async () => {
    // The reference tells of active accounts alone.
    const taken = await born(`taken${suffix}`, host);
    await lead(taken, host);
    await host.activate(taken);
    const rows: [handle: string, email: string, code: string | undefined][] = [
      [`free${suffix}.test`, "free@example.com", undefined],
      [`taken${suffix}.test`, "free@example.com", "handle_not_available"],
      ["admin.test", "free@example.com", "handle_not_available"],
      ["ab.test", "free@example.com", "invalid_handle"],
      [`${"a".repeat(19)}.test`, "free@example.com", "invalid_handle"],
      ["two.labels.test", "free@example.com", "invalid_handle"],
      ["free.example.org", "free@example.com", "unsupported_domain"],
      [`free${suffix}.test`, "free", "invalid_email"],
      [`free${suffix}.test`, taken.email, "invalid_email"],
    ];
    for (const [handle, email, code] of rows) {
      expect({ handle, code: await codeOf(host.preflight({ handle, email })) }).toEqual({ handle, code });
    }
  });

  test("gets an account, its second operation, and an app password", async () => {
    const begun = await begin(`garden${suffix}`, host);
    const { did, password } = begun;
    expect(await host.hasAccount({ did, password })).toBe("none");
    const account = accountOf(begun);
    const stranger = { ...begun, signer: newSigner("p256") };
    const refused = host.createAccount({ ...account, serviceToken: await tokenFor(stranger, host) });
    expect(isHostError(await caught(refused))).toBe(true);
    expect(await host.hasAccount({ did, password })).toBe("none");
    await host.createAccount({ ...account, serviceToken: await tokenFor(begun, host) });
    expect(await host.hasAccount({ did, password })).toBe("inactive");
    expect(await host.hasAccount({ did })).toBe("inactive");
    expect(await host.hasAccount({ did, password: "another" })).toBe("foreign");
    // The machine looks first; a host refuses the second one.
    const again = host.createAccount({ ...account, serviceToken: await tokenFor(begun, host) });
    expect(isHostError(await caught(again))).toBe(true);
    // Not before the DID leads there.
    expect(isHostError(await caught(host.activate(begun)))).toBe(true);
    await lead(begun, host);
    await host.activate(begun);
    await host.activate(begun);
    expect(await host.hasAccount({ did, password })).toBe("active");
    expect(await host.hasAccount({ did })).toBe("active");

    const name = "kith-attempt";
    const lost = await host.createAppPassword({ did, password, name });
    const kept = await host.createAppPassword({ did, password, name });
    const signIn = (secret: string) => host.createSession({ identifier: did, password: secret });
    expect(isHostError(await caught(signIn(lost)))).toBe(true);
    expect(await signIn(kept)).toMatchObject({ did, handle: begun.handle, active: true });
    // The app password is no key to the account.
    expect(isHostError(await caught(host.createAppPassword({ did, password: kept, name: "more" })))).toBe(
      true,
    );
  });

  test("publishes with sessions of the app password, renewed once for all", async () => {
    const begun = await born(`press${suffix}`, host);
    await lead(begun, host);
    await host.activate(begun);
    const { did, password } = begun;
    const appPassword = await host.createAppPassword({ did, password, name: "kith-press" });
    const secrets: { appPassword: string | null; session: StockTokens | null } = {
      appPassword,
      session: null,
    };
    const saved: (StockTokens | null)[] = [];
    const store = {
      secrets: () => ({ ...secrets }),
      saveSession: async (_: string, session: StockTokens | null) => {
        secrets.session = session;
        saved.push(session);
      },
    };
    let nowMs = Date.now();
    const hostOf = ({ pdsEndpoint }: StockCommunity) => transportsOf(host.endpoint).host(kind, pdsEndpoint);
    const sessions = new StockSessions({ store, hostOf, now: () => nowMs });
    const local = {
      call: () => Promise.reject(new Error("not here")),
      upload: () => Promise.reject(new Error("not here")),
    };
    const publisher = new Publisher({ local, sessions, hostOf });
    const community = { did, kind, pdsEndpoint: host.endpoint };
    const put = (rkey: string, text = rkey) =>
      publisher.call(community, {
        nsid: "com.atproto.repo.putRecord",
        input: { collection: COLLECTION, rkey, record: { $type: COLLECTION, text } },
      });

    // Ten at once that find no session, and ten more that find one that is nearly over.
    await Promise.all(Array.from({ length: 10 }, (_, n) => put(`first-${n}`)));
    expect(saved).toHaveLength(1);
    nowMs += 2 * 3_600_000;
    await Promise.all(Array.from({ length: 10 }, (_, n) => put(`second-${n}`)));
    expect(saved).toHaveLength(2);
    expect(new Set(saved.map((session) => session?.refreshJwt)).size).toBe(2);
    nowMs = Date.now();
    // One that the host does not know is dropped, and the call made all the same.
    secrets.session = { accessJwt: "not.a.token", refreshJwt: "neither" };
    expect(await put("third")).toMatchObject({ uri: `at://${did}/${COLLECTION}/third` });
    const answer = await hostOf(community as StockCommunity).json("com.atproto.repo.listRecords", {
      params: { repo: did, collection: COLLECTION, limit: 100 },
    });
    expect((answer as { records: unknown[] }).records).toHaveLength(21);

    const bytes = new TextEncoder().encode("a blob");
    for (const body of [bytes, new Response(bytes).body as ReadableStream<Uint8Array>]) {
      const { blob } = (await publisher.upload(community, { type: "text/plain", body })) as {
        blob: { size: number };
      };
      expect(blob.size).toBe(bytes.length);
    }
    const swap = publisher.call(community, {
      nsid: "com.atproto.repo.putRecord",
      input: { collection: COLLECTION, rkey: "third", record: { $type: COLLECTION }, swapRecord: null },
    });
    expect(await codeOf(swap)).toBe("invalid_swap");

    await sessions.end(community as StockCommunity);
    expect(secrets.session).toBeNull();
    secrets.appPassword = "aaaa-bbbb-cccc-dddd";
    expect(await caught(put("fourth"))).toBeInstanceOf(AppPasswordRefused);
  });

  test("has what is half-made taken away, and nobody else's account", async () => {
    const { did, password } = await born(`half${suffix}`, host);
    expect(await host.removeHalfMade({ did, password: "another" })).toContain("stays as it is");
    expect(await host.hasAccount({ did, password })).toBe("inactive");
    expect(await host.removeHalfMade({ did, password })).toContain("is deactivated");
    if (kind === "loopback") {
      await waitFor("the account to be gone", async () => (await host.hasAccount({ did })) === "none");
      expect(await host.removeHalfMade({ did, password })).toContain("there is no account");
    } else expect(await host.hasAccount({ did, password })).toBe("inactive");
  });
});

test.each(PLACES)(
  "an invite code that %s would refuse is found out before anything is made",
  async (kind) => {
    const env = { PDS_INVITE_REQUIRED: "true", PDS_DID_PLC_URL: plc.url };
    await using made = new AsyncDisposableStack();
    const start = async () => {
      if (kind === "remote") {
        const { url } = made.use(await ReferencePds.start({ plc, env }));
        return stockAt(kind, url);
      }
      const parts = made.use(await KithParts.open(env));
      const { publicUrl } = parts.config;
      return stockAt(kind, publicUrl, transportsOf(publicUrl, parts));
    };
    const host = await start();
    const wanted = { handle: "invited.test", email: "invited@example.com" };
    expect(await host.describe()).toMatchObject({ inviteRequired: true });
    expect(await codeOf(host.preflight(wanted))).toBe("invalid_invite_code");
    const unknown = await caught(host.preflight({ ...wanted, inviteCode: "localhost-aaaaa-bbbbb" }));
    expect(unknown).toMatchObject({ code: "invalid_invite_code" });
    // Said by the host, not by us.
    expect(String(unknown)).toContain("Provided invite code not available");
  },
);

describe("a host that lies", () => {
  let scripted: ScriptedHost;
  beforeAll(() => {
    scripted = new ScriptedHost(reference.url);
  });
  afterAll(async () => {
    await scripted?.[Symbol.asyncDispose]();
  });
  const itself: Script = async (_, forward) => {
    const description = (await (await forward()).json()) as object;
    return Response.json({ ...description, did: `did:web:localhost%3A${new URL(scripted.url).port}` });
  };

  test("about its DID is not asked for anything else", async () => {
    // It hands the reference's own description on, DID and all; the reference has no document.
    const stock = stockAt("remote", scripted.url);
    scripted.asked.length = 0;
    const preflight = stock.preflight({ handle: "liar.test", email: "liar@example.com" });
    expect(String(await caught(preflight))).toMatch(
      /says that it is "did:web:localhost%3A\d+", which does not resolve/,
    );
    expect(scripted.asked).toEqual(["describeServer"]);
    scripted.scripts.set("describeServer", itself);
    expect(await stock.describe()).toMatchObject({
      did: `did:web:localhost%3A${new URL(scripted.url).port}`,
    });
  });

  const session = { accessJwt: "a", refreshJwt: "r" };
  test.each<[string, Script]>([
    ["redirects", () => Response.redirect(`${reference.url}/xrpc/com.atproto.server.createAccount`, 307)],
    ["redirects inward", () => Response.redirect("http://169.254.169.254/latest", 302)],
    ["answers for another DID", () => Response.json({ ...session, did: "did:plc:ewvi7nxzyoun6zhxrhs64oiz" })],
    [
      "answers half",
      () => new Response('{"did":"did:pl', { headers: { "content-type": "application/json" } }),
    ],
    ["answers a page", () => new Response("<html>", { headers: { "content-type": "text/html" } })],
    ["answers without an end", () => new Response(endless())],
    ["fails", () => new Response("oops", { status: 500 })],
    ["refuses", () => Response.json({ error: "InvalidInviteCode", message: "no" }, { status: 400 })],
  ])("and %s is not believed", async (_, script) => {
    const stock = stockAt("remote", scripted.url);
    scripted.scripts.set("describeServer", itself);
    const begun = await begin(`liar${randomBytes(4).toString("hex")}`, stock);
    scripted.scripts.set("createAccount", script);
    const serviceToken = await tokenFor(begun, stock);
    const error = await caught(stock.createAccount({ ...accountOf(begun), serviceToken }));
    scripted.scripts.delete("createAccount");
    expect(error).toMatchObject({ code: "upstream_failure" });
    expect(await stock.hasAccount(begun)).toBe("none");
  });

  test("of an answer that is lost the account is found again", async () => {
    const stock = stockAt("remote", scripted.url);
    scripted.scripts.set("describeServer", itself);
    const begun = await begin("lostanswer", stock);
    // The reference knows the DID that is its own.
    const serviceToken = await tokenFor(begun, stockAt("remote", reference.url));
    scripted.scripts.set("createAccount", async (_, forward) => {
      await forward();
      return new Response("gateway timed out", { status: 504 });
    });
    const error = await caught(stock.createAccount({ ...accountOf(begun), serviceToken }));
    expect(isHostError(error)).toBe(true);
    expect(await stock.hasAccount(begun)).toBe("inactive");
  });
});

function endless(): ReadableStream<Uint8Array> {
  return new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(65_536)) });
}
