/**
 * What a relay of the network sees, by `@atproto/sync` with the cursor that it keeps: over kills under load, over a restore from a backup, over
 * a takeover of a reference PDS. It misses nothing, and sees nothing twice.
 */
import { Database } from "bun:sqlite";
import { expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Account, createAccount, createRecord, post, repoCar } from "../client.ts";
import { Scene } from "../crash/scene.ts";
import { tally } from "../crash/tally.ts";
import { Writer } from "../crash/workload.ts";
import { TestServer } from "../harness.ts";
import { judgeRepo } from "../judges.ts";
import { PlcDirectory } from "../plc_directory.ts";
import { ReferencePds } from "../reference.ts";
import { RestoredStage } from "../restored_stage.ts";
import { importReference, writeEnvFile } from "../takeover.ts";
import { seededRandom, waitFor, within } from "../wait.ts";
import { Relay, type Seen } from "./relay.ts";

setDefaultTimeout(180_000);

const SEED = Number(process.env.KITH_TEST_SEED ?? 20_261_121);
const KILLS = 5;
const KILL_AFTER_MS_MAX = 900;

test(`@atproto/sync over ${KILLS} kills under load (seed ${SEED})`, async () => {
  await using scene = await Scene.open({ seed: SEED });
  await using relay = new Relay(scene.plc);
  relay.follow(scene.url);
  for (let number = 1; number <= KILLS; number += 1) {
    const creators = await scene.crash(`${number}`, async () => {
      const before = scene.answered;
      await waitFor("some answers", () => scene.answered > before + 20);
      await Bun.sleep(scene.random() * KILL_AFTER_MS_MAX);
      await scene.server.kill();
    });
    // Of every second crash it learns by its connection, of the others as its own process begins anew.
    if (number % 2 === 0) await relay.stop();
    await scene.recover(creators);
    if (number % 2 === 0) relay.follow(scene.url);
  }
  const seqs = [...scene.frames.keys()];
  await relay.reach(Math.max(...seqs));
  expect(relay.seen.map(({ seq }) => seq)).toEqual(seqs);
  relay.judge(scene.writers);
  console.log(`${relay.seen.length} events seen by @atproto/sync`);
  tally("kills before @atproto/sync", KILLS, scene);
});

/** Load by writers until enough was answered; then the server is ended, and they with it. */
async function load(
  { url, writers, enough }: { url: string; writers: readonly Writer[]; enough: number },
  end: () => Promise<unknown>,
): Promise<void> {
  const answered = () => writers.reduce((sum, writer) => sum + writer.answered, 0);
  const from = answered();
  const running = Promise.all(writers.map((writer) => writer.run(url, { mayRefuse: true })));
  const ending = waitFor("the load", () => answered() > from + enough, 60_000).then(end);
  await within("the load to end", Promise.all([running, ending]), 120_000);
}

const writersOf = (accounts: readonly Account[], prefix: string): Writer[] => {
  const random = seededRandom(SEED);
  return accounts.map((account, n) => new Writer(account, { prefix: `${prefix}${n}`, random }));
};

/** Reads the repo of each account from the server, judged. */
async function reposOf(url: string, accounts: readonly Account[]): Promise<Map<string, Map<string, string>>> {
  const repos = new Map<string, Map<string, string>>();
  for (const { did, didKey } of accounts)
    repos.set(did, new Map((await judgeRepo(await repoCar(url, did), did, didKey)).records));
  return repos;
}

/** What a consumer makes of a repo by what it is told. */
function fold(base: ReadonlyMap<string, string>, seen: readonly Seen[], did: string): Map<string, string> {
  const records = new Map(base);
  for (const { kind, path = "", cid } of seen
    .filter((event) => event.did === did)
    .flatMap(({ told }) => told)) {
    if (kind === "delete") records.delete(path);
    else if (kind === "create" || kind === "update") records.set(path, cid ?? "");
  }
  return records;
}

const sorted = (records: ReadonlyMap<string, string> | undefined) => [...(records ?? [])].sort();

