/** What a crash test has come through, told at its end: for people, and for the sum that `bun run test:crash` makes of all (tools/crash.ts). */
import { appendFileSync } from "node:fs";
import type { Scene } from "./scene.ts";

/** What was told of a scene before. */
const told = new WeakMap<Scene, { answered: number; commits: number }>();

/** So many crashes of a kind, in a plural. `scene`: what was at work meanwhile. */
export function tally(kind: string, runs: number, scene?: Scene): void {
  console.log([`${runs} ${kind}`, ...(scene ? [scene.summary] : [])].join(", "));
  const file = process.env.KITH_TEST_TALLY;
  const now = { answered: scene?.answered ?? 0, commits: scene?.auditor.commits ?? 0 };
  const before = scene ? told.get(scene) : undefined;
  if (scene) told.set(scene, now);
  const { answered = 0, commits = 0 } = before ?? {};
  const line = { kind, runs, answered: now.answered - answered, commits: now.commits - commits };
  if (file !== undefined) appendFileSync(file, `${JSON.stringify(line)}\n`);
}
