import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { verifyProofs, verifyRecords, verifyRepoCar } from "@atproto/repo";
import { cidKey, cidOfCbor, cidOfRaw, cidToString, encodeCbor, readCar } from "../../../atproto/mod.ts";
import { KithError } from "../../../errors.ts";
import type { Logger } from "../../../logger.ts";
import { callerOf } from "../../calls_fixture.ts";
import { Router } from "../../router.ts";
import { accountsInEveryState, TEST_SIGNER, TestRepo, TestRepos } from "../repos_fixture.ts";
import { syncBlobMethods } from "./blob_methods.ts";
import { deprecatedSyncMethods } from "./deprecated_methods.ts";
import { syncRepoMethods } from "./repo_methods.ts";
import { repoStatusMethods } from "./repo_status_methods.ts";

const ALICE = "did:plc:active";
const NOTE = "com.example.note";
const PNG = Buffer.from("\x89PNG not really", "latin1");
const HTML = Buffer.from("<script>alert(1)</script>");

function setUp() {
  const repos = new TestRepos(accountsInEveryState());
  const repo = repos.repo(ALICE);
  repo.create({
    [`${NOTE}/a`]: { $type: NOTE, n: 1 },
    [`${NOTE}/b`]: { $type: NOTE, n: 2 },
    [`${NOTE}/c`]: { $type: NOTE, n: 3 },
  });
  const files = new Map<string, Buffer<ArrayBuffer>>();
  for (const [bytes, mimeType, referenced] of [
    [PNG, "image/png", true],
    [HTML, "text/html", true],
    [Buffer.from("temporary"), "text/plain", false],
  ] as const) {
    const cid = cidOfRaw(bytes);
    repo.blobs.set(cidKey(cid), { cid, mimeType, size: bytes.length, referenced });
    files.set(cidKey(cid), bytes);
  }
  const errors: string[] = [];
  const warnings: string[] = [];
  const log: Logger = {
    debug: () => {},
    info: () => {},
    warn: (message: string) => void warnings.push(message),
    child: () => log,
    error: (message: string) => void errors.push(message),
  };
  let streams = 0;
  const blobs = {
    open: async (_did: string, cid: Parameters<typeof cidKey>[0], { quarantined = false }) => {
      const isThere = quarantined === (repo.takedowns.blob(cid) !== undefined);
      const bytes = isThere ? files.get(cidKey(cid)) : undefined;
      return (
        bytes && {
          size: bytes.length,
          stream: async (range = { start: 0, end: bytes.length }) => {
            streams += 1;
            return new Blob([bytes.subarray(range.start, range.end)]).stream();
          },
        }
      );
    },
  };
  const methods = [
    ...syncRepoMethods({ accounts: repos, repos }),
    ...deprecatedSyncMethods({ accounts: repos, repos }),
    ...repoStatusMethods({ accounts: repos, repos, log }),
    ...syncBlobMethods({ accounts: repos, repos, blobs, log }),
  ];
  return { call: callerOf(methods), repos, repo, files, errors, warnings, log, streams: () => streams };
}

const sync = (name: string) => `com.atproto.sync.${name}`;
const anyCid = cidToString(cidOfRaw(PNG));

test("getRepo streams a CAR that the reference verifies", async () => {
  const { call, repo } = setUp();
  const answer = await call({ nsid: sync("getRepo"), params: { did: ALICE } });
  expect(answer.status).toBe(200);
  expect(answer.headers.get("content-type")).toBe("application/vnd.ipld.car");
  const verified = await verifyRepoCar(answer.bytes, ALICE, TEST_SIGNER.didKey);
  expect(verified.commit.rev).toBe(repo.state().head?.rev ?? "");
  expect(verified.creates).toHaveLength(3);
});

test("getRepo opens no export for a HEAD", async () => {
  const { call, repos } = setUp();
  repos.exportRepo = () => Promise.reject(new Error("opened"));
  const answer = await call({ nsid: sync("getRepo"), params: { did: ALICE }, verb: "HEAD" });
  expect(answer.status).toBe(200);
  expect(answer.headers.get("content-type")).toBe("application/vnd.ipld.car");
});

