/** Records: every way to write and to read them, with what each write puts on the firehose. */
import { describe, expect, test } from "bun:test";
import { encode } from "@atproto/lex-cbor";
import { cidForCbor, type LexValue } from "@atproto/lex-data";
import { createRecord, post, repoCar, xrpc } from "../client.ts";
import { describeEvent, opsOf } from "../firehose.ts";
import { KEY_TYPES } from "../harness.ts";
import { judgeRepo } from "../judges.ts";
import { type Row, type Stage, testRows, useStage } from "../stage.ts";

const CREATE = "com.atproto.repo.createRecord";
const PUT = "com.atproto.repo.putRecord";
const DELETE = "com.atproto.repo.deleteRecord";
const APPLY = "com.atproto.repo.applyWrites";
const GET = "com.atproto.repo.getRecord";
const POST = "app.bsky.feed.post";
const LIKE = "app.bsky.feed.like";
const FOLLOW = "app.bsky.graph.follow";
const PROFILE = "app.bsky.actor.profile";
const UNKNOWN = "dev.kith.test.thing";
const CREATED_AT = "2026-11-21T08:00:00.000Z";
const OTHER_DID = "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb";
const SUBJECT = {
  uri: `at://${OTHER_DID}/${POST}/3jzfcijpj2z2a`,
  cid: "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a",
};

const write =
  (input: Record<string, unknown>): Row["call"] =>
  (stage) => ({ token: stage.alice.accessJwt, body: { repo: stage.alice.did, collection: POST, ...input } });
const apply =
  (writes: Record<string, unknown>[], input: Record<string, unknown> = {}): Row["call"] =>
  (stage) => ({ token: stage.alice.accessJwt, body: { repo: stage.alice.did, writes, ...input } });
const create = (value: Record<string, unknown>, more: Record<string, unknown> = {}) => ({
  $type: `${APPLY}#create`,
  collection: UNKNOWN,
  value,
  ...more,
});
const text = (value: string) => post(value, { createdAt: CREATED_AT });
const bad = { status: 400, error: "InvalidRequest" } as const;

