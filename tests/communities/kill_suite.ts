/**
 * For kill_test.ts, here and beside the tests with the reference PDS: `kill -9` of the real server around every
 * transition of a community's life. The server is started again on the same folder and port, and the same call by XRPC ends in one
 * working community: that of the DID which was planned.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Secp256k1Keypair } from "@atproto/crypto";
import { type Account, type Answer, createAccount, xrpc } from "../client.ts";
import { TestServer } from "../harness.ts";
import { FaultyPlc, PlcDirectory } from "../plc_directory.ts";
import { adminCall, community, type ProvisionInput, provisionInput, ROOM } from "./group.ts";

const MORTAL = [process.execPath, join(import.meta.dir, "mortal_server.ts"), "serve"];
export type Kind = "native" | "loopback" | "remote" | "mint";
/** Another server that communities are made at. */
export interface Peer extends AsyncDisposable {
  readonly url: string;
}
const LIMIT_MS = 120_000;
const NOTE = "dev.kith.test.note";
const SENT = ["preflighted", "genesisReady", "genesisSubmitted"];
const STOCK = [
  ...SENT,
  "accountCreated",
  "plcReady",
  "plcUpdated",
  "activated",
  "credentialReady",
  "declared",
];
/** What is kept on the way. */
const STATES: Readonly<Record<Kind, readonly string[]>> = {
  native: [...SENT, "accountCreated", "activated", "declared"],
  loopback: STOCK,
  remote: STOCK,
  mint: [...SENT, "plcUpdated"],
};
/** Calls of a stock host that change something there. The createAccount that rehearses it is refused, and so not over. */
const CHANGES = ["createAccount 1", "activateAccount 1", "createAppPassword 1", "putRecord 1"];

const around = (name: string): string[] => [`before ${name}`, `after ${name}`];

function placesOf(kind: Kind): string[] {
  const kept = STATES[kind].map((state) => `keep ${state} 1`);
  const isStock = kind === "loopback" || kind === "remote";
  return [
    ...[
      ...(kind === "remote" ? [] : ["begin 1"]),
      ...kept,
      "graduate 1",
      ...(kind === "mint" ? [] : ["takePassword 1"]),
    ].flatMap(around),
    ...(isStock ? CHANGES.map((name) => `after call ${name}`) : []),
  ];
}

let plc: PlcDirectory;
let directory: FaultyPlc;
let server: TestServer;
let peer: Peer | undefined;
let alice: Account;
/** DIDs that are communities, by the server that has their accounts. */
const made = new Map<string, string>();
/** What is their owner's own affair by now. */
const deleted = new Set<string>();
/** What the server reads where it is to die from, and writes where it came by to. */
const folder = mkdtempSync(join(tmpdir(), "kith-death-"));
const order = join(folder, "order");
const passed = join(folder, "order.places");

async function open(startPeer: ((plc: PlcDirectory) => Promise<Peer>) | undefined): Promise<void> {
  plc = await PlcDirectory.start();
  directory = new FaultyPlc(plc);
  peer = await startPeer?.(plc);
  server = await TestServer.start({
    command: MORTAL,
    env: {
      ...ROOM,
      PDS_DID_PLC_URL: directory.url,
      PDS_RATE_LIMITS_ENABLED: "false",
      KITH_COMMUNITY_PDS_ALLOWLIST: peer?.url,
      KITH_TEST_DEATH: order,
    },
  });
  alice = await createAccount(server.url, "alice", plc);
}

async function close(): Promise<void> {
  await server?.[Symbol.asyncDispose]();
  await peer?.[Symbol.asyncDispose]();
  await directory?.[Symbol.asyncDispose]();
  await plc?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
}

/** The tests of some kinds of hosts, in a file of their own. */
export function testKills(kinds: readonly Kind[], startPeer?: (plc: PlcDirectory) => Promise<Peer>): void {
  beforeAll(() => open(startPeer), LIMIT_MS);
  afterAll(close);
  for (const kind of kinds) {
    describe(`provision (${kind}), killed`, () => testProvision(kind));
    if (kind !== "mint") describe(`reaping (${kind}), killed`, () => testReaping(kind));
    if (kind === "native" || kind === "loopback")
      describe(`deleting (${kind}), killed`, () => testDeleting(kind));
  }
  test("nothing is there but the communities and who made them", expectNothingElse);
}

const hostOf = (kind: Kind) => (kind === "remote" ? (peer?.url ?? "") : server.url);
let names = 0;

async function requestFor(
  kind: Kind,
): Promise<{ name: string; key: Secp256k1Keypair; body: ProvisionInput }> {
  const key = await Secp256k1Keypair.create();
  const name = `group${names++}`;
  const handle = `${name}.test`;
  if (kind === "mint") {
    const { idempotencyKey, rotationKey } = provisionInput(key, { handle });
    return { name, key, body: { idempotencyKey, rotationKey, handle } };
  }
  const declaration = { collection: NOTE, rkey: "self", record: { $type: NOTE, text: name } };
  const stock = { hosting: "stock", pdsEndpoint: hostOf(kind), email: `${name}@example.com` };
  const body = provisionInput(key, { handle, declaration, ...(kind === "native" ? {} : stock) });
  return { name, key, body };
}