test("getLatestCommit reads what is durable", async () => {
  const { call, repo, repos } = setUp();
  const answer = await call({ nsid: sync("getLatestCommit"), params: { did: ALICE } });
  const head = repo.state().head!;
  expect(answer.body).toEqual({ cid: cidToString(head.commit), rev: head.rev });
  expect(repos.durableReads).toBe(1);
});

test("getRecord proves a record, to the reference's satisfaction", async () => {
  const { call } = setUp();
  const { bytes } = await call({
    nsid: sync("getRecord"),
    params: { did: ALICE, collection: NOTE, rkey: "b" },
  });
  const records = await verifyRecords(bytes, ALICE, TEST_SIGNER.didKey);
  expect(records).toEqual([{ collection: NOTE, rkey: "b", record: { $type: NOTE, n: 2 } }]);
});

test("getRecord proves that there is no record", async () => {
  const { call } = setUp();
  const answer = await call({
    nsid: sync("getRecord"),
    params: { did: ALICE, collection: NOTE, rkey: "none" },
  });
  expect(answer.status).toBe(200);
  const claim = { collection: NOTE, rkey: "none", cid: null };
  const { verified } = await verifyProofs(answer.bytes, [claim], ALICE, TEST_SIGNER.didKey);
  expect(verified).toHaveLength(1);
});

test("getBlocks gives each block once, in a CAR without a root", async () => {
  const { call, repo } = setUp();
  const cid = cidToString(repo.record(NOTE, "a")!.cid);
  const { bytes, status } = await call({ nsid: sync("getBlocks"), params: { did: ALICE, cids: [cid, cid] } });
  expect(status).toBe(200);
  const car = readCar(bytes);
  expect(car.roots).toHaveLength(0);
  expect([...car.blocks].map((block) => cidToString(block.cid))).toEqual([cid]);
});

const absent = cidToString(cidOfCbor(encodeCbor({ not: "here" })));

test.each([
  ["a block that is not there", { cids: [absent] }, "BlockNotFound", new RegExp(absent)],
  [
    "a CID of another kind",
    { cids: ["bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"] },
    "InvalidRequest",
    /cid/,
  ],
  ["what is no CID", { cids: ["../../etc/passwd"] }, "InvalidRequest", /cids/],
  ["no CID", {}, "InvalidRequest", /cids/],
  ["too many", { cids: Array.from({ length: 501 }, () => absent) }, "InvalidRequest", /500/],
])("getBlocks refuses %s", async (_name, params, error, message) => {
  const { call } = setUp();
  const answer = await call({ nsid: sync("getBlocks"), params: { did: ALICE, ...params } });
  expect(answer.status).toBe(400);
  expect(answer.body).toMatchObject({ error, message: expect.stringMatching(message) });
});

const GATED = ["getRepo", "getLatestCommit", "getRecord", "getBlocks", "getBlob", "listBlobs"];
const extra: Record<string, object> = {
  getRecord: { collection: NOTE, rkey: "a" },
  getBlocks: { cids: [absent] },
  getBlob: { cid: anyCid },
};

test.each(
  GATED.flatMap((name) => [
    [name, "deactivated", "RepoDeactivated"],
    [name, "takendown", "RepoTakendown"],
    [name, "suspended", "RepoSuspended"],
    [name, "creating", "RepoNotFound"],
    [name, "deleting", "RepoNotFound"],
    [name, "deleted", "RepoNotFound"],
    [name, "unheardof", "RepoNotFound"],
  ]),
)("%s of an account that is %s says %s", async (name = "", state, error) => {
  const { call } = setUp();
  const params = { did: `did:plc:${state}`, ...extra[name] };
  const answer = await call({ nsid: sync(name), params });
  expect(answer.body).toMatchObject({ error });
  expect(answer.status).toBe(400);
});

