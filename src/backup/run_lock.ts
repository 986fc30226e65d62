/**
 * Keeps two runs from writing to one destination, which could remove what the other relies on. Each writes a lock of its own, then looks
 * whether there is another: of two that begin at once both may refuse, never none. A lock is renewed while its run lives, and
 * counts as left behind once it was not for a while.
 */
import { randomBytes } from "node:crypto";
import { z } from "zod";
import { BackupError } from "./backup_error.ts";
import type { Destination } from "./destination.ts";

const LOCKS_FOLDER = "locks/";
/** Not renewed for so long, a lock was left behind. */
export const LOCK_LIFETIME_MS = 15 * 60_000;
const RENEW_MS = 60_000;
/** A run whose lock could not be renewed for so long removes nothing any more. */
const LEASE_MS = LOCK_LIFETIME_MS / 3;

const schema = z.object({ host: z.string(), process: z.number(), at: z.string() });

export interface RunLockOptions {
  readonly host: string;
  readonly now: () => number;
  /** Monotonic milliseconds. */
  readonly elapsed?: () => number;
  /** For tests: how often it is renewed. */
  readonly renewMs?: number;
}

/** Those of this process: another one with its number is of a process that had it before, as in a container that was begun anew. */
const held = new Set<string>();

export class RunLock {
  readonly #destination: Destination;
  readonly #name = `${LOCKS_FOLDER}${randomBytes(8).toString("hex")}`;
  readonly #options: RunLockOptions;
  readonly #elapsed: () => number;
  #timer: ReturnType<typeof setInterval> | undefined;
  #renewedAt: number;
  /** Those that are under way. */
  #renewals: Promise<unknown> = Promise.resolve();

  private constructor(destination: Destination, options: RunLockOptions) {
    this.#destination = destination;
    this.#options = options;
    this.#elapsed = options.elapsed ?? (() => performance.now());
    this.#renewedAt = this.#elapsed();
  }

  /** Throws BackupError locked where another run holds the destination. Locks that were left behind are removed. */
  static async take(destination: Destination, options: RunLockOptions): Promise<RunLock> {
    // Looked at first, so that most refusals write nothing.
    await refuseOthers(destination, { ...options, own: undefined });
    const lock = new RunLock(destination, options);
    held.add(lock.#name);
    try {
      await lock.#write();
      await refuseOthers(destination, { ...options, own: lock.#name });
    } catch (error) {
      await lock.release();
      throw error;
    }
    lock.#timer = setInterval(() => {
      lock.#renewals = Promise.all([lock.#renewals, lock.#write().catch(() => {})]);
    }, options.renewMs ?? RENEW_MS);
    lock.#timer.unref?.();
    return lock;
  }

  /** Throws BackupError locked where the lock may not be ours any more: before anything is removed. */
  assertHeld(): void {
    if (this.#elapsed() - this.#renewedAt < LEASE_MS) return;
    throw new BackupError(
      "locked",
      `Could not go on in "${this.#destination.where}": the lock could not be renewed for ${LEASE_MS / 60_000} minutes`,
      {
        hint: "The destination did not answer meanwhile. Begin again: what was written is not written again.",
      },
    );
  }

  async release(): Promise<void> {
    clearInterval(this.#timer);
    // One that is on its way would put it back.
    await this.#renewals;
    // What cannot be removed now is left behind, and counts so after a while.
    await this.#destination.remove(this.#name).catch(() => {});
    held.delete(this.#name);
  }

  async #write(): Promise<void> {
    const begunAt = this.#elapsed();
    const { host, now } = this.#options;
    const lock = { host, process: process.pid, at: new Date(now()).toISOString() };
    await this.#destination.put(this.#name, Buffer.from(`${JSON.stringify(lock)}\n`));
    this.#renewedAt = begunAt;
  }
}

async function refuseOthers(
  destination: Destination,
  { own, host, now }: RunLockOptions & { own: string | undefined },
): Promise<void> {
  for await (const { name, at: writtenAt } of destination.list(LOCKS_FOLDER)) {
    if (name === own) continue;
    const bytes = await destination.get(name);
    if (!bytes) continue;
    const lock = parse(bytes) ?? { host: "?", process: 0, at: new Date(writtenAt).toISOString() };
    // Also one from the future: a clock was set back since.
    const isLeft =
      Math.abs(now() - Date.parse(lock.at)) > LOCK_LIFETIME_MS || isGone({ ...lock, name }, host);
    if (isLeft) {
      await destination.remove(name);
      continue;
    }
    throw new BackupError(
      "locked",
      `Could not begin in "${destination.where}": process ${lock.process} on "${lock.host}" is writing a backup there`,
      {
        hint: `Wait until it has ended. If it is gone, its lock is ignored ${LOCK_LIFETIME_MS / 60_000} minutes after ${lock.at}.`,
      },
    );
  }
}

/** A process of this machine that is not there any more. */
function isGone(lock: { name: string; host: string; process: number }, host: string): boolean {
  if (lock.host !== host || lock.process <= 0) return false;
  if (lock.process === process.pid) return !held.has(lock.name);
  try {
    process.kill(lock.process, 0);
    return false;
  } catch (error) {
    return (error as { code?: unknown }).code === "ESRCH";
  }
}

function parse(bytes: Uint8Array): z.infer<typeof schema> | undefined {
  try {
    const found = schema.safeParse(JSON.parse(Buffer.from(bytes).toString()));
    return found.success ? found.data : undefined;
  } catch {
    return undefined;
  }
}
