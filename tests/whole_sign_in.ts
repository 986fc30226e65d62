/** An official client and a browser without JavaScript go the whole way of an app: from its pushed request to being refused. */
import { expect } from "bun:test";
import { NodeOAuthClient, type NodeSavedSession, type NodeSavedState } from "@atproto/oauth-client-node";
import { type Account, PASSWORD, post } from "./client.ts";
import { clientIdFor, REDIRECT } from "./oauth_app.ts";
import { PageVisitor } from "./page_visitor.ts";

const SCOPE = "atproto repo:app.bsky.feed.post?action=create blob:image/* account:email";
const GRANTED = SCOPE.replace(" account:email", "");

/** Signs in on the pages with one permission unticked, writes, refreshes, is thrown out, and gets nothing with what it kept. */
export async function signInWholly(url: string, account: Pick<Account, "did" | "handle">): Promise<void> {
  const sessions = new Map<string, NodeSavedSession>();
  const client = officialClient(url, sessions);
  const browser = new PageVisitor(url);
  const asked = await browser.get((await client.authorize(account.handle, { scope: SCOPE })).href);
  const credentials = { identifier: account.handle, password: PASSWORD };
  const consent = await browser.submit(asked, "/sign-in", credentials);
  const decision = { scope: GRANTED.split(" "), decision: "allow" };
  const back = await browser.submit(consent, "/consent", decision);
  const { session } = await client.callback(back.away?.searchParams ?? new URLSearchParams());
  const info = await session.getTokenInfo(false);
  expect([session.did as string, info.scope.split(" ").toSorted()]).toEqual([
    account.did,
    GRANTED.split(" ").toSorted(),
  ]);
  const write = () =>
    session.fetchHandler("/xrpc/com.atproto.repo.createRecord", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        repo: account.did,
        collection: "app.bsky.feed.post",
        record: post("by an app that was let in"),
      }),
    });
  expect((await write()).status).toBe(200);
  const first = sessions.get(account.did)?.tokenSet.access_token;
  await session.getTokenInfo(true);
  expect(sessions.get(account.did)?.tokenSet.access_token).not.toBe(first);
  expect((await write()).status).toBe(200);
  const kept = structuredClone(sessions.get(account.did));
  await session.signOut();
  if (!kept) throw new Error("The client has stored no session");
  sessions.set(account.did, kept);
  const again = await officialClient(url, sessions).restore(account.did, false);
  // It is refused, tries to refresh, and is refused that too.
  expect((await again.fetchHandler("/xrpc/com.atproto.server.getSession")).status).toBe(401);
  expect(sessions.has(account.did)).toBe(false);
}

function officialClient(url: string, sessions: Map<string, NodeSavedSession>): NodeOAuthClient {
  const states = new Map<string, NodeSavedState>();
  return new NodeOAuthClient({
    clientMetadata: {
      client_id: clientIdFor(SCOPE),
      redirect_uris: [REDIRECT],
      scope: SCOPE,
      response_types: ["code"],
      grant_types: ["authorization_code", "refresh_token"],
      application_type: "native",
      token_endpoint_auth_method: "none",
      dpop_bound_access_tokens: true,
    },
    allowHttp: true,
    plcDirectoryUrl: url,
    handleResolver: url,
    requestLock: async (_name, act) => act(),
    stateStore: storeOf(states),
    sessionStore: storeOf(sessions),
  });
}

function storeOf<T>(map: Map<string, T>) {
  return {
    get: async (key: string) => map.get(key),
    set: async (key: string, value: T) => void map.set(key, value),
    del: async (key: string) => void map.delete(key),
  };
}