function check(writers: readonly Writer[], repos: ReadonlyMap<string, ReadonlyMap<string, string>>): void {
  for (const writer of writers) {
    const records = [...(repos.get(writer.account.did) ?? [])];
    writer.check(new Map(records.filter(([path]) => writer.owns(path))));
  }
}

const RESTORES = [
  { title: "stopped in good order: nothing is lost", end: "stop" },
  { title: "killed: the last seconds are lost, and told anew", end: "kill" },
] as const;

test.each(RESTORES)("@atproto/sync over a restore of a server that was $title", async ({ end }) => {
  await using stage = await RestoredStage.open();
  await using relay = new Relay(stage.plc);
  const accounts = [await stage.account("alice"), await stage.account("bob"), await stage.account("carol")];
  const writers = writersOf(accounts, "w");
  relay.follow(stage.url);
  await load({ url: stage.url, writers, enough: 120 }, async () => {
    await stage.backUp();
    const before = relay.lastSeq;
    await waitFor("more of the load", () => relay.lastSeq > before + 100, 60_000);
    if (end === "kill") await stage.server.kill();
    else expect(await stage.server.stop()).toBe(0);
  });
  relay.assertClean();
  stage.lose();
  const { report } = await stage.restore();
  const seenBefore = relay.seen.length;
  await stage.server.start();
  const isSync = ({ did, told }: Seen, of: Account) => did === of.did && told[0]?.kind === "sync";
  const news = () => relay.seen.filter(({ seq }) => seq >= report.nextSeq);
  for (const account of accounts)
    await waitFor(
      `#sync of "${account.handle}"`,
      () => news().some((event) => isSync(event, account)),
      120_000,
    );
  relay.assertClean();
  for (const { did } of accounts) {
    const kinds = news()
      .filter((event) => event.did === did)
      .map(({ told }) => told[0]?.kind);
    expect(kinds).toEqual(["identity", "account", "sync"]);
  }
  expect(relay.seen.slice(0, seenBefore).every(({ seq }) => seq < report.nextSeq)).toBe(true);
  // A relay takes the repo as it is where a #sync shows a tree that it has not.
  const repos = await reposOf(stage.url, accounts);
  if (end === "stop") {
    check(writers, repos);
    relay.judge(writers);
    for (const { did } of accounts)
      expect(sorted(fold(new Map(), relay.seen, did))).toEqual(sorted(repos.get(did)));
  }
  const told = relay.seen.length;
  const after = writersOf(accounts, "after");
  await load({ url: stage.url, writers: after, enough: 60 }, async () => stage.server.kill());
  await stage.server.start();
  const now = await reposOf(stage.url, accounts);
  check(after, now);
  const last = await createRecord(stage.url, accounts[0]!, { record: post("the last one") });
  await waitFor(
    "the last post",
    () => relay.seen.some((event) => event.told[0]?.rev === last.commit.rev),
    120_000,
  );
  relay.assertClean();
  relay.judge(after);
  for (const { did } of accounts.slice(1))
    expect(sorted(fold(repos.get(did) ?? new Map(), relay.seen.slice(told), did))).toEqual(
      sorted(now.get(did)),
    );
});

/**
 * The reference notes an event before its commit is there, and a kill between the two leaves the event alone. Of the events of an account up to
 * its last #sync, that of the takeover: that one, where the repo that was taken over is what all the others tell. Throws where they tell
 * anything else.
 */
function leftAlone(seen: readonly Seen[], did: string, taken: ReadonlyMap<string, string>): Seen[] {
  const own = seen.filter((event) => event.did === did);
  const before = own.slice(
    0,
    own.findLastIndex(({ told }) => told[0]?.kind === "sync"),
  );
  const tells = (events: readonly Seen[]) =>
    Bun.deepEquals(sorted(fold(new Map(), events, did)), sorted(taken));
  const commits = before.filter(({ told }) => told[0]?.path !== undefined);
  if (tells(commits)) return [];
  if (tells(commits.slice(0, -1))) return commits.slice(-1);
  throw new Error(
    `The repo of "${did}" is neither what its ${commits.length} events tell nor all but the last`,
  );
}

