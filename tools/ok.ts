/** `bun run ok`: everything fast, in order; stops at the first failure. */
const STEPS: readonly (readonly [string, readonly string[]])[] = [
  ["format and lint", ["bunx", "biome", "check", "--error-on-warnings", "."]],
  ["types", ["bunx", "tsc", "--noEmit"]],
  ["layers", ["bun", "tools/check_imports.ts"]],
  ["tidy", ["bun", "tools/tidy.ts"]],
  ["unit tests", ["bun", "test", "./src", "./tools"]],
];

for (const [name, command] of STEPS) {
  const started = performance.now();
  const run = Bun.spawnSync([...command], { stdout: "pipe", stderr: "pipe" });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  if (run.exitCode !== 0) {
    console.error(run.stdout.toString());
    console.error(run.stderr.toString());
    console.error(`FAIL ${name} (${seconds} s): ${command.join(" ")}`);
    process.exit(1);
  }
  console.log(`ok   ${name} (${seconds} s)`);
}
