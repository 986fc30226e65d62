/** A server is lost and restored from its backup, while a consumer of the firehose keeps its cursor. */
import { expect, test } from "bun:test";
import { type Account, createRecord, FILE_COLLECTION, post, postFile, xrpc } from "../client.ts";
import { Writer } from "../crash/workload.ts";
import { cidText, describeEvent, type Event } from "../firehose.ts";
import { RestoredStage } from "../restored_stage.ts";
import { S3_BUCKET, S3_KEY, S3_SECRET, S3Server, s3Env } from "../s3_server.ts";
import { seededRandom, waitFor, within } from "../wait.ts";

const WRITERS = 6;
const LIMIT_MS = 300_000;
/** The log is shipped every second here. */
const LOST_MS_MAX = 5_000;

/** The trees that the firehose has shown of an account, the first one first. */
function treesOf(events: readonly Event[], did: string): string[] {
  return events.flatMap((event) => {
    if (event.did !== did || event.type !== "#commit") return [];
    return [cidText(event.body.prevData ?? event.body.commit)];
  });
}

test(
  "a backup taken under load restores to a prefix of each repo, and a consumer continues over it",
  async () => {
    await using stage = await RestoredStage.open();
    const random = seededRandom(7);
    const accounts = await Promise.all(
      Array.from({ length: WRITERS }, (_, n) => stage.account(`writer${n}`)),
    );
    const writers = accounts.map((account, n) => new Writer(account, { prefix: `w${n}`, random }));
    const load = Promise.all(writers.map((writer) => writer.run(stage.url)));
    const answered = () => writers.reduce((sum, writer) => sum + writer.answered, 0);
    await waitFor("the load", () => answered() > 200);
    await stage.backUp();
    const before = answered();
    await waitFor("the load after the snapshot", () => answered() > before + 300);
    const late = await stage.account("late");
    const lateRecord = await createRecord(stage.url, late, { record: post("after the snapshot") });
    // What an event belongs to is shipped before it.
    const isLate = ({ body }: Event) => body.rev === lateRecord.commit.rev;
    const { seq: lateSeq } = await waitFor("the commit of the late one", () => stage.events.findLast(isLate));
    await waitFor("its events to be shipped", async () => (await stage.shippedUpTo()) > lateSeq);
    const killedAt = Date.now();
    await stage.server.kill();
    await within("the load to end", load);
    await waitFor("the consumer to notice", () => stage.firehose.closed);
    await stage.auditor.finish();
    const seen = stage.events.length;
    const lastSeen = stage.events.at(-1)?.seq ?? 0;
    const dids = [...accounts, late].map(({ did }) => did);
    const trees = new Map(
      dids.map((did) => [did, [...treesOf(stage.events, did), stage.auditor.of(did).data ?? ""]]),
    );
    const upTo = (seq: number, did: string) =>
      treesOf(
        stage.events.slice(0, seen).filter((event) => event.seq <= seq),
        did,
      ).length;

    stage.lose();
    const { ran, report } = await stage.restore();
    expect({ code: ran.code, troubles: report.troubles }).toEqual({ code: 0, troubles: [] });
    expect(report.check).toMatchObject({ problems: 0, findings: [] });
    expect(report.commits).toBeGreaterThan(100);
    expect(killedAt - Date.parse(report.log?.at ?? "")).toBeLessThan(LOST_MS_MAX);
    expect(report.nextSeq).toBeGreaterThan(lastSeen);
    expect(stage.relay.asked).toEqual(["localhost"]);

    await stage.server.start();
    await stage.follow();
    for (const did of dids)
      await waitFor(`the news of "${did}"`, () =>
        stage.events.slice(seen).some((event) => event.did === did && event.type === "#sync"),
      );
    await stage.settle();
    stage.firehose.assertClean();
    const told = stage.events.slice(seen);
    for (const did of dids) {
      const own = told.filter((event) => event.did === did);
      const news = own.filter(({ seq }) => seq >= report.nextSeq).map(describeEvent);
      expect(news).toEqual(["#identity", "#account active", "#sync"]);
      const repo = await stage.resync(did);
      // A tree that it had, and none from before the last event that was shipped.
      expect(trees.get(did)).toContain(repo.data);
      expect(trees.get(did)?.lastIndexOf(repo.data)).toBeGreaterThanOrEqual(
        upTo(report.log?.lastSeq ?? 0, did),
      );
    }
    expect((await stage.repo(late.did)).records.get(lateRecord.uri.split("/").slice(3).join("/"))).toBe(
      lateRecord.cid,
    );
    await waitFor("the relay to be asked to crawl", () => stage.relay.crawls.length > 1);

    for (const account of accounts) await createRecord(stage.url, account, { record: post("goes on") });
    await waitFor("the new commits", () => {
      const commits = stage.events.slice(seen).filter(({ type }) => type === "#commit");
      return dids.slice(0, WRITERS).every((did) => commits.some((event) => event.did === did));
    });
    await stage.settle();
    stage.firehose.assertClean();
    for (const { did } of accounts) {
      const repo = await stage.repo(did);
      expect([...repo.records].sort()).toEqual([...stage.auditor.of(did).records].sort());
    }
  },
  LIMIT_MS,
);

