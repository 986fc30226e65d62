import { expect, test } from "bun:test";
import { schemas } from "@atproto/api";
import { recordKeyProblem, validateRecord } from "./lexicon.ts";
import { lexiconReferences, parseLexiconDoc, recordLexiconOf } from "./lexicon_doc.ts";

const NSID = "com.example.note";
const LINK = { $link: "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy" };

/** Documents by their ids, from the definitions that each has. */
function docsOf(defs: Record<string, Record<string, unknown>>) {
  return new Map(
    Object.entries(defs).map(([id, defs]) => [id, parseLexiconDoc({ lexicon: 1, id, defs }, { nsid: id })]),
  );
}

const record = (properties: object, more: object = {}) => ({
  type: "record",
  record: { type: "object", properties, ...more },
});

/** What is wrong with a record whose only property is `x`, by the definition of `x`; undefined where nothing is. */
function judge(x: object, value: unknown, more: Record<string, Record<string, unknown>> = {}) {
  const main = record({ x }, { required: ["x"] });
  const docs = docsOf({ ...more, [NSID]: { main, ...more[NSID] } });
  const verdict = validateRecord(NSID, { $type: NSID, x: value }, recordLexiconOf(NSID, docs));
  return verdict.ok ? undefined : verdict.message;
}

const NODE = {
  type: "object",
  required: ["name"],
  properties: {
    name: { type: "string" },
    children: { type: "array", items: { type: "ref", ref: "#node" } },
    parent: { type: "ref", ref: "#node" },
  },
};
const UNION = { type: "union", refs: ["#node", "com.example.elsewhere"] };
const IMAGE = { $type: "blob", ref: LINK, mimeType: "image/png", size: 10 };
const STRONG = { uri: "at://did:plc:ewvi7nxzyoun6zhxrhs64oiz/a.b.c/d", cid: LINK.$link };

test.each([
  [{ type: "boolean" }, true, undefined],
  [{ type: "boolean" }, 1, "x: expected boolean"],
  [{ type: "boolean", const: true }, false, "x: expected true"],
  [{ type: "integer", maximum: 5 }, -7, undefined],
  [{ type: "integer", maximum: 5 }, 6, "x: expected an integer"],
  [{ type: "integer", minimum: -5 }, -5, undefined],
  [{ type: "integer", minimum: -5 }, -6, "x: expected an integer"],
  [{ type: "integer", enum: [1, 2] }, 3, "x: expected 1 or 2"],
  [{ type: "integer" }, 0.5, "x: expected integer"],
  [{ type: "string", maxLength: 3 }, "äb", undefined],
  [{ type: "string", maxLength: 3 }, "ää", "x: "],
  [{ type: "string", minGraphemes: 2 }, "👨‍👩‍👧", "x: "],
  [{ type: "string", format: "datetime" }, "now", "x: not a valid datetime"],
  [{ type: "string", format: "at-uri" }, STRONG.uri, undefined],
  [{ type: "string", knownValues: ["a"] }, "b", undefined],
  [{ type: "string", enum: ["a"] }, "b", 'x: expected "a"'],
  [{ type: "bytes", maxLength: 2 }, { $bytes: "AQI" }, undefined],
  [{ type: "bytes", maxLength: 2 }, { $bytes: "AQID" }, "x: "],
  [{ type: "cid-link" }, LINK, undefined],
  [{ type: "cid-link" }, LINK.$link, "x: expected cid-link"],
  [{ type: "blob", accept: ["image/*"], maxSize: 10 }, IMAGE, undefined],
  [{ type: "blob", accept: ["*/*"] }, IMAGE, undefined],
  [{ type: "blob", accept: ["video/mp4"] }, IMAGE, "x: blob MIME type must match"],
  [{ type: "blob", maxSize: 9 }, IMAGE, "x: blob size must not exceed"],
  [{ type: "unknown" }, { any: 1 }, undefined],
  [{ type: "array", items: { type: "string" }, maxLength: 1 }, ["a", "b"], "x: "],
  [{ type: "ref", ref: "#node" }, { name: "a", children: [{ name: "b", parent: { name: "c" } }] }, undefined],
  [
    { type: "ref", ref: "#node" },
    { name: "a", children: [{ parent: { name: "c" } }] },
    "x.children.0.name: missing",
  ],
  [{ type: "ref", ref: `${NSID}#node` }, {}, "x.name: missing"],
  [{ type: "ref", ref: "#list" }, [["a"], [[]]], "x.0.0: expected array"],
  [{ type: "ref", ref: "#list" }, [[], [[]]], undefined],
  [{ type: "ref", ref: "com.atproto.repo.strongRef" }, STRONG, undefined],
  [{ type: "ref", ref: "com.atproto.repo.strongRef" }, { uri: STRONG.uri }, "x.cid: missing"],
  [
    { type: "ref", ref: "com.atproto.label.defs#selfLabels" },
    { values: [{ val: 1 }] },
    "x.values.0.val: expected string",
  ],
  [UNION, { $type: `${NSID}#node`, name: "a" }, undefined],
  [UNION, { $type: `${NSID}#node` }, "x.name: missing"],
  [UNION, { $type: "com.example.elsewhere", anything: 1 }, undefined],
  [UNION, { name: "a" }, "x.$type: missing"],
  [{ type: "union", refs: ["#node"], closed: true }, { $type: "com.example.other" }, "x: expected "],
  [{ type: "union", refs: [NSID] }, { $type: NSID, x: 1 }, "x.x: expected object"],
] as [object, unknown, string | undefined][])(
  "recordLexiconOf() judges by %j the value %j: %s",
  (x, value, expected) => {
    const defs = { node: NODE, list: { type: "array", items: { type: "ref", ref: "#list" } } };
    const problem = judge(x, value, { [NSID]: defs });
    if (expected === undefined) expect(problem).toBeUndefined();
    else expect(problem).toContain(expected);
  },
);

