import { expect, test } from "bun:test";
import { judgeRow } from "./judge.ts";
import { alignColumns, renderTable } from "./report.ts";
import type { RowInfo } from "./rows.ts";

const RATE: RowInfo = {
  id: "reads",
  title: "reads",
  unit: "1/s",
  better: "higher",
  goal: { kind: "times", atLeast: 10 },
  remark: "of one record",
};
const LIMITS = new Map([["limit", 4_000]]);

test("alignColumns() makes columns as wide as their widest cell", () => {
  expect(
    alignColumns([
      ["a", "b"],
      ["long", "c"],
      ["", ""],
    ]),
  ).toBe("a     b\nlong  c\n");
});

test("a row shows its figures, ratio, CPU, the client's share, the goal and the verdict", () => {
  const samples = {
    reference: [{ value: 100, cpuMs: 10, clientCores: 0.1 }],
    kith: [{ value: 2_000, cpuMs: 0.25, clientCores: 0.9 }],
  };
  const text = renderTable([judgeRow({ ...RATE, limit: "limit" }, samples, LIMITS)]);
  const line = text.split("\n")[1]?.split(/ {2,}/);
  expect(line).toEqual([
    "reads",
    "100 / 100 / 100",
    "2,000 / 2,000 / 2,000",
    "1/s",
    "40.0 / 40.0 / 40.0x by CPU",
    "10.0 -> 0.250",
    "0.10 / 0.90",
    "10x",
    "met 50% of the limit",
  ]);
  expect(text).toContain("reads: of one record.");
  expect(text).toContain("does not fsync");
  expect(text).toContain("pads createSession");
});

test("what falls short says so, and what kith alone does has no ratio", () => {
  const short = judgeRow(RATE, { reference: [{ value: 100 }], kith: [{ value: 200 }] }, LIMITS);
  expect(renderTable([short])).toContain("SHORT");
  const alone = judgeRow({ ...RATE, goal: { kind: "at-least", value: 1 } }, { kith: [{ value: 2 }] }, LIMITS);
  expect(renderTable([alone]).split("\n")[1]).toContain("reads");
  expect(renderTable([alone])).toMatch(/>= 1 +met/);
});

test("rows of a family are one line, with what the last step costs", () => {
  const sized = (size: number, cpuMs: number) =>
    judgeRow(
      { ...RATE, goal: undefined, growth: { family: "reads", of: "records", size } },
      { kith: [{ value: 1_000, cpuMs }] },
      LIMITS,
    );
  const text = renderTable([sized(100_000, 0.6), sized(0, 0.4), sized(10_000, 0.5)]);
  expect(text).toMatch(
    /reads, by records +0: 1,000 1\/s \(0.400 ms CPU\) .*100,000: .* +1.20x \(log: 1.25x\)/,
  );
});