/** Puts a file into a record, and removes the one before, until `isOver`; how many were put. */
async function blobsComeAndGo(url: string, account: Account, isOver: () => boolean): Promise<number> {
  for (let n = 0; ; n += 1) {
    if (isOver()) return n;
    await postFile(url, account, { rkey: `n${n}`, content: `file ${n} of ${account.did}` });
    if (n % 5 === 0) continue;
    const body = { repo: account.did, collection: FILE_COLLECTION, rkey: `n${n - 1}` };
    await xrpc(url, "com.atproto.repo.deleteRecord", { token: account.accessJwt, body });
  }
}

test(
  "a drill of a backup that was taken while blobs come and go finds nothing, nor does a restore",
  async () => {
    await using stage = await RestoredStage.open();
    const accounts = await Promise.all([1, 2, 3].map((n) => stage.account(`files${n}`)));
    let isOver = false;
    const load = accounts.map((account) => blobsComeAndGo(stage.url, account, () => isOver));
    await stage.backUp();
    await stage.backUp();
    const first = await stage.kith(["backup", "drill", "--json"]);
    isOver = true;
    const counts = await Promise.all(load);
    expect(Math.min(...counts)).toBeGreaterThan(5);
    const found = (out: string) => JSON.parse(out.trim().split("\n").at(-1) ?? "");
    expect([first.code, found(first.out)]).toMatchObject([
      0,
      { lost: [], check: { findings: [], repos: 3 } },
    ]);
    await stage.settle();
    expect(await stage.server.stop()).toBe(0);
    stage.lose();
    const { ran, report } = await stage.restore();
    expect([ran.code, report.troubles, report.check.findings]).toEqual([0, [], []]);
    // A fifth of them stays, and the last one of each.
    const kept = counts.reduce((sum, count) => sum + Math.ceil(count / 5), 0);
    expect(report.check.blobs).toBeGreaterThanOrEqual(kept);
  },
  LIMIT_MS,
);

test(
  "a drill does not look for blobs of a bucket that are not backed up",
  async () => {
    await using s3 = await S3Server.start();
    await using stage = await RestoredStage.open({ env: { ...s3Env(s3.url), KITH_BACKUP_BLOBS: "false" } });
    await postFile(stage.url, await stage.account("alice"), { rkey: "one", content: "in the bucket" });
    await stage.backUp();
    const ran = await stage.kith(["backup", "drill"]);
    expect([ran.code, ran.out]).toEqual([0, expect.stringContaining("1 records and 0 blobs")]);
  },
  LIMIT_MS,
);

test(
  "a server whose blobs and backups are in buckets is restored into another bucket",
  async () => {
    await using s3 = await S3Server.start();
    await using fresh = await S3Server.start();
    await using stage = await RestoredStage.open({
      destination: `s3://${S3_BUCKET}/backup`,
      env: {
        ...s3Env(s3.url),
        KITH_BACKUP_S3_ENDPOINT: s3.url,
        KITH_BACKUP_S3_ACCESS_KEY_ID: S3_KEY,
        KITH_BACKUP_S3_SECRET_ACCESS_KEY: S3_SECRET,
        KITH_BACKUP_S3_FORCE_PATH_STYLE: "true",
      },
    });
    const alice = await stage.account("alice");
    const cids: string[] = [];
    for (const name of ["before", "after"]) {
      cids.push(await postFile(stage.url, alice, { rkey: name, content: `the blob ${name}` }));
      if (name === "before") await stage.backUp();
    }
    await stage.settle();
    expect(await stage.server.stop()).toBe(0);
    stage.lose();
    // The bucket with the blobs is lost too.
    for (const [name, value] of Object.entries(s3Env(fresh.url))) stage.set(name, value);
    const { ran, report } = await stage.restore();
    expect({ code: ran.code, blobs: report.blobs }).toEqual({ code: 0, blobs: 2 });
    expect(report.check).toMatchObject({ blobs: 2, findings: [] });
    await stage.server.start();
    for (const [at, cid] of cids.entries()) {
      const { bytes } = await xrpc(stage.url, "com.atproto.sync.getBlob", {
        params: { did: alice.did, cid },
      });
      expect(new TextDecoder().decode(bytes)).toBe(`the blob ${["before", "after"][at]}`);
    }
    expect((await stage.repo(alice.did)).records.size).toBe(2);
  },
  LIMIT_MS,
);
