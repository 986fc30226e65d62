import { expect, test } from "bun:test";
import { ageOf, durationOf } from "./_duration.ts";

const given = (text: string) => ({ options: { "older-than": text }, rest: [] });

test.each([
  ["0s", 0],
  ["90s", 90_000],
  ["30m", 1_800_000],
  ["12h", 43_200_000],
  ["7d", 604_800_000],
])("durationOf() reads %s", (text, ms) => expect(durationOf(given(text), "older-than", 1)).toBe(ms));

test.each(["30", "m", "-1m", "1.5h", "1w", "1h30m", "9999999s"])("durationOf() refuses %s", (text) =>
  expect(() => durationOf(given(text), "older-than", 1)).toThrow(`not "${text}"`),
);

test.each([
  [0, "0s"],
  [59, "59s"],
  [60, "1m"],
  [61, "1m 1s"],
  [3_600, "1h"],
  [3_661, "1h 1m"],
  [90_000, "1d 1h"],
  [86_460, "1d"],
])("ageOf(%p) is %p", (seconds, words) => expect(ageOf(seconds)).toBe(words));
