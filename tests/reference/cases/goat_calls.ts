/**
 * What goat, pdsadmin, the official app's start and the migration tools call, as they send it and in their order. A moving member goes
 * crosswise, from kith to the reference and the other way round, so that each is once the old host and once the new one.
 */
import { type Call, PASSWORD } from "../../client.ts";
import { type Case, type Side, signUp } from "../oracle.ts";

export const server = (name: string) => `com.atproto.server.${name}`;
export const repo = (name: string) => `com.atproto.repo.${name}`;
export const sync = (name: string) => `com.atproto.sync.${name}`;
export const identity = (name: string) => `com.atproto.identity.${name}`;
export const POST = "app.bsky.feed.post";
export const record = (text: string) => ({ $type: POST, text, createdAt: "2026-05-05T05:05:05.000Z" });

export const ask = (
  title: string,
  to: string,
  call: (side: Side) => Call | Promise<Call> = () => ({}),
  more: Partial<Case> = {},
): Case => ({
  title,
  to,
  call,
  status: 200,
  ...more,
});

/** With a session, as indigo sends it. */
export const as =
  (name: string, call: (side: Side) => Call = () => ({})) =>
  (side: Side): Call => ({
    token: side.token(name),
    ...call(side),
    headers: { "user-agent": "indigo-sdk", ...call(side).headers },
  });

export const post = (): Call => ({ method: "POST" });
export const keep = (name: string, pick: (json: never) => unknown) => ({
  keep: ({ json }: { json: Record<string, unknown> }, side: Side) =>
    void side.memory.set(name, String(pick(json as never))),
});

export const members: readonly Case[] = ["marker", "gwen", "nora"].map((name) => signUp(name));

/** Section 1: the client's own rules. */
export const client: readonly Case[] = [
  ask("before each command", server("getSession"), as("gwen")),
  ask("by DID, with whatever token there is", server("createSession"), (side) => ({
    token: side.token("gwen"),
    body: { identifier: side.did("gwen"), password: PASSWORD },
  })),
  ask("without a body", server("refreshSession"), (side) => ({
    method: "POST",
    token: side.member("gwen").refreshJwt,
  })),
];

/** Section 2: the commands of goat. */
export const commands: readonly Case[] = [
  ask("pds describe", server("describeServer")),
  ask("pds account list", sync("listRepos"), () => ({ params: { limit: 500 } })),
  ask("account status", sync("getRepoStatus"), (side) => ({ params: { did: side.did("gwen") } })),
  ask("account check-auth", server("checkAccountStatus"), as("gwen")),
  ask(
    "account missing-blobs",
    repo("listMissingBlobs"),
    as("gwen", () => ({ params: { limit: 500 } })),
  ),
  ask(
    "account deactivate",
    server("deactivateAccount"),
    as("gwen", () => ({ body: {} })),
  ),
  ask("account activate", server("activateAccount"), as("gwen", post)),
  ask(
    "account update-handle",
    identity("updateHandle"),
    as("gwen", () => ({ body: { handle: "gwendolyn.test" } })),
  ),
  ask(
    "account service-auth",
    server("getServiceAuth"),
    as("gwen", (side) => ({
      params: { aud: side.serviceDid, exp: Math.floor(Date.now() / 1000) + 60 },
    })),
  ),
  ask("account plc recommended", identity("getRecommendedDidCredentials"), as("gwen")),
  ask("account plc request-token", identity("requestPlcOperationSignature"), as("gwen", post)),
  ask(
    "account plc sign",
    identity("signPlcOperation"),
    async (side) => ({
      token: side.token("gwen"),
      body: {
        token: await side.code("gwen", /Subject:.*(?:PLC|identity)/i),
        alsoKnownAs: ["at://gwendolyn.test"],
      },
    }),
    { keep: ({ json }, side) => void side.memory.set("operation", JSON.stringify(json.operation)) },
  ),
  ask(
    "account plc submit",
    identity("submitPlcOperation"),
    as("gwen", (side) => ({
      body: { operation: JSON.parse(side.kept("operation")) as object },
    })),
  ),
  ask(
    "blob upload",
    repo("uploadBlob"),
    as("gwen", () => ({ method: "POST", body: "a blob", headers: { "content-type": "*/*" } })),
    {
      keep: ({ json }, side) => {
        const { ref, mimeType } = json.blob as { ref: { $link: string }; mimeType: string };
        side.memory.set("blob", ref.$link);
        side.memory.set("mime", mimeType);
      },
    },
  ),
  ask(
    "record create",
    repo("createRecord"),
    as("gwen", (side) => ({
      body: {
        repo: side.did("gwen"),
        collection: POST,
        rkey: "3kaaaaaaaaaa2",
        record: record("one"),
        validate: true,
      },
    })),
  ),
  ask(
    "record create --no-validate",
    repo("createRecord"),
    as("gwen", (side) => ({
      body: {
        repo: side.did("gwen"),
        collection: "com.example.thing",
        rkey: "one",
        record: {
          $type: "com.example.thing",
          blob: { $type: "blob", ref: { $link: side.kept("blob") }, mimeType: side.kept("mime"), size: 6 },
        },
        validate: false,
      },
    })),
  ),
  ask(
    "record get",
    repo("getRecord"),
    (side) => ({ params: { repo: side.did("gwen"), collection: POST, rkey: "3kaaaaaaaaaa2" } }),
    keep("cid", (json: { cid: string }) => json.cid),
  ),
  ask(
    "record update",
    repo("putRecord"),
    as("gwen", (side) => ({
      body: {
        repo: side.did("gwen"),
        collection: POST,
        rkey: "3kaaaaaaaaaa2",
        record: record("two"),
        swapRecord: side.kept("cid"),
        validate: true,
      },
    })),
  ),
  ask("record ls", repo("describeRepo"), (side) => ({ params: { repo: side.did("gwen") } })),
  ask("record ls", repo("listRecords"), (side) => ({
    params: { repo: side.did("gwen"), collection: POST, limit: 100 },
  })),
  ask(
    "bsky post",
    repo("createRecord"),
    as("gwen", (side) => ({ body: { repo: side.did("gwen"), collection: POST, record: record("three") } })),
  ),
  ask(
    "record delete",
    repo("deleteRecord"),
    as("gwen", (side) => ({ body: { repo: side.did("gwen"), collection: POST, rkey: "3kaaaaaaaaaa2" } })),
  ),
  ask("repo export", sync("getRepo"), (side) => ({ params: { did: side.did("gwen") } })),
  ask("blob ls", sync("listBlobs"), (side) => ({ params: { did: side.did("gwen"), limit: 500 } })),
  ask("blob export", sync("getBlob"), (side) => ({
    params: { did: side.did("gwen"), cid: side.kept("blob") },
  })),
  ask(
    "bsky prefs import",
    "app.bsky.actor.putPreferences",
    as("gwen", () => ({
      body: { preferences: [{ $type: "app.bsky.actor.defs#adultContentPref", enabled: false }] },
    })),
  ),
  ask("bsky prefs export", "app.bsky.actor.getPreferences", as("gwen")),
  ask(
    "xrpc query",
    "app.bsky.labeler.getServices",
    as("gwen", (side) => ({ headers: { "atproto-proxy": `${side.appView.did}#bsky_appview` } })),
  ),
];

