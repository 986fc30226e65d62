import { KithError } from "../errors.ts";

/** How long after a full sign-in dangerous things may be done without another. */
export const STEP_UP_MS = 10 * 60_000;

/**
 * Says that an account's owner has just signed in with everything that the account asks for. Only `StepUps` makes one, so that what
 * takes it cannot be called without.
 */
class Fresh {
  readonly did: string;
  readonly #proven = true;

  constructor(did: string) {
    this.did = did;
  }

  /** True for what `StepUps` has made. */
  get isProven(): boolean {
    return this.#proven;
  }
}

export type FreshAuth = Fresh;

/** Who is signed in on a device, and since when. */
export interface SignedInAccounts {
  readonly accounts: readonly { readonly did: string; readonly authenticatedAt: number }[];
}

export interface StepUpsOptions {
  readonly sessions: {
    /** Throws KithError auth_required, rate_limited, busy. */
    checkPassword(request: { did: string; password: string; ip: string }): Promise<unknown>;
  };
  readonly factors: {
    required(did: string): readonly string[];
    /** Throws KithError auth_required, rate_limited. */
    verify(did: string, proof: FactorProof, from: { ip: string }): Promise<unknown>;
  };
  readonly devices: { authenticated(device: { id: string }, did: string): Promise<unknown> };
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** A code that somebody typed, or what a browser answers for a passkey. */
export type FactorProof =
  | { readonly kind: "code"; readonly code: string }
  | { readonly kind: "passkey"; readonly answer: unknown };

/** Asks for another full sign-in before what is dangerous, unless the last one was minutes ago. */
export class StepUps {
  readonly #options: StepUpsOptions;
  readonly #now: () => number;

  constructor(options: StepUpsOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** Throws KithError step_up_required. */
  ofDevice(device: SignedInAccounts, did: string): FreshAuth {
    const at = device.accounts.find((account) => account.did === did)?.authenticatedAt;
    if (at !== undefined && at > this.#now() - STEP_UP_MS) return new Fresh(did);
    throw new KithError("step_up_required", "Sign in again to do this");
  }

  /**
   * By a passkey, or by the password and, where the account has second factors, one of them; the device is good for others from
   * then on. Throws KithError auth_required, factor_required (the password is right), rate_limited, busy.
   */
  async again(
    device: { readonly id: string },
    request: { did: string; password?: string; proof?: FactorProof; ip: string },
  ): Promise<FreshAuth> {
    const { did, password, proof, ip } = request;
    const { sessions, factors, devices } = this.#options;
    const byPasskey = proof?.kind === "passkey";
    if (!byPasskey) await sessions.checkPassword({ did, password: password ?? "", ip });
    if (proof === undefined && factors.required(did).length > 0) throw factorRequired();
    if (proof !== undefined && (byPasskey || factors.required(did).length > 0)) {
      await factors.verify(did, proof, { ip });
    }
    await devices.authenticated(device, did);
    return new Fresh(did);
  }
}

/** The password is right, and not enough. */
export function factorRequired(message = "A second factor is required to sign in"): KithError {
  return new KithError("factor_required", message);
}
