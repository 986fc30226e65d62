import { type AccountFrame, accountPage } from "../frame.ts";
import { type Content, html } from "../html.ts";
import { formatDay } from "../locale.ts";
import {
  breakable,
  buttonForm,
  checkbox,
  choice,
  errorSummary,
  field,
  form,
  linkButton,
  secret,
  submit,
  tag,
} from "../parts.ts";
import type { FormErrors, FormTarget, View } from "../view.ts";
import {
  type CommunityName,
  type CommunityRole,
  nameMarkup,
  nameOf,
  points,
  roleOptions,
  standing,
  toCommunities,
} from "./community_parts.ts";

export interface CommunityMember extends CommunityName {
  readonly role: CommunityRole;
  readonly canPublish: boolean;
  readonly since: Date;
  readonly isYou: boolean;
  /** Sends `role` and, where ticked, `canPublish`=on; absent where the reader may not. `roles`: what they may be made. */
  readonly change?: { readonly form: FormTarget; readonly roles: readonly CommunityRole[] } | undefined;
  readonly remove?: FormTarget | undefined;
}

export interface CommunityInviteRow {
  readonly role: CommunityRole;
  readonly canPublish: boolean;
  readonly used: number;
  readonly uses: number;
  readonly until: Date;
  readonly revoke: FormTarget;
}

export type HealthState =
  | "healthy"
  | "expired"
  | "unreachable"
  | "moved"
  | "deactivated"
  | "takendown"
  | "gone";

export interface CommunityHealth {
  readonly state: HealthState;
  readonly checks: readonly {
    readonly name: "identity" | "rotationKeys" | "account" | "credentials";
    readonly isOk: boolean;
    /** What the server says of it, in English. */
    readonly said?: string | undefined;
  }[];
}

/** To let somebody in sends `subject`, `role`, `canPublish`; a new invite `role`, `canPublish`, `uses`, `days`. */
export interface CommunityData {
  readonly frame: AccountFrame;
  readonly community: CommunityName;
  readonly you: { readonly role: CommunityRole; readonly canPublish: boolean };
  readonly since: Date;
  /** The address of another server; "here", or "nowhere" for an identity alone. */
  readonly lives: string;
  readonly check: FormTarget;
  /** Where it was checked just now. */
  readonly health?: CommunityHealth | undefined;
  /** For who may let this server in to the account again: the one asks for its owner's consent, the other sends `appPassword`. */
  readonly letIn?: { readonly ask: FormTarget; readonly reauth: FormTarget } | undefined;
  readonly members: readonly CommunityMember[];
  readonly moreMembersUrl?: string | undefined;
  /** For who may let others in, with the roles that they may give. */
  readonly manage?:
    | {
        readonly roles: readonly CommunityRole[];
        readonly add: FormTarget;
        readonly invites: readonly CommunityInviteRow[];
        readonly moreInvitesUrl?: string | undefined;
        readonly invite: FormTarget;
        /** Made just now, and shown this once. */
        readonly link?: string | undefined;
      }
    | undefined;
  readonly subject?: string | undefined;
  readonly leave: FormTarget;
  /** For owners. */
  readonly own?: { readonly handOverUrl: string; readonly deleteUrl: string } | undefined;
  readonly errors?: FormErrors<"subject" | "appPassword"> | undefined;
}

export function communityPage(view: View, data: CommunityData): string {
  const { one } = view.t.communities;
  const { community, frame } = data;
  return accountPage(view, {
    frame,
    section: "communities",
    up: toCommunities(view, frame),
    title: community.handle === undefined ? one.nameless : `@${community.handle}`,
    body: html`${errorSummary(view, { errors: data.errors })}${facts(view, data)}${inviteLink(view, data)}
${membersPart(view, data)}${invitesPart(view, data)}${healthPart(view, data)}${endPart(view, data)}`,
  });
}

