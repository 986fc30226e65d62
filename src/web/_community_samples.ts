/** The pages of communities, with sample data. */
import { DAY, DID, frameOf, LATER, type Samples, type SampleWords, to } from "./_sample_data.ts";
import * as pages from "./mod.ts";
import type { View } from "./view.ts";

export function communityPagesOf(words: SampleWords): Samples {
  return {
    ...listSamples(words),
    ...newSamples(words),
    ...madeSamples(words),
    ...communitySamples(words),
    ...endSamples(words),
  };
}

const KEY = "did:key:zDnaerDaTF5BXEavCrfRZEk316dpbLsfPDZ3WJ5hRTPFU2169";
const LINK =
  "https://pds.example.com/oauth/authorize?client_id=https%3A%2F%2Fpds.example.com%2Foauth-client-metadata.json&request_uri=urn%3Aietf%3Aparams%3Aoauth%3Arequest_uri%3Areq-8c7f1f0a2b3c4d5e6f708192a3b4c5d6";
const ALL_ROLES = ["member", "manager", "admin", "owner"] as const;
const URL = "/account/communities/one";

const clubOf = ({ handle }: SampleWords) => ({ did: DID, handle: `club-${handle}` });

function listSamples(words: SampleWords): Samples {
  const frame = frameOf(words);
  const make = { newUrl: "/new", waysUrl: "/ways" };
  const ways = { frame, ask: to("ask"), adopt: to("adopt"), mintUrl: "/mint" };
  return {
    communities: (view) =>
      pages.communitiesPage(view, {
        frame: { ...frame, done: view.t.communities.left },
        communities: [
          { ...clubOf(words), role: "owner", canPublish: true, url: URL },
          { did: DID, role: "manager", canPublish: false, url: URL },
        ],
        unfinished: [{ handle: words.handle, resume: to("resume-1") }, { resume: to("resume-2") }],
        moreUrl: "/more",
        make,
      }),
    "communities-none": (view) =>
      pages.communitiesPage(view, { frame, communities: [], unfinished: [], make }),
    "communities-closed": (view) =>
      pages.communitiesPage(view, {
        frame: { ...frame, done: view.t.communities.remove.done },
        communities: [],
        unfinished: [],
      }),
    "community-ways": (view) => pages.communityWaysPage(view, ways),
    "community-ways-errors": (view) =>
      pages.communityWaysPage(view, {
        ...ways,
        account: words.handle,
        way: "password",
        errors: { appPassword: view.t.communities.errors.badAppPassword },
      }),
    "community-consent": (view) =>
      pages.consentLinkPage(view, { frame, account: `@${words.handle}`, link: LINK, backUrl: "/ways" }),
  };
}

function newSamples(words: SampleWords): Samples {
  const frame = frameOf(words);
  const form = { action: "/do/new", hidden: { idempotencyKey: "0123456789abcdef" } };
  const base = { frame, form, domains: [".pds.example.com"], otherUrl: "/other" };
  const errorsOf = ({ t }: View) => t.communities.errors;
  return {
    "community-new": (view) => pages.newCommunityPage(view, { ...base, where: "here" }),
    "community-new-errors": (view) =>
      pages.newCommunityPage(view, {
        ...base,
        where: "here",
        domains: [".pds.example.com", `.${words.host}`],
        values: { handle: words.name, domain: `.${words.host}`, rotationKey: KEY },
        errors: {
          handle: view.t.errors.handleTaken,
          rotationKey: errorsOf(view).badKey,
          saved: errorsOf(view).unsaved,
        },
      }),
    "community-new-elsewhere": (view) => pages.newCommunityPage(view, { ...base, where: "elsewhere" }),
    "community-new-elsewhere-errors": (view) =>
      pages.newCommunityPage(view, {
        ...base,
        where: "elsewhere",
        values: {
          handle: words.handle,
          endpoint: `https://${words.host}`,
          email: words.email,
          invite: words.name,
        },
        errors: {
          form: `${errorsOf(view).upstream} ${errorsOf(view).said(words.name)}`,
          endpoint: errorsOf(view).hostNotAllowed,
          handle: view.t.errors.handleTaken,
          email: view.t.errors.badEmail,
          invite: view.t.errors.badInvite,
        },
      }),
    "community-mint": (view) =>
      pages.newCommunityPage(view, {
        ...base,
        where: "identity",
        errors: { handle: errorsOf(view).badHandle },
      }),
  };
}

