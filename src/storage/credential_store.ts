/** Changes of what an account is held by: its password and its e-mail address, each with the code that it needs, at once. */
import { KithError } from "../errors.ts";
import { type TokenProof, takeToken } from "./email_token_store.ts";
import type { Hub } from "./hub.ts";
import { endOAuth } from "./oauth_store.ts";
import { forgetSecondFactors } from "./second_factor_store.ts";
import { isUniqueViolation } from "./sqlite.ts";

export class CredentialStore {
  readonly #hub: Hub;

  constructor(hub: Hub) {
    this.#hub = hub;
  }

  /**
   * Sets the hash of a password, ends every session, also those of apps, and uses up every code of the account.
   * Throws KithError invalid_token, expired_token where `token` is given and not valid.
   */
  async setPassword(change: {
    did: string;
    passwordHash: string;
    token?: TokenProof;
    /** Unix milliseconds. */
    now: number;
  }): Promise<void> {
    const { did, passwordHash, token, now } = change;
    await this.#hub.write((run) => {
      if (token) takeToken(this.#hub, run, { did, proof: token });
      run("UPDATE account SET password_hash = ?, sessions_from = ? WHERE did = ?", passwordHash, now, did);
      for (const table of ["session", "device_account", "email_token"]) {
        run(`DELETE FROM ${table} WHERE did = ?`, did);
      }
      endOAuth(run, did);
    });
  }

  /** Takes away whatever an account is signed in to with, tokens from before `sessionsFrom` (Unix milliseconds) too. */
  async revokeAll({ did, sessionsFrom }: { did: string; sessionsFrom: number }): Promise<void> {
    await this.#hub.write((run) => {
      run("UPDATE account SET password_hash = '', sessions_from = ? WHERE did = ?", sessionsFrom, did);
      for (const table of ["session", "device_account", "app_password", "email_token"]) {
        run(`DELETE FROM ${table} WHERE did = ?`, did);
      }
      endOAuth(run, did);
      // Whoever took the account over may have added theirs, which would let them in, and keep the owner out.
      forgetSecondFactors(run, did);
    });
  }

  /** Throws KithError invalid_email where the account has another address, invalid_token, expired_token. */
  async confirmEmail(change: { did: string; email: string; token: TokenProof }): Promise<void> {
    const { did, email, token } = change;
    await this.#hub.write((run) => {
      const row = this.#hub.readOne<{ email: string | null }>("SELECT email FROM account WHERE did = ?", did);
      if (row?.email !== email.toLowerCase()) {
        throw new KithError("invalid_email", "The e-mail address is not that of the account");
      }
      takeToken(this.#hub, run, { did, proof: token });
      run("UPDATE account SET email_confirmed_at = ? WHERE did = ?", token.now, did);
    });
  }

  /**
   * Sets an address, not confirmed, and uses up every code of the account: they went to the one before. Without `token`
   * only where that one was not confirmed, or `byAdmin`. Throws KithError token_required, invalid_token, expired_token,
   * invalid_request (the address is taken).
   */
  async changeEmail(change: {
    did: string;
    email: string;
    token?: TokenProof;
    byAdmin?: boolean;
  }): Promise<void> {
    const { did, token } = change;
    const email = change.email.toLowerCase();
    await this.#hub.write((run) => {
      if (token) takeToken(this.#hub, run, { did, proof: token });
      else if (!change.byAdmin && this.#isConfirmed(did)) {
        throw new KithError("token_required", "Confirmation token required");
      }
      try {
        run("UPDATE account SET email = ?, email_confirmed_at = NULL WHERE did = ?", email, did);
      } catch (error) {
        if (!isUniqueViolation(error, "account.email")) throw error;
        throw new KithError("invalid_request", `Email already taken: ${email}`);
      }
      run("DELETE FROM email_token WHERE did = ?", did);
    });
  }

  #isConfirmed(did: string): boolean {
    const row = this.#hub.readOne<{ at: number | null }>(
      "SELECT email_confirmed_at AS at FROM account WHERE did = ?",
      did,
    );
    return row !== undefined && row.at !== null;
  }
}
