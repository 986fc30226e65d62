/** Runs in the browser: an app over the official client, for the tests to press its buttons. */
import { BrowserOAuthClient, type OAuthSession } from "@atproto/oauth-client-browser";

interface Setup {
  readonly server: string;
  readonly scope: string;
}

const { server, scope } = (await (await fetch("/setup.json")).json()) as Setup;
const redirectUri = `${location.origin}/` as `http://127.0.0.1:${string}`;
const client = new BrowserOAuthClient({
  clientMetadata: {
    client_id: `http://localhost?${new URLSearchParams({ redirect_uri: redirectUri, scope })}`,
    redirect_uris: [redirectUri],
    scope,
    response_types: ["code"],
    grant_types: ["authorization_code", "refresh_token"],
    application_type: "native",
    token_endpoint_auth_method: "none",
    dpop_bound_access_tokens: true,
  },
  allowHttp: true,
  handleResolver: server,
  plcDirectoryUrl: server,
  responseMode: "query",
});

let session: OAuthSession | undefined;
let problem = "";
try {
  session = (await client.init())?.session;
} catch (error) {
  problem = String(error);
}

const app = {
  did: () => session?.did,
  problem: () => problem,
  signIn: (input: string, options: Parameters<typeof client.signInRedirect>[1]) =>
    void client.signInRedirect(input, { scope, ...options }),
  signInPopup: async (input: string) => {
    session = await client.signInPopup(input, { scope });
    return session.did;
  },
  call: async (path: string, body?: object) => {
    const init = body && {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    };
    const answer = await session?.fetchHandler(path, init);
    return { status: answer?.status, json: await answer?.json() };
  },
  scope: async ({ refresh }: { refresh: boolean }) => (await session?.getTokenInfo(refresh))?.scope,
  signOut: () => session?.signOut(),
};
export type App = typeof app;

Object.assign(window, { app });
document.body.dataset.ready = "1";
