/** Blobs: kept from the record that refers to them until the last such record is gone, and served without harm. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { cidForRawBytes } from "@atproto/lex-data";
import { type Account, type Answer, post, xrpc } from "../client.ts";
import { KEY_TYPES } from "../harness.ts";
import { S3Server, s3Env } from "../s3_server.ts";
import { type Stage, useStage } from "../stage.ts";
import { waitFor } from "../wait.ts";

const PROFILE = "app.bsky.actor.profile";
const POST = "app.bsky.feed.post";

/** A PNG of one pixel, made different by what follows its end. */
function png(mark: string, bytes = 0): Uint8Array<ArrayBuffer> {
  const pixel =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
  return Uint8Array.from([...Buffer.from(pixel, "base64"), ...Buffer.from(mark), ...Buffer.alloc(bytes)]);
}

interface Blob {
  $type: "blob";
  ref: { $link: string };
  mimeType: string;
  size: number;
}

async function upload(
  stage: Stage,
  bytes: Uint8Array<ArrayBuffer>,
  type = "image/png",
  account: Account = stage.alice,
): Promise<Blob> {
  const answer = await xrpc(stage.url, "com.atproto.repo.uploadBlob", {
    token: account.accessJwt,
    body: bytes,
    headers: { "content-type": type },
  });
  if (answer.status !== 200)
    throw new Error(`uploadBlob answers ${answer.status} ${JSON.stringify(answer.json)}`);
  return answer.json.blob as unknown as Blob;
}

const getBlob = (stage: Stage, cid: string, did = stage.alice.did) =>
  xrpc(stage.url, "com.atproto.sync.getBlob", { params: { did, cid } });

async function listBlobs(stage: Stage, params: Record<string, string | number> = {}): Promise<string[]> {
  const answer = await xrpc(stage.url, "com.atproto.sync.listBlobs", {
    params: { did: stage.alice.did, ...params },
  });
  expect(answer.status).toBe(200);
  return answer.json.cids as string[];
}

function write(
  stage: Stage,
  nsid: "createRecord" | "putRecord" | "deleteRecord",
  input: Record<string, unknown>,
): Promise<Answer> {
  return xrpc(stage.url, `com.atproto.repo.${nsid}`, {
    token: stage.alice.accessJwt,
    body: { repo: stage.alice.did, collection: POST, ...input },
  });
}

const image = (blob: Blob) => ({ $type: "app.bsky.embed.images", images: [{ alt: "", image: blob }] });

/** Where blobs are kept: every test runs with each. */
const STORES = ["disk", "s3"] as const;

