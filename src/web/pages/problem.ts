import { stepPage } from "../frame.ts";
import { html } from "../html.ts";
import { linkButton } from "../parts.ts";
import type { View } from "../view.ts";

export type ProblemKind =
  | "generic"
  | "expired"
  | "unknownRequest"
  | "badClient"
  | "otherBrowser"
  | "notFound"
  | "limited"
  | "busy";

export interface ProblemData {
  readonly kind: ProblemKind;
  /** Where the way back leads: to a redirect URI that was checked, or to the account. */
  readonly back?: { readonly to: "app" | "account"; readonly url: string } | undefined;
  /** For whoever makes the app: what exactly was wrong. */
  readonly detail?: string | undefined;
  readonly requestId?: string | undefined;
}

/** What happened, what to do, and a safe way back. */
export function problemPage(view: View, { kind, back, detail, requestId }: ProblemData): string {
  const { problem } = view.t;
  const facts = html`${detail !== undefined && html`<details class="small"><summary>${problem.details}</summary><code>${detail}</code></details>`}
${requestId !== undefined && html`<p class="small muted">${problem.reference}: <code>${requestId}</code></p>`}`;
  return stepPage(view, {
    title: problem.titles[kind],
    isSingle: true,
    body: html`<p>${problem.advice[kind]}</p>
${back && linkButton(back.url, back.to === "app" ? problem.backToApp : problem.backHome, { className: "button primary" })}${facts}`,
  });
}