const ask = (kind: Kind, body: unknown): Promise<Answer> =>
  community(server.url, kind === "mint" ? "mint" : "provision", {
    token: alice.accessJwt,
    body,
    alone: true,
  });

/** Does it until the server dies of it, and starts the server again. */
async function dieIn(place: string, action: () => Promise<{ status: number; json: unknown }>): Promise<void> {
  writeFileSync(order, place);
  const answer = await action().catch(() => undefined);
  if (answer !== undefined) {
    const { status, json } = answer;
    const places = readFileSync(passed, "utf8");
    throw new Error(
      `It did not die ${place}, but answered ${status} ${JSON.stringify(json)}; it came by\n${places}`,
    );
  }
  await server.exited();
  rmSync(order);
  rmSync(passed);
  await server.start();
}

/** What the server knows of the attempts that are not over. */
async function attempts(): Promise<{ id: string; did?: string; state: string }[]> {
  const { json } = await adminCall(server, "listAttempts", { params: { olderThanSeconds: "0" } });
  return json.attempts as { id: string; did?: string; state: string }[];
}

async function reposOf(url: string): Promise<{ did: string; active: boolean }[]> {
  const { json } = await xrpc(url, "com.atproto.sync.listRepos", { params: { limit: 1000 } });
  return json.repos as { did: string; active: boolean }[];
}

const lastOf = async (did: string) => (await plc.log(did)).at(-1) as Record<string, unknown>;

async function expectWorking(
  kind: Kind,
  { name, key, body, answer }: Awaited<ReturnType<typeof requestFor>> & { answer: Answer },
): Promise<string> {
  const did = String(answer.json.communityDid);
  const log = (await plc.log(did)) as { rotationKeys: string[] }[];
  expect(log.map(({ rotationKeys }) => rotationKeys[0])).toEqual(
    Array.from({ length: kind === "native" ? 1 : 2 }, () => key.did()),
  );
  if (kind === "mint") return did;
  made.set(did, hostOf(kind));
  expect(await lastOf(did)).toMatchObject({
    alsoKnownAs: [`at://${body.handle}`],
    services: { atproto_pds: { endpoint: hostOf(kind) } },
  });
  const record = { $type: NOTE, text: "by all of us" };
  const published = await community(server.url, "putRecord", {
    token: alice.accessJwt,
    body: { communityDid: did, collection: NOTE, rkey: "first", record },
  });
  expect([published.status, published.json.message]).toEqual([200, undefined]);
  const records = await xrpc(hostOf(kind), "com.atproto.repo.listRecords", {
    params: { repo: did, collection: NOTE },
  });
  const values = (records.json.records as { value: { text: string } }[]).map(({ value }) => value.text);
  expect(values.sort()).toEqual(["by all of us", name]);
  return did;
}

/** The account's own password, told once. */
async function expectPassword(kind: Kind, did: string, told: readonly unknown[]): Promise<void> {
  const passwords = told.filter((credentials) => credentials !== undefined) as { password: string }[];
  if (kind === "native" || kind === "mint") return expect(passwords).toEqual([]);
  expect(passwords).toHaveLength(1);
  const session = await xrpc(hostOf(kind), "com.atproto.server.createSession", {
    body: { identifier: did, password: passwords[0]?.password },
  });
  expect([session.status, session.json.did]).toEqual([200, did]);
}

function testProvision(kind: Kind): void {
  test.each(placesOf(kind))(
    "%s, goes on to one community",
    async (place) => {
      const request = await requestFor(kind);
      await dieIn(place, () => ask(kind, request.body));
      const planned = (await attempts())[0]?.did;
      const answer = await ask(kind, request.body);
      expect([answer.status, answer.json.message]).toEqual([200, undefined]);
      if (planned !== undefined) expect(answer.json.communityDid).toBe(planned);
      const did = await expectWorking(kind, { ...request, answer });
      const again = await ask(kind, request.body);
      expect(again.json.communityDid).toBe(did);
      // It was on its way to the caller when the server died: it is not told a second time.
      const isTold = place !== "after takePassword 1";
      if (isTold)
        await expectPassword(
          kind,
          did,
          [answer, again].map(({ json }) => json.rootCredentials),
        );
      else expect([answer, again].map(({ json }) => json.rootCredentials)).toEqual([undefined, undefined]);
      expect(await attempts()).toEqual([]);
    },
    LIMIT_MS,
  );
}

/** An attempt that nobody goes on with: its account is made at a stock host, and its DID alone otherwise. */
async function abandoned(kind: Kind) {
  const request = await requestFor(kind);
  const left = kind === "native" ? "after keep genesisSubmitted 1" : "before keep plcReady 1";
  await dieIn(left, () => ask(kind, request.body));
  const [attempt] = await attempts();
  return { ...request, id: attempt?.id ?? "", did: attempt?.did ?? "" };
}

