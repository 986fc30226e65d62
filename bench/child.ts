/** Runs a script of this folder in a process of its own: it is given JSON, and prints its answer as the last line. */
import { join } from "node:path";

export async function runChild<T>(script: string, input: unknown): Promise<T> {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, script), JSON.stringify(input)], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  const text = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) throw new Error(`"${script}" failed: ${text}`);
  return JSON.parse(text.trim().split("\n").at(-1) ?? "") as T;
}

/** What a script was given. */
export function childInput<T>(): T {
  return JSON.parse(process.argv[2] ?? "{}") as T;
}

export function answerAsChild(answer: unknown): void {
  console.log(`\n${JSON.stringify(answer)}`);
}
