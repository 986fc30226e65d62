import { randomBytes } from "node:crypto";
import { KithError } from "../errors.ts";

/** How many uses one code may have, and how many codes one call may make. */
export const INVITE_USES_MAX = 100_000;
export const INVITE_CODES_MAX = 1_000;
/** The longest code that is looked up. */
export const INVITE_CODE_CHARS_MAX = 300;

const BASE32 = "abcdefghijklmnopqrstuvwxyz234567";

/** What `Invites` needs of the invite store. */
export interface InviteCodeRows {
  createCode(row: {
    code: string;
    uses: number;
    forAccount: string;
    createdBy: string;
    now: number;
  }): Promise<unknown>;
}

export interface InvitesOptions {
  readonly codes: InviteCodeRows;
  /** The public host name, which the codes begin with. */
  readonly hostname: string;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/**
 * A new invite code: the host name with dashes, then ten characters of base32 (50 bits) in two groups.
 * `random` is ten bytes.
 */
export function formatInviteCode(hostname: string, random: Uint8Array): string {
  const token = Array.from(random.subarray(0, 10), (byte) => BASE32[byte & 31]).join("");
  return `${hostname.replaceAll(".", "-")}-${token.slice(0, 5)}-${token.slice(5)}`;
}

/** Makes invite codes. Who may is decided by the caller. */
export class Invites {
  readonly #options: InvitesOptions;

  constructor(options: InvitesOptions) {
    this.#options = options;
  }

  /**
   * Makes `count` codes of `uses` uses each, for one account (a DID, or "admin"). Returned when durable.
   * Throws KithError invalid_request for numbers out of range.
   */
  async create(request: {
    count: number;
    uses: number;
    forAccount: string;
    createdBy: string;
  }): Promise<string[]> {
    checkRange("uses of an invite code", request.uses, INVITE_USES_MAX);
    checkRange("invite codes of one call", request.count, INVITE_CODES_MAX);
    const now = (this.#options.now ?? Date.now)();
    const codes = Array.from({ length: request.count }, () =>
      formatInviteCode(this.#options.hostname, randomBytes(10)),
    );
    const { uses, forAccount, createdBy } = request;
    await Promise.all(
      codes.map((code) => this.#options.codes.createCode({ code, uses, forAccount, createdBy, now })),
    );
    return codes;
  }
}

function checkRange(what: string, value: number, max: number): void {
  if (Number.isSafeInteger(value) && value >= 1 && value <= max) return;
  throw new KithError("invalid_request", `Number of ${what} must be from 1 to ${max}, not ${value}`);
}
