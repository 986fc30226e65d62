import { expect, test } from "bun:test";
import { explain } from "../atproto/mod.ts";
import { type Locale, textsOf } from "./locale.ts";
import { permissionWords } from "./permission_words.ts";

const AUD = "aud=did:web:api.bsky.app%23bsky_appview";
const TIMELINE = "lxm=app.bsky.feed.getTimeline";

const WORDS: readonly (readonly [Locale, string, string, string | undefined])[] = [
  ["en", `rpc?${TIMELINE}&${AUD}`, "Read your timeline", "In your name, by way of api.bsky.app."],
  [
    "en",
    `rpc?${TIMELINE}&lxm=app.bsky.feed.searchPosts&aud=*`,
    "Read your timeline and search posts",
    "In your name, by way of any service.",
  ],
  ["de", `rpc?${TIMELINE}&${AUD}`, "Deine Timeline lesen", "In deinem Namen, über api.bsky.app."],
  // one that is not known: the words for the others would hide it
  [
    "en",
    `rpc?${TIMELINE}&lxm=com.example.pay&${AUD}`,
    "Use api.bsky.app in your name, for 2 things",
    undefined,
  ],
  [
    "en",
    `rpc?lxm=toString.example.constructor&${AUD}`,
    "Use api.bsky.app in your name, for one thing",
    undefined,
  ],
  ["en", "repo:app.bsky.graph.follow", "Create, change, and delete your follows", undefined],
  ["de", "repo:app.bsky.feed.like?action=create", "Deine Likes anlegen", undefined],
];

for (const [locale, scope, title, detail] of WORDS) {
  test(`${scope} is "${title}"`, () => {
    const [explained] = explain(scope).groups.flatMap(({ scopes }) => scopes);
    if (!explained) throw new TypeError(`Nothing explains "${scope}"`);
    const words = permissionWords({ t: textsOf(locale), locale }, explained.meaning);
    expect([words.title, words.detail]).toEqual([title, detail]);
  });
}
