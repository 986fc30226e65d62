import { expect, test } from "bun:test";
import { type Block, cidKey, cidOfCbor, cidOfRaw, encodeCbor } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import { Fixture } from "./_fixture.ts";
import type { Maintenance } from "./maintenance.ts";
import { RepoFiles } from "./repo_files.ts";
import type { RepoStaging, RepoStore } from "./repo_store.ts";

const DID = "did:plc:staging";
const REV = "3mmmmmmmmmmmm";

function blockOf(value: unknown): Block {
  const bytes = encodeCbor(value);
  return { cid: cidOfCbor(bytes), bytes };
}

interface Staged extends AsyncDisposable {
  readonly store: RepoStore;
  readonly staging: RepoStaging;
}

async function staged(change: (worker: Maintenance) => Maintenance = (worker) => worker): Promise<Staged> {
  const folder = new Fixture();
  const { maintenance, onFatal } = folder.options;
  const files = new RepoFiles({ folder: folder.path, onFatal, maintenance: change(maintenance) });
  await files.create(DID, 1);
  const store = await files.open(DID, 1);
  await store.prepareWrites();
  const staging = store.beginStaging(REV);
  return {
    store,
    staging,
    async [Symbol.asyncDispose]() {
      await staging.end();
      await store.close();
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** `expect().rejects` would keep the worker's answer from arriving. */
const failureOf = (promise: Promise<void>) => promise.catch((error: unknown) => error);
const rowsOf = ({ store }: Staged, sql: string) => store.fileForTests.db.query(sql).values();

test("RepoStaging holds the first blocks in memory and reads the others from the file; each is staged once", async () => {
  await using repo = await staged();
  const blocks = Array.from({ length: 24 }, (_, i) => blockOf([i, "x".repeat(900_000)]));
  for (const block of blocks) await repo.staging.addBlocks([block, block]);
  await repo.staging.addBlocks([]);
  await repo.staging.readable();
  const read = repo.staging.reading(() => blocks.map(({ cid }) => repo.staging.get(cid)));
  expect(read.every((bytes, i) => bytes && Buffer.compare(bytes, blocks[i]?.bytes ?? bytes) === 0)).toBe(
    true,
  );
  expect(repo.staging.get(blockOf("absent").cid)).toBeUndefined();
  await repo.staging.settled();
  expect(rowsOf(repo, "SELECT count(*), min(rev), max(removed) FROM staged_block")).toEqual([[24, REV, 0]]);
  expect(repo.store.isDurable()).toBe(false);
  await repo.store.durable();
});

test("RepoStaging.addRecords() stages names, subjects and the blobs of each record", async () => {
  await using repo = await staged();
  const [a, b] = [blockOf("a").cid, blockOf("b").cid];
  const [one, two] = [cidOfRaw(Uint8Array.of(1)), cidOfRaw(Uint8Array.of(2))];
  const collection = "x.y.z";
  await repo.staging.addRecords([
    { collection, rkey: "1", cid: a, blobs: [one, two] },
    { collection, rkey: "2", cid: b, blobs: [], subject: 'did:plc:"ö' },
    { collection, rkey: "3", cid: a, blobs: [two] },
  ]);
  await repo.staging.settled();
  const key = (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1");
  const records = rowsOf(repo, "SELECT rkey, cid, rev, subject FROM staged_record ORDER BY rkey");
  expect(records.map(([rkey, cid, ...rest]) => [rkey, key(cid as Uint8Array), ...rest])).toEqual([
    ["1", cidKey(a), REV, null],
    ["2", cidKey(b), REV, 'did:plc:"ö'],
    ["3", cidKey(a), REV, null],
  ]);
  const blobs = rowsOf(repo, "SELECT rkey, cid FROM staged_record_blob ORDER BY rkey, cid");
  expect(blobs.map(([rkey, cid]) => [rkey, key(cid as Uint8Array)])).toEqual(
    [
      ["1", cidKey(one)],
      ["1", cidKey(two)],
      ["3", cidKey(two)],
    ].sort(),
  );
});

test("RepoStaging tells a failure of the worker once, and what the failed transaction had is not there", async () => {
  await using repo = await staged();
  const record = { collection: "x.y.z", rkey: "1", cid: blockOf("a").cid, blobs: [] };
  await repo.staging.addRecords([record, record]);
  expect(await failureOf(repo.staging.settled())).toMatchObject({
    message: expect.stringContaining("UNIQUE"),
  });
  await repo.staging.settled();
  expect(repo.store.hasStaging()).toBe(false);
  await repo.staging.addRecords([record]);
  await repo.staging.settled();
  expect(rowsOf(repo, "SELECT count(*) FROM staged_record")).toEqual([[1]]);
});

test("RepoStaging.addBlocks() waits while two transactions are on their way, and is refused where there is no room", async () => {
  const asked: PromiseWithResolvers<void>[] = [];
  await using repo = await staged(
    (worker) =>
      new Proxy(worker, {
        get(target, name) {
          const value = Reflect.get(target, name) as unknown;
          if (name !== "stage") return typeof value === "function" ? value.bind(target) : value;
          return () => {
            const answer = Promise.withResolvers<void>();
            asked.push(answer);
            return answer.promise;
          };
        },
      }),
  );
  const add = (text: string) => repo.staging.addBlocks([blockOf(text)]);
  await add("one");
  await add("two");
  let taken = false;
  const third = add("three").then(() => {
    taken = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  expect([asked.length, taken]).toEqual([3, false]);
  asked[0]?.resolve();
  await third;
  asked[1]?.reject(new KithError("storage_full", "no room"));
  expect(await failureOf(add("four"))).toMatchObject({ code: "storage_full" });
  for (const { resolve } of asked) resolve();
});