describe.each(KEY_TYPES.flatMap((keyType) => STORES.map((store) => [keyType, store] as const)))(
  "blobs (%s, %s)",
  (keyType, store) => {
    const limit = { PDS_BLOB_UPLOAD_LIMIT: "3000000" };
    let s3: S3Server | undefined;
    beforeAll(async () => {
      if (store === "s3") s3 = await S3Server.start(keyType === "k256" ? "lenient" : "strict");
    });
    afterAll(async () => {
      await s3?.[Symbol.asyncDispose]();
    });
    const holder = useStage({ keyType, env: () => ({ ...limit, ...(s3 ? s3Env(s3.url) : {}) }) });

    test("uploadBlob: answers with CID, size, and the type that the bytes show", async () => {
      const { stage } = holder;
      const bytes = png("sniffed");
      const blob = await upload(stage, bytes, "text/plain");
      const cid = (await cidForRawBytes(bytes)).toString();
      expect(blob).toEqual({ $type: "blob", ref: { $link: cid }, mimeType: "image/png", size: bytes.length });
      expect(
        (await upload(stage, Uint8Array.from(Buffer.from("plain words")), "text/plain")).mimeType,
      ).toMatch(/^text\/plain/);
      expect((await upload(stage, Uint8Array.from(Buffer.from("plain words")), "*/*")).mimeType).not.toBe(
        "*/*",
      );
    });

    test("uploadBlob: the same bytes as another type answer with a blob that a record can refer to", async () => {
      const { stage } = holder;
      const bytes = Uint8Array.from(Buffer.from("words of two types"));
      const put = async (rkey: string, blob: Blob) =>
        (await write(stage, "putRecord", { collection: "dev.kith.test.file", rkey, record: { blob } }))
          .status;
      await upload(stage, bytes, "text/plain");
      const second = await upload(stage, bytes, "text/vtt");
      expect([second.mimeType, await put("second", second)]).toEqual(["text/vtt", 200]);
      const third = await upload(stage, bytes, "text/plain");
      expect([third.mimeType, await put("third", third)]).toEqual(["text/vtt", 200]);
    });

    test("a blob is not served until a record refers to it, and is gone with the last one", async () => {
      const { stage } = holder;
      const bytes = png("life");
      const blob = await upload(stage, bytes);
      const cid = blob.ref.$link;
      expect([(await getBlob(stage, cid)).status, (await getBlob(stage, cid)).error]).toEqual([
        400,
        "BlobNotFound",
      ]);
      expect(await listBlobs(stage)).not.toContain(cid);
      for (const rkey of ["3jzfcijpj2z2a", "3jzfcijpj2z2b"])
        expect(
          (await write(stage, "putRecord", { rkey, record: post(rkey, { embed: image(blob) }) })).status,
        ).toBe(200);
      const served = await getBlob(stage, cid);
      expect(served.status).toBe(200);
      expect(Buffer.compare(served.bytes, bytes)).toBe(0);
      expect(await listBlobs(stage)).toContain(cid);
      expect((await write(stage, "deleteRecord", { rkey: "3jzfcijpj2z2a" })).status).toBe(200);
      expect((await getBlob(stage, cid)).status).toBe(200);
      expect(
        (await write(stage, "putRecord", { rkey: "3jzfcijpj2z2b", record: post("no image") })).status,
      ).toBe(200);
      expect((await getBlob(stage, cid)).error).toBe("BlobNotFound");
      expect(await listBlobs(stage)).not.toContain(cid);
      const refused = await write(stage, "createRecord", {
        record: post("too late", { embed: image(blob) }),
      });
      expect(refused.status).toBe(400);
    });

    test("getBlob: says what it is and keeps browsers from running it", async () => {
      const { stage } = holder;
      const html = Uint8Array.from(Buffer.from("<html><script>alert(1)</script></html>"));
      const blob = await upload(stage, html, "text/html");
      const record = { $type: "dev.kith.test.file", file: blob };
      expect((await write(stage, "createRecord", { collection: "dev.kith.test.file", record })).status).toBe(
        200,
      );
      const served = await getBlob(stage, blob.ref.$link);
      expect(served.headers.get("content-length")).toBe(String(html.length));
      expect(served.headers.get("content-type")).toMatch(/^text\/html/);
      expect(served.headers.get("x-content-type-options")).toBe("nosniff");
      expect(served.headers.get("content-disposition")).toMatch(/^attachment/);
      expect(served.headers.get("content-security-policy")).toMatch(
        /default-src 'none'.*sandbox|sandbox.*default-src 'none'/,
      );
    });

    test("a record may not claim another type or size than the blob has, nor a blob that is not here", async () => {
      const { stage } = holder;
      const blob = await upload(stage, png("claims"));
      const cases: [Blob, string][] = [
        [{ ...blob, mimeType: "image/jpeg" }, "InvalidMimeType"],
        [{ ...blob, size: blob.size + 1 }, "InvalidSize"],
        [
          { ...blob, ref: { $link: "bafkreibme22gw2h7y2h7tg2fhqotaqjucnbc24deqo72b6mkl2egezxhvy" } },
          "BlobNotFound",
        ],
      ];
      for (const [claim, error] of cases) {
        const answer = await write(stage, "createRecord", { record: post("claim", { embed: image(claim) }) });
        expect([answer.status, answer.error]).toEqual([400, error]);
      }
    });

    test("a record may not refer to what its lexicon does not admit: an avatar of the wrong type or of too many bytes", async () => {
      const { stage } = holder;
      const profile = (avatar: Blob) =>
        write(stage, "putRecord", { collection: PROFILE, rkey: "self", record: { $type: PROFILE, avatar } });
      expect((await profile(await upload(stage, png("avatar")))).status).toBe(200);
      expect((await profile(await upload(stage, png("large", 1_100_000)))).status).toBe(400);
      expect(
        (
          await profile(
            await upload(stage, Uint8Array.from(Buffer.from("%PDF-1.4 no image")), "application/pdf"),
          )
        ).status,
      ).toBe(400);
    });

    test("a blob of another account is not one's own", async () => {
      const { stage } = holder;
      const bob = await stage.account("bobby");
      const blob = await upload(stage, png("of bob"), "image/png", bob);
      const answer = await write(stage, "createRecord", { record: post("stolen", { embed: image(blob) }) });
      expect([answer.status, answer.error]).toEqual([400, "BlobNotFound"]);
    });

    test("uploadBlob: refuses more than the limit, announced or not, and nothing stays", async () => {
      const { stage } = holder;
      const bytes = png("over", 3_000_001);
      const announced = await xrpc(stage.url, "com.atproto.repo.uploadBlob", {
        token: stage.alice.accessJwt,
        body: bytes,
        headers: { "content-type": "image/png" },
      });
      expect([announced.status, announced.error]).toEqual([413, "PayloadTooLarge"]);
      let sent = 0;
      const stream = new ReadableStream<Uint8Array>({
        pull(controller) {
          controller.enqueue(new Uint8Array(100_000));
          sent += 100_000;
          if (sent > 6_000_000) controller.close();
        },
      });
      const chunked = await fetch(`${stage.url}/xrpc/com.atproto.repo.uploadBlob`, {
        method: "POST",
        signal: AbortSignal.timeout(10_000),
        body: stream,
        headers: { authorization: `Bearer ${stage.alice.accessJwt}`, "content-type": "image/png" },
      }).catch(() => undefined);
      if (chunked) expect(chunked.status).toBe(413);
      expect((await upload(stage, png("just under", 2_900_000))).size).toBeGreaterThan(2_900_000);
    });

    test("uploadBlob: an upload that is cut off leaves no file behind", async () => {
      const { stage } = holder;
      const files = () =>
        ["tmp", "blobs"].flatMap((folder) => {
          const path = join(stage.server.folder, folder);
          return existsSync(path) ? readdirSync(path, { encoding: "utf8", recursive: true }) : [];
        });
      const before = new Set(files());
      const isNew = (name: string) => !before.has(name);
      const abort = new AbortController();
      const stream = new ReadableStream<Uint8Array>({
        pull(controller) {
          controller.enqueue(new Uint8Array(100_000));
          if (files().some(isNew)) abort.abort();
          return Bun.sleep(1);
        },
      });
      const upload = fetch(`${stage.url}/xrpc/com.atproto.repo.uploadBlob`, {
        method: "POST",
        signal: abort.signal,
        body: stream,
        headers: { authorization: `Bearer ${stage.alice.accessJwt}`, "content-type": "image/png" },
      });
      await upload.then((answer) => expect(answer.status).toBe(413)).catch(() => undefined);
      await waitFor("the file to go", () => !files().some(isNew));
    });

    test("uploadBlob: asks for a token, and takes an empty blob or refuses it clearly", async () => {
      const { stage } = holder;
      const anonymous = await xrpc(stage.url, "com.atproto.repo.uploadBlob", {
        body: png("x"),
        headers: { "content-type": "image/png" },
      });
      expect([anonymous.status, anonymous.error]).toEqual([401, "AuthMissing"]);
      const empty = await xrpc(stage.url, "com.atproto.repo.uploadBlob", {
        method: "POST",
        token: stage.alice.accessJwt,
        body: new Uint8Array(),
        headers: { "content-type": "image/png" },
      });
      expect([200, 400]).toContain(empty.status);
    });

    test("listBlobs: in pages, and only what came after a rev", async () => {
      const { stage } = holder;
      const since = (
        await xrpc(stage.url, "com.atproto.sync.getLatestCommit", { params: { did: stage.alice.did } })
      ).json.rev as string;
      const fresh: string[] = [];
      for (let i = 0; i < 5; i += 1) {
        const blob = await upload(stage, png(`page ${i}`));
        fresh.push(blob.ref.$link);
        expect(
          (await write(stage, "createRecord", { record: post(`page ${i}`, { embed: image(blob) }) })).status,
        ).toBe(200);
      }
      expect((await listBlobs(stage, { since })).sort()).toEqual([...fresh].sort());
      const all: string[] = [];
      for (let cursor: string | undefined = ""; cursor !== undefined; ) {
        const page = await xrpc(stage.url, "com.atproto.sync.listBlobs", {
          params: { did: stage.alice.did, limit: 2, cursor: cursor || undefined },
        });
        expect((page.json.cids as string[]).length).toBeLessThanOrEqual(2);
        all.push(...(page.json.cids as string[]));
        cursor = page.json.cursor as string | undefined;
      }
      expect(all.sort()).toEqual((await listBlobs(stage)).sort());
    });

    test("a large blob comes back whole, and its upload is not held in memory", async () => {
      const { stage } = holder;
      const bytes = png("whole", 2_500_000);
      const blob = await upload(stage, bytes);
      const record = { $type: "dev.kith.test.file", file: blob };
      await write(stage, "createRecord", { collection: "dev.kith.test.file", record });
      const digest = (value: Uint8Array) => createHash("sha256").update(value).digest("hex");
      expect(digest((await getBlob(stage, blob.ref.$link)).bytes)).toBe(digest(bytes));
    });

    test("getBlob: in parts, with an ETag that holds for ever", async () => {
      const { stage } = holder;
      const bytes = png("in parts", 100_000);
      const blob = await upload(stage, bytes);
      const record = { $type: "dev.kith.test.file", file: blob };
      await write(stage, "createRecord", { collection: "dev.kith.test.file", record });
      const params = { did: stage.alice.did, cid: blob.ref.$link };
      const get = (headers: Record<string, string>, method = "GET") =>
        xrpc(stage.url, "com.atproto.sync.getBlob", { params, headers, method });
      const part = await get({ range: "bytes=1-3" });
      expect([part.status, Buffer.from(part.bytes).toString()]).toEqual([206, "PNG"]);
      expect(part.headers.get("content-range")).toBe(`bytes 1-3/${bytes.length}`);
      expect(part.headers.get("content-security-policy")).toContain("sandbox");
      const end = await get({ range: "bytes=-1000" });
      expect([end.status, Buffer.compare(end.bytes, bytes.subarray(-1000))]).toEqual([206, 0]);
      const beyond = await get({ range: `bytes=${bytes.length}-` });
      expect([beyond.status, beyond.headers.get("content-range")]).toEqual([416, `bytes */${bytes.length}`]);
      const etag = part.headers.get("etag") ?? "";
      expect(etag).toBe(`"${blob.ref.$link}"`);
      expect((await get({ range: "bytes=1-3", "if-range": etag })).status).toBe(206);
      const several = await get({ range: "bytes=1-3,5-6" });
      expect([several.status, several.bytes.length]).toEqual([200, bytes.length]);
      expect((await get({ "if-none-match": etag })).status).toBe(304);
      const head = await get({ range: "bytes=1-3" }, "HEAD");
      expect([head.status, head.headers.get("content-length")]).toEqual([200, String(bytes.length)]);
    });

    test("blobs and their references survive kill -9", async () => {
      const { stage } = holder;
      const kept = await upload(stage, png("kept"));
      expect(
        (await write(stage, "createRecord", { record: post("kept", { embed: image(kept) }) })).status,
      ).toBe(200);
      await stage.server.kill();
      await stage.server.start();
      const served = await waitFor("the blob", async () => {
        const answer = await getBlob(stage, kept.ref.$link);
        return answer.status === 200 && answer;
      });
      expect(served.bytes.length).toBe(kept.size);
      expect(await listBlobs(stage)).toContain(kept.ref.$link);
    });
  },
);
