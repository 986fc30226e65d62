/** What the end of an account of this server means to communities: those that it belongs to, and the one that it is. */
import { type DidDocument, pdsEndpointOf } from "../atproto/mod.ts";
import { isKithError, KithError } from "../errors.ts";
import type { Logger } from "../logger.ts";
import type { CommunityMemberStore, CommunityStore, Membership } from "../storage/mod.ts";

/** Of the communities that hold an account back so many are named. */
const NAMED_MAX = 5;

export interface AccountEndsOptions {
  readonly communities: Pick<CommunityStore, "find" | "remove">;
  readonly members: Pick<CommunityMemberStore, "soleOwnerOf" | "removeSubject" | "restoreSubject">;
  readonly accounts: { account(did: string): { readonly state: string } | undefined };
  readonly dids: { resolve(did: string, options?: { fresh?: boolean }): Promise<DidDocument> };
  readonly publicUrl: string;
  readonly logger: Logger;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

interface Repos<Options> {
  deleteRepo(did: string, options?: Options): Promise<unknown>;
}

/** The account is the last owner of communities: they are named. */
export class LastOwnerError extends KithError {
  readonly communities: string;

  constructor(did: string, communities: string) {
    super(
      "last_owner",
      `Could not delete the account "${did}": it is the last owner of the community ${communities}. Make another member an owner first, or delete the community`,
    );
    this.communities = communities;
  }
}

export class AccountEnds {
  readonly #options: AccountEndsOptions;

  constructor(options: AccountEndsOptions) {
    this.#options = options;
  }

  /**
   * The same, where no community loses its last owner by it: its deletion throws KithError last_owner then. Whoever has moved to
   * another server stays a member: there only what is left here ends.
   */
  guard<Options>(repos: Repos<Options>): Repos<Options> {
    return {
      deleteRepo: async (did, options) => {
        const left = (await this.#hasMoved(did)) ? [] : await this.#leave(did);
        try {
          await repos.deleteRepo(did, options);
        } catch (error) {
          await this.#options.members.restoreSubject(did, left);
          throw error;
        }
        await this.#ended(did);
      },
    };
  }

  /**
   * Before the account ends, so that of two last owners who go at once one is held back. What it was, to be given back where the
   * account stays after all. Throws LastOwnerError.
   */
  async #leave(did: string): Promise<readonly Membership[]> {
    const { members, now } = this.#options;
    const audit = [{ actor: did, action: "member.accountDeleted", at: now() }];
    try {
      return await members.removeSubject(did, { audit });
    } catch (error) {
      throw isKithError(error, "last_owner") ? this.#lastOwnerOf(did) : error;
    }
  }

  #lastOwnerOf(did: string): LastOwnerError {
    const { communities, members } = this.#options;
    const owned = members.soleOwnerOf(did, NAMED_MAX + 1);
    const names = owned.slice(0, NAMED_MAX).map((community) => {
      const handle = communities.find(community)?.handle;
      return handle ? `"${handle}" (${community})` : `"${community}"`;
    });
    const more = owned.length > NAMED_MAX ? " and others" : "";
    return new LastOwnerError(did, `${names.join(", ")}${more}`);
  }

  /** Where that cannot be found out, the account counts as this server's. */
  async #hasMoved(did: string): Promise<boolean> {
    const { accounts, dids, publicUrl } = this.#options;
    // An account that has moved is deactivated here.
    if (accounts.account(did)?.state !== "deactivated") return false;
    try {
      const document = await dids.resolve(did, { fresh: true });
      const endpoint = pdsEndpointOf(document, { allowHttp: true });
      return endpoint !== undefined && endpoint !== publicUrl;
    } catch (error) {
      if (error instanceof KithError) return false;
      throw error;
    }
  }

  /** It is decided: what goes wrong now is for the log. */
  async #ended(did: string): Promise<void> {
    const { communities, logger, now } = this.#options;
    if (communities.find(did)?.kind !== "native") return;
    const entry = { community: did, actor: did, action: "community.accountDeleted", at: now() };
    await communities.remove(did, { audit: [entry] }).catch((error: unknown) => {
      logger.warn("Could not end the community of a deleted account", { did, error });
    });
  }
}
