import { type Html, html } from "../html.ts";
import { breakable } from "../parts.ts";
import { type ClientName, clientTitle } from "../view.ts";

/** Stands for the app while the words around it are found: no language uses it. */
const GAP = "\u0000";

/** The app that somebody is on the way to, in a line below the title. */
export function appLine(client: ClientName, words: (app: string) => string): Html {
  const logo = client.logo && html`<img class="app-logo" src="${client.logo}" alt="" width="40" height="40">`;
  const [before, after] = words(GAP).split(GAP, 2);
  return html`<p class="to-app">${logo}<span>${before}<strong>${breakable(clientTitle(client))}</strong>${after}</span></p>`;
}