test("recordLexiconOf() tells optional, nullable and required properties apart", () => {
  const properties = { a: { type: "string" }, b: { type: "string" }, c: { type: "integer", default: 1 } };
  const main = record(properties, { required: ["a", "b", "c"], nullable: ["b"] });
  const lexicon = recordLexiconOf(NSID, docsOf({ [NSID]: { main } }));
  const verdictOf = (value: object) => validateRecord(NSID, { $type: NSID, ...value }, lexicon).ok;
  expect(verdictOf({ a: "", b: null })).toBe(true);
  expect(verdictOf({ a: null, b: "" })).toBe(false);
  expect(verdictOf({ a: "" })).toBe(false);
  expect(verdictOf({ a: "", b: "", c: "1" })).toBe(false);
  expect(validateRecord(NSID, { $type: "com.example.other", a: "", b: "" }, lexicon).ok).toBe(false);
});

test.each([
  ["tid", "3jzfcijpj2z2a", "self"],
  ["nsid", "com.example.thing", "self"],
  ["literal:self", "self", "other"],
  ["any", "other", "a/b"],
  [undefined, "other", ".."],
])("recordLexiconOf() has the key type %s", (key, good, bad) => {
  const lexicon = recordLexiconOf(NSID, docsOf({ [NSID]: { main: { ...record({}), key } } }));
  expect(recordKeyProblem(NSID, good, lexicon)).toBeUndefined();
  expect(recordKeyProblem(NSID, bad, lexicon)).toMatch(/not a record key/);
});

const toRef = (ref: string) => record({ x: { type: "ref", ref } });
test.each([
  ["another kind of definition", { main: { type: "query" } }, "does not define a record type"],
  ["no main definition", { other: record({}) }, "does not define a record type"],
  [
    "a name that objects inherit",
    { main: toRef("#constructor") },
    'refers to "com.example.note#constructor"',
  ],
  ["a missing definition", { main: toRef("#gone") }, 'refers to "com.example.note#gone", which is not there'],
  ["a missing document", { main: toRef("com.example.gone#a") }, 'refers to "com.example.gone#a"'],
  ["a method", { main: toRef("#ask"), ask: { type: "procedure" } }, "which is no data"],
  [
    "a closed union without its member",
    { main: record({ x: { type: "union", refs: ["com.example.gone"], closed: true } }) },
    'refers to "com.example.gone"',
  ],
  [
    "a union of text",
    { main: record({ x: { type: "union", refs: ["#text"] } }), text: { type: "string" } },
    "which is no object",
  ],
  ["a property that every object has", { main: record({ toString: { type: "string" } }) }, '"toString"'],
  [
    "too many fields",
    {
      main: record(
        Object.fromEntries(Array.from({ length: 4_001 }, (_, i) => [`p${i}`, { type: "string" }])),
      ),
    },
    "too many fields",
  ],
] as [string, Record<string, object>, string][])("recordLexiconOf() refuses %s", (_, defs, message) => {
  expect(() => recordLexiconOf(NSID, docsOf({ [NSID]: { ...defs } }))).toThrow(message);
});

test("recordLexiconOf() stays upright on a long chain of definitions", () => {
  const chain = Array.from({ length: 3_000 }, (_, i) => [
    `d${i}`,
    { type: "object", properties: i < 2_999 ? { x: { type: "ref", ref: `#d${i + 1}` } } : {} },
  ]);
  const defs = { main: record({ x: { type: "ref", ref: "#d0" } }), ...Object.fromEntries(chain) };
  const lexicon = recordLexiconOf(NSID, docsOf({ [NSID]: defs }));
  expect(validateRecord(NSID, { $type: NSID, x: { x: { x: {} } } }, lexicon).ok).toBe(true);
});

