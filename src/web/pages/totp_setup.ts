import { type AccountFrame, accountPage } from "../frame.ts";
import { html } from "../html.ts";
import { copyButton, errorSummary, field, form, linkButton, secret, submit } from "../parts.ts";
import { qrCode } from "../qr_code.ts";
import type { FormErrors, FormTarget, View } from "../view.ts";

/** The form sends `code`; what stands in `hidden` of its target comes back too. */
export interface TotpSetupData {
  readonly frame: AccountFrame;
  /** `otpauth://totp/...` */
  readonly uri: string;
  /** The secret in base32. */
  readonly secret: string;
  readonly form: FormTarget;
  readonly errors?: FormErrors<"code"> | undefined;
}

export function totpSetupPage(view: View, data: TotpSetupData): string {
  const { t } = view;
  const { totp } = t.account;
  const content = html`${field(view, {
    name: "code",
    label: totp.code,
    hint: totp.codeHint,
    error: data.errors?.code,
    autocomplete: "one-time-code",
    code: "digits",
    maxLength: 16,
  })}${submit(totp.submit)}`;
  // the same in groups of four, as it is typed
  const grouped = data.secret.replace(/(.{4})(?=.)/g, "$1 ");
  return accountPage(view, {
    frame: data.frame,
    section: "security",
    title: totp.title,
    body: html`${errorSummary(view, { errors: data.errors })}<section class="stack-tight"><p>${totp.scan}</p>${qrCode(data.uri, { label: totp.qr })}</section>
<section class="stack-tight"><p>${totp.byHand}</p>${secret(view, grouped)}</section>
${form(view, { target: data.form, content })}${linkButton(data.frame.links.security, t.common.cancel, { className: "button plain" })}`,
  });
}

/** The codes, shown once. */
export interface BackupCodesData {
  readonly frame: AccountFrame;
  readonly codes: readonly string[];
}

export function backupCodesPage(view: View, { frame, codes }: BackupCodesData): string {
  const { backup } = view.t.account;
  return accountPage(view, {
    frame,
    section: "security",
    title: backup.title,
    lead: backup.lead,
    body: html`<ul class="codes">${codes.map((code) => html`<li><code>${code}</code></li>`)}</ul>
<div class="actions">${copyButton(view, { text: codes.join("\n"), label: backup.copyAll })}${linkButton(frame.links.security, backup.done, { className: "button primary" })}</div>`,
  });
}
