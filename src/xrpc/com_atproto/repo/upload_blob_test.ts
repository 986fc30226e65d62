import { expect, test } from "bun:test";
import { cidOfRaw, cidToString } from "../../../atproto/mod.ts";
import { KithError } from "../../../errors.ts";
import { callerOf } from "../../calls_fixture.ts";
import type { AccountView } from "../repo_access.ts";
import { uploadBlobMethod } from "./upload_blob.ts";

const NSID = "com.atproto.repo.uploadBlob";
const ALICE = "did:plc:alice";
const PNG = Buffer.from("\x89PNG\r\n\x1a\n and more", "latin1");
const NOW_MS = 1_795_000_000_000;

const accounts: AccountView[] = [
  { did: ALICE, handle: "alice.test", state: "active" },
  { did: "did:plc:sleep", handle: "sleep.test", state: "deactivated" },
  { did: "did:plc:down", handle: "down.test", state: "takendown" },
];

/** The method over a blob store in memory; `storeBytesMax` makes its disk full. */
function setUp({
  storeBytesMax = Number.POSITIVE_INFINITY,
  stored = 0,
  quotaBytes,
  types,
}: {
  storeBytesMax?: number;
  stored?: number;
  quotaBytes?: number;
  types?: string[];
} = {}) {
  let storedBytes = stored;
  const kept: { did: string; mimeType: string; size: number; createdAt: number }[] = [];
  const uploads: { discarded: number; chunks: number }[] = [];
  const begin = async () => {
    const parts: Uint8Array[] = [];
    const upload = { discarded: 0, chunks: 0 };
    uploads.push(upload);
    return {
      write: async (chunk: Uint8Array) => {
        upload.chunks += 1;
        parts.push(chunk.slice());
        if (Buffer.concat(parts).length > storeBytesMax)
          throw new KithError("storage_full", "The disk is full");
      },
      finish: async () => {
        const bytes = Buffer.concat(parts);
        return { cid: cidOfRaw(bytes), size: bytes.length, head: bytes.subarray(0, 64) };
      },
      discard: async () => {
        upload.discarded += 1;
      },
    };
  };
  const method = uploadBlobMethod({
    accounts: { byIdentifier: (did) => accounts.find((account) => account.did === did) },
    blobs: { begin },
    quotaBytes,
    types,
    repos: {
      read: async (_did, read) => read({ blobBytes: () => storedBytes }),
      keepBlob: async (did, { row: { mimeType, size, createdAt } }) => {
        kept.push({ did, mimeType, size, createdAt });
        storedBytes += size;
        return mimeType;
      },
    },
    blobBytesMax: 100_000,
    now: () => NOW_MS,
  });
  return { call: callerOf([method]), kept, uploads };
}

test("uploadBlob keeps the bytes and answers with a blob of the sniffed type", async () => {
  const { call, kept, uploads } = setUp();
  const answer = await call({ nsid: NSID, as: ALICE, bytes: PNG, headers: { "content-type": "*/*" } });
  expect(answer.status).toBe(200);
  expect(answer.body).toEqual({
    blob: {
      $type: "blob",
      ref: { $link: cidToString(cidOfRaw(PNG)) },
      mimeType: "image/png",
      size: PNG.length,
    },
  });
  expect(kept).toEqual([{ did: ALICE, mimeType: "image/png", size: PNG.length, createdAt: NOW_MS }]);
  expect(uploads[0]?.discarded).toBe(0);
});

test("uploadBlob undoes a content encoding", async () => {
  const { call, kept } = setUp();
  const headers = { "content-type": "image/png", "content-encoding": "gzip" };
  expect((await call({ nsid: NSID, as: ALICE, bytes: Bun.gzipSync(PNG), headers })).status).toBe(200);
  expect(kept[0]?.size).toBe(PNG.length);
});

test("uploadBlob takes blobs of an account that moves in", async () => {
  const { call } = setUp();
  expect((await call({ nsid: NSID, as: "did:plc:sleep", bytes: PNG })).status).toBe(200);
});

const gzipBomb = Bun.gzipSync(new Uint8Array(1_000_000));

test.each([
  [
    "a declared length over the limit",
    { headers: { "content-length": "100001" } },
    413,
    "PayloadTooLarge",
    0,
  ],
  ["more bytes than the limit", { bytes: new Uint8Array(100_001) }, 413, "PayloadTooLarge", 1],
  ["a bomb", { bytes: gzipBomb, headers: { "content-encoding": "gzip" } }, 413, "PayloadTooLarge", 1],
  ["fewer bytes than declared", { headers: { "content-length": "99" } }, 400, "InvalidRequest", 1],
  ["a length that is no number", { headers: { "content-length": "many" } }, 400, "InvalidRequest", 0],
  ["broken compression", { headers: { "content-encoding": "gzip" } }, 400, "InvalidRequest", 1],
  ["an unknown compression", { headers: { "content-encoding": "lzw" } }, 415, "UnsupportedMediaType", 0],
  ["an account that is taken down", { as: "did:plc:down" }, 401, "AccountTakedown", 0],
  ["an account that is not here", { as: "did:plc:none" }, 403, "AccountNotFound", 0],
])("uploadBlob refuses %s and leaves nothing", async (_name, call, status, error, discarded) => {
  const { call: send, kept, uploads } = setUp();
  const answer = await send({ nsid: NSID, as: ALICE, bytes: PNG, ...call });
  expect(answer.body).toMatchObject({ error });
  expect(answer.status).toBe(status);
  expect(kept).toEqual([]);
  expect(uploads.map((upload) => upload.discarded)).toEqual(discarded ? [1] : []);
});

