/** An account moves from one server to another: 2,000 records and blobs, its DID document at each step, and what goes wrong on the way. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Secp256k1Keypair } from "@atproto/crypto";
import * as plcLib from "@did-plc/lib";
import {
  type Account,
  createAccount,
  createRecord,
  newPicture,
  PASSWORD,
  post,
  repoCar,
  xrpc,
} from "../client.ts";
import { describeEvent, Firehose } from "../firehose.ts";
import { KEY_TYPES, type KeyType, TestServer } from "../harness.ts";
import { blocksOf, type JudgedRepo, judgeRepo, signingKeyOf } from "../judges.ts";
import { PlcDirectory } from "../plc_directory.ts";
import { applyCreates } from "../scale/load.ts";

const RECORDS = 2_000;
const BLOBS = 12;
const ROTATION_KEY = "6b".repeat(32);
const CAR = { "content-type": "application/vnd.ipld.car" };
const CREATE = "com.atproto.server.createAccount";
const IMPORT = "com.atproto.repo.importRepo";

class Move implements AsyncDisposable {
  readonly plc: PlcDirectory;
  readonly old: TestServer;
  readonly next: TestServer;
  readonly firehose: Firehose;
  alice!: Account;
  mallory!: Account;
  /** The repo at the old server. */
  car!: Uint8Array;
  before!: JudgedRepo;
  readonly blobs: string[] = [];
  token = "";

  private constructor(parts: Pick<Move, "plc" | "old" | "next" | "firehose">) {
    this.plc = parts.plc;
    this.old = parts.old;
    this.next = parts.next;
    this.firehose = parts.firehose;
  }

  static async open(keyType: KeyType): Promise<Move> {
    const plc = await PlcDirectory.start();
    const env = { PDS_DID_PLC_URL: plc.url, PDS_ACCOUNT_KEY_TYPE: keyType };
    const old = await TestServer.start({
      env: { ...env, PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX: ROTATION_KEY },
    });
    const next = await TestServer.start({ env });
    const move = new Move({ plc, old, next, firehose: await Firehose.connect(next.url) });
    await move.fill();
    return move;
  }

  async fill(): Promise<void> {
    this.alice = await createAccount(this.old.url, "alice", this.plc);
    this.mallory = await createAccount(this.old.url, "mallory", this.plc);
    const { accessJwt: token } = this.alice;
    for (let i = 0; i < BLOBS; i++) {
      const { json } = await xrpc(this.old.url, "com.atproto.repo.uploadBlob", {
        token,
        body: newPicture(5_000 + i),
        headers: { "content-type": "image/png" },
      });
      const blob = json.blob as { ref: { $link: string } };
      this.blobs.push(blob.ref.$link);
      await createRecord(this.old.url, this.alice, {
        record: post(`picture ${i}`, {
          embed: { $type: "app.bsky.embed.images", images: [{ image: blob, alt: "" }] },
        }),
      });
    }
    for (let done = BLOBS; done < RECORDS; done += 200) {
      const count = Math.min(200, RECORDS - done);
      await applyCreates(
        this.old.url,
        this.alice,
        Array.from({ length: count }, (_, i) => post(`number ${done + i}`)),
      );
    }
    this.car = await repoCar(this.old.url, this.alice.did);
    this.before = await judgeRepo(this.car, this.alice.did, this.alice.didKey);
  }

  async serviceToken(account: Account, change: { aud?: string; lxm?: string } = {}): Promise<string> {
    const { json } = await xrpc(this.next.url, "com.atproto.server.describeServer");
    const params = { aud: change.aud ?? String(json.did), lxm: change.lxm ?? CREATE };
    const answer = await xrpc(this.old.url, "com.atproto.server.getServiceAuth", {
      token: account.accessJwt,
      params,
    });
    return String(answer.json.token);
  }

  create(token: string | undefined, change: Record<string, unknown> = {}) {
    const body = {
      did: this.alice.did,
      handle: "alice.test",
      email: "alice@example.com",
      password: PASSWORD,
    };
    return xrpc(this.next.url, CREATE, { token, body: { ...body, ...change } });
  }

  at(nsid: string, call: Parameters<typeof xrpc>[2] = {}) {
    return xrpc(this.next.url, nsid, { token: this.token, ...call });
  }

  import(body: Uint8Array) {
    return this.at(IMPORT, { body, headers: CAR });
  }

  /** The repo at the new server, which only its owner may have yet. */
  async exported(): Promise<Uint8Array> {
    const answer = await this.at("com.atproto.sync.getRepo", { params: { did: this.alice.did } });
    expect(answer.status).toBe(200);
    return answer.bytes;
  }

  async newKey(): Promise<string> {
    const { json } = await this.at("com.atproto.identity.getRecommendedDidCredentials");
    return (json.verificationMethods as { atproto: string }).atproto;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.firehose[Symbol.dispose]();
    await this.old[Symbol.asyncDispose]();
    await this.next[Symbol.asyncDispose]();
    await this.plc[Symbol.asyncDispose]();
  }
}

