/** Counting in fixed windows of time. Pure: the clock is an argument. */

/** Keys that are counted each for itself; what comes beyond shares the counters below. */
export const KEYS_MAX = 50_000;
/** Counters that the keys share for which there is no room. */
export const SHARED_COUNTERS = 1_024;
/** Windows that have ended are looked for no more often. */
const SWEEP_EVERY_MS = 1_000;

/** What has been used of one window, and when it ends. */
export interface Window {
  used: number;
  readonly endsMs: number;
}

export interface WindowsOptions {
  readonly windowMs: number;
  readonly keysMax?: number;
  /** Where it is secret, nobody can choose keys that share a counter with another's. */
  readonly seed?: number;
}

/**
 * The windows of many keys. A key's window begins with its first request and lasts `windowMs`: two numbers a key, and what
 * is left, and until when, can be told exactly. The price, against a sliding window, is that twice the budget fits into a
 * short time around the end of a window.
 *
 * No window is dropped before its end, so no flood of other keys gives anybody a new one. Where all `keysMax` are taken,
 * new keys share `SHARED_COUNTERS` counters until old windows end.
 */
export class Windows {
  readonly #windowMs: number;
  readonly #keysMax: number;
  readonly #seed: number;
  /** In the order of their ends, since all are of one length. */
  readonly #own = new Map<string, Window>();
  readonly #shared: Window[] = [];
  #sweepFromMs = 0;

  constructor({ windowMs, keysMax = KEYS_MAX, seed = 0 }: WindowsOptions) {
    this.#windowMs = windowMs;
    this.#keysMax = keysMax;
    this.#seed = seed;
  }

  /** Keys with a counter of their own. */
  get size(): number {
    return this.#own.size;
  }

  /** The window of `key` that holds at `nowMs`, a new one if need be. `nowMs` must never go back. */
  at(key: string, nowMs: number): Window {
    const known = this.#own.get(key);
    if (known !== undefined && known.endsMs > nowMs) return known;
    if (known !== undefined) this.#own.delete(key);
    if (nowMs >= this.#sweepFromMs) this.#sweep(nowMs);
    if (this.#own.size >= this.#keysMax) return this.#sharedAt(key, nowMs);
    const window = { used: 0, endsMs: nowMs + this.#windowMs };
    this.#own.set(key, window);
    return window;
  }

  #sweep(nowMs: number): void {
    this.#sweepFromMs = nowMs + Math.min(SWEEP_EVERY_MS, this.#windowMs);
    for (const [key, { endsMs }] of this.#own) {
      if (endsMs > nowMs) return;
      this.#own.delete(key);
    }
  }

  #sharedAt(key: string, nowMs: number): Window {
    const index = hash(key, this.#seed) % SHARED_COUNTERS;
    const known = this.#shared[index];
    if (known !== undefined && known.endsMs > nowMs) return known;
    const window = { used: 0, endsMs: nowMs + this.#windowMs };
    this.#shared[index] = window;
    return window;
  }
}

/** FNV-1a, 32 bits. */
function hash(text: string, seed: number): number {
  let state = (0x811c9dc5 ^ seed) >>> 0;
  for (let i = 0; i < text.length; i++) state = Math.imul(state ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return state;
}
