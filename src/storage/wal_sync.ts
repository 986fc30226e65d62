/** Durability of one file: an fdatasync of its -wal in the thread pool, shared by all who wait. */
import { close, fdatasync, openSync } from "node:fs";

/** Told once about a failure after which the process must stop: what is on the disk is unknown. */
export type OnFatal = (error: unknown) => void;

export interface WalSyncOptions {
  readonly onFatal: OnFatal;
  /** For tests: stands in for fdatasync. */
  readonly sync?: () => Promise<void>;
  /** For tests and benchmarks: a slower disk. */
  readonly syncDelayMs?: number;
  /** Frames may stand in the -wal that nobody has synced, as after a start-up. */
  readonly dirty?: boolean;
}

interface Waiter {
  /** The number of commits that must be on the disk. */
  readonly upTo: number;
  resolve(): void;
}

/**
 * One running sync at a time. A sync covers what was committed before it STARTED and nothing later; who waits for what was
 * committed since is served by the next one. Waiters are released in the order in which they came: what follows from a commit
 * never overtakes what follows from an earlier one. After a failure nobody is ever released and nothing is retried: a second
 * fdatasync may succeed and have stored nothing.
 */
export class WalSync {
  readonly #path: string;
  readonly #options: WalSyncOptions;
  #fd: number | undefined;
  #committed: number;
  #durable = 0;
  #waiters: Waiter[] = [];
  /** Resolves when the running sync has ended; undefined while none runs. */
  #running: Promise<void> | undefined;
  #failed = false;

  /** `path` is the -wal file; it is opened at the first sync, by which time SQLite has made it. */
  constructor(path: string, options: WalSyncOptions) {
    this.#path = path;
    this.#options = options;
    this.#committed = options.dirty ? 1 : 0;
  }

  /** To be called after each COMMIT, in the same turn. */
  noteCommit(): void {
    this.#committed += 1;
  }

  /** True where nothing was committed since the last completed sync started. */
  isDurable(): boolean {
    return this.#durable >= this.#committed;
  }

  /** Resolves when everything committed before this call is on the disk; after a failure, never. */
  sync(): Promise<void> {
    if (this.isDurable()) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiters.push({ upTo: this.#committed, resolve });
      if (!this.#running) this.#start();
    });
  }

  #start(): void {
    const covers = this.#committed;
    this.#running = this.#syncOnce().then(
      () => this.#release(covers),
      (error) => this.#fail(error),
    );
  }

  #release(covers: number): void {
    this.#durable = covers;
    this.#running = undefined;
    const later = this.#waiters.findIndex(({ upTo }) => upTo > covers);
    const served = this.#waiters.splice(0, later === -1 ? this.#waiters.length : later);
    if (this.#waiters.length > 0) this.#start();
    for (const { resolve } of served) resolve();
  }

  #fail(error: unknown): Promise<never> {
    if (!this.#failed) this.#options.onFatal(error);
    this.#failed = true;
    return new Promise(() => {});
  }

  async #syncOnce(): Promise<void> {
    if (this.#options.sync) await this.#options.sync();
    else await this.#fdatasync();
    if (this.#options.syncDelayMs) await Bun.sleep(this.#options.syncDelayMs);
  }

  /** Opens the -wal, once SQLite has made it: a failure here is only a refusal, where one at the first sync is fatal. */
  open(): void {
    if (!this.#options.sync) this.#fd ??= openSync(this.#path, "r+");
  }

  #fdatasync(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#fd ??= openSync(this.#path, "r+");
      fdatasync(this.#fd, (error) => (error ? reject(error) : resolve()));
    });
  }

  /** Closes the descriptor once a running sync has ended. The -wal carries no locks, so this is harmless. */
  async close(): Promise<void> {
    while (this.#running && !this.#failed) await this.#running;
    const fd = this.#fd;
    this.#fd = undefined;
    if (fd !== undefined) await new Promise<void>((resolve) => close(fd, () => resolve()));
  }
}
