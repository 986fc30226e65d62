/** What relays and mirrors read: repos, proofs, blocks, lists. Every CAR is judged by the reference's library. */
import { describe, expect, test } from "bun:test";
import { type Cid, parseCid } from "@atproto/lex-data";
import { type Account, createRecord, post, repoCar, xrpc } from "../client.ts";
import { KEY_TYPES } from "../harness.ts";
import { blocksOf, judgeProof, judgeRepo } from "../judges.ts";
import { type Row, testRows, useStage } from "../stage.ts";

const POST = "app.bsky.feed.post";
const OTHER_DID = "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb";
const CAR = "application/vnd.ipld.car";
const UNKNOWN_CID = "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a";
const notFound = { status: 400, error: "RepoNotFound" } as const;

const rows: Row[] = [
  ...["getRepo", "getLatestCommit", "getRepoStatus", "listBlobs"].map(
    (name): Row => ({
      title: "knows no other's repo",
      to: `com.atproto.sync.${name}`,
      call: () => ({ params: { did: OTHER_DID } }),
      ...notFound,
    }),
  ),
  {
    title: "knows no other's repo",
    to: "com.atproto.sync.getBlob",
    call: () => ({ params: { did: OTHER_DID, cid: UNKNOWN_CID } }),
    ...notFound,
  },
  {
    title: "knows no other's repo",
    to: "com.atproto.sync.getBlocks",
    call: () => ({ params: { did: OTHER_DID, cids: [UNKNOWN_CID] } }),
    ...notFound,
  },
  {
    title: "knows no other's repo",
    to: "com.atproto.sync.getRecord",
    call: () => ({ params: { did: OTHER_DID, collection: POST, rkey: "a" } }),
    ...notFound,
  },
  {
    title: "names a block it does not have",
    to: "com.atproto.sync.getBlocks",
    call: (s) => ({ params: { did: s.alice.did, cids: [UNKNOWN_CID] } }),
    status: 400,
    error: "BlockNotFound",
  },
  {
    title: "names a blob it does not have",
    to: "com.atproto.sync.getBlob",
    call: (s) => ({ params: { did: s.alice.did, cid: UNKNOWN_CID } }),
    status: 400,
    error: "BlobNotFound",
  },
  ...["getRepo", "getLatestCommit", "getRepoStatus", "getBlob", "getBlocks", "getRecord", "listBlobs"].map(
    (name): Row => ({
      title: "asks for the DID",
      to: `com.atproto.sync.${name}`,
      status: 400,
      error: "InvalidRequest",
    }),
  ),
  {
    title: "knows no other's repo",
    to: "com.atproto.sync.getHead",
    call: () => ({ params: { did: OTHER_DID } }),
    status: 400,
    error: "HeadNotFound",
  },
  {
    title: "knows no other's repo",
    to: "com.atproto.sync.getCheckout",
    call: () => ({ params: { did: OTHER_DID } }),
    ...notFound,
  },
  {
    title: "finds no repo with a collection that nobody has",
    to: "com.atproto.sync.listReposByCollection",
    call: () => ({ params: { collection: "com.example.nobodys" } }),
    status: 200,
    check: (answer) => expect(answer.json).toEqual({ repos: [] }),
  },
  {
    title: "refuses a limit out of range",
    to: "com.atproto.sync.listRepos",
    call: () => ({ params: { limit: 1001 } }),
    status: 400,
    error: "InvalidRequest",
  },
];

async function latest(url: string, account: Account): Promise<{ cid: string; rev: string }> {
  const answer = await xrpc(url, "com.atproto.sync.getLatestCommit", { params: { did: account.did } });
  expect(answer.status).toBe(200);
  return answer.json as { cid: string; rev: string };
}

