import { type AdminFrame, adminPage } from "../frame.ts";
import { type Html, html } from "../html.ts";
import { formatBytes, formatDay } from "../locale.ts";
import { breakable, linkButton, tag } from "../parts.ts";
import type { Texts } from "../texts/texts.ts";
import type { AccountName, View } from "../view.ts";

export interface AdminAccount extends AccountName {
  readonly state: keyof Texts["admin"]["accounts"]["state"];
  readonly joined: Date;
  /** Undefined where it cannot be told now. */
  readonly sizes?: { readonly repoBytes: number; readonly blobBytes: number } | undefined;
}

export interface AdminAccountsData {
  readonly frame: AdminFrame;
  readonly accounts: readonly AdminAccount[];
  readonly nextUrl?: string | undefined;
  /** Of a page that is not the first. */
  readonly firstUrl?: string | undefined;
}

export function adminAccountsPage(view: View, data: AdminAccountsData): string {
  const texts = view.t.admin.accounts;
  const { frame, accounts, nextUrl, firstUrl } = data;
  const list =
    accounts.length > 0
      ? html`<ul class="rows">${accounts.map((one) => row(view, one))}</ul>`
      : html`<p>${texts.empty}</p>`;
  const turns = html`${nextUrl !== undefined && linkButton(nextUrl, texts.next)}${firstUrl !== undefined && linkButton(firstUrl, texts.first, { className: "button plain" })}`;
  return adminPage(view, {
    frame,
    section: "accounts",
    title: texts.title,
    lead: texts.lead,
    body: html`${list}${(nextUrl ?? firstUrl) !== undefined && html`<div class="actions">${turns}</div>`}`,
  });
}

function row(view: View, { did, handle, state, joined, sizes }: AdminAccount): Html {
  const { locale, t } = view;
  const texts = t.admin.accounts;
  const size = sizes
    ? texts.sizes(formatBytes(sizes.repoBytes, locale), formatBytes(sizes.blobBytes, locale))
    : texts.unknownSize;
  return html`<li class="row"><div><p class="title">@${breakable(handle)} ${tag(state === "active" ? "" : "warning", texts.state[state])}</p>
<p class="small muted"><code>${did}</code></p><p class="small muted">${texts.joined(formatDay(joined, locale))}, ${size}</p></div></li>`;
}
