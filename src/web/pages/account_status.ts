import { type AccountFrame, accountPage } from "../frame.ts";
import { type Content, html } from "../html.ts";
import { formatDay } from "../locale.ts";
import {
  buttonForm,
  checkbox,
  errorSummary,
  failure,
  field,
  form,
  hiddenUsername,
  linkButton,
  note,
  submit,
} from "../parts.ts";
import type { FormErrors, FormTarget, View } from "../view.ts";

/** Its forms send nothing of their own. */
export interface AccountStatusData {
  readonly frame: AccountFrame;
  readonly state: "active" | "deactivated";
  readonly deleteAfter?: Date | undefined;
  /** Deactivates an active account, reactivates a deactivated one. */
  readonly toggle: FormTarget;
  readonly deleteUrl: string;
  readonly error?: string | undefined;
}

export function accountStatusPage(view: View, data: AccountStatusData): string {
  const texts = view.t.account.status;
  const { deleteAfter } = data;
  const isActive = data.state === "active";
  const words = isActive
    ? { title: texts.deactivate, lead: texts.deactivateLead, button: texts.deactivateSubmit }
    : { title: texts.reactivate, lead: texts.reactivateLead, button: texts.reactivateSubmit };
  const soon =
    deleteAfter && note("warning", view.t.reactivate.deleteOn(formatDay(deleteAfter, view.locale)));
  return accountPage(view, {
    frame: data.frame,
    section: "status",
    title: texts.title,
    body: html`${data.error !== undefined && failure(data.error)}<section class="box"><h2>${words.title}</h2><p>${words.lead}</p>${soon}
${buttonForm(view, { target: data.toggle, label: words.button, className: isActive ? "button" : "button primary" })}</section>
<section class="box danger-zone"><h2>${texts.delete}</h2><p>${texts.deleteLead}</p>
<p>${linkButton(data.deleteUrl, texts.deleteStart, { className: "button quiet-danger" })}</p></section>`,
  });
}

/** First a code is asked for; then the form sends `code`, `password` and `understood`=on. */
export interface DeleteAccountData {
  readonly frame: AccountFrame;
  readonly sendCode: FormTarget;
  /** Where the code was sent; null where this server mails none; undefined before it was asked for. */
  readonly sentTo?: string | null | undefined;
  readonly form: FormTarget;
  readonly errors?: FormErrors<"code" | "password" | "understood"> | undefined;
}

export function deleteAccountPage(view: View, data: DeleteAccountData): string {
  const texts = view.t.account.delete;
  const points = texts.points.map((point) => html`<li>${point}</li>`);
  return accountPage(view, {
    frame: data.frame,
    section: "status",
    title: texts.title,
    body: html`${errorSummary(view, { errors: data.errors })}<section class="section"><h2>${texts.means}</h2><ul class="points">${points}</ul>${note("warning", texts.instead)}</section>
<section class="box danger-zone">${data.sentTo === undefined ? buttonForm(view, { target: data.sendCode, label: texts.send, className: "button quiet-danger" }) : lastStep(view, data, data.sentTo)}</section>
${linkButton(data.frame.links.status, texts.keep)}`,
  });
}

function lastStep(
  view: View,
  { frame, form: target, errors, sendCode }: DeleteAccountData,
  sentTo: string | null,
): Content {
  const texts = view.t.account.delete;
  const content = html`${sentTo !== null && html`<p>${texts.sent(sentTo)}</p>`}${field(view, {
    name: "code",
    label: sentTo === null ? view.t.account.email.codeOfOperators : texts.code,
    error: errors?.code,
    autocomplete: "one-time-code",
    code: "letters",
    maxLength: 64,
  })}${hiddenUsername(frame.account)}${field(view, {
    name: "password",
    type: "password",
    label: texts.password,
    error: errors?.password,
    autocomplete: "current-password",
    maxLength: 512,
  })}${checkbox({ name: "understood", label: texts.understand, isRequired: true })}${submit(texts.submit, { kind: "danger" })}`;
  const again = buttonForm(view, {
    target: sendCode,
    label: view.t.factor.sendAgain,
    className: "button plain wide",
  });
  return html`${form(view, { target, content })}${again}`;
}