const APP = (side: Side) => ({
  "atproto-proxy": `${side.appView.did}#bsky_appview`,
  "atproto-accept-labelers": "did:plc:ar7c4by46qjdydhdevvrndac;redact",
});
const app = (to: string, call: Call = {}) =>
  ask("by the app", to, (side) => ({
    token: side.token("gwen"),
    ...call,
    headers: { ...APP(side), ...call.headers },
  }));

/** Section 5: what the official app asks when it starts. */
export const appStart: readonly Case[] = [
  ask("the form", server("describeServer")),
  ask(
    "the sign-in",
    server("createSession"),
    (side) => ({
      body: { identifier: side.did("gwen"), password: PASSWORD, authFactorToken: "", allowTakendown: true },
    }),
    {
      keep: ({ json }, side) =>
        Object.assign(side.member("gwen"), { accessJwt: json.accessJwt, refreshJwt: json.refreshJwt }),
    },
  ),
  ask(
    "a wrong password",
    server("createSession"),
    (side) => ({ body: { identifier: side.did("gwen"), password: "wrong" } }),
    { status: 401 },
  ),
  app("app.bsky.ageassurance.getState", { params: { countryCode: "DE" } }),
  app("app.bsky.actor.getPreferences"),
  app("app.bsky.unspecced.getConfig"),
  app("app.bsky.labeler.getServices", { params: { dids: ["did:plc:ar7c4by46qjdydhdevvrndac"] } }),
  app("app.bsky.feed.getFeedGenerators", {
    params: { feeds: ["at://did:plc:ar7c4by46qjdydhdevvrndac/app.bsky.feed.generator/x"] },
  }),
  app("app.bsky.notification.listNotifications"),
  ask("polled", "chat.bsky.convo.getLog", (side) => ({
    token: side.token("gwen"),
    headers: { "atproto-proxy": `${side.appView.did}#bsky_chat` },
  })),
  ask("native", "app.bsky.notification.registerPush", (side) => ({
    token: side.token("gwen"),
    headers: APP(side),
    body: { serviceDid: side.appView.did, token: "t", platform: "ios", appId: "xyz.blueskyweb.app" },
  })),
  ask("resumes", server("refreshSession"), (side) => ({
    method: "POST",
    token: side.member("gwen").refreshJwt,
  })),
  ask("the server's own, though the header names another", server("getSession"), (side) => ({
    token: side.token("gwen"),
    headers: APP(side),
  })),
  ask(
    "a video",
    server("getServiceAuth"),
    (side) => ({
      token: side.token("gwen"),
      params: {
        aud: side.serviceDid,
        lxm: "com.atproto.repo.uploadBlob",
        exp: Math.floor(Date.now() / 1000) + 1800,
      },
    }),
    keep("upload token", (json: { token: string }) => json.token),
  ),
  ask("by the video service", repo("uploadBlob"), (side) => ({
    method: "POST",
    token: side.kept("upload token"),
    body: "a video",
    headers: { "content-type": "video/mp4" },
  })),
];

export const distribution: readonly Case[] = [ask("health", "/xrpc/_health")];
