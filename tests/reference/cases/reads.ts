/** Blobs, and reads of repos by com.atproto.repo and com.atproto.sync, with parameters good and bad. */
import type { Answer, Call } from "../../client.ts";
import type { Case, Side } from "../oracle.ts";

const repo = (name: string) => `com.atproto.repo.${name}`;
const sync = (name: string) => `com.atproto.sync.${name}`;
const POST = "app.bsky.feed.post";
const FIXED = "2026-05-05T05:05:05.000Z";
const FAR_DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const FAR_CID = "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a";
const FAR_BLOB = "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq";

/** A PNG of one pixel. */
const PNG = Uint8Array.fromBase64(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
);

const upload = (
  title: string,
  body: Uint8Array | string,
  more: { type?: string; keep?: string; who?: string; headers?: Record<string, string> } = {},
): Case => ({
  title,
  to: repo("uploadBlob"),
  call: (side) => ({
    method: "POST",
    token: side.token(more.who ?? "alice"),
    body,
    headers: { ...(more.type === undefined ? {} : { "content-type": more.type }), ...more.headers },
  }),
  keep: ({ json }, side) => {
    const { ref } = (json.blob ?? {}) as { ref?: { $link: string } };
    if (more.keep) side.memory.set(more.keep, String(ref?.$link));
  },
});

const blobOf = (cid: string, more: object = {}) => ({
  $type: "blob",
  ref: { $link: cid },
  mimeType: "image/png",
  size: PNG.length,
  ...more,
});

const image = (
  title: string,
  rkey: string,
  blob: (side: Side) => unknown,
  { who = "alice", status }: { who?: string; status?: number } = {},
): Case => ({
  title,
  to: repo("createRecord"),
  call: (side) => ({
    token: side.token(who),
    body: {
      repo: side.did(who),
      collection: POST,
      rkey,
      record: {
        $type: POST,
        text: "with an image",
        createdAt: FIXED,
        embed: { $type: "app.bsky.embed.images", images: [{ alt: "", image: blob(side) }] },
      },
    },
  }),
  ...(status ? { status } : {}),
});