test.each([
  ["did:plc:deactivated", "did:plc:deactivated", 200],
  ["did:plc:takendown", "did:plc:takendown", 200],
  ["admin", "did:plc:deactivated", 200],
  ["did:plc:active", "did:plc:deactivated", 400],
])("getRepo as %s of %s answers %p", async (as, did, status) => {
  const { call } = setUp();
  const answer = await call({ nsid: sync("getRepo"), params: { did }, as });
  expect(answer.status).toBe(status);
  expect(answer.headers.get("cache-control")).toBe("private");
});

test.each([
  ["active", { active: true, rev: expect.any(String) }],
  ["deactivated", { active: false, status: "deactivated" }],
  ["takendown", { active: false, status: "takendown" }],
  ["suspended", { active: false, status: "suspended" }],
  ["deleting", { active: false, status: "deleted" }],
  ["deleted", { active: false, status: "deleted" }],
])("getRepoStatus of an account that is %s", async (state, expected) => {
  const { call } = setUp();
  const did = `did:plc:${state}`;
  expect((await call({ nsid: sync("getRepoStatus"), params: { did } })).body).toEqual({ did, ...expected });
});

test.each(["creating", "unheardof"])("getRepoStatus knows no account that is %s", async (state) => {
  const { call } = setUp();
  const answer = await call({ nsid: sync("getRepoStatus"), params: { did: `did:plc:${state}` } });
  expect(answer).toMatchObject({ status: 400, body: { error: "RepoNotFound" } });
});

test("listRepos lists by pages what exists, inactive accounts with their status", async () => {
  const { call } = setUp();
  const listed: { did: string; active: boolean; status?: string }[] = [];
  let cursor: string | undefined;
  let pages = 0;
  do {
    const params = { limit: 2, ...(cursor === undefined ? {} : { cursor }) };
    const { body } = await call({ nsid: sync("listRepos"), params });
    const page = body as { repos: typeof listed; cursor?: string };
    listed.push(...page.repos);
    cursor = page.cursor;
    pages += 1;
  } while (cursor !== undefined);
  expect(pages).toBe(4);
  expect(listed.map(({ did, active, status }) => [did, active, status])).toEqual([
    ["did:plc:active", true, undefined],
    ["did:plc:deactivated", false, "deactivated"],
    ["did:plc:takendown", false, "takendown"],
    ["did:plc:suspended", false, "suspended"],
  ]);
});

test("listRepos goes on past a repo that cannot be read, and says so in the log", async () => {
  const { call, repos, errors } = setUp();
  const read = repos.readDurable.bind(repos);
  repos.readDurable = (did, callback) =>
    did === ALICE ? Promise.reject(new KithError("storage_damaged", "broken")) : read(did, callback);
  const { body } = await call({ nsid: sync("listRepos") });
  expect((body as { repos: unknown[] }).repos).toHaveLength(3);
  expect(errors).toHaveLength(1);
});

test("getBlob gives a referenced blob, with headers that keep it from running", async () => {
  const { call } = setUp();
  const cid = cidToString(cidOfRaw(HTML));
  const { status, headers, bytes } = await call({ nsid: sync("getBlob"), params: { did: ALICE, cid } });
  expect(status).toBe(200);
  expect(Buffer.from(bytes)).toEqual(HTML);
  expect(headers.get("content-type")).toBe("text/html");
  expect(headers.get("content-length")).toBe(String(HTML.length));
  expect(headers.get("x-content-type-options")).toBe("nosniff");
  expect(headers.get("content-security-policy")).toBe("default-src 'none'; sandbox");
  expect(headers.get("content-disposition")).toBe(`attachment; filename="${cid}"`);
});

