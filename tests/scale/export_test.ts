/** A repo of 10,000 records: written by applyWrites, exported whole, judged, and not held in memory while it goes out. */
import { expect, test } from "bun:test";
import { createAccount, repoCar, xrpc } from "../client.ts";
import { KEY_TYPES, TestServer } from "../harness.ts";
import { judgeRepo } from "../judges.ts";
import { applyCreates, BULK, fillRepo, largestDuring, scaled } from "./load.ts";

const RECORDS = scaled(10_000);
const RECORD_BYTES = 3_000;
const EXPORTS_AT_ONCE = 6;
/** What exports may add to the server's memory, however many run: buffers of streams, no repo. */
const GROWTH_BYTES_MAX = 64 * 1024 * 1024;
const LIMIT_MS = 300_000;

test.each([...KEY_TYPES])(
  `${RECORDS} records by applyWrites, then getRepo (%s)`,
  async (keyType) => {
    await using server = await TestServer.start({ env: { PDS_ACCOUNT_KEY_TYPE: keyType } });
    const alice = await createAccount(server.url, "alice");
    await fillRepo(server.url, alice, { records: RECORDS, bytes: RECORD_BYTES });
    const car = await repoCar(server.url, alice.did);
    const repo = await judgeRepo(car, alice.did, alice.didKey);
    expect(repo.records.size).toBe(RECORDS);

    const drain = async () => {
      const answer = await fetch(`${server.url}/xrpc/com.atproto.sync.getRepo?did=${alice.did}`);
      let bytes = 0;
      for await (const chunk of answer.body!) bytes += chunk.length;
      expect(bytes).toBe(car.length);
    };
    for (let i = 0; i < 2; i += 1) await drain();
    const before = server.memory();
    const peak = await largestDuring(
      () => server.memory(),
      () => Promise.all(Array.from({ length: EXPORTS_AT_ONCE }, drain)),
    );
    const megabytes = (bytes: number) => `${(bytes / 1_000_000).toFixed(0)} MB`;
    console.log(
      `CAR ${megabytes(car.length)}, memory ${megabytes(before)} before, ${megabytes(peak)} at most`,
    );
    expect(peak - before).toBeLessThan(GROWTH_BYTES_MAX);
  },
  LIMIT_MS,
);

test(
  "a reader who stops in the middle of an export costs no memory and blocks no write",
  async () => {
    await using server = await TestServer.start();
    const alice = await createAccount(server.url, "alice");
    const $type = BULK;
    for (let i = 0; i < 20; i += 1)
      await applyCreates(
        server.url,
        alice,
        Array.from({ length: 200 }, (_, n) => ({ $type, n, text: "x".repeat(RECORD_BYTES) })),
      );
    const before = server.memory();
    const stopped = await Promise.all(
      Array.from({ length: 10 }, async () => {
        const answer = await fetch(`${server.url}/xrpc/com.atproto.sync.getRepo?did=${alice.did}`);
        const reader = answer.body!.getReader();
        await reader.read();
        return reader;
      }),
    );
    await applyCreates(server.url, alice, [{ $type, text: "while others read" }]);
    await xrpc(server.url, "com.atproto.sync.getLatestCommit", { params: { did: alice.did } });
    expect(server.memory() - before).toBeLessThan(GROWTH_BYTES_MAX);
    for (const reader of stopped) await reader.cancel();
    await judgeRepo(await repoCar(server.url, alice.did), alice.did, alice.didKey);
  },
  LIMIT_MS,
);
