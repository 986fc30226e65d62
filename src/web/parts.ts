/** What pages are put together from. */
import { type Content, type Html, html } from "./html.ts";
import { icon } from "./icons.ts";
import type { AccountName, FormErrors, FormTarget, View } from "./view.ts";

/** A form. `secure`: what it sends is a secret or changes something, so it always carries the CSRF token. */
export function form(
  view: View,
  { target, content, className }: { target: FormTarget; content: Content; className?: string },
): Html {
  return html`<form method="post" action="${target.action}" class="${className ?? "stack"}">${hiddenFields(view, target)}${content}</form>`;
}

/** The fields that a form carries unseen. */
export function hiddenFields(view: View, { hidden = {} }: FormTarget): Html {
  const fields = Object.entries({ csrf: view.csrf, ...hidden });
  return html`${fields.map(([name, value]) => html`<input type="hidden" name="${name}" value="${value}">`)}`;
}

/** A form of one button. */
export function buttonForm(
  view: View,
  options: { target: FormTarget; label: string; className?: string; describes?: string | undefined },
): Html {
  const { target, label, className = "button slim", describes } = options;
  const button = html`<button class="${className}"${describes !== undefined && html` aria-label="${describes}"`}>${label}</button>`;
  return form(view, { target, content: button, className: "" });
}

export function submit(label: string, { kind = "primary" }: { kind?: "primary" | "danger" | "" } = {}): Html {
  return html`<button class="button ${kind} wide">${label}</button>`;
}

export function linkButton(href: string, label: Content, { className = "button" } = {}): Html {
  return html`<a class="${className}" href="${href}">${label}</a>`;
}

export interface FieldOptions {
  readonly name: string;
  /** Unique on the page. */
  readonly id?: string;
  readonly label: string;
  readonly type?: "text" | "email" | "password";
  readonly value?: string | undefined;
  readonly hint?: string | undefined;
  readonly error?: string | undefined;
  readonly autocomplete?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly autofocus?: boolean;
  /** A code to type in: large, digits or letters apart. */
  readonly code?: "digits" | "letters";
  /** A word that no dictionary knows: handles, codes. */
  readonly isName?: boolean;
  readonly isReadOnly?: boolean;
  /** May be left empty. */
  readonly isOptional?: boolean;
  /** What stands behind the input. */
  readonly after?: Content;
}

/** An input with its label, its hint and what is wrong with it. */
export function field(view: View, options: FieldOptions): Html {
  const { name, label, hint, error, type = "text" } = options;
  const id = options.id ?? name;
  const input = inputOf(options, { id, describedBy: describedBy(id, { hint, error }) });
  const withAfter =
    options.after === undefined ? input : html`<div class="joined">${input}${options.after}</div>`;
  return html`<div class="field">
<label for="${id}">${label}</label>
${hint && html`<p class="hint" id="${id}-hint">${hint}</p>`}
${type === "password" ? withShowButton(view, { id, input }) : withAfter}
${errorText(id, error)}
</div>`;
}

function inputOf(options: FieldOptions, { id, describedBy }: { id: string; describedBy: string }): Html {
  const {
    name,
    type = "text",
    value = "",
    error,
    autocomplete,
    code,
    isName,
    minLength,
    maxLength,
    autofocus,
  } = options;
  const isPlain = isName === true || code !== undefined;
  return html`<input id="${id}" name="${name}" type="${type}"${type !== "password" && html` value="${value}"`}${
    autocomplete && html` autocomplete="${autocomplete}"`
  }${options.isOptional !== true && html` required`}${minLength !== undefined && html` minlength="${minLength}"`}${maxLength !== undefined && html` maxlength="${maxLength}"`}${
    isPlain && html` autocapitalize="none" autocorrect="off" spellcheck="false"`
  }${code && html` class="code"`}${code === "digits" && html` inputmode="numeric"`}${
    error !== undefined && html` aria-invalid="true"`
  }${describedBy !== "" && html` aria-describedby="${describedBy}"`}${options.isReadOnly && html` readonly`}${autofocus && html` autofocus`}>`;
}

