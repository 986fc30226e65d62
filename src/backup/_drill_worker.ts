/** The drill worker. Started by drill_worker.ts; in a compiled binary it is an entry of its own (tools/build.ts). */
import { isKithError } from "../errors.ts";
import { BackupError } from "./backup_error.ts";
import type { DrillReply } from "./drill_messages.ts";
import { type DrillSetup, runDrill } from "./run_drill.ts";

declare const self: Worker;

// The executable begins with a policy for starts (tools/build.ts).
Bun.unsafe.setJITPolicy(1);

function say(reply: DrillReply): void {
  self.postMessage(reply);
}

function fail(error: unknown): void {
  const { message, stack } = error as { message?: string; stack?: string };
  say({
    failure: {
      message: message ?? String(error),
      code: isKithError(error) ? error.code : undefined,
      problem: error instanceof BackupError ? error.problem : undefined,
      hint: isKithError(error) ? error.hint : undefined,
      stack: isKithError(error) ? undefined : stack,
    },
  });
}

self.onmessage = ({ data: setup }: MessageEvent<DrillSetup>) => {
  const onProgress = (progress: Extract<DrillReply, { progress: unknown }>["progress"]) => say({ progress });
  // A disk that failed under the drill's copy says nothing of the server's own.
  runDrill({ setup, now: Date.now, onFatal: fail, onProgress }).then((result) => say({ result }), fail);
};
