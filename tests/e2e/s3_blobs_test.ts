/** A bucket as it is in life: down, slow, refusing, answering nonsense; and a server that is killed in between. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Answer, xrpc } from "../client.ts";
import { runToExit, TestServer } from "../harness.ts";
import { BROKEN_BYTES, FaultyS3, type S3Fault, S3Server, s3Env } from "../s3_server.ts";
import { Stage } from "../stage.ts";
import { waitFor } from "../wait.ts";

const MIB = 1_048_576;
/** What the server's memory may grow by while a blob passes that is larger than this. */
const GROWTH_MAX = 60 * MIB;
const COLLECTION = "dev.kith.test.file";
/** Longer than a busy machine stands still; where the bucket does, nobody wants to wait for so long. */
const PATIENT = {
  PDS_BLOBSTORE_S3_UPLOAD_TIMEOUT_MS: "100000",
  PDS_BLOBSTORE_S3_REQUEST_TIMEOUT_MS: "60000",
};
const HASTY = { PDS_BLOBSTORE_S3_UPLOAD_TIMEOUT_MS: "1500", PDS_BLOBSTORE_S3_REQUEST_TIMEOUT_MS: "1000" };

let s3: S3Server;
let bucket: FaultyS3;
let stage: Stage;

beforeAll(async () => {
  s3 = await S3Server.start();
  bucket = await FaultyS3.start(s3);
  stage = await Stage.open({ env: s3Env(bucket.url, PATIENT) });
});

afterAll(async () => {
  await stage?.[Symbol.asyncDispose]();
  await bucket?.[Symbol.asyncDispose]();
  await s3?.[Symbol.asyncDispose]();
});

const upload = (bytes: Uint8Array): Promise<Answer> =>
  xrpc(stage.url, "com.atproto.repo.uploadBlob", {
    token: stage.alice.accessJwt,
    body: bytes,
    headers: { "content-type": "application/octet-stream" },
  });

const refer = (blob: unknown): Promise<Answer> =>
  xrpc(stage.url, "com.atproto.repo.createRecord", {
    token: stage.alice.accessJwt,
    body: { repo: stage.alice.did, collection: COLLECTION, record: { $type: COLLECTION, blob } },
  });

interface BlobRef {
  ref: { $link: string };
  size: number;
}

async function kept(bytes: Uint8Array): Promise<BlobRef> {
  const answer = await upload(bytes);
  expect(answer.status).toBe(200);
  expect((await refer(answer.json.blob)).status).toBe(200);
  return answer.json.blob as BlobRef;
}

const getBlob = (blob: BlobRef): Promise<Answer> =>
  xrpc(stage.url, "com.atproto.sync.getBlob", { params: { did: stage.alice.did, cid: blob.ref.$link } });

async function restart(times: Readonly<Record<string, string>>): Promise<void> {
  await stage.server.stop();
  for (const [name, value] of Object.entries(times)) stage.server.set(name, value);
  await stage.server.start();
}

/** Does something while the bucket fails. */
async function during<T>(faults: FaultyS3["faults"], act: () => Promise<T>): Promise<T> {
  const stalls = Object.values(faults).some((fault) => fault?.startsWith("stalls"));
  if (stalls) await restart(HASTY);
  bucket.faults = faults;
  try {
    return await act();
  } finally {
    bucket.faults = {};
    if (stalls) await restart(PATIENT);
  }
}

const underWay = (): string[] => {
  const folder = join(stage.server.folder, "blobs", "temp");
  return existsSync(folder) ? readdirSync(folder) : [];
};