function facts(view: View, { community, you, since, lives }: CommunityData): Content {
  const { one } = view.t.communities;
  const where =
    lives === "here"
      ? one.here
      : lives === "nowhere"
        ? one.nowhere
        : html`<span>${breakable(lives.replace(/^https?:\/\//, ""))}</span>`;
  return html`<section class="box" aria-labelledby="facts"><h2 id="facts" class="visually-hidden">${one.facts}</h2>
<dl class="facts"><div><dt>${one.did}</dt><dd><code>${community.did}</code></dd></div><div><dt>${one.lives}</dt><dd>${where}</dd></div>
<div><dt>${one.you}</dt><dd>${standing(view, you)} <span class="small muted">${one.since(formatDay(since, view.locale))}</span></dd></div></dl></section>`;
}

function inviteLink(view: View, { manage }: CommunityData): Content {
  const { invites } = view.t.communities;
  if (manage?.link === undefined) return undefined;
  return html`<section class="box" role="status"><h2>${invites.made}</h2>${secret(view, manage.link)}<p>${invites.once}</p></section>`;
}

function membersPart(view: View, data: CommunityData): Content {
  const { members: texts, more } = view.t.communities;
  const { moreMembersUrl, manage } = data;
  const rows = data.members.map((member, index) => memberRow(view, member, index));
  const roles = html`<details class="small"><summary>${texts.rolesTitle}</summary>${points(texts.explain)}</details>`;
  const add =
    manage &&
    form(view, {
      target: manage.add,
      content: html`${field(view, {
        name: "subject",
        label: texts.who,
        value: data.subject,
        error: data.errors?.subject,
        autocomplete: "off",
        isName: true,
        maxLength: 300,
      })}${roleFields(view, { prefix: "add", roles: manage.roles })}${submit(texts.addSubmit, { kind: "" })}`,
    });
  return html`<section class="section" aria-labelledby="members"><h2 id="members">${texts.title}</h2><ul class="rows">${rows}</ul>
${moreMembersUrl !== undefined && linkButton(moreMembersUrl, more)}${roles}${add && addBox(texts.add, add, data.errors?.subject !== undefined)}</section>`;
}

/** A form that stands behind its name until it is wanted. */
function addBox(name: string, content: Content, isOpen = false): Content {
  return html`<details class="box"${isOpen && html` open`}><summary>${name}</summary>${content}</details>`;
}

function memberRow(view: View, member: CommunityMember, index: number): Content {
  const { members: texts } = view.t.communities;
  const { change, remove, isYou } = member;
  const name = nameOf(member);
  const you = isYou && html` <span class="small muted">(${texts.you})</span>`;
  const day = view.t.communities.one.since(formatDay(member.since, view.locale));
  const edit =
    change &&
    html`<details class="small"><summary aria-label="${texts.changeLabel(name)}">${texts.change}</summary>${form(
      view,
      {
        target: change.form,
        content: html`${roleFields(view, { prefix: `member-${index}`, roles: change.roles, ...member })}<button class="button slim">${texts.save}</button>`,
      },
    )}</details>`;
  return html`<li class="row"><div class="stack-tight"><p class="title">${nameMarkup(member)}${you}</p><p>${standing(view, member)} <span class="small muted">${day}</span></p>${edit}</div>
${remove && buttonForm(view, { target: remove, label: texts.remove, className: "button slim quiet-danger", describes: texts.removeLabel(name) })}</li>`;
}

function roleFields(
  view: View,
  options: {
    prefix: string;
    roles: readonly CommunityRole[];
    role?: CommunityRole;
    canPublish?: boolean;
  },
): Content {
  const { members: texts } = view.t.communities;
  const { prefix, roles, role, canPublish = false } = options;
  return html`${choice({
    name: "role",
    id: `${prefix}-role`,
    label: texts.role,
    options: roleOptions(view, roles),
    value: role,
  })}${checkbox({ name: "canPublish", id: `${prefix}-publish`, label: texts.publish, isChecked: canPublish })}`;
}

const USES = ["1", "5", "25", "100"];
const DAYS = ["1", "7", "30", "365"];
const plain = (values: readonly string[]) => values.map((value) => ({ value, label: value }));