function describedBy(id: string, { hint, error }: { hint?: string | undefined; error?: string | undefined }) {
  return [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ");
}

function withShowButton(view: View, { id, input }: { id: string; input: Html }): Html {
  const { showPassword, hidePassword } = view.t.common;
  return html`<div class="with-button">${input}<button type="button" class="in-field" hidden data-show-password aria-controls="${id}" aria-pressed="false" data-show="${showPassword}" data-hide="${hidePassword}">${showPassword}</button></div>`;
}

function errorText(id: string, error: string | undefined): Content {
  return (
    error && html`<p class="error" id="${id}-error">${icon("error", { size: 18 })}<span>${error}</span></p>`
  );
}

export function checkbox(options: {
  name: string;
  /** Unique on the page. */
  id?: string;
  label: string;
  value?: string;
  hint?: string;
  isChecked?: boolean;
  isRequired?: boolean;
}): Html {
  const { name, id = name, label, hint, value = "on" } = options;
  return html`<div class="check"><input type="checkbox" id="${id}" name="${name}" value="${value}"${options.isChecked && html` checked`}${options.isRequired && html` required`}${hint && html` aria-describedby="${id}-hint"`}>
<label for="${id}">${label}</label>${hint && html`<p class="hint" id="${id}-hint">${hint}</p>`}</div>`;
}

/** One of a few. */
export function choice(options: {
  name: string;
  /** Unique on the page. */
  id?: string;
  label: string;
  options: readonly { readonly value: string; readonly label: string }[];
  value?: string | undefined;
}): Html {
  const { name, id = name, label, value } = options;
  const items = options.options.map(
    (one) =>
      html`<option value="${one.value}"${one.value === value && html` selected`}>${one.label}</option>`,
  );
  return html`<div class="field"><label for="${id}">${label}</label><select id="${id}" name="${name}">${items}</select></div>`;
}

/** What went wrong, all in one place and read out first, with links to the fields. `ids` are those of the fields. */
export function errorSummary<Field extends string>(
  view: View,
  { errors, ids }: { errors: FormErrors<Field> | undefined; ids?: Partial<Record<Field, string>> },
): Content {
  const found = Object.entries(errors ?? {}).filter((entry): entry is [string, string] => Boolean(entry[1]));
  if (found.length === 0) return undefined;
  const idOf = (name: string) => ids?.[name as Field] ?? name;
  const items = found.map(([name, text]) =>
    name === "form" ? html`<li>${text}</li>` : html`<li><a href="#${idOf(name)}">${text}</a></li>`,
  );
  const [only] = found;
  if (found.length === 1 && only?.[0] === "form") return failure(only[1]);
  return html`<div class="note error-note" role="alert" tabindex="-1" autofocus>${icon("error")}<div><h2>${view.t.common.problems(found.length)}</h2><ul>${items}</ul></div></div>`;
}

/** What went wrong with the page as a whole. It has the focus, so that it is read out first and the next key leads into the form. */
export function failure(text: string): Html {
  return html`<div class="note error-note" role="alert" tabindex="-1" autofocus>${icon("error")}<div>${text}</div></div>`;
}

/** A few words that stand out. Errors are read out at once. */
export function note(kind: "error" | "warning" | "info" | "success", content: Content): Html {
  const role = { error: "alert", warning: "note", info: "note", success: "status" }[kind];
  const className = kind === "error" ? "error-note" : kind;
  return html`<div class="note ${className}" role="${role}">${icon(kind)}<div>${content}</div></div>`;
}

/** An account with the first letter of its handle. */
export function who({ handle, did }: AccountName, { detail }: { detail?: Content } = {}): Html {
  return html`<span class="who"><span class="avatar" aria-hidden="true">${initialOf(handle, did)}</span><span><strong>@${breakable(handle)}</strong>${detail && html`<span class="small muted">${detail}</span>`}</span></span>`;
}

function initialOf(handle: string, did: string): string {
  return (/[\p{L}\p{N}]/u.exec(handle)?.[0] ?? did.at(-1) ?? "?").toUpperCase();
}

/** For password managers, which keep a password under a name: unseen, and passed over by keyboard and screen reader. */
export function hiddenUsername({ handle }: AccountName): Html {
  return html`<input class="visually-hidden" type="text" name="username" value="${handle}" autocomplete="username" readonly tabindex="-1" aria-hidden="true">`;
}

/** A handle or host, which may break before its dots and nowhere else. */
export function breakable(text: string): Html {
  return html`${text.split(/(?=\.[a-z0-9])/i).map((part, index) => html`${index > 0 && html`<wbr>`}${part}`)}`;
}

/** A secret that is shown once, with a button that copies it. */
export function secret(view: View, text: string): Html {
  return html`<div class="secret"><code>${text}</code>${copyButton(view, { text })}</div>`;
}

export function copyButton(view: View, { text, label }: { text: string; label?: string }): Html {
  const { copy, copied } = view.t.common;
  return html`<button type="button" class="button slim" hidden data-copy="${text}" data-copied="${copied}" aria-live="polite">${label ?? copy}</button>`;
}

export function tag(kind: "warning" | "success" | "danger" | "", text: string): Html {
  return html`<span class="tag ${kind}">${text}</span>`;
}

/** A form that asks the browser for a passkey and sends what it answers as `credential`. It needs the script. */
export function passkeyForm(
  view: View,
  options: {
    target: FormTarget;
    /** What `navigator.credentials` is given, as JSON: binary values in base64url. */
    passkey: { action: "get" | "create"; optionsJson: string };
    content: Content;
    button: { label: string; className?: string };
  },
): Html {
  const { target, passkey, content, button } = options;
  return html`<form method="post" action="${target.action}" class="stack" data-passkey="${passkey.action}" data-options="${passkey.optionsJson}">
${hiddenFields(view, target)}<input type="hidden" name="credential">${content}
<div data-passkey-failure hidden>${note("error", view.t.errors.passkeyCancelled)}</div>
<button class="${button.className ?? "button wide"}" disabled>${icon("key")}${button.label}</button>
<noscript><p class="hint">${view.t.common.needsScript}</p></noscript></form>`;
}
