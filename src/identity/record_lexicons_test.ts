import { expect, test } from "bun:test";
import { peek } from "bun";
import { encodeCbor, validateRecord } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import { LEXICON_DEPTH_MAX, LEXICON_DOCUMENTS_MAX, RecordLexicons } from "./record_lexicons.ts";

const NSID = "com.example.note";
const record = (properties: object) => ({ type: "record", record: { type: "object", properties } });
const ref = (ref: string) => ({ type: "ref", ref });

/** Record lexicons over a network that has these definitions, by NSID. */
function setUp(defs: Record<string, object> = {}) {
  const world = { now: 0, holds: false };
  const asked: string[] = [];
  const defects: string[] = [];
  const held: (() => void)[] = [];
  const lexicons = new RecordLexicons({
    source: {
      find: async (nsid) => {
        asked.push(nsid);
        if (world.holds) await new Promise<void>((go) => held.push(go));
        if (nsid === "com.example.defect") throw new TypeError("a defect");
        const found = defs[nsid];
        if (!found) throw new KithError("lexicon_not_found", `"${nsid}" is nowhere`);
        const bytes = encodeCbor({ $type: "com.atproto.lexicon.schema", lexicon: 1, id: nsid, defs: found });
        return { nsid, uri: "", cid: "", bytes };
      },
    },
    freshMs: 3_600_000,
    onDefect: (nsid) => defects.push(nsid),
    now: () => world.now,
    waitMs: 1,
    patientWaitMs: 60_000,
  });
  const find = async (nsid: string, patient = true): Promise<string> => {
    const found = await lexicons.find(nsid, { patient });
    return "problem" in found ? found.problem : "found";
  };
  const settle = () => new Promise<void>((done) => setImmediate(done));
  const release = (): void => {
    world.holds = false;
    for (const go of held.splice(0)) go();
  };
  return { lexicons, world, asked, defects, find, settle, release, defs };
}

test("RecordLexicons gives bundled ones without a question", async () => {
  const { find, asked } = setUp();
  expect(await find("app.bsky.feed.post", false)).toBe("found");
  expect(await find("app.bsky.feed.getPosts")).toBe(
    'the lexicon "app.bsky.feed.getPosts" is not of a record type',
  );
  expect(asked).toEqual([]);
});

test("RecordLexicons takes what a lexicon refers to from the network, and what is bundled from here", async () => {
  const { lexicons, asked } = setUp({
    [NSID]: { main: record({ a: ref("com.example.defs#a"), s: ref("com.atproto.repo.strongRef") }) },
    "com.example.defs": { a: { type: "object", required: ["n"], properties: { n: { type: "integer" } } } },
  });
  const found = await lexicons.find(NSID, { patient: true });
  if ("problem" in found) throw new Error(found.problem);
  const verdictOf = (value: object) => validateRecord(NSID, { $type: NSID, ...value }, found.lexicon).ok;
  expect([verdictOf({ a: { n: 1 } }), verdictOf({ a: {} }), verdictOf({ s: {} })]).toEqual([
    true,
    false,
    false,
  ]);
  expect(asked).toEqual([NSID, "com.example.defs"]);
});

const chain = (count: number) =>
  Object.fromEntries(
    Array.from({ length: count }, (_, i) => {
      const properties = i < count - 1 ? { x: ref(`com.example.c${i + 1}`) } : {};
      return [`com.example.c${i}`, { main: i === 0 ? record(properties) : { type: "object", properties } }];
    }),
  );
const wide = (count: number) => ({
  "com.example.c0": {
    main: record(
      Object.fromEntries(Array.from({ length: count - 1 }, (_, i) => [`p${i}`, ref(`com.example.w${i}`)])),
    ),
  },
  ...Object.fromEntries(
    Array.from({ length: count - 1 }, (_, i) => [`com.example.w${i}`, { main: { type: "object" } }]),
  ),
});

test.each([
  ["a chain", chain(LEXICON_DEPTH_MAX + 1), "found"],
  ["a chain that is too long", chain(LEXICON_DEPTH_MAX + 2), "one document too many"],
  ["many documents", wide(LEXICON_DOCUMENTS_MAX), "found"],
  ["too many documents", wide(LEXICON_DOCUMENTS_MAX + 1), "one document too many"],
])("RecordLexicons and %s", async (_, defs, expected) => {
  const { find, asked } = setUp(defs);
  expect(await find("com.example.c0")).toContain(expected);
  expect(asked.length).toBeLessThanOrEqual(LEXICON_DOCUMENTS_MAX);
});

test("RecordLexicons looks again after a while, with what it had until then", async () => {
  const { find, asked, world, defs, settle } = setUp({ [NSID]: { main: record({}) } });
  expect([await find(NSID), await find(NSID), asked.length]).toEqual(["found", "found", 1]);
  delete defs[NSID];
  world.now += 60_000;
  expect(await find(NSID)).toBe("found");
  await settle();
  expect([await find(NSID), asked.length]).toEqual([`"${NSID}" is nowhere`, 2]);
});

test("RecordLexicons lets one write wait a moment, the next ones not at all, and patient ones until it is there", async () => {
  const { find, lexicons, world, settle, release, asked } = setUp({ [NSID]: { main: record({}) } });
  world.holds = true;
  const late = `the lexicon "${NSID}" could not be resolved in time`;
  expect(await find(NSID, false)).toBe(late);
  const next = lexicons.find(NSID, { patient: false });
  // No timer, no network: nothing but its own few steps.
  for (let step = 0; step < 5; step++) await Promise.resolve();
  expect(peek.status(next)).toBe("fulfilled");
  const patient = find(NSID);
  await settle();
  expect(peek.status(patient)).toBe("pending");
  release();
  expect([await patient, await find(NSID, false), asked.length]).toEqual(["found", "found", 1]);
});

test("RecordLexicons asks again for what failed, without letting an impatient write wait for it", async () => {
  const { find, world, defs, settle, asked } = setUp();
  expect(await find(NSID, false)).toBe(`"${NSID}" is nowhere`);
  defs[NSID] = { main: record({}) };
  world.now += 60_000;
  expect(await find(NSID, false)).toBe(`"${NSID}" is nowhere`);
  await settle();
  expect([await find(NSID, false), asked.length]).toEqual(["found", 2]);
});

test("RecordLexicons never rejects, and tells of a defect", async () => {
  const { find, defects } = setUp();
  expect(await find("com.example.defect")).toBe('the lexicon "com.example.defect" could not be used');
  expect(defects).toEqual(["com.example.defect"]);
});

test("RecordLexicons without a network knows what is bundled", async () => {
  const lexicons = new RecordLexicons({ source: undefined, freshMs: 0 });
  expect(await lexicons.find(NSID, { patient: true })).toEqual({
    problem: `the lexicon "${NSID}" is not known here`,
  });
});
