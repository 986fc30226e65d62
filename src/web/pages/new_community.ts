import { type AccountFrame, accountPage } from "../frame.ts";
import { type Content, html } from "../html.ts";
import { icon } from "../icons.ts";
import { checkbox, errorSummary, failure, field, form, linkButton, note, secret, submit } from "../parts.ts";
import type { FormErrors, FormTarget, View } from "../view.ts";
import { type CommunityName, type CommunityNature, points, toCommunities } from "./community_parts.ts";
import { domainChoice } from "./sign_up.ts";

/** Each makes a key for those whose browser cannot. */
const KEY_COMMANDS = ["kith community key community.rotation-key", "goat key generate --type P-256"];

/**
 * The form sends `idempotencyKey` (of `form.hidden`), `rotationKey`, `saved`=on, and `handle` with `domain` for one here; `handle`,
 * `endpoint`, `email` and `invite` for one elsewhere; `handle` for an identity alone.
 */
export interface NewCommunityData {
  readonly frame: AccountFrame;
  readonly where: "here" | "elsewhere" | "identity";
  readonly domains: readonly string[];
  readonly form: FormTarget;
  /** Where the other form is, where there is a choice. */
  readonly otherUrl?: string | undefined;
  readonly values?: {
    readonly handle?: string | undefined;
    readonly domain?: string | undefined;
    readonly endpoint?: string | undefined;
    readonly email?: string | undefined;
    readonly invite?: string | undefined;
    readonly rotationKey?: string | undefined;
  };
  readonly errors?:
    | FormErrors<"handle" | "endpoint" | "email" | "invite" | "rotationKey" | "saved">
    | undefined;
}

export function newCommunityPage(view: View, data: NewCommunityData): string {
  const { fresh, ways } = view.t.communities;
  const { where, errors } = data;
  const isIdentity = where === "identity";
  const leads = { here: fresh.lead, elsewhere: fresh.leadElsewhere, identity: ways.mintLead };
  const fields = { here: fieldsHere, elsewhere: fieldsElsewhere, identity: fieldsOfIdentity }[where];
  const content = html`${fields(view, data)}${keyPart(view, data)}<p class="hint">${fresh.wait}</p>${submit(isIdentity ? ways.mintSubmit : fresh.submit)}`;
  return accountPage(view, {
    frame: data.frame,
    section: "communities",
    up: toCommunities(view, data.frame),
    title: isIdentity ? ways.mintTitle : fresh.title,
    lead: leads[where],
    script: view.assets.communityKeyScript,
    body: html`${errorSummary(view, { errors })}${form(view, { target: data.form, content })}`,
  });
}

function fieldsHere(view: View, data: NewCommunityData): Content {
  const { fresh } = view.t.communities;
  const handle = field(view, {
    name: "handle",
    label: fresh.handle,
    hint: fresh.handleHint,
    value: data.values?.handle,
    error: data.errors?.handle,
    autocomplete: "off",
    isName: true,
    maxLength: 63,
    after: domainChoice(view, data),
  });
  const other = data.otherUrl !== undefined && html` <a href="${data.otherUrl}">${fresh.elsewhere}</a>`;
  return html`${handle}<div class="field"><p class="label">${fresh.where}</p><p>${fresh.here(view.site.host)}${other}</p></div>`;
}

function fieldsElsewhere(view: View, { values = {}, errors = {}, otherUrl }: NewCommunityData): Content {
  const { fresh } = view.t.communities;
  const other = otherUrl !== undefined && html`<p><a href="${otherUrl}">${fresh.toHere}</a></p>`;
  return html`${field(view, {
    name: "endpoint",
    label: fresh.endpoint,
    hint: fresh.endpointHint,
    value: values.endpoint,
    error: errors.endpoint,
    autocomplete: "off",
    isName: true,
    maxLength: 512,
  })}${other}${field(view, {
    name: "handle",
    label: fresh.handleElsewhere,
    hint: fresh.handleElsewhereHint,
    value: values.handle,
    error: errors.handle,
    autocomplete: "off",
    isName: true,
    maxLength: 253,
  })}${field(view, {
    name: "email",
    type: "email",
    label: fresh.email,
    hint: fresh.emailHint,
    value: values.email,
    error: errors.email,
    autocomplete: "email",
    maxLength: 320,
  })}${field(view, {
    name: "invite",
    label: fresh.invite,
    hint: fresh.inviteHint,
    value: values.invite,
    error: errors.invite,
    autocomplete: "off",
    isName: true,
    isOptional: true,
    maxLength: 256,
  })}`;
}

