import type { PublicKeyCredentialRequestOptionsJSON } from "@simplewebauthn/server";
import { KithError } from "../errors.ts";
import { AttemptBudget } from "./_attempt_budget.ts";
import type { Account } from "./account.ts";
import type { MailWish } from "./account_mail.ts";
import type { Device, DeviceRequest, Devices } from "./devices.ts";
import { networkOf } from "./login_lock.ts";
import type { Passkeys } from "./second_factors/passkeys.ts";
import type { FactorKind, SecondFactors } from "./second_factors/second_factors.ts";
import type { Sessions } from "./sessions.ts";
import type { FactorProof } from "./step_up.ts";

/** How long a sign-in waits for its second factor. */
export const SECOND_STEP_MS = 10 * 60_000;
/** Attempts of one browser, and of one network, within the window. */
export const SIGN_IN_WINDOW_MS = 5 * 60_000;
export const DEVICE_SIGN_INS_MAX = 30;
export const NETWORK_SIGN_INS_MAX = 150;
/** Sign-ins that wait for their second factor; beyond them the oldest goes. */
const WAITING_MAX = 10_000;

/** Who is signed in, and the cookie that the answer must set. */
export interface SignedIn {
  readonly did: string;
  readonly device: Device;
  readonly setCookie: string;
}

/** A sign-in whose password was right. */
export interface WaitingSignIn {
  readonly did: string;
  readonly handle: string;
  /** Any one of these is enough. */
  readonly kinds: readonly FactorKind[];
}

export type SignInStep =
  | ({ readonly step: "done" } & SignedIn)
  | ({ readonly step: "second_factor" } & WaitingSignIn);

interface Waiting {
  readonly account: Account;
  readonly remember: boolean;
  readonly expiresAt: number;
}

export interface SignInsOptions {
  readonly sessions: Pick<Sessions, "checkOwner" | "owner">;
  readonly factors: Pick<SecondFactors, "required" | "verify" | "challenge" | "mailCode">;
  readonly passkeys: Pick<Passkeys, "beginSignIn" | "signIn">;
  readonly devices: Pick<Devices, "signIn">;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** Signs members in in their browsers: by the password and what the account asks for beside it, or by a passkey alone. */
export class SignIns {
  readonly #options: SignInsOptions;
  readonly #budget: AttemptBudget;
  readonly #now: () => number;
  /** By browser: one at a time. A start forgets them. */
  readonly #waiting = new Map<string, Waiting>();

  constructor(options: SignInsOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#budget = new AttemptBudget({ windowMs: SIGN_IN_WINDOW_MS, now: this.#now });
  }

  /**
   * By handle, DID or e-mail address and the account's own password. Throws KithError auth_required (the same for an unknown name, a
   * wrong and an app password), rate_limited, account_takendown, busy.
   */
  async withPassword(
    device: Device,
    request: DeviceRequest & { identifier: string; password: string; remember: boolean },
  ): Promise<SignInStep> {
    this.#charge(device, request);
    const { identifier, password, remember, ip } = request;
    const account = await this.#options.sessions.checkOwner({ identifier, password, ip });
    const kinds = this.#options.factors.required(account.did);
    if (kinds.length === 0) {
      return { step: "done", ...(await this.#signIn(device, { ...request, account, remember })) };
    }
    this.#waiting.delete(device.id);
    this.#waiting.set(device.id, { account, remember, expiresAt: this.#now() + SECOND_STEP_MS });
    const oldest = this.#waiting.keys().next().value;
    if (this.#waiting.size > WAITING_MAX && oldest !== undefined) this.#waiting.delete(oldest);
    return { step: "second_factor", did: account.did, handle: account.handle, kinds };
  }

  /** The sign-in that waits for its second factor in this browser. Throws KithError expired_token: the password again. */
  waiting(device: Device): WaitingSignIn {
    const { did, handle } = this.#waitingOf(device).account;
    return { did, handle, kinds: this.#options.factors.required(did) };
  }

  /** For `navigator.credentials.get` as a second factor. Throws KithError expired_token. */
  async challenge(device: Device): Promise<PublicKeyCredentialRequestOptionsJSON> {
    return this.#options.factors.challenge(this.#waitingOf(device).account.did);
  }

  /**
   * Mails a code, unless one has just been. Throws KithError expired_token, invalid_request, rate_limited, auth_required and
   * account_takendown (it may not sign in any more).
   */
  async mailCode(device: Device, wish: MailWish = {}): Promise<void> {
    // As it is now: its address may have been changed since the password.
    const account = await this.#options.sessions.owner(this.#waitingOf(device).account.did);
    if (!this.#options.factors.required(account.did).includes("email")) {
      throw new KithError("invalid_request", "The account gets no codes by mail");
    }
    await this.#options.factors.mailCode(account, wish);
  }

  /**
   * The second step. Throws KithError auth_required (wrong: try again), rate_limited, expired_token (the password again),
   * account_takendown.
   */
  async withFactor(device: Device, request: DeviceRequest & { proof: FactorProof }): Promise<SignedIn> {
    this.#charge(device, request);
    const { account, remember } = this.#waitingOf(device);
    await this.#options.factors.verify(account.did, request.proof, { ip: request.ip });
    await this.#options.sessions.owner(account.did);
    this.#waiting.delete(device.id);
    return this.#signIn(device, { ...request, account, remember });
  }

  /** For `navigator.credentials.get` of whoever comes. */
  passkeyOptions(device: Device): Promise<PublicKeyCredentialRequestOptionsJSON> {
    return this.#options.passkeys.beginSignIn(device.id);
  }

  /** By a passkey alone: it is two factors in one. Throws KithError auth_required, rate_limited, account_takendown. */
  async withPasskey(
    device: Device,
    request: DeviceRequest & { answer: unknown; remember: boolean },
  ): Promise<SignedIn> {
    this.#charge(device, request);
    const did = await this.#options.passkeys.signIn(device.id, request.answer);
    const account = await this.#options.sessions.owner(did);
    return this.#signIn(device, { ...request, account });
  }

  /** A new account, in the browser in which it was made. */
  async withNewAccount(
    device: Device,
    request: DeviceRequest & { did: string; remember: boolean },
  ): Promise<SignedIn> {
    return this.#signIn(device, { ...request, account: await this.#options.sessions.owner(request.did) });
  }

  async #signIn(
    device: Device,
    { account, remember, userAgent, ip }: DeviceRequest & { account: Account; remember: boolean },
  ): Promise<SignedIn> {
    const { did, passwordHash } = account;
    const opened = await this.#options.devices.signIn(device, { did, remember, passwordHash, userAgent, ip });
    return { did, ...opened };
  }

  #waitingOf(device: Device): Waiting {
    const waiting = this.#waiting.get(device.id);
    if (waiting !== undefined && waiting.expiresAt > this.#now()) return waiting;
    throw new KithError("expired_token", "Could not go on signing in: enter the password again");
  }

  #charge(device: Device, { ip }: DeviceRequest): void {
    this.#budget.charge([
      { key: `device ${device.id}`, max: DEVICE_SIGN_INS_MAX },
      { key: `network ${networkOf(ip)}`, max: NETWORK_SIGN_INS_MAX },
    ]);
  }
}
