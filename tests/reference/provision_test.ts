/**
 * The same suite over three kinds of hosts: accounts of this server, this server as a stock PDS, and the reference PDS. What works
 * on an attempt dies around the keeping of every state, and what comes after it goes on to one working community. Then the
 * caller's key alone moves it away.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { randomUUID } from "node:crypto";
import { ProvisionActors } from "../../src/actors/mod.ts";
import {
  type AnyPlcOperation,
  createUpdate,
  type PlcOperation,
  signerFromPrivateKey,
} from "../../src/atproto/mod.ts";
import {
  Attempts,
  createHostFor,
  type HostFor,
  type HostKind,
  NativeHost,
  type ProvisionAnswer,
  Reaper,
  type StepParts,
  Transports,
} from "../../src/communities/mod.ts";
import {
  createDidResolver,
  createPlcClient,
  createSafeFetch,
  createSafeStream,
  type PlcDirectory as PlcClient,
} from "../../src/identity/mod.ts";
import { createLogger } from "../../src/logger.ts";
import type { AttemptState, AttemptStore } from "../../src/storage/mod.ts";
import { KithParts } from "../kith_parts.ts";
import { PlcDirectory } from "../plc_directory.ts";
import { ReferencePds } from "../reference.ts";

setDefaultTimeout(120_000);

const ROTATION_KEY = "5c".repeat(32);
const SERVER = signerFromPrivateKey("k256", Buffer.from(ROTATION_KEY, "hex"));
const OWNER = signerFromPrivateKey("p256", new Uint8Array(32).fill(3));
const DECLARATION = { collection: "dev.kith.test.declaration", rkey: "self", record: { name: "group" } };

let plc: PlcDirectory;
let client: PlcClient;
let kith: KithParts;
let reference: ReferencePds;
let parts: StepParts;

beforeAll(async () => {
  plc = await PlcDirectory.start();
  client = createPlcClient({ url: plc.url });
  kith = await KithParts.open({
    PDS_DID_PLC_URL: plc.url,
    PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX: ROTATION_KEY,
    PDS_RATE_LIMITS_ENABLED: "false",
  });
  reference = await ReferencePds.start({ plc });
  parts = partsOf();
});
afterAll(async () => {
  await reference?.[Symbol.asyncDispose]();
  await kith?.[Symbol.asyncDispose]();
  await plc?.[Symbol.asyncDispose]();
});

function partsOf(): StepParts {
  const { config, stores, actors, features } = kith;
  const { publicUrl, serviceDid, handleDomains } = config;
  const transports = new Transports({
    stream: createSafeStream({ allowPrivateNetwork: true }),
    handler: (request) => kith.handler(request),
    publicUrl,
    sleep: (ms) => Bun.sleep(ms),
    now: Date.now,
  });
  const native = new NativeHost({
    accounts: stores.accounts,
    births: features.creator,
    repos: actors.registry,
    handles: features.handles,
    ...{ serviceDid, publicUrl, handleDomains },
    rotationKey: SERVER.didKey,
  });
  const safeFetch = createSafeFetch({ allowPrivateNetwork: true });
  const limits = { timeoutMs: 5_000, staleMs: 1, maxMs: 1, devMode: true };
  const dids = createDidResolver({ plc: client, safeFetch, ...limits });
  const shared = { native, transports, serviceDid, publicUrl, dids, now: Date.now, devMode: true };
  const hostFor: HostFor = createHostFor(shared);
  return {
    plc: client,
    hostFor,
    rotationSigner: SERVER,
    keyType: "k256",
    declare: async ({ did: repo, kind, pdsEndpoint, appPassword }, { collection, rkey, record }) => {
      if (kind === "native") return;
      const given = { identifier: repo, password: appPassword ?? "" };
      const { accessJwt: token } = await hostFor(kind, pdsEndpoint).createSession(given);
      const input = { repo, collection, rkey, record, validate: false };
      await transports.host(kind, pdsEndpoint).json("com.atproto.repo.putRecord", { input, token });
    },
    now: Date.now,
  };
}

const endpointOf = (kind: HostKind) => (kind === "remote" ? reference.url : kith.config.publicUrl);

/** What a process has in its memory; calls of the store may go otherwise. */
function processOf(kind: HostKind, change: Partial<AttemptStore> = {}) {
  const { attempts: rows, attemptArchive: archive } = kith.stores;
  const store = new Proxy(rows, {
    get: (target, name) => {
      const value: unknown = Reflect.get(Object.hasOwn(change, name) ? change : target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  const shared = {
    store,
    archive,
    parts,
    actors: new ProvisionActors(),
    logger: createLogger({ enabled: false }),
  };
  const attempts = new Attempts({
    communities: kith.stores.communities,
    ...shared,
    quotas: { inFlightMax: 1, perCallerPerDayMax: 9, perDayMax: 10_000, communitiesMax: 9 },
    chooseHost: () => ({ kind, endpoint: endpointOf(kind) }),
    checkCreator: () => {},
    ownKeys: [SERVER.didKey],
  });
  return { attempts, reaper: new Reaper(shared) };
}

let names = 0;

/** Somebody who asks for a community of their own. */
function newcomer(kind: HostKind) {
  const name = `group${names++}`;
  const request = {
    idempotencyKey: randomUUID(),
    handle: `${name}.test`,
    rotationKey: OWNER.didKey,
    declaration: DECLARATION,
    ...(kind === "native" ? {} : { hosting: "stock" as const, email: `${name}@example.com` }),
  };
  return { caller: `did:plc:caller${names}`, request };
}

const die = (): never => {
  throw new Error("killed");
};

/** Around the keeping of a state everything ends. */
function dying(state: AttemptState, when: "before" | "after"): Partial<AttemptStore> {
  const rows = kith.stores.attempts;
  let isDead = false;
  const around = async <T>(reached: AttemptState, effect: () => Promise<T>): Promise<T> => {
    isDead ||= reached === state && when === "before";
    if (isDead) die();
    const result = await effect();
    isDead ||= reached === state;
    return isDead ? die() : result;
  };
  return {
    keep: (id, fence, change) => around(change.state, () => rows.keep(id, fence, change)),
    graduate: (id, fence, options) => around("graduated", () => rows.graduate(id, fence, options)),
    noteError: async () => die(),
    release: async () => die(),
  };
}

const operationsOf = async (did: string) => (await client.auditLog(did)).map(({ operation }) => operation);

async function expectWorking(
  kind: HostKind,
  { communityDid: did, handle, rootCredentials }: ProvisionAnswer,
) {
  const operations = await operationsOf(did);
  expect(operations).toHaveLength(kind === "native" ? 1 : 2);
  for (const operation of operations) expect((operation as PlcOperation).rotationKeys[0]).toBe(OWNER.didKey);
  expect(await client.data(did)).toMatchObject({
    alsoKnownAs: [`at://${handle}`],
    services: { atproto_pds: { endpoint: endpointOf(kind) } },
  });
  const host = parts.hostFor(kind, endpointOf(kind));
  const password = rootCredentials?.password;
  expect(await host.hasAccount(password === undefined ? { did } : { did, password })).toBe("active");
  if (kind === "native") return;
  const { appPassword } = kith.stores.communities.secrets(did);
  const session = await host.createSession({ identifier: did, password: appPassword ?? "" });
  expect(session).toMatchObject({ did, active: true });
  const at = `${endpointOf(kind)}/xrpc/com.atproto.repo.getRecord?repo=${did}&collection=${DECLARATION.collection}&rkey=self`;
  const answer = kind === "remote" ? await fetch(at) : await kith.handler(new Request(at));
  expect(await answer?.json()).toMatchObject({ value: DECLARATION.record });
}

/** The owner's key alone leads the DID elsewhere. */
async function expectMovable(did: string): Promise<void> {
  const last = (await client.lastOperation(did)) as PlcOperation;
  const pds = { type: "AtprotoPersonalDataServer", endpoint: "https://elsewhere.example.com" };
  const away = createUpdate(last, {
    signer: OWNER,
    change: (state) => ({ ...state, rotationKeys: [OWNER.didKey], services: { atproto_pds: pds } }),
  });
  await client.submit(did, away satisfies AnyPlcOperation);
  expect(await client.data(did)).toMatchObject({
    rotationKeys: [OWNER.didKey],
    services: { atproto_pds: pds },
  });
}

const START = ["preflighted", "genesisReady", "genesisSubmitted", "accountCreated"] as const;
const END = ["activated", "declared", "graduated"] as const;
const STATES: Readonly<Record<HostKind, readonly AttemptState[]>> = {
  native: [...START, ...END],
  loopback: [...START, "plcReady", "plcUpdated", "credentialReady", ...END],
  remote: [...START, "plcReady", "plcUpdated", "credentialReady", ...END],
};
const KINDS = ["native", "loopback", "remote"] as const;

describe.each(KINDS)("provision at a %s host", (kind) => {
  test("makes a community that its owner's key can move away", async () => {
    const { caller, request } = newcomer(kind);
    const answer = await processOf(kind).attempts.provision(caller, request);
    await expectWorking(kind, answer);
    await expectMovable(answer.communityDid);
  });

  const kills = STATES[kind].flatMap((state) => [["before", state] as const, ["after", state] as const]);
  test.each(kills)("killed %s %s is kept, goes on to the same one", async (when, state) => {
    const { caller, request } = newcomer(kind);
    const killed = processOf(kind, dying(state, when)).attempts.provision(caller, request);
    await expect(killed).rejects.toThrow("killed");
    const known = kith.stores.attempts.byKey(caller, request.idempotencyKey);
    const { attempts } = processOf(kind);
    await attempts.start();
    const answer = await attempts.provision(caller, request);
    expect(answer.communityDid).toBe(known?.did ?? answer.communityDid);
    await expectWorking(kind, answer);
  });

  test("what is abandoned is reaped, unless it is active by then", async () => {
    const { caller, request } = newcomer(kind);
    const killed = processOf(kind, dying("accountCreated", "before")).attempts.provision(caller, request);
    await expect(killed).rejects.toThrow("killed");
    const { attempts, reaper } = processOf(kind);
    await attempts.start();
    const attempt = kith.stores.attempts.byKey(caller, request.idempotencyKey);
    const { id = "", did } = attempt ?? {};
    const { reaped, verdict } = await reaper.reap(id, { idleMs: 0, operator: "tests" });
    if (kind === "native") {
      // born active: it is a community but for its row
      expect([reaped, verdict]).toEqual([false, expect.stringContaining("is active")]);
      await expectWorking(kind, await attempts.provision(caller, request));
      return;
    }
    expect([reaped, verdict]).toEqual([true, expect.stringContaining("deactivated")]);
    await expect(client.data(did ?? "")).rejects.toMatchObject({ code: "did_deactivated" });
    expect((await operationsOf(did ?? "")).map(({ type }) => type)).toEqual([
      "plc_operation",
      "plc_tombstone",
    ]);
  });

  test("a handle that is taken is refused, and nothing is left of it", async () => {
    const first = newcomer(kind);
    await processOf(kind).attempts.provision(first.caller, first.request);
    const second = newcomer(kind);
    const request = { ...second.request, handle: first.request.handle };
    const refused = processOf(kind).attempts.provision(second.caller, request);
    await expect(refused).rejects.toMatchObject({ code: "handle_not_available" });
    expect(kith.stores.attempts.byKey(second.caller, request.idempotencyKey)).toBeUndefined();
  });
});

test.each(["loopback", "remote"] as const)(
  "an e-mail address that is taken at a %s host is found out before anything is permanent",
  async (kind) => {
    const first = newcomer(kind);
    await processOf(kind).attempts.provision(first.caller, first.request);
    const second = newcomer(kind);
    const { attempts } = processOf(kind);
    const request = { ...second.request, email: first.request.email ?? "" };
    const refused = attempts.provision(second.caller, request);
    await expect(refused).rejects.toMatchObject({ code: "invalid_email" });
    const [archived] = kith.stores.attemptArchive.archived({ limit: 1 }).attempts;
    expect(archived).toMatchObject({ caller: second.caller, did: null, tombstoneCid: null });
    await expectWorking(kind, await attempts.provision(second.caller, second.request));
  },
);
