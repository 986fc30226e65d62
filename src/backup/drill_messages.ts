/** What the drill worker says to the server's thread. */
import type { RestoreProgress } from "./restore_report.ts";
import type { DrillAnswer } from "./run_drill.ts";
import type { WorkerFailure } from "./worker_messages.ts";

export type DrillReply =
  | { readonly progress: RestoreProgress }
  | { readonly result: DrillAnswer }
  | { readonly failure: WorkerFailure };
