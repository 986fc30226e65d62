import { stepPage } from "../frame.ts";
import { html } from "../html.ts";
import { submit } from "../parts.ts";
import { type ClientName, clientTitle, type View } from "../view.ts";

export interface FormPostData {
  readonly client: ClientName;
  readonly redirectUri: string;
  /** `code`, `state`, `iss`, or `error`: nothing else is sent. */
  readonly params: Readonly<Record<string, string>>;
}

/** Takes the answer to the app by a form (response_mode=form_post): by itself, or by a button where there is no script. */
export function formPostPage(view: View, { client, redirectUri, params }: FormPostData): string {
  const { formPost } = view.t;
  const fields = Object.entries(params).map(
    ([name, value]) => html`<input type="hidden" name="${name}" value="${value}">`,
  );
  return stepPage(view, {
    title: formPost.title(clientTitle(client)),
    isSingle: true,
    body: html`<p>${formPost.lead}</p><form method="post" action="${redirectUri}" data-auto-submit>${fields}${submit(formPost.submit)}</form>`,
  });
}
