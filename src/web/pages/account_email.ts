import { type AccountFrame, accountPage } from "../frame.ts";
import { type Content, html } from "../html.ts";
import { buttonForm, errorSummary, field, form, submit, tag } from "../parts.ts";
import type { FormErrors, FormTarget, View } from "../view.ts";

/** Forms send: to confirm `code`; to change `email`, and `changeCode` where a code was sent to the old address. */
export interface ChangeEmailData {
  readonly frame: AccountFrame;
  /** Undefined where the account has none. */
  readonly address: string | undefined;
  readonly isConfirmed: boolean;
  readonly sendCode: FormTarget;
  readonly confirm: FormTarget;
  /** A code to confirm was sent just now. */
  readonly isCodeSent: boolean;
  readonly change: FormTarget;
  /** The change asks for a code, which was sent to the old address, or is to be had of the operators. */
  readonly needsChangeCode: boolean;
  /** No code was mailed: this server cannot. */
  readonly isMailless?: boolean;
  readonly email?: string | undefined;
  readonly errors?: FormErrors<"code" | "email" | "changeCode"> | undefined;
}

export function changeEmailPage(view: View, data: ChangeEmailData): string {
  const texts = view.t.account.email;
  const { home } = view.t.account;
  const state = data.isConfirmed ? tag("success", home.confirmed) : tag("warning", home.unconfirmed);
  return accountPage(view, {
    frame: data.frame,
    section: "email",
    title: texts.title,
    lead: texts.lead,
    body: html`${errorSummary(view, { errors: data.errors })}<dl class="facts"><div><dt>${texts.current}</dt><dd>${data.address ?? home.noEmail} ${data.address !== undefined && state}</dd></div></dl>
${!data.isConfirmed && data.address !== undefined && confirmBox(view, { ...data, address: data.address })}${changeBox(view, data)}`,
  });
}

function confirmBox(view: View, data: ChangeEmailData & { address: string }): Content {
  const texts = view.t.account.email;
  const content = html`${field(view, {
    name: "code",
    label: data.isMailless ? texts.codeOfOperators : texts.code,
    error: data.errors?.code,
    autocomplete: "one-time-code",
    code: "letters",
    maxLength: 64,
  })}${submit(texts.confirm)}`;
  const asked = html`${!data.isMailless && html`<p>${texts.confirmLead(data.address)}</p>`}${form(view, { target: data.confirm, content })}`;
  return html`<section class="box"><h2>${texts.confirmTitle}</h2>${data.isCodeSent && asked}
${buttonForm(view, { target: data.sendCode, label: data.isCodeSent ? view.t.factor.sendAgain : texts.sendCode, className: data.isCodeSent ? "button plain wide" : "button wide" })}</section>`;
}

function changeBox(view: View, data: ChangeEmailData): Content {
  const texts = view.t.account.email;
  const content = html`${field(view, {
    name: "email",
    type: "email",
    label: texts.new,
    value: data.email,
    error: data.errors?.email,
    autocomplete: "email",
    maxLength: 320,
  })}${
    data.needsChangeCode &&
    field(view, {
      name: "changeCode",
      label: data.isMailless ? texts.codeOfOperators : texts.code,
      hint: data.isMailless ? undefined : texts.codeToOld(data.address ?? ""),
      error: data.errors?.changeCode,
      autocomplete: "one-time-code",
      code: "letters",
      maxLength: 64,
    })
  }${submit(texts.change, { kind: data.isConfirmed ? "primary" : "" })}`;
  return html`<section class="box"><h2>${texts.changeTitle}</h2>${form(view, { target: data.change, content })}</section>`;
}
