/** What pages of communities have in common. */
import type { UpLink } from "../frame.ts";
import { type Content, html } from "../html.ts";
import { breakable, tag } from "../parts.ts";
import type { View } from "../view.ts";

export const COMMUNITY_ROLES = ["member", "manager", "admin", "owner"] as const;
export type CommunityRole = (typeof COMMUNITY_ROLES)[number];

/** What can be done with a community depends on how it came here, and where its account is. */
export type CommunityNature = "native" | "stock" | "minted" | "adopted";

/** A community, as lists name it. */
export interface CommunityName {
  readonly did: string;
  readonly handle?: string | undefined;
}

/** Its handle, else its DID. */
export function nameOf({ did, handle }: CommunityName): string {
  return handle === undefined ? did : `@${handle}`;
}

export function nameMarkup({ did, handle }: CommunityName): Content {
  return handle === undefined ? html`<code>${did}</code>` : html`<span>@${breakable(handle)}</span>`;
}

/** What somebody is in a community. */
export function standing(
  { t }: View,
  { role, canPublish }: { readonly role: CommunityRole; readonly canPublish: boolean },
): Content {
  const { roles, publishes } = t.communities;
  return html`${tag("", roles[role])} ${canPublish && tag("success", publishes)}`;
}

export function roleOptions({ t }: View, roles: readonly CommunityRole[]) {
  return roles.map((value) => ({ value, label: t.communities.roles[value] }));
}

/** Up to all communities. */
export function toCommunities({ t }: View, { links }: { links: { readonly communities: string } }): UpLink {
  return { url: links.communities, label: t.communities.title };
}

export function points(texts: readonly string[]): Content {
  return html`<ul class="points">${texts.map((text) => html`<li>${text}</li>`)}</ul>`;
}
