/**
 * `bun run test [filter]...`: the static checks, the unit tests beside the source, then every file under tests/, each in
 * a process of its own. Prints one line a step and, last, `N passed, N failed`. With filters only the test files
 * whose path contains one of them are run, and no static check.
 */
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCheck, STATIC_CHECKS } from "./checks.ts";
import { chromiumProblem } from "./chromium.ts";
import { type Tally, tallyJunit } from "./junit.ts";
import { installReference } from "./reference.ts";

/** One test may take this long; those that need more say so themselves. */
const TEST_TIMEOUT_MS = 120_000;
/** A test process that hangs beyond this is killed and counts as failed. */
const PROCESS_TIMEOUT_MS = 900_000;
/** Those that crash the server as often as they are told to may take longer. */
const CRASH_PROCESS_TIMEOUT_MS = 7_200_000;
/** End-to-end files at once; what measures (restart, crash, scale) or has a browser runs alone. */
const PARALLEL_MAX = 2;

/** Of ports for what is started again on its own: a range for each of those (tests/ports.ts). */
const PORTS_FIRST = 10_000;
const PORTS_EACH = 3_000;

/** These drive a real browser, and wait for its pages as a person would: alone. */
const BROWSER_TESTS = "./tests/browser/";
/** These have the reference PDS as a peer. */
const REFERENCE_TESTS = "./tests/reference/";

const CRASH_TESTS = "./tests/crash/";

const ROOT = join(import.meta.dir, "..");
/** Where the shared test vectors are, no test may be left out; a plain clone has none of them, and says so. */
const HAS_VECTORS = existsSync(join(ROOT, "../shared/vectors"));

interface Step {
  readonly name: string;
  readonly files: readonly string[];
}

/** Test files below a folder, as paths from the root that `bun test` takes for paths, not for filters. */
function testFiles(folder: string): string[] {
  return [...new Bun.Glob("**/*_test.ts").scanSync({ cwd: join(ROOT, folder) })]
    .filter((path) => !path.includes("node_modules"))
    .map((path) => `./${folder}/${path.replaceAll("\\", "/")}`)
    .sort();
}

async function runTests(step: Step, reports: string, lane = 0): Promise<Tally> {
  const report = join(reports, `${step.name.replaceAll(/[^a-z0-9]+/gi, "_")}.xml`);
  const log = `${report}.log`;
  // Into a file: a process that a test has left behind would hold a pipe open for ever.
  const output = openSync(log, "a");
  const started = performance.now();
  const run = Bun.spawn(
    [
      process.execPath,
      "test",
      `--timeout=${TEST_TIMEOUT_MS}`,
      "--reporter=junit",
      `--reporter-outfile=${report}`,
      ...step.files,
    ],
    {
      cwd: ROOT,
      env: { ...process.env, KITH_TEST_PORTS: portsOf(lane) },
      stdin: "ignore",
      stdout: output,
      stderr: output,
      timeout: timeoutOf(step),
    },
  );
  const exitCode = await run.exited;
  closeSync(output);
  const tally = tallyJunit(readReport(report), exitCode, { maySkip: !HAS_VECTORS });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const state = tally.failed === 0 ? "ok  " : "FAIL";
  if (tally.failed > 0) console.log(readFileSync(log, "utf8"));
  console.log(`${state} ${step.name} (${tally.passed} passed, ${tally.failed} failed, ${seconds} s)`);
  return tally;
}

function portsOf(lane: number): string {
  const first = PORTS_FIRST + lane * PORTS_EACH;
  return `${first}-${first + PORTS_EACH - 1}`;
}

function timeoutOf({ files }: Step): number {
  return files.some((file) => file.startsWith(CRASH_TESTS)) ? CRASH_PROCESS_TIMEOUT_MS : PROCESS_TIMEOUT_MS;
}

function readReport(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** Runs the steps with at most `parallel` at once; the tallies in any order. */
async function runAll(steps: readonly Step[], reports: string, parallel: number): Promise<Tally[]> {
  const waiting = [...steps];
  const tallies: Tally[] = [];
  const runLane = async (lane: number) => {
    for (let step = waiting.shift(); step; step = waiting.shift())
      tallies.push(await runTests(step, reports, lane));
  };
  await Promise.all(Array.from({ length: parallel }, (_, lane) => runLane(lane)));
  return tallies;
}

function runChecks(): Tally[] {
  return STATIC_CHECKS.map((check) => {
    const { ok, seconds, output } = runCheck(check);
    if (!ok) console.log(output);
    console.log(`${ok ? "ok  " : "FAIL"} ${check.name} (${seconds.toFixed(1)} s)`);
    return ok ? { passed: 1, failed: 0, skipped: 0 } : { passed: 0, failed: 1, skipped: 0 };
  });
}

/** A failure is told; the tests that miss the reference then fail by themselves. */
async function prepareReference(): Promise<void> {
  const started = performance.now();
  const problem = await installReference().catch((error: unknown) => error);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(problem ? `FAIL install the reference PDS: ${problem}` : `ok   reference PDS (${seconds} s)`);
}

/** The whole run does without the tests that want Chromium where there is none, and says so; who asks for them gets the failure. */
function withoutBrowserTests(paths: readonly string[]): string[] {
  const problem = chromiumProblem();
  if (problem === undefined) return [...paths];
  console.log(`not run: tests/browser, as ${problem}`);
  return paths.filter((path) => !path.startsWith(BROWSER_TESTS));
}

async function main(filters: readonly string[]): Promise<number> {
  const wanted = (path: string) => filters.length === 0 || filters.some((filter) => path.includes(filter));
  const unit = ["src", "tools", "bench"].flatMap(testFiles).filter(wanted);
  const one = (path: string): Step => ({ name: path.slice(2), files: [path] });
  const found = testFiles("tests").filter(wanted);
  const system = filters.length === 0 ? withoutBrowserTests(found) : found;
  const alone = system.filter((path) => /^\.\/tests\/(browser|crash|scale)\/|restart_test/.test(path));
  const together = system.filter((path) => !alone.includes(path));
  const reports = mkdtempSync(join(tmpdir(), "kith-reports-"));
  try {
    const tallies = filters.length === 0 ? runChecks() : [];
    if (system.some((path) => path.startsWith(REFERENCE_TESTS))) await prepareReference();
    if (unit.length > 0) tallies.push(await runTests({ name: "unit tests", files: unit }, reports));
    tallies.push(...(await runAll(together.map(one), reports, PARALLEL_MAX)));
    tallies.push(...(await runAll(alone.map(one), reports, 1)));
    const passed = tallies.reduce((sum, tally) => sum + tally.passed, 0);
    const failed = tallies.reduce((sum, tally) => sum + tally.failed, 0);
    const skipped = tallies.reduce((sum, tally) => sum + tally.skipped, 0);
    if (skipped > 0)
      console.log(
        `${skipped} tests need the shared test vectors, which this checkout does not have beside it`,
      );
    if (passed + failed === 0) console.log(`no test file has "${filters.join('" or "')}" in its path`);
    console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
    return failed === 0 && passed > 0 ? 0 : 1;
  } finally {
    rmSync(reports, { recursive: true, force: true });
  }
}

process.chdir(ROOT);
process.exit(await main(process.argv.slice(2)));
