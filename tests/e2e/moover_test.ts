/** The calls of PDS MOover, a migration tool that runs in a browser, in its order and with what it relies on. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  type Account,
  type Answer,
  type Call,
  createAccount,
  createRecord,
  newPicture,
  PASSWORD,
  post,
  xrpc,
} from "../client.ts";
import { TestServer } from "../harness.ts";
import { PlcDirectory } from "../plc_directory.ts";
import { SmtpSink } from "../smtp_sink.ts";

const ORIGIN = "https://pdsmoover.com";
const PREFERENCES = [{ $type: "app.bsky.actor.defs#adultContentPref", enabled: false }];

let plc: PlcDirectory;
let sink: SmtpSink;
let old: TestServer;
let next: TestServer;
let alice: Account;

beforeAll(async () => {
  plc = await PlcDirectory.start();
  sink = await new SmtpSink().start();
  const mail = sink.env();
  old = await TestServer.start({ env: { PDS_DID_PLC_URL: plc.url, ...mail } });
  next = await TestServer.start({ env: { PDS_DID_PLC_URL: plc.url } });
  alice = await createAccount(old.url, "alice", plc);
  const { json } = await xrpc(old.url, "com.atproto.repo.uploadBlob", {
    token: alice.accessJwt,
    body: newPicture(4_000),
    headers: { "content-type": "image/png" },
  });
  const embed = { $type: "app.bsky.embed.images", images: [{ image: json.blob, alt: "" }] };
  await createRecord(old.url, alice, { record: post("a picture", { embed }) });
  await xrpc(old.url, "app.bsky.actor.putPreferences", {
    token: alice.accessJwt,
    body: { preferences: PREFERENCES },
  });
}, 120_000);
afterAll(async () => {
  await next?.[Symbol.asyncDispose]();
  await old?.[Symbol.asyncDispose]();
  await sink?.[Symbol.asyncDispose]();
  await plc?.[Symbol.asyncDispose]();
});

/** As a browser calls: every answer must be readable by the page. */
async function call(server: TestServer, nsid: string, request: Call = {}): Promise<Answer> {
  const answer = await xrpc(server.url, nsid, {
    ...request,
    headers: { origin: ORIGIN, ...request.headers },
  });
  expect([nsid, answer.headers.get("access-control-allow-origin")]).toEqual([nsid, "*"]);
  return answer;
}

async function ok(server: TestServer, nsid: string, request: Call = {}): Promise<Answer> {
  const answer = await call(server, nsid, request);
  expect([nsid, answer.status, answer.error]).toEqual([nsid, 200, undefined]);
  return answer;
}

test("a browser may send what it has to: the headers are named, as * does not cover Authorization", async () => {
  const wanted = ["authorization", "atproto-proxy", "atproto-accept-labelers", "content-type"];
  const answer = await xrpc(next.url, "com.atproto.server.createAccount", {
    method: "OPTIONS",
    headers: {
      origin: ORIGIN,
      "access-control-request-method": "POST",
      "access-control-request-headers": wanted.join(","),
    },
  });
  const allowed = (answer.headers.get("access-control-allow-headers") ?? "").toLowerCase().split(/,\s*/);
  for (const name of wanted) expect(allowed).toContain(name);
});

