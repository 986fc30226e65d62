import { stepPage } from "../frame.ts";
import { html } from "../html.ts";
import { linkButton } from "../parts.ts";
import type { View } from "../view.ts";

export interface SignedOutData {
  /** Whose account it was; undefined where all were signed out. */
  readonly handle?: string | undefined;
  /** The account is gone altogether. */
  readonly isDeleted?: boolean;
  readonly signInUrl: string;
}

export function signedOutPage(view: View, { handle, isDeleted, signInUrl }: SignedOutData): string {
  const { signedOut } = view.t.account;
  if (isDeleted === true)
    return stepPage(view, {
      title: signedOut.deletedTitle,
      isSingle: true,
      body: html`<p>${signedOut.deleted}</p>`,
    });
  return stepPage(view, {
    title: signedOut.title,
    isSingle: true,
    body: html`<p>${handle === undefined ? signedOut.leadAll : signedOut.lead(handle)}</p>${linkButton(signInUrl, signedOut.again, { className: "button primary" })}`,
  });
}
