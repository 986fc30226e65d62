/** Handles, DIDs and operations of the PLC directory; service auth; preferences; calls that go on to other services. */
import type { Call } from "../../client.ts";
import type { Case, Side } from "../oracle.ts";

const identity = (name: string) => `com.atproto.identity.${name}`;
const FAR_DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const EXP = () => Math.floor(Date.now() / 1000) + 60;
const as =
  (name: string, call: Call = {}) =>
  (side: Side): Call => ({ token: side.token(name), ...call });

const resolve = (title: string, handle: string): Case => ({
  title,
  to: identity("resolveHandle"),
  call: () => ({ params: { handle } }),
});

const handle = (title: string, handle: string, name = "bob"): Case => ({
  title,
  to: identity("updateHandle"),
  call: as(name, { body: { handle } }),
});

export const handles: readonly Case[] = [
  resolve("of alice", "alice.test"),
  resolve("of alice in capitals", "ALICE.test"),
  resolve("of nobody", "nobody.test"),
  resolve("of the domain", "test"),
  resolve("of a bad one", "not a handle"),
  handle("to another", "bobby.test"),
  resolve("of the new one", "bobby.test"),
  resolve("of the old one", "bob.test"),
  { title: "with a new handle", to: "com.atproto.server.getSession", call: as("bob") },
  handle("to the same", "bobby.test"),
  handle("back", "bob.test"),
  handle("to one that is taken", "alice.test"),
  handle("to a reserved one", "admin.test"),
  handle("to a short one", "ab.test"),
  handle("to one of two labels", "b.ob.test"),
  handle("to a foreign one that does not point here", "bob.example.com"),
  handle("to a name that nobody may have", "bob.invalid"),
  handle("to a bad one", "not a handle"),
  handle("by an app", "bobby.test", "bob's app"),
  handle("back again", "bob.test"),
];

/** The subject of the mail with a code for an operation. */
const PLC_SUBJECT = /Subject:.*(?:PLC|identity)/i;

const sign = (title: string, body: (code: string) => object): Case => ({
  title,
  to: identity("signPlcOperation"),
  call: async (side) => ({ token: side.token("bob"), body: body(await side.code("bob", PLC_SUBJECT)) }),
  keep: ({ json }, side) => side.memory.set("operation", JSON.stringify(json.operation)),
});

const submit = (title: string, change: (operation: Record<string, unknown>) => object): Case => ({
  title,
  to: identity("submitPlcOperation"),
  call: (side) => ({
    token: side.token("bob"),
    body: { operation: change(JSON.parse(side.kept("operation")) as Record<string, unknown>) },
  }),
});

export const plc: readonly Case[] = [
  { title: "of bob", to: identity("getRecommendedDidCredentials"), call: as("bob"), status: 200 },
  { title: "by an app", to: identity("getRecommendedDidCredentials"), call: as("bob's app") },
  { title: "without a code", to: identity("signPlcOperation"), call: as("bob", { body: {} }) },
  {
    title: "with a wrong code",
    to: identity("signPlcOperation"),
    call: as("bob", { body: { token: "AAAAA-22222" } }),
  },
  {
    title: "by an app",
    to: identity("requestPlcOperationSignature"),
    call: as("bob's app", { method: "POST" }),
  },
  {
    title: "of bob",
    to: identity("requestPlcOperationSignature"),
    call: as("bob", { method: "POST" }),
    status: 200,
  },
  sign("with the code", (token) => ({ token, alsoKnownAs: ["at://bob.test", "https://example.com/bob"] })),
  submit("without a signature", ({ sig: _sig, ...rest }) => rest),
  submit("without our rotation key", (operation) => ({
    ...operation,
    rotationKeys: ["did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme"],
  })),
  submit("without our service", (operation) => ({ ...operation, services: {} })),
  submit("with another service", (operation) => ({
    ...operation,
    services: { atproto_pds: { type: "AtprotoPersonalDataServer", endpoint: "https://example.com" } },
  })),
  submit("with another key", (operation) => ({
    ...operation,
    verificationMethods: { atproto: "did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme" },
  })),
  submit("with another handle", (operation) => ({ ...operation, alsoKnownAs: ["at://alice.test"] })),
  submit("that is none", () => ({})),
  submit("as it was signed", (operation) => operation),
  submit("again", (operation) => operation),
  { title: "of nobody", to: identity("resolveDid"), call: () => ({ params: { did: FAR_DID } }) },
  { title: "of alice", to: identity("resolveDid"), call: (side) => ({ params: { did: side.did("alice") } }) },
  {
    title: "of alice",
    to: identity("resolveIdentity"),
    call: () => ({ params: { identifier: "alice.test" } }),
  },
];

