import { isKithError, KithError } from "../errors.ts";
import type { Logger } from "../logger.ts";
import type { Notice } from "../mailer/mod.ts";
import { type Account, type AccountLookup, isPresent } from "./account.ts";
import type { AccountMail, MailWish } from "./account_mail.ts";
import { checkEmail, normalizeEmail } from "./email_address.ts";
import type { EmailTokens, TokenProof } from "./email_tokens.ts";
import { checkNewPassword, type Passwords } from "./passwords.ts";
import type { SecondFactors } from "./second_factors/second_factors.ts";
import type { Sessions } from "./sessions.ts";

/** An answer to a request for a password reset takes so long, whether or not there is an account. */
export const RESET_ANSWER_MS = 300;

/** What changes of credentials need of their store. Each is one transaction, durable when its promise resolves. */
export interface CredentialRows {
  /** Ends every session and uses up every code of the account. Throws KithError invalid_token, expired_token. */
  setPassword(change: {
    did: string;
    passwordHash: string;
    token?: TokenProof;
    now: number;
  }): Promise<unknown>;
  /** Ends the sessions from before a time, and takes the password, every app password and every code away. */
  revokeAll(change: { did: string; sessionsFrom: number }): Promise<unknown>;
  /** Throws KithError invalid_email (not the account's), invalid_token, expired_token. */
  confirmEmail(change: { did: string; email: string; token: TokenProof }): Promise<unknown>;
  /** Throws KithError token_required, invalid_token, expired_token, invalid_request (taken). */
  changeEmail(change: {
    did: string;
    email: string;
    token?: TokenProof;
    byAdmin?: boolean;
  }): Promise<unknown>;
}

export interface CredentialsOptions {
  readonly accounts: AccountLookup;
  readonly rows: CredentialRows;
  readonly tokens: EmailTokens;
  readonly mail: Pick<AccountMail, "sendCode" | "assertConfigured" | "notify">;
  readonly passwords: Passwords;
  readonly sessions: Pick<Sessions, "checkPassword" | "unlock">;
  readonly factors: Pick<SecondFactors, "addEmail" | "removeEmail" | "hasEmail">;
  readonly repos: { deleteRepo(did: string): Promise<unknown> };
  readonly logger: Logger;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** For tests. */
  readonly wait?: (ms: number) => Promise<unknown>;
}

/** What an owner does with mailed codes: confirms and changes the address, resets the password, deletes the account. */
export class Credentials {
  readonly #options: CredentialsOptions;

  constructor(options: CredentialsOptions) {
    this.#options = options;
  }

  /** Throws KithError invalid_request (no mail set up, no address), rate_limited, account_not_found. */
  async requestEmailConfirmation(did: string, wish: MailWish = {}): Promise<void> {
    await this.#options.mail.sendCode(await this.#account(did), "confirm_email", wish);
  }

  /** Throws KithError invalid_email, invalid_token, expired_token, account_not_found. */
  async confirmEmail(did: string, { email, token }: { email: string; token: string }): Promise<void> {
    const account = await this.#account(did);
    const normal = normalizeEmail(email);
    if (account.email !== normal) {
      throw new KithError("invalid_email", "The e-mail address is not that of the account");
    }
    const proof = this.#options.tokens.proofOf("confirm_email", token);
    await this.#options.rows.confirmEmail({ did, email: normal, token: proof });
  }

  /** Whether a code is needed for a change of the address: then it has been sent to the present one. */
  async requestEmailUpdate(did: string, wish: MailWish = {}): Promise<{ tokenRequired: boolean }> {
    const account = await this.#account(did);
    const tokenRequired = account.emailConfirmedAt !== null;
    if (tokenRequired) await this.#options.mail.sendCode(account, "update_email", wish);
    return { tokenRequired };
  }

  /**
   * Gives the account another address, or with its own one and `emailAuthFactor` switches codes by mail at sign-in on, or, by a
   * token, off. Throws KithError token_required, invalid_token, expired_token, invalid_request (no address, or taken, or not
   * confirmed, where it is to get codes).
   */
  async updateEmail(
    did: string,
    request: { email: string; token?: string | undefined; emailAuthFactor?: boolean | undefined },
  ): Promise<void> {
    const account = await this.#account(did);
    const email = checkEmail(request.email);
    const { emailAuthFactor } = request;
    // Forms send an empty field for what was not filled in.
    const token = request.token ? this.#options.tokens.proofOf("update_email", request.token) : undefined;
    if (emailAuthFactor !== undefined && email === account.email) {
      return this.#setEmailFactor(account, { isOn: emailAuthFactor, token: request.token || undefined });
    }
    if (emailAuthFactor === true) {
      throw new KithError(
        "invalid_request",
        `Could not switch codes by mail on: confirm the address "${email}" first`,
      );
    }
    await this.#options.rows.changeEmail({ did, email, ...(token === undefined ? {} : { token }) });
    if (account.email !== email) await this.#notify(account, { kind: "email_changed", name: email });
  }