const createRows: Row[] = [
  {
    title: "makes a post and answers with its address and commit",
    to: CREATE,
    call: write({ record: text("hello") }),
    status: 200,
    events: [`#commit create ${POST}`],
    check: async (answer, stage) => {
      expect(answer.json.uri).toMatch(new RegExp(`^at://${stage.alice.did}/${POST}/[2-7a-z]{13}$`));
      expect(answer.json.validationStatus).toBe("valid");
      const latest = await xrpc(stage.url, "com.atproto.sync.getLatestCommit", {
        params: { did: stage.alice.did },
      });
      expect(latest.json).toEqual(answer.json.commit as Record<string, unknown>);
    },
  },
  {
    title: "takes the handle for the repo",
    to: CREATE,
    call: (s) => ({
      token: s.alice.accessJwt,
      body: { repo: s.alice.handle, collection: POST, record: text("by handle") },
    }),
    status: 200,
    events: [`#commit create ${POST}`],
  },
  {
    title: "takes a record key of the caller's",
    to: CREATE,
    call: write({ rkey: "self", collection: PROFILE, record: { $type: PROFILE, displayName: "Alice" } }),
    status: 200,
    events: [`#commit create ${PROFILE}`],
  },
  {
    title: "refuses a path that is taken",
    to: CREATE,
    call: write({ rkey: "self", collection: PROFILE, record: { $type: PROFILE } }),
    ...bad,
  },
  {
    title: "adds $type where it is left out",
    to: CREATE,
    call: write({ rkey: "3jzfcijpj2z2a", record: { text: "no type", createdAt: CREATED_AT } }),
    status: 200,
    events: [`#commit create ${POST}`],
    check: async (_answer, s) => {
      const got = await xrpc(s.url, GET, {
        params: { repo: s.alice.did, collection: POST, rkey: "3jzfcijpj2z2a" },
      });
      expect((got.json.value as { $type: string }).$type).toBe(POST);
    },
  },
  {
    title: "refuses a $type that is not the collection",
    to: CREATE,
    call: write({ record: { ...text("x"), $type: LIKE } }),
    ...bad,
  },
  {
    title: "refuses a record that its lexicon does not admit",
    to: CREATE,
    call: write({ record: { $type: POST, text: 7, createdAt: CREATED_AT } }),
    ...bad,
  },
  {
    title: "stores the same with validate=false, and gives no status",
    to: CREATE,
    call: write({ validate: false, record: { $type: POST, text: 7, createdAt: CREATED_AT } }),
    status: 200,
    events: [`#commit create ${POST}`],
    check: (answer) => expect("validationStatus" in answer.json).toBe(false),
  },
  {
    title: "stores a record of an unknown lexicon as such",
    to: CREATE,
    call: write({ collection: UNKNOWN, record: { $type: UNKNOWN, any: [1, { deep: null }] } }),
    status: 200,
    events: [`#commit create ${UNKNOWN}`],
    check: (answer) => expect(answer.json.validationStatus).toBe("unknown"),
  },
  {
    title: "refuses an unknown lexicon with validate=true",
    to: CREATE,
    call: write({ validate: true, collection: UNKNOWN, record: { $type: UNKNOWN } }),
    ...bad,
    check: (answer) => expect(String(answer.json.message)).toContain(UNKNOWN),
  },
  {
    title: "keeps links and bytes",
    to: CREATE,
    call: write({
      collection: UNKNOWN,
      rkey: "link",
      record: { $type: UNKNOWN, link: { $link: SUBJECT.cid }, bytes: { $bytes: "AAEC" }, $extra: "dollar" },
    }),
    status: 200,
    events: [`#commit create ${UNKNOWN}`],
    check: async (_answer, s) => {
      const got = await xrpc(s.url, GET, {
        params: { repo: s.alice.did, collection: UNKNOWN, rkey: "link" },
      });
      expect(got.json.value).toEqual({
        $type: UNKNOWN,
        link: { $link: SUBJECT.cid },
        bytes: { $bytes: "AAEC" },
        $extra: "dollar",
      });
    },
  },
  {
    title: "keeps keys that mean something to JavaScript as plain data",
    to: CREATE,
    call: (s) => ({
      token: s.alice.accessJwt,
      headers: { "content-type": "application/json" },
      body: `{"repo":"${s.alice.did}","collection":"${UNKNOWN}","rkey":"proto","record":{"$type":"${UNKNOWN}","__proto__":{"polluted":true},"constructor":{"prototype":1},"toString":"x"}}`,
    }),
    status: 200,
    events: [`#commit create ${UNKNOWN}`],
    check: async (_answer, s) => {
      const got = await xrpc(s.url, GET, {
        params: { repo: s.alice.did, collection: UNKNOWN, rkey: "proto" },
      });
      const raw = new TextDecoder().decode(got.bytes);
      expect(raw).toContain('"__proto__":{"polluted":true}');
      expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
    },
  },
  {
    title: "refuses a collection that is no NSID",
    to: CREATE,
    call: write({ collection: "posts", record: { $type: "posts" } }),
    ...bad,
  },
  {
    title: "refuses a write to a repo that is not here",
    to: CREATE,
    call: (s) => ({
      token: s.alice.accessJwt,
      body: { repo: OTHER_DID, collection: POST, record: text("x") },
    }),
    status: 403,
    error: "AccountNotFound",
  },
  {
    title: "asks for a token",
    to: CREATE,
    call: (s) => ({ body: { repo: s.alice.did, collection: POST, record: text("x") } }),
    status: 401,
    error: "AuthMissing",
  },
  {
    title: "refuses a swapCommit that is not the head",
    to: CREATE,
    call: write({ swapCommit: SUBJECT.cid, record: text("x") }),
    status: 400,
    error: "InvalidSwap",
  },
  {
    title: "takes a swapCommit that is the head",
    to: CREATE,
    call: async (s) => ({
      token: s.alice.accessJwt,
      body: {
        repo: s.alice.did,
        collection: POST,
        record: text("swap"),
        swapCommit: (await xrpc(s.url, "com.atproto.sync.getLatestCommit", { params: { did: s.alice.did } }))
          .json.cid,
      },
    }),
    status: 200,
    events: [`#commit create ${POST}`],
  },
  {
    title: "refuses a record key that the lexicon's key type does not admit",
    to: CREATE,
    call: write({ collection: PROFILE, rkey: "other", record: { $type: PROFILE } }),
    ...bad,
  },
  ...["a/b", "..", ".", "", "with space", "x".repeat(513), "ünicode", "#", "a?b", "a%2Fb"].map(
    (rkey): Row => ({
      title: `refuses the record key ${JSON.stringify(rkey.slice(0, 20))}`,
      to: CREATE,
      call: write({ collection: UNKNOWN, rkey, record: { $type: UNKNOWN } }),
      ...bad,
    }),
  ),
  ...["~self", "a.b-c_d:e", "x".repeat(512), "_"].map(
    (rkey): Row => ({
      title: `takes the record key ${JSON.stringify(rkey.slice(0, 20))}`,
      to: CREATE,
      call: write({ collection: UNKNOWN, rkey, record: { $type: UNKNOWN } }),
      status: 200,
      events: [`#commit create ${UNKNOWN}`],
    }),
  ),
];

