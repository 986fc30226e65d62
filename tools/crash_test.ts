import { expect, test } from "bun:test";
import { lastLine } from "./crash.ts";

const LINES = [
  { kind: "kills", runs: 300, answered: 20_000, commits: 21_000 },
  { kind: "steps", runs: 40, answered: 3, commits: 4 },
  { kind: "steps", runs: 60, answered: 0, commits: 0 },
];

test("lastLine() sums up by kind, with the seed to repeat it", () => {
  expect(lastLine(LINES, { isGood: true, seed: "7" })).toBe(
    "400 crashes (300 kills, 100 steps), 20003 answered writes: 0 lost, 0 doubled, 0 seqs reused; KITH_TEST_SEED=7 repeats it",
  );
});

test("lastLine() claims nothing where a test failed", () => {
  expect(lastLine(LINES, { isGood: false, seed: "7" })).toContain("a test failed");
});