function invitesPart(view: View, { manage }: CommunityData): Content {
  if (manage === undefined) return undefined;
  const { invites: texts, more } = view.t.communities;
  const rows = manage.invites.map((invite) => inviteRow(view, invite));
  const content = html`${roleFields(view, { prefix: "invite", roles: manage.roles })}${choice({
    name: "uses",
    label: texts.usesLabel,
    options: plain(USES),
    value: "1",
  })}${choice({ name: "days", label: texts.days, options: plain(DAYS), value: "7" })}${submit(texts.submit, { kind: "" })}`;
  return html`<section class="section" aria-labelledby="invites"><h2 id="invites">${texts.title}</h2><p class="muted">${texts.lead}</p>
${rows.length > 0 ? html`<ul class="rows">${rows}</ul>` : html`<p>${texts.none}</p>`}${manage.moreInvitesUrl !== undefined && linkButton(manage.moreInvitesUrl, more)}${addBox(texts.add, form(view, { target: manage.invite, content }))}</section>`;
}

function inviteRow(view: View, invite: CommunityInviteRow): Content {
  const { invites: texts, roles } = view.t.communities;
  const meta = `${texts.uses(invite.used, invite.uses)}, ${texts.until(formatDay(invite.until, view.locale))}`;
  return html`<li class="row"><div class="stack-tight"><p>${standing(view, invite)}</p><p class="small muted">${meta}</p></div>
${buttonForm(view, { target: invite.revoke, label: texts.revoke, className: "button slim quiet-danger", describes: texts.revokeLabel(roles[invite.role]) })}</li>`;
}

function healthPart(view: View, { health, check, letIn, errors }: CommunityData): Content {
  const { health: texts } = view.t.communities;
  const checks = health?.checks.map(
    ({ name, isOk, said }) =>
      html`<li class="row"><div><p class="title">${texts.checks[name]}</p>${said !== undefined && html`<p class="small muted" lang="en">${said}</p>`}</div>${isOk ? tag("success", texts.fine) : tag("warning", texts.wrong)}</li>`,
  );
  const state =
    health &&
    html`<p role="status">${tag(health.state === "healthy" ? "success" : "warning", texts.states[health.state])}</p><ul class="rows">${checks}</ul>`;
  const content = html`${field(view, {
    name: "appPassword",
    type: "password",
    label: texts.appPassword,
    hint: texts.appPasswordHint,
    error: errors?.appPassword,
    autocomplete: "off",
    maxLength: 256,
  })}<button class="button slim">${texts.reauthSubmit}</button>`;
  const isOpen = errors?.appPassword !== undefined || health?.state === "expired";
  const again =
    letIn &&
    html`<details class="small"${isOpen && html` open`}><summary>${texts.reauth}</summary><div class="stack"><p>${texts.askLead}</p>${buttonForm(view, { target: letIn.ask, label: texts.askSubmit })}${form(view, { target: letIn.reauth, content })}</div></details>`;
  return html`<section class="section" aria-labelledby="health-title"${health && errors === undefined && html` tabindex="-1" autofocus`}><h2 id="health-title">${texts.title}</h2><p class="muted">${texts.lead}</p>
${state}${buttonForm(view, { target: check, label: texts.check, className: "button wide" })}${again}</section>`;
}

function endPart(view: View, { leave: target, own }: CommunityData): Content {
  const { leave, remove, handOver } = view.t.communities;
  const button = html`<p>${leave.lead}</p><button class="button slim quiet-danger">${leave.submit}</button>`;
  const forOwners =
    own &&
    html`<div class="actions">${linkButton(own.handOverUrl, handOver.start)}${linkButton(own.deleteUrl, remove.start, { className: "button quiet-danger" })}</div>`;
  return html`<section class="box danger-zone"><h2>${remove.end}</h2><details><summary>${leave.title}</summary>${form(view, { target, content: button })}</details>${forOwners}</section>`;
}