const auth = (title: string, params: (side: Side) => Call["params"], name = "alice"): Case => ({
  title,
  to: "com.atproto.server.getServiceAuth",
  call: (side) => ({ token: side.token(name), params: params(side) }),
});
const AUD = "did:web:example.com";
const TIMELINE = "app.bsky.feed.getTimeline";

export const serviceAuth: readonly Case[] = [
  auth("for a method", () => ({ aud: AUD, lxm: TIMELINE })),
  auth("for any method", () => ({ aud: AUD })),
  auth("for a service", () => ({ aud: `${AUD}#svc`, lxm: TIMELINE })),
  auth("for a minute", () => ({ aud: AUD, lxm: TIMELINE, exp: EXP() })),
  auth("for an hour and more", () => ({ aud: AUD, lxm: TIMELINE, exp: EXP() + 3600 })),
  auth("for long and any method", () => ({ aud: AUD, exp: EXP() + 600 })),
  auth("for the past", () => ({ aud: AUD, lxm: TIMELINE, exp: 1 })),
  auth("for what is no time", () => ({ aud: AUD, exp: "soon" })),
  auth("for nobody", () => ({ lxm: TIMELINE })),
  auth("for what is no DID", () => ({ aud: "example.com", lxm: TIMELINE })),
  auth("for a bad method", () => ({ aud: AUD, lxm: "timeline" })),
  auth("for a protected method", () => ({ aud: AUD, lxm: "com.atproto.server.updateEmail" })),
  auth("for another protected method", () => ({ aud: AUD, lxm: "com.atproto.identity.signPlcOperation" })),
  auth("for a move", () => ({ aud: AUD, lxm: "com.atproto.server.createAccount" })),
  auth("for a move, by an app", () => ({ aud: AUD, lxm: "com.atproto.server.createAccount" }), "bob's app"),
  auth("for a chat, by an app", () => ({ aud: AUD, lxm: "chat.bsky.convo.getLog" }), "bob's app"),
  auth(
    "for a chat, by a privileged app",
    () => ({ aud: AUD, lxm: "chat.bsky.convo.getLog" }),
    "bob's privileged app",
  ),
  auth("for a method, by an app", () => ({ aud: AUD, lxm: TIMELINE }), "bob's app"),
];

const GET = "app.bsky.actor.getPreferences";
const PUT = "app.bsky.actor.putPreferences";
const put = (title: string, preferences: unknown, name = "alice"): Case => ({
  title,
  to: PUT,
  call: as(name, { body: { preferences } }),
});
const adult = { $type: "app.bsky.actor.defs#adultContentPref", enabled: true };
const personal = { $type: "app.bsky.actor.defs#personalDetailsPref", birthDate: "1990-01-01T00:00:00.000Z" };

export const preferences: readonly Case[] = [
  { title: "none yet", to: GET, call: as("alice"), status: 200 },
  put("two", [adult, personal]),
  { title: "two", to: GET, call: as("alice"), status: 200 },
  {
    title: "by another service's name",
    to: GET,
    call: (side) => ({
      token: side.token("alice"),
      headers: { "atproto-proxy": `${side.moderation.did}#bsky_appview` },
    }),
  },
  {
    title: "by the AppView's name",
    to: GET,
    call: (side) => ({
      token: side.token("alice"),
      headers: { "atproto-proxy": `${side.appView.did}#bsky_appview` },
    }),
  },
  put("of a foreign kind", [{ $type: "com.example.pref", x: 1 }]),
  put("without a kind", [{ enabled: true }]),
  put("of an unknown kind", [{ $type: "app.bsky.actor.defs#unknownPref", x: 1 }]),
  put("that are not valid", [{ ...adult, enabled: "yes" }]),
  put("by bob", [adult, personal], "bob"),
  put("personal ones by an app", [personal], "bob's app"),
  put("others by an app", [{ ...adult, enabled: false }], "bob's app"),
  { title: "of bob's app", to: GET, call: as("bob's app") },
  { title: "of bob", to: GET, call: as("bob") },
  put("computed ones", [{ $type: "app.bsky.actor.defs#declaredAgePref", isOverAge13: true }]),
  put("none", []),
];

