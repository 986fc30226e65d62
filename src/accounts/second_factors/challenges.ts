import { KithError } from "../../errors.ts";

/** How long a person may take to touch the authenticator. */
export const CHALLENGE_LIFETIME_MS = 5 * 60_000;
/** Accounts and devices that challenges are kept of; beyond them the least recent goes. */
export const CHALLENGED_MAX = 10_000;
/** Of one account or device: a few, for several tabs. */
export const CHALLENGES_EACH_MAX = 5;

export interface ChallengeUse {
  /** What it was made for. */
  readonly purpose: "add" | "verify" | "sign_in";
  /** The account, or for signing in, where none is known yet, the device. */
  readonly subject: string;
}

interface Kept {
  readonly challenge: string;
  readonly expiresAt: number;
}

/** The challenges that authenticators are to sign: each once, for what and for whom it was made. In memory: a start forgets them. */
export class Challenges {
  /** By use, the least recent first. */
  readonly #kept = new Map<string, readonly Kept[]>();
  readonly #now: () => number;

  constructor({ now = Date.now }: { readonly now?: () => number } = {}) {
    this.#now = now;
  }

  keep(challenge: string, use: ChallengeUse): void {
    const key = keyOf(use);
    const kept = [...this.#valid(key), { challenge, expiresAt: this.#now() + CHALLENGE_LIFETIME_MS }];
    this.#kept.delete(key);
    this.#kept.set(key, kept.slice(-CHALLENGES_EACH_MAX));
    const oldest = this.#kept.keys().next().value;
    if (this.#kept.size > CHALLENGED_MAX && oldest !== undefined) this.#kept.delete(oldest);
  }

  /** Uses a challenge up, whatever becomes of it. Throws KithError auth_required. */
  take(challenge: string, use: ChallengeUse): void {
    const key = keyOf(use);
    const valid = this.#valid(key);
    const left = valid.filter((one) => one.challenge !== challenge);
    if (left.length === 0) this.#kept.delete(key);
    else this.#kept.set(key, left);
    if (left.length === valid.length) {
      throw new KithError(
        "auth_required",
        "Could not verify the passkey: its challenge is unknown or too old",
      );
    }
  }

  #valid(key: string): readonly Kept[] {
    return (this.#kept.get(key) ?? []).filter(({ expiresAt }) => expiresAt > this.#now());
  }
}

function keyOf({ purpose, subject }: ChallengeUse): string {
  return `${purpose} ${subject}`;
}