test.each([
  [null, "Expected Object"],
  [{ lexicon: 2, id: NSID, defs: {} }, "lexicon: "],
  [{ lexicon: 1, id: "com.example.other", defs: {} }, 'it is the document of "com.example.other"'],
  [{ lexicon: 1, id: NSID }, "defs"],
  [{ lexicon: 1, id: NSID, defs: { main: { type: "space" } } }, "defs"],
  [{ lexicon: 1, id: NSID, defs: { main: record({ x: { type: "string", format: "colour" } }) } }, "defs"],
])("parseLexiconDoc() refuses %j", (json, message) => {
  expect(() => parseLexiconDoc(json, { nsid: NSID })).toThrow(message);
});

test("lexiconReferences() are those into other documents that are not bundled, through local ones", () => {
  const defs = {
    main: record({
      a: { type: "ref", ref: "#local" },
      b: { type: "ref", ref: "com.atproto.repo.strongRef" },
    }),
    local: {
      type: "object",
      properties: { x: { type: "union", refs: ["com.example.a#b", "com.example.c"] } },
    },
    unused: { type: "object", properties: { x: { type: "ref", ref: "com.example.unused" } } },
  };
  const doc = docsOf({ [NSID]: defs }).get(NSID);
  const refs = doc ? lexiconReferences(doc, "main") : [];
  expect(refs.map(({ nsid, name }) => `${nsid}#${name}`).sort()).toEqual([
    "com.example.a#b",
    "com.example.c#main",
  ]);
  expect(doc && lexiconReferences(doc, "toString")).toEqual([]);
});

/** The documents of app.bsky, as an independent package has them, under names that nobody knows here. */
const CLONES = new Map(
  (JSON.parse(JSON.stringify(schemas).replaceAll('"lex:', '"')) as { id: string }[]).map((doc) => {
    const clone = JSON.parse(JSON.stringify(doc).replaceAll('"app.bsky.', '"com.clone.')) as { id: string };
    return [clone.id, clone];
  }),
);
const NOW = "2026-08-20T12:00:00.000Z";
const POST = { text: "hello", createdAt: NOW };
const external = (uri: unknown) => ({
  ...POST,
  embed: { $type: "app.bsky.embed.external", external: { uri, title: "a", description: "b" } },
});

test.each([
  ["feed.post", POST],
  ["feed.post", { ...POST, text: 1 }],
  ["feed.post", { ...POST, text: "x".repeat(301) }],
  ["feed.post", { ...POST, langs: ["en", "de", "fr", "it"] }],
  ["feed.post", { ...POST, langs: ["not a language"] }],
  ["feed.post", external("https://example.com")],
  ["feed.post", external("no uri")],
  ["feed.post", { ...POST, facets: [{ index: { byteStart: 0 }, features: [] }] }],
  ["feed.post", { ...POST, reply: { root: STRONG, parent: { ...STRONG, cid: 1 } } }],
  ["feed.post", { ...POST, labels: { $type: "com.atproto.label.defs#selfLabels", values: [{ val: "x" }] } }],
  [
    "feed.threadgate",
    { post: STRONG.uri, createdAt: NOW, allow: [{ $type: "app.bsky.feed.threadgate#mentionRule" }] },
  ],
  ["actor.profile", { displayName: "x".repeat(65), avatar: IMAGE }],
  ["actor.profile", { avatar: { ...IMAGE, mimeType: "text/plain" } }],
  ["graph.follow", { subject: "did:plc:ewvi7nxzyoun6zhxrhs64oiz", createdAt: NOW }],
  ["graph.follow", { subject: "nobody", createdAt: NOW }],
  ["graph.list", { name: "", purpose: "app.bsky.graph.defs#modlist", createdAt: NOW }],
])("recordLexiconOf() agrees with the bundled schema of app.bsky.%s on %j", (name, fields) => {
  const bundled = validateRecord(`app.bsky.${name}`, { $type: `app.bsky.${name}`, ...fields });
  const nsid = `com.clone.${name}`;
  const docs = new Map([...CLONES].map(([id, json]) => [id, parseLexiconDoc(json, { nsid: id })]));
  const clone = JSON.parse(
    JSON.stringify({ $type: nsid, ...fields }).replaceAll('"app.bsky.', '"com.clone.'),
  );
  expect(validateRecord(nsid, clone, recordLexiconOf(nsid, docs)).ok).toBe(bundled.ok);
});
