import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { readdirSync } from "node:fs";
import { type Cid, cidOfRaw, cidToString } from "../atproto/mod.ts";
import { isKithError } from "../errors.ts";
import type { Logger } from "../logger.ts";
import { Fixture } from "./_fixture.ts";
import { S3BlobStore, type S3BlobStoreOptions } from "./s3_blob_store.ts";

const DID = "did:web:localhost%3A3000";
const ETAG = '"0123"';

/** A bucket in memory, as far as S3 is told apart from what is not; `fail` answers in its place. */
class MemoryBucket implements AsyncDisposable {
  readonly objects = new Map<string, Uint8Array>();
  readonly asked: string[] = [];
  fail: (request: Request) => Response | Promise<Response> | undefined = () => undefined;
  readonly #server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => {
      const key = decodeURIComponent(new URL(request.url).pathname).replace(/^\/blobs\//, "");
      this.asked.push(`${request.method} ${key}`);
      const failure = await this.fail(request);
      if (failure) return failure;
      return this.#answer(request, key);
    },
  });

  /** The keys after one, as ListObjectsV2 gives them. */
  #list(query: URLSearchParams): Response {
    const [prefix, after] = [query.get("prefix") ?? "", query.get("start-after") ?? ""];
    const keys = [...this.objects.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
    const page = keys.slice(0, Number(query.get("max-keys") ?? 1_000));
    const contents = page.map(
      (key) => `<Contents><Key>${key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>`,
    );
    const isTruncated = page.length < keys.length;
    return new Response(
      `<ListBucketResult><KeyCount>${page.length}</KeyCount><IsTruncated>${isTruncated}</IsTruncated>${contents.join("")}</ListBucketResult>`,
    );
  }

  async #answer(request: Request, key: string): Promise<Response> {
    const { searchParams } = new URL(request.url);
    if (searchParams.has("list-type")) return this.#list(searchParams);
    if (request.method === "PUT") this.objects.set(key, await request.bytes());
    if (request.method === "PUT") return new Response(null, { headers: { etag: ETAG } });
    const bytes = this.objects.get(key);
    if (request.method === "DELETE") this.objects.delete(key);
    if (request.method === "DELETE") return new Response(null, { status: 204 });
    if (!bytes) return s3Error(404, "NoSuchKey");
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.get("range") ?? "");
    const part = range ? bytes.slice(Number(range[1]), Number(range[2]) + 1) : bytes.slice();
    const headers = { etag: ETAG, "content-length": String(part.length) };
    return new Response(request.method === "HEAD" ? null : part, { status: range ? 206 : 200, headers });
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }
}

function s3Error(status: number, code: string): Response {
  return new Response(`<Error><Code>${code}</Code><Message>words</Message></Error>`, { status });
}

/** For a bucket that does not answer: what is waited for in vain. */
const IMPATIENT = { uploadTimeoutMs: 900, requestTimeoutMs: 700 };

/** With all the time that a busy machine may need. */
function storeOn(bucket: MemoryBucket, folder: Fixture, options: Partial<S3BlobStoreOptions> = {}) {
  const warnings: unknown[] = [];
  const logger: Logger = {
    debug: () => {},
    info: () => {},
    warn: (message, fields) => void warnings.push({ message, ...fields }),
    error: () => {},
    child: () => logger,
  };
  const store = new S3BlobStore({
    bucket: "blobs",
    region: "us-east-1",
    endpoint: bucket.url,
    accessKeyId: "key",
    secretAccessKey: "the secret key",
    uploadTimeoutMs: 60_000,
    requestTimeoutMs: 60_000,
    tmpFolder: folder.file("tmp"),
    logger,
    ...options,
  });
  return { store, warnings };
}

async function put(store: S3BlobStore, bytes: Uint8Array): Promise<Cid> {
  const upload = await store.begin(DID);
  try {
    await upload.write(bytes);
    const { cid } = await upload.finish();
    await store.keep(upload, { did: DID, cid });
    return cid;
  } finally {
    await upload.discard();
  }
}

async function read(store: S3BlobStore, cid: Cid, range?: { start: number; end: number }): Promise<Buffer> {
  const blob = await store.open(DID, cid);
  if (!blob) throw new Error("It is not there");
  return Buffer.from(await new Response(await blob.stream(range)).bytes());
}

const BYTES = new Uint8Array(400_000).map((_, at) => at % 251);