test("getBlob sends a file with its length and our headers, and in ranges", async () => {
  const folder = await mkdtemp(join(tmpdir(), "kith-get-blob-"));
  const path = join(folder, "blob");
  await Bun.write(path, PNG);
  const repos = new TestRepos(accountsInEveryState());
  const cid = cidOfRaw(PNG);
  repos
    .repo(ALICE)
    .blobs.set(cidKey(cid), { cid, mimeType: "image/png", size: PNG.length, referenced: true });
  const file = {
    size: PNG.length,
    file: Bun.file(path),
    stream: async (range = { start: 0, end: PNG.length }) =>
      Bun.file(path).slice(range.start, range.end).stream(),
  };
  const methods = syncBlobMethods({
    accounts: repos,
    repos,
    blobs: { open: async () => file },
    log: setUp().log,
  });
  const router = new Router({ methods, authenticator: { authenticate: async () => null } });
  const context = { requestId: "test", ip: "::1" };
  const nsid = sync("getBlob");
  const server = Bun.serve({ port: 0, fetch: (request) => router.handle(request, { nsid, context }) });
  try {
    const url = new URL(`/?did=${ALICE}&cid=${cidToString(cid)}`, server.url);
    const whole = await fetch(url);
    expect(Buffer.from(await whole.bytes())).toEqual(PNG);
    expect(whole.headers.get("content-length")).toBe(String(PNG.length));
    expect(whole.headers.get("content-type")).toBe("image/png");
    expect(whole.headers.get("content-disposition")).toMatch(/^attachment; filename="bafk/);
    const part = await fetch(url, { headers: { range: "bytes=1-3" } });
    expect([part.status, await part.text()]).toEqual([206, "PNG"]);
    expect(part.headers.get("content-security-policy")).toBe("default-src 'none'; sandbox");
    const several = await fetch(url, { headers: { range: "bytes=0-0,2-3" } });
    expect([several.status, Buffer.from(await several.bytes())]).toEqual([200, PNG]);
    const head = await fetch(url, { method: "HEAD" });
    expect(head.headers.get("content-length")).toBe(String(PNG.length));
  } finally {
    await server.stop(true);
    await rm(folder, { recursive: true });
  }
});

const ETAG = `"${anyCid}"`;
const all = PNG.length;

test.each([
  [{ range: "bytes=1-3" }, 206, `bytes 1-3/${all}`, PNG.subarray(1, 4)],
  [{ range: "bytes=2-" }, 206, `bytes 2-${all - 1}/${all}`, PNG.subarray(2)],
  [{ range: "bytes=-2" }, 206, `bytes ${all - 2}-${all - 1}/${all}`, PNG.subarray(all - 2)],
  [{ range: "bytes=-9999999999999999999999" }, 206, `bytes 0-${all - 1}/${all}`, PNG],
  [{ range: "bytes=1-9999999" }, 206, `bytes 1-${all - 1}/${all}`, PNG.subarray(1)],
  [{ range: "bytes=1-3", "if-range": ETAG }, 206, `bytes 1-3/${all}`, PNG.subarray(1, 4)],
  [{ range: "bytes=1-3", "if-range": '"another"' }, 200, null, PNG],
  [{ range: "bytes=1-3", "if-range": "Sat, 21 Nov 2026 11:00:00 GMT" }, 200, null, PNG],
  [{ range: "bytes=0-0,2-3" }, 200, null, PNG],
  [{ range: "bytes=3-1" }, 200, null, PNG],
  [{ range: "bytes=-" }, 200, null, PNG],
  [{ range: "lines=1-2" }, 200, null, PNG],
  [{ range: `bytes=${all}-` }, 416, `bytes */${all}`, Buffer.alloc(0)],
  [{ range: "bytes=-0" }, 416, `bytes */${all}`, Buffer.alloc(0)],
  [{ "if-none-match": ETAG }, 304, null, Buffer.alloc(0)],
  [{ "if-none-match": `"x", W/${ETAG}` }, 304, null, Buffer.alloc(0)],
  [{ "if-none-match": '"x"' }, 200, null, PNG],
])("getBlob answers %j with %i", async (headers, status, range, expected) => {
  const { call } = setUp();
  const answer = await call({ nsid: sync("getBlob"), params: { did: ALICE, cid: anyCid }, headers });
  expect([answer.status, answer.headers.get("content-range")]).toEqual([status, range]);
  expect(Buffer.from(answer.bytes)).toEqual(Buffer.from(expected));
  expect(answer.headers.get("etag")).toBe(ETAG);
  expect(answer.headers.get("accept-ranges")).toBe("bytes");
  expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
  expect(answer.headers.get("content-security-policy")).toBe("default-src 'none'; sandbox");
});

test("getBlob tells the operator of a blob whose file is missing", async () => {
  const { call, files, warnings } = setUp();
  files.clear();
  const answer = await call({ nsid: sync("getBlob"), params: { did: ALICE, cid: anyCid } });
  expect(answer).toMatchObject({ status: 400, body: { error: "BlobNotFound" } });
  expect(warnings).toEqual(["The file of a blob is missing"]);
});

test("getBlob answers HEAD without opening a stream", async () => {
  const { call, streams } = setUp();
  const answer = await call({ nsid: sync("getBlob"), params: { did: ALICE, cid: anyCid }, verb: "HEAD" });
  expect(answer.status).toBe(200);
  expect(answer.headers.get("content-length")).toBe(String(PNG.length));
  expect(streams()).toBe(0);
});

test.each([
  ["a blob that no record references", cidToString(cidOfRaw(Buffer.from("temporary")))],
  ["a blob that is not there", cidToString(cidOfRaw(Buffer.from("never")))],
])("getBlob does not give %s", async (_name, cid) => {
  const { call } = setUp();
  const answer = await call({ nsid: sync("getBlob"), params: { did: ALICE, cid } });
  expect(answer).toMatchObject({ status: 400, body: { error: "BlobNotFound" } });
});

test("getBlob does not give a file that is not as long as the blob was", async () => {
  const { call, files } = setUp();
  const cid = cidOfRaw(HTML);
  files.set(cidKey(cid), Buffer.from(HTML.subarray(0, 3)));
  const answer = await call({ nsid: sync("getBlob"), params: { did: ALICE, cid: cidToString(cid) } });
  expect(answer).toMatchObject({ status: 500, body: { error: "InternalServerError" } });
});

test("listBlobs lists referenced blobs by pages", async () => {
  const { call } = setUp();
  const first = (await call({ nsid: sync("listBlobs"), params: { did: ALICE, limit: 1 } })).body;
  const { cids, cursor } = first as { cids: string[]; cursor: string };
  const second = (await call({ nsid: sync("listBlobs"), params: { did: ALICE, limit: 1, cursor } })).body;
  const rest = second as { cids: string[]; cursor?: string };
  expect([...cids, ...rest.cids].sort()).toEqual(
    [PNG, HTML].map((bytes) => cidToString(cidOfRaw(bytes))).sort(),
  );
  expect(rest.cursor).toBeUndefined();
});

test("getHead answers the commit, and HeadNotFound for a repo that is not here", async () => {
  const { call, repo } = setUp();
  const answer = await call({ nsid: sync("getHead"), params: { did: ALICE } });
  expect(answer.body).toEqual({ root: cidToString(repo.state().head!.commit) });
  for (const did of ["did:plc:nobody", "did:plc:creating", "did:plc:deleted"]) {
    const refused = await call({ nsid: sync("getHead"), params: { did } });
    expect(refused).toMatchObject({ status: 400, body: { error: "HeadNotFound" } });
  }
});

test.each([
  ["takendown", "RepoTakendown"],
  ["suspended", "RepoSuspended"],
  ["deactivated", "RepoDeactivated"],
])("getHead and getCheckout of a %s account are its owner's alone", async (state, error) => {
  const { call } = setUp();
  const did = `did:plc:${state}`;
  for (const name of ["getHead", "getCheckout"]) {
    const refused = await call({ nsid: sync(name), params: { did } });
    expect(refused).toMatchObject({ status: 400, body: { error } });
    expect((await call({ nsid: sync(name), params: { did }, as: did })).status).toBe(200);
  }
});

test("getCheckout answers what getRepo answers", async () => {
  const { call } = setUp();
  const checkout = await call({ nsid: sync("getCheckout"), params: { did: ALICE } });
  const whole = await call({ nsid: sync("getRepo"), params: { did: ALICE } });
  expect(Buffer.compare(checkout.bytes, whole.bytes)).toBe(0);
  expect(checkout.headers.get("content-type")).toBe("application/vnd.ipld.car");
  expect((await call({ nsid: sync("getCheckout"), params: { did: "did:plc:nobody" } })).status).toBe(400);
});

test("listReposByCollection lists active repos that have the collection, page by page", async () => {
  const { call, repos } = setUp();
  for (const did of ["did:plc:two", "did:plc:three"]) {
    repos.accounts.push({ did, handle: `${did.slice(8)}.test`, state: "active" });
    repos.repos.set(did, new TestRepo(did));
  }
  for (const did of ["did:plc:three", "did:plc:deactivated"]) {
    repos.repo(did).create({ [`${NOTE}/a`]: { $type: NOTE, n: 1 } });
  }
  const nsid = sync("listReposByCollection");
  const all = await call({ nsid, params: { collection: NOTE } });
  expect(all.body).toEqual({ repos: [{ did: ALICE }, { did: "did:plc:three" }] });
  const paged: string[] = [];
  for (let cursor: string | undefined, pages = 0; pages < 20; pages++) {
    const params = { collection: NOTE, limit: 2, ...(cursor === undefined ? {} : { cursor }) };
    const body = (await call({ nsid, params })).body as { cursor?: string; repos: { did: string }[] };
    paged.push(...body.repos.map(({ did }) => did));
    cursor = body.cursor;
    if (cursor === undefined) break;
  }
  expect(paged).toEqual([ALICE, "did:plc:three"]);
  expect((await call({ nsid, params: { collection: "x.y.z" } })).body).toEqual({ repos: [] });
  expect(await call({ nsid, params: { collection: "no nsid" } })).toMatchObject({ status: 400 });
});

test("listReposByCollection goes on past a repo that cannot be read", async () => {
  const { call, repos, errors } = setUp();
  repos.readDurable = () => Promise.reject(new KithError("storage_damaged", "broken"));
  const answer = await call({ nsid: sync("listReposByCollection"), params: { collection: NOTE } });
  expect([answer.body, errors.length]).toEqual([{ repos: [] }, 1]);
});

test("What is taken down is hidden from others, and the signed tree stays whole", async () => {
  const { call, repo } = setUp();
  const { cid } = repo.record(NOTE, "b")!;
  const blob = cidOfRaw(HTML);
  for (const name of [`${NOTE}/b`, cidToString(cid), cidToString(blob)]) repo.takenDown.add(name);
  const record = { nsid: sync("getRecord"), params: { did: ALICE, collection: NOTE, rkey: "b" } };
  const blocks = { nsid: sync("getBlocks"), params: { did: ALICE, cids: [cidToString(cid)] } };
  for (const as of [undefined, "did:plc:deactivated"]) {
    expect((await call({ ...record, as })).body).toMatchObject({ error: "RecordNotFound" });
    expect((await call({ ...blocks, as })).body).toMatchObject({ error: "BlockNotFound" });
  }
  for (const as of [ALICE, "admin"]) {
    expect((await call({ ...record, as })).status).toBe(200);
    expect((await call({ ...blocks, as })).status).toBe(200);
  }
  const other = await call({ ...record, params: { ...record.params, rkey: "a" } });
  expect(other.status).toBe(200);
  const { bytes } = await call({ nsid: sync("getRepo"), params: { did: ALICE } });
  expect((await verifyRepoCar(bytes, ALICE, TEST_SIGNER.didKey)).creates).toHaveLength(3);

  const got = { nsid: sync("getBlob"), params: { did: ALICE, cid: cidToString(blob) } };
  const listed = async (as?: string) => {
    const { body } = await call({ nsid: sync("listBlobs"), params: { did: ALICE }, as });
    return (body as { cids: string[] }).cids.includes(cidToString(blob));
  };
  for (const as of [undefined, ALICE]) {
    expect((await call({ ...got, as })).body).toMatchObject({ error: "BlobNotFound" });
    expect(await listed(as)).toBe(false);
  }
  expect((await call({ ...got, as: "admin" })).bytes).toEqual(new Uint8Array(HTML));
  expect(await listed("admin")).toBe(true);
});
