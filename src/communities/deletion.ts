/** The end of a community on this server, and what is left of it elsewhere. */
import { isKithError } from "../errors.ts";
import type { Community, CommunityAuditEntry, CommunityStore } from "../storage/mod.ts";
import { stockOf } from "./publisher.ts";
import type { EndedWay, WaysIn } from "./ways_in.ts";

export interface DeletionsOptions {
  readonly communities: Pick<CommunityStore, "remove">;
  readonly repos: {
    /** An account of this server; resolves once the deletion is decided. Throws KithError account_not_found. */
    deleteRepo(did: string): Promise<unknown>;
  };
  readonly sessions: Pick<WaysIn, "end">;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export interface Deletion {
  readonly done: readonly string[];
  readonly remains: readonly string[];
}

export class Deletions {
  readonly #options: DeletionsOptions;

  constructor(options: DeletionsOptions) {
    this.#options = options;
  }

  /** Repeatable until its answer: what is gone already counts as done. Throws KithErrors of the accounts. */
  async delete(community: Community, caller: string): Promise<Deletion> {
    const { did, kind } = community;
    const [done, remains] = [
      ["The community, its members, its invites and what this server kept for it are gone here."],
      [] as string[],
    ];
    if (kind === "native") {
      await this.#deleteAccount(did);
      done.unshift("The account is deleted, with all that it has published.");
    } else if (kind !== null) {
      const where = `"${community.pdsEndpoint}"`;
      const stock = stockOf(community);
      const ended = stock && (await this.#options.sessions.end(stock));
      const isConsent = ended?.way === "consent";
      const what = isConsent ? "consent" : "app password";
      done.unshift(`The session at ${where} is ended, and the ${what} is forgotten here.`);
      remains.push(`The account at ${where} is its owner's, with all that it has published.`);
      if (ended?.open) remains.push(howToRevoke(ended, where));
    }
    remains.push(this.#whoRules(community));
    const audit: CommunityAuditEntry = {
      community: did,
      actor: caller,
      action: "community.delete",
      detail: { kind, handle: community.handle },
      at: this.#options.now(),
    };
    await this.#options.communities.remove(did, { audit: [audit] });
    return { done, remains };
  }

  async #deleteAccount(did: string): Promise<void> {
    try {
      await this.#options.repos.deleteRepo(did);
    } catch (error) {
      if (!isKithError(error, "account_not_found") && !isKithError(error, "repo_not_found")) throw error;
    }
  }

  #whoRules({ did, rotationKey, mode }: Community): string {
    if (mode === "adopted") return `The DID "${did}" is ruled by the rotation keys that it had.`;
    return `The DID "${did}" is ruled by the rotation key "${rotationKey}", whoever has its private half.`;
  }
}

function howToRevoke({ way }: EndedWay, where: string): string {
  if (way === "appPassword")
    return `Revoke the app password at ${where} too: an app password cannot revoke itself.`;
  return `Take the consent back at ${where} too, among the apps there: it could not be told to its server.`;
}