test("its calls move an account, in its order", async () => {
  const { did } = alice;
  const signIn = (server: TestServer) =>
    ok(server, "com.atproto.server.createSession", { body: { identifier: did, password: PASSWORD } });
  const oldToken = String((await signIn(old)).json.accessJwt);
  const { json: described } = await ok(next, "com.atproto.server.describeServer");
  const unknown = await call(next, "com.atproto.sync.getRepoStatus", { params: { did } });
  expect([unknown.status, unknown.error]).toEqual([400, "RepoNotFound"]);

  const params = { aud: String(described.did), lxm: "com.atproto.server.createAccount" };
  const create = async () => {
    const auth = await ok(old, "com.atproto.server.getServiceAuth", { token: oldToken, params });
    const body = { did, handle: alice.handle, email: alice.email, password: PASSWORD };
    return await call(next, "com.atproto.server.createAccount", { token: String(auth.json.token), body });
  };
  expect((await create()).status).toBe(200);
  expect((await create()).error).toBe("AlreadyExists");
  await ok(next, "com.atproto.sync.getRepoStatus", { params: { did } });
  const session = (await signIn(next)).json;
  // One would follow it to the old server.
  expect([session.active, session.didDoc]).toEqual([false, undefined]);
  const token = String(session.accessJwt);

  const { bytes: car } = await ok(old, "com.atproto.sync.getRepo", { token: oldToken, params: { did } });
  const type = { "content-type": "application/vnd.ipld.car" };
  await ok(next, "com.atproto.repo.importRepo", { token, body: car, headers: type });
  const before = await ok(next, "com.atproto.server.checkAccountStatus", { token });
  expect(before.json).toMatchObject({ activated: false, expectedBlobs: 1, importedBlobs: 0 });
  const { json: missing } = await ok(next, "com.atproto.repo.listMissingBlobs", {
    token,
    params: { limit: 100 },
  });
  const { json: listed } = await ok(old, "com.atproto.sync.listBlobs", { params: { did, limit: 100 } });
  expect((missing.blobs as { cid: string }[]).map(({ cid }) => cid)).toEqual(listed.cids as string[]);
  for (const cid of listed.cids as string[]) {
    const blob = await ok(old, "com.atproto.sync.getBlob", { params: { did, cid } });
    const headers = { "content-type": blob.headers.get("content-type") ?? "" };
    await ok(next, "com.atproto.repo.uploadBlob", { token, body: blob.bytes, headers });
  }
  const after = await ok(next, "com.atproto.server.checkAccountStatus", { token });
  expect(after.json).toMatchObject({ expectedBlobs: 1, importedBlobs: 1 });

  const kept = await ok(old, "app.bsky.actor.getPreferences", { token: oldToken });
  await ok(next, "app.bsky.actor.putPreferences", { token, body: kept.json });
  await ok(old, "com.atproto.identity.requestPlcOperationSignature", { method: "POST", token: oldToken });
  const code = await sink.codeTo(alice.email, /PLC/i);
  const recommended = await ok(next, "com.atproto.identity.getRecommendedDidCredentials", { token });
  const signed = await ok(old, "com.atproto.identity.signPlcOperation", {
    token: oldToken,
    body: { ...recommended.json, token: code },
  });
  await ok(next, "com.atproto.identity.submitPlcOperation", { token, body: signed.json });
  await ok(next, "com.atproto.server.activateAccount", { method: "POST", token });
  await ok(old, "com.atproto.server.deactivateAccount", { token: oldToken, body: {} });

  const status = await ok(next, "com.atproto.server.checkAccountStatus", { token });
  expect(status.json).toMatchObject({ activated: true, validDid: true, indexedRecords: 1 });
  expect((await ok(next, "app.bsky.actor.getPreferences", { token })).json).toEqual({
    preferences: PREFERENCES,
  });
  expect((await plc.document(did))?.service).toMatchObject([{ serviceEndpoint: next.url }]);
});

test("its way to turn an account off works at the old server still", async () => {
  const { json } = await ok(old, "com.atproto.server.createSession", {
    body: { identifier: alice.did, password: PASSWORD },
  });
  const token = String(json.accessJwt);
  const status = await ok(old, "com.atproto.server.checkAccountStatus", { token });
  expect(status.json).toMatchObject({ activated: false, validDid: false });
  await ok(old, "com.atproto.server.deactivateAccount", { token, body: {} });
});

test("methods that nobody knows are passed on to the service that it names", async () => {
  const { json } = await ok(next, "com.atproto.server.createSession", {
    body: { identifier: alice.did, password: PASSWORD },
  });
  const answer = await call(next, "com.pdsmoover.backup.signUp", {
    method: "POST",
    token: String(json.accessJwt),
    headers: { "atproto-proxy": "did:web:localhost%3A1#repo_backup" },
  });
  // Nobody is there: that is what it says, and not that the method is unknown.
  expect([answer.status, answer.error]).not.toEqual([501, "MethodNotImplemented"]);
});
