import { expect, test } from "bun:test";
import { cidOfCbor, cidToString, toCidLink } from "../../../atproto/mod.ts";
import { KithError } from "../../../errors.ts";
import { callerOf } from "../../calls_fixture.ts";
import { accountsInEveryState, TestRepos } from "../repos_fixture.ts";
import { readMethods } from "./read_methods.ts";

const ALICE = "did:plc:active";
const NOTE = "com.example.note";
const LINK = cidOfCbor(new Uint8Array([1]));
const RKEYS = ["a", "b", "c", "d", "e"];

function setUp({ handle = "active.test", bytes = 1 } = {}) {
  const repos = new TestRepos(accountsInEveryState());
  const repo = repos.repo(ALICE);
  for (const rkey of RKEYS) repo.create({ [`${NOTE}/${rkey}`]: { $type: NOTE, text: rkey.repeat(bytes) } });
  repo.create({ "app.bsky.actor.profile/self": { pinned: toCidLink(LINK) } });
  const dids = {
    resolve: async (did: string) => {
      if (did !== ALICE) throw new KithError("did_not_found", "no such DID");
      return {
        "@context": [],
        id: did,
        alsoKnownAs: [`at://${handle}`],
        verificationMethod: [],
        service: [],
      };
    },
  };
  return { call: callerOf(readMethods({ accounts: repos, repos, dids })), repos };
}

test.each([
  ["by DID", ALICE],
  ["by handle", "active.test"],
  ["by handle in another case", "Active.TEST"],
])("getRecord gives a record %s", async (_name, repo) => {
  const { call, repos } = setUp();
  const answer = await call({
    nsid: "com.atproto.repo.getRecord",
    params: { repo, collection: NOTE, rkey: "a" },
  });
  expect(answer.status).toBe(200);
  expect(answer.body).toEqual({
    uri: `at://${ALICE}/${NOTE}/a`,
    cid: cidToString(repos.repo(ALICE).record(NOTE, "a")!.cid),
    value: { $type: NOTE, text: "a" },
  });
});

test("getRecord gives links as $link", async () => {
  const { call } = setUp();
  const params = { repo: ALICE, collection: "app.bsky.actor.profile", rkey: "self" };
  const { body } = await call({ nsid: "com.atproto.repo.getRecord", params });
  expect(body).toMatchObject({ value: { pinned: { $link: cidToString(LINK) } } });
});

test("getRecord gives a version by its CID, and no other", async () => {
  const { call, repos } = setUp();
  const cid = cidToString(repos.repo(ALICE).record(NOTE, "a")!.cid);
  const params = { repo: ALICE, collection: NOTE, rkey: "a" };
  const get = (cid: string) => call({ nsid: "com.atproto.repo.getRecord", params: { ...params, cid } });
  expect((await get(cid)).status).toBe(200);
  expect((await get(cidToString(LINK))).body).toMatchObject({ error: "RecordNotFound" });
});

test.each([
  ["a record that is not there", { rkey: "none" }, "RecordNotFound"],
  ["an unknown repo", { repo: "nobody.test" }, "RecordNotFound"],
  ["a deactivated repo", { repo: "deactivated.test" }, "RecordNotFound"],
  ["a repo that is taken down", { repo: "takendown.test" }, "RecordNotFound"],
  ["a deleted repo", { repo: "did:plc:deleted" }, "RecordNotFound"],
  ["a bad record key", { rkey: "../a" }, "InvalidRequest"],
  ["a bad collection", { collection: "note" }, "InvalidRequest"],
])("getRecord does not give %s", async (_name, params, error) => {
  const { call } = setUp();
  const defaults = { repo: ALICE, collection: NOTE, rkey: "a" };
  const answer = await call({ nsid: "com.atproto.repo.getRecord", params: { ...defaults, ...params } });
  expect(answer).toMatchObject({ status: 400, body: { error } });
});

interface Page {
  records: { uri: string; value: { text: string } }[];
  cursor?: string;
}

