import { stepPage } from "../frame.ts";
import { html } from "../html.ts";
import { errorSummary, field, form, hiddenUsername, submit } from "../parts.ts";
import type { FormErrors, FormTarget, View } from "../view.ts";

/** The form sends `password`. */
export interface AdminSignInData {
  readonly form: FormTarget;
  readonly errors?: FormErrors<"password"> | undefined;
}

export function adminSignInPage(view: View, { form: target, errors }: AdminSignInData): string {
  const texts = view.t.admin.signIn;
  const password = field(view, {
    name: "password",
    label: texts.password,
    type: "password",
    error: errors?.password,
    autocomplete: "current-password",
    maxLength: 512,
    autofocus: !errors,
  });
  const content = html`${hiddenUsername({ did: "", handle: "admin" })}${password}${submit(texts.submit)}`;
  return stepPage(view, {
    title: texts.title,
    lead: html`<p class="lead">${texts.lead}</p>`,
    body: html`${errorSummary(view, { errors })}
${form(view, { target, content })}`,
  });
}
