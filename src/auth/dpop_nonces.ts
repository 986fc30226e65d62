import { createHmac, randomBytes } from "node:crypto";

/** A new nonce is given out this often; the ones before it stay good for `NONCE_STEPS_KEPT` more steps. */
export const NONCE_STEP_MS = 60_000;
/** The norm allows five minutes at most: https://atproto.com/specs/oauth#demonstrating-proof-of-possession-dpop */
export const NONCE_STEPS_KEPT = 3;

export interface DpopNoncesOptions {
  /** Default: of this process's own. A proof from before a restart is then refused, and so cannot be replayed after it. */
  readonly secret?: Uint8Array;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** The nonces that DPoP proofs must carry: made from the time, so none has to be stored. RFC 9449 section 8. */
export class DpopNonces {
  readonly #secret: Uint8Array;
  readonly #now: () => number;
  readonly #byStep = new Map<number, string>();

  constructor({ secret = randomBytes(32), now = Date.now }: DpopNoncesOptions = {}) {
    this.#secret = secret;
    this.#now = now;
  }

  /** The nonce to give out now. */
  current(): string {
    return this.#of(this.#step());
  }

  isValid(nonce: string): boolean {
    const step = this.#step();
    for (let back = 0; back <= NONCE_STEPS_KEPT; back += 1) {
      if (this.#of(step - back) === nonce) return true;
    }
    return false;
  }

  #step(): number {
    return Math.floor(this.#now() / NONCE_STEP_MS);
  }

  #of(step: number): string {
    const known = this.#byStep.get(step);
    if (known !== undefined) return known;
    const nonce = createHmac("sha256", this.#secret).update(`dpop-nonce ${step}`).digest("base64url");
    for (const old of this.#byStep.keys()) if (old < step - 2 * NONCE_STEPS_KEPT) this.#byStep.delete(old);
    this.#byStep.set(step, nonce);
    return nonce;
  }
}
