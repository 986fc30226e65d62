/** Reads the count of tests from a JUnit report as `bun test --reporter=junit` writes it. */
export interface Tally {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/**
 * The tally of one `bun test` process. A report that is missing, or a bad exit code that no failed test explains
 * (a file that did not load, a crash, a timeout), counts as one failure; a skipped test counts as failed too, unless `maySkip`.
 */
export function tallyJunit(xml: string, exitCode: number | null, { maySkip = false } = {}): Tally {
  const root = /<testsuites\b[^>]*>/.exec(xml)?.[0] ?? "";
  const number = (name: string) => Number(new RegExp(`\\b${name}="(\\d+)"`).exec(root)?.[1] ?? 0);
  const skipped = maySkip ? number("skipped") : 0;
  const bad = number("failures") + number("errors") + number("skipped") - skipped;
  const passed = Math.max(0, number("tests") - bad - skipped);
  const unexplained = bad === 0 && (exitCode !== 0 || root === "") ? 1 : 0;
  return { passed, failed: bad + unexplained, skipped };
}
