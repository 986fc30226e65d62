/** Wires the pages on which members look after their account. Called by page_features.ts. */
import type { Config } from "./config/mod.ts";
import type { Stores } from "./engine.ts";
import { KithError } from "./errors.ts";
import type { Features } from "./features.ts";
import { AccountPages } from "./oauth/mod.ts";

export interface AccountPageParts {
  readonly config: Config;
  readonly features: Features;
  readonly stores: Pick<Stores, "accounts" | "oauth">;
}

export function accountPagesOf({ config, features, stores }: AccountPageParts): AccountPages {
  const { owners, oauth, identityChanges } = features;
  const { accounts } = stores;
  const trusted = new Set(config.oauthTrustedClients);
  return new AccountPages({
    ...owners,
    accounts,
    identityChanges,
    oauth: stores.oauth,
    sets: oauth.sets,
    handleDomains: config.handleDomains,
    handleClaim: config.inviteRequired ? "invited" : "open",
    deleteAfter: (did) => accounts.deleteAfter(did),
    clientName: async (clientId) => {
      if (!trusted.has(clientId)) return { clientId };
      try {
        return { clientId, name: (await oauth.clients.find(clientId)).name };
      } catch (error) {
        // Where its document cannot be had, its address has to do.
        if (error instanceof KithError) return { clientId };
        throw error;
      }
    },
    notify: ({ account }, notice) => owners.notices.tell(account.did, notice),
    now: Date.now,
  });
}
