import { createHash, randomBytes } from "node:crypto";
import { KithError } from "../errors.ts";
import type { CodePurpose } from "../mailer/mod.ts";
import type { Awaitable } from "./account.ts";

/** How long a mailed code is valid, and one to sign in with. */
export const EMAIL_TOKEN_LIFETIME_MS = 15 * 60_000;
export const SIGN_IN_CODE_LIFETIME_MS = 10 * 60_000;

export function codeLifetimeMs(purpose: CodePurpose): number {
  return purpose === "second_factor" ? SIGN_IN_CODE_LIFETIME_MS : EMAIL_TOKEN_LIFETIME_MS;
}

const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const TOKEN_CHARS = 10;
const FORM = /^[A-Z2-7]{5}-?[A-Z2-7]{5}$/;

/** What a change that needs a code shows to its store. `now` in milliseconds since 1970. */
export interface TokenProof {
  readonly purpose: string;
  readonly tokenHash: string;
  readonly now: number;
}

/** What e-mail tokens need of their store. Every change is durable when its promise resolves. */
export interface EmailTokenRows {
  /** Takes the place of the one of this account and purpose. */
  put(row: { did: string; purpose: string; tokenHash: string; expiresAt: number }): Promise<unknown>;
  byHash(purpose: string, tokenHash: string): Awaitable<{ readonly did: string } | undefined>;
  /** Throws KithError invalid_token or expired_token; the code stays. */
  check(did: string, proof: TokenProof): Awaitable<void>;
  /** The same, and uses the code up. */
  take(did: string, proof: TokenProof): Promise<unknown>;
}

/** Ten characters of base32 (50 bits), as XXXXX-XXXXX. `random` is ten bytes. */
export function formatEmailToken(random: Uint8Array): string {
  const chars = Array.from(random.subarray(0, TOKEN_CHARS), (byte) => BASE32[byte & 31]).join("");
  return `${chars.slice(0, 5)}-${chars.slice(5)}`;
}

/** The codes that are mailed to members: valid for some minutes, one of an account and purpose, stored as hashes. */
export class EmailTokens {
  readonly #rows: EmailTokenRows;
  readonly #now: () => number;

  constructor(options: { readonly rows: EmailTokenRows; readonly now?: () => number }) {
    this.#rows = options.rows;
    this.#now = options.now ?? Date.now;
  }

  /** A new code, durable; one of the same account and purpose from before is not valid any more. */
  async create(did: string, purpose: CodePurpose): Promise<string> {
    const token = formatEmailToken(randomBytes(TOKEN_CHARS));
    const { tokenHash, now } = this.proofOf(purpose, token);
    await this.#rows.put({ did, purpose, tokenHash, expiresAt: now + codeLifetimeMs(purpose) });
    return token;
  }

  /** What a store needs to use a code up together with the change that it is for. Throws KithError invalid_token. */
  proofOf(purpose: CodePurpose, token: string): TokenProof {
    // As people type it: in small letters, with spaces around it, without the dash.
    const typed = token.slice(0, 100).trim().toUpperCase();
    if (!FORM.test(typed)) throw new KithError("invalid_token", "Token is invalid");
    const chars = typed.replace("-", "");
    const tokenHash = createHash("sha256").update(`kith e-mail token\0${purpose}\0${chars}`).digest("base64");
    return { purpose, tokenHash, now: this.#now() };
  }

  /** The account that a code was mailed to; undefined for a code that is not known. Throws KithError invalid_token. */
  async ownerOf(purpose: CodePurpose, token: string): Promise<string | undefined> {
    return (await this.#rows.byHash(purpose, this.proofOf(purpose, token).tokenHash))?.did;
  }

  /** Throws KithError invalid_token or expired_token; the code stays valid. */
  async check(did: string, purpose: CodePurpose, token: string): Promise<void> {
    await this.#rows.check(did, this.proofOf(purpose, token));
  }

  /** Uses a code up. Throws KithError invalid_token or expired_token. */
  async take(did: string, purpose: CodePurpose, token: string): Promise<void> {
    await this.#rows.take(did, this.proofOf(purpose, token));
  }
}
