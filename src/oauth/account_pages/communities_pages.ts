/** All communities of a member, and the ways to another one. */
import { randomBytes } from "node:crypto";
import { isDidKey, type MintAnswer, type ProvisionAnswer } from "../../communities/mod.ts";
import { isKithError } from "../../errors.ts";
import type { Community } from "../../storage/mod.ts";
import {
  type CommunityWaysData,
  communitiesPage,
  communityMadePage,
  communityWaysPage,
  consentLinkPage,
  halfWayPage,
  type NewCommunityData,
  newCommunityPage,
} from "../../web/mod.ts";
import { type AccountCall, type AccountRoutes, type PageAnswer, REFUSED } from "./account_call.ts";
import {
  COMMUNITIES,
  type CommunityParts,
  communityErrorText,
  communityName,
  communityTo,
  consentErrorText,
  natureOf,
  upstreamText,
} from "./community_services.ts";

const PAGE_SIZE = 50;
const KEY_BYTES = 16;
/** It is not over: the same again goes on. */
const UNFINISHED = 502;
const IDENTIFIER_CHARS_MAX = 300;

type Where = NewCommunityData["where"];
type Values = NonNullable<NewCommunityData["values"]>;
type Errors = NonNullable<NewCommunityData["errors"]>;

const PATHS: Readonly<Record<Where, string>> = {
  here: `${COMMUNITIES}/new`,
  elsewhere: `${COMMUNITIES}/new-elsewhere`,
  identity: `${COMMUNITIES}/mint`,
};

export function communitiesRoutes(parts: CommunityParts): AccountRoutes {
  const making = (where: Where) => ({
    get: (call: AccountCall) => blank(call, parts, where),
    post: (call: AccountCall) => make(call, parts, where),
    act: "community" as const,
  });
  return {
    [COMMUNITIES]: { get: (call) => list(call, parts) },
    [PATHS.here]: making("here"),
    [PATHS.elsewhere]: making("elsewhere"),
    [PATHS.identity]: making("identity"),
    [`${COMMUNITIES}/resume`]: { post: (call) => resume(call, parts), act: "community" },
    [`${COMMUNITIES}/ways`]: { get: (call) => ways(call, parts) },
    [`${COMMUNITIES}/ask`]: { post: (call) => ask(call, parts), act: "community_password" },
    [`${COMMUNITIES}/adopt`]: { post: (call) => adopt(call, parts), act: "community_password" },
  };
}

function list(
  call: AccountCall,
  { communities: { members, attempts, mayMake } }: CommunityParts,
): PageAnswer {
  const { left, remove } = call.view.t.communities;
  const cursor = call.query("cursor") || undefined;
  const page = members.listOf(call.did, { limit: PAGE_SIZE, cursor });
  const html = communitiesPage(call.view, {
    frame: call.frame({ left, deleted: remove.done }),
    communities: page.communities.map((one) => ({
      ...communityName(one),
      role: one.role,
      canPublish: one.canPublish,
      url: communityTo(call, "one", { community: one.did }).to,
    })),
    moreUrl: page.cursor === undefined ? undefined : call.to(COMMUNITIES, { cursor: page.cursor }).to,
    unfinished: attempts.open(call.did).map(({ id, handle }) => ({
      handle: handle ?? undefined,
      resume: call.target(`${COMMUNITIES}/resume`, { attempt: id }),
    })),
    make: mayMake(call.did)
      ? { newUrl: call.path(PATHS.here), waysUrl: call.path(`${COMMUNITIES}/ways`) }
      : undefined,
  });
  return { html };
}

/** A form that nothing was typed into; its key is that of the one community which it makes, however often it is sent. */
function blank(call: AccountCall, parts: CommunityParts, where: Where): PageAnswer {
  const { mayMake, hasOtherHosts } = parts.communities;
  if (!mayMake(call.did)) return call.to(COMMUNITIES);
  if (where === "elsewhere" && !hasOtherHosts) return call.to(PATHS.here);
  return newPage(call, parts, { where, idempotencyKey: newKey() });
}

function newKey(): string {
  return randomBytes(KEY_BYTES).toString("hex");
}

function newPage(
  call: AccountCall,
  { communities, handleDomains }: CommunityParts,
  more: { where: Where; idempotencyKey: string; values?: Values; errors?: Errors },
): PageAnswer {
  const { where, idempotencyKey, values, errors } = more;
  const other = where === "here" ? PATHS.elsewhere : PATHS.here;
  const hasOther = communities.hasOtherHosts && where !== "identity";
  const html = newCommunityPage(call.view, {
    frame: call.frame(),
    where,
    domains: handleDomains,
    form: call.target(PATHS[where], { idempotencyKey }),
    otherUrl: hasOther ? call.path(other) : undefined,
    ...(values ? { values } : {}),
    errors,
  });
  return { html, ...(errors ? { status: REFUSED } : {}) };
}