describe.each([...KEY_TYPES])("moving in (%s)", (keyType) => {
  let move: Move;
  beforeAll(async () => {
    move = await Move.open(keyType);
  }, 120_000);
  afterAll(() => move?.[Symbol.asyncDispose]());

  test("createAccount with a DID asks for a service token of that DID, for this server and method", async () => {
    const { alice, mallory } = move;
    const refused: [string | undefined, string][] = [
      [undefined, "AuthenticationRequired"],
      [alice.accessJwt, "AuthenticationRequired"],
      [await move.serviceToken(mallory), "AuthenticationRequired"],
      [await move.serviceToken(alice, { aud: "did:web:elsewhere.example.com" }), "BadJwtAudience"],
      [await move.serviceToken(alice, { lxm: "com.atproto.repo.uploadBlob" }), "BadJwtLexiconMethod"],
    ];
    for (const [token, error] of refused) {
      const answer = await move.create(token);
      expect([answer.status, [error, "BadJwt"]]).toEqual([401, expect.arrayContaining([answer.error])]);
    }
    const token = await move.serviceToken(alice);
    const elsewhere = await move.create(token, { handle: "alice.example.com" });
    expect([elsewhere.status, elsewhere.error]).toEqual([400, "InvalidHandle"]);
  });

  test("createAccount with a DID uses the reserved key, begins deactivated, and tells nobody", async () => {
    const { alice } = move;
    const reserved = await xrpc(move.next.url, "com.atproto.server.reserveSigningKey", {
      body: { did: alice.did },
    });
    const token = await move.serviceToken(alice);
    const made = await move.create(token);
    expect([made.status, made.json.did, made.json.handle]).toEqual([200, alice.did, "alice.test"]);
    move.token = String(made.json.accessJwt);
    expect(await move.newKey()).toBe(String(reserved.json.signingKey));
    const session = await move.at("com.atproto.server.getSession");
    expect([session.json.active, session.json.status]).toEqual([false, "deactivated"]);
    const replayed = await move.create(token);
    expect(replayed.status).toBe(401);
    const again = await move.create(await move.serviceToken(alice));
    expect([again.status, again.error]).toEqual([400, "AlreadyExists"]);
    const status = await xrpc(move.next.url, "com.atproto.sync.getRepoStatus", {
      params: { did: alice.did },
    });
    expect(status.json).toEqual({ did: alice.did, active: false, status: "deactivated" });
  });

  test("importRepo refuses what is cut off, another's, or signed by another, and changes nothing", async () => {
    const before = await move.exported();
    const foreign = await repoCar(move.old.url, move.mallory.did);
    for (const body of [move.car.subarray(0, move.car.length - 100), move.car.subarray(0, 50_000), foreign]) {
      const answer = await move.import(body);
      expect([answer.status, answer.error]).toEqual([400, "InvalidRequest"]);
    }
    const anonymous = await xrpc(move.next.url, IMPORT, { body: move.car, headers: CAR });
    expect([anonymous.status, anonymous.error]).toEqual([401, "AuthMissing"]);
    expect(Buffer.compare(await move.exported(), before)).toBe(0);
  });

  test("importRepo brings the repo, under a commit by the new key; the tree is the same", async () => {
    const answer = await move.import(move.car);
    expect([answer.status, answer.json]).toEqual([200, {}]);
    const after = await judgeRepo(await move.exported(), move.alice.did, await move.newKey());
    expect(after.data).toBe(move.before.data);
    expect(after.records).toEqual(move.before.records);
    expect(after.rev > move.before.rev).toBe(true);
    const anonymous = await xrpc(move.next.url, "com.atproto.sync.getRepo", {
      params: { did: move.alice.did },
    });
    expect([anonymous.status, anonymous.error]).toEqual([400, "RepoDeactivated"]);
  });

  test("listMissingBlobs names the blobs until they are uploaded, and then they are served", async () => {
    const named = async (limit: number) => {
      const found: string[] = [];
      for (let cursor: string | undefined; ; ) {
        const { json } = await move.at("com.atproto.repo.listMissingBlobs", { params: { limit, cursor } });
        found.push(...(json.blobs as { cid: string }[]).map(({ cid }) => cid));
        cursor = json.cursor as string | undefined;
        if (cursor === undefined) return found;
      }
    };
    expect((await named(5)).sort()).toEqual([...move.blobs].sort());
    for (const cid of move.blobs) {
      const params = { did: move.alice.did, cid };
      const blob = await xrpc(move.old.url, "com.atproto.sync.getBlob", { params });
      const headers = { "content-type": "*/*" };
      await move.at("com.atproto.repo.uploadBlob", { body: blob.bytes, headers });
      const served = await move.at("com.atproto.sync.getBlob", { params });
      expect([served.status, Buffer.compare(served.bytes, blob.bytes)]).toEqual([200, 0]);
    }
    expect(await named(500)).toEqual([]);
  });

  test("an import is the same after kill -9, and may be repeated", async () => {
    const before = await move.exported();
    await move.next.kill();
    await move.next.start();
    expect(Buffer.compare(await move.exported(), before)).toBe(0);
    expect((await move.import(move.car)).status).toBe(200);
    const after = await judgeRepo(await move.exported(), move.alice.did, await move.newKey());
    expect(after.data).toBe(move.before.data);
    using firehose = await Firehose.connect(move.next.url, { cursor: 0 });
    await createAccount(move.next.url, "bystander", move.plc);
    await firehose.find("the bystander", ({ type }) => type === "#sync");
    expect(firehose.events.filter(({ did }) => did === move.alice.did)).toEqual([]);
  });

  test("submitPlcOperation refuses what would not work here, and moves the DID document", async () => {
    const { alice, plc, next } = move;
    const { json } = await move.at("com.atproto.identity.getRecommendedDidCredentials");
    const signer = await Secp256k1Keypair.import(Buffer.from(ROTATION_KEY, "hex"));
    const last = (await plc.log(alice.did)).at(-1) as unknown as plcLib.CompatibleOp;
    const sign = (change: object) =>
      plcLib.createUpdateOp(last, signer, (state) => ({ ...state, ...json, ...change }));
    const submit = (operation: unknown) =>
      move.at("com.atproto.identity.submitPlcOperation", { body: { operation } });
    for (const change of [
      { rotationKeys: [signer.did()] },
      { services: {} },
      { alsoKnownAs: ["at://x.test"] },
    ]) {
      const refused = await submit(await sign(change));
      expect([refused.status, refused.error]).toEqual([400, "InvalidRequest"]);
    }
    using firehose = await Firehose.connect(next.url);
    const operation = await sign({});
    expect((await submit(operation)).status).toBe(200);
    const event = await firehose.find("the #identity", ({ did }) => did === alice.did);
    expect(describeEvent(event)).toBe("#identity");
    const document = await plc.document(alice.did);
    expect(signingKeyOf(document)).toBe(await move.newKey());
    expect(document?.service).toMatchObject([{ id: "#atproto_pds", serviceEndpoint: next.url }]);
    expect((await submit(operation)).status).toBe(400);
    // By now signed by an earlier key of the DID, as of a member whom the server before has not seen write.
    expect((await move.import(move.car)).status).toBe(200);
  });
});