describe("blobs in a bucket that fails", () => {
  test.each([
    ["500", 502, "UpstreamFailure"],
    ["503", 503, "NotEnoughResources"],
    ["closes", 502, "UpstreamFailure"],
    ["garbage", 502, "UpstreamFailure"],
    ["stalls", 504, "UpstreamTimeout"],
  ] as [S3Fault, number, string][])(
    "PUT %s: the upload is refused, and nothing stays",
    async (fault, status, error) => {
      const keys = s3.keys();
      const bytes = randomBytes(200_000);
      const { refused, left } = await during({ PUT: fault }, async () => ({
        refused: await upload(bytes),
        left: underWay(),
      }));
      expect([refused.status, refused.error]).toEqual([status, error]);
      expect(String(refused.json.message)).not.toContain(bucket.url);
      expect([s3.keys(), left]).toEqual([keys, []]);
      const missing = await refer((await uploadElsewhere(bytes)).json.blob);
      expect([missing.status, missing.error]).toEqual([400, "BlobNotFound"]);
      const blob = await kept(bytes);
      expect(Buffer.compare((await getBlob(blob)).bytes, bytes)).toBe(0);
    },
  );

  test.each([
    ["HEAD", "500", 502, "UpstreamFailure"],
    ["HEAD", "garbage", 502, "UpstreamFailure"],
    ["HEAD", "stalls", 504, "UpstreamTimeout"],
    ["GET", "503", 503, "NotEnoughResources"],
    ["GET", "garbage", 502, "UpstreamFailure"],
    ["GET", "closes", 502, "UpstreamFailure"],
    ["GET", "stalls", 504, "UpstreamTimeout"],
  ] as [string, S3Fault, number, string][])(
    "%s %s: getBlob says so, and serves it again afterwards",
    async (method, fault, status, error) => {
      const blob = await kept(randomBytes(1_000));
      const failed = await during({ [method]: fault }, () => getBlob(blob));
      expect([failed.status, failed.error]).toEqual([status, error]);
      expect((await getBlob(blob)).status).toBe(200);
    },
  );

  test.each(["cuts-body", "stalls-in-body"] as const)(
    "GET %s: the answer is broken off, and does not look whole",
    async (fault) => {
      const blob = await kept(randomBytes(BROKEN_BYTES));
      const outcome = await during({ GET: fault }, () =>
        getBlob(blob).then(
          (answer) => `whole, ${answer.bytes.length}`,
          () => "broken off",
        ),
      );
      expect(outcome).toBe("broken off");
      expect((await getBlob(blob)).bytes.length).toBe(BROKEN_BYTES);
    },
  );

  test("an object that somebody has removed is BlobNotFound, and a warning", async () => {
    const blob = await kept(randomBytes(1_000));
    s3.remove(`blocks/${stage.alice.did}/${blob.ref.$link}`);
    const answer = await getBlob(blob);
    expect([answer.status, answer.error]).toEqual([400, "BlobNotFound"]);
    await waitFor("the warning", () => stage.server.output.includes("The file of a blob is missing"));
  });

  test("kill -9 in the middle of an upload leaves nothing of it", async () => {
    const keys = s3.keys();
    const bytes = randomBytes(500_000);
    bucket.faults = { PUT: "stalls" };
    bucket.failed.length = 0;
    const cut = upload(bytes).catch(() => undefined);
    await waitFor("the upload to reach the bucket", () => bucket.failed.includes("PUT"));
    await stage.server.kill();
    await cut;
    bucket.faults = {};
    await stage.server.start();
    expect([s3.keys(), underWay()]).toEqual([keys, []]);
    const blob = await kept(bytes);
    expect(Buffer.compare((await getBlob(blob)).bytes, bytes)).toBe(0);
  });

  test("a server starts while its bucket is down, and uses it when it is back", async () => {
    const blob = await kept(randomBytes(1_000));
    await stage.server.stop();
    await s3.stop();
    await stage.server.start();
    await waitFor("the log of it", () =>
      stage.server.output.includes("The bucket for blobs cannot be used now"),
    );
    expect([(await upload(randomBytes(10))).status, (await getBlob(blob)).status]).toEqual([502, 502]);
    await s3.start();
    expect((await getBlob(blob)).status).toBe(200);
    await kept(randomBytes(10));
  });

  test("100 MiB go in and come out without being held in memory", async () => {
    await restart(PATIENT);
    await kept(randomBytes(3 * MIB));
    const bytes = randomBytes(100 * MIB);
    const before = stage.server.memory();
    let peak = 0;
    const sampler = setInterval(() => {
      peak = Math.max(peak, stage.server.memory());
    }, 10);
    const blob = await kept(bytes);
    const served = await getBlob(blob);
    clearInterval(sampler);
    const digest = (value: Uint8Array) => createHash("sha256").update(value).digest("hex");
    expect(digest(served.bytes)).toBe(digest(bytes));
    expect(peak - before).toBeLessThan(GROWTH_MAX);
    expect((await upload(randomBytes(100 * MIB + 1))).status).toBe(413);
  }, 120_000);
});

/** The same bytes at another account: the reference to them is well formed, and not of alice's. */
async function uploadElsewhere(bytes: Uint8Array): Promise<Answer> {
  others += 1;
  const other = await stage.account(`other${others}`);
  return xrpc(stage.url, "com.atproto.repo.uploadBlob", {
    token: other.accessJwt,
    body: bytes,
    headers: { "content-type": "application/octet-stream" },
  });
}
let others = 0;

test("no signature of a request to the bucket is in the log", () => {
  expect(stage.server.output).not.toMatch(/X-Amz-|Signature=/);
});

describe("a bucket that cannot be right", () => {
  test.each([
    [{ PDS_BLOBSTORE_S3_SECRET_ACCESS_KEY: "another secret" }, /PDS_BLOBSTORE_S3_SECRET_ACCESS_KEY is wrong/],
    [{ PDS_BLOBSTORE_S3_BUCKET: "elsewhere" }, /bucket "elsewhere".*there is no such bucket/],
    [{ PDS_BLOBSTORE_DISK_LOCATION: "/nowhere" }, /both set/],
    [{ PDS_BLOBSTORE_S3_ACCESS_KEY_ID: undefined }, /ACCESS_KEY_ID is not: set both or neither/],
  ])("%j stops the start, and says why", async (env, words) => {
    await using strict = await S3Server.start("strict");
    const { code, output } = await runToExit({ env: { ...s3Env(strict.url), ...env } });
    expect(code).toBe(78);
    expect(output).toMatch(words);
    expect(output).not.toContain("another secret");
  });

  test("the secret can be a file, and is shown nowhere", async () => {
    await using strict = await S3Server.start("strict");
    const secret = join(strict.folder, "secret");
    await Bun.write(secret, "S3RVER\n");
    const files = {
      PDS_BLOBSTORE_S3_SECRET_ACCESS_KEY: undefined,
      PDS_BLOBSTORE_S3_SECRET_ACCESS_KEY_FILE: secret,
    };
    await using server = await TestServer.start({ env: { ...s3Env(strict.url), ...files } });
    await waitFor("the log of it", () => server.output.includes('in the bucket "blobs"'));
    rmSync(secret);
  });
});
