/**
 * The backup worker: reading, packing, sealing and sending, beside the server's thread. Started by backup_worker.ts; in a compiled
 * binary it is an entry of its own (tools/build.ts).
 */
import { isKithError } from "../errors.ts";
import { BackupEngine } from "./backup_engine.ts";
import { BackupError } from "./backup_error.ts";
import { removeLeftCopies } from "./copy_files.ts";
import type { WorkerFailure, WorkerReply, WorkerRequest } from "./worker_messages.ts";

declare const self: Worker;

// The executable begins with a policy for starts (tools/build.ts).
Bun.unsafe.setJITPolicy(1);

let engine: BackupEngine | undefined;

async function run(id: number, request: WorkerRequest): Promise<Extract<WorkerReply, { result: unknown }>> {
  const running = (): BackupEngine => {
    if (!engine) throw new Error("The backup worker was not set up");
    return engine;
  };
  switch (request.op) {
    case "setup":
      removeLeftCopies(request.setup.paths.tmp);
      engine = new BackupEngine({ setup: request.setup, now: Date.now });
      return { id, result: undefined };
    case "cancelSnapshots":
      engine?.stopSnapshots();
      return { id, result: undefined };
    case "cancel":
      await engine?.stop();
      return { id, result: undefined };
    case "ship":
      return { id, result: await running().ship(request.target, request.step) };
    case "snapshot": {
      const say = (reply: WorkerReply) => self.postMessage(reply);
      const result = await running().snapshot(request.target, {
        upTo: request.upTo,
        onProgress: (progress) => say({ id, progress }),
        onCopied: () => say({ id, copied: true }),
      });
      return { id, result };
    }
  }
}

function failureOf(error: unknown): WorkerFailure {
  const { message, stack } = error as { message?: string; stack?: string };
  return {
    message: message ?? String(error),
    code: isKithError(error) ? error.code : undefined,
    problem: error instanceof BackupError ? error.problem : undefined,
    hint: isKithError(error) ? error.hint : undefined,
    stack: isKithError(error) ? undefined : stack,
  };
}

self.onmessage = (event: MessageEvent<{ id: number; request: WorkerRequest }>) => {
  const { id, request } = event.data;
  run(id, request).then(
    (reply) => self.postMessage(reply),
    (error: unknown) => self.postMessage({ id, failure: failureOf(error) } satisfies WorkerReply),
  );
};