const TIME = "app.bsky.unspecced.getConfig";
const to = (title: string, nsid: string, call: (side: Side) => Call): Case => ({ title, to: nsid, call });

export const proxied: readonly Case[] = [
  to("to the AppView", TIME, as("alice", { params: { a: "1" } })),
  to("by nobody", TIME, () => ({})),
  to("with a bad token", TIME, () => ({ token: "garbage" })),
  to("by an app", TIME, as("bob's app")),
  to("to a service by name", TIME, (side) => ({
    token: side.token("alice"),
    headers: { "atproto-proxy": `${side.moderation.did}#atproto_labeler` },
  })),
  to("to a service that is not there", TIME, (side) => ({
    token: side.token("alice"),
    headers: { "atproto-proxy": `${side.moderation.did}#no_such` },
  })),
  to("to a DID alone", TIME, (side) => ({
    token: side.token("alice"),
    headers: { "atproto-proxy": side.moderation.did },
  })),
  to("to an empty name", TIME, as("alice", { headers: { "atproto-proxy": "" } })),
  to("to what is no DID", TIME, as("alice", { headers: { "atproto-proxy": "x#y" } })),
  to("to a DID that is not there", TIME, as("alice", { headers: { "atproto-proxy": `${FAR_DID}#svc` } })),
  to("a body", "app.bsky.graph.muteActor", as("alice", { body: { actor: "alice.test" } })),
  to("a method of the server's own", "com.atproto.server.getSession", (side) => ({
    token: side.token("alice"),
    headers: { "atproto-proxy": `${side.appView.did}#bsky_appview` },
  })),
  to("a protected method", "com.atproto.server.updateEmail", (side) => ({
    token: side.token("alice"),
    body: { email: "alice@example.com" },
    headers: { "atproto-proxy": `${side.moderation.did}#atproto_labeler` },
  })),
  to("a chat, by an app", "chat.bsky.convo.getLog", as("bob's app")),
  to("a chat, by a privileged app", "chat.bsky.convo.getLog", as("bob's privileged app")),
  to("a method of moderators", "tools.ozone.moderation.queryEvents", as("alice")),
  to("a method that nobody knows", "com.example.no.such", as("alice")),
  to("a name that is none", "not-an-nsid", as("alice")),
  to("a profile", "app.bsky.actor.getProfile", as("alice", { params: { actor: "alice.test" } })),
  to("a report", "com.atproto.moderation.createReport", (side) => ({
    token: side.token("alice"),
    body: {
      reasonType: "com.atproto.moderation.defs#reasonSpam",
      subject: { $type: "com.atproto.admin.defs#repoRef", did: side.did("bob") },
    },
  })),
  to("a push token", "app.bsky.notification.registerPush", (side) => ({
    token: side.token("alice"),
    body: { serviceDid: side.appView.did, token: "t", platform: "ios", appId: "app" },
  })),
  to("labels", "com.atproto.label.queryLabels", as("alice", { params: { uriPatterns: ["*"] } })),
];

/** What is served outside of XRPC, and to browsers. */
export const elsewhere: readonly Case[] = [
  { title: "health", to: "/xrpc/_health", call: () => ({}) },
  { title: "robots", to: "/robots.txt", call: () => ({}) },
  { title: "nothing", to: "/nothing", call: () => ({}) },
  { title: "alice's DID", to: "/.well-known/atproto-did", call: () => ({ headers: { host: "alice.test" } }) },
  {
    title: "nobody's DID",
    to: "/.well-known/atproto-did",
    call: () => ({ headers: { host: "nobody.test" } }),
  },
  { title: "the service's DID document", to: "/.well-known/did.json", call: () => ({}) },
  { title: "of the server", to: "com.atproto.server.describeServer", call: () => ({}), status: 200 },
  { title: "by HEAD", to: "com.atproto.server.describeServer", call: () => ({ method: "HEAD" }) },
  {
    title: "a preflight",
    to: "com.atproto.server.getSession",
    call: () => ({
      method: "OPTIONS",
      headers: {
        origin: "https://example.com",
        "access-control-request-method": "GET",
        "access-control-request-headers": "authorization,atproto-proxy,atproto-accept-labelers",
      },
    }),
  },
  { title: "of the queue", to: "com.atproto.temp.checkSignupQueue", call: as("alice") },
];
