/**
 * A second way below the server: `strace` meets the system calls themselves, also those that the runtime makes without libc, which the
 * shim (fault_disk.c) does not see. It kills the process as a call begins, or lets the call fail.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { within } from "../wait.ts";

export interface CallFault {
  /** System calls that are alike, such as unlink and unlinkat. */
  readonly calls: readonly string[];
  /** Of a thread's calls with one of these paths the first one. */
  readonly paths: readonly string[];
  /** The name of an error, or "KILL". */
  readonly how: string;
}

/** Why it cannot be used here, in words. */
export function tracerProblem(): string | undefined {
  const tried = Bun.which("strace") ? Bun.spawnSync(["strace", "-o", "/dev/null", "true"]) : undefined;
  if (!tried) return "there is no strace";
  return tried.success ? undefined : `strace may not trace: ${tried.stderr.toString().trim()}`;
}

export class Tracer implements AsyncDisposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "kith-trace-"));
  readonly #process: Bun.Subprocess<"ignore", "ignore", "pipe">;

  private constructor(pid: number, { calls, paths, how }: CallFault) {
    const fault = how === "KILL" ? "signal=KILL" : `error=${how}`;
    const names = calls.join(",");
    const wanted = ["-e", `trace=${names}`, "-e", `inject=${names}:${fault}:when=1`];
    const only = paths.flatMap((path) => ["-P", path]);
    const command = [
      "strace",
      "-f",
      "-p",
      String(pid),
      "-o",
      join(this.#folder, "trace"),
      ...wanted,
      ...only,
    ];
    this.#process = Bun.spawn(command, { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  }

  /** Resolves once every thread of the process is watched. */
  static async attach(pid: number, fault: CallFault): Promise<Tracer> {
    const tracer = new Tracer(pid, fault);
    await within("strace to attach", tracer.#attached());
    return tracer;
  }

  async #attached(): Promise<void> {
    let text = "";
    for await (const bytes of this.#process.stderr) {
      text += new TextDecoder().decode(bytes);
      if (/ attached/.test(text)) return;
    }
    throw new Error(`strace ended: ${text}`);
  }

  /** Lets go of the process; whether it met the call. */
  async detach(): Promise<boolean> {
    this.#process.kill("SIGINT");
    await within("strace to end", this.#process.exited);
    return /INJECTED|= \?|killed by SIGKILL/.test(readFileSync(join(this.#folder, "trace"), "utf8"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGINT");
    await this.#process.exited;
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
