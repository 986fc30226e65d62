import { type AccountFrame, accountPage } from "../frame.ts";
import { html } from "../html.ts";
import { choice, errorSummary, field, form, linkButton, note, submit } from "../parts.ts";
import type { FormErrors, FormTarget, View } from "../view.ts";
import { type CommunityName, type CommunityNature, nameOf, points } from "./community_parts.ts";

/** The form sends `subject` and `self`: "stay", "admin" or "leave". */
export interface HandOverData {
  readonly frame: AccountFrame;
  readonly community: CommunityName;
  readonly url: string;
  readonly form: FormTarget;
  readonly subject?: string | undefined;
  readonly errors?: FormErrors<"subject"> | undefined;
}

export function handOverPage(view: View, data: HandOverData): string {
  const { handOver: texts } = view.t.communities;
  const content = html`${field(view, {
    name: "subject",
    label: texts.who,
    value: data.subject,
    error: data.errors?.subject,
    autocomplete: "off",
    isName: true,
    maxLength: 300,
  })}${choice({
    name: "self",
    label: texts.you,
    options: (["stay", "admin", "leave"] as const).map((value) => ({ value, label: texts[value] })),
  })}${submit(texts.submit)}`;
  return accountPage(view, {
    frame: data.frame,
    section: "communities",
    up: { url: data.url, label: nameOf(data.community) },
    title: texts.title,
    lead: nameOf(data.community),
    body: html`${errorSummary(view, { errors: data.errors })}${note("warning", texts.lead)}${form(view, { target: data.form, content })}`,
  });
}

/** The form sends `name`: the handle, or the DID of one without, once more. */
export interface DeleteCommunityData {
  readonly frame: AccountFrame;
  readonly community: CommunityName;
  readonly nature: CommunityNature;
  readonly url: string;
  readonly form: FormTarget;
  readonly errors?: FormErrors<"name"> | undefined;
}

export function deleteCommunityPage(view: View, data: DeleteCommunityData): string {
  const { remove: texts } = view.t.communities;
  const { community, url, errors } = data;
  const content = html`${field(view, {
    name: "name",
    label: texts.type(community.handle ?? community.did),
    error: errors?.name,
    autocomplete: "off",
    isName: true,
    maxLength: 300,
  })}${submit(texts.submit, { kind: "danger" })}`;
  return accountPage(view, {
    frame: data.frame,
    section: "communities",
    up: { url, label: nameOf(community) },
    title: community.handle === undefined ? texts.titleNameless : texts.title(community.handle),
    body: html`${errorSummary(view, { errors })}<section class="section"><h2>${texts.means}</h2>${points(texts.points[data.nature])}</section>
<section class="box danger-zone">${form(view, { target: data.form, content })}</section>${linkButton(url, texts.keep)}`,
  });
}
