/** Load on a server from processes of their own; see jobs.ts for what can be asked for. */
import { join } from "node:path";
import type { Job, JobResults, Reply } from "./jobs.ts";

export * from "./jobs.ts";

export class LoadGenerator implements AsyncDisposable {
  readonly #process: Bun.Subprocess<"ignore", "inherit", "inherit">;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #asked = 0;

  constructor() {
    this.#process = Bun.spawn([process.execPath, join(import.meta.dir, "load_process.ts")], {
      stdin: "ignore",
      stdout: "inherit",
      stderr: "inherit",
      ipc: (reply: Reply) => this.#take(reply),
      onExit: () => this.#fail(new Error("The load generator ended")),
    });
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Does one job. Throws Error with the words of what failed: an answer that is not 2xx, a connection that was closed. */
  ask<J extends Job>(job: J): Promise<JobResults[J["kind"]]> {
    const id = ++this.#asked;
    const answer = Promise.withResolvers<unknown>();
    this.#waiting.set(id, answer);
    this.#process.send({ id, job });
    return answer.promise as Promise<JobResults[J["kind"]]>;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.exited;
  }

  #take({ id, result, error }: Reply): void {
    const answer = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) answer?.resolve(result);
    else answer?.reject(new Error(error));
  }

  #fail(error: Error): void {
    for (const answer of this.#waiting.values()) answer.reject(error);
    this.#waiting.clear();
  }
}