async function listAll(call: ReturnType<typeof callerOf>, params: object): Promise<string[][]> {
  const pages: string[][] = [];
  let cursor: string | undefined;
  do {
    const { body } = await call({
      nsid: "com.atproto.repo.listRecords",
      params: { repo: ALICE, collection: NOTE, ...params, ...(cursor === undefined ? {} : { cursor }) },
    });
    const page = body as Page;
    pages.push(page.records.map(({ uri }) => uri.slice(-1)));
    cursor = page.cursor;
  } while (cursor !== undefined && pages.length < 20);
  return pages;
}

test("listRecords lists the newest first, by pages, with a cursor only where there is more", async () => {
  const { call } = setUp();
  expect(await listAll(call, {})).toEqual([["e", "d", "c", "b", "a"]]);
  expect(await listAll(call, { limit: 2 })).toEqual([["e", "d"], ["c", "b"], ["a"]]);
  expect(await listAll(call, { limit: 5 })).toHaveLength(1);
  expect(await listAll(call, { limit: 3, reverse: true })).toEqual([
    ["a", "b", "c"],
    ["d", "e"],
  ]);
  expect(await listAll(call, { cursor: "" })).toHaveLength(1);
});

test("listRecords ends a page early where its records are large", async () => {
  const { call } = setUp({ bytes: 900_000 });
  const pages = await listAll(call, {});
  expect(pages.length).toBeGreaterThan(1);
  expect(pages.flat()).toEqual(["e", "d", "c", "b", "a"]);
});

test("listRecords of a collection that is empty is empty", async () => {
  const { call } = setUp();
  const params = { repo: ALICE, collection: "com.example.none" };
  expect((await call({ nsid: "com.atproto.repo.listRecords", params })).body).toEqual({ records: [] });
});

test.each([
  ["an unknown repo", { repo: "nobody.test" }],
  ["a deactivated repo", { repo: "deactivated.test" }],
  ["a limit of 0", { limit: 0 }],
  ["a limit of 101", { limit: 101 }],
  ["a limit that is no number", { limit: "ten" }],
])("listRecords refuses %s", async (_name, params) => {
  const { call } = setUp();
  const answer = await call({
    nsid: "com.atproto.repo.listRecords",
    params: { repo: ALICE, collection: NOTE, ...params },
  });
  expect(answer).toMatchObject({ status: 400, body: { error: "InvalidRequest" } });
});

test.each([
  ["agrees", "active.test", true],
  ["names another", "other.test", false],
])(
  "describeRepo says whether the DID document %s with the handle",
  async (_name, handle, handleIsCorrect) => {
    const { call } = setUp({ handle });
    const { body } = await call({ nsid: "com.atproto.repo.describeRepo", params: { repo: "active.test" } });
    expect(body).toEqual({
      handle: "active.test",
      did: ALICE,
      didDoc: expect.objectContaining({ id: ALICE }),
      collections: ["app.bsky.actor.profile", NOTE],
      handleIsCorrect,
    });
  },
);

test.each([
  ["nobody.test", "RepoNotFound"],
  ["did:plc:deactivated", "RepoDeactivated"],
  ["did:plc:takendown", "RepoTakendown"],
])("describeRepo of %s says %s", async (repo, error) => {
  const { call } = setUp();
  const answer = await call({ nsid: "com.atproto.repo.describeRepo", params: { repo } });
  expect(answer).toMatchObject({ status: 400, body: { error } });
});

test("getRecord and listRecords hide what is taken down, also from its owner", async () => {
  const { call, repos } = setUp();
  repos.repo(ALICE).takenDown.add(`${NOTE}/c`);
  for (const as of [undefined, ALICE]) {
    const params = { repo: ALICE, collection: NOTE, rkey: "c" };
    const found = await call({ nsid: "com.atproto.repo.getRecord", params, as });
    expect([found.status, found.body]).toMatchObject([400, { error: "RecordNotFound" }]);
    const listed = await call({
      nsid: "com.atproto.repo.listRecords",
      params: { repo: ALICE, collection: NOTE },
    });
    expect((listed.body as { records: { uri: string }[] }).records.map(({ uri }) => uri.slice(-1))).toEqual([
      "e",
      "d",
      "b",
      "a",
    ]);
  }
});
