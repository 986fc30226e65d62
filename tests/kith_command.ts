/** Commands of kith, run as an operator runs them. */
import { kithCommand, serverEnv } from "./harness.ts";
import { within } from "./wait.ts";

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly limitMs?: number;
  readonly cwd?: string;
}

const LIMIT_MS = 120_000;

/** Runs a command to its end. */
export async function runKith(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const child = spawnKith(args, options);
  const [out, err, code] = await within(
    `kith ${args.join(" ")}`,
    Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]),
    options.limitMs ?? LIMIT_MS,
  );
  return { code, out, err };
}

/** Starts a command, to be killed while it runs. */
export function spawnKith(args: readonly string[], { env, cwd }: RunOptions = {}) {
  return Bun.spawn(kithCommand(...args), {
    ...(cwd === undefined ? {} : { cwd }),
    env: serverEnv(env),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
}
