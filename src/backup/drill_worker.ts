/** The server's side of the drill worker, which lives as long as one drill: restoring and verifying are much work for the processor. */
import { KithError } from "../errors.ts";
import { BackupError } from "./backup_error.ts";
import type { DrillReply } from "./drill_messages.ts";
import type { RestoreProgress } from "./restore_report.ts";
import type { DrillAnswer, DrillSetup } from "./run_drill.ts";
import type { WorkerFailure } from "./worker_messages.ts";

export class DrillWorker {
  readonly #start: () => Worker;
  #worker: Worker | undefined;
  #end: ((error: Error) => void) | undefined;

  /** The worker's code imports more than this folder may. */
  constructor(start: () => Worker) {
    this.#start = start;
  }

  /** One at a time. Throws what the drill throws; KithError shutting_down once it was stopped. */
  async run(setup: DrillSetup, onProgress: (progress: RestoreProgress) => void): Promise<DrillAnswer> {
    const worker = this.#start();
    this.#worker = worker;
    try {
      return await new Promise<DrillAnswer>((resolve, reject) => {
        this.#end = reject;
        worker.onmessage = ({ data }: MessageEvent<DrillReply>) => {
          if ("progress" in data) onProgress(data.progress);
          else if ("result" in data) resolve(data.result);
          else reject(errorOf(data.failure));
        };
        worker.onerror = ({ message }) => reject(new Error(`The drill worker failed: ${message}`));
        worker.addEventListener("close", () => reject(new Error("The drill worker ended")));
        worker.postMessage(setup);
      });
    } finally {
      this.#worker = undefined;
      worker.terminate();
    }
  }

  /** Ends what is under way. What it has in its folder is removed by the next start, or the next drill. */
  stop(): void {
    this.#end?.(new KithError("shutting_down", "The drill was ended: the server stops"));
    this.#worker?.terminate();
  }
}

function errorOf({ message, code, problem, hint, stack }: WorkerFailure): Error {
  const hinted = hint === undefined ? {} : { hint };
  if (problem !== undefined) return new BackupError(problem, message, hinted);
  if (code !== undefined) return new KithError(code, message, hinted);
  return Object.assign(new Error(message), stack === undefined ? {} : { stack });
}
