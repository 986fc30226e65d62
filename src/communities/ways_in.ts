/** How an account at a stock PDS lets us in: by its owner's consent where there is one, otherwise by its app password. */
import type { HostToken } from "../identity/mod.ts";
import type { OAuthSessions } from "./oauth/oauth_sessions.ts";
import type { StockCommunity, StockSessions } from "./sessions.ts";

/** `open`: it may still be taken by the account's server. */
export interface EndedWay {
  readonly way: "appPassword" | "consent";
  readonly open: boolean;
}

export class WaysIn {
  readonly #consents: Pick<OAuthSessions, "has" | "use" | "check" | "end">;
  readonly #passwords: Pick<StockSessions, "use" | "check" | "end">;

  constructor({
    consents,
    passwords,
  }: {
    consents: Pick<OAuthSessions, "has" | "use" | "check" | "end">;
    passwords: Pick<StockSessions, "use" | "check" | "end">;
  }) {
    this.#consents = consents;
    this.#passwords = passwords;
  }

  /** Calls with what signs in as the account. Throws AppPasswordRefused, ConsentEnded, and what the call and signing in throw. */
  async use<T>(community: StockCommunity, call: (token: HostToken) => Promise<T>): Promise<T> {
    if (this.#consents.has(community)) return await this.#consents.use(community, call);
    return await this.#passwords.use(community, call);
  }

  /** Whether its server still lets us in, asked anew. Throws as `use`. */
  async check(community: StockCommunity): Promise<void> {
    if (this.#consents.has(community)) await this.#consents.check(community);
    else await this.#passwords.check(community);
  }

  /** Ends what there is at the account's server, as far as that can be, and forgets the session. */
  async end(community: StockCommunity): Promise<EndedWay> {
    if (this.#consents.has(community)) {
      return { way: "consent", open: !(await this.#consents.end(community)) };
    }
    await this.#passwords.end(community);
    return { way: "appPassword", open: true };
  }
}