const subjectRows: Row[] = [
  {
    title: "likes",
    to: CREATE,
    call: write({ collection: LIKE, record: { $type: LIKE, subject: SUBJECT, createdAt: CREATED_AT } }),
    status: 200,
    events: [`#commit create ${LIKE}`],
  },
  {
    title: "replaces the like of the same post in one commit",
    to: CREATE,
    call: write({
      collection: LIKE,
      record: { $type: LIKE, subject: SUBJECT, createdAt: "2026-11-22T08:00:00.000Z" },
    }),
    status: 200,
    events: [`#commit create ${LIKE}, delete ${LIKE}`],
  },
  {
    title: "leaves the like of another post alone",
    to: CREATE,
    call: write({
      collection: LIKE,
      record: { $type: LIKE, subject: { ...SUBJECT, uri: `${SUBJECT.uri}a` }, createdAt: CREATED_AT },
    }),
    status: 200,
    events: [`#commit create ${LIKE}`],
  },
  {
    title: "follows",
    to: CREATE,
    call: write({ collection: FOLLOW, record: { $type: FOLLOW, subject: OTHER_DID, createdAt: CREATED_AT } }),
    status: 200,
    events: [`#commit create ${FOLLOW}`],
  },
  {
    title: "replaces the follow of the same account in one commit",
    to: CREATE,
    call: write({
      collection: FOLLOW,
      record: { $type: FOLLOW, subject: OTHER_DID, createdAt: "2026-11-22T08:00:00.000Z" },
    }),
    status: 200,
    events: [`#commit create ${FOLLOW}, delete ${FOLLOW}`],
    check: async (_answer, s) => {
      const list = await xrpc(s.url, "com.atproto.repo.listRecords", {
        params: { repo: s.alice.did, collection: FOLLOW },
      });
      expect(list.json.records as unknown[]).toHaveLength(1);
    },
  },
];

const THING = { $type: UNKNOWN, number: 1 };
async function cidOf(record: LexValue): Promise<string> {
  return (await cidForCbor(encode(record))).toString();
}
const putThing = (input: Record<string, unknown>) => write({ collection: UNKNOWN, rkey: "put", ...input });

const putRows: Row[] = [
  {
    title: "refuses swapRecord where there is none yet",
    to: PUT,
    call: putThing({ record: THING, swapRecord: SUBJECT.cid }),
    status: 400,
    error: "InvalidSwap",
  },
  {
    title: "makes the record, swapRecord null: it must not be there",
    to: PUT,
    call: putThing({ record: THING, swapRecord: null }),
    status: 200,
    events: [`#commit create ${UNKNOWN}`],
    check: async (answer) => expect(answer.json.cid).toBe(await cidOf(THING)),
  },
  {
    title: "refuses swapRecord null when it is there",
    to: PUT,
    call: putThing({ record: { ...THING, number: 2 }, swapRecord: null }),
    status: 400,
    error: "InvalidSwap",
  },
  {
    title: "does nothing for the same record again, and says so by leaving commit out",
    to: PUT,
    call: putThing({ record: THING }),
    status: 200,
    check: async (answer) => {
      expect(answer.json.cid).toBe(await cidOf(THING));
      expect("commit" in answer.json).toBe(false);
    },
  },
  {
    title: "updates with the right swapRecord",
    to: PUT,
    call: async (s) => putThing({ record: { ...THING, number: 2 }, swapRecord: await cidOf(THING) })!(s),
    status: 200,
    events: [`#commit update ${UNKNOWN}`],
  },
  {
    title: "refuses the wrong swapRecord",
    to: PUT,
    call: async (s) => putThing({ record: { ...THING, number: 3 }, swapRecord: await cidOf(THING) })!(s),
    status: 400,
    error: "InvalidSwap",
  },
  {
    title: "refuses the wrong swapCommit",
    to: PUT,
    call: putThing({ record: { ...THING, number: 3 }, swapCommit: SUBJECT.cid }),
    status: 400,
    error: "InvalidSwap",
  },
  {
    title: "updates without any condition",
    to: PUT,
    call: putThing({ record: { ...THING, number: 3 } }),
    status: 200,
    events: [`#commit update ${UNKNOWN}`],
  },
  {
    title: "goes back to an earlier value, whose block is then new again",
    to: PUT,
    call: putThing({ record: THING }),
    status: 200,
    events: [`#commit update ${UNKNOWN}`],
  },
  {
    title: "validates as createRecord does",
    to: PUT,
    call: write({ rkey: "3jzfcijpj2z2b", record: { $type: POST, text: 7 } }),
    ...bad,
  },
];

