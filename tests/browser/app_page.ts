/** Runs in the browser: an app over the official client, for the tests to press its buttons. */
import { BrowserOAuthClient, type OAuthSession } from "@atproto/oauth-client-browser";
import { loopbackMetadata } from "../loopback_client.ts";

interface Setup {
  readonly server: string;
  readonly scope: string;
}

const { server, scope } = (await (await fetch("/setup.json")).json()) as Setup;
const client = new BrowserOAuthClient({
  clientMetadata: loopbackMetadata({ redirectUri: `${location.origin}/`, scope }),
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
