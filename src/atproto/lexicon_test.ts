import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { decodeCbor } from "./cbor.ts";
import { cidOfRaw, cidToString } from "./cid.ts";
import { recordFromJson } from "./data_model.ts";
import { isKnownRecordType, knownRecordTypes, recordKeyProblem, validateRecord } from "./lexicon.ts";

const NOW = "2026-08-20T12:00:00.000Z";
const POST = { $type: "app.bsky.feed.post", text: "hello", createdAt: NOW };
const LINK = cidToString(cidOfRaw(new Uint8Array([1])));
const withImage = (image: object): object => ({
  ...POST,
  embed: { $type: "app.bsky.embed.images", images: [{ alt: "", image }] },
});
const IMAGE = { $type: "blob", ref: { $link: LINK }, mimeType: "image/png", size: 10 };

test("knownRecordTypes() are all the records that the packages have a lexicon of", () => {
  const found: string[] = [];
  for (const name of ["@atcute/atproto", "@atcute/bluesky"]) {
    const folder = join(dirname(Bun.resolveSync(name, import.meta.dir)), "lexicons/types");
    for (const path of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
      if (!path.endsWith(".js") || !readFileSync(join(folder, path), "utf8").includes("v.record(")) continue;
      found.push(path.replace(/\.js$/, "").replaceAll("/", "."));
    }
  }
  expect(knownRecordTypes()).toEqual(found.sort());
  expect(knownRecordTypes()).toContain("chat.bsky.actor.declaration");
});

test("isKnownRecordType() is about records, not about methods or objects", () => {
  expect(isKnownRecordType("app.bsky.feed.post")).toBe(true);
  expect(isKnownRecordType("app.bsky.feed.getPosts")).toBe(false);
  expect(isKnownRecordType("app.bsky.embed.images")).toBe(false);
  expect(isKnownRecordType("constructor")).toBe(false);
});

test("validateRecord() judges JSON and decoded records alike", () => {
  for (const json of [POST, withImage(IMAGE), { ...POST, langs: ["en"], unknownField: [1] }]) {
    const { bytes, value } = recordFromJson(json, { collection: "app.bsky.feed.post" });
    for (const form of [json, value, decodeCbor(bytes)]) {
      expect(validateRecord("app.bsky.feed.post", form)).toEqual({ ok: true });
    }
  }
});

test.each([
  [{ ...POST, text: 1 }, "text: expected string"],
  [{ $type: POST.$type, text: "" }, "createdAt: missing"],
  [{ ...POST, createdAt: "yesterday" }, "createdAt: not a valid datetime"],
  [{ ...POST, text: "x".repeat(301) }, "text: "],
  [{ ...POST, langs: ["en", "de", "fr", "it"] }, "langs: "],
  [{ ...POST, facets: [{ index: { byteStart: 0 }, features: [] }] }, "facets.0.index.byteEnd: missing"],
  [withImage({ ...IMAGE, mimeType: "text/plain" }), "embed.images.0.image: blob MIME type must match"],
  [withImage({ ...IMAGE, size: 10_000_000 }), "embed.images.0.image: blob size must not exceed"],
  [withImage({ cid: LINK, mimeType: "image/png" }), "embed.images.0.image: expected blob"],
  [{ ...POST, text: 1, createdAt: 2 }, "(and 1 more)"],
  ["text", "expected object"],
])("validateRecord() names the place and what was expected: %#", (value, message) => {
  const verdict = validateRecord("app.bsky.feed.post", value);
  expect(verdict.ok).toBe(false);
  if (!verdict.ok) expect(verdict.message).toContain(message);
});

test("validateRecord() does not know every lexicon, and says so", () => {
  expect(validateRecord("com.example.thing", {})).toEqual({
    ok: false,
    message: 'the lexicon "com.example.thing" is not known here',
  });
});

test("validateRecord() stays upright on thousands of problems", () => {
  const facets = Array.from({ length: 50_000 }, () => ({}));
  const verdict = validateRecord("app.bsky.feed.post", { ...POST, facets });
  expect(verdict.ok).toBe(false);
});

test.each([
  ["app.bsky.feed.post", "3jzfcijpj2z2a", undefined],
  ["app.bsky.feed.post", "self", /not a valid tid/],
  ["app.bsky.actor.profile", "self", undefined],
  ["app.bsky.actor.profile", "other", /expected "self"/],
  ["app.bsky.feed.generator", "anything-goes", undefined],
  ["com.atproto.lexicon.schema", "com.example.thing", undefined],
  ["com.atproto.lexicon.schema", "thing", /nsid/],
  ["com.example.thing", "any:thing~", undefined],
  ["com.example.thing", "..", /not a record key/],
  ["com.example.thing", "a/b", /not a record key/],
  ["com.example.thing", "", /not a record key/],
])("recordKeyProblem() of %s/%s", (nsid, rkey, expected) => {
  const problem = recordKeyProblem(nsid, rkey);
  if (expected === undefined) expect(problem).toBeUndefined();
  else expect(problem).toMatch(expected);
});
