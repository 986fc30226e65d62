/** For tests of accounts that are adopted by OAuth: their owners, on the pages of their server and then on ours. */
import { expect } from "bun:test";
import { type Account, PASSWORD } from "../client.ts";
import { type Page, PageVisitor } from "../page_visitor.ts";
import { community } from "./group.ts";

/** Calls a method of dev.kith.community that has to be answered. */
export async function does(
  server: string,
  by: Pick<Account, "accessJwt">,
  name: string,
  call: { body?: object; params?: Record<string, string> },
): Promise<Record<string, unknown>> {
  const { status, json } = await community(server, name, { token: by.accessJwt, ...call });
  expect({ name, status, json }).toMatchObject({ status: 200 });
  return json;
}

/** Signs in on the pages of a kith server and allows, or refuses, what is asked for; where the browser is sent then. */
export async function decideAtKith(
  authorizeUrl: string,
  account: Pick<Account, "handle">,
  decision: "allow" | "deny" = "allow",
): Promise<URL> {
  const url = new URL(authorizeUrl);
  const visitor = new PageVisitor(url.origin);
  const asked = await visitor.get(url.pathname + url.search);
  const credentials = { identifier: account.handle, password: PASSWORD };
  const consent = await visitor.submit(asked, "/sign-in", credentials);
  const scope = consent.forms.flatMap(({ fields }) =>
    fields.flatMap(([name, value]) => (name === "scope" ? value : [])),
  );
  const left = ["atproto", "repo:*", "blob:*/*"].filter(
    (value) => scope.length === 0 || scope.includes(value),
  );
  const back = await visitor.submit(consent, "/consent", {
    scope: left.length > 0 ? left : scope,
    decision,
  });
  if (!back.away) throw new Error(`Not sent back, but to "${back.title}": ${back.text}`);
  return back.away;
}

/** Comes back to the page of the server that asked. */
export async function comeBack(server: string, callback: URL, headers: Record<string, string> = {}) {
  const visitor = new PageVisitor(server, headers);
  const page = await visitor.get(callback.pathname + callback.search);
  return {
    page,
    decide: (decision: "allow" | "deny"): Promise<Page> =>
      visitor.submit(page, "/oauth/communities/callback", { decision }),
  };
}
