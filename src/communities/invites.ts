/** Invites to communities: secret texts that let whoever has them in, for as long as their creator might do so. */
import { createHash, randomBytes } from "node:crypto";
import { KithError } from "../errors.ts";
import type {
  CommunityInvite,
  CommunityInviteStore,
  CommunityPage,
  Redeemed,
  RedemptionFound,
  Role,
} from "../storage/mod.ts";
import { type Members, notFound, roleTooLow } from "./members.ts";
import { afterRedeeming, whyNotInvite, whyNotManage } from "./roles.ts";

/** How long an invite is good for, by default and at most. */
export const INVITE_LIFETIME_MS = 7 * 24 * 3_600_000;
export const INVITE_LIFETIME_MS_MAX = 366 * 24 * 3_600_000;
/** Of one invite. */
export const INVITE_USES_MAX = 1_000;
const TOKEN_BYTES = 20;
const ID_BYTES = 9;
/** So that it is known for what it is where somebody finds it. */
const TOKEN_PREFIX = "kith-invite-";

export interface CommunityInvitesOptions {
  readonly invites: Pick<
    CommunityInviteStore,
    "createInvite" | "found" | "invite" | "invitesOf" | "revokeInvite" | "redeem"
  >;
  readonly members: Pick<Members, "require">;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export interface InviteRequest {
  readonly caller: string;
  readonly role: Role;
  readonly canPublish: boolean;
  readonly uses: number;
  /** Milliseconds since 1970; `INVITE_LIFETIME_MS` from now where absent. */
  readonly expiresAt?: number | undefined;
}

/** An invite as it is told, with whether it can be redeemed now. */
export interface InviteShown extends CommunityInvite {
  readonly valid: boolean;
}

export class CommunityInvites {
  readonly #options: CommunityInvitesOptions;

  constructor(options: CommunityInvitesOptions) {
    this.#options = options;
  }

  /** A new invite, and its token, which is not kept. Throws KithError community_not_found, role_too_low, invalid_request. */
  async create(
    communityDid: string,
    { caller, role, canPublish, uses, expiresAt: wanted }: InviteRequest,
  ): Promise<{ invite: InviteShown; token: string }> {
    this.#options.members.require(communityDid, { caller, right: "manage" });
    const now = this.#options.now();
    const expiresAt = wanted ?? now + INVITE_LIFETIME_MS;
    if (expiresAt <= now || expiresAt > now + INVITE_LIFETIME_MS_MAX) {
      const at = new Date(expiresAt).toISOString();
      throw new KithError(
        "invalid_request",
        `Could not make an invite that ends at ${at}: it must be within a year`,
      );
    }
    const token = TOKEN_PREFIX + randomBytes(TOKEN_BYTES).toString("hex");
    const invite = await this.#options.invites.createInvite({
      // Not base64url: what begins with a dash would be an option to a command line.
      id: randomBytes(ID_BYTES).toString("hex"),
      community: communityDid,
      tokenHash: hashOf(token),
      role,
      canPublish,
      uses,
      createdBy: caller,
      expiresAt,
      now,
      decide: (creator) => {
        if (!creator) throw notFound(communityDid);
        const why = whyNotInvite(creator, { role, canPublish });
        if (why !== undefined) throw roleTooLow(`Could not invite to the community "${communityDid}"`, why);
      },
      audit: [
        {
          community: communityDid,
          actor: caller,
          action: "invite.create",
          detail: { role, canPublish, uses },
          at: now,
        },
      ],
    });
    return { invite: { ...invite, valid: true }, token };
  }

  /** Newest first, without their tokens. Throws KithError community_not_found, role_too_low. */
  list(
    communityDid: string,
    { caller, ...page }: CommunityPage & { caller: string },
  ): { invites: InviteShown[]; cursor?: string } {
    const { members, invites } = this.#options;
    members.require(communityDid, { caller, right: "manage" });
    const found = invites.invitesOf(communityDid, page);
    return { ...found, invites: found.invites.map((invite) => this.#shown(invite)) };
  }

  /** Throws KithError community_not_found, role_too_low, invalid_invite (there is none, or it was revoked before). */
  async revoke(communityDid: string, { caller, id }: { caller: string; id: string }): Promise<void> {
    const { members, invites, now } = this.#options;
    members.require(communityDid, { caller, right: "manage" });
    const revoked = await invites.revokeInvite({
      community: communityDid,
      id,
      actor: caller,
      now: now(),
      decide: ({ actor, invite }) => {
        if (!actor) throw notFound(communityDid);
        // Also one that the actor could not make: an invite of somebody above is theirs to revoke.
        const why = invite.createdBy === caller ? whyNotManage(actor) : whyNotInvite(actor, invite);
        if (why !== undefined) throw roleTooLow(`Could not revoke the invite "${id}"`, why);
      },
      audit: [{ community: communityDid, actor: caller, action: "invite.revoke", detail: { id }, at: now() }],
    });
    if (!revoked) throw new KithError("invalid_invite", `There is no invite "${id}" that could be revoked`);
  }

  /**
   * What an invite would make of somebody, so that they can decide. Throws KithError invalid_invite as `redeem`. Whoever has the
   * token may know it: they could join and see more.
   */
  look(token: string, caller: string): { invite: CommunityInvite; isMember: boolean } {
    const found = this.#options.invites.found(hashOf(token), caller);
    if (!found || !isUsable(found, this.#options.now())) throw invalidInvite();
    return { invite: found.invite, isMember: found.current !== undefined };
  }

  /**
   * Makes the caller a member. One who is more already stays so, and no use is spent. Throws KithError invalid_invite: equal
   * words for one that never was, is used up, has expired, was revoked, or whose creator may not invite any more.
   */
  async redeem(token: string, caller: string): Promise<Redeemed> {
    const now = this.#options.now();
    if (this.#options.invites.found(hashOf(token), caller)?.invite.community === caller) {
      throw new KithError("invalid_invite", "Could not use the invite: a community is no member of itself");
    }
    const redeemed = await this.#options.invites.redeem({
      tokenHash: hashOf(token),
      subject: caller,
      now,
      decide: (found) => decideRedemption(found, now),
      audit: ({ invite }) => [
        {
          community: invite.community,
          actor: caller,
          action: "invite.redeem",
          detail: { id: invite.id, role: invite.role, canPublish: invite.canPublish },
          at: now,
        },
      ],
    });
    if (!redeemed) throw invalidInvite();
    return redeemed;
  }

  #shown(invite: CommunityInvite): InviteShown {
    try {
      const creator = this.#options.members.require(invite.community, {
        caller: invite.createdBy,
        right: "see",
      }).member;
      return { ...invite, valid: isUsable({ invite, creator }, this.#options.now()) };
    } catch (error) {
      if (!(error instanceof KithError)) throw error;
      return { ...invite, valid: false };
    }
  }
}

function decideRedemption(
  found: RedemptionFound,
  now: number,
): { role: Role; canPublish: boolean } | undefined {
  if (!isUsable(found, now)) throw invalidInvite();
  return afterRedeeming(found.current, found.invite);
}

function isUsable({ invite, creator }: Pick<RedemptionFound, "invite" | "creator">, now: number): boolean {
  const { revokedAt, expiresAt, used, uses } = invite;
  if (revokedAt !== null || used >= uses || (expiresAt !== null && expiresAt <= now)) return false;
  return creator !== undefined && whyNotInvite(creator, invite) === undefined;
}

function invalidInvite(): KithError {
  return new KithError(
    "invalid_invite",
    "Could not use the invite: it does not exist, was used up or revoked, or has expired. Ask for a new one",
  );
}

function hashOf(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}
