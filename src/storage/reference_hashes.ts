/**
 * Password hashes that were taken over from a reference PDS and have not been replaced yet: `salt:hash`, which no hash of kith's has a
 * colon of. Each goes when its password is next seen.
 */
import type { Hub } from "./hub.ts";

const IS_REFERENCE = "password_hash GLOB '*:*'";

export interface HashChange {
  readonly did: string;
  readonly from: string;
  readonly to: string;
}

export class ReferenceHashStore {
  readonly #hub: Hub;
  #left: boolean | undefined;
  #appPasswordsLeft: boolean | undefined;

  constructor(hub: Hub) {
    this.#hub = hub;
  }

  /** Whether any account has one, or any app password. */
  anyLeft(): { passwords: boolean; appPasswords: boolean } {
    // None comes into being while a server runs, so what is gone is gone.
    this.#left ??= this.#has("account");
    this.#appPasswordsLeft ??= this.#has("app_password");
    return { passwords: this.#left, appPasswords: this.#appPasswordsLeft };
  }

  /** False, and nothing is changed, where the hash is not the account's any more. */
  async replace({ did, from, to }: HashChange): Promise<boolean> {
    const sql = "UPDATE account SET password_hash = ? WHERE did = ? AND password_hash = ?";
    const changed = await this.#hub.write((run) => run(sql, to, did, from).changes > 0);
    this.#left = undefined;
    return changed;
  }

  /** The same for an app password. */
  async replaceOfApp({ did, from, to }: HashChange): Promise<boolean> {
    const sql = "UPDATE app_password SET password_hash = ? WHERE did = ? AND password_hash = ?";
    const changed = await this.#hub.write((run) => run(sql, to, did, from).changes > 0);
    this.#appPasswordsLeft = undefined;
    return changed;
  }

  #has(table: "account" | "app_password"): boolean {
    return this.#hub.readOne(`SELECT 1 FROM ${table} WHERE ${IS_REFERENCE} LIMIT 1`) !== undefined;
  }
}
