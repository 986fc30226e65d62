import { stepPage } from "../frame.ts";
import { html } from "../html.ts";
import { icon } from "../icons.ts";
import { failure, form, linkButton, who } from "../parts.ts";
import type { AccountName, ClientName, FormTarget, View } from "../view.ts";
import { appLine } from "./app_line.ts";

/** The form sends `did` of the account that was chosen; that for signing out, of the one that goes. */
export interface ChooseAccountData {
  readonly client?: ClientName | undefined;
  readonly accounts: readonly (AccountName & {
    /** Signed in too long ago: the next page is that of the password. */
    readonly needsPassword?: boolean;
  })[];
  readonly form: FormTarget;
  readonly signOut: FormTarget;
  /** Signs in with an account that is not in the list. */
  readonly anotherUrl: string;
  readonly signUpUrl?: string | undefined;
  readonly error?: string | undefined;
}

export function chooseAccountPage(view: View, data: ChooseAccountData): string {
  const { t } = view;
  const { client } = data;
  const rows = data.accounts.map((account) => {
    const detail = account.needsPassword === true ? t.choose.needsPassword : account.did;
    const choose = html`<button class="row-link" name="did" value="${account.did}">${who(account, { detail })}${icon("forward")}</button>`;
    const label = t.choose.signOut(account.handle);
    const out = html`<button class="out" name="did" value="${account.did}" aria-label="${label}" title="${label}">${icon("out")}</button>`;
    return html`<li class="account-row">${form(view, { target: data.form, content: choose, className: "" })}${form(view, { target: data.signOut, content: out, className: "" })}</li>`;
  });
  return stepPage(view, {
    title: t.choose.title,
    lead: client ? appLine(client, t.choose.toApp) : html`<p class="lead">${t.choose.toAccount}</p>`,
    body: html`${data.error !== undefined && failure(data.error)}<ul class="rows">${rows}</ul>
<div class="stack-tight">${linkButton(data.anotherUrl, t.choose.another)}
${data.signUpUrl !== undefined && linkButton(data.signUpUrl, t.choose.signUp, { className: "button plain" })}</div>`,
  });
}
