/** Tells members by mail what was changed about their accounts, by whichever way. */
import type { Logger } from "../logger.ts";
import type { Notice } from "../mailer/mod.ts";
import { type AccountLookup, isPresent } from "./account.ts";
import type { AccountMail } from "./account_mail.ts";

export interface MemberNoticesOptions {
  readonly accounts: Pick<AccountLookup, "account">;
  readonly mail: Pick<AccountMail, "notify">;
  readonly logger: Logger;
}

export class MemberNotices {
  readonly #options: MemberNoticesOptions;

  constructor(options: MemberNoticesOptions) {
    this.#options = options;
  }

  /** To the address that the account has now. Nobody's change fails because of it. */
  async tell(did: string, notice: Notice): Promise<void> {
    const { accounts, mail, logger } = this.#options;
    try {
      const account = await accounts.account(did);
      if (isPresent(account)) await mail.notify(account, notice);
    } catch (error) {
      logger.warn("Could not tell a member of a change by mail", { did, error });
    }
  }
}
