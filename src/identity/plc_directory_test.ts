import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { Client } from "@did-plc/lib";
import { Database, PlcServer } from "@did-plc/server";
import {
  cidOfOperation,
  createGenesis,
  createTombstone,
  createUpdate,
  type PlcOperation,
  type Signer,
  signerFromPrivateKey,
  withHandle,
} from "../atproto/mod.ts";
import { isKithError } from "../errors.ts";
import { EmbeddedPlc, type PlcStore, type PlcStoreRow } from "./embedded_plc.ts";
import { createPlcClient, type PlcDirectory, PlcRefusedError } from "./plc_directory.ts";

const HOUR_MS = 3_600_000;

/** The least that a store does; the real one is in storage. */
function memoryStore(): PlcStore {
  const rows: PlcStoreRow[] = [];
  return {
    append: (row, nullified) => {
      rows.forEach((old, at) => {
        if (old.did === row.did && nullified.includes(old.cid)) rows[at] = { ...old, nullified: true };
      });
      rows.push(row);
    },
    log: (did) => rows.filter((row) => row.did === did),
    export: ({ after = "", limit }) => rows.filter((row) => row.createdAt > after).slice(0, limit),
    lastCreatedAt: () => rows.at(-1)?.createdAt,
  };
}

let keys = 0;
const signer = (): Signer => signerFromPrivateKey("k256", new Uint8Array(32).fill(++keys));

function genesis() {
  const [strong, weak] = [signer(), signer()];
  const rotationKeys = [strong.didKey, weak.didKey];
  const options = {
    signingKey: signer().didKey,
    rotationKeys,
    handle: "alice.test",
    pdsEndpoint: "http://localhost:2583",
  };
  return { strong, weak, ...createGenesis({ ...options, signer: weak }) };
}

const renamed = (last: PlcOperation, { by, to }: { by: Signer; to: string }) =>
  createUpdate(last, { signer: by, change: (state) => withHandle(state, to) });

async function refusalOf(promise: Promise<unknown>): Promise<PlcRefusedError | undefined> {
  const error = await promise.catch((thrown: unknown) => thrown);
  return error instanceof PlcRefusedError ? error : undefined;
}

const clock = { now: 0 };
let embedded: EmbeddedPlc;
let listener: Bun.Server<undefined>;
let real: PlcServer;
beforeAll(async () => {
  real = PlcServer.create({ db: Database.mock(), port: 0 });
  await real.start();
});
afterAll(() => real.destroy());
beforeEach(() => {
  clock.now = Date.parse("2026-01-01T00:00:00Z");
  embedded = new EmbeddedPlc({ store: memoryStore(), now: () => clock.now });
  listener = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => (await embedded.fetch(request)) ?? new Response("not mine", { status: 418 }),
  });
});
afterEach(() => listener.stop(true));

const embeddedUrl = () => `http://127.0.0.1:${listener.port}`;
const realUrl = () => {
  const address = real.server?.address();
  if (typeof address !== "object" || address === null) throw new Error("the directory does not listen");
  return `http://127.0.0.1:${address.port}`;
};

describe.each([
  ["the embedded directory, directly", (): PlcDirectory => embedded],
  ["the embedded directory, by HTTP", () => createPlcClient({ url: embeddedUrl() })],
  ["the real directory", () => createPlcClient({ url: realUrl() })],
])("%s", (_, open) => {
  test("registers, updates, shows and ends a DID", async () => {
    const directory = open();
    const { did, operation, weak } = genesis();
    expect(await directory.auditLog(did)).toEqual([]);
    await directory.submit(did, operation);
    expect(await directory.data(did)).toMatchObject({ did, alsoKnownAs: ["at://alice.test"] });
    const next = renamed(operation, { by: weak, to: "bob.test" });
    await directory.submit(did, next);
    expect(await directory.lastOperation(did)).toEqual(next);
    expect(await directory.document(did)).toMatchObject({
      id: did,
      alsoKnownAs: ["at://bob.test"],
      service: [{ id: "#atproto_pds", serviceEndpoint: "http://localhost:2583" }],
    });
    const log = await directory.auditLog(did);
    expect(log.map(({ cid }) => cid)).toEqual([operation, next].map(cidOfOperation));
    await directory.submit(did, createTombstone(next, { signer: weak }));
    for (const ask of [() => directory.document(did), () => directory.data(did)]) {
      const error = await ask().catch((thrown: unknown) => thrown);
      expect(isKithError(error, "did_deactivated")).toBe(true);
    }
  });

  test("refuses what is not signed, not in order, or of another DID", async () => {
    const directory = open();
    const { did, operation, weak } = genesis();
    const other = genesis();
    expect((await refusalOf(directory.submit(did, other.operation)))?.status).toBe(400);
    const forged = { ...operation, alsoKnownAs: ["at://mallory.test"] };
    expect((await refusalOf(directory.submit(did, forged)))?.status).toBe(400);
    await directory.submit(did, operation);
    expect((await refusalOf(directory.submit(did, operation)))?.status).toBe(400);
    const stolen = renamed(operation, { by: other.weak, to: "mallory.test" });
    expect((await refusalOf(directory.submit(did, stolen)))?.reason).not.toBe("");
    const skipped = renamed(renamed(operation, { by: weak, to: "b.test" }), { by: weak, to: "c.test" });
    expect((await refusalOf(directory.submit(did, skipped)))?.status).toBe(400);
    expect(await directory.lastOperation(did)).toEqual(operation);
  });

  test("lets a stronger key override a weaker one", async () => {
    const directory = open();
    const { did, operation, weak, strong } = genesis();
    await directory.submit(did, operation);
    const taken = renamed(operation, { by: weak, to: "mallory.test" });
    await directory.submit(did, taken);
    await directory.submit(did, renamed(operation, { by: strong, to: "alice2.test" }));
    expect(await directory.data(did)).toMatchObject({ alsoKnownAs: ["at://alice2.test"] });
    const log = await directory.auditLog(did);
    expect(log.map(({ nullified }) => nullified)).toEqual([false, true, false]);
  });

  test("throws did_not_found for a DID that is not there", async () => {
    const error = await open()
      .data("did:plc:ewvi7nxzyoun6zhxrhs64oiz")
      .catch((thrown: unknown) => thrown);
    expect(isKithError(error, "did_not_found")).toBe(true);
  });
});

