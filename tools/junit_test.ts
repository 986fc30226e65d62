import { expect, test } from "bun:test";
import { tallyJunit } from "./junit.ts";

const report = (tests: number, failures: number, skipped = 0) =>
  `<?xml version="1.0"?><testsuites name="bun test" tests="${tests}" assertions="9" failures="${failures}" skipped="${skipped}" time="1">`;

test.each([
  ["all pass", report(5, 0), 0, { passed: 5, failed: 0, skipped: 0 }],
  ["some fail", report(5, 2), 1, { passed: 3, failed: 2, skipped: 0 }],
  ["a skipped test is no pass", report(5, 0, 1), 0, { passed: 4, failed: 1, skipped: 0 }],
  ["a file that did not load", report(4, 0), 1, { passed: 4, failed: 1, skipped: 0 }],
  ["no report at all", "", 1, { passed: 0, failed: 1, skipped: 0 }],
  ["killed", "", null, { passed: 0, failed: 1, skipped: 0 }],
])("tallyJunit() of %s", (_title, xml, exitCode, expected) => {
  expect(tallyJunit(xml, exitCode)).toEqual(expected);
});

test("tallyJunit() counts skipped tests apart where they may be skipped", () => {
  expect(tallyJunit(report(5, 1, 2), 1, { maySkip: true })).toEqual({ passed: 2, failed: 1, skipped: 2 });
});
