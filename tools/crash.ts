/**
 * `bun run test:crash [filter]...`: the tests of tests/crash, as many crashes as they are told to, and those of the relay. The last line sums them up:
 * each answered write that was lost, each event that came twice and each seq that was given again would have failed one of them.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "..");
const TESTS = ["tests/crash/", "tests/reference/relay"];
const SEED = "20261121";
/** How many of each; any of them may be set. */
const COUNTS = {
  KITH_TEST_KILLS: "300",
  KITH_TEST_CUTS: "800",
  // All of most operations; of the thousands that lead to a checkpoint those that the seed picks.
  KITH_TEST_STEPS: "150",
  KITH_TEST_DISK_ERRORS: "200",
  KITH_TEST_WORKER_DEATHS: "60",
  KITH_TEST_LOSSES: "20",
  KITH_TEST_RESTORE_STEPS: "40",
};

export interface Tallied {
  readonly kind: string;
  readonly runs: number;
  readonly answered: number;
  readonly commits: number;
}

/** The lines of a tally, where each of a kind is a test; those of the same kind are added up. */
export function sumUp(lines: readonly Tallied[]): { runs: number; answered: number; kinds: string } {
  const kinds = new Map<string, number>();
  for (const { kind, runs } of lines) kinds.set(kind, (kinds.get(kind) ?? 0) + runs);
  const sum = (of: (line: Tallied) => number) => lines.reduce((total, line) => total + of(line), 0);
  return {
    runs: sum(({ runs }) => runs),
    answered: sum(({ answered }) => answered),
    kinds: [...kinds].map(([kind, runs]) => `${runs} ${kind}`).join(", "),
  };
}

export function lastLine(
  lines: readonly Tallied[],
  { isGood, seed }: { isGood: boolean; seed: string },
): string {
  const { runs, answered, kinds } = sumUp(lines);
  const verdict = isGood ? "0 lost, 0 doubled, 0 seqs reused" : "a test failed: see above";
  return `${runs} crashes (${kinds}), ${answered} answered writes: ${verdict}; KITH_TEST_SEED=${seed} repeats it`;
}

async function main(filters: readonly string[]): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "kith-tally-"));
  const file = join(folder, "tally");
  const seed = process.env.KITH_TEST_SEED ?? SEED;
  const env = { ...COUNTS, ...process.env, KITH_TEST_SEED: seed, KITH_TEST_TALLY: file };
  try {
    const wanted = filters.length > 0 ? filters : TESTS;
    const command = [process.execPath, join(ROOT, "tools/test.ts"), ...wanted];
    const code = await Bun.spawn(command, { cwd: ROOT, env, stdio: ["ignore", "inherit", "inherit"] }).exited;
    const text = await Bun.file(file)
      .text()
      .catch(() => "");
    const lines = text
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Tallied);
    console.log(lastLine(lines, { isGood: code === 0, seed }));
    return code;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (import.meta.main) process.exit(await main(process.argv.slice(2)));
