/** The static checks, in order: what `bun run ok` and `bun run test` both run before any test. */
export interface Check {
  readonly name: string;
  readonly command: readonly string[];
}

export const STATIC_CHECKS: readonly Check[] = [
  { name: "format and lint", command: ["bunx", "biome", "check", "--error-on-warnings", "."] },
  { name: "types", command: ["bunx", "tsc", "--noEmit"] },
  { name: "layers", command: ["bun", "tools/check_imports.ts"] },
  { name: "lexicons", command: ["bun", "tools/lexicons.ts", "--check"] },
  { name: "tidy", command: ["bun", "tools/tidy.ts"] },
];

export interface CheckResult {
  readonly ok: boolean;
  readonly seconds: number;
  /** Both streams of the command, for showing when it failed. */
  readonly output: string;
}

/** Runs one check from the project's root and waits for its end. */
export function runCheck(check: Check): CheckResult {
  const started = performance.now();
  const run = Bun.spawnSync([...check.command], { stdout: "pipe", stderr: "pipe" });
  const seconds = (performance.now() - started) / 1000;
  return { ok: run.exitCode === 0, seconds, output: `${run.stdout.toString()}${run.stderr.toString()}` };
}
