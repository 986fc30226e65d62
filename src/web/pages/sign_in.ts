import { stepPage } from "../frame.ts";
import { html } from "../html.ts";
import { checkbox, errorSummary, field, form, passkeyForm, submit } from "../parts.ts";
import type { ClientName, FormErrors, FormTarget, View } from "../view.ts";
import { appLine } from "./app_line.ts";

/** The form sends `identifier`, `password` and, where ticked, `remember`=on; that of the passkey `credential` (JSON) with the same `remember`. */
export interface SignInData {
  /** The app that sent the person here; none on the way to the account pages. */
  readonly client?: ClientName | undefined;
  readonly form: FormTarget;
  readonly identifier?: string | undefined;
  /** The app asks for this account, and for no other. */
  readonly isIdentifierFixed?: boolean;
  readonly isRemembered?: boolean;
  readonly errors?: FormErrors<"identifier" | "password"> | undefined;
  readonly passkey?: { readonly form: FormTarget; readonly optionsJson: string } | undefined;
  readonly signUpUrl?: string | undefined;
  readonly forgotUrl?: string | undefined;
  /** Goes back to the app without signing in: a form that is sent with no more. */
  readonly cancel?: FormTarget | undefined;
}

export function signInPage(view: View, data: SignInData): string {
  const { t } = view;
  const { client, errors } = data;
  const lead = client ? appLine(client, t.signIn.toApp) : html`<p class="lead">${t.signIn.toAccount}</p>`;
  const body = html`${errorSummary(view, { errors })}
${form(view, { target: data.form, content: fields(view, data) })}
${data.forgotUrl !== undefined && html`<p><a href="${data.forgotUrl}">${t.signIn.forgot}</a></p>`}
${
  data.passkey &&
  html`<p class="or">${t.signIn.or}</p>${passkeyForm(view, {
    target: data.passkey.form,
    passkey: { action: "get", optionsJson: data.passkey.optionsJson },
    // The tick is above, in the other form: the script takes it over.
    content: html`<input type="hidden" name="remember" value="${data.isRemembered ? "on" : ""}" data-ticked-as="remember">`,
    button: { label: t.signIn.withPasskey },
  })}`
}
${data.signUpUrl !== undefined && html`<p>${t.signIn.newHere} <a href="${data.signUpUrl}">${t.signIn.signUp}</a></p>`}
${
  data.cancel &&
  form(view, {
    target: data.cancel,
    content: html`<button class="button plain wide">${t.signIn.cancel}</button>`,
  })
}`;
  return stepPage(view, { title: t.signIn.title, lead, body });
}

function fields(view: View, data: SignInData) {
  const { t } = view;
  const { identifier, errors } = data;
  const isFixed = data.isIdentifierFixed === true && identifier !== undefined;
  const identifierField = field(view, {
    name: "identifier",
    label: t.signIn.identifier,
    value: identifier,
    error: errors?.identifier,
    autocomplete: "username webauthn",
    isName: true,
    isReadOnly: isFixed,
    maxLength: 512,
    autofocus: !errors && !identifier,
  });
  return html`${identifierField}${field(view, {
    name: "password",
    label: t.signIn.password,
    type: "password",
    error: errors?.password,
    autocomplete: "current-password",
    maxLength: 512,
    autofocus: !errors && Boolean(identifier),
  })}${checkbox({
    name: "remember",
    label: t.signIn.remember,
    hint: t.signIn.rememberHint,
    isChecked: data.isRemembered === true,
  })}${submit(t.signIn.submit)}`;
}
