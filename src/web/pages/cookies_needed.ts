import { stepPage } from "../frame.ts";
import { html } from "../html.ts";
import { linkButton } from "../parts.ts";
import type { View } from "../view.ts";

export interface CookiesNeededData {
  readonly retryUrl: string;
}

/** For a browser that keeps no cookie. */
export function cookiesNeededPage(view: View, { retryUrl }: CookiesNeededData): string {
  const { cookies } = view.t;
  return stepPage(view, {
    title: cookies.title,
    isSingle: true,
    body: html`<p>${cookies.lead}</p><p>${cookies.advice}</p>${linkButton(retryUrl, cookies.retry, { className: "button primary" })}`,
  });
}
