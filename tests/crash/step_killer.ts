/**
 * A command that is killed at a step that it takes on files: `step_killer.c`, which meets the system calls of all of its threads, also those
 * that the runtime makes without libc. A first run without a kill tells the steps.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { kithCommand, serverEnv } from "../harness.ts";
import { within } from "../wait.ts";

export interface FileStep {
  readonly kind: "create" | "mkdir" | "rename" | "link" | "unlink" | "rmdir" | "truncate" | "write" | "sync";
  /** What comes after the folder that is looked at. */
  readonly path: string;
}

export interface Moment {
  /** The number of the step that it is killed at, before it is done; 0: it is not. */
  readonly at: number;
  /** Counted are only steps that have this in their line: "kind path". */
  readonly of?: string;
}

export interface RunToKill extends Moment {
  readonly folder: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface KilledRun {
  /** KILLED where it was. */
  readonly code: number;
  readonly out: string;
  readonly err: string;
  /** Up to the one that it was killed at, which was not done. */
  readonly steps: readonly FileStep[];
}

const LIMIT_MS = 120_000;

/** What a shell says of a process that SIGKILL has ended. */
export const KILLED = 137;

/** Why it cannot be used here, in words. */
export function killerProblem(): string | undefined {
  if (process.platform !== "linux") return "it needs Linux";
  using killer = new StepKiller();
  const command = killer.command("/nowhere", { at: 0 }, ["true"]);
  const tried = Bun.spawnSync(command, { stderr: "pipe" });
  return tried.success ? undefined : `processes may not be traced: ${tried.stderr.toString().trim()}`;
}

export class StepKiller implements Disposable {
  readonly #scratch = mkdtempSync(join(tmpdir(), "kith-steps-"));
  readonly #trace = join(this.#scratch, "trace");
  readonly #program = join(this.#scratch, "step_killer");

  constructor() {
    const source = join(import.meta.dir, "step_killer.c");
    const compiled = Bun.spawnSync(["cc", "-O1", "-o", this.#program, source]);
    if (!compiled.success) throw new Error(`Could not compile step_killer.c: ${compiled.stderr}`);
  }

  /** What runs a command, to be killed at a step on what begins with the folder's path. */
  command(folder: string, { at, of = "" }: Moment, command: readonly string[]): string[] {
    return [this.#program, folder, String(at), of, this.#trace, ...command];
  }

  /** Runs a command of kith, and kills it at a step on what begins with the folder's path. */
  async run(args: readonly string[], { folder, env, ...moment }: RunToKill): Promise<KilledRun> {
    const child = Bun.spawn(this.command(folder, moment, kithCommand(...args)), {
      env: serverEnv(env),
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [out, err, code] = await within(
      `kith ${args.join(" ")}`,
      Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]),
      LIMIT_MS,
    );
    return { code, out, err, steps: this.steps() };
  }

  /** Those of the last command. */
  steps(): FileStep[] {
    const lines = readFileSync(this.#trace, "utf8").split("\n").filter(Boolean);
    return lines.map((line) => {
      const [kind, ...path] = line.split(" ");
      return { kind: kind as FileStep["kind"], path: path.join(" ") };
    });
  }

  [Symbol.dispose](): void {
    rmSync(this.#scratch, { recursive: true, force: true });
  }
}
