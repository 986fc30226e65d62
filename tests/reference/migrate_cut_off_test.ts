/** A move that is cut off at any step, by `kill -9`, can be gone on with, or taken back. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
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
import { TestServer } from "../harness.ts";
import { judgeRepo, signingKeyOf } from "../judges.ts";
import { type Ended, EXIT_UNANSWERED, Migrator } from "../migrator.ts";
import { PlcDirectory } from "../plc_directory.ts";
import { ReferencePds } from "../reference.ts";
import { SmtpSink } from "../smtp_sink.ts";
import { type Cut, StoppingProxy } from "../stopping_proxy.ts";

const NEW_PASSWORD = "a password of the new place";
const RUNS_MAX = 6;
const PREFERENCES = [{ $type: "app.bsky.actor.defs#adultContentPref", enabled: true }];

let plc: PlcDirectory;
let sink: SmtpSink;
let reference: ReferencePds;
let kith: TestServer;
let names = 0;

beforeAll(async () => {
  plc = await PlcDirectory.start();
  sink = await new SmtpSink().start();
  const env = {
    ...sink.env(),
    PDS_BSKY_APP_VIEW_URL: "http://localhost:1",
    PDS_BSKY_APP_VIEW_DID: "did:web:localhost",
  };
  reference = await ReferencePds.start({ plc, env });
  kith = await TestServer.start({ env: { PDS_DID_PLC_URL: plc.url } });
}, 120_000);
afterAll(async () => {
  await kith?.[Symbol.asyncDispose]();
  await reference?.[Symbol.asyncDispose]();
  await sink?.[Symbol.asyncDispose]();
  await plc?.[Symbol.asyncDispose]();
});

/** A member with a few records, an image and preferences, and what moves it. */
class Case implements AsyncDisposable {
  readonly account: Account;
  readonly proxy: StoppingProxy;
  readonly migrator: Migrator;

  private constructor(account: Account, proxy: StoppingProxy) {
    this.account = account;
    this.proxy = proxy;
    this.migrator = new Migrator({
      plc: plc.url,
      sourcePassword: PASSWORD,
      targetPassword: NEW_PASSWORD,
      proxy: proxy.url,
    });
  }

  static async open(): Promise<Case> {
    names += 1;
    const account = await createAccount(reference.url, `member${names}`, plc);
    const token = account.accessJwt;
    const { json } = await xrpc(reference.url, "com.atproto.repo.uploadBlob", {
      token,
      body: newPicture(20_000),
      headers: { "content-type": "image/png" },
    });
    const embed = { $type: "app.bsky.embed.images", images: [{ image: json.blob, alt: "" }] };
    await createRecord(reference.url, account, { record: post("with a picture", { embed }) });
    await createRecord(reference.url, account, { record: post("without") });
    const body = { preferences: PREFERENCES };
    await xrpc(reference.url, "app.bsky.actor.putPreferences", { token, body });
    return new Case(account, await StoppingProxy.start());
  }

  run(...more: string[]): Promise<Ended> {
    return this.migrator.run(["in", this.account.did, "--to", kith.url, "--yes", ...more]);
  }

  /** Runs until there is nothing left to do, with the code of the newest mail where one is asked for. */
  async runToEnd(code?: string): Promise<Ended> {
    const { email } = this.account;
    for (let runs = 0, more = code === undefined ? [] : ["--plc-code", code]; runs < RUNS_MAX; runs++) {
      const ended = await this.run(...more);
      if (ended.code !== EXIT_UNANSWERED) return ended;
      more = ["--plc-code", newestCode(email)];
    }
    throw new Error(`The move of "${this.account.did}" did not end in ${RUNS_MAX} runs`);
  }

  /** Runs until the cut, and kills it there. */
  async runToCut(cut: Cut): Promise<void> {
    const { promise: isCut, resolve } = Promise.withResolvers<void>();
    this.proxy.onCut = resolve;
    this.proxy.cut = cut;
    const first = this.run();
    const needsCode = await Promise.race([isCut, first.then((ended) => ended)]);
    if (needsCode !== undefined) {
      expect(needsCode).toMatchObject({ code: EXIT_UNANSWERED });
      const second = this.run("--plc-code", newestCode(this.account.email));
      await Promise.race([isCut, second]);
      this.migrator.kill();
      expect((await second).code).toBeNull();
      return;
    }
    this.migrator.kill();
    expect((await first).code).toBeNull();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.migrator[Symbol.dispose]();
    await this.proxy[Symbol.asyncDispose]();
  }
}

function newestCode(email: string): string {
  const mail = sink.mails.findLast(({ to, text }) => to.includes(email) && /PLC/.test(text));
  const [code] = /\b[A-Z2-7]{5}-[A-Z2-7]{5}\b/.exec(mail?.text ?? "") ?? [];
  if (code === undefined) throw new Error(`No code for "${email}"`);
  return code;
}

async function signIn(server: string, { did }: Account, password: string) {
  return await xrpc(server, "com.atproto.server.createSession", { body: { identifier: did, password } });
}

