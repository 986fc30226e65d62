/** The server's side of the backup worker. It is started when it is needed; its death fails what it was asked, and nothing else. */
import { KithError } from "../errors.ts";
import type { EngineRun } from "./backup_engine.ts";
import { BackupError } from "./backup_error.ts";
import type { ShipStep } from "./log_shipper.ts";
import type {
  BackupSetup,
  ShipAnswer,
  SnapshotAnswer,
  Target,
  WorkerFailure,
  WorkerReply,
  WorkerRequest,
} from "./worker_messages.ts";

/** How long a stop waits for what is under way. */
const STOP_TIMEOUT_MS = 2_000;

interface Waiter {
  readonly run: EngineRun;
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

export class BackupWorker {
  readonly #setup: () => BackupSetup;
  readonly #waiting = new Map<number, Waiter>();
  #worker: Worker | undefined;
  #lastId = 0;
  #stopped = false;

  /** `setup` is asked for when the worker starts. */
  constructor(setup: () => BackupSetup) {
    this.#setup = setup;
  }

  async snapshot(target: Target, { upTo, ...run }: EngineRun): Promise<SnapshotAnswer> {
    return (await this.#ask({ op: "snapshot", target, upTo }, run)) as SnapshotAnswer;
  }

  async ship(target: Target, step: ShipStep): Promise<ShipAnswer> {
    return (await this.#ask({ op: "ship", target, step })) as ShipAnswer;
  }

  /** Ends snapshots that are under way; the log can be shipped still. */
  async stopSnapshots(): Promise<void> {
    if (this.#worker && !this.#stopped) await this.#ask({ op: "cancelSnapshots" }).catch(() => {});
  }

  /** Ends what is under way: it is refused as shutting_down. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    const worker = this.#worker;
    if (worker) {
      const ended = this.#ask({ op: "cancel" }).catch(() => {});
      await Promise.race([ended, Bun.sleep(STOP_TIMEOUT_MS)]);
    }
    this.#stopped = true;
    worker?.terminate();
    this.#failAll(new KithError("shutting_down", "The backup was ended: the server stops"));
  }

  #ask(request: WorkerRequest, run: EngineRun = {}): Promise<unknown> {
    if (this.#stopped) {
      return Promise.reject(new KithError("shutting_down", "Could not back up: the server stops"));
    }
    const worker = this.#worker ?? this.#start();
    return this.#post(worker, request, run);
  }

  #post(worker: Worker, request: WorkerRequest, run: EngineRun): Promise<unknown> {
    this.#lastId += 1;
    const id = this.#lastId;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { run, resolve, reject });
      worker.postMessage({ id, request });
    });
  }

  #start(): Worker {
    const worker = new Worker(new URL("./_backup_worker.ts", import.meta.url), { ref: false });
    this.#worker = worker;
    const die = (why: string) => {
      if (this.#worker !== worker) return;
      this.#worker = undefined;
      if (!this.#stopped) this.#failAll(new Error(`The backup worker ${why}`));
    };
    worker.onmessage = (event: MessageEvent<WorkerReply>) => this.#settle(event.data);
    worker.onerror = (event) => {
      die(`failed: ${event.message}`);
      worker.terminate();
    };
    worker.addEventListener("close", () => die("ended"));
    void this.#post(worker, { op: "setup", setup: this.#setup() }, {}).catch(() => {});
    return worker;
  }

  #settle(reply: WorkerReply): void {
    const waiter = this.#waiting.get(reply.id);
    if (!waiter) return;
    if ("progress" in reply) return void waiter.run.onProgress?.(reply.progress);
    if ("copied" in reply) return void waiter.run.onCopied?.();
    this.#waiting.delete(reply.id);
    if ("failure" in reply) waiter.reject(errorOf(reply.failure));
    else waiter.resolve(reply.result);
  }

  #failAll(error: Error): void {
    const all = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const waiter of all) waiter.reject(error);
  }
}

function errorOf({ message, code, problem, hint, stack }: WorkerFailure): Error {
  const hinted = hint === undefined ? {} : { hint };
  if (problem !== undefined) return new BackupError(problem, message, hinted);
  if (code !== undefined) return new KithError(code, message, hinted);
  return Object.assign(new Error(message), stack === undefined ? {} : { stack });
}
