/** dev.kith.community: list, get, grant, revoke, listMembers, and invites. */
import type { CommunityInvites, Members } from "../../../communities/mod.ts";
import { KithError } from "../../../errors.ts";
import {
  DevKithCommunityGet,
  DevKithCommunityGrant,
  DevKithCommunityInviteCreate,
  DevKithCommunityInviteList,
  DevKithCommunityInviteRedeem,
  DevKithCommunityInviteRevoke,
  DevKithCommunityList,
  DevKithCommunityListMembers,
  DevKithCommunityRevoke,
} from "../../../lexicons/mod.ts";
import type { Role } from "../../../storage/mod.ts";
import { perAccount } from "../../limits/charges.ts";
import { DAY_MS, HOUR_MS } from "../../limits/rate_limits.ts";
import { callerDid, type Method } from "../../method.ts";
import { communityMethod, decidingCaller } from "./access.ts";
import { communityView, inviteView, memberView } from "./views.ts";

export interface MemberMethodsOptions {
  readonly members: Members;
  readonly invites: CommunityInvites;
  readonly names: Names;
  readonly serviceDid: string;
}

/** Handles and DIDs of people, who need not be members of this server. */
export interface Names {
  /** Throws KithError handle_not_found, timeout, upstream_failure. */
  didOf(identifier: string): Promise<string>;
  /** At once, and only where it is known here. */
  handleOf(did: string): string | undefined;
}

/** Changes of members and invites, of all methods together: each leaves a row in the audit, which is kept for long. */
const CHANGES = perAccount({ points: 1_000, windowMs: HOUR_MS }, { points: 5_000, windowMs: DAY_MS });

export function memberMethods(options: MemberMethodsOptions): Method[] {
  return [...communityReads(options), ...memberChanges(options), ...inviteMethods(options)];
}

function communityReads({ members, names, serviceDid }: MemberMethodsOptions): Method[] {
  const own = communityMethod(serviceDid);
  return [
    own(DevKithCommunityList.mainSchema, {
      handler: (call) => {
        const { communities, cursor } = members.listOf(callerDid(call), call.params);
        return { communities: communities.map((found) => communityView(found, found)), cursor };
      },
    }),
    own(DevKithCommunityGet.mainSchema, {
      handler: (call) => {
        const found = members.require(call.params.communityDid, { caller: callerDid(call), right: "see" });
        return communityView(found.community, found.member);
      },
    }),
    own(DevKithCommunityListMembers.mainSchema, {
      handler: (call) => {
        const { communityDid, limit, cursor } = call.params;
        const page = members.list(communityDid, { caller: callerDid(call), limit, cursor });
        return {
          members: page.members.map((member) => memberView(member, names.handleOf(member.subject))),
          cursor: page.cursor,
        };
      },
    }),
  ];
}

function memberChanges({ members, names, serviceDid }: MemberMethodsOptions): Method[] {
  const own = communityMethod(serviceDid);
  const { nsid: grant } = DevKithCommunityGrant.mainSchema;
  const { nsid: revoke } = DevKithCommunityRevoke.mainSchema;
  return [
    own(DevKithCommunityGrant.mainSchema, {
      limit: CHANGES,
      handler: async (call) => {
        const { communityDid, role, canPublish } = call.input;
        const caller = decidingCaller(call, grant);
        members.require(communityDid, { caller, right: "see" });
        const subject = await names.didOf(call.input.subject);
        const member = await members.grant(communityDid, {
          caller,
          subject,
          role: roleOf(role),
          canPublish,
        });
        return { member: memberView(member, names.handleOf(subject)) };
      },
    }),
    own(DevKithCommunityRevoke.mainSchema, {
      limit: CHANGES,
      handler: async (call) => {
        const { communityDid } = call.input;
        const caller = decidingCaller(call, revoke);
        members.require(communityDid, { caller, right: "see" });
        await members.revoke(communityDid, { caller, subject: await names.didOf(call.input.subject) });
      },
    }),
  ];
}

function inviteMethods({ invites, members, serviceDid }: MemberMethodsOptions): Method[] {
  const own = communityMethod(serviceDid);
  const { nsid: create } = DevKithCommunityInviteCreate.mainSchema;
  return [
    own(DevKithCommunityInviteCreate.mainSchema, {
      limit: CHANGES,
      handler: async (call) => {
        const { communityDid, role, canPublish = false, uses, expiresAt } = call.input;
        const { invite, token } = await invites.create(communityDid, {
          caller: decidingCaller(call, create),
          role: roleOf(role ?? "member"),
          canPublish,
          uses,
          expiresAt: expiresAt === undefined ? undefined : Date.parse(expiresAt),
        });
        return { id: invite.id, token, invite: inviteView(invite) };
      },
    }),
    own(DevKithCommunityInviteRedeem.mainSchema, {
      limit: CHANGES,
      handler: async (call) => {
        const caller = callerDid(call);
        const { community } = await invites.redeem(call.input.token.trim(), caller);
        const found = members.require(community, { caller, right: "see" });
        return { community: communityView(found.community, found.member) };
      },
    }),
    own(DevKithCommunityInviteRevoke.mainSchema, {
      limit: CHANGES,
      handler: async (call) => {
        const { communityDid, id } = call.input;
        await invites.revoke(communityDid, { caller: callerDid(call), id });
      },
    }),
    own(DevKithCommunityInviteList.mainSchema, {
      handler: (call) => {
        const { communityDid, limit, cursor } = call.params;
        const page = invites.list(communityDid, { caller: callerDid(call), limit, cursor });
        return { invites: page.invites.map(inviteView), cursor: page.cursor };
      },
    }),
  ];
}

const ROLES: ReadonlySet<string> = new Set<Role>(["member", "manager", "admin", "owner"]);

/** The lexicon names the roles that are known, and refuses no other. */
function roleOf(text: string): Role {
  if (ROLES.has(text)) return text as Role;
  throw new KithError(
    "invalid_request",
    `There is no role "${text}": it must be member, manager, admin or owner`,
  );
}