const deleteRows: Row[] = [
  {
    title: "refuses the wrong swapRecord",
    to: DELETE,
    call: write({ collection: UNKNOWN, rkey: "put", swapRecord: SUBJECT.cid }),
    status: 400,
    error: "InvalidSwap",
  },
  {
    title: "refuses the wrong swapCommit",
    to: DELETE,
    call: write({ collection: UNKNOWN, rkey: "put", swapCommit: SUBJECT.cid }),
    status: 400,
    error: "InvalidSwap",
  },
  {
    title: "deletes",
    to: DELETE,
    call: write({ collection: UNKNOWN, rkey: "put" }),
    status: 200,
    events: [`#commit delete ${UNKNOWN}`],
  },
  {
    title: "of what is not there does nothing",
    to: DELETE,
    call: write({ collection: UNKNOWN, rkey: "put" }),
    status: 200,
    check: (answer) => expect("commit" in answer.json).toBe(false),
  },
  {
    title: "then shows it no more",
    to: GET,
    call: (s) => ({ params: { repo: s.alice.did, collection: UNKNOWN, rkey: "put" } }),
    status: 400,
    error: "RecordNotFound",
  },
];

const applyRows: Row[] = [
  {
    title: "does several writes in one commit",
    to: APPLY,
    call: apply([
      create({ $type: UNKNOWN, a: 1 }, { rkey: "one" }),
      create({ $type: UNKNOWN, a: 2 }, { rkey: "two" }),
      create({ $type: UNKNOWN, a: 3 }),
    ]),
    status: 200,
    events: [`#commit create ${UNKNOWN}, create ${UNKNOWN}, create ${UNKNOWN}`],
    check: (answer, s) => {
      const results = answer.json.results as { $type: string; uri: string; validationStatus: string }[];
      expect(results.map((result) => result.$type)).toEqual(Array(3).fill(`${APPLY}#createResult`));
      expect(results[0]?.uri).toBe(`at://${s.alice.did}/${UNKNOWN}/one`);
      expect(results[0]?.validationStatus).toBe("unknown");
    },
  },
  {
    title: "creates, updates and deletes together",
    to: APPLY,
    call: apply([
      create({ $type: UNKNOWN, a: 4 }, { rkey: "three" }),
      { $type: `${APPLY}#update`, collection: UNKNOWN, rkey: "one", value: { $type: UNKNOWN, a: 5 } },
      { $type: `${APPLY}#delete`, collection: UNKNOWN, rkey: "two" },
    ]),
    status: 200,
    events: [`#commit create ${UNKNOWN}, delete ${UNKNOWN}, update ${UNKNOWN}`],
    check: (answer) =>
      expect((answer.json.results as { $type: string }[]).map((result) => result.$type)).toEqual([
        `${APPLY}#createResult`,
        `${APPLY}#updateResult`,
        `${APPLY}#deleteResult`,
      ]),
  },
  {
    title: "does nothing of it when one write is refused",
    to: APPLY,
    call: apply([
      create({ $type: UNKNOWN, a: 6 }, { rkey: "never" }),
      create({ $type: UNKNOWN, a: 7 }, { rkey: "one" }),
    ]),
    ...bad,
    check: async (_answer, s) => {
      const got = await xrpc(s.url, GET, {
        params: { repo: s.alice.did, collection: UNKNOWN, rkey: "never" },
      });
      expect(got.error).toBe("RecordNotFound");
    },
  },
  {
    title: "refuses to update what is not there",
    to: APPLY,
    call: apply([
      { $type: `${APPLY}#update`, collection: UNKNOWN, rkey: "absent", value: { $type: UNKNOWN } },
    ]),
    ...bad,
  },
  {
    title: "refuses the same path twice",
    to: APPLY,
    call: apply([
      create({ $type: UNKNOWN, a: 6 }, { rkey: "twice" }),
      { $type: `${APPLY}#delete`, collection: UNKNOWN, rkey: "twice" },
    ]),
    ...bad,
  },
  {
    title: "refuses the wrong swapCommit",
    to: APPLY,
    call: apply([create({ $type: UNKNOWN })], { swapCommit: SUBJECT.cid }),
    status: 400,
    error: "InvalidSwap",
  },
  {
    title: "refuses a write of no known kind",
    to: APPLY,
    call: apply([{ $type: `${APPLY}#upsert`, collection: UNKNOWN, rkey: "x", value: { $type: UNKNOWN } }]),
    ...bad,
  },
  {
    title: "does 200 writes",
    to: APPLY,
    call: apply(Array.from({ length: 200 }, (_, i) => create({ $type: UNKNOWN, i }, { rkey: `n${i}` }))),
    status: 200,
    events: [`#commit ${Array(200).fill(`create ${UNKNOWN}`).join(", ")}`],
  },
  {
    title: "deletes 200 records",
    to: APPLY,
    call: apply(
      Array.from({ length: 200 }, (_, i) => ({
        $type: `${APPLY}#delete`,
        collection: UNKNOWN,
        rkey: `n${i}`,
      })),
    ),
    status: 200,
    events: [`#commit ${Array(200).fill(`delete ${UNKNOWN}`).join(", ")}`],
  },
  {
    title: "refuses 201 writes",
    to: APPLY,
    call: apply(Array.from({ length: 201 }, (_, i) => create({ $type: UNKNOWN, i }, { rkey: `m${i}` }))),
    ...bad,
  },
];

