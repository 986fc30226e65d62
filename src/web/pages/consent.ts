import type { ExplainedScope, Explanation, PermissionGroup } from "../../atproto/mod.ts";
import { stepPage } from "../frame.ts";
import { type Content, type Html, html } from "../html.ts";
import { icon } from "../icons.ts";
import { formatDay } from "../locale.ts";
import { failure, form, note, tag, who } from "../parts.ts";
import { type PermissionWords, permissionWords, riskWords } from "../permission_words.ts";
import { type AccountName, type ClientName, clientTitle, type FormTarget, type View } from "../view.ts";

/**
 * The form sends `scope` once for each permission that is left ticked (as it was asked for; `atproto` always) and `decision`,
 * which is `allow` or `deny`.
 */
export interface ConsentData {
  readonly account: AccountName;
  /** To choose another account; none where the app wants this one. */
  readonly switchUrl?: string | undefined;
  readonly client: ClientName & {
    /** Whether the operator vouches for it. */
    readonly isTrusted: boolean;
    /** A development client, `http://localhost`: whoever it is runs on this person's own device. */
    readonly isLoopback: boolean;
  };
  readonly redirectUri: string;
  /** When this app was last allowed something; undefined the first time. */
  readonly allowedBefore?: Date | undefined;
  /** Of `explain(scope, sets)`. */
  readonly explanation: Explanation;
  readonly form: FormTarget;
  readonly error?: string | undefined;
}

/** Names that are shown of one permission; more are behind a fold. */
const NAMES_SHOWN = 3;

export function consentPage(view: View, data: ConsentData): string {
  const { t } = view;
  const { client, explanation } = data;
  const asked = explanation.groups.filter(({ name }) => name !== "session");
  const lead = asked.length === 0 ? t.consent.leadSignInOnly : t.consent.lead;
  const { unknown } = explanation;
  const content = html`<div class="permissions">${explanation.groups.map((group, index) => groupOf(view, group, index))}</div>
${unknown.length > 0 && html`<p class="small muted">${t.consent.unknown(unknown.length)}</p>`}
<p class="small muted">${t.consent.noPassword} ${t.consent.later}</p>
<div class="sticky"><div class="actions"><button class="button" name="decision" value="deny">${t.consent.deny}</button>
<button class="button primary" name="decision" value="allow">${t.consent.allow}</button></div></div>`;
  return stepPage(view, {
    title: t.consent.title(clientTitle(client)),
    lead: aboutTheApp(view, data),
    body: html`${data.error !== undefined && failure(data.error)}<p>${lead}</p>${form(view, { target: data.form, content })}`,
  });
}

function aboutTheApp(view: View, data: ConsentData): Html {
  const { t, locale } = view;
  const { client, allowedBefore } = data;
  const logo =
    client.isTrusted &&
    client.logo &&
    html`<img class="app-logo" src="${client.logo}" alt="" width="40" height="40">`;
  const vouched = client.isTrusted
    ? note("success", t.consent.trusted)
    : note(
        allowedBefore ? "info" : "warning",
        client.isLoopback ? t.consent.loopback : t.consent.notVerified,
      );
  const history = allowedBefore ? t.consent.before(formatDay(allowedBefore, locale)) : t.consent.firstTime;
  return html`${logo}<dl class="facts">
<div><dt>${t.consent.clientId}</dt><dd><code>${client.clientId}</code></dd></div>
<div><dt>${t.consent.account}</dt><dd>${who(data.account)}${data.switchUrl !== undefined && html`<a class="small" href="${data.switchUrl}">${t.consent.switchAccount}</a>`}</dd></div>
</dl>${vouched}<p class="small muted">${history} ${t.consent.sendsBack(placeOf(data.redirectUri))}</p>`;
}

/** Where an answer goes, as far as a person can check it: the host, or the scheme of a native app. */
function placeOf(redirectUri: string): string {
  const url = URL.parse(redirectUri);
  if (url === null) return redirectUri;
  return url.host === "" ? url.protocol.replace(/:$/, "") : url.host;
}

function groupOf(view: View, { name, scopes }: PermissionGroup, group: number): Html {
  const items = scopes.map((scope, index) => itemOf(view, scope, `scope-${group}-${index}`));
  return html`<fieldset><legend>${view.t.permissions.groups[name]}</legend><ul class="rows">${items}</ul></fieldset>`;
}

function itemOf(view: View, explained: ExplainedScope, id: string): Html {
  const { t } = view;
  const words = permissionWords(view, explained.meaning);
  const risk = riskWords(view, explained);
  const isFixed = explained.meaning.resource === "session";
  const more = moreOf(view, words, risk);
  const title = html`${words.title}${risk !== undefined && html` ${tag("warning", t.consent.risky)}`}`;
  const control = isFixed
    ? html`<span class="always">${icon("check")}</span><input type="hidden" name="scope" value="${explained.scope}"><p><strong>${title}</strong> ${tag("", t.consent.always)}</p>`
    : html`<input type="checkbox" id="${id}" name="scope" value="${explained.scope}" checked${more && html` aria-describedby="${id}-more"`}><label for="${id}">${title}</label>`;
  return html`<li class="permission"><div class="check">${control}${more && html`<div class="more" id="${id}-more">${more}</div>`}</div></li>`;
}

function moreOf(view: View, words: PermissionWords, risk: string | undefined): Content {
  const { detail, parts } = words;
  if (detail === undefined && risk === undefined && words.names.length === 0) return undefined;
  const warning =
    risk !== undefined && html`<p class="warn">${icon("warning", { size: 18 })}<span>${risk}</span></p>`;
  const held =
    parts.length > 0 &&
    html`<details><summary>${view.t.consent.holds(parts.length)}</summary><p class="small muted">${view.t.consent.asOne}</p><ul class="points">${parts.map(
      (part) => html`<li>${part.title}${part.names.length > 0 && html`<br>${namesOf(part.names)}`}</li>`,
    )}</ul></details>`;
  return html`${detail && html`<p>${detail}</p>`}${warning}${shownNames(view, words.names)}${held}`;
}

function shownNames(view: View, names: readonly string[]): Content {
  if (names.length === 0) return undefined;
  if (names.length <= NAMES_SHOWN) return html`<p>${namesOf(names)}</p>`;
  return html`<details><summary>${view.t.consent.holds(names.length)}</summary><p>${namesOf(names)}</p></details>`;
}

function namesOf(names: readonly string[]): Html {
  return html`${names.map((name, index) => html`${index > 0 && ", "}<code>${name}</code>`)}`;
}