test("uploadBlob says 503 where the disk is full, and leaves nothing", async () => {
  const { call, uploads } = setUp({ storeBytesMax: 4 });
  const answer = await call({ nsid: NSID, as: ALICE, bytes: PNG });
  expect(answer).toMatchObject({ status: 503, body: { error: "NotEnoughResources" } });
  expect(uploads[0]?.discarded).toBe(1);
});

test("uploadBlob leaves room for others where one account's uploads trickle in", async () => {
  const { call } = setUp();
  const senders: ReadableStreamDefaultController<Uint8Array>[] = [];
  const trickle = () => new ReadableStream<Uint8Array>({ start: (sender) => void senders.push(sender) });
  const begun = Array.from({ length: 32 }, () => call({ nsid: NSID, as: ALICE, bytes: trickle() }));
  expect(await call({ nsid: NSID, as: ALICE, bytes: PNG })).toMatchObject({
    status: 503,
    body: { error: "NotEnoughResources" },
  });
  expect((await call({ nsid: NSID, as: "did:plc:sleep", bytes: PNG })).status).toBe(200);
  for (const sender of senders) sender.close();
  expect((await Promise.all(begun)).map(({ status }) => status)).toEqual(begun.map(() => 200));
  expect((await call({ nsid: NSID, as: ALICE, bytes: PNG })).status).toBe(200);
});

test("uploadBlob hands the body on in chunks", async () => {
  const { call, uploads } = setUp();
  let sent = 0;
  const bytes = new ReadableStream<Uint8Array>({
    pull: (controller) => {
      if (sent++ < 10) controller.enqueue(new Uint8Array(5_000));
      else controller.close();
    },
  });
  expect((await call({ nsid: NSID, as: ALICE, bytes })).status).toBe(200);
  expect(uploads[0]?.chunks).toBe(10);
});

const QUOTA = { status: 413, body: { error: "QuotaExceeded" } };
/** The bytes without a length declared. */
const streamed = (...sizes: number[]) =>
  new ReadableStream<Uint8Array>({
    start: (sender) => {
      for (const size of sizes) sender.enqueue(new Uint8Array(size));
      sender.close();
    },
  });

test.each([
  ["a declared length that does not fit", { headers: { "content-length": "501" } }, 0],
  ["more bytes than fit", { bytes: streamed(400, 101) }, 1],
])("uploadBlob refuses %s, and says how much is used and allowed", async (_name, call, begun) => {
  const { call: send, kept, uploads } = setUp({ stored: 500, quotaBytes: 1_000 });
  const answer = await send({ nsid: NSID, as: ALICE, bytes: PNG, ...call });
  expect(answer).toMatchObject(QUOTA);
  expect(JSON.stringify(answer.body)).toMatch(/uses \d+ of the 1000 bytes/);
  expect([kept, uploads.length]).toEqual([[], begun]);
  expect(uploads.map(({ discarded }) => discarded)).toEqual(begun ? [1] : []);
});

test("uploadBlob fills the quota to its last byte, and counts what it has kept", async () => {
  const { call } = setUp({ stored: 500, quotaBytes: 1_000 });
  const send = (bytes: ReadableStream<Uint8Array>) => call({ nsid: NSID, as: ALICE, bytes });
  expect((await send(streamed(300))).status).toBe(200);
  expect(await send(streamed(201))).toMatchObject(QUOTA);
  expect((await send(streamed(200))).status).toBe(200);
  expect(await send(streamed(1))).toMatchObject(QUOTA);
});

test("uploadBlob counts what comes at the same time", async () => {
  const { call, kept } = setUp({ quotaBytes: 1_000 });
  const answers = await Promise.all(
    Array.from({ length: 5 }, () => call({ nsid: NSID, as: ALICE, bytes: streamed(200, 200) })),
  );
  const size = kept.reduce((sum, row) => sum + row.size, 0);
  expect(size).toBeLessThanOrEqual(1_000);
  expect(answers.filter(({ status }) => status === 200).length).toBe(kept.length);
  expect(answers.filter(({ status }) => status === 413).length).toBe(5 - kept.length);
  expect((await call({ nsid: NSID, as: ALICE, bytes: streamed(1_000 - size) })).status).toBe(
    size < 1_000 ? 200 : 413,
  );
});

const HTML = Buffer.from("<html><script>");
test.each([
  ["image/png", PNG, ["image/*"], 200],
  ["image/png; charset=x", PNG, ["image/png"], 200],
  ["*/*", PNG, ["image/*"], 200],
  ["application/octet-stream", PNG, ["image/*"], 200],
  ["IMAGE/PNG", PNG, ["image/*"], 200],
  ["text/html", PNG, ["image/*"], 400],
  ["image/png", HTML, ["image/*"], 400],
  ["*/*", HTML, ["image/*"], 400],
  ["image/svg+xml", HTML, ["image/png"], 400],
  ["text/vtt", HTML, ["image/*", "text/vtt"], 200],
  ["video/mp4", PNG, ["video/mp4"], 400],
])(
  "uploadBlob of %s with other bytes or the same, where some types are allowed",
  async (type, bytes, types, status) => {
    const { call, kept } = setUp({ types });
    const answer = await call({ nsid: NSID, as: ALICE, bytes, headers: { "content-type": type } });
    expect([answer.status, (answer.body as { error?: string }).error]).toEqual([
      status,
      status === 200 ? undefined : "InvalidMimeType",
    ]);
    expect(kept.length).toBe(status === 200 ? 1 : 0);
  },
);
