import type { Explanation } from "../../atproto/mod.ts";
import { type AccountFrame, accountPage } from "../frame.ts";
import { html } from "../html.ts";
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

export interface AppsData {
  readonly frame: AccountFrame;
  readonly grants: readonly AppGrant[];
}

export function appsPage(view: View, { frame, grants }: AppsData): string {
  const { apps } = view.t.account;
  const rows = grants.map((grant) => row(view, grant));
  return accountPage(view, {
    frame,
    section: "apps",
    title: apps.title,
    lead: apps.lead,
    body: rows.length > 0 ? html`<ul class="rows">${rows}</ul>` : html`<p>${apps.empty}</p>`,
  });
}

function row(view: View, { client, since, lastUsed, explanation, remove }: AppGrant) {
  const { locale } = view;
  const { apps } = view.t.account;
  const scopes = explanation.groups.flatMap((group) => group.scopes);
  const items = scopes.map(({ meaning }) => html`<li>${permissionWords(view, meaning).title}</li>`);
  const title = clientTitle(client);
  return html`<li class="row"><div class="stack-tight"><div><p class="title">${title}</p>
<p class="small muted"><code>${client.clientId}</code></p>
<p class="small muted">${apps.since(formatDay(since, locale))}, ${apps.lastUsed(formatDay(lastUsed, locale))}</p></div>
<details class="small"><summary>${apps.may(scopes.length)}</summary><ul class="points">${items}</ul></details></div>
${buttonForm(view, { target: remove, label: apps.remove, className: "button slim quiet-danger", describes: apps.removeLabel(title) })}</li>`;
}
