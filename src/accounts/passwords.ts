import { availableParallelism } from "node:os";
import { KithError } from "../errors.ts";
import { isReferenceHash, referenceAppPasswordHash, verifyReferenceHash } from "./reference_passwords.ts";

/**
 * What one hash costs: 19 MiB and two passes, about 33 ms of one core (the second of OWASP's equal choices for argon2id).
 * https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html
 */
export const PASSWORD_COST: PasswordCost = { memoryKib: 19_456, passes: 2 };
/**
 * The shortest password that somebody may choose on a page, as on the reference's. What apps send has no such bound there, nor here: they
 * have rules of their own, and move accounts in whose passwords are as they are.
 */
export const CHOSEN_PASSWORD_CHARS_MIN = 8;
/** The longest password that a new account may have, as in the reference PDS. */
export const NEW_PASSWORD_CHARS_MAX = 256;
/** The longest password that is hashed at all; a longer one is a wrong one. */
export const PASSWORD_CHARS_MAX = 512;
/** Callers that may wait for a hash; past them the answer is "busy". */
export const WAITING_HASHES_MAX = 512;

export interface PasswordCost {
  readonly memoryKib: number;
  readonly passes: number;
}

export interface PasswordsOptions {
  readonly cost?: PasswordCost;
  /** Hashes that run at once. */
  readonly runningMax?: number;
  /** Callers that wait at most. */
  readonly waitingMax?: number;
  /** Whether accounts or app passwords have hashes of the reference PDS; while any has, every check does the work for them too. */
  readonly referenceHashesLeft?: () => { readonly passwords: boolean; readonly appPasswords: boolean };
}

/**
 * Hashes and verifies passwords with argon2id in the thread pool, a bounded number at a time.
 *
 * Every fdatasync of a write runs in the same pool, which has a thread per core: with one hash running on two cores
 * an fdatasync took 0.24 ms, with two 12 ms. So one core stays free.
 */
export class Passwords {
  readonly #cost: PasswordCost;
  readonly #runningMax: number;
  readonly #waitingMax: number;
  readonly #left: NonNullable<PasswordsOptions["referenceHashesLeft"]>;
  readonly #waiting: (() => void)[] = [];
  #running = 0;
  #decoy: Promise<string> | undefined;

  constructor(options: PasswordsOptions = {}) {
    this.#cost = options.cost ?? PASSWORD_COST;
    this.#runningMax = options.runningMax ?? Math.max(1, availableParallelism() - 1);
    this.#waitingMax = options.waitingMax ?? WAITING_HASHES_MAX;
    this.#left = options.referenceHashesLeft ?? (() => ({ passwords: false, appPasswords: false }));
  }

  /** The argon2id hash of a password, in PHC form. Throws KithError invalid_password (empty, too long) or busy. */
  async hash(password: string): Promise<string> {
    checkNewPassword(password);
    return this.#inTurn(() => this.#argon2(password));
  }

  /**
   * True where the password is the one that was hashed. Without a hash (nobody has that name) it does the same work
   * and answers false, so that the time taken tells nothing. Throws KithError busy.
   */
  async verify(password: string, hash: string | undefined): Promise<boolean> {
    if (password.length === 0 || password.length > PASSWORD_CHARS_MAX) return false;
    const decoy = await this.#decoyHash();
    // An account without a password has an empty hash.
    const ofReference = hash !== undefined && isReferenceHash(hash) ? hash : undefined;
    const own = ofReference === undefined ? hash : undefined;
    return await this.#inTurn(async () => {
      const matches = (await Bun.password.verify(password, own || decoy)) && Boolean(own);
      if (ofReference === undefined && !this.#left().passwords) return matches;
      return (await verifyReferenceHash(password, ofReference)) || matches;
    });
  }

  /** What the reference would store of this as an app password of the DID; undefined where no such hash is left. Throws KithError busy. */
  async referenceAppHash(did: string | undefined, password: string): Promise<string | undefined> {
    if (!this.#left().appPasswords) return undefined;
    const hash = await this.#inTurn(() => referenceAppPasswordHash(did ?? "", password));
    return did === undefined ? undefined : hash;
  }

  /** A hash of nobody's password, made once; a failure is not kept. */
  #decoyHash(): Promise<string> {
    this.#decoy ??= this.#inTurn(() => this.#argon2(crypto.randomUUID())).catch((error: unknown) => {
      this.#decoy = undefined;
      throw error;
    });
    return this.#decoy;
  }

  #argon2(password: string): Promise<string> {
    return Bun.password.hash(password, {
      algorithm: "argon2id",
      memoryCost: this.#cost.memoryKib,
      timeCost: this.#cost.passes,
    });
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#runningMax) {
      if (this.#waiting.length >= this.#waitingMax) {
        throw new KithError("busy", "Could not check the password: too many sign-ins at this moment");
      }
      // The one who ends hands its place over, so that nobody who comes later takes it.
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else {
      this.#running += 1;
    }
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running -= 1;
    }
  }
}

/** Whether a page takes it as a new password: one rule for signing up, for a reset and for a change. */
export function isChoosablePassword(password: string): boolean {
  return password.length >= CHOSEN_PASSWORD_CHARS_MIN && password.length <= NEW_PASSWORD_CHARS_MAX;
}

/** Refuses what cannot be the password of a new account: KithError invalid_password. Quotes nothing of it. */
export function checkNewPassword(password: string): void {
  if (password.length === 0) throw new KithError("invalid_password", "Password is required");
  if (password.length > NEW_PASSWORD_CHARS_MAX) {
    throw new KithError(
      "invalid_password",
      `Password too long: ${password.length} characters, ${NEW_PASSWORD_CHARS_MAX} at most`,
    );
  }
}
