import { type AccountFrame, accountPage } from "../frame.ts";
import { html } from "../html.ts";
import { formatDay } from "../locale.ts";
import { buttonForm, tag } from "../parts.ts";
import { describeBrowser } from "../user_agent.ts";
import type { FormTarget, View } from "../view.ts";

export interface SignedInDevice {
  /** The User-Agent header, or the name that an app has given. */
  readonly userAgent?: string | undefined;
  readonly ip?: string | undefined;
  readonly signedIn: Date;
  readonly lastSeen: Date;
  readonly isThisOne: boolean;
  readonly signOut: FormTarget;
}

export interface DevicesData {
  readonly frame: AccountFrame;
  readonly devices: readonly SignedInDevice[];
  /** Offered where there are others. */
  readonly signOutOthers: FormTarget;
}

export function devicesPage(view: View, { frame, devices, signOutOthers }: DevicesData): string {
  const texts = view.t.account.devices;
  const rows = devices.map((device) => row(view, device));
  const others =
    devices.some(({ isThisOne }) => !isThisOne) &&
    html`<div class="stack-tight">${buttonForm(view, { target: signOutOthers, label: texts.others, className: "button quiet-danger" })}<p class="hint">${texts.othersHint}</p></div>`;
  return accountPage(view, {
    frame,
    section: "devices",
    title: texts.title,
    lead: texts.lead,
    body: html`<ul class="rows">${rows}</ul>${others}`,
  });
}

function row(view: View, { userAgent, ip, signedIn, lastSeen, isThisOne, signOut }: SignedInDevice) {
  const { locale } = view;
  const texts = view.t.account.devices;
  const name = describeBrowser(userAgent, { on: texts.browserOn }) ?? texts.unknownBrowser;
  const days = `${texts.lastSeen(formatDay(lastSeen, locale))}, ${texts.signedIn(formatDay(signedIn, locale))}`;
  return html`<li class="row"><div><p class="title">${name}${isThisOne && html` ${tag("success", texts.thisOne)}`}</p>
<p class="small muted">${days}</p>${ip !== undefined && html`<p class="small muted">${ip}</p>`}</div>
${buttonForm(view, { target: signOut, label: texts.signOut, describes: texts.signOutLabel(name) })}</li>`;
}