test("S3BlobStore keeps a blob under the reference's key, and gives it back whole and in parts", async () => {
  await using bucket = new MemoryBucket();
  await using folder = new Fixture();
  const { store, warnings } = storeOn(bucket, folder);
  const cid = await put(store, BYTES);
  expect(cidToString(cid)).toBe(cidToString(cidOfRaw(BYTES)));
  expect([...bucket.objects.keys()]).toEqual([`blocks/${DID}/${cidToString(cid)}`]);
  const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
  expect(digest(await read(store, cid))).toBe(digest(BYTES));
  expect(await read(store, cid, { start: 10, end: 20 })).toEqual(Buffer.from(BYTES.subarray(10, 20)));
  expect((await read(store, await put(store, new Uint8Array()))).length).toBe(0);
  expect(readdirSync(folder.file("tmp"))).toEqual([]);
  await store.remove(DID, cid);
  await store.remove(DID, cid);
  expect(await store.open(DID, cid)).toBeUndefined();
  expect(warnings).toEqual([]);
});

test("S3BlobStore.quarantine() takes a blob out of its place, and release() puts it back", async () => {
  await using bucket = new MemoryBucket();
  await using folder = new Fixture();
  const { store } = storeOn(bucket, folder);
  const cid = await put(store, BYTES);
  const name = cidToString(cid);
  // Each may have been done already.
  for (const _ of ["first", "again"]) {
    await store.quarantine(DID, cid);
    expect([...bucket.objects.keys()]).toEqual([`quarantine/${DID}/${name}`]);
  }
  expect(await store.open(DID, cid)).toBeUndefined();
  expect((await store.open(DID, cid, { quarantined: true }))?.size).toBe(BYTES.length);
  for (const _ of ["first", "again"]) {
    await store.release(DID, cid);
    expect([...bucket.objects.keys()]).toEqual([`blocks/${DID}/${name}`]);
  }
  expect((await read(store, cid)).equals(BYTES)).toBe(true);
  await store.quarantine(DID, cid);
  await store.removeQuarantined(DID, cid);
  expect([[...bucket.objects.keys()], readdirSync(folder.file("tmp"))]).toEqual([[], []]);
});

test("S3BlobStore.list() goes on past keys that are no blobs", async () => {
  await using bucket = new MemoryBucket();
  await using folder = new Fixture();
  const { store } = storeOn(bucket, folder);
  const cids = await Promise.all([1, 2, 3].map((n) => put(store, new Uint8Array(n))));
  for (const name of ["a", "b", "c", "zz"]) bucket.objects.set(`blocks/${DID}/${name}`, BYTES);
  const names = cids.map(cidToString).sort();
  const first = await store.list(DID, { limit: 2 });
  expect(first.map(({ name }) => name)).toEqual(names.slice(0, 2));
  const rest = await store.list(DID, { limit: 2, after: names[1] });
  expect(rest.map(({ name }) => name)).toEqual(names.slice(2));
});

test("S3BlobStore gives the bucket nothing of an upload that is not kept", async () => {
  await using bucket = new MemoryBucket();
  await using folder = new Fixture();
  const { store } = storeOn(bucket, folder);
  const upload = await store.begin(DID);
  await upload.write(BYTES);
  await upload.finish();
  await upload.discard();
  expect([bucket.asked, readdirSync(folder.file("tmp"))]).toEqual([[], []]);
});

const never = () => new Promise<Response>(() => {});
const hotel = () => new Response("<html>Sign in here</html>");

test.each([
  ["PUT", () => s3Error(500, "InternalError"), "upstream_failure", 3],
  ["PUT", () => s3Error(503, "SlowDown"), "busy", 3],
  ["PUT", () => s3Error(403, "AccessDenied"), "upstream_failure", 1],
  ["PUT", never, "timeout", 1],
  ["PUT", hotel, "upstream_failure", 1],
  ["HEAD", () => s3Error(500, "InternalError"), "upstream_failure", 3],
  ["HEAD", never, "timeout", 1],
  ["HEAD", hotel, "upstream_failure", 1],
  ["GET", () => s3Error(503, "SlowDown"), "busy", 3],
  ["GET", never, "timeout", 1],
  ["GET", hotel, "upstream_failure", 1],
  ["GET", () => s3Error(404, "NoSuchBucket"), "upstream_failure", 1],
  ["DELETE", () => s3Error(500, "InternalError"), "upstream_failure", 3],
  ["DELETE", never, "timeout", 1],
])(
  "S3BlobStore: a bucket that fails %s is an error, and a warning without secrets",
  async (method, answer, code, times) => {
    await using bucket = new MemoryBucket();
    await using folder = new Fixture();
    const patient = storeOn(bucket, folder);
    const cid = await put(patient.store, BYTES);
    const { store, warnings } = answer === never ? storeOn(bucket, folder, IMPATIENT) : patient;
    bucket.fail = (request) => (request.method === method ? answer() : undefined);
    bucket.asked.length = 0;
    const acts = { PUT: () => put(store, Buffer.from("other")), DELETE: () => store.remove(DID, cid) };
    const act = acts[method as keyof typeof acts] ?? (() => read(store, cid));
    const error = await act().then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(isKithError(error) && error.code).toBe(code as never);
    expect(bucket.asked.filter((line) => line.startsWith(method)).length).toBe(times);
    expect(warnings.length).toBe(1);
    expect(JSON.stringify(warnings)).not.toMatch(/the secret key|X-Amz-Signature/);
    expect(readdirSync(folder.file("tmp"))).toEqual([]);
    bucket.fail = () => undefined;
    if (method !== "DELETE") expect((await read(patient.store, cid)).length).toBe(BYTES.length);
  },
);

