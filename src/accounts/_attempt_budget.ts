import { KithError } from "../errors.ts";

/** Keys that are counted; beyond them the oldest goes. */
export const BUDGET_KEYS_MAX = 20_000;

/** How many attempts there may be of one key in a window, which begins with the first of them. In memory. */
export class AttemptBudget {
  readonly #windows = new Map<string, { attempts: number; readonly endsAt: number }>();
  readonly #options: { readonly windowMs: number; readonly now: () => number };

  constructor(options: { readonly windowMs: number; readonly now: () => number }) {
    this.#options = options;
  }

  /** Throws KithError rate_limited where one of the keys has had its attempts; then none of them is charged. */
  charge(keys: readonly { readonly key: string; readonly max: number }[]): void {
    const now = this.#options.now();
    const windows = keys.map(({ key, max }) => {
      const known = this.#windows.get(key);
      if (known === undefined || known.endsAt <= now)
        return { key, attempts: 0, endsAt: now + this.#options.windowMs };
      if (known.attempts >= max) throw tooMany(known.endsAt - now);
      return { key, ...known };
    });
    for (const { key, attempts, endsAt } of windows) {
      this.#windows.delete(key);
      this.#windows.set(key, { attempts: attempts + 1, endsAt });
    }
    for (const key of this.#windows.keys()) {
      if (this.#windows.size <= BUDGET_KEYS_MAX) break;
      this.#windows.delete(key);
    }
  }
}

function tooMany(leftMs: number): KithError {
  const minutes = Math.ceil(leftMs / 60_000);
  return new KithError(
    "rate_limited",
    `Rate Limit Exceeded: too many sign-ins; try again in ${minutes} minutes`,
    {
      retryAfterS: Math.ceil(leftMs / 1000),
    },
  );
}
