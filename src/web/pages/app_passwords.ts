import { type AccountFrame, accountPage } from "../frame.ts";
import { html } from "../html.ts";
import { formatDay } from "../locale.ts";
import { buttonForm, checkbox, errorSummary, field, form, secret, submit } from "../parts.ts";
import type { FormErrors, FormTarget, View } from "../view.ts";

/** The form sends `name` and, where ticked, `privileged`=on. */
export interface AppPasswordsData {
  readonly frame: AccountFrame;
  readonly passwords: readonly {
    readonly name: string;
    readonly created: Date;
    readonly isPrivileged: boolean;
    readonly remove: FormTarget;
  }[];
  /** Made just now, and shown this once. */
  readonly made?: { readonly name: string; readonly password: string } | undefined;
  readonly form: FormTarget;
  readonly name?: string | undefined;
  readonly errors?: FormErrors<"name"> | undefined;
}

export function appPasswordsPage(view: View, data: AppPasswordsData): string {
  const texts = view.t.account.appPasswords;
  const { made, passwords } = data;
  const rows = passwords.map((password) => row(view, password));
  const shown =
    made &&
    html`<section class="box" role="status"><h2>${texts.made(made.name)}</h2>${secret(view, made.password)}<p>${texts.once}</p></section>`;
  const content = html`<h2>${texts.add}</h2>${field(view, {
    name: "name",
    label: texts.name,
    hint: texts.nameHint,
    value: data.name,
    error: data.errors?.name,
    autocomplete: "off",
    maxLength: 64,
  })}${checkbox({ name: "privileged", label: texts.privilegedLabel })}${submit(texts.submit)}`;
  return accountPage(view, {
    frame: data.frame,
    section: "appPasswords",
    title: texts.title,
    lead: texts.lead,
    body: html`${errorSummary(view, { errors: data.errors })}${shown}
${rows.length > 0 ? html`<ul class="rows">${rows}</ul>` : html`<p>${texts.empty}</p>`}
<section class="box">${form(view, { target: data.form, content })}</section>`,
  });
}

function row(view: View, { name, created, isPrivileged, remove }: AppPasswordsData["passwords"][number]) {
  const texts = view.t.account.appPasswords;
  const meta = [texts.created(formatDay(created, view.locale)), isPrivileged && texts.privileged];
  return html`<li class="row"><div><p class="title">${name}</p><p class="small muted">${meta.filter(Boolean).join(", ")}</p></div>
${buttonForm(view, { target: remove, label: texts.remove, className: "button slim quiet-danger", describes: texts.removeLabel(name) })}</li>`;
}