test("EmbeddedPlc lets nobody override what is older than 72 hours", async () => {
  const { did, operation, weak, strong } = genesis();
  await embedded.submit(did, operation);
  await embedded.submit(did, renamed(operation, { by: weak, to: "b.test" }));
  clock.now += 73 * HOUR_MS;
  const late = embedded.submit(did, renamed(operation, { by: strong, to: "c.test" }));
  expect((await refusalOf(late))?.reason).toContain("72 hours");
});

test("EmbeddedPlc gives each entry a later time, also when the clock stands still", async () => {
  for (let n = 0; n < 3; n++) {
    const { did, operation } = genesis();
    await embedded.submit(did, operation);
  }
  const lines = async (query: string) => {
    const text = await (await fetch(`${embeddedUrl()}/export${query}`)).text();
    return text === "" ? [] : text.split("\n").map((line) => JSON.parse(line));
  };
  const all = await lines("");
  expect(new Set(all.map(({ createdAt }) => createdAt)).size).toBe(3);
  expect(await lines("?count=1")).toEqual(all.slice(0, 1));
  expect(await lines(`?after=${all[1].createdAt}`)).toEqual(all.slice(2));
});

test("EmbeddedPlc serves the client library of the real directory", async () => {
  const client = new Client(embeddedUrl());
  const { did, operation, weak } = genesis();
  await client.sendOperation(did, operation as never);
  await client.sendOperation(did, renamed(operation, { by: weak, to: "b.test" }) as never);
  expect((await client.getDocumentData(did)).alsoKnownAs).toEqual(["at://b.test"]);
  expect((await client.getDocument(did)).id).toBe(did);
  expect((await client.getOperationLog(did)).length).toBe(2);
  expect((await client.getAuditableLog(did)).length).toBe(2);
  expect((await client.getLastOp(did)).prev).toBe(cidOfOperation(operation));
  expect(client.sendOperation(did, operation as never)).rejects.toThrow();
});

const DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
test.each([
  ["GET", `/${DID}`, undefined, 404, { message: `DID not registered: ${DID}` }],
  ["GET", `/${encodeURIComponent(DID)}/log`, undefined, 404, { message: `DID not registered: ${DID}` }],
  ["GET", `/${DID}/nothing`, undefined, 404, { message: "Not found: /nothing" }],
  ["DELETE", `/${DID}`, undefined, 405, { message: "Method not allowed" }],
  ["POST", `/${DID}`, "{", 400, { message: "Operation is not JSON" }],
  ["POST", `/${DID}`, `"${"x".repeat(200_000)}"`, 413, { message: "request entity too large" }],
  ["POST", "/did:plc:short", "{}", 400, { message: "Invalid DID: did:plc:short" }],
  ["GET", "/did:plc:%ff", undefined, 400, { message: "Invalid DID" }],
  ["GET", "/export?count=x", undefined, 400, { message: "Invalid query parameter" }],
  ["GET", "/export?after=x", undefined, 400, { message: "Invalid query parameter" }],
] as const)("EmbeddedPlc answers %s %s", async (method, path, body, status, expected) => {
  const answer = await fetch(embeddedUrl() + path, { method, body });
  expect([answer.status, await answer.json()]).toEqual([status, expected]);
});

test.each([
  ["POST", "/xrpc/x"],
  ["GET", "/"],
  ["POST", "/export"],
  ["GET", "/did:web:a.example"],
])("EmbeddedPlc leaves %s %s to the server", async (method, path) => {
  expect(await embedded.fetch(new Request(`http://localhost${path}`, { method }))).toBeUndefined();
});

test.each([
  [503, "busy", "upstream_failure"],
  [429, '{"message":"slow down"}', "upstream_failure"],
  [302, "", "upstream_failure"],
  [409, '{"message":"no"}', "invalid_request"],
])("createPlcClient() tells refusal from an open outcome: %d", async (status, body, code) => {
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response(body, { status }) });
  const client = createPlcClient({ url: `http://127.0.0.1:${server.port}` });
  const error = await client.submit(DID, genesis().operation).catch((thrown: unknown) => thrown);
  expect(isKithError(error) && error.code).toBe(code as never);
  expect(error instanceof PlcRefusedError).toBe(code === "invalid_request");
  await server.stop(true);
  const gone = await client.submit(DID, genesis().operation).catch((thrown: unknown) => thrown);
  expect(isKithError(gone, "upstream_failure")).toBe(true);
});

test.each(["[]", "null", "not json", '{"id":"did:plc:other","did":"did:plc:other"}'])(
  "createPlcClient() does not believe the answer %p",
  async (body) => {
    const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response(body) });
    const client = createPlcClient({ url: `http://127.0.0.1:${server.port}` });
    for (const call of [client.document(DID), client.data(DID), client.lastOperation(DID)]) {
      const error = await call.catch((thrown: unknown) => thrown);
      expect(isKithError(error, "upstream_failure")).toBe(true);
    }
    await server.stop(true);
  },
);