async function cidsOf(
  stage: Stage,
  params: Record<string, string | number | boolean>,
): Promise<{ rkeys: string[]; cursor: string | undefined }> {
  const answer = await xrpc(stage.url, "com.atproto.repo.listRecords", {
    params: { repo: stage.alice.did, ...params },
  });
  expect(answer.status).toBe(200);
  const records = answer.json.records as { uri: string }[];
  return {
    rkeys: records.map(({ uri }) => uri.split("/").at(-1) ?? ""),
    cursor: answer.json.cursor as string | undefined,
  };
}

describe.each([...KEY_TYPES])("records (%s)", (keyType) => {
  const holder = useStage({ keyType });
  testRows(holder, [...createRows, ...subjectRows, ...putRows, ...deleteRows, ...applyRows]);

  test("an answered write is what getRecord, the proof and the repo show", async () => {
    const { stage } = holder;
    const made = await createRecord(stage.url, stage.alice, { record: text("provable") });
    const path = made.uri.replace(`at://${stage.alice.did}/`, "");
    const [collection = "", rkey = ""] = path.split("/");
    const got = await xrpc(stage.url, GET, { params: { repo: stage.alice.handle, collection, rkey } });
    expect(got.json).toEqual({ uri: made.uri, cid: made.cid, value: text("provable") });
    const repo = await stage.repo(stage.alice);
    expect(repo.records.get(path)).toBe(made.cid);
    expect(repo.rev).toBe(made.commit.rev);
    expect(repo.commit).toBe(made.commit.cid);
    const other = await xrpc(stage.url, GET, {
      params: { repo: stage.alice.did, collection, rkey, cid: SUBJECT.cid },
    });
    expect(other.error).toBe("RecordNotFound");
  });

  test("listRecords: newest first, in pages, and backwards", async () => {
    const { stage } = holder;
    const collection = "dev.kith.test.page";
    for (let i = 0; i < 7; i += 1)
      await createRecord(stage.url, stage.alice, {
        collection,
        rkey: `k${i}`,
        record: { $type: collection, i },
      });
    const first = await cidsOf(stage, { collection, limit: 3 });
    expect(first.rkeys).toEqual(["k6", "k5", "k4"]);
    const second = await cidsOf(stage, { collection, limit: 3, cursor: first.cursor ?? "" });
    expect(second.rkeys).toEqual(["k3", "k2", "k1"]);
    const third = await cidsOf(stage, { collection, limit: 3, cursor: second.cursor ?? "" });
    expect(third.rkeys).toEqual(["k0"]);
    expect((await cidsOf(stage, { collection, reverse: true })).rkeys).toEqual([
      "k0",
      "k1",
      "k2",
      "k3",
      "k4",
      "k5",
      "k6",
    ]);
    for (const limit of [0, 101, "x"]) {
      const answer = await xrpc(stage.url, "com.atproto.repo.listRecords", {
        params: { repo: stage.alice.did, collection, limit },
      });
      expect([answer.status, answer.error]).toEqual([400, "InvalidRequest"]);
    }
  });

  test("describeRepo: names the account, its document and its collections", async () => {
    const { stage } = holder;
    const answer = await xrpc(stage.url, "com.atproto.repo.describeRepo", {
      params: { repo: stage.alice.handle },
    });
    expect(answer.json).toMatchObject({
      did: stage.alice.did,
      handle: stage.alice.handle,
      handleIsCorrect: true,
    });
    expect((answer.json.didDoc as { id: string }).id).toBe(stage.alice.did);
    const { records } = await stage.repo(stage.alice);
    expect([...(answer.json.collections as string[])].sort()).toEqual(
      [...new Set([...records.keys()].map((path) => path.split("/")[0] ?? ""))].sort(),
    );
    const unknown = await xrpc(stage.url, "com.atproto.repo.describeRepo", { params: { repo: OTHER_DID } });
    expect([unknown.status, unknown.error]).toEqual([400, "RepoNotFound"]);
  });

  test("a record near 1,000,000 bytes is stored; one beyond is refused, and so is a commit of too many bytes", async () => {
    const { stage } = holder;
    const big = (bytes: number, mark = 0) => ({ $type: UNKNOWN, mark, text: "x".repeat(bytes) });
    const request = (body: Record<string, unknown>, nsid: string) =>
      xrpc(stage.url, nsid, { token: stage.alice.accessJwt, body: { repo: stage.alice.did, ...body } });
    const { events } = await stage.eventsDuring(async () => {
      const fits = await request({ collection: UNKNOWN, rkey: "big", record: big(990_000) }, CREATE);
      expect(fits.status).toBe(200);
      const over = await request({ collection: UNKNOWN, rkey: "bigger", record: big(1_000_001) }, CREATE);
      expect([400, 413]).toContain(over.status);
      const writes = Array.from({ length: 3 }, (_, i) => create(big(800_000, i), { rkey: `big${i}` }));
      const many = await request({ writes }, APPLY);
      expect([400, 413]).toContain(many.status);
    });
    expect(events.map(describeEvent)).toEqual([`#commit create ${UNKNOWN}`]);
  });

  test("many writes at once to one repo: all are answered, each is one commit", async () => {
    const { stage } = holder;
    const { events } = await stage.eventsDuring(() =>
      Promise.all(
        Array.from({ length: 50 }, (_, i) =>
          createRecord(stage.url, stage.alice, { record: text(`together ${i}`) }),
        ),
      ),
    );
    expect(events.filter((event) => event.type === "#commit")).toHaveLength(50);
    expect(events.flatMap((event) => opsOf(event)).length).toBe(50);
  });

  test("of eight writes at once with the same swapCommit one wins", async () => {
    const { stage } = holder;
    const head = await xrpc(stage.url, "com.atproto.sync.getLatestCommit", {
      params: { did: stage.alice.did },
    });
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        xrpc(stage.url, CREATE, {
          token: stage.alice.accessJwt,
          body: {
            repo: stage.alice.did,
            collection: POST,
            record: text(`race ${i}`),
            swapCommit: head.json.cid,
          },
        }),
      ),
    );
    expect(answers.map((answer) => answer.error ?? "won").sort()).toEqual([
      ...Array(7).fill("InvalidSwap"),
      "won",
    ]);
  });

  test("the firehose of all this holds to Sync 1.1 and leads to what the repos hold", () =>
    holder.stage.judgeAll());

  test("after a restart the repo is the same, bytes for bytes", async () => {
    const { stage } = holder;
    const before = await repoCar(stage.url, stage.alice.did);
    expect(await stage.server.stop()).toBe(0);
    await stage.server.start();
    const after = await repoCar(stage.url, stage.alice.did);
    expect(Buffer.compare(Buffer.from(before), Buffer.from(after))).toBe(0);
    await judgeRepo(after, stage.alice.did, stage.alice.didKey);
  });
});
