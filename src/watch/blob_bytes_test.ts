import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BlobBytes } from "./blob_bytes.ts";

const folder = mkdtempSync(join(tmpdir(), "kith-blob-bytes-"));
afterAll(() => rmSync(folder, { recursive: true }));

function put(path: string, bytes: number): void {
  mkdirSync(join(folder, path, ".."), { recursive: true });
  writeFileSync(join(folder, path), new Uint8Array(bytes));
}

test("BlobBytes counts what is there, in the quarantine too, and gives others their turn", async () => {
  for (let at = 0; at < 250; at++) put(`did_plc_${at % 7}/cid${at}`, at);
  put("quarantine/did_plc_a/cid", 1_000);
  let pauses = 0;
  const blobs = new BlobBytes({
    folder,
    pause: async () => {
      pauses += 1;
    },
  });
  expect(blobs.bytes()).toBeUndefined();
  await blobs.count();
  expect([blobs.bytes(), pauses]).toEqual([(249 * 250) / 2 + 1_000, 2]);
});

test("BlobBytes counts again when the last count is an hour old, and answers that meanwhile", async () => {
  let nowMs = 0;
  const blobs = new BlobBytes({ folder, now: () => nowMs });
  await blobs.count();
  const before = blobs.bytes() ?? 0;
  put("did_plc_new/cid", 77);
  nowMs = 3_599_999;
  expect(blobs.bytes()).toBe(before);
  nowMs += 1;
  expect(blobs.bytes()).toBe(before);
  await blobs.count();
  expect(blobs.bytes()).toBe(before + 77);
});

test.each([
  ["in a bucket", undefined, undefined],
  ["in a folder that is not made yet", join(folder, "nothing"), 0],
])("BlobBytes of blobs %s", async (_title, where, bytes) => {
  const blobs = new BlobBytes({ folder: where });
  await blobs.count();
  expect(blobs.bytes()).toBe(bytes);
});

test("BlobBytes.stop() ends a count", async () => {
  const blobs = new BlobBytes({ folder, pause: async () => blobs.stop() });
  await blobs.count();
  expect(blobs.bytes()).toBeUndefined();
});
