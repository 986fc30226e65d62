import { describe, expect, test } from "bun:test";
import { digits, median, percentile, rangeOf, rangeOfSome, ratiosOf, timesBetter } from "./stats.ts";

describe("percentile()", () => {
  test.each([
    [0.5, 3],
    [0.99, 5],
    [1, 5],
    [0, 1],
    [0.2, 1],
    [0.21, 2],
  ])("%p of 1 to 5 is %p", (share, value) => {
    expect(percentile([4, 1, 5, 3, 2], share)).toBe(value);
  });

  test("of no values is refused", () => {
    expect(() => percentile([], 0.5)).toThrow(RangeError);
  });
});

test("median() is the one in the middle, or the mean of the two", () => {
  expect(median([9, 1, 2])).toBe(2);
  expect(median([9, 1, 2, 4])).toBe(3);
  expect(() => median([])).toThrow(RangeError);
});

test("rangeOf() and rangeOfSome()", () => {
  expect(rangeOf([3, 1, 2])).toEqual({ min: 1, median: 2, max: 3 });
  expect(rangeOfSome([undefined, 4])).toEqual({ min: 4, median: 4, max: 4 });
  expect(rangeOfSome([undefined])).toBeUndefined();
});

test("timesBetter() says how many times better, whichever way is better", () => {
  expect(timesBetter(2_000, 200, "higher")).toBe(10);
  expect(timesBetter(0.5, 5, "lower")).toBe(10);
});

test("ratiosOf() compares what was measured in the same round", () => {
  expect(ratiosOf([20, 40], [2, 8], "higher")).toEqual({ min: 5, median: 7.5, max: 10 });
  expect(ratiosOf([20, undefined], [2, 8], "higher")).toEqual({ min: 10, median: 10, max: 10 });
  expect(ratiosOf([undefined], [8], "higher")).toBeUndefined();
});

test("digits() shows three digits that matter", () => {
  expect([12_345.6, 123.4, 12.34, 1.234, 0.1234, 0.01234].map(digits)).toEqual([
    "12,346",
    "123",
    "12.3",
    "1.23",
    "0.123",
    "0.0123",
  ]);
});
