import { type AccountFrame, accountPage, sectionsOf } from "../frame.ts";
import { type Content, html } from "../html.ts";
import { icon } from "../icons.ts";
import { buttonForm, note, tag } from "../parts.ts";
import type { FormTarget, View } from "../view.ts";

export type AccountState = "active" | "deactivated" | "takendown" | "suspended";

export interface AccountHomeData {
  readonly frame: AccountFrame;
  readonly state: AccountState;
  readonly email?: { readonly address: string; readonly isConfirmed: boolean } | undefined;
  readonly hasSecondFactor: boolean;
  /** Offered where others are signed in here too. */
  readonly signOutAll?: FormTarget | undefined;
}

/** Who somebody is here, and what there is to look after. */
export function accountHomePage(view: View, data: AccountHomeData): string {
  const { t } = view;
  const { frame } = data;
  const others = sectionsOf(frame).filter((name) => name !== "home");
  const sections = others.map(
    (name) =>
      html`<li><a class="row-link" href="${frame.links[name]}"><span><span class="name">${t.account.sections[name]}</span><span class="small muted">${t.account.sectionHints[name]}</span></span>${icon("forward")}</a></li>`,
  );
  const body = html`${frame.isDown && note("warning", t.account.down)}<section class="section" aria-labelledby="facts"><h2 id="facts" class="visually-hidden">${t.account.home.facts}</h2>
<div class="box">${facts(view, data)}</div></section>
<section class="section" aria-labelledby="manage"><h2 id="manage">${t.account.home.manage}</h2><ul class="rows">${sections}</ul></section>
<div class="actions">${frame.switchUrl !== undefined && html`<a class="button" href="${frame.switchUrl}">${t.account.switch}</a>`}
${buttonForm(view, { target: { action: frame.signOutUrl }, label: t.account.signOut, className: "button wide" })}
${data.signOutAll && buttonForm(view, { target: data.signOutAll, label: t.account.signOutAll, className: "button plain wide" })}</div>`;
  return accountPage(view, {
    frame,
    section: "home",
    title: `@${frame.account.handle}`,
    body,
  });
}

function facts(view: View, { frame, email, state, hasSecondFactor }: AccountHomeData): Content {
  const { home } = view.t.account;
  const address = email
    ? html`<span>${email.address}</span> ${email.isConfirmed ? tag("success", home.confirmed) : tag("warning", home.unconfirmed)} ${!email.isConfirmed && frame.isDown !== true && html`<a href="${frame.links.email}">${home.confirm}</a>`}`
    : html`<span>${home.noEmail}</span>`;
  const factor = hasSecondFactor
    ? tag("success", home.secondFactorOn)
    : html`${tag("", home.secondFactorOff)} ${frame.isDown !== true && html`<a href="${frame.links.security}">${home.setUp}</a>`}`;
  const stateTag =
    state !== "active" &&
    html`<p>${tag("warning", view.t.account.state[state])} ${state === "deactivated" && html`<a href="${frame.links.status}">${view.t.account.sections.status}</a>`}</p>`;
  return html`${stateTag}<dl class="facts"><div><dt>${home.did}</dt><dd><code>${frame.account.did}</code></dd><dd class="small muted">${home.didHint}</dd></div>
<div><dt>${home.email}</dt><dd>${address}</dd></div><div><dt>${home.secondFactor}</dt><dd>${factor}</dd></div></dl>`;
}
