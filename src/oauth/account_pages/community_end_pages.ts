/** Coming into a community by an invite, and the ways out of it: leaving, handing over, deleting. */
import type { CommunityAndMember } from "../../communities/mod.ts";
import { isKithError } from "../../errors.ts";
import { deleteCommunityPage, handOverPage, joinCommunityPage } from "../../web/mod.ts";
import { type AccountCall, type AccountRoutes, type PageAnswer, REFUSED } from "./account_call.ts";
import { identifierOf, page, subjectErrorText, withCommunity } from "./community_pages.ts";
import {
  COMMUNITIES,
  type CommunityParts,
  communityErrorText,
  communityName,
  communityTo,
  natureOf,
} from "./community_services.ts";

const TOKEN_CHARS_MAX = 200;

export function communityEndRoutes(parts: CommunityParts): AccountRoutes {
  return {
    [`${COMMUNITIES}/join`]: {
      get: (call) => joinPage(call, parts),
      post: (call) => join(call, parts),
      act: "community",
    },
    [`${COMMUNITIES}/leave`]: {
      post: (call) => withCommunity(call, parts, (_, __, found) => leave(call, parts, found)),
    },
    [`${COMMUNITIES}/hand-over`]: {
      get: (call) => withCommunity(call, parts, (_, __, found) => handOverForm(call, found)),
      post: (call) => withCommunity(call, parts, (_, __, found) => handOver(call, parts, found)),
      isGuarded: true,
    },
    [`${COMMUNITIES}/delete`]: {
      get: (call) => withCommunity(call, parts, (_, __, found) => deleteForm(call, found)),
      post: (call) => withCommunity(call, parts, (_, __, found) => remove(call, parts, found)),
      isGuarded: true,
    },
  };
}

function tokenOf(call: AccountCall): string {
  return (call.field("token") || call.query("token")).trim().slice(0, TOKEN_CHARS_MAX);
}

function joinPage(call: AccountCall, { communities }: CommunityParts): PageAnswer {
  const token = tokenOf(call);
  const frame = call.frame();
  try {
    const { invite, isMember } = communities.invites.look(token, call.did);
    const { community: did, role, canPublish } = invite;
    const community = communityName(communities.find(did) ?? { did, handle: null });
    const form = call.target(`${COMMUNITIES}/join`, { token });
    return {
      html: joinCommunityPage(call.view, { frame, invite: { community, role, canPublish, isMember, form } }),
    };
  } catch (error) {
    if (!isKithError(error, "invalid_invite")) throw error;
    return { html: joinCommunityPage(call.view, { frame }), status: REFUSED };
  }
}

async function join(call: AccountCall, parts: CommunityParts): Promise<PageAnswer> {
  try {
    const { community } = await parts.communities.invites.redeem(tokenOf(call), call.did);
    return communityTo(call, "one", { community, done: "joined" });
  } catch (error) {
    if (!isKithError(error, "invalid_invite")) throw error;
    return joinPage(call, parts);
  }
}

async function leave(
  call: AccountCall,
  parts: CommunityParts,
  found: CommunityAndMember,
): Promise<PageAnswer> {
  try {
    await parts.communities.members.revoke(found.community.did, { caller: call.did, subject: call.did });
  } catch (error) {
    return page(call, parts, found, { errors: { form: communityErrorText(call.view.t, error) } });
  }
  return call.to(COMMUNITIES, { done: "left" });
}

function isOwner({ member }: CommunityAndMember): boolean {
  return member.role === "owner";
}

function handOverForm(
  call: AccountCall,
  found: CommunityAndMember,
  more: { subject?: string; error?: string } = {},
): PageAnswer {
  const { community } = found;
  const url = communityTo(call, "one", { community: community.did }).to;
  if (!isOwner(found)) return { to: url };
  const { subject, error } = more;
  const html = handOverPage(call.view, {
    frame: call.frame(),
    community: communityName(community),
    url,
    form: { action: communityTo(call, "hand-over", { community: community.did }).to },
    subject,
    errors: error === undefined ? undefined : { subject: error },
  });
  return { html, ...(error === undefined ? {} : { status: REFUSED }) };
}

/** The other one becomes an owner first: whatever fails after it, the community has one. */
async function handOver(
  call: AccountCall,
  parts: CommunityParts,
  found: CommunityAndMember,
): Promise<PageAnswer> {
  call.fresh();
  if (!isOwner(found)) return handOverForm(call, found);
  const { did: caller } = call;
  const { members, names } = parts.communities;
  const community = found.community.did;
  const typed = identifierOf(call.field("subject"));
  const refuse = (error: string) => handOverForm(call, found, { subject: typed, error });
  if (typed === "") return refuse(call.view.t.errors.required);
  const self = call.field("self");
  try {
    const subject = await names.didOf(typed);
    if (subject === caller) return refuse(call.view.t.communities.errors.noSuchMember);
    await members.grant(community, { caller, subject, role: "owner" });
    if (self === "admin") await members.grant(community, { caller, subject: caller, role: "admin" });
    if (self === "leave") await members.revoke(community, { caller, subject: caller });
  } catch (error) {
    return refuse(subjectErrorText(call, error));
  }
  if (self === "leave") return call.to(COMMUNITIES, { done: "left" });
  return communityTo(call, "one", { community, done: "handed-over" });
}

function deleteForm(call: AccountCall, found: CommunityAndMember, error?: string): PageAnswer {
  const { community } = found;
  const url = communityTo(call, "one", { community: community.did }).to;
  if (!isOwner(found)) return { to: url };
  const html = deleteCommunityPage(call.view, {
    frame: call.frame(),
    community: communityName(community),
    nature: natureOf(community),
    url,
    form: { action: communityTo(call, "delete", { community: community.did }).to },
    errors: error === undefined ? undefined : { name: error },
  });
  return { html, ...(error === undefined ? {} : { status: REFUSED }) };
}

async function remove(
  call: AccountCall,
  parts: CommunityParts,
  found: CommunityAndMember,
): Promise<PageAnswer> {
  call.fresh();
  const { members, deletions } = parts.communities;
  const { did, handle } = found.community;
  if (!isOwner(found)) return deleteForm(call, found);
  const typed = call.field("name").trim().replace(/^@/, "").toLowerCase();
  if (typed !== (handle ?? did).toLowerCase())
    return deleteForm(call, found, call.view.t.communities.errors.wrongName);
  try {
    const { community } = members.require(did, { caller: call.did, right: "own" });
    await deletions.delete(community, call.did);
  } catch (error) {
    return deleteForm(call, found, communityErrorText(call.view.t, error));
  }
  return call.to(COMMUNITIES, { done: "deleted" });
}
