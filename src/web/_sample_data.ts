/** What the samples of pages are filled with. */
import { type PermissionSet, parsePermissionSet } from "../atproto/mod.ts";
import type { AccountFrame } from "./frame.ts";
import type { AccountName, ClientName, FormTarget, View } from "./view.ts";

/** What the samples say wherever somebody else has chosen the words. */
export interface SampleWords {
  readonly handle: string;
  readonly email: string;
  readonly app: string;
  readonly host: string;
  readonly name: string;
}

export const PLAIN_WORDS: SampleWords = {
  handle: "alice.pds.example.com",
  email: "alice@example.com",
  app: "Sunrise",
  host: "sunrise.example",
  name: "Phone",
};

export const DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
export const DAY = new Date("2026-03-14T09:26:53Z");
export const LATER = new Date("2026-11-02T18:00:00Z");
export const ASSERTION = JSON.stringify({ challenge: "AAAA", rpId: "localhost", allowCredentials: [] });
export const CREATION = JSON.stringify({
  challenge: "AAAA",
  rp: { id: "localhost", name: "kith" },
  user: { id: "AAAA", name: "alice", displayName: "alice" },
  pubKeyCredParams: [{ type: "public-key", alg: -7 }],
});

export type Samples = Readonly<Record<string, (view: View) => string>>;

export const to = (action: string): FormTarget => ({ action: `/do/${action}`, hidden: { request: "req-1" } });

export const SET_NSID = "com.example.books.full";
export const SCOPES_OF_ALL_KINDS = [
  "atproto",
  `include:${SET_NSID}`,
  "repo:app.bsky.feed.post",
  "repo?collection=app.bsky.feed.like&collection=app.bsky.feed.repost&collection=app.bsky.graph.follow&collection=com.example.note&action=create",
  "repo:*?action=delete",
  "blob:image/*",
  "blob?accept=video/*&accept=application/pdf",
  "rpc:app.bsky.feed.getTimeline?aud=did:web:api.bsky.app%23bsky_appview",
  "rpc:com.example.one?aud=*",
  "rpc:*?aud=did:web:api.example.com%23svc",
  "rpc?lxm=chat.bsky.convo.getLog&lxm=chat.bsky.convo.sendMessage&aud=did:web:api.bsky.chat%23bsky_chat",
  "account:email",
  "account:repo?action=manage",
  "account:status",
  "identity:handle",
  "identity:*",
  "nonsense:thing",
];

/** What the scopes of all kinds leave out. */
export const UNTITLED_NSID = "com.example.books.untitled";
export const RARE_SCOPES: readonly string[] = [
  "atproto",
  `include:${UNTITLED_NSID}`,
  ...[
    "app.bsky.feed.generator",
    "app.bsky.feed.threadgate",
    "app.bsky.feed.postgate",
    "app.bsky.graph.block",
    "app.bsky.graph.list",
    "app.bsky.graph.listitem",
    "app.bsky.graph.listblock",
    "app.bsky.graph.starterpack",
    "app.bsky.actor.status",
    "app.bsky.labeler.service",
    "chat.bsky.actor.declaration",
  ].map((collection) => `repo:${collection}`),
  "repo?collection=app.bsky.feed.postgate&collection=app.bsky.feed.threadgate&collection=com.example.one&collection=com.example.two",
  "blob:*/*",
  "blob:audio/*",
  "blob:text/*",
  "rpc?lxm=com.example.one&lxm=com.example.two&lxm=com.example.three&lxm=com.example.four&aud=*",
  `rpc?${["app.bsky.feed.getTimeline", "app.bsky.feed.searchPosts", "app.bsky.actor.getProfile"].map((lxm) => `lxm=${lxm}`).join("&")}&aud=*`,
  ...[
    "app.bsky.actor.getPreferences",
    "app.bsky.actor.putPreferences",
    "app.bsky.notification.listNotifications",
    "app.bsky.notification.updateSeen",
    "app.bsky.graph.muteActor",
    "com.atproto.moderation.createReport",
    "chat.bsky.convo.listConvos",
    "chat.bsky.convo.getMessages",
  ].map((lxm) => `rpc:${lxm}?aud=did:web:api.bsky.app%23bsky_appview`),
  "rpc?lxm=com.example.one&lxm=com.example.two&aud=did:web:api.example.com%23svc",
  "account:email?action=manage",
  "account:repo",
  "account:status?action=manage",
];

export function accountOf({ handle }: SampleWords): AccountName {
  return { did: DID, handle };
}

export function clientOf({ host }: SampleWords): ClientName {
  return { clientId: `https://${host}/oauth/client-metadata.json` };
}

export function frameOf(words: SampleWords): AccountFrame {
  return {
    account: accountOf(words),
    links: {
      home: "/account",
      apps: "/account/apps",
      devices: "/account/devices",
      security: "/account/security",
      appPasswords: "/account/app-passwords",
      handle: "/account/handle",
      email: "/account/email",
      status: "/account/status",
    },
    switchUrl: "/account/choose",
    signOutUrl: "/account/sign-out",
  };
}

export function setOf({ app }: SampleWords): PermissionSet {
  const set = parsePermissionSet(
    {
      lexicon: 1,
      id: SET_NSID,
      defs: {
        main: {
          type: "permission-set",
          title: `${app}: your bookshelf`,
          "title:lang": { de: `${app}: dein Bücherregal` },
          detail: "Shelves, reviews and what you are reading.",
          "detail:lang": { de: "Regale, Rezensionen und was du gerade liest." },
          permissions: [
            { type: "permission", resource: "repo", collection: ["com.example.books.shelf"] },
            { type: "permission", resource: "rpc", lxm: ["com.example.books.search"], aud: "*" },
          ],
        },
      },
    },
    { nsid: SET_NSID },
  );
  if (!set) throw new TypeError("The set of the samples is none");
  return set;
}
