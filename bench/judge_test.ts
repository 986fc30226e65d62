import { expect, test } from "bun:test";
import { judgeRow } from "./judge.ts";
import type { RowInfo, Sample } from "./rows.ts";

const RATE: RowInfo = {
  id: "r",
  title: "R",
  unit: "1/s",
  better: "higher",
  goal: { kind: "times", atLeast: 10 },
};
const NO_LIMITS = new Map<string, number>();

function samples(values: readonly number[], rest: Omit<Sample, "value"> = {}): Sample[] {
  return values.map((value) => ({ value, ...rest }));
}

test("a row is judged by the median of its rounds' ratios", () => {
  const result = judgeRow(
    RATE,
    { reference: samples([100, 200, 100]), kith: samples([1_000, 1_900, 2_000]) },
    NO_LIMITS,
  );
  expect(result.ratio).toEqual({ min: 9.5, median: 10, max: 20 });
  expect(result).toMatchObject({ basis: "value", met: true });
  expect(result.series.kith?.value).toEqual({ min: 1_000, median: 1_900, max: 2_000 });
});

test("where the client has more than half a core, CPU for an operation counts", () => {
  const reference = samples([100], { cpuMs: 10, clientCores: 0.1 });
  const kith = samples([900], { cpuMs: 0.5, clientCores: 0.51 });
  expect(judgeRow(RATE, { reference, kith }, NO_LIMITS)).toMatchObject({ basis: "cpu", met: true });
  const quiet = samples([900], { cpuMs: 0.5, clientCores: 0.5 });
  expect(judgeRow(RATE, { reference, kith: quiet }, NO_LIMITS)).toMatchObject({ basis: "value", met: false });
});

test.each([
  [{ kind: "at-most", value: 2 } as const, 1.9, true],
  [{ kind: "at-most", value: 2 } as const, 2.1, false],
  [{ kind: "at-least", value: 2 } as const, 2.1, true],
  [{ kind: "at-least", value: 2 } as const, 1.9, false],
])("the goal %p and %p: %p", (goal, value, met) => {
  expect(judgeRow({ ...RATE, goal }, { kith: samples([value]) }, NO_LIMITS).met).toBe(met);
});

test("without the reference there is no ratio and no verdict about one", () => {
  const result = judgeRow(RATE, { kith: samples([1]) }, NO_LIMITS);
  expect([result.ratio, result.met]).toEqual([undefined, undefined]);
});

test("a row's share of the limit is the better the larger, whichever way is better", () => {
  const limits = new Map([
    ["rate", 2_000],
    ["ms", 0.5],
  ]);
  const share = (row: RowInfo, value: number) =>
    judgeRow(row, { kith: samples([value]) }, limits).shareOfLimit;
  expect(share({ ...RATE, limit: "rate" }, 1_000)).toBe(0.5);
  expect(share({ ...RATE, better: "lower", limit: "ms" }, 2)).toBe(0.25);
  expect(share({ ...RATE, limit: "unknown" }, 2)).toBeUndefined();
});
