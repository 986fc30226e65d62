import { document } from "../frame.ts";
import { html } from "../html.ts";
import { copyButton, linkButton } from "../parts.ts";
import type { View } from "../view.ts";

/** The front page of the server. */
export interface WelcomeData {
  readonly version: string;
  /** `https://pds.example.com` */
  readonly publicUrl: string;
  /** Absent where no account page is served. */
  readonly accountUrl?: string | undefined;
  readonly signUpUrl?: string | undefined;
  readonly isInviteRequired: boolean;
  /** The server about itself, for programs. */
  readonly describeUrl: string;
}

export function welcomePage(view: View, data: WelcomeData): string {
  const { t, site } = view;
  const { welcome } = t;
  const title = welcome.title(site.name);
  const account =
    data.accountUrl !== undefined &&
    html`<section class="box"><h2>${welcome.account}</h2><p class="muted">${welcome.accountHint}</p>
<div class="actions">${linkButton(data.accountUrl, welcome.signIn, { className: "button primary" })}
${data.signUpUrl !== undefined && linkButton(data.signUpUrl, welcome.signUp)}</div>
${data.signUpUrl !== undefined && html`<p class="small muted">${welcome.signUpHint(data.isInviteRequired)}</p>`}</section>`;
  const content = html`<main id="main"><div class="hero"><h1>${title}</h1><p>${welcome.lead}</p></div>
<div class="columns">${account}
<section class="box"><h2>${welcome.inApp}</h2><p class="muted">${welcome.inAppHint}</p>
<div class="secret"><code>${data.publicUrl}</code>${copyButton(view, { text: data.publicUrl })}</div></section></div>
<section class="small muted"><h2 class="visually-hidden">${welcome.developers}</h2>
<p>${welcome.version(data.version)} · <a href="${data.describeUrl}">${welcome.describe}</a> · <a href="https://atproto.com">${welcome.protocol}</a></p></section></main>`;
  return document(view, { title, layout: "welcome", content, isListed: true });
}
