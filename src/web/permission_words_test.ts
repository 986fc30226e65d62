import { expect, test } from "bun:test";
import { explain, parsePermissionSet } from "../atproto/mod.ts";
import { textsOf } from "./locale.ts";
import { permissionWords } from "./permission_words.ts";

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
