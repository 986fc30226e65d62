import type { Logger } from "../logger.ts";
import { isMailLanguage, MAIL_LANGUAGES, type MailLanguage } from "../mailer/mod.ts";

/** What languages need of their store. A change is durable when its promise resolves. */
export interface LanguageRows {
  languageOf(did: string): string | undefined;
  setLanguage(did: string, language: string): Promise<unknown>;
}

/** The language that each member reads: the one of the pages that they last used, else that of the app that they signed in with. */
export class MemberLanguages {
  readonly #rows: LanguageRows;
  readonly #logger: Logger;

  constructor({ rows, logger }: { readonly rows: LanguageRows; readonly logger: Logger }) {
    this.#rows = rows;
    this.#logger = logger;
  }

  /** The one that is known, else the one that this request wishes for, else English. */
  of(did: string, wished?: MailLanguage | undefined): MailLanguage {
    return this.#known(did) ?? wished ?? MAIL_LANGUAGES[0];
  }

  /** A page was shown in it. Never rejects: nothing fails because of it. */
  async read(did: string, language: MailLanguage): Promise<void> {
    if (this.#known(did) === language) return;
    await this.#rows.setLanguage(did, language).catch((error: unknown) => {
      this.#logger.warn("Could not note which language a member reads", { did, error });
    });
  }

  /** An app says so, on whose word a member's own choice is not changed. Never rejects. */
  async guess(did: string, language: MailLanguage | undefined): Promise<void> {
    if (language !== undefined && this.#known(did) === undefined) await this.read(did, language);
  }

  #known(did: string): MailLanguage | undefined {
    const language = this.#rows.languageOf(did);
    return isMailLanguage(language) ? language : undefined;
  }
}
