import { expect, spyOn, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { cidOfRaw, cidToString } from "../atproto/mod.ts";
import { Fixture } from "./_fixture.ts";
import { DiskBlobStore, HEAD_BYTES } from "./blob_store.ts";

const DID = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";

function storeIn(folder: Fixture): DiskBlobStore {
  return new DiskBlobStore({ folder: folder.file("blobs"), tmpFolder: folder.file("tmp") });
}

async function put(store: DiskBlobStore, bytes: Uint8Array, did = DID) {
  const upload = await store.begin(did);
  for (let at = 0; at < bytes.length; at += 1_000) await upload.write(bytes.subarray(at, at + 1_000));
  const finished = await upload.finish();
  await store.keep(upload, { did, cid: finished.cid });
  return finished;
}

async function readAll(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

test("DiskBlobStore takes nothing but files for blobs", async () => {
  await using fixture = new Fixture();
  const store = storeIn(fixture);
  const { cid } = await put(store, new Uint8Array([1, 2, 3]));
  const path = fixture.file(`blobs/${DID.replaceAll(":", "_")}/${cidToString(cid)}`);
  rmSync(path);
  mkdirSync(path);
  expect(await store.open(DID, cid)).toBeUndefined();
  expect(await store.list(DID, { limit: 10 })).toEqual([]);
});

test("DiskBlobStore gives back what was uploaded, under the CID of its bytes", async () => {
  await using folder = new Fixture();
  const store = storeIn(folder);
  const bytes = new Uint8Array(600_000).map((_, at) => at % 251);
  const { cid, size, head } = await put(store, bytes);
  expect(cidToString(cid)).toBe(cidToString(cidOfRaw(bytes)));
  expect(size).toBe(bytes.length);
  expect(new Uint8Array(head)).toEqual(bytes.subarray(0, HEAD_BYTES));
  const blob = await store.open(DID, cid);
  expect(blob?.size).toBe(bytes.length);
  expect(await readAll((await blob?.stream()) ?? new ReadableStream())).toEqual(bytes);
  expect(await readAll((await blob?.stream({ start: 10, end: 20 })) ?? new ReadableStream())).toEqual(
    bytes.subarray(10, 20),
  );
});

test("DiskBlobStore tells what is put away, whatever else lies there", async () => {
  await using folder = new Fixture();
  const store = storeIn(folder);
  const { cid } = await put(store, new Uint8Array([1, 2, 3]));
  expect(await store.quarantined(DID)).toEqual([]);
  await store.quarantine(DID, cid);
  const [account = ""] = readdirSync(folder.file("blobs/quarantine"));
  writeFileSync(folder.file(`blobs/quarantine/${account}/.DS_Store`), "");
  expect((await store.quarantined(DID)).map(cidToString)).toEqual([cidToString(cid)]);
});

test("DiskBlobStore ends the server where the disk does not take a name, and trusts no later sync", async () => {
  await using folder = new Fixture();
  const fatal: unknown[] = [];
  const store = new DiskBlobStore({
    ...{ folder: folder.file("blobs"), tmpFolder: folder.file("tmp") },
    onFatal: (error) => void fatal.push(error),
  });
  const upload = await store.begin(DID);
  const { cid } = await upload.finish();
  const handle = await open(folder.path);
  const refused = Object.assign(new Error("EIO"), { code: "EIO" });
  const sync = spyOn(Object.getPrototypeOf(handle), "sync").mockRejectedValueOnce(refused);
  await handle.close();
  try {
    await expect(store.keep(upload, { did: DID, cid })).rejects.toMatchObject({ code: "storage_full" });
  } finally {
    sync.mockRestore();
  }
  expect(fatal).toEqual([refused]);
});

test("DiskBlobStore keeps the empty blob", async () => {
  await using folder = new Fixture();
  const store = storeIn(folder);
  const { cid } = await put(store, new Uint8Array());
  expect(await readAll((await (await store.open(DID, cid))?.stream()) ?? new ReadableStream())).toEqual(
    new Uint8Array(),
  );
});

test("DiskBlobStore shows nothing of an upload before it is kept, and nothing of one account to another", async () => {
  await using folder = new Fixture();
  const store = storeIn(folder);
  const upload = await store.begin(DID);
  await upload.write(new Uint8Array([1, 2, 3]));
  const { cid } = await upload.finish();
  expect(await store.open(DID, cid)).toBeUndefined();
  await store.keep(upload, { did: DID, cid });
  expect(await store.open(DID, cid)).toBeDefined();
  expect(await store.open("did:plc:bbbbbbbbbbbbbbbbbbbbbbbb", cid)).toBeUndefined();
  await upload.discard();
  expect(await store.open(DID, cid)).toBeDefined();
});

test("DiskBlobStore leaves nothing of a discarded or forgotten upload", async () => {
  await using folder = new Fixture();
  const store = storeIn(folder);
  const discarded = await store.begin(DID);
  await discarded.write(new Uint8Array([1]));
  await discarded.discard();
  expect(readdirSync(folder.file("tmp"))).toEqual([]);
  const forgotten = await store.begin(DID);
  await forgotten.write(new Uint8Array([1]));
  await storeIn(folder).sweepTemporary();
  expect(readdirSync(folder.file("tmp"))).toEqual([]);
  await forgotten.discard();
});

test("DiskBlobStore removes one blob, or all of an account, and does not mind what is not there", async () => {
  await using folder = new Fixture();
  const store = storeIn(folder);
  const first = await put(store, new Uint8Array([1]));
  const second = await put(store, new Uint8Array([2]));
  await store.remove(DID, first.cid);
  await store.remove(DID, first.cid);
  expect(await store.open(DID, first.cid)).toBeUndefined();
  expect(await store.open(DID, second.cid)).toBeDefined();
  await store.removeAll(DID);
  await store.removeAll(DID);
  expect(await store.open(DID, second.cid)).toBeUndefined();
});

test.each(["file", "folder"])(
  "DiskBlobStore does not mind that the %s of a blob goes while it is moved",
  async (what) => {
    await using folder = new Fixture();
    const store = storeIn(folder);
    const { cid } = await put(store, new Uint8Array([1, 2, 3]));
    const place = folder.file(`blobs/${DID.replaceAll(":", "_")}`);
    const moving = store.quarantine(DID, cid);
    rmSync(what === "file" ? `${place}/${cidToString(cid)}` : place, { recursive: true });
    await moving;
    expect(await store.open(DID, cid, { quarantined: true })).toBeUndefined();
  },
);

test("DiskBlobStore says of a blob that goes between two looks that it is not there", async () => {
  await using folder = new Fixture();
  const store = storeIn(folder);
  const { cid } = await put(store, new Uint8Array([1, 2, 3]));
  const blob = await store.open(DID, cid);
  await store.remove(DID, cid);
  const reading = blob?.stream().then((stream) => stream.getReader().read());
  await expect(reading).rejects.toMatchObject({ code: "blob_not_found" });
});

test.each(["did:web:..", "did:web:a%2F..%2Fb", `did:web:${"a".repeat(250)}.example.com`])(
  "DiskBlobStore keeps the blobs of %s inside its folder",
  async (did) => {
    await using folder = new Fixture();
    const { cid } = await put(storeIn(folder), new Uint8Array([7]), did);
    const [name = ""] = readdirSync(folder.file("blobs"));
    expect(existsSync(folder.file(`blobs/${name}/${cidToString(cid)}`))).toBe(true);
    expect(name.length).toBeLessThan(255);
  },
);

test("DiskBlobStore keeps the blobs of DIDs apart that a careless file name would merge", async () => {
  await using folder = new Fixture();
  const store = storeIn(folder);
  const bytes = Uint8Array.of(1);
  const { cid } = await put(store, bytes, "did:web:a:b");
  await put(store, bytes, "did:web:a_b");
  await store.removeAll("did:web:a:b");
  expect(await store.open("did:web:a:b", cid)).toBeUndefined();
  expect((await store.open("did:web:a_b", cid))?.size).toBe(1);
});
