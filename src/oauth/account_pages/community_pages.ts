/** One community: its members, its invites, how it is. Which one is in the query, also of forms. */
import { type CommunityAndMember, whyNotGrant, whyNotManage, whyNotRevoke } from "../../communities/mod.ts";
import { isKithError } from "../../errors.ts";
import type { Member } from "../../storage/mod.ts";
import { type CommunityData, type CommunityMember, communityPage, consentLinkPage } from "../../web/mod.ts";
import {
  type AccountCall,
  type AccountRoute,
  type AccountRoutes,
  type PageAnswer,
  REFUSED,
} from "./account_call.ts";
import {
  COMMUNITIES,
  type CommunityParts,
  communityErrorText,
  communityName,
  communityTo,
  consentErrorText,
  ROLES,
  roleOf,
  upstreamText,
} from "./community_services.ts";

const MEMBERS_SHOWN = 100;
const INVITES_SHOWN = 50;
const IDENTIFIER_CHARS_MAX = 300;
const DAY_MS = 86_400_000;
const DAYS_MAX = 365;
const USES_MAX = 1_000;

type More = Pick<CommunityData, "subject" | "errors" | "health"> & { readonly link?: string };
type Act = (
  call: AccountCall,
  parts: CommunityParts,
  found: CommunityAndMember,
) => Promise<PageAnswer> | PageAnswer;

export function communityRoutes(parts: CommunityParts): AccountRoutes {
  const on = (run: Act) => (call: AccountCall) => withCommunity(call, parts, run);
  const one = (name: string) => `${COMMUNITIES}/${name}`;
  // Whoever asks for what only a form sends is shown the community.
  const act = (run: Act, counts?: AccountRoute["act"]) => ({
    get: (call: AccountCall) => communityTo(call, "one", { community: call.query("community") }),
    post: on(run),
    ...(counts ? { act: counts } : {}),
  });
  return {
    [one("one")]: { get: on(page) },
    [one("check")]: act(check, "community"),
    [one("add")]: act(add, "community"),
    [one("change")]: act(change),
    [one("remove")]: act(remove),
    [one("invite")]: act(invite),
    [one("revoke")]: act(revoke),
    [one("ask-again")]: act(askAgain, "community_password"),
    [one("reauth")]: act(reauth, "community_password"),
  };
}

/** What one reads about is a community that one belongs to; who does not is led to those that they do. */
export async function withCommunity(call: AccountCall, parts: CommunityParts, run: Act): Promise<PageAnswer> {
  let found: CommunityAndMember;
  try {
    const did = call.query("community");
    found = parts.communities.members.require(did, { caller: call.did, right: "see" });
  } catch (error) {
    if (isKithError(error, "community_not_found")) return call.to(COMMUNITIES);
    throw error;
  }
  return run(call, parts, found);
}

/** Asks other servers, so only a form does: browsers follow links by themselves. */
async function check(
  call: AccountCall,
  parts: CommunityParts,
  found: CommunityAndMember,
): Promise<PageAnswer> {
  const { status, checks } = await parts.communities.healths.of(found.community);
  const health = {
    state: status,
    checks: checks.map(({ name, ok, message }) => ({ name, isOk: ok, said: message })),
  };
  return page(call, parts, found, { health });
}

export function page(
  call: AccountCall,
  parts: CommunityParts,
  { community, member }: CommunityAndMember,
  more: More = {},
): PageAnswer {
  const { kind, pdsEndpoint, createdAt } = community;
  const to = (name: string) => communityTo(call, name, { community: community.did }).to;
  const isOwner = member.role === "owner";
  const html = communityPage(call.view, {
    frame: call.frame(doneOf(call)),
    community: communityName(community),
    you: member,
    since: new Date(member.grantedAt || createdAt),
    lives: livesOn({ kind, pdsEndpoint }, parts.publicUrl),
    check: { action: to("check") },
    letIn:
      isOwner && kind !== null && kind !== "native"
        ? { ask: { action: to("ask-again") }, reauth: { action: to("reauth") } }
        : undefined,
    ...membersOf(call, parts, { community, member }),
    manage: manageOf(call, parts, { community, member }, more.link),
    leave: { action: to("leave") },
    own: isOwner ? { handOverUrl: to("hand-over"), deleteUrl: to("delete") } : undefined,
    subject: more.subject,
    health: more.health,
    errors: more.errors,
  });
  return { html, ...(more.errors ? { status: REFUSED } : {}) };
}

function doneOf({ view }: AccountCall): Readonly<Record<string, string>> {
  const { joined, saved, added, out, revoked, reauthed, handedOver } = view.t.communities.one;
  return { joined, saved, added, out, revoked, reauthed, "handed-over": handedOver };
}