const reap = (id: string) =>
  adminCall(server, "reapAttempt", { body: { id, olderThanSeconds: 0, dryRun: false, operator: "tests" } });

const REAPING = ["keep reaping 1", "archive 1"].flatMap(around);

function testReaping(kind: Exclude<Kind, "mint">): void {
  const places = [
    ...(kind === "remote" ? ["after keep reaping 1"] : REAPING),
    ...(kind === "native" ? [] : ["after call deactivateAccount 1"]),
  ];
  test.each(places)(
    "%s, is gone on with by the next",
    async (place) => {
      const { id, did, body } = await abandoned(kind);
      await dieIn(place, () => reap(id));
      const again = await reap(id);
      if (place === "after archive 1")
        expect([again.status, again.json.error]).toEqual([400, "AttemptNotFound"]);
      else expect(again.json.attempt).toMatchObject({ reaped: true, did });
      expect((await plc.log(did)).map(({ type }) => type)).toEqual(["plc_operation", "plc_tombstone"]);
      const active = (await reposOf(hostOf(kind))).filter((repo) => repo.active);
      expect(active.map((repo) => repo.did)).not.toContain(did);
      expect(await attempts()).toEqual([]);
      // The key is free: the same call makes another one. At a stock host the name may still be the old account's.
      const anew = await ask(kind, kind === "native" ? body : { ...body, ...(await newNames()) });
      expect([anew.status, anew.json.message]).toEqual([200, undefined]);
      made.set(String(anew.json.communityDid), hostOf(kind));
    },
    LIMIT_MS,
  );

  test(
    "an attempt that goes on while it is taken back is one or the other",
    async () => {
      const { id, did, body } = await abandoned(kind);
      const [reaped, answer] = await Promise.all([reap(id), ask(kind, body)]);
      const wasReaped = (reaped.json.attempt as { reaped?: boolean } | undefined)?.reaped === true;
      if (answer.status === 200) made.set(String(answer.json.communityDid), hostOf(kind));
      const last = await lastOf(did);
      expect(last.type).toBe(wasReaped ? "plc_tombstone" : "plc_operation");
      if (!wasReaped) expect([answer.status, answer.json.communityDid]).toEqual([200, did]);
      else if (answer.status === 200) expect(answer.json.communityDid).not.toBe(did);
    },
    LIMIT_MS,
  );
}

async function newNames(): Promise<{ handle: string; email: string }> {
  const { name } = await requestFor("native");
  return { handle: `${name}.test`, email: `${name}@example.com` };
}

function testDeleting(kind: "native" | "loopback"): void {
  test.each(around("remove 1"))(
    "%s, comes to its end",
    async (place) => {
      const request = await requestFor(kind);
      const answer = await ask(kind, request.body);
      const communityDid = await expectWorking(kind, { ...request, answer });
      const call = { token: alice.accessJwt, body: { communityDid }, alone: true };
      await dieIn(place, () => community(server.url, "delete", call));
      const again = await community(server.url, "delete", call);
      expect([200, 400]).toContain(again.status);
      const gone = await community(server.url, "delete", call);
      expect([gone.status, gone.error]).toEqual([400, "CommunityNotFound"]);
      const repo = (await reposOf(server.url)).find(({ did }) => did === communityDid);
      expect(repo?.active ?? false).toBe(kind !== "native");
      deleted.add(communityDid);
      if (kind !== "native") return;
      made.delete(communityDid);
      // Its name is free again.
      const anew = await ask(kind, { ...request.body, idempotencyKey: `${request.body.idempotencyKey}-2` });
      expect([anew.status, anew.json.message]).toEqual([200, undefined]);
      made.set(String(anew.json.communityDid), server.url);
    },
    LIMIT_MS,
  );
}

async function listedOf({ accessJwt: token }: Account): Promise<string[]> {
  const dids: string[] = [];
  for (let cursor: string | undefined; ; ) {
    const { json } = await community(server.url, "list", { token, params: { limit: 100, cursor } });
    dids.push(...(json.communities as { did: string }[]).map(({ did }) => did));
    if (json.cursor === undefined) return dids;
    cursor = String(json.cursor);
  }
}

async function expectNothingElse(): Promise<void> {
  for (const url of [server.url, ...(peer ? [peer.url] : [])]) {
    const expected = [...made].filter(([, host]) => host === url).length;
    const repos = (await reposOf(url)).filter(({ active }) => active);
    expect(repos).toHaveLength(expected + (url === server.url ? 1 : 0));
  }
  const listed = await listedOf(alice);
  for (const did of directory.dids) {
    if (did === alice.did || listed.includes(did) || deleted.has(did)) continue;
    expect([did, (await lastOf(did)).type]).toEqual([did, "plc_tombstone"]);
  }
}
