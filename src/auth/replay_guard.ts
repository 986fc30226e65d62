import { createHash } from "node:crypto";

/** Things that are remembered as used; past the bound the oldest are forgotten. About 10 MB. */
export const USED_MAX = 100_000;

/** Remembers what may be used once, until it would be refused for its age anyway. */
export class ReplayGuard {
  readonly #max: number;
  readonly #now: () => number;
  /** When each can be forgotten, in milliseconds since 1970; the oldest first. */
  readonly #used = new Map<string, number>();

  constructor({ max = USED_MAX, now = Date.now }: { max?: number; now?: () => number } = {}) {
    this.#max = max;
    this.#now = now;
  }

  /** True the first time; false where the same parts were used before. `until` is in milliseconds since 1970. */
  use(parts: readonly string[], { until }: { until: number }): boolean {
    // Hashed: a guest must not decide how long the keys are that are kept here.
    const key = createHash("sha256").update(JSON.stringify(parts)).digest("base64url");
    if ((this.#used.get(key) ?? 0) > this.#now()) return false;
    this.#forget();
    this.#used.delete(key);
    this.#used.set(key, until);
    return true;
  }

  #forget(): void {
    const now = this.#now();
    for (const [key, until] of this.#used) {
      if (until > now && this.#used.size < this.#max) return;
      this.#used.delete(key);
    }
  }
}
