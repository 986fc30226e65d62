/** `kith migrate` as a child process, as a script drives it: without a terminal, answers by options and the environment. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { kithCommand, serverEnv } from "./harness.ts";

/** An answer is needed: the same command goes on with it. */
export const EXIT_UNANSWERED = 75;

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export interface MigratorOptions {
  readonly plc: string;
  readonly sourcePassword: string;
  readonly targetPassword: string;
  /** Every request goes through it. */
  readonly proxy?: string;
}

export class Migrator implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), "kith-migrate-"));
  readonly #env: Record<string, string | undefined>;
  #child: Bun.Subprocess<"ignore", "pipe", "pipe"> | undefined;

  constructor({ plc, sourcePassword, targetPassword, proxy }: MigratorOptions) {
    this.#env = {
      PDS_PORT: undefined,
      PDS_DID_PLC_URL: plc,
      XDG_STATE_HOME: this.folder,
      KITH_SOURCE_PASSWORD: sourcePassword,
      KITH_TARGET_PASSWORD: targetPassword,
      HTTP_PROXY: proxy,
      http_proxy: proxy,
      NO_PROXY: undefined,
      no_proxy: undefined,
    };
  }

  /** Runs `kith migrate` to its end. */
  async run(args: readonly string[], env: Readonly<Record<string, string | undefined>> = {}): Promise<Ended> {
    const child = Bun.spawn(kithCommand("migrate", ...args), {
      cwd: this.folder,
      env: serverEnv({ ...this.#env, ...env }),
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    this.#child = child;
    const [out, err] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    await child.exited;
    return { code: child.exitCode, out, err };
  }

  /** As `kill -9` does; the run that is on its way ends by it. */
  kill(): void {
    this.#child?.kill("SIGKILL");
  }

  /** What is kept of moves. */
  kept(): string[] {
    try {
      return readdirSync(join(this.folder, "kith/migrations"));
    } catch {
      return [];
    }
  }

  [Symbol.dispose](): void {
    this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
