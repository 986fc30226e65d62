import { stepPage } from "../frame.ts";
import { html } from "../html.ts";
import { form, note } from "../parts.ts";
import type { FormTarget, View } from "../view.ts";

export type AdoptionPurpose = "adopt" | "reauth";

/** Names as far as they are known; a DID otherwise. */
export interface AdoptionData {
  readonly purpose: AdoptionPurpose;
  /** Who becomes the owner. */
  readonly asker: { readonly did: string; readonly handle?: string | undefined };
  readonly account: { readonly did: string; readonly handle?: string | undefined };
  /** The host of the account's server. */
  readonly server: string;
}

export type AdoptionFailure = keyof View["t"]["adoption"]["failed"];

/** What somebody asks of the owner of an account, before it is done. The form sends `decision`: `allow` or `deny`. */
export function askAdoptionPage(view: View, data: AdoptionData & { form: FormTarget }): string {
  const { adoption: t } = view.t;
  const { purpose, asker, account, server } = data;
  const name = nameOf(asker);
  const content = html`<div class="sticky"><div class="actions"><button class="button" name="decision" value="deny">${t.refuse}</button>
<button class="button primary" name="decision" value="allow">${t.agree}</button></div></div>`;
  return stepPage(view, {
    title: t.askTitle[purpose],
    lead: html`<dl class="facts">
<div><dt>${t.account}</dt><dd>${named(account)}</dd></div>
<div><dt>${t.server}</dt><dd><code>${server}</code></dd></div>
<div><dt>${t.asker}</dt><dd>${named(asker)}</dd></div>
</dl>${note("warning", t.warning)}`,
    body: html`<p>${t.lead[purpose](name, view.site.name)}</p><ul class="points">${t.points[purpose](name).map((point) => html`<li>${point}</li>`)}</ul>${form(view, { target: data.form, content })}`,
  });
}

export function adoptionDonePage(view: View, { purpose, asker }: AdoptionData): string {
  const { adoption: t } = view.t;
  const body = html`${note("success", t.done[purpose](nameOf(asker)))}`;
  return stepPage(view, { title: t.doneTitle[purpose], isSingle: true, body });
}

export function adoptionRefusedPage(view: View): string {
  const { adoption: t } = view.t;
  return stepPage(view, { title: t.refusedTitle, isSingle: true, body: html`<p>${t.refused}</p>` });
}

export function adoptionFailedPage(
  view: View,
  { why, detail, requestId }: { why: AdoptionFailure; detail?: string | undefined; requestId?: string },
): string {
  const { adoption: t, problem } = view.t;
  const facts = html`${detail !== undefined && html`<details class="small"><summary>${problem.details}</summary><code>${detail}</code></details>`}
${requestId !== undefined && html`<p class="small muted">${problem.reference}: <code>${requestId}</code></p>`}`;
  return stepPage(view, {
    title: t.failedTitle,
    isSingle: true,
    body: html`<p>${t.failed[why]}</p>${facts}`,
  });
}

function nameOf({ did, handle }: AdoptionData["asker"]): string {
  return handle === undefined ? did : `@${handle}`;
}

function named({ did, handle }: AdoptionData["asker"]) {
  return html`${handle !== undefined && html`<strong>@${handle}</strong> `}<code>${did}</code>`;
}