function livesOn(
  { kind, pdsEndpoint }: Pick<CommunityAndMember["community"], "kind" | "pdsEndpoint">,
  publicUrl: string,
): string {
  if (kind === null) return "nowhere";
  return kind === "native" || pdsEndpoint === null || pdsEndpoint === publicUrl ? "here" : pdsEndpoint;
}

function membersOf(
  call: AccountCall,
  { communities: { members, names } }: CommunityParts,
  { community, member: me }: CommunityAndMember,
): Pick<CommunityData, "members" | "moreMembersUrl"> {
  const { did } = community;
  const cursor = call.query("members") || undefined;
  const found = members.list(did, { caller: call.did, limit: MEMBERS_SHOWN, cursor });
  const target = (name: string, subject: string) => ({
    action: communityTo(call, name, { community: did }).to,
    hidden: { subject },
  });
  const row = (one: Member): CommunityMember => {
    const { subject, role, canPublish } = one;
    const isYou = subject === call.did;
    const handle = names.handleOf(subject);
    const roles = rolesFor(me, one, isYou);
    const mayRemove = !isYou && whyNotRevoke(me, { current: one, isSelf: false }) === undefined;
    return {
      did: subject,
      ...(handle === undefined ? {} : { handle }),
      ...{ role, canPublish, isYou },
      since: new Date(one.grantedAt),
      change: roles.length > 0 ? { form: target("change", subject), roles } : undefined,
      remove: mayRemove ? target("remove", subject) : undefined,
    };
  };
  return {
    members: found.members.map(row),
    moreMembersUrl:
      found.cursor === undefined
        ? undefined
        : communityTo(call, "one", { community: did, members: found.cursor }).to,
  };
}

/** What somebody may be made by the reader; nothing where they may not be changed. An owner is made by handing over. */
function rolesFor(me: Member, current: Member | undefined, isSelf: boolean) {
  // Nobody makes themselves less by accident: who wants that hands over, or leaves.
  if (isSelf && me.role !== "owner") return [];
  return ROLES.filter((role) => {
    if (role === "owner" && current?.role !== "owner") return false;
    const wanted = { role, canPublish: current?.canPublish ?? false };
    return whyNotGrant(me, { current, wanted, isSelf }) === undefined;
  });
}

function manageOf(
  call: AccountCall,
  { communities: { invites } }: CommunityParts,
  { community: { did }, member }: CommunityAndMember,
  link: string | undefined,
): CommunityData["manage"] {
  if (whyNotManage(member) !== undefined) return undefined;
  const cursor = call.query("invites") || undefined;
  const found = invites.list(did, { caller: call.did, limit: INVITES_SHOWN, cursor });
  const action = (name: string) => communityTo(call, name, { community: did }).to;
  return {
    roles: rolesFor(member, undefined, false),
    add: { action: action("add") },
    invites: found.invites
      .filter((one) => one.valid)
      .map(({ id, role, canPublish, used, uses, createdAt, expiresAt }) => ({
        ...{ role, canPublish, used, uses },
        until: new Date(expiresAt ?? createdAt),
        revoke: { action: action("revoke"), hidden: { id } },
      })),
    moreInvitesUrl:
      found.cursor === undefined
        ? undefined
        : communityTo(call, "one", { community: did, invites: found.cursor }).to,
    invite: { action: action("invite") },
    link,
  };
}

async function add(call: AccountCall, parts: CommunityParts, found: CommunityAndMember): Promise<PageAnswer> {
  const { members, names } = parts.communities;
  const community = found.community.did;
  const typed = identifierOf(call.field("subject"));
  const refuse = (text: string) => page(call, parts, found, { subject: typed, errors: { subject: text } });
  if (typed === "") return refuse(call.view.t.errors.required);
  try {
    const subject = await names.didOf(typed);
    await members.grant(community, { caller: call.did, subject, ...standingOf(call) });
  } catch (error) {
    return refuse(subjectErrorText(call, error));
  }
  return communityTo(call, "one", { community, done: "added" });
}

export function identifierOf(text: string): string {
  return text.trim().replace(/^@/, "").slice(0, IDENTIFIER_CHARS_MAX);
}

export function subjectErrorText({ view: { t } }: AccountCall, error: unknown): string {
  return communityErrorText(t, error, { invalid_request: t.communities.errors.noSuchMember });
}

/** An owner is made on the page for handing over, which asks for a fresh sign-in. */
function standingOf(call: AccountCall) {
  const role = roleOf(call.field("role"));
  return { role: role === "owner" ? "admin" : role, canPublish: call.field("canPublish") === "on" } as const;
}

