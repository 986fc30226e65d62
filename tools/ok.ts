/** `bun run ok`: everything fast, in order; stops at the first failure. */
import { type Check, runCheck, STATIC_CHECKS } from "./checks.ts";

const STEPS: readonly Check[] = [
  ...STATIC_CHECKS,
  { name: "unit tests", command: ["bun", "test", "--timeout", "60000", "./src", "./tools", "./bench"] },
];

for (const step of STEPS) {
  const { ok, seconds, output } = runCheck(step);
  if (!ok) {
    console.error(output);
    console.error(`FAIL ${step.name} (${seconds.toFixed(1)} s): ${step.command.join(" ")}`);
    process.exit(1);
  }
  console.log(`ok   ${step.name} (${seconds.toFixed(1)} s)`);
}
