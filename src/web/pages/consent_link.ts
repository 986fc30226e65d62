import { type AccountFrame, accountPage } from "../frame.ts";
import { html } from "../html.ts";
import { linkButton, secret } from "../parts.ts";
import type { View } from "../view.ts";
import { points, toCommunities } from "./community_parts.ts";

/** What the owner of an account opens, who is asked to let this server in. A link: browsers follow no redirect of a form to elsewhere. */
export interface ConsentLinkData {
  readonly frame: AccountFrame;
  /** As it was typed, or a handle or DID. */
  readonly account: string;
  readonly link: string;
  /** Where it can be asked for anew. */
  readonly backUrl: string;
}

export function consentLinkPage(view: View, { frame, account, link, backUrl }: ConsentLinkData): string {
  const { consent: texts } = view.t.communities;
  return accountPage(view, {
    frame,
    section: "communities",
    up: toCommunities(view, frame),
    title: texts.title,
    lead: texts.lead(account),
    body: html`<section class="box" role="status"><h2>${texts.link}</h2>${secret(view, link)}<p>${texts.within}</p></section>
<section class="section" aria-labelledby="next"><h2 id="next">${texts.next}</h2>${points(texts.steps)}</section>
<div class="actions">${linkButton(link, texts.open)}${linkButton(backUrl, texts.back)}</div>`,
  });
}
