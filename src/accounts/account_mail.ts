import { KithError } from "../errors.ts";
import {
  type CodePurpose,
  codeMail,
  type Mail,
  type MailLanguage,
  type Notice,
  noticeMail,
  welcomeMail,
} from "../mailer/mod.ts";
import type { Account } from "./account.ts";
import { codeLifetimeMs, type EmailTokens } from "./email_tokens.ts";
import type { MemberLanguages } from "./member_languages.ts";

/** Codes of one account and purpose, as the reference: nobody's mailbox is flooded from here. */
export const CODES_PER_HOUR_MAX = 5;
export const CODES_PER_DAY_MAX = 15;
/** Accounts and purposes that are counted; beyond them the least recent goes. */
export const COUNTED_MAX = 10_000;
/** A welcome that has not been taken after so long is dropped. */
export const WELCOME_LIFETIME_MS = 24 * 3_600_000;
/** The same for what tells of a change. */
export const NOTICE_LIFETIME_MS = 3 * 24 * 3_600_000;
/** Tellings of one account in a day: whoever has got in must not drown the first of them in more. */
export const NOTICES_PER_DAY_MAX = 50;

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** What sends the mail; durable when it resolves. `expiresAt` in milliseconds since 1970. */
export interface MailSender {
  enqueue(mail: Mail, options: { expiresAt: number }): Promise<unknown>;
}

export interface AccountMailOptions {
  readonly tokens: EmailTokens;
  /** Absent where the server has no mail set up. */
  readonly sender?: MailSender | undefined;
  /** The server's host name. */
  readonly host: string;
  /** The operator's address, to tell whom to ask. */
  readonly contact?: string | undefined;
  /** Origin of the account's pages; default: https at the host. */
  readonly publicUrl?: string;
  /** What members read; without it, English. */
  readonly languages?: Pick<MemberLanguages, "of">;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

type Recipient = Pick<Account, "did" | "handle" | "email">;

/** What a request that leads to a mail says of its language; it holds where that of the member is not known. */
export interface MailWish {
  readonly language?: MailLanguage | undefined;
}

/** Mails codes to members. */
export class AccountMail {
  readonly #options: AccountMailOptions;
  readonly #now: () => number;
  /** When codes were asked for, by account and purpose, the newest last. */
  readonly #asked = new Map<string, number[]>();

  constructor(options: AccountMailOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /**
   * Throws KithError invalid_request where this server sends no mail: the words say so, whom to ask, and what that one
   * does. `account` is what it is called by, for these words.
   */
  assertConfigured(purpose: CodePurpose, account = "HANDLE"): MailSender {
    const { sender } = this.#options;
    if (sender) return sender;
    throw this.#refusal("this server has no mail set up", { purpose, account });
  }

  /** Whether this server sends mail. */
  get isConfigured(): boolean {
    return this.#options.sender !== undefined;
  }

  #refusal(why: string, { purpose, account }: { purpose: CodePurpose; account: string }): KithError {
    const { contact } = this.#options;
    const whom = contact === undefined ? "the operator" : `the operator (${contact})`;
    const command = `"kith account code ${account} ${purpose}"`;
    return new KithError(
      "invalid_request",
      `Could not send a code: ${why}. Ask ${whom} for one: ${command} makes it`,
      { hint: "Set PDS_EMAIL_SMTP_URL and PDS_EMAIL_FROM_ADDRESS." },
    );
  }

  /**
   * Makes a code and mails it to the account's address, in its owner's language. Resolves when it is in the queue.
   * Throws KithError invalid_request (no mail set up, no address), rate_limited, busy.
   */
  async sendCode(account: Recipient, purpose: CodePurpose, wish: MailWish = {}): Promise<void> {
    const { did, handle, email: to } = account;
    const sender = this.assertConfigured(purpose, did);
    if (to === null) throw this.#refusal("the account has no e-mail address", { purpose, account: did });
    this.#count(`${did} ${purpose}`);
    const code = await this.#options.tokens.create(did, purpose);
    const lifetimeMs = codeLifetimeMs(purpose);
    const minutes = lifetimeMs / 60_000;
    const language = this.#languageOf(did, wish);
    const mail = codeMail(purpose, { to, handle, host: this.#options.host, code, minutes, language });
    await sender.enqueue(mail, { expiresAt: this.#now() + lifetimeMs });
  }

  /** Welcomes a new member, where the server has mail and the account an address. */
  async welcome({ did, handle, email: to }: Recipient): Promise<void> {
    const { sender, host } = this.#options;
    if (!sender || to === null) return;
    const mail = welcomeMail({ to, handle, host, language: this.#languageOf(did) });
    await sender.enqueue(mail, { expiresAt: this.#now() + WELCOME_LIFETIME_MS });
  }

  /**
   * Tells a member that something of weight was changed, where the server has mail and the account an address. A change is not
   * undone because nobody could be told of it. Throws KithError rate_limited, busy.
   */
  async notify({ did, handle, email: to }: Recipient, notice: Notice): Promise<void> {
    const { sender, host, contact, publicUrl = `https://${host}` } = this.#options;
    if (!sender || to === null) return;
    this.#count(`${did} notices`, { hourMax: NOTICES_PER_DAY_MAX, dayMax: NOTICES_PER_DAY_MAX });
    const language = this.#languageOf(did);
    const accountUrl = `${publicUrl}/account`;
    const mail = noticeMail(notice, { to, handle, host, contact, accountUrl, language });
    await sender.enqueue(mail, { expiresAt: this.#now() + NOTICE_LIFETIME_MS });
  }

  #languageOf(did: string, { language }: MailWish = {}): MailLanguage {
    return this.#options.languages?.of(did, language) ?? language ?? "en";
  }

  #count(
    key: string,
    { hourMax, dayMax } = { hourMax: CODES_PER_HOUR_MAX, dayMax: CODES_PER_DAY_MAX },
  ): void {
    const now = this.#now();
    const times = (this.#asked.get(key) ?? []).filter((at) => at > now - DAY_MS);
    const lastHour = times.filter((at) => at > now - HOUR_MS);
    const freeAt = Math.max(
      lastHour.length >= hourMax ? (lastHour[0] ?? now) + HOUR_MS : 0,
      times.length >= dayMax ? (times[0] ?? now) + DAY_MS : 0,
    );
    if (freeAt > now) {
      throw new KithError("rate_limited", "Rate Limit Exceeded: too many codes; try again later", {
        retryAfterS: Math.ceil((freeAt - now) / 1000),
      });
    }
    this.#asked.delete(key);
    this.#asked.set(key, [...times, now]);
    const oldest = this.#asked.keys().next().value;
    if (this.#asked.size > COUNTED_MAX && oldest !== undefined) this.#asked.delete(oldest);
  }
}