interface Typed {
  readonly where: Where;
  readonly idempotencyKey: string;
  readonly values: Values;
  readonly handle: string;
}

function typedOf(call: AccountCall, where: Where): Typed {
  const field = (name: string) => call.field(name).trim();
  const name = field("handle").toLowerCase().replace(/^@/, "");
  const domain = field("domain");
  const handle = where === "here" && !name.endsWith(domain) ? name + domain : name;
  const elsewhere = { endpoint: field("endpoint"), email: field("email"), invite: field("invite") };
  return {
    where,
    idempotencyKey: field("idempotencyKey"),
    handle,
    values: {
      handle: name,
      rotationKey: field("rotationKey"),
      ...(where === "here" ? { domain } : {}),
      ...(where === "elsewhere" ? elsewhere : {}),
    },
  };
}

async function make(call: AccountCall, parts: CommunityParts, where: Where): Promise<PageAnswer> {
  const typed = typedOf(call, where);
  const wrong = wrongOf(call, parts, typed);
  if (wrong) return newPage(call, parts, { ...typed, errors: wrong });
  const { attempts } = parts.communities;
  const { idempotencyKey, handle, values } = typed;
  const { rotationKey = "", endpoint, email, invite } = values;
  try {
    const answer =
      where === "identity"
        ? await attempts.mint(call.did, { idempotencyKey, rotationKey, handle: handle || undefined })
        : await attempts.provision(call.did, {
            ...{ idempotencyKey, rotationKey, handle },
            pdsEndpoint: endpoint,
            email: email || undefined,
            inviteCode: invite || undefined,
          });
    return made(call, parts, answer);
  } catch (error) {
    if (isHalfWay(error)) return halfWay(call, typed, error.message);
    const errors = errorsOf(call, where, error);
    const isUsed = isKithError(error, "idempotency_conflict");
    return newPage(call, parts, { ...typed, errors, ...(isUsed ? { idempotencyKey: newKey() } : {}) });
  }
}

/** What can be seen without asking anybody. */
function wrongOf(
  call: AccountCall,
  { communities, handleDomains }: CommunityParts,
  { where, values, handle }: Typed,
): Errors | undefined {
  const { t } = call.view;
  const { errors } = t.communities;
  const isOther = where === "elsewhere";
  if (isOther && !communities.hasOtherHosts) return { form: errors.hostNotAllowed };
  const found: Errors = {
    ...(where === "here" && !handleDomains.includes(values.domain ?? "") ? { handle: errors.badHandle } : {}),
    ...(isOther && handle === "" ? { handle: t.errors.required } : {}),
    ...(isOther && URL.parse(values.endpoint ?? "") === null ? { endpoint: errors.badEndpoint } : {}),
    ...(isDidKey(values.rotationKey ?? "") ? {} : { rotationKey: errors.badKey }),
    ...(call.field("saved") === "on" ? {} : { saved: errors.unsaved }),
  };
  return Object.keys(found).length > 0 ? found : undefined;
}

function isHalfWay(error: unknown): error is Error {
  return isKithError(error, "provisioning_failed") || isKithError(error, "lease_lost");
}

function errorsOf({ view: { t } }: AccountCall, where: Where, error: unknown): Errors {
  const { errors } = t.communities;
  const isOther = where === "elsewhere";
  const text = communityErrorText(t, error, {
    invalid_handle: errors.badHandle,
    unsupported_domain: errors.badHandle,
    handle_not_available: t.errors.handleTaken,
    invalid_invite_code: t.errors.badInvite,
    invalid_email: t.errors.badEmail,
    ...(isKithError(error) ? { invalid_request: upstreamText(t, error) } : {}),
  });
  switch (isKithError(error) ? error.code : undefined) {
    case "invalid_handle":
    case "unsupported_domain":
    case "handle_not_available":
      return { handle: text };
    case "invalid_invite_code":
      return isOther ? { invite: text } : { form: text };
    case "invalid_email":
      return isOther ? { email: text } : { form: text };
    case "host_not_allowed":
      return isOther ? { endpoint: text } : { form: text };
    default:
      return { form: text };
  }
}

