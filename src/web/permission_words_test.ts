import { expect, test } from "bun:test";
import { explain, parsePermissionSet } from "../atproto/mod.ts";
import type { Locale } from "./locale.ts";
import { permissionWords } from "./permission_words.ts";
import { textsOf } from "./texts_of.ts";

const VIEW = { locale: "en", t: textsOf("en") } as const;

/** The words of a permission set that its publisher has called so. */
function wordsOf(nsid: string, main: object) {
  const permissions = [{ type: "permission", resource: "repo", collection: [`${nsid}Record`] }];
  const set = parsePermissionSet(
    { id: nsid, defs: { main: { type: "permission-set", permissions, ...main } } },
    { nsid },
  );
  if (!set) throw new Error("Not a set");
  const [group] = explain(`include:${nsid}`, new Map([[nsid, set]])).groups;
  const meaning = group?.scopes[0]?.meaning;
  if (!meaning) throw new Error("It means nothing");
  return permissionWords(VIEW, meaning);
}

test.each([
  ["com.example.app.authFull", "app.example.com"],
  ["uk.co.example.auth", "example.co.uk"],
  ["io.github.somebody.auth", "somebody.github.io"],
])("permissionWords() says of %s that it is put together by %s", (nsid, authority) => {
  expect(wordsOf(nsid, {}).detail).toBe(`Put together by ${authority}`);
  expect(wordsOf(nsid, { detail: "All of it" }).detail).toBe(`All of it (Put together by ${authority})`);
});

test("permissionWords() shows what a publisher wrote as short plain text that turns nothing around", () => {
  const words = wordsOf("com.example.auth", {
    title: "\u202eAll\u2066 of\n it\u200f ",
    detail: "😀".repeat(400),
  });
  expect(words.title).toBe("All of it");
  expect([...(words.detail ?? "")].filter((char) => char === "😀").length).toBe(300);
  expect(wordsOf("com.example.auth", { title: "\u202e" }).title).toBe(
    VIEW.t.permissions.set("com.example.auth"),
  );
});

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
