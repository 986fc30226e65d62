import { type AccountFrame, accountPage } from "../frame.ts";
import { html } from "../html.ts";
import { copyButton, errorSummary, field, form, submit } from "../parts.ts";
import type { FormErrors, FormTarget, View } from "../view.ts";
import { domainChoice } from "./sign_up.ts";

/** The first form sends `handle` and `domain`, the other `ownHandle`. */
export interface ChangeHandleData {
  readonly frame: AccountFrame;
  readonly domains: readonly string[];
  readonly here: FormTarget;
  readonly own: FormTarget;
  readonly values?: {
    readonly handle?: string | undefined;
    readonly domain?: string | undefined;
    readonly ownHandle?: string | undefined;
  };
  readonly errors?: FormErrors<"handle" | "ownHandle"> | undefined;
}

export function changeHandlePage(view: View, data: ChangeHandleData): string {
  const texts = view.t.account.handle;
  const { errors, values = {} } = data;
  const here = html`${field(view, {
    name: "handle",
    label: texts.name,
    value: values.handle,
    error: errors?.handle,
    autocomplete: "off",
    isName: true,
    maxLength: 63,
    after: domainChoice(view, data),
  })}${submit(texts.submit, { kind: "" })}`;
  const own = html`${field(view, {
    name: "ownHandle",
    label: texts.ownField,
    value: values.ownHandle,
    error: errors?.ownHandle,
    autocomplete: "off",
    isName: true,
    maxLength: 253,
  })}${submit(texts.verify, { kind: "" })}`;
  return accountPage(view, {
    frame: data.frame,
    section: "handle",
    title: texts.title,
    lead: texts.lead,
    body: html`${errorSummary(view, { errors })}<dl class="facts"><div><dt>${texts.current}</dt><dd>@${data.frame.account.handle}</dd></div></dl>
<section class="box"><h2>${texts.here}</h2>${form(view, { target: data.here, content: here })}</section>
<section class="box"><h2>${texts.own}</h2><p>${texts.ownLead}</p>${dnsEntry(view, data)}${form(view, { target: data.own, content: own })}</section>`,
  });
}

function dnsEntry(view: View, { frame, values }: ChangeHandleData) {
  const texts = view.t.account.handle;
  const value = `did=${frame.account.did}`;
  return html`<dl class="facts"><div><dt>${texts.dnsName}</dt><dd><code>_atproto.${values?.ownHandle || "alice.example.com"}</code></dd></div>
<div><dt>${texts.dnsType}</dt><dd><code>TXT</code></dd></div>
<div><dt>${texts.dnsValue}</dt><dd><code>${value}</code>${copyButton(view, { text: value })}</dd></div></dl>`;
}
