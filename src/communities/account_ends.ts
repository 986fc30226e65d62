/** What the end of an account of this server means to communities: those that it belongs to, and the one that it is. */
import { type DidDocument, pdsEndpointOf } from "../atproto/mod.ts";
import { isKithError, KithError } from "../errors.ts";
import type { Logger } from "../logger.ts";
import type { CommunityMemberStore, CommunityStore } from "../storage/mod.ts";

/** Of the communities that hold an account back so many are named. */
const NAMED_MAX = 5;

export interface AccountEndsOptions {
  readonly communities: Pick<CommunityStore, "find" | "remove" | "withoutAccount">;
  readonly members: Pick<
    CommunityMemberStore,
    "soleOwnerOf" | "removeSubject" | "beginLeaving" | "endLeaving" | "settleLeaving"
  >;
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
  /** How many deletions of an account are under way: one that fails must not end what another one rests on. */
  readonly #underWay = new Map<string, number>();

  constructor(options: AccountEndsOptions) {
    this.#options = options;
  }

  /** For start-up: ends what a crash has left between the deletion of an account and what it means here. */
  async settle(): Promise<void> {
    const { communities, members } = this.#options;
    for (const did of communities.withoutAccount()) await this.#removeCommunity(did);
    await members.settleLeaving();
  }

  /**
   * The same, where no community loses its last owner by it: its deletion throws KithError last_owner then. Whoever has moved to
   * another server stays a member: there only what is left here ends.
   */
  guard<Options>(repos: Repos<Options>): Repos<Options> {
    return {
      deleteRepo: async (did, options) => {
        const hasMoved = await this.#hasMoved(did);
        if (hasMoved) await repos.deleteRepo(did, options);
        else await this.#leaving(did, () => repos.deleteRepo(did, options));
        await this.#ended(did, { hasMoved });
      },
    };
  }

  /** Two owners whose accounts are deleted at once cannot both rest on the other. */
  async #leaving(did: string, remove: () => Promise<unknown>): Promise<void> {
    const { members } = this.#options;
    this.#refuseSoleOwner(did);
    this.#underWay.set(did, (this.#underWay.get(did) ?? 0) + 1);
    try {
      await members.beginLeaving(did);
      await remove();
    } catch (error) {
      if (this.#underWay.get(did) === 1) await members.endLeaving(did);
      throw error;
    } finally {
      const others = (this.#underWay.get(did) ?? 1) - 1;
      if (others > 0) this.#underWay.set(did, others);
      else this.#underWay.delete(did);
    }
  }

  #refuseSoleOwner(did: string): void {
    const { communities, members } = this.#options;
    const owned = members.soleOwnerOf(did, NAMED_MAX + 1);
    if (owned.length === 0) return;
    const names = owned.slice(0, NAMED_MAX).map((community) => {
      const handle = communities.find(community)?.handle;
      return handle ? `"${handle}" (${community})` : `"${community}"`;
    });
    const more = owned.length > NAMED_MAX ? " and others" : "";
    throw new LastOwnerError(did, `${names.join(", ")}${more}`);
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
  async #ended(did: string, { hasMoved }: { hasMoved: boolean }): Promise<void> {
    const { communities, members, logger, now } = this.#options;
    try {
      if (communities.find(did)?.kind === "native") await this.#removeCommunity(did);
      const entry = { community: null, actor: did, action: "member.accountDeleted", at: now() };
      if (!hasMoved) await members.removeSubject(did, { audit: [entry] });
    } catch (error) {
      const isOwner = isKithError(error, "last_owner");
      const message = isOwner
        ? "The last owner of a community has deleted their account"
        : "Could not take a deleted account out of its communities";
      logger.warn(message, { did, error });
    }
  }

  async #removeCommunity(did: string): Promise<void> {
    const { communities, now } = this.#options;
    const entry = { community: did, actor: did, action: "community.accountDeleted", at: now() };
    await communities.remove(did, { audit: [entry] });
  }
}
