/** Writes of every kind. Alice's records are the same bytes on both, so that the roots of her repo must be equal. */
import type { Answer, Call } from "../../client.ts";
import type { Random } from "../../random.ts";
import type { Case, Side } from "../oracle.ts";

const repo = (name: string) => `com.atproto.repo.${name}`;
const POST = "app.bsky.feed.post";
const LIKE = "app.bsky.feed.like";
const EPOCH_MS = Date.UTC(2026, 0, 1);
const DAY_S = 86_400;
/** An account that nobody here has, and a record of it. */
const FAR_DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const FAR_CID = "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a";
const FAR = { uri: `at://${FAR_DID}/app.bsky.feed.post/3kabcdefghij2`, cid: FAR_CID };
const RKEY_ALPHABET = "234567abcdefghijklmnopqrstuvwxyz";

type Value = Record<string, unknown>;

/** What every member of the sequence draws from. */
export class Records {
  readonly #random: Random;
  #made = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  date(): string {
    return new Date(EPOCH_MS + this.#random.below(300 * DAY_S) * 1000).toISOString();
  }

  /** A TID, never the same twice. */
  rkey(): string {
    this.#made += 1;
    const rest = Array.from({ length: 8 }, () => this.#random.pick([...RKEY_ALPHABET])).join("");
    return `3k${String(100 + this.#made).replaceAll(/[0189]/g, (digit) => "abcdefghij"[Number(digit)] as string)}${rest}`;
  }

  text(): string {
    const words = ["grün", "a", "🌱", "kith", "der", "oracle", "日本", "speaks"];
    return Array.from({ length: 1 + this.#random.below(12) }, () => this.#random.pick(words)).join(" ");
  }

  post(more: Value = {}): Value {
    return { $type: POST, text: this.text(), createdAt: this.date(), ...more };
  }

  /** One of many kinds, of its collection. */
  any(): { collection: string; record: Value } {
    const createdAt = this.date();
    const subject = FAR;
    return this.#random.pick([
      { collection: POST, record: this.post({ langs: ["en", "de"] }) },
      { collection: POST, record: this.post({ reply: { root: FAR, parent: FAR } }) },
      { collection: POST, record: this.post({ embed: { $type: "app.bsky.embed.record", record: FAR } }) },
      { collection: POST, record: this.post({ text: "#kith", facets: [tagFacet()] }) },
      { collection: LIKE, record: { $type: LIKE, subject, createdAt } },
      { collection: "app.bsky.feed.repost", record: { $type: "app.bsky.feed.repost", subject, createdAt } },
      {
        collection: "app.bsky.graph.follow",
        record: { $type: "app.bsky.graph.follow", subject: this.#did(), createdAt },
      },
      {
        collection: "app.bsky.graph.block",
        record: { $type: "app.bsky.graph.block", subject: this.#did(), createdAt },
      },
      {
        collection: "app.bsky.graph.list",
        record: {
          $type: "app.bsky.graph.list",
          purpose: "app.bsky.graph.defs#curatelist",
          name: this.text().slice(0, 20),
          createdAt,
        },
      },
      {
        collection: "com.example.thing",
        record: {
          $type: "com.example.thing",
          count: this.#random.below(1000),
          deep: { list: [1, null, true] },
        },
      },
    ]);
  }

  #did(): string {
    const letters = Array.from({ length: 24 }, () => this.#random.pick([...RKEY_ALPHABET]));
    return `did:plc:${letters.sort().join("")}`;
  }
}

function tagFacet(): Value {
  return {
    index: { byteStart: 0, byteEnd: 5 },
    features: [{ $type: "app.bsky.richtext.facet#tag", tag: "kith" }],
  };
}

const as =
  (name: string, body: Value): ((side: Side) => Call) =>
  (side) => ({ token: side.token(name), body: { repo: side.did(name), ...body } });

type Keep = (answer: Answer, side: Side) => void;

const keepCid =
  (name: string): Keep =>
  ({ json }, side) =>
    void side.memory.set(name, String(json.cid));

/** Of the seed: many records created, replaced and deleted, one by one and in batches, in alice's repo and bob's. */
export function seededWrites(random: Random, count: number): Case[] {
  const records = new Records(random);
  const there: { collection: string; rkey: string }[] = [];
  return Array.from({ length: count }, (_item, index): Case => {
    const who = random.below(4) === 0 ? "bob" : "alice";
    const known = who === "alice" && there.length > 0 ? random.below(there.length) : -1;
    const kind = random.below(6);
    const { collection, record } = records.any();
    const title = `${who}, write ${index} of the seed`;
    if (kind === 0 && known >= 0) {
      const [gone] = there.splice(known, 1);
      return { title, to: repo("deleteRecord"), call: as(who, { ...gone }), status: 200 };
    }
    if (kind === 1 && known >= 0) {
      const { collection: same, rkey } = there[known] as (typeof there)[number];
      const next = { ...(same === POST ? records.post() : record), $type: same };
      return {
        title,
        to: repo("putRecord"),
        call: as(who, { collection: same, rkey, record: next, validate: false }),
      };
    }
    // Likes and follows of the same subject replace each other, which the batches leave alone.
    if (kind <= 3) {
      const writes = Array.from({ length: 1 + random.below(6) }, () => {
        const made = records.any();
        const rkey = records.rkey();
        if (who === "alice") there.push({ collection: made.collection, rkey });
        return {
          $type: "com.atproto.repo.applyWrites#create",
          collection: made.collection,
          rkey,
          value: made.record,
        };
      });
      return { title, to: repo("applyWrites"), call: as(who, { writes }), status: 200 };
    }
    if (who === "bob")
      return { title, to: repo("createRecord"), call: as(who, { collection, record }), status: 200 };
    const rkey = records.rkey();
    return {
      title,
      to: repo("createRecord"),
      call: as(who, { collection: POST, rkey, record: records.post() }),
      status: 200,
    };
  });
}

const FIXED = "2026-05-05T05:05:05.000Z";
const fixed = (text: string, more: Value = {}): Value => ({ $type: POST, text, createdAt: FIXED, ...more });

const create = (title: string, body: Value, more: Partial<Case> = {}): Case => ({
  title,
  to: repo("createRecord"),
  call: as("alice", { collection: POST, ...body }),
  ...more,
});

const put = (title: string, body: Value, more: Partial<Case> = {}): Case => ({
  title,
  to: repo("putRecord"),
  call: as("alice", { collection: POST, ...body }),
  ...more,
});

const remove = (title: string, body: Value): Case => ({
  title,
  to: repo("deleteRecord"),
  call: as("alice", { collection: POST, ...body }),
});

/** What only one of the two takes: elsewhere than in alice's repo, which must stay equal. */
const byHugo = (title: string, to: string, body: Value): Case => ({
  title,
  to: repo(to),
  call: as("hugo", { collection: POST, ...body }),
});

const batch = (title: string, writes: unknown, more: Value = {}): Case => ({
  title,
  to: repo("applyWrites"),
  call: as("alice", { writes, ...more }),
});

const op = (action: string, fields: Value): Value => ({
  $type: `com.atproto.repo.applyWrites#${action}`,
  collection: POST,
  ...fields,
});

const swap = (title: string, to: string, body: (side: Side) => Value): Case => ({
  title,
  to: repo(to),
  call: (side) => as("alice", { collection: POST, ...body(side) })(side),
});

export const writes: readonly Case[] = [
  create(
    "a post with an rkey",
    { rkey: "3kaaaaaaaaaa2", record: fixed("one") },
    { keep: keepCid("one"), status: 200 },
  ),
  create("an rkey that is there", { rkey: "3kaaaaaaaaaa2", record: fixed("two") }),
  create("a record without $type", { rkey: "3kaaaaaaaaab2", record: { text: "three", createdAt: FIXED } }),
  create("a record of another type", { rkey: "3kaaaaaaaaac2", record: { ...fixed("x"), $type: LIKE } }),
  create("a post without text", { record: { $type: POST, createdAt: FIXED } }),
  create("a post without text, not validated", {
    rkey: "3kaaaaaaaaad2",
    validate: false,
    record: { $type: POST, createdAt: FIXED },
  }),
  create("a post with a bad date", { record: fixed("x", { createdAt: "yesterday" }) }),
  create("a post that is too long", { record: fixed("x".repeat(3001)) }),
  create("a post of too many graphemes", { record: fixed("x".repeat(301)) }),
  create("a post with an unknown field", {
    rkey: "3kaaaaaaaaae2",
    record: fixed("y", { more: { of: "it" } }),
  }),
  create("a post with a bad language", { record: fixed("x", { langs: ["not a language"] }) }),
  create("a post with a bad reference", { record: fixed("x", { reply: { root: { uri: "x", cid: "y" } } }) }),
  create("a post with an unknown embed", {
    rkey: "3kaaaaaaaaaf2",
    record: fixed("y", { embed: { $type: "com.example.embed", x: 1 } }),
  }),
  create("a float", { validate: false, record: fixed("x", { half: 0.5 }) }),
  create("an integer that is too large", { validate: false, record: fixed("x", { big: 2 ** 53 + 2 }) }),
  byHugo("a bad $link", "createRecord", {
    validate: false,
    record: fixed("x", { link: { $link: "no CID" } }),
  }),
  create("a $link", {
    rkey: "3kaaaaaaaaag2",
    validate: false,
    record: fixed("x", { link: { $link: FAR_CID } }),
  }),
  create("bytes", {
    rkey: "3kaaaaaaaaah2",
    validate: false,
    record: fixed("x", { bytes: { $bytes: "AQID" } }),
  }),
  byHugo("bad bytes", "createRecord", { validate: false, record: fixed("x", { bytes: { $bytes: "***" } }) }),
  create("an unknown type", {
    collection: "com.example.thing",
    rkey: "one",
    record: { $type: "com.example.thing", a: 1 },
  }),
  create("an unknown type, validation asked for", {
    collection: "com.example.thing",
    rkey: "two",
    validate: true,
    record: { $type: "com.example.thing", a: 1 },
  }),
  create("a known type, validation asked for", {
    rkey: "3kaaaaaaaaai2",
    validate: true,
    record: fixed("valid"),
  }),
  create("an rkey that is no TID", { rkey: "self", record: fixed("x") }),
  create("an rkey that is no TID, not validated", { rkey: "myself", validate: false, record: fixed("x") }),
  create("an rkey with a slash", { rkey: "a/b", record: fixed("x") }),
  create("an rkey of dots", { rkey: "..", validate: false, record: fixed("x") }),
  create("an empty rkey", { rkey: "", record: fixed("x") }),
  create("a long rkey", { rkey: "r".repeat(513), validate: false, record: fixed("x") }),
  create("an rkey with every character", {
    collection: "com.example.thing",
    rkey: "aZ09.-_:~",
    record: { $type: "com.example.thing" },
  }),
  create("a bad collection", { collection: "posts", record: fixed("x") }),
  create("a record that is a list", { record: [] as never }),
  create("a record that is text", { record: "text" as never }),
  create("a profile elsewhere than at self", {
    collection: "app.bsky.actor.profile",
    rkey: "other",
    record: { $type: "app.bsky.actor.profile", displayName: "A" },
  }),
  create("a profile without an rkey", {
    collection: "app.bsky.actor.profile",
    record: { $type: "app.bsky.actor.profile", displayName: "A" },
  }),
  create("a like", {
    collection: LIKE,
    rkey: "3kbaaaaaaaaa2",
    record: { $type: LIKE, subject: FAR, createdAt: FIXED },
  }),
  create("the same like again, which replaces it", {
    collection: LIKE,
    rkey: "3kbaaaaaaaab2",
    record: { $type: LIKE, subject: FAR, createdAt: FIXED },
  }),
  create("a large record", {
    collection: "com.example.thing",
    rkey: "large",
    record: { $type: "com.example.thing", text: "x".repeat(600_000) },
  }),
  create("a record that is too large", {
    collection: "com.example.thing",
    record: { $type: "com.example.thing", text: "x".repeat(1_000_001) },
  }),
  create("deep nesting", {
    collection: "com.example.thing",
    rkey: "deep",
    record: { $type: "com.example.thing", a: JSON.parse(`${"[".repeat(25)}${"]".repeat(25)}`) },
  }),
  {
    title: "by handle",
    to: repo("createRecord"),
    call: (side) => ({
      token: side.token("alice"),
      body: { repo: "alice.test", collection: POST, rkey: "3kbaaaaaaaac2", record: fixed("by handle") },
    }),
    status: 200,
  },
  {
    title: "in the repo of another",
    to: repo("createRecord"),
    call: (side) => ({
      token: side.token("alice"),
      body: { repo: side.did("bob"), collection: POST, record: fixed("x") },
    }),
  },
  {
    title: "in the repo of nobody",
    to: repo("createRecord"),
    call: (side) => ({
      token: side.token("alice"),
      body: { repo: FAR_DID, collection: POST, record: fixed("x") },
    }),
  },
  swap("with a wrong swapCommit", "createRecord", () => ({ swapCommit: FAR_CID, record: fixed("x") })),
  swap("with a swapCommit that is no CID", "createRecord", () => ({ swapCommit: "x", record: fixed("x") })),
  put("a new record", { rkey: "3kcaaaaaaaaa2", record: fixed("put") }, { keep: keepCid("put"), status: 200 }),
  put("the same again", { rkey: "3kcaaaaaaaaa2", record: fixed("put") }),
  swap("with the right swapRecord", "putRecord", (side) => ({
    rkey: "3kcaaaaaaaaa2",
    swapRecord: side.kept("put"),
    record: fixed("put again"),
  })),
  swap("with a swapRecord of before", "putRecord", (side) => ({
    rkey: "3kcaaaaaaaaa2",
    swapRecord: side.kept("put"),
    record: fixed("put for the third time"),
  })),
  put("with a swapRecord of null where one is", {
    rkey: "3kcaaaaaaaaa2",
    swapRecord: null,
    record: fixed("x"),
  }),
  put("with a swapRecord of null where none is", {
    rkey: "3kcaaaaaaaab2",
    swapRecord: null,
    record: fixed("x"),
  }),
  put("with a swapRecord where none is", { rkey: "3kcaaaaaaaac2", swapRecord: FAR_CID, record: fixed("x") }),
  put("with a wrong swapCommit", { rkey: "3kcaaaaaaaaa2", swapCommit: FAR_CID, record: fixed("x") }),
  put("without a record", { rkey: "3kcaaaaaaaaa2" }),
  put("a profile", {
    collection: "app.bsky.actor.profile",
    rkey: "self",
    record: { $type: "app.bsky.actor.profile", displayName: "Alice", description: "of both" },
  }),
  put("a profile that is not valid", {
    collection: "app.bsky.actor.profile",
    rkey: "self",
    record: { $type: "app.bsky.actor.profile", displayName: "A".repeat(700) },
  }),
  put("an unknown type, validation asked for", {
    collection: "com.example.thing",
    rkey: "two",
    validate: true,
    record: { $type: "com.example.thing" },
  }),
  remove("one", { rkey: "3kaaaaaaaaab2" }),
  remove("again", { rkey: "3kaaaaaaaaab2" }),
  remove("with a wrong swapRecord", { rkey: "3kaaaaaaaaae2", swapRecord: FAR_CID }),
  remove("what is not there, with a swapRecord", { rkey: "3kzzzzzzzzzz2", swapRecord: FAR_CID }),
  remove("with a wrong swapCommit", { rkey: "3kaaaaaaaaae2", swapCommit: FAR_CID }),
  remove("with a bad rkey", { rkey: "a/b" }),
  remove("with a bad collection", { collection: "posts", rkey: "3kaaaaaaaaae2" }),
  {
    title: "of another",
    to: repo("deleteRecord"),
    call: (side) => ({
      token: side.token("bob"),
      body: { repo: side.did("alice"), collection: POST, rkey: "3kaaaaaaaaae2" },
    }),
  },
  batch("all three at once", [
    op("create", { rkey: "3kdaaaaaaaaa2", value: fixed("batch 1") }),
    op("update", { rkey: "3kaaaaaaaaae2", value: fixed("batch 2") }),
    op("delete", { rkey: "3kaaaaaaaaaf2" }),
  ]),
  byHugo("none", "applyWrites", { collection: undefined, writes: [] }),
  batch("an update of what is not there", [op("update", { rkey: "3kzzzzzzzzzz2", value: fixed("x") })]),
  batch("a delete of what is not there", [op("delete", { rkey: "3kzzzzzzzzzz2" })]),
  batch("a create of what is there", [op("create", { rkey: "3kdaaaaaaaaa2", value: fixed("x") })]),
  byHugo("one path twice", "applyWrites", {
    collection: undefined,
    writes: [
      op("create", { rkey: "3kdaaaaaaaab2", value: fixed("x") }),
      op("update", { rkey: "3kdaaaaaaaab2", value: fixed("y") }),
    ],
  }),
  byHugo("a create and its delete", "applyWrites", {
    collection: undefined,
    writes: [
      op("create", { rkey: "3kdaaaaaaaac2", value: fixed("x") }),
      op("delete", { rkey: "3kdaaaaaaaac2" }),
    ],
  }),
  batch("a bad one among good ones", [
    op("create", { rkey: "3kdaaaaaaaad2", value: fixed("x") }),
    op("create", { rkey: "3kdaaaaaaaae2", value: { $type: POST } }),
  ]),
  batch("an unknown kind", [op("upsert", { rkey: "3kdaaaaaaaad2", value: fixed("x") })]),
  batch("one without a kind", [{ collection: POST, rkey: "3kdaaaaaaaad2", value: fixed("x") }]),
  batch("no list", "none"),
  batch("with a wrong swapCommit", [op("create", { rkey: "3kdaaaaaaaad2", value: fixed("x") })], {
    swapCommit: FAR_CID,
  }),
  batch(
    "two hundred",
    Array.from({ length: 200 }, (_item, index) =>
      op("create", {
        collection: "com.example.many",
        rkey: `n${index}`,
        value: { $type: "com.example.many", index },
      }),
    ),
  ),
  batch(
    "more than two hundred",
    Array.from({ length: 201 }, (_item, index) =>
      op("create", {
        collection: "com.example.many",
        rkey: `m${index}`,
        value: { $type: "com.example.many", index },
      }),
    ),
  ),
  {
    title: "without an rkey, by an app",
    to: repo("createRecord"),
    call: (side) => ({
      token: side.token("bob's app"),
      body: { repo: side.did("bob"), collection: POST, record: fixed("by an app") },
    }),
    keep: ({ json }, side) => side.memory.set("bob's post", String(json.uri)),
    status: 200,
  },
  {
    title: "with a right swapCommit",
    to: repo("createRecord"),
    call: async (side) => {
      const head = await side.send("com.atproto.sync.getLatestCommit", { params: { did: side.did("bob") } });
      const body = {
        repo: side.did("bob"),
        collection: POST,
        record: fixed("swap"),
        swapCommit: head.json.cid,
      };
      return { token: side.token("bob"), body };
    },
    status: 200,
  },
];
