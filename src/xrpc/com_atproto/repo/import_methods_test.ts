import { expect, test } from "bun:test";
import { buildDidDocument, cidOfRaw, cidToString } from "../../../atproto/mod.ts";
import { KithError } from "../../../errors.ts";
import { callerOf } from "../../calls_fixture.ts";
import { accountsInEveryState, TEST_SIGNER, TestRepos } from "../repos_fixture.ts";
import { importMethods } from "./import_methods.ts";

const ALICE = "did:plc:active";
const CAR = { "content-type": "application/vnd.ipld.car" };
const IMPORT = "com.atproto.repo.importRepo";
const MISSING = "com.atproto.repo.listMissingBlobs";

const operation = (didKey: string) => ({
  type: "plc_operation" as const,
  rotationKeys: [],
  verificationMethods: { atproto: didKey },
  alsoKnownAs: [],
  services: {},
  prev: null,
  sig: "",
});
const LOG = [
  { operation: operation("did:key:a"), nullified: false },
  { operation: operation("did:key:stolen"), nullified: true },
  { operation: operation("did:key:b"), nullified: false },
];

function setUp({ isOpen = true, bytesMax = 1_000 } = {}) {
  const repos = new TestRepos(accountsInEveryState());
  const imported: unknown[] = [];
  const held = Promise.withResolvers<void>();
  const state = { hold: false, asked: [] as unknown[] };
  const importer = Object.assign(repos, {
    importRepo: async (
      did: string,
      source: {
        chunks: AsyncIterable<Uint8Array>;
        bytesMax: number;
        documentKey(): Promise<string | undefined>;
        earlierKeys(): Promise<readonly string[]>;
      },
    ) => {
      if (state.hold) await held.promise;
      let bytes = 0;
      for await (const chunk of source.chunks) bytes += chunk.length;
      if (bytes === 13) throw new KithError("invalid_request", "Could not import the repo: thirteen");
      const [key, earlier] = [await source.documentKey(), await source.earlierKeys()];
      imported.push({ did, bytes, key, earlier, bytesMax: source.bytesMax });
    },
  });
  const dids = {
    resolve: async (did: string, options?: { fresh?: boolean }) => {
      state.asked.push(options);
      const verificationMethods = { atproto: TEST_SIGNER.didKey };
      return buildDidDocument(did, { verificationMethods, alsoKnownAs: [], services: {} });
    },
  };
  const plc = { auditLog: async () => LOG };
  const call = callerOf(importMethods({ repos: importer, dids, plc, isOpen, bytesMax }));
  return { call, repos, imported, state, release: () => held.resolve() };
}

test("importRepo hands on the body, and the keys that the DID document names and has named", async () => {
  const { call, imported, state } = setUp();
  const answer = await call({ nsid: IMPORT, as: ALICE, headers: CAR, bytes: new Uint8Array(500) });
  expect([answer.status, answer.bytes.length]).toEqual([200, 0]);
  expect(imported).toEqual([
    { did: ALICE, bytes: 500, key: TEST_SIGNER.didKey, earlier: ["did:key:b", "did:key:a"], bytesMax: 1_000 },
  ]);
  expect(state.asked).toEqual([{ fresh: true }]);
});

const over = { "content-length": "1001" };
test.each([
  ["nobody", {}, 401, "AuthMissing"],
  ["another type", { as: ALICE, headers: { "content-type": "application/json" } }, 400, "InvalidRequest"],
  ["no type", { as: ALICE }, 400, "InvalidRequest"],
  ["too much", { as: ALICE, headers: { ...CAR, ...over } }, 413, "PayloadTooLarge"],
  [
    "too much that was not declared",
    { as: ALICE, headers: CAR, bytes: new Uint8Array(1_001) },
    413,
    "PayloadTooLarge",
  ],
  ["less than declared", { as: ALICE, headers: { ...CAR, "content-length": "9" } }, 400, "InvalidRequest"],
  ["what the import refuses", { as: ALICE, headers: CAR, bytes: "x".repeat(13) }, 400, "InvalidRequest"],
] as const)("importRepo refuses %s", async (_, change, status, error) => {
  const { call, imported } = setUp();
  const answer = await call({ nsid: IMPORT, bytes: new Uint8Array(8), ...change });
  expect(answer).toMatchObject({ status, body: { error } });
  expect(imported).toEqual([]);
});

test("importRepo is refused where the operator wants none", async () => {
  const { call } = setUp({ isOpen: false });
  const answer = await call({ nsid: IMPORT, as: ALICE, headers: CAR, bytes: new Uint8Array(8) });
  expect(answer).toMatchObject({ status: 400, body: { error: "InvalidRequest" } });
});

test("importRepo refuses a fifth at a time, and takes it afterwards", async () => {
  const { call, state, release, imported } = setUp();
  state.hold = true;
  const one = () => call({ nsid: IMPORT, as: ALICE, headers: CAR, bytes: new Uint8Array(8) });
  const four = [one(), one(), one(), one()];
  expect(await one()).toMatchObject({ status: 503, body: { error: "NotEnoughResources" } });
  release();
  await Promise.all(four);
  expect((await one()).status).toBe(200);
  expect(imported).toHaveLength(5);
});

test("listMissingBlobs pages through what is not here yet", async () => {
  const { call, repos } = setUp();
  const repo = repos.repo(ALICE);
  for (const n of [1, 2, 3]) repo.missing.push({ cid: cidOfRaw(Buffer.of(n)), path: `x.y.z/${n}` });
  const all = await call({ nsid: MISSING, as: ALICE });
  const blobs = (all.body as { blobs: { cid: string; recordUri: string }[] }).blobs;
  expect(blobs.map(({ cid }) => cid)).toEqual(repo.missing.map(({ cid }) => cidToString(cid)).sort());
  expect(blobs.map(({ recordUri }) => recordUri).sort()).toEqual(
    [1, 2, 3].map((n) => `at://${ALICE}/x.y.z/${n}`),
  );
  expect((all.body as { cursor?: string }).cursor).toBeUndefined();
  const first = await call({ nsid: MISSING, as: ALICE, params: { limit: 2 } });
  expect(first.body).toEqual({ cursor: blobs[1]?.cid, blobs: blobs.slice(0, 2) });
  const cursor = String((first.body as { cursor?: string }).cursor);
  const rest = await call({ nsid: MISSING, as: ALICE, params: { limit: 2, cursor } });
  expect(rest.body).toEqual({ blobs: blobs.slice(2) });
  expect(await call({ nsid: MISSING })).toMatchObject({ status: 401, body: { error: "AuthMissing" } });
});
