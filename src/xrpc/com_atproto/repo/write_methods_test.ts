import { expect, test } from "bun:test";
import type { RecordWrite, WriteOutcome } from "../../../actors/mod.ts";
import { cidOfCbor, cidOfRaw, cidToString, decodeCbor } from "../../../atproto/mod.ts";
import { KithError } from "../../../errors.ts";
import { callerOf, type TestCall } from "../../calls_fixture.ts";
import type { AccountView } from "../repo_access.ts";
import { writeMethods } from "./write_methods.ts";

const ALICE = "did:plc:alicealicealicealicealic";
const BOB = "did:plc:bobbobbobbobbobbobbobbob";
const COMMIT = cidOfCbor(new Uint8Array([1]));
const REV = "3mabcdefghi2a";
const NOW_MS = 1_795_000_000_000;
const POST = "app.bsky.feed.post";

const accounts: AccountView[] = [
  { did: ALICE, handle: "alice.test", state: "active" },
  { did: BOB, handle: "bob.test", state: "active" },
  { did: "did:plc:sleep", handle: "sleep.test", state: "deactivated" },
  { did: "did:plc:down", handle: "down.test", state: "takendown" },
  { did: "did:plc:gone", handle: "gone.test", state: "deleted" },
  { did: "did:plc:half", handle: "half.test", state: "creating" },
];

interface Written {
  did: string;
  writes: readonly RecordWrite[];
  swapCommit?: unknown;
}

/** The methods over a repo that keeps what it is asked and does it all, unless told otherwise. */
function setUp(answer?: (written: Written) => WriteOutcome) {
  const written: Written[] = [];
  const methods = writeMethods({
    accounts: {
      byIdentifier: (identifier) => accounts.find(({ did, handle }) => [did, handle].includes(identifier)),
    },
    repos: {
      write: async (did, request) => {
        written.push({ did, ...request });
        return (answer ?? outcomeOf)({ did, ...request });
      },
    },
    lexicons: {
      find: async (nsid) => ({ problem: `there is no lexicon "${nsid}"` }),
    },
    now: () => NOW_MS,
    clockId: 7,
  });
  return { call: callerOf(methods), written };
}

function outcomeOf({ did, writes }: Written): WriteOutcome {
  const results = writes.map((write) => {
    const uri = `at://${did}/${write.collection}/${write.rkey}`;
    if (write.action === "delete") return { action: "delete" as const, uri };
    return { action: "create" as const, uri, cid: write.record.cid };
  });
  return { commit: { cid: COMMIT, rev: REV }, results };
}

const post = (text: string) => ({ $type: POST, text, createdAt: "2026-11-21T08:00:00.000Z" });
const follow = { subject: BOB, createdAt: "2026-11-21T08:00:00.000Z" };
const NOTE = { $type: "com.example.note", anything: [1, "two"] };
const commit = { cid: cidToString(COMMIT), rev: REV };

const BLOB = cidOfRaw(new Uint8Array([1, 2, 3, 4, 5]));

/** A profile with a picture. */
function avatar(fields: { mimeType?: string; size?: number }): object {
  const blob = {
    $type: "blob",
    ref: { $link: cidToString(BLOB) },
    mimeType: "image/png",
    size: 5,
    ...fields,
  };
  return input({ collection: "app.bsky.actor.profile", rkey: "self", record: { avatar: blob } });
}

interface Row {
  name: string;
  call: Partial<TestCall>;
  status: number;
  body: unknown;
  /** What the repo was asked for. */
  writes?: readonly unknown[];
}

const input = (fields: object) => ({ repo: ALICE, collection: POST, ...fields });
const refused = (error: string, pattern: RegExp) =>
  expect.objectContaining({ error, message: expect.stringMatching(pattern) });

