/** What bounds blobs: how long an unused one is kept, how many bytes an account has, which types are taken. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { type Answer, xrpc } from "../client.ts";
import { S3Server, s3Env } from "../s3_server.ts";
import { type Stage, useStage } from "../stage.ts";
import { waitFor } from "../wait.ts";

const COLLECTION = "dev.kith.test.file";
const QUOTA = 1_000_000;

interface BlobRef {
  readonly ref: { readonly $link: string };
}

function upload(stage: Stage, body: Uint8Array, headers: Record<string, string> = {}): Promise<Answer> {
  return xrpc(stage.url, "com.atproto.repo.uploadBlob", {
    token: stage.alice.accessJwt,
    body,
    headers: { "content-type": "application/octet-stream", ...headers },
  });
}

function write(
  stage: Stage,
  name: "createRecord" | "deleteRecord",
  input: Record<string, unknown>,
): Promise<Answer> {
  return xrpc(stage.url, `com.atproto.repo.${name}`, {
    token: stage.alice.accessJwt,
    body: { repo: stage.alice.did, collection: COLLECTION, ...input },
  });
}

describe.each(["disk", "s3"] as const)("unused blobs (%s)", (store) => {
  let s3: S3Server | undefined;
  beforeAll(async () => {
    if (store === "s3") s3 = await S3Server.start();
  });
  afterAll(async () => {
    await s3?.[Symbol.asyncDispose]();
  });
  const holder = useStage({
    env: () => ({ KITH_BLOB_TEMP_LIFETIME_MS: "1500", ...(s3 ? s3Env(s3.url) : {}) }),
  });
  /** The names of all blobs that the store has. */
  const stored = (stage: Stage): string[] =>
    s3
      ? s3.keys().map((key) => key.split("/").at(-1) ?? "")
      : readdirSync(join(stage.server.folder, "blobs"), { recursive: true, encoding: "utf8" })
          .map((name) => name.split("/").at(-1) ?? "")
          .filter((name) => name.startsWith("bafk"));

  test("an upload that no record refers to goes, one that a record has stays", async () => {
    const { stage } = holder;
    // Within the lifetime, which a machine that stands still may pass in between.
    const used = await waitFor("a record with its blob", async () => {
      const { blob } = (await upload(stage, randomBytes(1_000))).json;
      const { status } = await write(stage, "createRecord", { record: { $type: COLLECTION, used: blob } });
      return status === 200 && (blob as BlobRef);
    });
    const unused = await waitFor("a blob without one", async () => {
      const blob = (await upload(stage, randomBytes(1_000))).json.blob as BlobRef;
      return stored(stage).includes(blob.ref.$link) && blob;
    });
    await waitFor("the unused blob to go", () => !stored(stage).includes(unused.ref.$link));
    expect(stored(stage)).toContain(used.ref.$link);
    const late = await write(stage, "createRecord", { record: { $type: COLLECTION, unused } });
    expect([late.status, late.error]).toEqual([400, "BlobNotFound"]);
    const params = { did: stage.alice.did, cid: used.ref.$link };
    expect((await xrpc(stage.url, "com.atproto.sync.getBlob", { params })).status).toBe(200);
  });

  test("it goes also after the server was killed, and a file without a row with it", async () => {
    const { stage } = holder;
    const unused = (await upload(stage, randomBytes(1_000))).json.blob as BlobRef;
    await stage.server.kill();
    await stage.server.start();
    await waitFor("the unused blob to go", () => !stored(stage).includes(unused.ref.$link));
  });
});

describe("the quota", () => {
  const holder = useStage({ env: { KITH_BLOB_QUOTA_BYTES: String(QUOTA) } });

  test("holds for all of an account, is freed with its blobs, and says what is used and allowed", async () => {
    const { stage } = holder;
    const first = await upload(stage, randomBytes(600_000));
    expect(first.status).toBe(200);
    const made = await write(stage, "createRecord", {
      rkey: "first",
      record: { $type: COLLECTION, file: first.json.blob },
    });
    expect(made.status).toBe(200);
    const over = await upload(stage, randomBytes(400_001));
    expect([over.status, over.error]).toEqual([413, "QuotaExceeded"]);
    expect(String(over.json.message)).toContain(`600000 of the ${QUOTA} bytes`);
    expect((await upload(stage, randomBytes(400_000))).status).toBe(200);
    expect((await upload(stage, randomBytes(1))).status).toBe(413);
    await stage.server.kill();
    await stage.server.start();
    expect((await upload(stage, randomBytes(1))).status).toBe(413);
    expect((await write(stage, "deleteRecord", { rkey: "first" })).status).toBe(200);
    expect((await upload(stage, randomBytes(500_000))).status).toBe(200);
  });

  test("holds for what comes at the same time, with no length declared", async () => {
    const { stage } = holder;
    const bob = await stage.account("bobby");
    const chunked = async () => {
      let left = 8;
      const body = new ReadableStream<Uint8Array>({
        pull: (sender) => (left-- > 0 ? sender.enqueue(randomBytes(50_000)) : sender.close()),
      });
      const answer = await fetch(`${stage.url}/xrpc/com.atproto.repo.uploadBlob`, {
        method: "POST",
        body,
        headers: { authorization: `Bearer ${bob.accessJwt}`, "content-type": "application/octet-stream" },
      });
      return answer.status;
    };
    const statuses = await Promise.all(Array.from({ length: 6 }, chunked));
    const taken = statuses.filter((status) => status === 200).length;
    expect(taken).toBeLessThanOrEqual(2);
    expect(statuses.filter((status) => status !== 200 && status !== 413)).toEqual([]);
  });
});

describe("the allowed types", () => {
  const holder = useStage({ env: { KITH_BLOB_TYPES: "image/*, video/mp4" } });
  const png = Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), randomBytes(50)]);
  const page = Buffer.from("<html><script>alert(1)</script>");

  test.each([
    ["image/png", png, 200],
    ["*/*", png, 200],
    ["text/html", png, 400],
    ["image/png", page, 400],
    ["application/octet-stream", page, 400],
  ])("%s", async (type, bytes, status) => {
    const { stage } = holder;
    const answer = await upload(stage, bytes, { "content-type": type });
    expect([answer.status, answer.error]).toEqual([status, status === 200 ? undefined : "InvalidMimeType"]);
  });
});

describe("the default limit", () => {
  const holder = useStage();
  test("is 100 MiB, and clients are told", async () => {
    const { stage } = holder;
    const { json } = await xrpc(stage.url, "com.atproto.server.describeServer");
    expect(json.blobUploadLimit).toBe(104_857_600);
  });
});