/** One account works, and the other does not. */
async function judgeMoved({ account }: Case): Promise<void> {
  const { did } = account;
  const document = await plc.document(did);
  expect(document?.service).toMatchObject([{ serviceEndpoint: kith.url }]);
  const repo = await judgeRepo(await repoCar(kith.url, did), did, signingKeyOf(document));
  expect(repo.records.size).toBe(2);
  const { json } = await signIn(kith.url, account, NEW_PASSWORD);
  const token = String(json.accessJwt);
  const missing = await xrpc(kith.url, "com.atproto.repo.listMissingBlobs", { token });
  expect([json.active, missing.json.blobs]).toEqual([true, []]);
  const preferences = await xrpc(kith.url, "app.bsky.actor.getPreferences", { token });
  expect(preferences.json.preferences).toEqual(PREFERENCES);
  await createRecord(kith.url, { did, accessJwt: token }, { record: post("here now") });
  const old = await xrpc(reference.url, "com.atproto.sync.getRepoStatus", { params: { did } });
  expect(old.json).toMatchObject({ active: false, status: "deactivated" });
}

/** The source is as it was, and the target knows nothing. */
async function judgeTakenBack({ account, migrator }: Case, document: unknown): Promise<void> {
  const { did } = account;
  expect(await plc.document(did)).toEqual(document as Record<string, unknown>);
  const status = await xrpc(kith.url, "com.atproto.sync.getRepoStatus", { params: { did } });
  // A kith remembers whom it has deleted.
  if (status.status === 200) expect(status.json).toEqual({ did, active: false, status: "deleted" });
  else expect([status.status, status.error]).toEqual([400, "RepoNotFound"]);
  expect((await signIn(kith.url, account, NEW_PASSWORD)).status).toBe(401);
  expect((await signIn(reference.url, account, PASSWORD)).json).toMatchObject({ did, active: true });
  await createRecord(reference.url, account, { record: post("still here") });
  expect(migrator.kept()).toEqual([]);
}

const EARLY: readonly Cut[] = [
  { at: "server.createSession", when: "before" },
  { at: "server.createAccount", when: "before" },
  { at: "server.createAccount", when: "after" },
  { at: "sync.getRepo", when: "half-way" },
  { at: "repo.importRepo", when: "before" },
  { at: "repo.importRepo", when: "after" },
  { at: "sync.getBlob", when: "half-way" },
  { at: "repo.uploadBlob", when: "after" },
  { at: "actor.putPreferences", when: "before" },
  { at: "actor.putPreferences", when: "after" },
  { at: "requestPlcOperationSignature", when: "before" },
  { at: "requestPlcOperationSignature", when: "after" },
  { at: "signPlcOperation", when: "before" },
  { at: "signPlcOperation", when: "after" },
  { at: "submitPlcOperation", when: "before" },
];
const LATE: readonly Cut[] = [
  { at: "submitPlcOperation", when: "after" },
  { at: "activateAccount", when: "before" },
  { at: "activateAccount", when: "after" },
  { at: "deactivateAccount", when: "before" },
  { at: "deactivateAccount", when: "after" },
  { at: "deleteSession", when: "before" },
];

const rowsOf = (cuts: readonly Cut[]) => cuts.map((cut): [string, string, Cut] => [cut.when, cut.at, cut]);

describe("a move that is killed", () => {
  test.each(rowsOf(EARLY))(
    "%s %s ends in one account that works",
    async (_when, _at, cut) => {
      await using it = await Case.open();
      await it.runToCut(cut);
      const ended = await it.runToEnd();
      expect([ended.code, ended.err]).toEqual([0, ""]);
      await judgeMoved(it);
      expect(it.migrator.kept()).toEqual([]);
    },
    120_000,
  );

  test.each(rowsOf(EARLY))(
    "%s %s can be taken back",
    async (_when, _at, cut) => {
      await using it = await Case.open();
      const document = await plc.document(it.account.did);
      await it.runToCut(cut);
      const ended = await it.migrator.run(["abandon", it.account.did]);
      expect([ended.code, ended.err]).toEqual([0, ""]);
      await judgeTakenBack(it, document);
    },
    120_000,
  );

  test("and taken back can be begun anew", async () => {
    await using it = await Case.open();
    await it.runToCut({ at: "repo.uploadBlob", when: "after" });
    expect((await it.migrator.run(["abandon"])).code).toBe(0);
    const nothing = await it.migrator.run(["abandon"]);
    expect([nothing.code, nothing.err]).toEqual([1, "kith migrate: There is no move to abandon\n"]);
    expect((await it.runToEnd()).code).toBe(0);
    await judgeMoved(it);
  }, 120_000);

  test.each(rowsOf(LATE))(
    "%s %s cannot be taken back any more, only gone on with",
    async (_when, _at, cut) => {
      await using it = await Case.open();
      await it.runToCut(cut);
      const refused = await it.migrator.run(["abandon"]);
      expect([refused.code, refused.err]).toEqual([1, expect.stringContaining("already")]);
      expect((await it.runToEnd()).code).toBe(0);
      await judgeMoved(it);
    },
    120_000,
  );
});