function madeSamples(words: SampleWords): Samples {
  const frame = frameOf(words);
  const community = clubOf(words);
  const made = { frame, community, url: URL };
  const said = `Could not make the community "${community.handle}" yet, in the step after "genesisSubmitted": ${words.name}.`;
  return {
    "community-half-way": (view) =>
      pages.halfWayPage(view, { frame, handle: community.handle, said, form: to("again") }),
    "community-half-way-identity": (view) => pages.halfWayPage(view, { frame, said, form: to("again") }),
    "community-made": (view) => pages.communityMadePage(view, { ...made, nature: "native" }),
    "community-made-stock": (view) =>
      pages.communityMadePage(view, { ...made, nature: "stock", password: "hk3q-7xwz-a2vb-m9ct-hk3q-7xwz" }),
    "community-made-identity": (view) =>
      pages.communityMadePage(view, { ...made, community: { did: DID }, nature: "minted" }),
    "community-adopted": (view) => pages.communityMadePage(view, { ...made, nature: "adopted" }),
  };
}

function communitySamples(words: SampleWords): Samples {
  const frame = frameOf(words);
  const community = clubOf(words);
  const standing = { role: "owner", canPublish: true } as const;
  const base = { frame, community, since: DAY, check: to("check"), leave: to("leave") };
  const me = { did: DID, handle: words.handle, ...standing, since: DAY, isYou: true };
  const other = { did: DID, role: "member", canPublish: false, since: LATER, isYou: false } as const;
  const owners = { handOverUrl: "/hand-over", deleteUrl: "/delete" };
  const invite = { role: "member", canPublish: true, used: 1, uses: 25, until: LATER } as const;
  const manage = { roles: ALL_ROLES, add: to("add"), invites: [], invite: to("invite") };
  return {
    community: (view) =>
      pages.communityPage(view, {
        ...base,
        frame: { ...frame, done: view.t.communities.one.added },
        you: standing,
        lives: "here",
        members: [
          { ...me, change: { form: to("change-0"), roles: ALL_ROLES } },
          { ...other, change: { form: to("change-1"), roles: ALL_ROLES }, remove: to("remove-1") },
        ],
        moreMembersUrl: "/more",
        manage: {
          ...manage,
          invites: [{ ...invite, revoke: to("revoke-1") }],
          moreInvitesUrl: "/more",
          link: "https://pds.example.com/account/communities/join?token=kith-invite-8c7f1f0a2b3c4d5e6f708192a3b4c5d6e7f80911",
        },
        own: owners,
      }),
    "community-member": (view) =>
      pages.communityPage(view, {
        ...base,
        frame: { ...frame, done: view.t.communities.one.joined },
        you: { role: "member", canPublish: false },
        lives: "here",
        members: [me, other],
      }),
    "community-elsewhere": (view) =>
      pages.communityPage(view, {
        ...base,
        you: standing,
        lives: `https://${words.host}`,
        letIn: { ask: to("ask-again"), reauth: to("reauth") },
        health: {
          state: "expired",
          checks: [
            { name: "identity", isOk: true },
            { name: "rotationKeys", isOk: true },
            { name: "account", isOk: true },
            {
              name: "credentials",
              isOk: false,
              said: `The consent or the app password is not taken any more: ${words.name}`,
            },
          ],
        },
        members: [me],
        manage,
        own: owners,
        subject: words.name,
        errors: {
          subject: view.t.communities.errors.noSuchMember,
          appPassword: view.t.communities.errors.badAppPassword,
        },
      }),
    "community-identity": (view) =>
      pages.communityPage(view, {
        ...base,
        community: { did: DID },
        you: standing,
        lives: "nowhere",
        health: { state: "healthy", checks: [{ name: "identity", isOk: true }] },
        members: [me],
        manage,
        own: owners,
        errors: { form: view.t.communities.errors.lastOwner },
      }),
  };
}

function endSamples(words: SampleWords): Samples {
  const frame = frameOf(words);
  const community = clubOf(words);
  const base = { frame, community, url: URL };
  const invite = { community, role: "member", canPublish: true, isMember: false, form: to("join") } as const;
  return {
    "community-hand-over": (view) =>
      pages.handOverPage(view, {
        ...base,
        form: to("hand-over"),
        subject: words.name,
        errors: { subject: view.t.communities.errors.noSuchMember },
      }),
    "community-delete": (view) =>
      pages.deleteCommunityPage(view, { ...base, nature: "native", form: to("delete") }),
    "community-delete-errors": (view) =>
      pages.deleteCommunityPage(view, {
        ...base,
        nature: "stock",
        form: to("delete"),
        errors: { name: view.t.communities.errors.wrongName },
      }),
    "community-delete-identity": (view) =>
      pages.deleteCommunityPage(view, {
        ...base,
        community: { did: DID },
        nature: "minted",
        form: to("delete"),
      }),
    "community-delete-adopted": (view) =>
      pages.deleteCommunityPage(view, { ...base, nature: "adopted", form: to("delete") }),
    "community-join": (view) => pages.joinCommunityPage(view, { frame, invite }),
    "community-join-again": (view) =>
      pages.joinCommunityPage(view, {
        frame,
        invite: { ...invite, community: { did: DID }, canPublish: false, isMember: true },
      }),
    "community-join-gone": (view) => pages.joinCommunityPage(view, { frame }),
  };
}
