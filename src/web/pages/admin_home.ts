import { type AdminFrame, adminPage } from "../frame.ts";
import { type Content, type Html, html } from "../html.ts";
import { icon } from "../icons.ts";
import { formatBytes, formatSpan, formatTime } from "../locale.ts";
import { buttonForm, note, tag } from "../parts.ts";
import type { FormTarget, View } from "../view.ts";
import { type AdminCheck, type AdminCheckState, checkSentences } from "./check_words.ts";

export interface AdminBackups {
  /** Undefined where none is set. */
  readonly destination: string | undefined;
  readonly snapshot?:
    | {
        readonly at: Date;
        readonly seconds: number;
        readonly bytes: number;
        readonly writtenBytes: number;
      }
    | undefined;
  readonly failure?: { readonly at: Date; readonly message: string } | undefined;
  readonly shipped?: { readonly at: Date; readonly isUpToDate: boolean } | undefined;
  readonly proven?: { readonly at: Date; readonly snapshot: string } | undefined;
  readonly drill?:
    | { readonly at: Date; readonly seconds: number; readonly problem?: string | undefined }
    | undefined;
  readonly isRunning: boolean;
  readonly isDrilling: boolean;
  readonly runNow: FormTarget;
  readonly drillNow: FormTarget;
}

export interface AdminServer {
  readonly version: string;
  readonly address: string;
  readonly started: Date;
  readonly disk?: { readonly freeBytes: number; readonly sizeBytes: number } | undefined;
  /** By state; those that nobody has are left out. */
  readonly accounts: Readonly<Record<string, number | undefined>>;
}

export interface AdminHomeData {
  readonly frame: AdminFrame;
  readonly worst: AdminCheckState;
  readonly checks: readonly AdminCheck[];
  readonly backups: AdminBackups;
  readonly server: AdminServer;
}

const NOTE_KINDS = { ok: "success", warn: "warning", fail: "error" } as const;
const TAG_KINDS = { ok: "success", warn: "warning", fail: "danger" } as const;

/** How the server is: its health, its backups, and what it runs on. */
export function adminHomePage(view: View, data: AdminHomeData): string {
  const { t } = view;
  const { frame, worst, checks, backups, server } = data;
  const isWell = worst === "ok";
  const body = html`${isWell ? note("success", t.admin.worst.ok) : html`<div class="note ${worst === "fail" ? "error-note" : "warning"}">${icon(NOTE_KINDS[worst])}<div>${t.admin.worst[worst]}</div></div>`}
<section class="section" aria-labelledby="health"><h2 id="health">${t.admin.health}</h2><ul class="rows">${checks.map((check) => checkRow(view, check))}</ul></section>
${backupSection(view, backups)}
${serverSection(view, server)}
<ul class="rows"><li><a class="row-link" href="${frame.links.accounts}"><span><span class="name">${t.admin.sections.accounts}</span><span class="small muted">${t.admin.accountsHint}</span></span>${icon("forward")}</a></li></ul>
<div class="actions">${buttonForm(view, { target: frame.signOut, label: t.admin.signOut, className: "button wide" })}</div>`;
  return adminPage(view, { frame, section: "home", title: t.admin.title, body });
}

function checkRow(view: View, check: AdminCheck): Html {
  const { t, locale } = view;
  const { state } = check;
  const { title, summary, todo } = checkSentences(check, { locale, t });
  const since = state !== "ok" && t.admin.since(formatTime(new Date(check.since), locale));
  return html`<li class="row"><div><p class="title">${title} ${tag(TAG_KINDS[state], t.admin.state[state])}</p><p class="small">${summary}</p>${todo !== undefined && html`<p class="small"><strong>${todo}</strong></p>`}${since && html`<p class="small muted">${since}</p>`}</div></li>`;
}

function fact(name: string, ...values: Content[]): Html {
  return html`<div><dt>${name}</dt>${values.filter(Boolean).map((value) => html`<dd>${value}</dd>`)}</div>`;
}

function backupSection(view: View, backups: AdminBackups): Html {
  const { locale, t } = view;
  const texts = t.admin.backups;
  const time = (date: Date) => formatTime(date, locale);
  const span = (seconds: number) => formatSpan(seconds * 1_000, locale);
  const { destination, snapshot, failure, shipped, proven, drill } = backups;
  const took =
    snapshot &&
    texts.took(
      span(snapshot.seconds),
      formatBytes(snapshot.bytes, locale),
      formatBytes(snapshot.writtenBytes, locale),
    );
  const small = (content: Content) => content && html`<span class="small muted">${content}</span>`;
  const facts = html`${fact(texts.proven, html`<strong>${proven ? time(proven.at) : texts.never}</strong>`, small(proven?.snapshot))}
${fact(texts.snapshot, snapshot ? time(snapshot.at) : texts.never, small(took))}
${failure && fact(texts.failure, time(failure.at), small(failure.message))}
${shipped && fact(texts.shipped, time(shipped.at), small(shipped.isUpToDate ? texts.upToDate : texts.behind))}
${drill && fact(texts.drill, time(drill.at), small(drill.problem ?? texts.drillFine(span(drill.seconds))))}
${fact(texts.destination, destination === undefined ? texts.none : html`<code>${destination}</code>`)}`;
  const acts = html`${backups.isRunning ? note("info", texts.running) : buttonForm(view, { target: backups.runNow, label: texts.runNow, className: "button" })}
${backups.isDrilling ? note("info", texts.drilling) : buttonForm(view, { target: backups.drillNow, label: texts.drillNow, className: "button" })}
<p class="hint">${texts.hint}</p>`;
  return html`<section class="section" aria-labelledby="backups"><h2 id="backups">${texts.title}</h2><div class="box"><dl class="facts">${facts}</dl>${destination !== undefined && acts}</div></section>`;
}

function serverSection(view: View, { version, address, started, disk, accounts }: AdminServer): Html {
  const { locale, t } = view;
  const texts = t.admin.server;
  const room =
    disk && texts.diskFree(formatBytes(disk.freeBytes, locale), formatBytes(disk.sizeBytes, locale));
  const states: Readonly<Record<string, string>> = t.admin.accounts.state;
  const counts = Object.entries(accounts).map(([state, count]) => `${count ?? 0} ${states[state] ?? state}`);
  return html`<section class="section" aria-labelledby="server"><h2 id="server">${texts.title}</h2><div class="box"><dl class="facts">${fact(texts.version, `kith ${version}`)}
${fact(texts.address, html`<code>${address}</code>`)}${fact(texts.started, formatTime(started, locale))}
${room !== undefined && fact(texts.disk, room)}${fact(texts.accounts, counts.join(", ") || "0")}</dl></div></section>`;
}
