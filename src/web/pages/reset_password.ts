import { stepPage } from "../frame.ts";
import { html } from "../html.ts";
import { errorSummary, field, form, linkButton, note, submit } from "../parts.ts";
import type { FormErrors, FormTarget, View } from "../view.ts";

/** Asks for the address; sends `email`. */
export interface ForgotPasswordData {
  readonly form: FormTarget;
  readonly email?: string | undefined;
  readonly errors?: FormErrors<"email"> | undefined;
  /** For somebody who has a code already. */
  readonly resetUrl: string;
  readonly signInUrl: string;
}

export function forgotPasswordPage(view: View, data: ForgotPasswordData): string {
  const { t } = view;
  const content = html`${field(view, {
    name: "email",
    type: "email",
    label: t.forgot.email,
    value: data.email,
    error: data.errors?.email,
    autocomplete: "email",
    maxLength: 320,
    autofocus: !data.errors,
  })}${submit(t.forgot.submit)}`;
  return stepPage(view, {
    title: t.forgot.title,
    lead: html`<p class="lead">${t.forgot.lead}</p>`,
    body: html`${errorSummary(view, { errors: data.errors })}${form(view, { target: data.form, content })}
<p><a href="${data.resetUrl}">${t.forgot.haveCode}</a></p><p><a href="${data.signInUrl}">${t.forgot.backToSignIn}</a></p>`,
  });
}

/** Sets the new password; sends `code` and `password`. */
export interface ResetPasswordData {
  readonly form: FormTarget;
  /** Whether a code was asked for just now. The page is the same whether there is such an account or not. */
  readonly isSent: boolean;
  readonly code?: string | undefined;
  readonly errors?: FormErrors<"code" | "password"> | undefined;
  readonly forgotUrl: string;
}

export function resetPasswordPage(view: View, data: ResetPasswordData): string {
  const { t } = view;
  const content = html`${field(view, {
    name: "code",
    label: t.reset.code,
    value: data.code,
    error: data.errors?.code,
    autocomplete: "one-time-code",
    code: "letters",
    maxLength: 64,
    autofocus: !data.errors,
  })}${field(view, {
    name: "password",
    type: "password",
    label: t.reset.password,
    hint: t.reset.passwordHint,
    error: data.errors?.password,
    autocomplete: "new-password",
    minLength: 8,
    maxLength: 256,
  })}${submit(t.reset.submit)}`;
  return stepPage(view, {
    title: t.reset.title,
    lead: data.isSent && html`<p class="lead">${t.reset.sent}</p>`,
    body: html`${errorSummary(view, { errors: data.errors })}${form(view, { target: data.form, content })}
<p><a href="${data.forgotUrl}">${t.reset.again}</a></p>`,
  });
}

export interface PasswordResetDoneData {
  readonly signInUrl: string;
}

export function passwordResetDonePage(view: View, { signInUrl }: PasswordResetDoneData): string {
  const { t } = view;
  return stepPage(view, {
    title: t.reset.doneTitle,
    isSingle: true,
    body: html`${note("success", t.reset.done)}${linkButton(signInUrl, t.signIn.submit, { className: "button primary" })}`,
  });
}
