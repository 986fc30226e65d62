/** Communities, members and invites as their lexicons have them. */
import type { InviteShown } from "../../../communities/mod.ts";
import type { Community, Member, Role } from "../../../storage/mod.ts";

const isoTime = (ms: number): string => new Date(ms).toISOString();

/** dev.kith.community.defs#community */
export function communityView(
  community: Community,
  { role, canPublish }: { readonly role: Role; readonly canPublish: boolean },
): object {
  const { did, mode, kind, handle, pdsEndpoint, createdAt } = community;
  return {
    did,
    mode,
    ...(kind === null ? {} : { hosting: kind }),
    ...(handle === null ? {} : { handle }),
    ...(pdsEndpoint === null ? {} : { pdsEndpoint }),
    role,
    canPublish,
    createdAt: isoTime(createdAt),
  };
}

/** dev.kith.community.defs#member; `handle` where it is known. */
export function memberView(member: Member, handle: string | undefined): object {
  const { subject, role, canPublish, grantedBy, grantedAt } = member;
  return {
    did: subject,
    ...(handle === undefined ? {} : { handle }),
    role,
    canPublish,
    grantedBy,
    grantedAt: isoTime(grantedAt),
  };
}

/** dev.kith.community.defs#invite */
export function inviteView(invite: InviteShown): object {
  const { id, role, canPublish, uses, used, createdBy, createdAt, expiresAt, revokedAt, valid } = invite;
  return {
    id,
    role,
    canPublish,
    uses,
    used,
    createdBy,
    createdAt: isoTime(createdAt),
    expiresAt: isoTime(expiresAt ?? createdAt),
    ...(revokedAt === null ? {} : { revokedAt: isoTime(revokedAt) }),
    valid,
  };
}
