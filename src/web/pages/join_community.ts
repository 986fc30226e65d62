import { type AccountFrame, accountPage } from "../frame.ts";
import { html } from "../html.ts";
import { form, linkButton, note, submit } from "../parts.ts";
import type { FormTarget, View } from "../view.ts";
import { type CommunityName, type CommunityRole, toCommunities } from "./community_parts.ts";

/** The form sends nothing of its own. */
export interface JoinCommunityData {
  readonly frame: AccountFrame;
  /** Undefined where the invite is none, or not good any more. */
  readonly invite?:
    | {
        readonly community: CommunityName;
        readonly role: CommunityRole;
        readonly canPublish: boolean;
        readonly isMember: boolean;
        readonly form: FormTarget;
      }
    | undefined;
}

export function joinCommunityPage(view: View, { frame, invite }: JoinCommunityData): string {
  const { join: texts, roles } = view.t.communities;
  const common = { frame, section: "communities", up: toCommunities(view, frame) } as const;
  if (invite === undefined)
    return accountPage(view, {
      ...common,
      title: texts.goneTitle,
      body: html`<p>${texts.gone}</p><div class="actions">${linkButton(frame.links.communities, texts.toList)}</div>`,
    });
  const { handle, did } = invite.community;
  const says = [texts.lead(roles[invite.role], frame.account.handle), invite.canPublish && texts.publish];
  return accountPage(view, {
    ...common,
    title: handle === undefined ? texts.titleNameless : texts.title(handle),
    lead: html`<code>${did}</code>`,
    body: html`<div class="stack-tight">${says.map((text) => text !== false && html`<p>${text}</p>`)}<p class="muted">${texts.seen}</p></div>${invite.isMember && note("info", texts.already)}
${form(view, { target: invite.form, content: submit(texts.submit) })}`,
  });
}
