/** Gives memory back to the system when a server that was busy has come to rest: for the runtime itself sees no hurry. */

/** So long nothing is asked before, and so often it is looked. Open files rest a little earlier (storage/_resting_files.ts). */
const IDLE_MS = 1_500;
const LOOK_MS = 250;
/** Fewer requests leave too little behind for a collection, which takes some 20 ms. */
const REQUESTS_MIN = 100;

export interface IdleMemoryOptions {
  /** Requests that were answered, and that are under way. */
  readonly requests: { readonly answered: number; readonly underWay: number };
  /** Collects what is garbage and gives free pages back; it may block. */
  readonly collect?: () => void;
  /** Milliseconds that only rise. */
  readonly now?: () => number;
}

export class IdleMemory {
  readonly #options: Required<IdleMemoryOptions>;
  readonly #timer: ReturnType<typeof setInterval>;
  /** Requests that had been answered: at the last look, and at the last collection. */
  #seen = 0;
  #collectedAt = 0;
  #idleSince: number;

  constructor(options: IdleMemoryOptions) {
    this.#options = { collect: () => Bun.gc(true), now: () => performance.now(), ...options };
    this.#idleSince = this.#options.now();
    this.#timer = setInterval(() => this.look(), LOOK_MS);
    this.#timer.unref?.();
  }

  look(): void {
    const { requests, collect, now } = this.#options;
    const { answered, underWay } = requests;
    if (answered !== this.#seen || underWay > 0) {
      this.#seen = answered;
      this.#idleSince = now();
      return;
    }
    if (answered - this.#collectedAt < REQUESTS_MIN || now() - this.#idleSince < IDLE_MS) return;
    this.#collectedAt = answered;
    collect();
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
