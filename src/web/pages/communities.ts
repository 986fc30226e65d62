import { type AccountFrame, accountPage } from "../frame.ts";
import { type Content, html } from "../html.ts";
import { icon } from "../icons.ts";
import { buttonForm, errorSummary, field, form, linkButton, note, submit } from "../parts.ts";
import type { FormErrors, FormTarget, View } from "../view.ts";
import {
  type CommunityName,
  type CommunityRole,
  nameMarkup,
  standing,
  toCommunities,
} from "./community_parts.ts";

export interface CommunitiesData {
  readonly frame: AccountFrame;
  readonly communities: readonly (CommunityName & {
    readonly role: CommunityRole;
    readonly canPublish: boolean;
    readonly url: string;
  })[];
  readonly moreUrl?: string | undefined;
  /** Begun, and stopped on the way. */
  readonly unfinished: readonly { readonly handle?: string | undefined; readonly resume: FormTarget }[];
  /** Absent where the member may make none. */
  readonly make?: { readonly newUrl: string; readonly waysUrl: string } | undefined;
}

export function communitiesPage(view: View, data: CommunitiesData): string {
  const { communities: texts } = view.t;
  const { communities, make, moreUrl } = data;
  const rows = communities.map(
    (community) =>
      html`<li><a class="row-link" href="${community.url}"><span class="stack-tight"><span class="name">${nameMarkup(community)}</span><span>${standing(view, community)}</span></span>${icon("forward")}</a></li>`,
  );
  const actions = make
    ? html`<div class="actions">${linkButton(make.newUrl, texts.add, { className: "button primary" })}${linkButton(make.waysUrl, texts.otherWays)}</div>`
    : note("info", texts.closed);
  return accountPage(view, {
    frame: data.frame,
    section: "communities",
    title: texts.title,
    lead: rows.length === 0 && texts.empty,
    body: html`${unfinishedBox(view, data)}${
      rows.length > 0 &&
      html`<section class="section" aria-labelledby="yours"><h2 id="yours">${texts.yours}</h2><ul class="rows">${rows}</ul>${moreUrl !== undefined && linkButton(moreUrl, texts.more)}</section>`
    }${actions}`,
  });
}

function unfinishedBox(view: View, { unfinished }: CommunitiesData): Content {
  const texts = view.t.communities.unfinished;
  if (unfinished.length === 0) return undefined;
  const rows = unfinished.map(({ handle, resume }) => {
    const name = handle === undefined ? texts.nameless : `@${handle}`;
    return html`<li class="row"><p class="title">${name}</p>${buttonForm(view, { target: resume, label: texts.resume, describes: texts.resumeLabel(name) })}</li>`;
  });
  return html`<section class="section" aria-labelledby="unfinished"><h2 id="unfinished">${texts.title}</h2>${note("warning", texts.lead)}<ul class="rows">${rows}</ul></section>`;
}

/** The form to ask sends `account`; that to adopt `account` and `appPassword`. */
export interface CommunityWaysData {
  readonly frame: AccountFrame;
  /** Asks for the consent of the account's owner. */
  readonly ask: FormTarget;
  readonly adopt: FormTarget;
  /** Of which form the account and the errors are. */
  readonly way?: "consent" | "password" | undefined;
  readonly account?: string | undefined;
  readonly errors?: FormErrors<"account" | "appPassword"> | undefined;
  readonly mintUrl: string;
}

export function communityWaysPage(view: View, data: CommunityWaysData): string {
  const texts = view.t.communities.ways;
  const { errors, way = "consent" } = data;
  const ids = { consent: "account", password: "password-account" };
  const account = (of: keyof typeof ids) =>
    field(view, {
      name: "account",
      id: ids[of],
      label: texts.identifier,
      value: data.account,
      error: way === of ? errors?.account : undefined,
      autocomplete: "off",
      isName: true,
      maxLength: 300,
    });
  const byConsent = html`${account("consent")}<p class="muted">${texts.askLead}</p>${submit(texts.askSubmit, { kind: "" })}`;
  const byPassword = html`${account("password")}${field(view, {
    name: "appPassword",
    type: "password",
    label: texts.appPassword,
    hint: texts.appPasswordHint,
    error: errors?.appPassword,
    autocomplete: "off",
    maxLength: 256,
  })}${submit(texts.adoptSubmit, { kind: "" })}`;
  return accountPage(view, {
    frame: data.frame,
    section: "communities",
    up: toCommunities(view, data.frame),
    title: texts.title,
    body: html`${errorSummary(view, { errors, ids: { account: ids[way] } })}
<section class="box"><h2>${texts.adopt}</h2><p class="muted">${texts.adoptLead}</p>${form(view, { target: data.ask, content: byConsent })}
<details${way === "password" && html` open`}><summary>${texts.byPassword}</summary>${form(view, { target: data.adopt, content: byPassword })}</details></section>
<section class="box"><h2>${texts.mint}</h2><p class="muted">${texts.mintLead}</p><div class="actions">${linkButton(data.mintUrl, texts.mintStart)}</div></section>`,
  });
}
