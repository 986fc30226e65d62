/**
 * The drill worker: restores, and verifies. Started by backup_features.ts for backup/drill_worker.ts; in a compiled binary it is an entry
 * of its own (tools/build.ts).
 */
import { BackupError } from "./backup/backup_error.ts";
import type { DrillReply } from "./backup/drill_messages.ts";
import { type DrillSetup, runDrill } from "./backup/run_drill.ts";
import { isKithError } from "./errors.ts";
import { folderCheck } from "./folder_check.ts";

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
  runDrill({ setup, check: folderCheck(), now: Date.now, onFatal: fail, onProgress }).then(
    (result) => say({ result }),
    fail,
  );
};
