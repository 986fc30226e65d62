/** The page around what a page says: head, banner, landmarks, foot. */
import { type Content, type Html, html } from "./html.ts";
import { icon, MARK } from "./icons.ts";
import { LOCALES } from "./locale.ts";
import { breakable, note, who } from "./parts.ts";
import { textsOf } from "./texts_of.ts";
import type { AccountName, FormTarget, View } from "./view.ts";

/** A step of signing in or of allowing: on a wide screen what it is about stands left, and what to do right. */
export interface StepOptions {
  readonly title: string;
  /** Below the title. */
  readonly lead?: Content;
  readonly body: Content;
  /** One column, for a page that says little. */
  readonly isSingle?: boolean;
}

export function stepPage(view: View, { title, lead, body, isSingle }: StepOptions): string {
  const content = html`<main id="main"><div class="step${isSingle && " single"}">
<div class="step-head"><h1>${breakable(title)}</h1>${lead}</div>
<div class="step-body">${body}</div>
</div></main>`;
  return document(view, { title, layout: "flow", content });
}

export const ACCOUNT_SECTIONS = [
  "home",
  "apps",
  "devices",
  "security",
  "appPasswords",
  "communities",
  "handle",
  "email",
  "status",
] as const;
export type AccountSection = (typeof ACCOUNT_SECTIONS)[number];

/** What is left to the owner of an account that was taken down. */
const OPEN_WHEN_DOWN: readonly AccountSection[] = ["home", "apps", "devices"];

/** The pages that an account has. */
export function sectionsOf({ isDown }: Pick<AccountFrame, "isDown">): readonly AccountSection[] {
  return isDown === true ? OPEN_WHEN_DOWN : ACCOUNT_SECTIONS;
}

/** What every page of an account is given. */
export interface AccountFrame {
  readonly account: AccountName;
  readonly links: Readonly<Record<AccountSection, string>>;
  /** Where to choose another of the accounts that are signed in here. */
  readonly switchUrl?: string | undefined;
  readonly signOutUrl: string;
  /** The account was taken down: most of its pages are closed. */
  readonly isDown?: boolean;
  /** What has just been done, from `t.account`. */
  readonly done?: string | undefined;
}

/** A page above another. */
export interface UpLink {
  readonly url: string;
  readonly label: string;
}

export interface AccountPageOptions {
  readonly frame: AccountFrame;
  readonly section: AccountSection;
  readonly title: string;
  readonly lead?: Content;
  readonly body: Content;
  /** The overview where absent. */
  readonly up?: UpLink | undefined;
  /** A script of this page's own, beside that of all pages. */
  readonly script?: string | undefined;
}

export function accountPage(view: View, options: AccountPageOptions): string {
  const { frame, section, title, lead, body, script } = options;
  const { t } = view;
  const { url, label } = options.up ?? { url: frame.links.home, label: t.account.sections.home };
  const up =
    section !== "home" && html`<a class="up" href="${url}">${icon("back", { size: 18 })}${label}</a>`;
  const content = html`<main id="main">${sideBar(view, { frame, section })}
<div class="content">${up}<div class="stack-tight"><h1>${breakable(title)}</h1>${lead && html`<p class="muted">${lead}</p>`}</div>
${frame.done !== undefined && note("success", frame.done)}${body}</div></main>`;
  return document(view, { title: `${title} · @${frame.account.handle}`, layout: "account", content, script });
}

/** All pages of the account, on a wide screen: on a narrow one the overview lists them. */
function sideBar(view: View, { frame, section }: { frame: AccountFrame; section: AccountSection }): Html {
  const { t } = view;
  const items = sectionsOf(frame).map(
    (name) =>
      html`<li><a href="${frame.links[name]}"${name === section && html` aria-current="page"`}>${t.account.sections[name]}</a></li>`,
  );
  return html`<nav class="side" aria-label="${t.account.nav}">${who(frame.account)}<ul>${items}</ul></nav>`;
}

