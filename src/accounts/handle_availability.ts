import { randomInt } from "node:crypto";
import { KithError } from "../errors.ts";
import type { AccountLookup } from "./account.ts";
import { isEmailAddress } from "./email_address.ts";
import { HANDLE_LABEL_CHARS_MAX, type HandleRules } from "./handle_rules.ts";

/** Suggestions in one answer, and how many numbers are tried for them. */
export const HANDLE_SUGGESTIONS_MAX = 5;
const NUMBERS_TRIED_MAX = 12;
/** Suggested numbers have two to four digits. */
const NUMBER_MIN = 10;
const NUMBER_MAX = 9_999;

export interface HandleSuggestion {
  readonly handle: string;
  /** How it was made. */
  readonly method: string;
}

export interface HandleQuestion {
  readonly handle: string;
  readonly email?: string | undefined;
  /** ISO 8601. */
  readonly birthDate?: string | undefined;
}

export interface HandleAvailabilityOptions {
  readonly handles: HandleRules;
  readonly accounts: Pick<AccountLookup, "accountByHandle">;
  /** For tests. */
  readonly random?: (min: number, max: number) => number;
}

/** Tells before a sign-up whether a handle is free, by the rules of a sign-up, and what else is. */
export class HandleAvailability {
  readonly #options: HandleAvailabilityOptions;

  constructor(options: HandleAvailabilityOptions) {
    this.#options = options;
  }

  /**
   * Undefined where the handle is free, else suggestions that are. The e-mail address is not looked up: nobody learns
   * whether it has an account. Throws KithError invalid_email.
   */
  async check(question: HandleQuestion): Promise<HandleSuggestion[] | undefined> {
    const { handle, email } = question;
    if (email !== undefined && !isEmailAddress(email)) {
      throw new KithError("invalid_email", `Not an e-mail address: "${email.slice(0, 254)}"`);
    }
    if (await this.#isFree(handle)) return undefined;
    const found = new Map<string, HandleSuggestion>();
    for (const suggestion of this.#candidates(question)) {
      if (found.size >= HANDLE_SUGGESTIONS_MAX) break;
      if (!found.has(suggestion.handle) && (await this.#isFree(suggestion.handle))) {
        found.set(suggestion.handle, suggestion);
      }
    }
    return [...found.values()];
  }

  async #isFree(handle: string): Promise<boolean> {
    const { handles, accounts } = this.#options;
    try {
      return (await accounts.accountByHandle(handles.check(handle, "open"))) === undefined;
    } catch (error) {
      if (error instanceof KithError) return false;
      throw error;
    }
  }

  *#candidates({ handle, email, birthDate }: HandleQuestion): Generator<HandleSuggestion> {
    const { label, domain } = this.#options.handles.split(handle);
    const make = (base: string, end: string, method: string): HandleSuggestion => {
      const start = cleaned(base).slice(0, HANDLE_LABEL_CHARS_MAX - end.length);
      return { handle: `${start.replace(/-+$/, "")}${end}${domain}`, method };
    };
    if (cleaned(label) !== "") {
      yield make(label, "", "handle");
      const year = birthDate?.slice(0, 4);
      if (year !== undefined) yield make(label, year.slice(2), "handle_year");
      if (year !== undefined) yield make(label, year, "handle_year");
    }
    const local = email?.split("@")[0] ?? "";
    if (cleaned(local) !== "") yield make(local, "", "email");
    const random = this.#options.random ?? randomInt;
    const base = cleaned(label) || cleaned(local) || "user";
    for (let tried = 0; tried < NUMBERS_TRIED_MAX; tried++) {
      yield make(base, String(random(NUMBER_MIN, NUMBER_MAX + 1)), "handle_number");
    }
  }
}

/** What of a text a label may be made of. */
function cleaned(text: string): string {
  return text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "");
}