/** Puts an account's store back to how it was: as where the reference is killed between an event and its commit. */
function storeOf(folder: string, did: string): { keep: () => void; putBack: () => void } {
  const hash = createHash("sha256").update(did).digest("hex").slice(0, 2);
  const path = join(folder, "actors", hash, did, "store.sqlite");
  const kept = `${path}.kept`;
  return {
    keep: () => {
      using db = new Database(path, { readonly: true });
      db.run("VACUUM INTO ?", [kept]);
    },
    putBack: () => {
      for (const ending of ["-wal", "-shm"]) rmSync(`${path}${ending}`, { force: true });
      renameSync(kept, path);
    },
  };
}

test("@atproto/sync over a takeover of a reference PDS that was killed", async () => {
  const work = mkdtempSync(join(tmpdir(), "kith-relay-takeover-"));
  const [source, target] = [join(work, "pds"), join(work, "kith")];
  mkdirSync(source);
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rmSync(work, { recursive: true, force: true }));
  const plc = stack.use(await PlcDirectory.start());
  const reference = stack.use(await ReferencePds.start({ plc, folder: source }));
  const relay = stack.use(new Relay(plc));
  relay.follow(reference.url);
  const accounts: Account[] = [];
  for (const name of ["alice", "bob", "carol"]) accounts.push(await createAccount(reference.url, name, plc));
  const dave = await createAccount(reference.url, "dave", plc);
  await createRecord(reference.url, dave, {
    record: { text: "there" },
    collection: "dev.kith.test.kept",
    rkey: "first",
  });
  const daves = storeOf(source, dave.did);
  daves.keep();
  await createRecord(reference.url, dave, {
    record: { text: "told alone" },
    collection: "dev.kith.test.kept",
    rkey: "second",
  });
  const writers = writersOf(accounts, "w");
  await load({ url: reference.url, writers, enough: 60 }, () => reference.kill());
  daves.putBack();
  writeEnvFile(reference);
  const ran = await importReference([source, "--data", target]);
  expect([ran.code, ran.out]).toEqual([0, expect.any(String)]);
  const { PDS_BLOBSTORE_DISK_LOCATION: _blobs, PDS_DATA_DIRECTORY: _data, ...rest } = reference.env;
  const { PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX: _key, ...env } = rest;
  // Secrets were taken over into the folder.
  const without = { PDS_JWT_SECRET: undefined, PDS_ADMIN_PASSWORD: undefined };
  const kith = stack.use(await TestServer.start({ folder: target, env: { ...env, ...without } }));
  expect(kith.url).toBe(reference.url);
  const taken = await reposOf(kith.url, [...accounts, dave]);
  expect([...(taken.get(dave.did)?.keys() ?? [])]).toEqual(["dev.kith.test.kept/first"]);
  check(writers, taken);
  // Deaths go on to be nothing to it.
  await load({ url: kith.url, writers, enough: 60 }, () => kith.kill());
  await kith.start();
  const repos = await reposOf(kith.url, accounts);
  check(writers, repos);
  const last = await createRecord(kith.url, accounts[0]!, { record: post("the last one") });
  await waitFor(
    "the last post",
    () => relay.seen.some((event) => event.told[0]?.rev === last.commit.rev),
    120_000,
  );
  relay.assertClean();
  const alone = [...taken].flatMap(([did, repo]) => leftAlone(relay.seen, did, repo));
  expect(alone.filter(({ did }) => did === dave.did).map(({ told }) => told[0]?.path)).toEqual([
    "dev.kith.test.kept/second",
  ]);
  relay.judge(writers, { except: alone });
  const kept = relay.seen.filter((event) => !alone.includes(event));
  for (const { did } of accounts.slice(1))
    expect(sorted(fold(new Map(), kept, did))).toEqual(sorted(repos.get(did)));
});