/** Everything that was sent goes with it, so that the same can be sent again. */
function halfWay(
  call: AccountCall,
  { where, idempotencyKey, values, handle }: Typed,
  said: string,
): PageAnswer {
  const sent = Object.entries({ ...values, idempotencyKey, saved: "on" });
  const hidden = Object.fromEntries(
    sent.filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  );
  const html = halfWayPage(call.view, {
    frame: call.frame(),
    handle: handle || undefined,
    said,
    form: call.target(PATHS[where], hidden),
  });
  return { html, status: UNFINISHED };
}

function made(
  call: AccountCall,
  { communities }: CommunityParts,
  answer: ProvisionAnswer | MintAnswer,
): PageAnswer {
  const community = communities.find(answer.communityDid);
  // It was deleted since: the same form has been sent again.
  if (!community) return call.to(COMMUNITIES);
  const password = "rootCredentials" in answer ? answer.rootCredentials?.password : undefined;
  return madePage(call, community, password);
}

function madePage(
  call: AccountCall,
  community: Pick<Community, "did" | "handle" | "mode" | "kind">,
  password?: string,
): PageAnswer {
  const html = communityMadePage(call.view, {
    frame: call.frame(),
    community: communityName(community),
    nature: natureOf(community),
    password,
    url: communityTo(call, "one", { community: community.did }).to,
  });
  return { html };
}

async function resume(call: AccountCall, parts: CommunityParts): Promise<PageAnswer> {
  const id = call.field("attempt");
  const { attempts } = parts.communities;
  const attempt = attempts.open(call.did).find((one) => one.id === id);
  // It was gone on with in another tab.
  if (!attempt) return call.to(COMMUNITIES);
  try {
    return made(call, parts, await attempts.resume(call.did, id));
  } catch (error) {
    const said = isHalfWay(error) ? error.message : errorsOf(call, "here", error).form;
    const html = halfWayPage(call.view, {
      frame: call.frame(),
      handle: attempt.handle ?? undefined,
      said: said ?? (isKithError(error) ? error.message : ""),
      form: call.target(`${COMMUNITIES}/resume`, { attempt: id }),
    });
    return { html, status: UNFINISHED };
  }
}

function ways(
  call: AccountCall,
  { communities }: CommunityParts,
  more: Pick<CommunityWaysData, "way" | "account" | "errors"> = {},
): PageAnswer {
  if (!communities.mayMake(call.did)) return call.to(COMMUNITIES);
  const html = communityWaysPage(call.view, {
    frame: call.frame(),
    ask: call.target(`${COMMUNITIES}/ask`),
    adopt: call.target(`${COMMUNITIES}/adopt`),
    mintUrl: call.path(PATHS.identity),
    ...more,
  });
  return { html, ...(more.errors ? { status: REFUSED } : {}) };
}

function accountOf(call: AccountCall): string {
  return call.field("account").trim().replace(/^@/, "").slice(0, IDENTIFIER_CHARS_MAX);
}

/** Makes a link on which the owner of an account can agree at its server. */
async function ask(call: AccountCall, parts: CommunityParts): Promise<PageAnswer> {
  const { t } = call.view;
  const account = accountOf(call);
  const refuse = (text: string) => ways(call, parts, { account, errors: { account: text } });
  if (account === "") return refuse(t.errors.required);
  let link: string;
  try {
    link = await parts.communities.consents.askToAdopt({ caller: call.did, identifier: account });
  } catch (error) {
    return refuse(consentErrorText(t, error));
  }
  const backUrl = call.path(`${COMMUNITIES}/ways`);
  return { html: consentLinkPage(call.view, { frame: call.frame(), account, link, backUrl }) };
}

async function adopt(call: AccountCall, parts: CommunityParts): Promise<PageAnswer> {
  const { t } = call.view;
  const account = accountOf(call);
  const refuse = (name: "account" | "appPassword", text: string) =>
    ways(call, parts, { way: "password", account, errors: { [name]: text } });
  const appPassword = call.field("appPassword").trim();
  if (account === "" || appPassword === "")
    return refuse(account === "" ? "account" : "appPassword", t.errors.required);
  try {
    const { adoptions } = parts.communities;
    const community = await adoptions.adopt({ caller: call.did, identifier: account, appPassword });
    return madePage(call, community);
  } catch (error) {
    const own = isKithError(error) ? { invalid_request: upstreamText(t, error) } : {};
    const text = communityErrorText(t, error, own);
    const isPassword = isKithError(error, "invalid_credentials");
    return refuse(isPassword ? "appPassword" : "account", text);
  }
}
