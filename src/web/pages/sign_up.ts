import { stepPage } from "../frame.ts";
import { type Content, html } from "../html.ts";
import { errorSummary, field, form, submit } from "../parts.ts";
import type { ClientName, FormErrors, FormTarget, View } from "../view.ts";
import { appLine } from "./app_line.ts";

/** The form sends `handle` (its first part), `domain` (with its dot), `email`, `password` and `invite`. */
export interface SignUpData {
  readonly client?: ClientName | undefined;
  readonly form: FormTarget;
  /** Each with its leading dot; the first is offered. */
  readonly domains: readonly string[];
  readonly isInviteRequired: boolean;
  readonly values?: {
    readonly handle?: string | undefined;
    readonly domain?: string | undefined;
    readonly email?: string | undefined;
    readonly invite?: string | undefined;
  };
  readonly errors?: FormErrors<"handle" | "email" | "password" | "invite"> | undefined;
  readonly signInUrl: string;
}

export function signUpPage(view: View, data: SignUpData): string {
  const { t, site } = view;
  const lead = html`${data.client && appLine(data.client, t.signIn.toApp)}<p class="lead">${t.signUp.lead(site.name)}</p>`;
  const body = html`${errorSummary(view, { errors: data.errors })}
${form(view, { target: data.form, content: fields(view, data) })}
<p>${t.signUp.haveOne} <a href="${data.signInUrl}">${t.signUp.signIn}</a></p>`;
  return stepPage(view, { title: t.signUp.title, lead, body });
}

function fields(view: View, data: SignUpData): Content {
  const { t } = view;
  const { values = {}, errors = {} } = data;
  const invite =
    data.isInviteRequired &&
    field(view, {
      name: "invite",
      label: t.signUp.invite,
      hint: t.signUp.inviteHint,
      value: values.invite,
      error: errors.invite,
      autocomplete: "off",
      isName: true,
      maxLength: 128,
    });
  return html`${invite}${field(view, {
    name: "handle",
    label: t.signUp.handle,
    hint: t.signUp.handleHint,
    value: values.handle,
    error: errors.handle,
    autocomplete: "username",
    isName: true,
    maxLength: 63,
    after: domainChoice(view, data),
  })}${field(view, {
    name: "email",
    type: "email",
    label: t.signUp.email,
    hint: t.signUp.emailHint,
    value: values.email,
    error: errors.email,
    autocomplete: "email",
    maxLength: 320,
  })}${field(view, {
    name: "password",
    type: "password",
    label: t.signUp.password,
    hint: t.signUp.passwordHint,
    error: errors.password,
    autocomplete: "new-password",
    minLength: 8,
    maxLength: 256,
  })}${agreement(view)}${submit(t.signUp.submit)}`;
}

/** The only domain as words, several to choose from. */
export function domainChoice(
  { t }: View,
  { domains, values }: Pick<SignUpData, "domains" | "values">,
): Content {
  const [only = ""] = domains;
  if (domains.length === 1)
    return html`<span class="suffix">${only}</span><input type="hidden" name="domain" value="${only}">`;
  const options = domains.map(
    (domain) =>
      html`<option value="${domain}"${domain === values?.domain && html` selected`}>${domain}</option>`,
  );
  return html`<select name="domain" aria-label="${t.signUp.domain}">${options}</select>`;
}

function agreement({ t, site }: View): Content {
  const links = [
    [t.common.terms, site.termsOfServiceUrl],
    [t.common.privacy, site.privacyPolicyUrl],
  ].flatMap(([label, href]) =>
    href ? html`<li><a href="${href}" target="_blank" rel="noopener">${label}</a></li>` : [],
  );
  return (
    links.length > 0 &&
    html`<div class="small muted"><p>${t.signUp.agree}</p><ul class="ways">${links}</ul></div>`
  );
}