const createRows: Row[] = [
  {
    name: "writes a post under a TID of its own",
    call: { json: input({ record: post("hi") }) },
    status: 200,
    body: {
      uri: expect.stringMatching(/^at:\/\/did:plc:alice[a-z]+\/app\.bsky\.feed\.post\/[2-7a-z]{13}$/),
      cid: expect.any(String),
      commit,
      validationStatus: "valid",
    },
    writes: [expect.objectContaining({ action: "create", collection: POST, blobs: [] })],
  },
  {
    name: "takes the caller's handle for the repo, in any case",
    call: { json: input({ repo: "Alice.test", record: post("hi") }) },
    status: 200,
    body: expect.objectContaining({ commit }),
  },
  {
    name: "says unknown of a lexicon that it does not know",
    call: { json: input({ collection: "com.example.note", rkey: "mine", record: NOTE }) },
    status: 200,
    body: expect.objectContaining({
      uri: `at://${ALICE}/com.example.note/mine`,
      validationStatus: "unknown",
    }),
  },
  {
    name: "refuses a lexicon that it does not know where validation is asked for",
    call: { json: input({ collection: "com.example.note", record: NOTE, validate: true }) },
    status: 400,
    body: refused("InvalidRequest", /com\.example\.note/),
  },
  {
    name: "refuses a record that does not fit its lexicon, naming the place",
    call: { json: input({ record: { ...post("hi"), text: 5 } }) },
    status: 400,
    body: refused("InvalidRequest", /text/),
  },
  {
    name: "takes a record that does not fit its lexicon where no validation is asked for",
    call: { json: input({ record: { text: 5 }, validate: false }) },
    status: 200,
    body: expect.not.objectContaining({ validationStatus: expect.anything() }),
  },
  {
    name: "still checks the data model then",
    call: { json: input({ record: { text: 1.5 }, validate: false }) },
    status: 400,
    body: refused("InvalidRequest", /text.*1\.5/),
  },
  {
    name: "refuses a $type that is not the collection",
    call: { json: input({ record: { ...post("hi"), $type: "app.bsky.feed.like" } }) },
    status: 400,
    body: refused("InvalidRequest", /\$type/),
  },
  {
    name: "refuses a record key of the wrong type for the lexicon",
    call: { json: input({ rkey: "not-a-tid", record: post("hi") }) },
    status: 400,
    body: refused("InvalidRequest", /not-a-tid/),
  },
  {
    name: "refuses what is no record key at all",
    call: { json: input({ collection: "com.example.note", rkey: "../up", record: NOTE }) },
    status: 400,
    body: refused("InvalidRequest", /rkey/),
  },
  {
    name: "refuses a collection that is no NSID",
    call: { json: input({ collection: "../../etc", record: NOTE }) },
    status: 400,
    body: refused("InvalidRequest", /collection/),
  },
  {
    name: "refuses a record that is no object",
    call: { json: input({ record: ["hi"] }) },
    status: 400,
    body: refused("InvalidRequest", /record/),
  },
  {
    name: "refuses a record of more than 1,000,000 bytes",
    call: { json: input({ collection: "com.example.note", record: { text: "a".repeat(1_000_001) } }) },
    status: 400,
    body: refused("InvalidRequest", /1000000/),
  },
  {
    name: "refuses a blob of a type that the lexicon does not accept",
    call: { json: avatar({ mimeType: "text/html" }) },
    status: 400,
    body: refused("InvalidRequest", /avatar/),
  },
  {
    name: "refuses a blob over the size that the lexicon sets",
    call: { json: avatar({ size: 1_000_001 }) },
    status: 400,
    body: refused("InvalidRequest", /avatar/),
  },
  {
    name: "passes on what a record says of its blobs",
    call: { json: avatar({}) },
    status: 200,
    body: expect.objectContaining({ validationStatus: "valid" }),
    writes: [
      expect.objectContaining({
        blobs: [{ cid: BLOB, mimeType: "image/png", size: 5, path: "avatar" }],
      }),
    ],
  },
  {
    name: "refuses a blob in the legacy form",
    call: {
      json: input({
        collection: "com.example.note",
        record: { image: { cid: cidToString(COMMIT), mimeType: "image/png" } },
      }),
    },
    status: 400,
    body: refused("InvalidRequest", /legacy/),
  },
  {
    name: "replaces an earlier follow of the same subject",
    call: { json: input({ collection: "app.bsky.graph.follow", record: follow }) },
    status: 200,
    body: expect.objectContaining({ validationStatus: "valid" }),
    writes: [expect.objectContaining({ action: "create", subject: BOB, replacesSubject: true })],
  },
  {
    name: "replaces nothing without validation",
    call: { json: input({ collection: "app.bsky.graph.follow", record: follow, validate: false }) },
    status: 200,
    body: expect.anything(),
    writes: [expect.objectContaining({ subject: BOB, replacesSubject: undefined })],
  },
  {
    name: "finds the subject of a like in its strong reference",
    call: {
      json: input({
        collection: "app.bsky.feed.like",
        record: {
          subject: { uri: `at://${BOB}/${POST}/3mabcdefghi2a`, cid: cidToString(COMMIT) },
          createdAt: "2026-11-21T08:00:00.000Z",
        },
      }),
    },
    status: 200,
    body: expect.anything(),
    writes: [
      expect.objectContaining({ subject: `at://${BOB}/${POST}/3mabcdefghi2a`, replacesSubject: true }),
    ],
  },
  {
    name: "refuses a CID to swap that is none of ours",
    call: {
      json: input({
        record: post("hi"),
        swapCommit: "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi",
      }),
    },
    status: 400,
    body: refused("InvalidRequest", /bafybeigdyrzt|swapCommit/),
  },
  {
    name: "refuses somebody else's repo",
    call: { json: input({ repo: BOB, record: post("hi") }) },
    status: 401,
    body: refused("AuthenticationRequired", /not the caller's/),
  },
  {
    name: "refuses a repo that is not here",
    call: { json: input({ repo: "nobody.test", record: post("hi") }) },
    status: 403,
    body: refused("AccountNotFound", /nobody\.test/),
  },
  {
    name: "refuses a half-made account",
    call: { json: input({ repo: "half.test", record: post("hi") }), as: "did:plc:half" },
    status: 403,
    body: refused("AccountNotFound", /half/),
  },
  {
    name: "refuses a deleted account",
    call: { json: input({ repo: "did:plc:gone", record: post("hi") }), as: "did:plc:gone" },
    status: 403,
    body: refused("AccountNotFound", /gone/),
  },
  {
    name: "refuses a deactivated account",
    call: { json: input({ repo: "did:plc:sleep", record: post("hi") }), as: "did:plc:sleep" },
    status: 401,
    body: refused("AccountDeactivated", /deactivated/),
  },
  {
    name: "refuses an account that is taken down",
    call: { json: input({ repo: "did:plc:down", record: post("hi") }), as: "did:plc:down" },
    status: 401,
    body: refused("AccountTakedown", /taken down/),
  },
  {
    name: "refuses nobody",
    call: { json: input({ record: post("hi") }), as: undefined },
    status: 401,
    body: refused("AuthMissing", /Auth/),
  },
];

test.each(createRows.map((row) => [row.name, row] as const))("createRecord %s", async (_name, row) => {
  const { call, written } = setUp();
  const answer = await call({ nsid: "com.atproto.repo.createRecord", as: ALICE, ...row.call });
  expect(answer.body).toEqual(row.body);
  expect(answer.status).toBe(row.status);
  if (row.status !== 200) expect(written).toEqual([]);
  if (row.writes) expect(written[0]?.writes).toEqual(row.writes as RecordWrite[]);
});

test("createRecord stores __proto__ as a key like any other", async () => {
  const { call, written } = setUp();
  const json = `{"repo":"${ALICE}","collection":"com.example.note","record":{"__proto__":{"polluted":true}}}`;
  const answer = await call({
    nsid: "com.atproto.repo.createRecord",
    as: ALICE,
    bytes: json,
    headers: { "content-type": "application/json" },
  });
  expect(answer.status).toBe(200);
  const [write] = written[0]?.writes ?? [];
  const value = write && "record" in write ? decodeCbor(write.record.bytes) : undefined;
  expect(Object.keys(value as object).sort()).toEqual(["$type", "__proto__"]);
  expect((value as { polluted?: boolean }).polluted).toBeUndefined();
});

test("createRecord makes record keys that rise although the clock stands still", async () => {
  const { call, written } = setUp();
  const json = input({ record: post("hi") });
  for (let i = 0; i < 3; i++) await call({ nsid: "com.atproto.repo.createRecord", as: ALICE, json });
  const rkeys = written.map(({ writes }) => writes[0]?.rkey ?? "");
  expect(rkeys).toEqual([...new Set(rkeys)].sort());
  expect(rkeys).toHaveLength(3);
});

test("createRecord gives the new rev as a header too", async () => {
  const { call } = setUp();
  const { headers } = await call({
    nsid: "com.atproto.repo.createRecord",
    as: ALICE,
    json: input({ record: post("hi") }),
  });
  expect(headers.get("atproto-repo-rev")).toBe(REV);
});

test("createRecord passes a swap on, and the repo's refusal back", async () => {
  const { call, written } = setUp(() => {
    throw new KithError("invalid_swap", "Could not write: the commit is another");
  });
  const json = input({ record: post("hi"), swapCommit: cidToString(COMMIT) });
  const answer = await call({ nsid: "com.atproto.repo.createRecord", as: ALICE, json });
  expect(answer).toMatchObject({ status: 400, body: { error: "InvalidSwap" } });
  expect(written[0]?.swapCommit).toEqual(COMMIT);
});

test("putRecord has no commit in its answer where nothing changed", async () => {
  const { call, written } = setUp(({ did, writes: [write] }) => ({
    results: [
      {
        action: "none",
        uri: `at://${did}/${write?.collection}/${write?.rkey}`,
        cid: write && "record" in write ? write.record.cid : undefined,
      },
    ],
  }));
  const json = input({ collection: "app.bsky.actor.profile", rkey: "self", record: { displayName: "A" } });
  const answer = await call({ nsid: "com.atproto.repo.putRecord", as: ALICE, json });
  expect(answer.status).toBe(200);
  expect(answer.body).toEqual({
    uri: `at://${ALICE}/app.bsky.actor.profile/self`,
    cid: expect.any(String),
    validationStatus: "valid",
  });
  expect(written[0]?.writes).toEqual([expect.objectContaining({ action: "put", swapRecord: undefined })]);
});

test.each([
  ["null", null, null],
  ["a CID", cidToString(COMMIT), COMMIT],
])("putRecord passes a swapRecord of %s on", async (_name, swapRecord, expected) => {
  const { call, written } = setUp();
  const json = input({ collection: "com.example.note", rkey: "a", record: NOTE, swapRecord });
  expect((await call({ nsid: "com.atproto.repo.putRecord", as: ALICE, json })).status).toBe(200);
  expect(written[0]?.writes).toEqual([expect.objectContaining({ swapRecord: expected })]);
});

test("deleteRecord answers with the commit, or without where there was nothing to delete", async () => {
  const json = input({ rkey: "3mabcdefghi2a" });
  const some = setUp();
  const answer = await some.call({ nsid: "com.atproto.repo.deleteRecord", as: ALICE, json });
  expect(answer).toMatchObject({ status: 200, body: { commit } });
  expect(some.written[0]?.writes).toEqual([expect.objectContaining({ action: "delete", ifExists: true })]);
  const none = setUp(() => ({ results: [{ action: "none", uri: "at://x/y/z" }] }));
  expect(await none.call({ nsid: "com.atproto.repo.deleteRecord", as: ALICE, json })).toMatchObject({
    status: 200,
    body: {},
  });
});

const create = (fields: object) => ({
  $type: "com.atproto.repo.applyWrites#create",
  collection: POST,
  ...fields,
});

test("applyWrites answers in the order of its writes", async () => {
  const { call, written } = setUp();
  const writes = [
    create({ value: post("one") }),
    { $type: "com.atproto.repo.applyWrites#update", collection: "com.example.note", rkey: "a", value: NOTE },
    { $type: "com.atproto.repo.applyWrites#delete", collection: POST, rkey: "3mabcdefghi2a" },
  ];
  const answer = await call({
    nsid: "com.atproto.repo.applyWrites",
    as: ALICE,
    json: { repo: "alice.test", writes },
  });
  expect(answer.status).toBe(200);
  expect(answer.body).toEqual({
    commit,
    results: [
      {
        $type: "com.atproto.repo.applyWrites#createResult",
        uri: expect.stringContaining(`at://${ALICE}/${POST}/`),
        cid: expect.any(String),
        validationStatus: "valid",
      },
      {
        $type: "com.atproto.repo.applyWrites#updateResult",
        uri: `at://${ALICE}/com.example.note/a`,
        cid: expect.any(String),
        validationStatus: "unknown",
      },
      { $type: "com.atproto.repo.applyWrites#deleteResult" },
    ],
  });
  expect(written[0]?.writes.map(({ action }) => action)).toEqual(["create", "update", "delete"]);
});

test.each([
  ["201 writes", Array.from({ length: 201 }, () => create({ value: post("x") })), /201.*200/],
  ["a write without $type", [{ collection: POST, value: post("x") }], /writes/],
  ["a write of an unknown kind", [{ $type: "com.atproto.repo.applyWrites#move" }], /writes/],
  [
    "a record that does not fit, by its position",
    [create({ value: post("x") }), create({ value: { ...post("x"), text: 1 } })],
    /writes\.1: .*text/,
  ],
])("applyWrites refuses %s", async (_name, writes, message) => {
  const { call, written } = setUp();
  const answer = await call({
    nsid: "com.atproto.repo.applyWrites",
    as: ALICE,
    json: { repo: ALICE, writes },
  });
  expect(answer).toMatchObject({ status: 400, body: refused("InvalidRequest", message) });
  expect(written).toEqual([]);
});

test("applyWrites takes 200 writes", async () => {
  const { call, written } = setUp();
  const writes = Array.from({ length: 200 }, (_, i) => create({ value: post(`${i}`) }));
  const answer = await call({
    nsid: "com.atproto.repo.applyWrites",
    as: ALICE,
    json: { repo: ALICE, writes },
  });
  expect(answer.status).toBe(200);
  expect(new Set(written[0]?.writes.map(({ rkey }) => rkey)).size).toBe(200);
});