export const blobs: readonly Case[] = [
  upload("an image", PNG, { type: "image/png", keep: "png" }),
  upload("an image by goat", PNG, { type: "*/*" }),
  upload("bytes by goat", "a blob", { type: "*/*" }),
  upload("an image as text", PNG, { type: "text/plain" }),
  upload("text", "some text", { type: "text/plain", keep: "text" }),
  upload("bytes without a type", new Uint8Array([1, 2, 3])),
  upload("nothing", new Uint8Array(), { type: "image/png" }),
  upload("by an app", "an app's", { type: "text/plain", who: "bob's app" }),
  upload("JSON", "{}", { type: "application/json" }),
  upload("with a bad encoding", "x", { type: "text/plain", headers: { "content-encoding": "rot13" } }),
  {
    title: "before a record has it",
    to: sync("getBlob"),
    call: (side) => ({ params: { did: side.did("alice"), cid: side.kept("png") } }),
  },
  image("with an image", "3keaaaaaaaaa2", (side) => blobOf(side.kept("png")), { status: 200 }),
  image("with the same image", "3keaaaaaaaab2", (side) => blobOf(side.kept("png")), { status: 200 }),
  upload("an image by hugo", PNG, { type: "image/png", who: "hugo" }),
  image(
    "with a fresh image of another mime type",
    "3keaaaaaaaac2",
    (side) => blobOf(side.kept("png"), { mimeType: "image/jpeg" }),
    { who: "hugo" },
  ),
  image(
    "with a fresh image of another size",
    "3keaaaaaaaac2",
    (side) => blobOf(side.kept("png"), { size: 12 }),
    { who: "hugo" },
  ),
  image("with hugo's image", "3keaaaaaaaac2", (side) => blobOf(side.kept("png")), { who: "hugo" }),
  image(
    "with another mime type",
    "3keaaaaaaaad2",
    (side) => blobOf(side.kept("png"), { mimeType: "image/jpeg" }),
    { who: "hugo" },
  ),
  image("with another size", "3keaaaaaaaae2", (side) => blobOf(side.kept("png"), { size: 12 }), {
    who: "bob",
  }),
  image("with text for an image", "3keaaaaaaaae2", (side) => ({
    $type: "blob",
    ref: { $link: side.kept("text") },
    mimeType: "text/plain",
    size: 9,
  })),
  image("with an unknown blob", "3keaaaaaaaaf2", () => blobOf(FAR_BLOB)),
  image("with a blob of CBOR", "3keaaaaaaaag2", () => blobOf(FAR_CID)),
  image("with a blob of old", "3keaaaaaaaah2", (side) => ({ cid: side.kept("png"), mimeType: "image/png" })),
  image("with hugo's image again, for both alike", "3keaaaaaaaaf2", (side) => blobOf(side.kept("png")), {
    who: "hugo",
    status: 200,
  }),
  {
    title: "with a record",
    to: sync("getBlob"),
    call: (side) => ({ params: { did: side.did("alice"), cid: side.kept("png") } }),
    status: 200,
  },
  {
    title: "of another",
    to: sync("getBlob"),
    call: (side) => ({ params: { did: side.did("bob"), cid: side.kept("png") } }),
  },
  {
    title: "of what is none",
    to: sync("getBlob"),
    call: (side) => ({ params: { did: side.did("alice"), cid: FAR_BLOB } }),
  },
  {
    title: "of what is no CID",
    to: sync("getBlob"),
    call: (side) => ({ params: { did: side.did("alice"), cid: "x" } }),
  },
  {
    title: "by HEAD",
    to: sync("getBlob"),
    call: (side) => ({ method: "HEAD", params: { did: side.did("alice"), cid: side.kept("png") } }),
  },
  {
    title: "of alice",
    to: sync("listBlobs"),
    call: (side) => ({ params: { did: side.did("alice") } }),
    status: 200,
  },
  { title: "one", to: sync("listBlobs"), call: (side) => ({ params: { did: side.did("alice"), limit: 1 } }) },
  {
    title: "after the last",
    to: sync("listBlobs"),
    call: (side) => ({ params: { did: side.did("alice"), cursor: side.kept("png") } }),
  },
  { title: "of nobody", to: sync("listBlobs"), call: () => ({ params: { did: FAR_DID } }) },
  {
    title: "since the beginning",
    to: sync("listBlobs"),
    call: (side) => ({ params: { did: side.did("alice"), since: "3kaaaaaaaaaa2" } }),
  },
  {
    title: "of alice",
    to: repo("listMissingBlobs"),
    call: (side) => ({ token: side.token("alice") }),
    status: 200,
  },
];

type Params = NonNullable<Call["params"]>;
const read =
  (to: string, who: string | undefined = undefined) =>
  (
    title: string,
    params: (side: Side) => Params,
    more: Partial<Case> & { keepCursor?: string } = {},
  ): Case => ({
    title,
    to,
    call: (side) => ({ params: params(side), ...(who ? { token: side.token(who) } : {}) }),
    keep: (answer: Answer, side: Side) => {
      // At the end one says so by no cursor, the other by one that leads to nothing.
      const { cursor = "22222222222222222222" } = answer.json;
      if (more.keepCursor) side.memory.set(more.keepCursor, String(cursor));
    },
    ...(more.status ? { status: more.status } : {}),
  });

const getRecord = read(repo("getRecord"));
const listRecords = read(repo("listRecords"));
const describeRepo = read(repo("describeRepo"));

