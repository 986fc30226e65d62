/** Who belongs to a community: letting in, changing, taking out, and what each call rests on. */
import { KithError } from "../errors.ts";
import type {
  Community,
  CommunityAuditEntry,
  CommunityMemberStore,
  CommunityOfMember,
  CommunityPage,
  CommunityStore,
  Member,
  Role,
} from "../storage/mod.ts";
import { whyNotGrant, whyNotManage, whyNotOwn, whyNotPublish, whyNotRevoke } from "./roles.ts";

export interface MembersOptions {
  readonly communities: Pick<CommunityStore, "find" | "listOf">;
  readonly members: Pick<CommunityMemberStore, "member" | "members" | "putMember" | "removeMember">;
  /** False for a DID that nobody has. Throws KithError timeout, upstream_failure. */
  isSomebody(did: string): boolean | Promise<boolean>;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** What a caller may need to be. */
export type Right = "see" | "manage" | "publish" | "own";

export interface CommunityAndMember {
  readonly community: Community;
  readonly member: Member;
}

const RIGHTS: Readonly<Record<Right, (member: Member) => string | undefined>> = {
  see: () => undefined,
  manage: whyNotManage,
  publish: whyNotPublish,
  own: whyNotOwn,
};

export class Members {
  readonly #options: MembersOptions;

  constructor(options: MembersOptions) {
    this.#options = options;
  }

  /**
   * A community and what the caller is in it. Throws KithError community_not_found, also for strangers: who belongs to
   * what is not told to them; role_too_low where `right` is wanting.
   */
  require(communityDid: string, { caller, right }: { caller: string; right: Right }): CommunityAndMember {
    const { communities, members } = this.#options;
    const community = communities.find(communityDid);
    const member = community && members.member(communityDid, caller);
    if (!community || !member) throw notFound(communityDid);
    const why = RIGHTS[right](member);
    if (why !== undefined) throw roleTooLow(`Could not ${WORDS[right]} the community "${communityDid}"`, why);
    return { community, member };
  }

  /** The communities that the caller belongs to. */
  listOf(caller: string, page: CommunityPage): { communities: CommunityOfMember[]; cursor?: string } {
    return this.#options.communities.listOf(caller, page);
  }

  list(
    communityDid: string,
    { caller, ...page }: CommunityPage & { caller: string },
  ): { members: Member[]; cursor?: string } {
    this.require(communityDid, { caller, right: "see" });
    return this.#options.members.members(communityDid, page);
  }

  /**
   * Lets somebody in, or changes what they are; `canPublish` stays as it is where it is undefined. Throws KithError
   * community_not_found, role_too_low, last_owner, invalid_request (nobody can act as the subject), timeout, upstream_failure.
   */
  async grant(
    communityDid: string,
    given: { caller: string; subject: string; role: Role; canPublish?: boolean | undefined },
  ): Promise<Member> {
    const { caller, subject, role } = given;
    const { member } = this.require(communityDid, { caller, right: "see" });
    const { members, now } = this.#options;
    const action = `Could not make "${subject}" ${role} of the community "${communityDid}"`;
    if (members.member(communityDid, subject) === undefined) {
      // So that only those are told of it who may let somebody in.
      const why = whyNotManage(member);
      if (why !== undefined) throw roleTooLow(action, why);
      await this.#refuseNobody(subject, { communityDid, action });
    }
    const before = members.member(communityDid, subject);
    const canPublish = given.canPublish ?? before?.canPublish ?? false;
    return await members.putMember({
      community: communityDid,
      subject,
      actor: caller,
      role,
      canPublish,
      now: now(),
      decide: ({ actor, current }) => {
        if (!actor) throw notFound(communityDid);
        const wanted = { role, canPublish };
        const why = whyNotGrant(actor, { current, wanted, isSelf: subject === caller });
        if (why !== undefined) throw roleTooLow(action, why);
      },
      audit: [
        this.#entry(communityDid, { caller, action: "member.grant", detail: { subject, role, canPublish } }),
      ],
    });
  }

  /** Takes somebody out; nothing where they are no member. Throws KithError community_not_found, role_too_low, last_owner. */
  async revoke(
    communityDid: string,
    { caller, subject }: { caller: string; subject: string },
  ): Promise<void> {
    this.require(communityDid, { caller, right: "see" });
    const { members, now } = this.#options;
    await members.removeMember({
      community: communityDid,
      subject,
      actor: caller,
      now: now(),
      decide: ({ actor, current }) => {
        if (!actor) throw notFound(communityDid);
        const why = current
          ? whyNotRevoke(actor, { current, isSelf: subject === caller })
          : whyNotManage(actor);
        const action = `Could not take "${subject}" out of the community "${communityDid}"`;
        if (why !== undefined) throw roleTooLow(action, why);
      },
      audit: [this.#entry(communityDid, { caller, action: "member.revoke", detail: { subject } })],
    });
  }

  /** A community whose owner is nobody, or can do nothing, would be nobody's. */
  async #refuseNobody(
    subject: string,
    { communityDid, action }: { communityDid: string; action: string },
  ): Promise<void> {
    const refuse = (why: string) => new KithError("invalid_request", `${action}: ${why}`);
    if (subject === communityDid) throw refuse("a community is no member of itself");
    if (this.#options.communities.find(subject)?.kind === "native") {
      throw refuse("it is a community of this server, which nobody signs in to");
    }
    if (!(await this.#options.isSomebody(subject))) throw refuse("nobody has this DID");
  }

  #entry(
    community: string,
    about: { caller: string; action: string; detail: Record<string, unknown> },
  ): CommunityAuditEntry {
    const { caller, action, detail } = about;
    return { community, actor: caller, action, detail, at: this.#options.now() };
  }
}

const WORDS: Readonly<Record<Right, string>> = {
  see: "see",
  manage: "manage",
  publish: "publish as",
  own: "decide about",
};

export function notFound(communityDid: string): KithError {
  return new KithError(
    "community_not_found",
    `There is no community "${communityDid}" here, or you are not a member of it`,
  );
}

export function roleTooLow(action: string, why: string): KithError {
  return new KithError("role_too_low", `${action}: ${why}`);
}
