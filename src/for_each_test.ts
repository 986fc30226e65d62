import { expect, test } from "bun:test";
import { forEach } from "./for_each.ts";

test("forEach() begins nothing after a failure, and rejects once nothing runs any more", async () => {
  const begun: number[] = [];
  let running = 0;
  const run = async (item: number): Promise<void> => {
    begun.push(item);
    running += 1;
    // Those beside the one that fails are still at work then.
    for (let turns = 0; turns < (item === 3 ? 1 : 20); turns++) await Promise.resolve();
    running -= 1;
    if (item === 3) throw new Error("it is full");
  };
  const items = Array.from({ length: 100 }, (_, item) => item);
  const failed = await forEach(items, { atOnce: 8 }, run).catch((error: unknown) => error);
  expect([String(failed), running, begun.length]).toEqual(["Error: it is full", 0, 8]);
});