export const repoReads: readonly Case[] = [
  getRecord("one", (side) => ({ repo: side.did("alice"), collection: POST, rkey: "3kaaaaaaaaaa2" }), {
    status: 200,
  }),
  getRecord("by handle", () => ({ repo: "alice.test", collection: POST, rkey: "3kaaaaaaaaaa2" })),
  getRecord("by handle in capitals", () => ({ repo: "ALICE.test", collection: POST, rkey: "3kaaaaaaaaaa2" })),
  getRecord("with bytes", (side) => ({ repo: side.did("alice"), collection: POST, rkey: "3kaaaaaaaaah2" })),
  getRecord("with a link", (side) => ({ repo: side.did("alice"), collection: POST, rkey: "3kaaaaaaaaag2" })),
  getRecord("of its CID", (side) => ({
    repo: side.did("alice"),
    collection: POST,
    rkey: "3kaaaaaaaaaa2",
    cid: side.kept("one"),
  })),
  getRecord("of another CID", (side) => ({
    repo: side.did("alice"),
    collection: POST,
    rkey: "3kaaaaaaaaaa2",
    cid: FAR_CID,
  })),
  getRecord("that is not there", (side) => ({
    repo: side.did("alice"),
    collection: POST,
    rkey: "3kzzzzzzzzzz2",
  })),
  getRecord("of a collection that is not there", (side) => ({
    repo: side.did("alice"),
    collection: "com.example.no",
    rkey: "x",
  })),
  getRecord("of nobody's handle", () => ({ repo: "nobody.test", collection: POST, rkey: "3kaaaaaaaaaa2" })),
  getRecord("of an account elsewhere", () => ({ repo: FAR_DID, collection: POST, rkey: "3kaaaaaaaaaa2" })),
  getRecord("of a bad CID", (side) => ({ repo: side.did("alice"), collection: POST, rkey: "x", cid: "x" })),
  listRecords("posts", (side) => ({ repo: side.did("alice"), collection: POST }), { status: 200 }),
  listRecords("by handle", () => ({ repo: "alice.test", collection: POST, limit: 3 }), {
    keepCursor: "page",
  }),
  listRecords("the next", (side) => ({
    repo: "alice.test",
    collection: POST,
    limit: 3,
    cursor: side.kept("page"),
  })),
  listRecords(
    "from the first",
    (side) => ({ repo: side.did("alice"), collection: POST, limit: 3, reverse: true }),
    { keepCursor: "back" },
  ),
  listRecords("the next from the first", (side) => ({
    repo: side.did("alice"),
    collection: POST,
    limit: 3,
    reverse: true,
    cursor: side.kept("back"),
  })),
  listRecords(
    "a hundred",
    (side) => ({ repo: side.did("alice"), collection: "com.example.many", limit: 100 }),
    { keepCursor: "many" },
  ),
  listRecords(
    "another hundred",
    (side) => ({
      repo: side.did("alice"),
      collection: "com.example.many",
      limit: 100,
      cursor: side.kept("many"),
    }),
    { keepCursor: "end" },
  ),
  listRecords("after all", (side) => ({
    repo: side.did("alice"),
    collection: "com.example.many",
    limit: 100,
    cursor: side.kept("end"),
  })),
  listRecords("none", (side) => ({ repo: side.did("alice"), collection: "com.example.no" })),
  listRecords("none at all", (side) => ({ repo: side.did("alice"), collection: POST, limit: 0 })),
  listRecords("too many", (side) => ({ repo: side.did("alice"), collection: POST, limit: 101 })),
  listRecords("a bad number", (side) => ({ repo: side.did("alice"), collection: POST, limit: "many" })),
  listRecords("a bad flag", (side) => ({ repo: side.did("alice"), collection: POST, reverse: "yes" })),
  listRecords("a cursor that is none", (side) => ({
    repo: side.did("alice"),
    collection: POST,
    cursor: "!",
  })),
  listRecords("an empty cursor", (side) => ({
    repo: side.did("alice"),
    collection: POST,
    limit: 2,
    cursor: "",
  })),
  listRecords("of nobody", () => ({ repo: "nobody.test", collection: POST })),
  listRecords("of an account elsewhere", () => ({ repo: FAR_DID, collection: POST })),
  listRecords("with old bounds", (side) => ({
    repo: side.did("alice"),
    collection: POST,
    rkeyStart: "3kb",
    limit: 2,
  })),
  describeRepo("of alice", (side) => ({ repo: side.did("alice") }), { status: 200 }),
  describeRepo("by handle", () => ({ repo: "bob.test" })),
  describeRepo("of nobody", () => ({ repo: "nobody.test" })),
  describeRepo("of an account elsewhere", () => ({ repo: FAR_DID })),
];

