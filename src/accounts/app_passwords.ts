import { createHash, randomBytes } from "node:crypto";
import { KithError } from "../errors.ts";
import type { Awaitable } from "./account.ts";

/** App passwords of one account, at the most, and characters of a name. */
export const APP_PASSWORDS_MAX = 100;
export const APP_PASSWORD_NAME_CHARS_MAX = 256;

const BASE32 = "abcdefghijklmnopqrstuvwxyz234567";
const GROUPS = 4;
const GROUP_CHARS = 4;
const FORM = /^[a-z2-7]{4}(-[a-z2-7]{4}){3}$/;

/** An app password as its owner sees it. Times in milliseconds since 1970. */
export interface AppPassword {
  readonly name: string;
  readonly privileged: boolean;
  readonly createdAt: number;
}

/** What app passwords need of their store. Every change is durable when its promise resolves. */
export interface AppPasswordRows {
  /** Throws KithError invalid_request where the account has one of this name, or `accountMax` of them. */
  create(row: AppPassword & { did: string; passwordHash: string; accountMax: number }): Promise<unknown>;
  list(did: string): Awaitable<readonly AppPassword[]>;
  find(did: string, passwordHash: string): Awaitable<AppPassword | undefined>;
  /** Removes it with the sessions that it opened. */
  remove(did: string, name: string): Promise<unknown>;
}

/** 16 characters of base32 (80 bits) in four groups. `random` is 16 bytes. */
export function formatAppPassword(random: Uint8Array): string {
  const chars = Array.from(random.subarray(0, GROUPS * GROUP_CHARS), (byte) => BASE32[byte & 31]);
  return Array.from({ length: GROUPS }, (_, group) =>
    chars.slice(group * GROUP_CHARS, (group + 1) * GROUP_CHARS).join(""),
  ).join("-");
}

/**
 * What is stored of an app password, or undefined for text that cannot be one. A plain hash suffices: 80 random bits
 * cannot be tried out, and the row is found by it.
 */
export function hashAppPassword(did: string, password: string): string | undefined {
  if (!FORM.test(password)) return undefined;
  return createHash("sha256").update(`kith app password\0${did}\0${password}`).digest("base64");
}

/** Makes, lists and revokes the app passwords of an account. Who may is decided by the caller. */
export class AppPasswords {
  readonly #rows: AppPasswordRows;
  readonly #now: () => number;

  constructor(options: { readonly rows: AppPasswordRows; readonly now?: () => number }) {
    this.#rows = options.rows;
    this.#now = options.now ?? Date.now;
  }

  /** A new one, durable; its password is told here and never again. Throws KithError invalid_request. */
  async create(
    did: string,
    { name, privileged }: { name: string; privileged: boolean },
  ): Promise<AppPassword & { password: string }> {
    if (name.trim() === "" || name.length > APP_PASSWORD_NAME_CHARS_MAX) {
      throw new KithError(
        "invalid_request",
        `Could not create an app password: its name must have 1 to ${APP_PASSWORD_NAME_CHARS_MAX} characters`,
      );
    }
    const password = formatAppPassword(randomBytes(GROUPS * GROUP_CHARS));
    const passwordHash = hashAppPassword(did, password);
    if (passwordHash === undefined) throw new Error("formatAppPassword() made what is no app password");
    const made = { name, privileged, createdAt: this.#now() };
    await this.#rows.create({ ...made, did, passwordHash, accountMax: APP_PASSWORDS_MAX });
    return { ...made, password };
  }

  async list(did: string): Promise<readonly AppPassword[]> {
    return this.#rows.list(did);
  }

  /** Nothing where there is none of this name, so that a repeat is no error. */
  async revoke(did: string, name: string): Promise<void> {
    await this.#rows.remove(did, name);
  }
}
