import { expect, test } from "bun:test";
import { CACHE_BYTES_MAX, Clients, DOCUMENT_BYTES_MAX } from "./clients.ts";

/** A megabyte of these takes thirty as objects. */
const BOMB = Buffer.from(`[${"{},".repeat(DOCUMENT_BYTES_MAX / 3 - 2)}{}]`);

function addressOf(index: number): string {
  return `https://app-${index}.example.org/client.json`;
}

test("what strangers' documents take in memory is bounded by their bytes, however many there are", async () => {
  const fetched: string[] = [];
  const clients = new Clients({
    safeFetch: async (url) => {
      fetched.push(url);
      return { status: 200, headers: new Headers({ "content-type": "application/json" }), url, body: BOMB };
    },
  });
  const ask = (index: number) => clients.find(addressOf(index)).catch(() => {});
  Bun.gc(true);
  const before = process.memoryUsage().heapUsed;
  const kept = Math.floor(CACHE_BYTES_MAX / BOMB.byteLength);
  for (let index = 0; index <= kept; index++) await ask(index);
  Bun.gc(true);
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(CACHE_BYTES_MAX);
  fetched.length = 0;
  await ask(kept);
  await ask(1);
  expect(fetched).toEqual([]);
  // The first has made room for the last.
  await ask(0);
  expect(fetched).toEqual([addressOf(0)]);
});
