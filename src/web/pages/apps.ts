import type { Explanation } from "../../atproto/mod.ts";
import { type AccountFrame, accountPage } from "../frame.ts";
import { type Html, html } from "../html.ts";
import { formatDay } from "../locale.ts";
import { buttonForm } from "../parts.ts";
import { permissionWords } from "../permission_words.ts";
import { type ClientName, clientTitle, type FormTarget, type View } from "../view.ts";

/** One authorization of an app. */
export interface AppGrant {
  readonly client: ClientName;
  readonly since: Date;
  readonly lastUsed: Date;
  /** Of `explain(scope, sets)`, with the scope that was granted. */
  readonly explanation: Explanation;
  /** Ends it. */
  readonly remove: FormTarget;
}

/** An app without access, which would be let in again without asking. */
export interface RememberedApp {
  readonly client: ClientName;
  readonly allowed: Date;
  /** Of the scope that it would get. */
  readonly explanation: Explanation;
  /** From then on it has to ask. */
  readonly forget: FormTarget;
}

export interface AppsData {
  readonly frame: AccountFrame;
  readonly grants: readonly AppGrant[];
  readonly remembered: readonly RememberedApp[];
}

export function appsPage(view: View, { frame, grants, remembered }: AppsData): string {
  const { apps } = view.t.account;
  const rows = grants.map((grant) => grantRow(view, grant));
  const others = remembered.map((app) => rememberedRow(view, app));
  return accountPage(view, {
    frame,
    section: "apps",
    title: apps.title,
    lead: apps.lead,
    body: html`${rows.length > 0 ? html`<ul class="rows">${rows}</ul>` : html`<p>${apps.empty}</p>`}${
      others.length > 0 &&
      html`<section class="section" aria-labelledby="remembered"><h2 id="remembered">${apps.remembered}</h2><p>${apps.rememberedLead}</p><ul class="rows">${others}</ul></section>`
    }`,
  });
}

function grantRow(view: View, { client, since, lastUsed, explanation, remove }: AppGrant): Html {
  const { locale } = view;
  const { apps } = view.t.account;
  return row(view, {
    client,
    explanation,
    days: `${apps.since(formatDay(since, locale))}, ${apps.lastUsed(formatDay(lastUsed, locale))}`,
    may: apps.may,
    button: { target: remove, label: apps.remove, describes: apps.removeLabel(clientTitle(client)) },
  });
}

function rememberedRow(view: View, { client, allowed, explanation, forget }: RememberedApp): Html {
  const { apps } = view.t.account;
  return row(view, {
    client,
    explanation,
    days: apps.allowed(formatDay(allowed, view.locale)),
    may: apps.wouldMay,
    button: { target: forget, label: apps.forget, describes: apps.forgetLabel(clientTitle(client)) },
  });
}

interface RowData {
  readonly client: ClientName;
  readonly explanation: Explanation;
  readonly days: string;
  readonly may: (count: number) => string;
  readonly button: { readonly target: FormTarget; readonly label: string; readonly describes: string };
}

function row(view: View, { client, explanation, days, may, button }: RowData): Html {
  const scopes = explanation.groups.flatMap((group) => group.scopes);
  const items = scopes.map(({ meaning }) => html`<li>${permissionWords(view, meaning).title}</li>`);
  return html`<li class="row"><div class="stack-tight"><div><p class="title">${clientTitle(client)}</p>
<p class="small muted"><code>${client.clientId}</code></p>
<p class="small muted">${days}</p></div>
<details class="small"><summary>${may(scopes.length)}</summary><ul class="points">${items}</ul></details></div>
${buttonForm(view, { ...button, className: "button slim quiet-danger" })}</li>`;
}