async function change(
  call: AccountCall,
  parts: CommunityParts,
  found: CommunityAndMember,
): Promise<PageAnswer> {
  const community = found.community.did;
  const subject = call.field("subject");
  const { members } = parts.communities;
  const isOwner = call.field("role") === "owner" && isOwnerNow(parts, { community, subject });
  const wanted = isOwner ? { ...standingOf(call), role: "owner" as const } : standingOf(call);
  try {
    await members.grant(community, { caller: call.did, subject, ...wanted });
  } catch (error) {
    return page(call, parts, found, { errors: { form: communityErrorText(call.view.t, error) } });
  }
  return communityTo(call, "one", { community, done: "saved" });
}

/** Somebody who is an owner stays one where only their right to publish is changed. */
function isOwnerNow(
  { communities }: CommunityParts,
  { community, subject }: { community: string; subject: string },
): boolean {
  try {
    communities.members.require(community, { caller: subject, right: "own" });
    return true;
  } catch (error) {
    if (!isKithError(error)) throw error;
    return false;
  }
}

async function remove(
  call: AccountCall,
  parts: CommunityParts,
  found: CommunityAndMember,
): Promise<PageAnswer> {
  const community = found.community.did;
  try {
    await parts.communities.members.revoke(community, { caller: call.did, subject: call.field("subject") });
  } catch (error) {
    return page(call, parts, found, { errors: { form: communityErrorText(call.view.t, error) } });
  }
  return communityTo(call, "one", { community, done: "out" });
}

async function invite(
  call: AccountCall,
  parts: CommunityParts,
  found: CommunityAndMember,
): Promise<PageAnswer> {
  const { invites } = parts.communities;
  const days = numberOf(call.field("days"), { max: DAYS_MAX, otherwise: 7 });
  try {
    const { token } = await invites.create(found.community.did, {
      caller: call.did,
      ...standingOf(call),
      uses: numberOf(call.field("uses"), { max: USES_MAX, otherwise: 1 }),
      expiresAt: parts.now() + days * DAY_MS,
    });
    const path = `/account/${COMMUNITIES}/join?${new URLSearchParams({ token })}`;
    return page(call, parts, found, { link: parts.publicUrl + path });
  } catch (error) {
    const own = { invalid_request: call.view.t.communities.errors.tooManyInvites };
    return page(call, parts, found, { errors: { form: communityErrorText(call.view.t, error, own) } });
  }
}

function numberOf(text: string, { max, otherwise }: { max: number; otherwise: number }): number {
  return /^[1-9]\d{0,3}$/.test(text) ? Math.min(Number(text), max) : otherwise;
}

async function revoke(
  call: AccountCall,
  parts: CommunityParts,
  found: CommunityAndMember,
): Promise<PageAnswer> {
  const community = found.community.did;
  try {
    await parts.communities.invites.revoke(community, { caller: call.did, id: call.field("id") });
  } catch (error) {
    // It was revoked in another tab.
    if (!isKithError(error, "invalid_invite"))
      return page(call, parts, found, { errors: { form: communityErrorText(call.view.t, error) } });
  }
  return communityTo(call, "one", { community, done: "revoked" });
}

/** Makes a link on which the owner of the account can agree anew at its server. */
async function askAgain(
  call: AccountCall,
  parts: CommunityParts,
  { community, member }: CommunityAndMember,
): Promise<PageAnswer> {
  const { members, consents } = parts.communities;
  let link: string;
  try {
    members.require(community.did, { caller: call.did, right: "own" });
    link = await consents.askAgain(community, { caller: call.did });
  } catch (error) {
    const errors = { form: consentErrorText(call.view.t, error) };
    return page(call, parts, { community, member }, { errors });
  }
  const account = community.handle ?? community.did;
  const backUrl = communityTo(call, "one", { community: community.did }).to;
  return { html: consentLinkPage(call.view, { frame: call.frame(), account, link, backUrl }) };
}

async function reauth(
  call: AccountCall,
  parts: CommunityParts,
  found: CommunityAndMember,
): Promise<PageAnswer> {
  const { t } = call.view;
  const community = found.community.did;
  const appPassword = call.field("appPassword").trim();
  const refuse = (text: string) => page(call, parts, found, { errors: { appPassword: text } });
  if (appPassword === "") return refuse(t.errors.required);
  try {
    const { members, adoptions } = parts.communities;
    members.require(community, { caller: call.did, right: "own" });
    await adoptions.reauth(found.community, { caller: call.did, appPassword });
  } catch (error) {
    const own = isKithError(error) ? { invalid_request: upstreamText(t, error) } : {};
    return refuse(communityErrorText(t, error, own));
  }
  return communityTo(call, "one", { community, done: "reauthed" });
}