test("S3BlobStore says of a blob that goes between two looks that it is not there, and does not move it", async () => {
  await using bucket = new MemoryBucket();
  await using folder = new Fixture();
  const { store, warnings } = storeOn(bucket, folder);
  const cid = await put(store, BYTES);
  const blob = await store.open(DID, cid);
  bucket.fail = (request) => {
    if (request.method === "GET") bucket.objects.clear();
    return undefined;
  };
  await store.quarantine(DID, cid);
  expect([...bucket.objects.keys()]).toEqual([]);
  await expect(blob?.stream()).rejects.toMatchObject({ code: "blob_not_found" });
  expect([warnings, readdirSync(folder.file("tmp"))]).toEqual([[], []]);
});

test("S3BlobStore tries again what a bucket fails once", async () => {
  await using bucket = new MemoryBucket();
  await using folder = new Fixture();
  const { store, warnings } = storeOn(bucket, folder);
  let failures = 2;
  bucket.fail = () => (failures-- > 0 ? s3Error(503, "SlowDown") : undefined);
  expect((await read(store, await put(store, BYTES))).length).toBe(BYTES.length);
  expect(warnings).toEqual([]);
});

test("S3BlobStore: a body that breaks off or stands still is an error of the stream", async () => {
  await using bucket = new MemoryBucket();
  await using folder = new Fixture();
  const { store } = storeOn(bucket, folder);
  const cid = await put(store, BYTES);
  const impatient = storeOn(bucket, folder, IMPATIENT).store;
  const partly = (end: (sender: ReadableStreamDefaultController<Uint8Array>) => void) => {
    const body = new ReadableStream<Uint8Array>({
      start: (sender) => {
        sender.enqueue(BYTES.slice(0, 1_000));
        end(sender);
      },
    });
    return new Response(body, { headers: { etag: ETAG } });
  };
  for (const end of [(sender: ReadableStreamDefaultController) => sender.close(), () => {}]) {
    bucket.fail = (request) => (request.method === "GET" ? partly(end) : undefined);
    expect(
      await read(impatient, cid).then(
        () => "whole",
        () => "error",
      ),
    ).toBe("error");
  }
});

test.each([
  ["NoSuchBucket", 404, /there is no such bucket/],
  ["SignatureDoesNotMatch", 403, /SECRET_ACCESS_KEY is wrong/],
  ["InvalidAccessKeyId", 403, /knows no PDS_BLOBSTORE_S3_ACCESS_KEY_ID "key"/],
  ["PermanentRedirect", 301, /another region/],
  ["InvalidToken", 400, /AWS_SESSION_TOKEN/],
])("S3BlobStore.check() refuses %s, and says what is wrong", async (code, status, words) => {
  await using bucket = new MemoryBucket();
  await using folder = new Fixture();
  const { store } = storeOn(bucket, folder);
  bucket.fail = () => s3Error(status, code);
  await expect(store.check()).rejects.toThrow(words);
});

test.each([
  ["a bucket that answers", () => undefined, 0],
  ["a bucket in trouble", () => s3Error(500, "InternalError"), 1],
  ["a bucket that does not answer", never, 1],
  ["a key that may not list", () => s3Error(403, "AccessDenied"), 1],
])("S3BlobStore.check() lets a server start on %s", async (_name, fail, warned) => {
  await using bucket = new MemoryBucket();
  await using folder = new Fixture();
  const { store, warnings } = storeOn(bucket, folder, fail === never ? IMPATIENT : {});
  bucket.fail = fail;
  await store.check();
  expect(warnings.length).toBe(warned);
});