const perRepo = ["getRepo", "getLatestCommit", "getRepoStatus", "getHead", "getCheckout"].flatMap((name) => {
  const one = read(sync(name));
  return [
    one("of alice", (side) => ({ did: side.did("alice") }), { status: 200 }),
    one("of nobody", () => ({ did: FAR_DID })),
    one("of a handle", () => ({ did: "alice.test" })),
  ];
});

const getRecordProof = read(sync("getRecord"));
const getBlocks = read(sync("getBlocks"));
const listRepos = read(sync("listRepos"));

export const syncReads: readonly Case[] = [
  ...perRepo,
  read(sync("getLatestCommit"))("of bob", (side) => ({ did: side.did("bob") })),
  {
    title: "since the head",
    to: sync("getRepo"),
    call: async (side) => {
      const did = side.did("alice");
      const { json } = await side.send(sync("getLatestCommit"), { params: { did } });
      side.memory.set("head", String(json.cid));
      return { params: { did, since: String(json.rev) } };
    },
  },
  read(sync("getRepo"))("since what is no rev", (side) => ({ did: side.did("alice"), since: "yesterday" })),
  read(sync("getRepo"))("since a rev of old", (side) => ({ did: side.did("alice"), since: "3kaaaaaaaaaa2" })),
  getRecordProof("that is there", (side) => ({
    did: side.did("alice"),
    collection: POST,
    rkey: "3kaaaaaaaaaa2",
  })),
  getRecordProof("that is not there", (side) => ({
    did: side.did("alice"),
    collection: POST,
    rkey: "3kzzzzzzzzzz2",
  })),
  getRecordProof("of nobody", () => ({ did: FAR_DID, collection: POST, rkey: "3kzzzzzzzzzz2" })),
  getRecordProof("with a bad rkey", (side) => ({ did: side.did("alice"), collection: POST, rkey: "a/b" })),
  getBlocks("one", (side) => ({ did: side.did("alice"), cids: [side.kept("one")] }), { status: 200 }),
  getBlocks("two", (side) => ({ did: side.did("alice"), cids: [side.kept("one"), side.kept("head")] })),
  getBlocks("one twice", (side) => ({ did: side.did("alice"), cids: [side.kept("one"), side.kept("one")] })),
  getBlocks("one of another", (side) => ({ did: side.did("bob"), cids: [side.kept("one")] })),
  getBlocks("none", (side) => ({ did: side.did("alice") })),
  getBlocks("of bad CIDs", (side) => ({ did: side.did("alice"), cids: ["x"] })),
  getBlocks("of nobody", () => ({ did: FAR_DID, cids: [FAR_CID] })),
  listRepos("all", () => ({}), { status: 200 }),
  listRepos("three", () => ({ limit: 3 }), { keepCursor: "repos" }),
  listRepos("three more", (side) => ({ limit: 3, cursor: side.kept("repos") })),
  listRepos("none", () => ({ limit: 0 })),
  listRepos("too many", () => ({ limit: 1001 })),
  listRepos("from a bad cursor", () => ({ cursor: "x" })),
  {
    title: "by an administrator, as goat asks",
    to: sync("listRepos"),
    call: (side) => ({ headers: side.basic, params: { limit: 500 } }),
    status: 200,
  },
  { title: "over plain HTTP", to: sync("subscribeRepos"), call: () => ({}) },
  { title: "by POST", to: sync("subscribeRepos"), call: () => ({ method: "POST" }) },
];
