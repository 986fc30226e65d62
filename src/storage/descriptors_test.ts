import { expect, test } from "bun:test";
import { boundOpenRepos, descriptorLimit } from "./descriptors.ts";

test("descriptorLimit() reads the soft limit, and knows when it is not told", () => {
  const limits =
    "Limit    Soft Limit   Hard Limit   Units\nMax open files            1024                 4096                 files\n";
  expect(descriptorLimit(limits)).toBe(1_024);
  expect(
    descriptorLimit("Max open files            unlimited            unlimited            files"),
  ).toBeUndefined();
  expect(descriptorLimit("")).toBeUndefined();
});

test.each([
  [256, 20_000, 256],
  [256, 1_024, 128],
  [10_000, 20_000, 4_872],
  [256, 100, 1],
  [256, undefined, 256],
])("boundOpenRepos() of %d under %p descriptors is %d", (wanted, limit, bound) => {
  expect(boundOpenRepos(wanted, limit)).toBe(bound);
});