function fieldsOfIdentity(view: View, { values, errors }: NewCommunityData): Content {
  const { ways } = view.t.communities;
  return field(view, {
    name: "handle",
    label: ways.mintHandle,
    hint: ways.mintHandleHint,
    value: values?.handle,
    error: errors?.handle,
    autocomplete: "off",
    isName: true,
    isOptional: true,
    maxLength: 253,
  });
}

/** By the script the key is made; without it somebody pastes the public half of one that they have made. */
function keyPart(view: View, { values, errors }: NewCommunityData): Content {
  const { key } = view.t.communities;
  const publicKey = field(view, {
    name: "rotationKey",
    label: key.field,
    hint: key.fieldHint,
    value: values?.rotationKey,
    error: errors?.rotationKey,
    autocomplete: "off",
    isName: true,
    maxLength: 256,
  });
  return html`<fieldset class="box" data-key-maker="${key.fileName}" aria-labelledby="key-title"><h2 id="key-title">${key.title}</h2><p class="muted">${key.lead}</p>
<button type="button" class="button wide" hidden data-key-make data-again="${key.again}">${icon("key")}<span>${key.make}</span></button>
<div class="stack-tight" aria-live="polite"><div class="stack-tight" data-key-made hidden>${note("success", key.made)}<p class="small muted"><code data-key-public></code></p></div><p class="error" data-key-failed hidden>${key.failed}</p></div>
<button type="button" class="button slim" hidden data-key-download>${key.download}</button>
<details open data-key-by-hand><summary>${key.byHand}</summary><div class="stack"><p>${key.byHandLead}</p>${KEY_COMMANDS.map((command) => html`<p><code>${command}</code></p>`)}${publicKey}</div></details>
${checkbox({ name: "saved", label: key.saved, hint: key.savedHint, isRequired: true })}${
  errors?.saved !== undefined &&
  html`<p class="error">${icon("error", { size: 18 })}<span>${errors.saved}</span></p>`
}</fieldset>`;
}

/** It failed after something permanent was done: the same form again goes on. */
export interface HalfWayData {
  readonly frame: AccountFrame;
  readonly handle?: string | undefined;
  /** What the server says of it, in English. */
  readonly said: string;
  /** Has everything that was sent before in `hidden`. */
  readonly form: FormTarget;
}

export function halfWayPage(view: View, { frame, handle, said, form: target }: HalfWayData): string {
  const texts = view.t.communities.halfWay;
  const content = html`<p class="muted">${texts.later}</p>${submit(texts.resume)}`;
  return accountPage(view, {
    frame,
    section: "communities",
    up: toCommunities(view, frame),
    title: texts.title,
    body: html`${failure(handle === undefined ? texts.leadNameless : texts.lead(handle))}
<details class="small"><summary>${texts.said}</summary><p lang="en">${said}</p></details>${form(view, { target, content })}`,
  });
}

export interface CommunityMadeData {
  readonly frame: AccountFrame;
  readonly community: CommunityName;
  readonly nature: CommunityNature;
  /** Of its account at another server; told this once. */
  readonly password?: string | undefined;
  readonly url: string;
}

export function communityMadePage(view: View, data: CommunityMadeData): string {
  const { made, abilities } = view.t.communities;
  const { did, handle } = data.community;
  const { can, cannot } = abilities[data.nature];
  const password =
    data.password !== undefined &&
    html`<section class="box"><h2>${made.password}</h2>${secret(view, data.password)}${note("warning", made.passwordOnce)}</section>`;
  return accountPage(view, {
    frame: data.frame,
    section: "communities",
    up: toCommunities(view, data.frame),
    title: handle === undefined ? made.titleNameless : made.title(handle),
    body: html`<dl class="facts"><div><dt>${made.did}</dt><dd><code>${did}</code></dd></div></dl>${password}
<section class="section"><h2>${made.can}</h2>${points(can)}</section><section class="section"><h2>${made.cannot}</h2>${points(cannot)}</section>
<div class="actions">${linkButton(data.url, made.go, { className: "button primary" })}</div>`,
  });
}