export type AdminSection = keyof View["t"]["admin"]["sections"];

/** What every page of the operator is given. */
export interface AdminFrame {
  readonly links: Readonly<Record<AdminSection, string>>;
  readonly signOut: FormTarget;
  /** What has just been done, from `t.admin`. */
  readonly done?: string | undefined;
}

export function adminPage(
  view: View,
  options: { frame: AdminFrame; section: AdminSection; title: string; lead?: Content; body: Content },
): string {
  const { t } = view;
  const { frame, section, title, lead, body } = options;
  const items = Object.entries(frame.links).map(
    ([name, link]) =>
      html`<li><a href="${link}"${name === section && html` aria-current="page"`}>${t.admin.sections[name as AdminSection]}</a></li>`,
  );
  const up =
    section !== "home" &&
    html`<a class="up" href="${frame.links.home}">${icon("back", { size: 18 })}${t.admin.sections.home}</a>`;
  const content = html`<main id="main"><nav class="side" aria-label="${t.admin.nav}"><ul>${items}</ul></nav>
<div class="content">${up}<div class="stack-tight"><h1>${breakable(title)}</h1>${lead && html`<p class="muted">${lead}</p>`}</div>
${frame.done !== undefined && note("success", frame.done)}${body}</div></main>`;
  return document(view, { title, layout: "account", content });
}

/** The document itself. */
export function document(
  view: View,
  options: {
    title: string;
    layout: "flow" | "account" | "welcome";
    content: Html;
    isListed?: boolean;
    script?: string | undefined;
  },
): string {
  const { locale, t, site, assets, nonce } = view;
  const { title, layout, content, isListed, script } = options;
  return html`<!doctype html>
<html lang="${locale}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
${isListed !== true && html`<meta name="robots" content="noindex">`}
<title>${title.includes(site.name) ? title : `${title} · ${site.name}`}</title>
<link rel="icon" type="image/svg+xml" href="${assets.icon}">
<link rel="stylesheet" href="${assets.styles}" nonce="${nonce}">
<script src="${assets.script}" nonce="${nonce}" type="module"></script>${script !== undefined && html`<script src="${script}" nonce="${nonce}" type="module"></script>`}
</head>
<body class="${layout}">
<a class="skip" href="#main">${t.common.skip}</a>
${banner(view)}
${content}
${foot(view)}
</body>
</html>
`.toString();
}

function banner({ site, assets }: View): Html {
  const mark =
    assets.logo === undefined ? MARK : html`<img src="${assets.logo}" alt="" width="32" height="32">`;
  const name = html`${mark}<span>${site.name}</span>`;
  return html`<header class="top">${
    site.homeUrl === undefined
      ? html`<span class="brand">${name}</span>`
      : html`<a class="brand" href="${site.homeUrl}">${name}</a>`
  }</header>`;
}

function foot({ t, site, locale, languages }: View): Html {
  const links: readonly (readonly [string, string | undefined])[] = [
    [t.common.privacy, site.privacyPolicyUrl],
    [t.common.terms, site.termsOfServiceUrl],
    [t.common.support, site.supportUrl],
    [t.common.contact, site.contactEmail && `mailto:${site.contactEmail}`],
  ];
  const items = links.flatMap(([label, href]) => (href ? html`<li><a href="${href}">${label}</a></li>` : []));
  const others =
    languages &&
    html`<nav aria-label="${t.common.languages}"><ul>${LOCALES.map(
      (one) =>
        html`<li><a href="${languages[one]}" lang="${one}" hreflang="${one}"${one === locale && html` aria-current="true"`}>${textsOf(one).language}</a></li>`,
    )}</ul></nav>`;
  return html`<footer class="foot"><span>${site.host}</span>${items.length > 0 && html`<nav aria-label="${t.common.links}"><ul>${items}</ul></nav>`}${others}</footer>`;
}
