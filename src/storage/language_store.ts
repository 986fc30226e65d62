/** The languages that members read: what is mailed to them is written in them. */
import type { Hub } from "./hub.ts";

export class LanguageStore {
  readonly #hub: Hub;

  constructor(hub: Hub) {
    this.#hub = hub;
  }

  languageOf(did: string): string | undefined {
    return this.#hub.readOne<{ language: string }>("SELECT language FROM account_language WHERE did = ?", did)
      ?.language;
  }

  /** Nothing where there is no such account any more. */
  async setLanguage(did: string, language: string): Promise<void> {
    await this.#hub.write((run) => {
      run(
        `INSERT INTO account_language (did, language)
         SELECT did, ?2 FROM account WHERE did = ?1 AND state NOT IN ('deleting', 'deleted')
         ON CONFLICT (did) DO UPDATE SET language = ?2`,
        did,
        language,
      );
    });
  }
}