test("importRepo into an active account sends one #sync of the new commit", async () => {
  await using server = await TestServer.start();
  const alice = await createAccount(server.url, "alice");
  await createRecord(server.url, alice, { record: post("kept") });
  const body = await repoCar(server.url, alice.did);
  await createRecord(server.url, alice, { record: post("gone") });
  using firehose = await Firehose.connect(server.url);
  const token = alice.accessJwt;
  expect((await xrpc(server.url, IMPORT, { token, body, headers: CAR })).status).toBe(200);
  const event = await firehose.find("the #sync", ({ type }) => type === "#sync");
  const repo = await judgeRepo(await repoCar(server.url, alice.did), alice.did, alice.didKey);
  expect([event.body.rev, repo.records.size]).toEqual([repo.rev, 1]);
  expect((await blocksOf(event.body.blocks as Uint8Array)).blocks.cids().map(String)).toEqual([repo.commit]);
  await createRecord(server.url, alice, { record: post("after") });
  await firehose.find("the next commit", ({ type, body }) => type === "#commit" && body.since === repo.rev);
});

test("importRepo is bounded by PDS_MAX_REPO_IMPORT_SIZE, and refused by PDS_ACCEPTING_REPO_IMPORTS=false", async () => {
  await using small = await TestServer.start({ env: { PDS_MAX_REPO_IMPORT_SIZE: "100" } });
  await using closed = await TestServer.start({ env: { PDS_ACCEPTING_REPO_IMPORTS: "false" } });
  for (const [server, status, error] of [
    [small, 413, "PayloadTooLarge"],
    [closed, 400, "InvalidRequest"],
  ] as const) {
    const alice = await createAccount(server.url, "alice");
    const body = await repoCar(server.url, alice.did);
    const answer = await xrpc(server.url, IMPORT, { token: alice.accessJwt, body, headers: CAR });
    expect([answer.status, answer.error]).toEqual([status, error]);
  }
});
