import { expect, test } from "bun:test";
import { IdSet } from "./id_set.ts";

test("IdSet has the ids that were added, and no others", () => {
  const ids = [1, 2, 7, 8, 65_535, 65_536, 65_543, 2 ** 33 + 5];
  const set = new IdSet();
  for (const id of ids) expect(set.add(id)).toBe(true);
  for (const id of ids) expect(set.add(id)).toBe(false);
  expect(set.size).toBe(ids.length);
  for (const id of ids) expect(set.has(id)).toBe(true);
  for (const id of [0, 3, 9, 65_534, 65_537, 2 ** 33 + 6, 2 ** 40]) expect(set.has(id)).toBe(false);
});
