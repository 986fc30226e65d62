import { KithError } from "../errors.ts";

/** Requests that may wait for a slot. */
export const SLOT_WAITERS_MAX = 1_000;
/** A request that waits so long is refused as busy. */
export const SLOT_TIMEOUT_MS = 15_000;
/** Who waits looks again so often for what can make room. */
const LOOK_AGAIN_MS = 1_000;

export interface OpenSlotsOptions {
  /** How many repos may be open. */
  readonly max: number;
  /** How many are, those being closed included. */
  used(): number;
  /** Called when somebody begins to wait, and again while somebody does: closes what can be closed. */
  makeRoom(): void;
}

/** The places for open repos: bounded, and given first come first served. */
export class OpenSlots {
  readonly #options: OpenSlotsOptions;
  readonly #waiters = new Set<() => void>();
  /** Given to callers whose repo does not count as open yet. */
  #reserved = 0;

  constructor(options: OpenSlotsOptions) {
    this.#options = options;
  }

  /** How many requests wait. */
  get waiting(): number {
    return this.#waiters.size;
  }

  /** Resolves when a slot is reserved for the caller, who releases it in any case. Throws "busy" past the bound or the time. */
  async take(did: string): Promise<void> {
    const action = `Could not open the repo "${did}"`;
    if (this.#waiters.size >= SLOT_WAITERS_MAX) {
      throw new KithError("busy", `${action}: ${SLOT_WAITERS_MAX} requests wait already`);
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      this.#waiters.delete(resolve);
      const hint = "Raise KITH_OPEN_REPOS_MAX, and the limit on open files with it";
      reject(new KithError("busy", `${action}: all ${this.#options.max} open ones are in use`, { hint }));
    }, SLOT_TIMEOUT_MS);
    this.#waiters.add(resolve);
    this.give();
    const look = (): void => {
      if (this.#waiters.has(resolve)) this.#options.makeRoom();
    };
    look();
    const lookAgain = setInterval(look, LOOK_AGAIN_MS);
    try {
      await promise;
    } finally {
      clearInterval(lookAgain);
      clearTimeout(timer);
    }
  }

  /** To be called once the caller's repo counts as open, or where it will not be opened. */
  release(): void {
    this.#reserved--;
    this.give();
  }

  /** Gives what is free to those who wait. */
  give(): void {
    for (const resolve of this.#waiters) {
      if (this.#options.used() + this.#reserved >= this.#options.max) return;
      this.#give(resolve);
    }
  }

  /** Lets everybody who waits go on, at a stop: they look, and are refused. */
  giveAll(): void {
    for (const resolve of this.#waiters) this.#give(resolve);
  }

  #give(resolve: () => void): void {
    this.#waiters.delete(resolve);
    this.#reserved++;
    resolve();
  }
}
