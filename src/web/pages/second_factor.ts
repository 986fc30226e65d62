import { stepPage } from "../frame.ts";
import { type Content, html } from "../html.ts";
import { buttonForm, errorSummary, field, form, hiddenUsername, passkeyForm, submit, who } from "../parts.ts";
import type { AccountName, FormErrors, FormTarget, View } from "../view.ts";

export type FactorKind = "totp" | "backup" | "email" | "passkey";

/** Forms send `code`, that of a passkey `credential` (JSON), that of a step-up `password`, beside a code or alone. */
export interface SecondFactorData {
  readonly account: AccountName;
  /** Whether somebody signs in, or wants to do something important. */
  readonly purpose: "sign_in" | "step_up";
  /** What is asked for now. */
  readonly factor:
    | { readonly kind: "totp" | "backup" | "password" }
    | {
        readonly kind: "email";
        /** Shortened, so that it tells a stranger nothing: `a…@example.com`. */
        readonly address: string;
        /** Mails a code. */
        readonly send: FormTarget;
        /** Until one is on its way, it is offered to send one, and none is asked for. */
        readonly isSent: boolean;
      }
    | { readonly kind: "passkey"; readonly optionsJson: string };
  readonly form: FormTarget;
  /** The other ways that this account has. */
  readonly others: readonly { readonly kind: FactorKind | "password"; readonly url: string }[];
  readonly errors?: FormErrors<"code" | "password"> | undefined;
  /** Back to signing in as somebody else; on a step-up, away from what was begun. */
  readonly cancelUrl: string;
}

export function secondFactorPage(view: View, data: SecondFactorData): string {
  const { t } = view;
  const isStepUp = data.purpose === "step_up";
  const lead = html`${isStepUp && html`<p class="lead">${t.factor.stepUpLead}</p>`}${who(data.account)}`;
  const others = data.others.map(
    ({ kind, url }) => html`<li><a href="${url}">${t.factor.ways[kind]}</a></li>`,
  );
  const body = html`${errorSummary(view, { errors: data.errors })}${question(view, data)}
${others.length > 0 && html`<div class="stack-tight"><h2>${t.factor.otherWays}</h2><ul class="ways">${others}</ul></div>`}
<p><a href="${data.cancelUrl}">${isStepUp ? t.common.cancel : t.factor.signOut}</a></p>`;
  return stepPage(view, { title: isStepUp ? t.factor.stepUpTitle : t.factor.title, lead, body });
}

function question(view: View, data: SecondFactorData): Content {
  const { t } = view;
  const { factor, errors } = data;
  if (factor.kind === "passkey") {
    return passkeyForm(view, {
      target: data.form,
      passkey: { action: "get", optionsJson: factor.optionsJson },
      content: html`<div class="stack-tight"><h2>${t.factor.passkey}</h2><p class="muted">${t.factor.passkeyHint}</p></div>`,
      button: { label: t.factor.usePasskey, className: "button primary wide" },
    });
  }
  if (factor.kind === "email" && !factor.isSent) {
    const ask = html`<p>${t.factor.emailAsk(factor.address)}</p>${submit(t.factor.sendCode)}`;
    return form(view, { target: factor.send, content: ask });
  }
  // Who is asked once more is asked for all of it, on one page.
  const password =
    data.purpose === "step_up" &&
    html`${hiddenUsername(data.account)}${field(view, {
      name: "password",
      type: "password",
      label: t.factor.password,
      error: errors?.password,
      autocomplete: "current-password",
      maxLength: 512,
      autofocus: !errors,
    })}`;
  const input =
    factor.kind === "password"
      ? password
      : html`${password}${field(view, {
          name: "code",
          label: t.factor[factor.kind],
          hint: factor.kind === "email" ? t.factor.emailHint(factor.address) : t.factor[`${factor.kind}Hint`],
          error: errors?.code,
          autocomplete: "one-time-code",
          code: factor.kind === "totp" ? "digits" : "letters",
          maxLength: 64,
          autofocus: !errors && !password,
        })}`;
  const again =
    factor.kind === "email" &&
    buttonForm(view, { target: factor.send, label: t.factor.sendAgain, className: "button plain wide" });
  return html`${form(view, { target: data.form, content: html`${input}${submit(t.factor.submit)}` })}${again}`;
}