describe.each([...KEY_TYPES])("sync reads (%s)", (keyType) => {
  const holder = useStage({ keyType });
  testRows(holder, rows);

  test("getRepo: a CAR of the whole repo, with its type, verified after every kind of write", async () => {
    const { stage } = holder;
    for (let i = 0; i < 40; i += 1) await createRecord(stage.url, stage.alice, { record: post(`post ${i}`) });
    const answer = await xrpc(stage.url, "com.atproto.sync.getRepo", { params: { did: stage.alice.did } });
    expect(answer.headers.get("content-type")).toBe(CAR);
    const repo = await judgeRepo(answer.bytes, stage.alice.did, stage.alice.didKey);
    expect(repo.records.size).toBeGreaterThan(10);
    const head = await latest(stage.url, stage.alice);
    expect(head).toEqual({ cid: repo.commit, rev: repo.rev });
    const status = await xrpc(stage.url, "com.atproto.sync.getRepoStatus", {
      params: { did: stage.alice.did },
    });
    expect(status.json).toEqual({ did: stage.alice.did, active: true, rev: repo.rev });
  });

  test("getRepo with since: what is new, and with what was there before the whole", async () => {
    const { stage } = holder;
    const before = await blocksOf(await repoCar(stage.url, stage.alice.did));
    const { rev } = await latest(stage.url, stage.alice);
    const made = await createRecord(stage.url, stage.alice, { record: post("since") });
    const diff = await blocksOf(await repoCar(stage.url, stage.alice.did, rev));
    const whole = await blocksOf(await repoCar(stage.url, stage.alice.did));
    expect(diff.roots).toEqual([made.commit.cid]);
    expect(diff.blocks.size).toBeLessThan(whole.blocks.size);
    expect(diff.blocks.has(parseCid(made.cid))).toBe(true);
    for (const cid of whole.blocks.cids()) expect(before.blocks.has(cid) || diff.blocks.has(cid)).toBe(true);
    const now = await blocksOf(await repoCar(stage.url, stage.alice.did, made.commit.rev));
    expect(now.blocks.size).toBeLessThanOrEqual(1);
    const bad = await xrpc(stage.url, "com.atproto.sync.getRepo", {
      params: { did: stage.alice.did, since: "not a rev" },
    });
    expect([bad.status, bad.error]).toEqual([400, "InvalidRequest"]);
  });

  test("getRecord: proves that a record is there, and that another is not", async () => {
    const { stage } = holder;
    const { did, didKey } = stage.alice;
    const { records } = await stage.repo(stage.alice);
    const proofOf = (path: string) => {
      const [collection = "", rkey = ""] = path.split("/");
      return xrpc(stage.url, "com.atproto.sync.getRecord", { params: { did, collection, rkey } });
    };
    for (const [path, cid] of [...records].slice(0, 10)) {
      const answer = await proofOf(path);
      expect(answer.headers.get("content-type")).toBe(CAR);
      await judgeProof(answer.bytes, { did, didKey, path, cid });
      const { blocks } = await blocksOf(answer.bytes);
      expect(blocks.size).toBeLessThan(20);
    }
    for (const path of [
      `${POST}/2222222222222`,
      `${POST}/zzzzzzzzzzzzz`,
      "zzz.last.collection/key",
      "aaa.first.collection/key",
    ]) {
      await judgeProof((await proofOf(path)).bytes, { did, didKey, path, cid: null });
    }
  });

  test("getHead, getCheckout and listReposByCollection: the same repo under other names", async () => {
    const { stage } = holder;
    const { did } = stage.alice;
    const head = await xrpc(stage.url, "com.atproto.sync.getHead", { params: { did } });
    expect(head.json).toEqual({ root: (await latest(stage.url, stage.alice)).cid });
    const checkout = await xrpc(stage.url, "com.atproto.sync.getCheckout", { params: { did } });
    expect(Buffer.compare(checkout.bytes, await repoCar(stage.url, did))).toBe(0);
    const collection = (await stage.repo(stage.alice)).records.keys().next().value?.split("/")[0] ?? POST;
    const listed = await xrpc(stage.url, "com.atproto.sync.listReposByCollection", {
      params: { collection },
    });
    expect(listed.json.repos).toContainEqual({ did });
  });

  test("getBlocks: the blocks asked for, no more", async () => {
    const { stage } = holder;
    const { blocks } = await stage.repo(stage.alice);
    const wanted: Cid[] = blocks.cids().slice(0, 5);
    const answer = await xrpc(stage.url, "com.atproto.sync.getBlocks", {
      params: { did: stage.alice.did, cids: wanted.map(String) },
    });
    expect(answer.headers.get("content-type")).toBe(CAR);
    const got = await blocksOf(answer.bytes);
    expect(got.blocks.cids().map(String).sort()).toEqual(wanted.map(String).sort());
    const bad = await xrpc(stage.url, "com.atproto.sync.getBlocks", {
      params: { did: stage.alice.did, cids: ["nonsense"] },
    });
    expect([bad.status, bad.error]).toEqual([400, "InvalidRequest"]);
  });

  test("listRepos: every account once, in pages, with head and rev", async () => {
    const { stage } = holder;
    for (let i = 0; i < 5; i += 1) await stage.account(`listed${i}`);
    const seen: { did: string; head: string; rev: string; active: boolean }[] = [];
    for (let cursor: string | undefined = ""; cursor !== undefined; ) {
      const page = await xrpc(stage.url, "com.atproto.sync.listRepos", {
        params: { limit: 2, cursor: cursor || undefined },
      });
      expect(page.status).toBe(200);
      seen.push(...(page.json.repos as typeof seen));
      cursor = page.json.cursor as string | undefined;
    }
    expect(new Set(seen.map((repo) => repo.did)).size).toBe(seen.length);
    expect(seen).toHaveLength(7);
    for (const repo of seen) {
      const head = await xrpc(stage.url, "com.atproto.sync.getLatestCommit", { params: { did: repo.did } });
      expect({ cid: repo.head, rev: repo.rev }).toEqual(head.json as { cid: string; rev: string });
      expect(repo.active).toBe(true);
    }
  });

  test("a deleted record leaves no trace in the repo; one that comes back is whole again", async () => {
    const { stage } = holder;
    const record = { $type: "dev.kith.test.again", text: "there and back" };
    const input = { collection: "dev.kith.test.again", rkey: "again", record };
    const first = await createRecord(stage.url, stage.alice, input);
    // Its event too has to be through before the next ones are looked at.
    await stage.eventsDuring(() =>
      xrpc(stage.url, "com.atproto.repo.deleteRecord", {
        token: stage.alice.accessJwt,
        body: { repo: stage.alice.did, ...input },
      }),
    );
    const gone = await stage.repo(stage.alice);
    expect(gone.blocks.has(parseCid(first.cid))).toBe(false);
    const { events } = await stage.eventsDuring(() => createRecord(stage.url, stage.alice, input));
    const { blocks } = await blocksOf(events[0]?.body.blocks as Uint8Array);
    expect(blocks.has(parseCid(first.cid))).toBe(true);
    expect((await stage.repo(stage.alice)).records.get("dev.kith.test.again/again")).toBe(first.cid);
  });

  test("a record under two paths stays when one of them goes", async () => {
    const { stage } = holder;
    const record = { $type: "dev.kith.test.twin", text: "the same bytes" };
    const one = await createRecord(stage.url, stage.alice, {
      collection: "dev.kith.test.twin",
      rkey: "one",
      record,
    });
    const two = await createRecord(stage.url, stage.alice, {
      collection: "dev.kith.test.twin",
      rkey: "two",
      record,
    });
    expect(one.cid).toBe(two.cid);
    await xrpc(stage.url, "com.atproto.repo.deleteRecord", {
      token: stage.alice.accessJwt,
      body: { repo: stage.alice.did, collection: "dev.kith.test.twin", rkey: "one" },
    });
    expect((await stage.repo(stage.alice)).records.get("dev.kith.test.twin/two")).toBe(one.cid);
  });

  test("the firehose of all this holds to Sync 1.1 and leads to what the repos hold", () =>
    holder.stage.judgeAll());
});