  /** Official clients switch it on without a token, and off with one. */
  async #setEmailFactor(
    account: Account,
    { isOn, token }: { isOn: boolean; token: string | undefined },
  ): Promise<void> {
    const { factors, tokens } = this.#options;
    const isOnAlready = factors.hasEmail(account.did);
    if (isOn) {
      await factors.addEmail(account);
      if (!isOnAlready) await this.#notify(account, { kind: "email_codes_on" });
      return;
    }
    if (!isOnAlready) return;
    if (token === undefined) throw new KithError("token_required", "Confirmation token required");
    await tokens.take(account.did, "update_email", token);
    await factors.removeEmail(account.did);
    await this.#notify(account, { kind: "email_codes_off" });
  }

  /**
   * Mails a code to the account of an address. The answer is the same, in words and in time, where there is none.
   * Throws KithError invalid_request where the server has no mail set up.
   */
  async requestPasswordReset(email: string, wish: MailWish = {}): Promise<void> {
    this.#options.mail.assertConfigured("reset_password");
    const wait = this.#options.wait ?? ((ms) => new Promise((resolve) => setTimeout(resolve, ms)));
    await Promise.all([this.#sendReset(email, wish), wait(RESET_ANSWER_MS)]);
  }

  async #sendReset(email: string, wish: MailWish): Promise<void> {
    const { accounts, mail, logger } = this.#options;
    try {
      const account = await accounts.accountByEmail(normalizeEmail(email));
      if (isPresent(account)) await mail.sendCode(account, "reset_password", wish);
    } catch (error) {
      // Whatever it is, it would tell that the address is known.
      if (!isKithError(error, "rate_limited")) logger.error("Could not send a code for a reset", { error });
    }
  }

  /** Sets a new password by a code; every session ends. Throws KithError invalid_password, invalid_token, expired_token. */
  async resetPassword({ token, password }: { token: string; password: string }): Promise<void> {
    const { accounts, tokens, passwords, rows, sessions } = this.#options;
    checkNewPassword(password);
    const did = await tokens.ownerOf("reset_password", token);
    const account = did === undefined ? undefined : await accounts.account(did);
    if (!isPresent(account)) throw new KithError("invalid_token", "Token is invalid");
    // Before the work that a hash is.
    await tokens.check(account.did, "reset_password", token);
    const passwordHash = await passwords.hash(password);
    const proof = tokens.proofOf("reset_password", token);
    await rows.setPassword({
      did: account.did,
      passwordHash,
      token: proof,
      now: (this.#options.now ?? Date.now)(),
    });
    // Who has forgotten it has been locked out by trying.
    sessions.unlock(account.did);
    await this.#notify(account, { kind: "password_changed" });
  }

  /**
   * By the owner, with the password of before; every session ends, also those of apps and browsers. Throws KithError auth_required
   * (the old one is wrong), invalid_password, rate_limited, busy, account_not_found.
   */
  async changePassword(
    did: string,
    { current, password, ip }: { current: string; password: string; ip: string },
  ): Promise<{ readonly passwordHash: string }> {
    const { passwords, rows, sessions, now = Date.now } = this.#options;
    const account = await this.#account(did);
    checkNewPassword(password);
    await sessions.checkPassword({ did, password: current, ip });
    const passwordHash = await passwords.hash(password);
    await rows.setPassword({ did, passwordHash, now: now() });
    await this.#notify(account, { kind: "password_changed" });
    return { passwordHash };
  }

  /** By the admin: sets a password; every session ends. Throws KithError invalid_password, account_not_found. */
  async setPassword(did: string, password: string): Promise<void> {
    const { passwords, rows, sessions, now = Date.now } = this.#options;
    checkNewPassword(password);
    await this.#account(did);
    await rows.setPassword({ did, passwordHash: await passwords.hash(password), now: now() });
    sessions.unlock(did);
  }

  /** By the admin: sets an address, not confirmed. Throws KithError invalid_request (no address, or taken), account_not_found. */
  async setEmail(did: string, email: string): Promise<void> {
    await this.#account(did);
    await this.#options.rows.changeEmail({ did, email: checkEmail(email), byAdmin: true });
  }

  /** Throws KithError invalid_request (no mail set up, no address), rate_limited, account_not_found. */
  async requestAccountDelete(did: string, wish: MailWish = {}): Promise<void> {
    await this.#options.mail.sendCode(await this.#account(did), "delete_account", wish);
  }

  /**
   * Deletes an account for good, by its own password and a code. `ip` is the caller's address. Resolves once it is decided.
   * Throws KithError auth_required, rate_limited (too many wrong passwords), invalid_token, expired_token.
   */
  async deleteAccount(request: { did: string; password: string; token: string; ip: string }): Promise<void> {
    const { did, password, token, ip } = request;
    const { sessions, tokens, repos } = this.#options;
    await sessions.checkPassword({ did, password, ip });
    // The code goes with the account: a deletion that fails may be tried again.
    await tokens.check(did, "delete_account", token);
    await repos.deleteRepo(did);
  }

  /** Locks everybody out of an account until its password has been reset. Throws KithError account_not_found. */
  async revokeAll(did: string): Promise<void> {
    await this.#account(did);
    // Tokens tell whole seconds: those of this one are to end too, and none is given out before a reset.
    const sessionsFrom = (this.#options.now ?? Date.now)() + 1_000;
    await this.#options.rows.revokeAll({ did, sessionsFrom });
  }

  /** To the address that the account had before the change. Nobody's change fails because of it. */
  async #notify(account: Account, notice: Notice): Promise<void> {
    await this.#options.mail.notify(account, notice).catch((error: unknown) => {
      this.#options.logger.warn("Could not tell a member of a change by mail", { did: account.did, error });
    });
  }

  async #account(did: string): Promise<Account> {
    const account = await this.#options.accounts.account(did);
    if (!isPresent(account)) throw new KithError("account_not_found", "Account not found");
    return account;
  }
}
