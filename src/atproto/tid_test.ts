import { expect, test } from "bun:test";
import { Random } from "../../tests/random.ts";
import { isTid } from "./syntax.ts";
import { nextTid, tidToMicros } from "./tid.ts";

test("nextTid() without a predecessor is the clock's", () => {
  const tid = nextTid(null, 1_780_000_000_000_123, 31);
  expect(isTid(tid)).toBe(true);
  expect(tidToMicros(tid)).toBe(1_780_000_000_000_123);
  expect(tid).toHaveLength(13);
});

test("nextTid() is one microsecond past its predecessor when the clock stands still or goes back", () => {
  const last = nextTid(null, 1000, 1023);
  expect(tidToMicros(nextTid(last, 1000, 0))).toBe(1001);
  expect(tidToMicros(nextTid(last, 5, 0))).toBe(1001);
  expect(tidToMicros(nextTid(last, 2000, 0))).toBe(2000);
});

test("nextTid() sorts strictly upward whatever the clock and the clock id do", () => {
  const random = new Random(1);
  let last: string | null = null;
  for (let i = 0; i < 5000; i++) {
    const next = nextTid(last, 1_700_000_000_000_000 + random.below(2000), random.below(1024));
    if (last !== null) expect(next > last).toBe(true);
    last = next;
  }
});

test("nextTid() refuses what does not fit", () => {
  expect(() => nextTid(null, 2 ** 53, 0)).toThrow(RangeError);
  expect(() => nextTid(null, -1, 0)).toThrow(RangeError);
  expect(() => nextTid(null, 1.5, 0)).toThrow(RangeError);
  expect(() => nextTid(null, 1, 1024)).toThrow(RangeError);
  expect(() => nextTid("jzzzzzzzzzzzz", 1, 0)).toThrow(RangeError);
  expect(() => nextTid("nonsense", 1, 0)).toThrow();
});
