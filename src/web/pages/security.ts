import { type AccountFrame, accountPage } from "../frame.ts";
import { type Content, html } from "../html.ts";
import { formatDay } from "../locale.ts";
import { buttonForm, errorSummary, field, form, hiddenUsername, passkeyForm, submit, tag } from "../parts.ts";
import type { FormErrors, FormTarget, View } from "../view.ts";

/** Forms send: password `current` and `password`; a new passkey `name` and `credential` (JSON); another name `name`; the others nothing. */
export interface SecurityData {
  readonly frame: AccountFrame;
  readonly password: FormTarget;
  readonly errors?: FormErrors<"current" | "password" | "name"> | undefined;
  readonly totp: { readonly since: Date; readonly remove: FormTarget } | { readonly setUp: FormTarget };
  readonly passkeys: readonly {
    readonly name: string;
    readonly added: Date;
    readonly lastUsed?: Date | undefined;
    readonly rename: FormTarget;
    readonly remove: FormTarget;
  }[];
  /** Whether a passkey has to follow the password; absent while there is none. */
  readonly required?: { readonly isOn: boolean; readonly toggle: FormTarget } | undefined;
  readonly addPasskey: { readonly form: FormTarget; readonly optionsJson: string };
  /** `toggle` turns it on where it is off, and off where it is on; absent while the address is not confirmed. */
  readonly email: { readonly isOn: boolean; readonly toggle?: FormTarget | undefined };
  /** Absent while there is no second factor that could be lost. */
  readonly backup?: { readonly left: number; readonly renew: FormTarget } | undefined;
}

export function securityPage(view: View, data: SecurityData): string {
  const texts = view.t.account.security;
  return accountPage(view, {
    frame: data.frame,
    section: "security",
    title: texts.title,
    body: html`${errorSummary(view, { errors: data.errors, ids: { name: "passkey-name" } })}
${passwordBox(view, data)}${passkeyBox(view, data)}${totpBox(view, data)}${emailBox(view, data)}${backupBox(view, data)}`,
  });
}

function passwordBox(view: View, { password, errors, frame }: SecurityData): Content {
  const texts = view.t.account.security;
  const content = html`${hiddenUsername(frame.account)}${field(view, {
    name: "current",
    type: "password",
    label: texts.current,
    error: errors?.current,
    autocomplete: "current-password",
    maxLength: 512,
  })}${field(view, {
    name: "password",
    type: "password",
    label: texts.new,
    hint: texts.newHint,
    error: errors?.password,
    autocomplete: "new-password",
    minLength: 8,
    maxLength: 256,
  })}${submit(texts.changePassword, { kind: "" })}`;
  return html`<section class="box"><h2>${texts.password}</h2>${form(view, { target: password, content })}</section>`;
}

function passkeyBox(view: View, { passkeys, addPasskey, required, errors }: SecurityData): Content {
  const texts = view.t.account.security;
  const { locale } = view;
  const rows = passkeys.map(({ name, added, lastUsed, rename, remove }, index) => {
    const day = formatDay(added, locale);
    const meta = lastUsed ? texts.passkeyMeta(day, formatDay(lastUsed, locale)) : texts.passkeyNever(day);
    return html`<li class="row"><div><p class="title">${name}</p><p class="small muted">${meta}</p>${renameForm(view, { target: rename, name, id: `name-${index}` })}</div>
${buttonForm(view, { target: remove, label: texts.removePasskey, className: "button slim quiet-danger", describes: texts.removePasskeyLabel(name) })}</li>`;
  });
  const add = passkeyForm(view, {
    target: addPasskey.form,
    passkey: { action: "create", optionsJson: addPasskey.optionsJson },
    content: field(view, {
      name: "name",
      id: "passkey-name",
      label: texts.passkeyName,
      hint: texts.passkeyNameHint,
      error: errors?.name,
      autocomplete: "off",
      maxLength: 64,
    }),
    button: { label: texts.addPasskey },
  });
  return html`<section class="box"><h2>${texts.passkeys}</h2><p class="muted">${texts.passkeysHint}</p>
${rows.length > 0 ? html`<ul class="rows">${rows}</ul>` : html`<p>${texts.noPasskeys}</p>`}${required && requiredLine(view, required)}${add}</section>`;
}

function renameForm(
  view: View,
  { target, name, id }: { target: FormTarget; name: string; id: string },
): Content {
  const texts = view.t.account.security;
  const content = html`${field(view, {
    name: "name",
    id,
    label: texts.newName,
    value: name,
    autocomplete: "off",
    maxLength: 64,
  })}<button class="button slim">${texts.renamePasskey}</button>`;
  return html`<details class="small"><summary aria-label="${texts.renamePasskeyLabel(name)}">${texts.renamePasskey}</summary>${form(view, { target, content })}</details>`;
}

function requiredLine(view: View, { isOn, toggle }: NonNullable<SecurityData["required"]>): Content {
  const texts = view.t.account.security;
  const label = isOn ? texts.turnOff : texts.turnOn;
  return html`<div class="stack-tight"><h3>${texts.required} ${onOff(view, isOn)}</h3><p class="muted">${isOn ? texts.requiredOn : texts.requiredOff}</p>
${buttonForm(view, { target: toggle, label, describes: `${texts.required}: ${label}` })}</div>`;
}

function totpBox(view: View, { totp }: SecurityData): Content {
  const texts = view.t.account.security;
  const isOn = "since" in totp;
  const control = isOn
    ? html`<p>${texts.totpOn(formatDay(totp.since, view.locale))}</p>${buttonForm(view, { target: totp.remove, label: texts.removeTotp, className: "button slim quiet-danger" })}`
    : buttonForm(view, {
        target: totp.setUp,
        label: texts.setUpTotp,
        className: "button",
        describes: `${texts.totp}: ${texts.setUpTotp}`,
      });
  return html`<section class="box"><h2>${texts.totp} ${onOff(view, isOn)}</h2><p class="muted">${texts.totpHint}</p>${control}</section>`;
}

function emailBox(view: View, { email }: SecurityData): Content {
  const texts = view.t.account.security;
  const label = email.isOn ? texts.turnOff : texts.turnOn;
  const control = email.toggle
    ? buttonForm(view, {
        target: email.toggle,
        label,
        className: "button",
        describes: `${texts.email}: ${label}`,
      })
    : html`<p>${texts.emailNeeds}</p>`;
  return html`<section class="box"><h2>${texts.email} ${onOff(view, email.isOn)}</h2><p class="muted">${texts.emailHint}</p>${control}</section>`;
}

function backupBox(view: View, { backup }: SecurityData): Content {
  const texts = view.t.account.security;
  return (
    backup &&
    html`<section class="box"><h2>${texts.backup}</h2><p class="muted">${texts.backupHint} ${texts.backupLeft(backup.left)}</p>
${buttonForm(view, { target: backup.renew, label: texts.newBackup, className: "button", describes: `${texts.backup}: ${texts.newBackup}` })}</section>`
  );
}

function onOff({ t }: View, isOn: boolean): Content {
  return tag(isOn ? "success" : "", isOn ? t.account.security.on : t.account.security.off);
}
