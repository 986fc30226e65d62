/** Commands that are killed at a step of theirs on the disk: `kill_at.c`, compiled, which runs them and counts their system calls. */
import { mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** What a shell says of a process that SIGKILL has ended. */
export const KILLED = 137;

export interface CommandStep {
  /** Counted from 1. */
  readonly at: number;
  /** As `kill_at.c` calls it: open (of what is made or emptied by it), rename, unlink, mkdir, write, fsync and others. */
  readonly call: string;
  readonly path: string;
}

/** Those that make, move or remove a name. */
const OF_NAMES = new Set(["open", "rename", "unlink", "rmdir", "mkdir", "link"]);

export class StepKiller implements Disposable {
  readonly #scratch = mkdtempSync(join(tmpdir(), "kith-killer-"));
  readonly #program = join(this.#scratch, "kill_at");
  readonly #trace = join(this.#scratch, "trace");

  /** Throws where it cannot be compiled. */
  constructor() {
    const source = join(import.meta.dir, "kill_at.c");
    const compiled = Bun.spawnSync(["cc", "-O1", "-o", this.#program, source]);
    if (!compiled.success) throw new Error(`Could not compile kill_at.c: ${compiled.stderr}`);
  }

  /** Why it cannot be used here, in words. */
  get problem(): string | undefined {
    const tried = Bun.spawnSync(this.command(["true"], { at: 0, folder: this.#scratch }));
    return tried.success ? undefined : `processes may not be traced: ${tried.stderr.toString().trim()}`;
  }

  /** What runs a command, to be killed at a step below the folder; 0: to its end. */
  command(command: readonly string[], { at, folder }: { at: number; folder: string }): string[] {
    return [this.#program, this.#trace, String(at), realpathSync(folder), "--", ...command];
  }

  /** What the last command has done, with the step that it was killed at. */
  steps(): CommandStep[] {
    const lines = readFileSync(this.#trace, "utf8").split("\n").filter(Boolean);
    return lines.map((line) => {
      const [at, call = "", ...path] = line.split(" ");
      return { at: Number(at), call, path: path.join(" ") };
    });
  }

  [Symbol.dispose](): void {
    rmSync(this.#scratch, { recursive: true, force: true });
  }
}

/** Steps of a command at which it is to be killed: of those with names so many, and of all others half as many. All of them where that is 0. */
export function chosenOf(
  steps: readonly CommandStep[],
  choose: (count: number, share: number) => readonly number[],
): CommandStep[] {
  const named = steps.filter(({ call }) => OF_NAMES.has(call));
  const others = steps.filter(({ call }) => !OF_NAMES.has(call));
  const chosen = [
    ...choose(named.length, 1).map((index) => named[index - 1]),
    ...choose(others.length, 0.5).map((index) => others[index - 1]),
  ];
  return chosen.filter((step) => step !== undefined).sort((a, b) => a.at - b.at);
}
