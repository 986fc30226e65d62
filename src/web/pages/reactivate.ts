import { stepPage } from "../frame.ts";
import { html } from "../html.ts";
import { formatDay } from "../locale.ts";
import { failure, form, linkButton, note, submit, who } from "../parts.ts";
import { type AccountName, type ClientName, clientTitle, type FormTarget, type View } from "../view.ts";

/** The form sends nothing of its own. */
export interface ReactivateData {
  readonly account: AccountName;
  readonly client?: ClientName | undefined;
  /** When it is to be deleted. */
  readonly deleteAfter?: Date | undefined;
  readonly form: FormTarget;
  readonly cancelUrl: string;
  readonly error?: string | undefined;
}

export function reactivatePage(view: View, data: ReactivateData): string {
  const { t, locale } = view;
  const { client, deleteAfter } = data;
  return stepPage(view, {
    title: t.reactivate.title,
    lead: who(data.account),
    body: html`${data.error !== undefined && failure(data.error)}<p>${t.reactivate.lead}</p>
${client && html`<p>${t.reactivate.leadApp(clientTitle(client))}</p>`}
${deleteAfter && note("warning", t.reactivate.deleteOn(formatDay(deleteAfter, locale)))}
${form(view, { target: data.form, content: submit(t.reactivate.submit) })}
${linkButton(data.cancelUrl, t.reactivate.cancel, { className: "button plain" })}`,
  });
}
