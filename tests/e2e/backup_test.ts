/** Backups as the operator makes them: while the server serves and writes, of a folder at rest, by the schedule, and as the log grows. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { IDENTITY_FILE, newBackupKey } from "../../src/backup/mod.ts";
import { BackupPlace, filesOf, integrityOf, judgeFile } from "../backup_parts.ts";
import { type Account, createRecord, post, xrpc } from "../client.ts";
import { Firehose, opsOf } from "../firehose.ts";
import { ADMIN_PASSWORD } from "../harness.ts";
import { FaultyS3, S3_BUCKET, S3_KEY, S3_SECRET, S3Server, s3Env } from "../s3_server.ts";
import { Stage } from "../stage.ts";
import { letMidnightPass, waitFor } from "../wait.ts";

const COLLECTION = "dev.kith.test.file";

/** Uploads a blob and refers to it. */
async function keepBlob(
  stage: Stage,
  account: Account,
  bytes: Uint8Array,
): Promise<{ cid: string; rkey: string }> {
  const uploaded = await xrpc(stage.url, "com.atproto.repo.uploadBlob", {
    token: account.accessJwt,
    body: bytes,
    headers: { "content-type": "application/octet-stream" },
  });
  const blob = uploaded.json.blob as { ref: { $link: string } };
  const { uri } = await createRecord(stage.url, account, {
    collection: COLLECTION,
    record: { $type: COLLECTION, blob },
  });
  return { cid: blob.ref.$link, rkey: uri.split("/").at(-1) ?? "" };
}

const removeRecord = (stage: Stage, account: Account, rkey: string) =>
  xrpc(stage.url, "com.atproto.repo.deleteRecord", {
    token: account.accessJwt,
    body: { repo: account.did, collection: COLLECTION, rkey },
  });

describe("kith backup while the server serves", () => {
  let place: BackupPlace;
  let stage: Stage;

  beforeAll(async () => {
    place = new BackupPlace();
    stage = await Stage.open({ env: place.env() });
  });
  afterAll(async () => {
    await stage?.[Symbol.asyncDispose]();
    place?.[Symbol.dispose]();
  });

  test("under full load each repo in it is a state of its history, and nothing answered before is missing", async () => {
    const writers = await Promise.all(Array.from({ length: 6 }, (_, at) => stage.account(`writer${at}`)));
    const blobs = await Promise.all(writers.map((account) => keepBlob(stage, account, randomBytes(300_000))));
    const answered = writers.map(() => 0);
    let isOver = false;
    const writing = writers.map(async (account, at) => {
      for (let n = 1; !isOver; n++) {
        await createRecord(stage.url, account, {
          collection: COLLECTION,
          rkey: `n${String(n).padStart(6, "0")}`,
          record: { $type: COLLECTION, n, text: "x".repeat(n % 500) },
        });
        answered[at] = n;
        // Goes while the backup runs: it is in what was copied, or its record is not.
        if (n === 40) await removeRecord(stage, account, blobs[at]?.rkey ?? "");
      }
    });
    await waitFor("some writes of each", () => answered.every((count) => count >= 30));
    const before = [...answered];
    const ran = await place.run(["backup"], { folder: stage.server.folder });
    await waitFor("more writes", () => answered.every((count, at) => count > (before[at] ?? 0)));
    isOver = true;
    await Promise.all(writing);
    expect([ran.code, ran.err]).toEqual([0, ran.err]);
    const { repository, files } = await place.newest();
    for (const [at, account] of writers.entries()) {
      const file = [...files.values()].find(({ did, kind }) => did === account.did && kind === "repo");
      const path = await place.extract(repository, file!);
      const { records } = await judgeFile(path, account);
      const counted = [...records.keys()].filter((record) => record.startsWith(`${COLLECTION}/n`)).sort();
      // A prefix: 1 to k, without a hole, and at least what was answered before.
      expect(counted.at(-1)).toBe(`${COLLECTION}/n${String(counted.length).padStart(6, "0")}`);
      expect(counted.length).toBeGreaterThanOrEqual(before[at] ?? 0);
      const { cid, rkey } = blobs[at]!;
      const isReferred = records.has(`${COLLECTION}/${rkey}`);
      if (isReferred) expect(files.has(`blobs/${account.did.replaceAll(":", "_")}/${cid}`)).toBe(true);
    }
    const accounts = await place.extract(repository, files.get("accounts.sqlite")!);
    expect(integrityOf(accounts)).toBe("ok");
    await place.assertWhole();
    await stage.judgeAll();
  });

  test("says what is inside, and what of it was new", async () => {
    const ran = await place.run(["backup"], { folder: stage.server.folder });
    expect(ran.code).toBe(0);
    for (const word of [
      "Snapshot",
      "Accounts   8",
      "Repos      8",
      "Blobs",
      "Event log",
      "master.key",
      "read back",
    ])
      expect(ran.out).toContain(word);
    const json = await place.run(["backup", "--json"], { folder: stage.server.folder });
    const lines = json.out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.at(-1)).toMatchObject({ type: "result", manifest: { counts: { accounts: 8 } } });
    expect(lines.some(({ type, phase }) => type === "progress" && phase === "verify")).toBe(true);
  });

  test("what is not used is not read again, and costs nothing", async () => {
    const { files } = await place.newest();
    const ran = await place.run(["backup", "--json"], { folder: stage.server.folder });
    const { manifest } = JSON.parse(ran.out.trim().split("\n").at(-1) ?? "");
    expect(manifest.counts.writtenBytes).toBeLessThan(manifest.counts.bytes / 4);
    const { files: again } = await place.newest();
    expect([...again.keys()].sort()).toEqual([...files.keys()].sort());
  });

  test("a blob that was removed while a backup ran is gone afterwards", async () => {
    const { cid, rkey } = await keepBlob(stage, stage.alice, randomBytes(1_000));
    const file = join(stage.server.folder, "blobs", stage.alice.did.replaceAll(":", "_"));
    expect(readdirSync(file)).toContain(cid);
    const running = place.run(["backup"], { folder: stage.server.folder });
    await removeRecord(stage, stage.alice, rkey);
    await running;
    await waitFor("the blob's file to go", () => !readdirSync(file).includes(cid));
  });

  test("an account that is deleted while a backup runs is gone afterwards", async () => {
    const account = await stage.account("leaver");
    await keepBlob(stage, account, randomBytes(1_000));
    const running = place.run(["backup"], { folder: stage.server.folder });
    const gone = await place.run(["account", "delete", account.did, "--yes"], {
      folder: stage.server.folder,
    });
    expect(gone.code).toBe(0);
    await running;
    const folder = join(stage.server.folder, "blobs");
    await waitFor("its blobs to go", () => !readdirSync(folder).includes(account.did.replaceAll(":", "_")));
    await place.assertWhole();
  });

  test("a second request joins the run that is under way; another destination is refused", async () => {
    const { folder } = stage.server;
    await letMidnightPass(30_000);
    await place.run(["backup"], { folder });
    const before = (await (await place.open()).snapshots()).length;
    const ran = await Promise.all([1, 2, 3].map(() => place.run(["backup"], { folder })));
    expect(ran.map(({ code }) => code)).toEqual([0, 0, 0]);
    const after = (await (await place.open()).snapshots()).length;
    expect(after - before).toBeGreaterThanOrEqual(1);
    expect(after - before).toBeLessThanOrEqual(3);
  });

  test("kith backup list and check tell what there is", async () => {
    const { folder } = stage.server;
    const list = await place.run(["backup", "list"], { folder });
    expect([list.code, list.out.split("\n")[0]]).toEqual([0, list.out.split("\n")[0]]);
    expect(list.out).toContain("SNAPSHOT");
    expect(list.out).toContain("Last backup");
    const begun = join(place.path, "begun");
    mkdirSync(begun);
    copyFileSync(join(place.where, IDENTITY_FILE), join(begun, IDENTITY_FILE));
    const empty = await place.run(["backup", "list", begun], { folder });
    expect([empty.code, empty.out.split("\n")[0]]).toEqual([
      0,
      "No snapshot is there: nothing can be restored from it yet.",
    ]);
    const check = await place.run(["backup", "check", "--all"], { folder });
    expect([check.code, check.err]).toEqual([0, ""]);
    expect(check.out).toContain("All of it was read and is as it was written.");
  });

  test("damage is found, named, and mended by the next backup where it can be", async () => {
    const { folder } = stage.server;
    await keepBlob(stage, stage.alice, randomBytes(5_000));
    await place.run(["backup"], { folder });
    const repository = await place.open();
    const { files } = await place.newest();
    const blob = [...files.values()].find(({ kind }) => kind === "blob");
    const id = blob?.chunks[0]?.id ?? "";
    const path = join(place.where, "objects", id.slice(0, 2), id);
    writeFileSync(path, randomBytes(blob?.chunks[0]?.stored ?? 0));
    expect((await place.run(["backup", "check"], { folder })).code).toBe(0);
    const found = await place.run(["backup", "check", "--all"], { folder });
    expect([found.code, found.err.includes(id)]).toEqual([1, true]);
    const removed = await place.run(["backup", "check", "--all", "--remove-damaged"], { folder });
    expect(removed.out).toContain('1 damaged objects were removed; run "kith backup" now');
    expect((await place.run(["backup"], { folder })).code).toBe(0);
    await place.assertWhole();
    expect(await repository.destination.size(`objects/${id.slice(0, 2)}/${id}`)).toBe(
      blob?.chunks[0]?.stored,
    );
  });

  const refusals: [
    title: string,
    args: string[],
    env: Record<string, string | undefined>,
    code: number,
    says: string,
  ][] = [
    ["no key", ["backup"], { KITH_BACKUP_KEY: undefined }, 78, "never written without one"],
    ["a mistyped key", ["backup"], { KITH_BACKUP_KEY: "kithbk1_x" }, 78, "KITH_BACKUP_KEY is not valid"],
    ["another key", ["backup"], { KITH_BACKUP_KEY: newBackupKey() }, 1, "the key is not the one"],
    [
      "another key to list",
      ["backup", "list"],
      { KITH_BACKUP_KEY: newBackupKey() },
      78,
      "the key is not the one",
    ],
    ["an unknown kind of place", ["backup", "ftp://x/y"], {}, 1, "no place that kith knows"],
    ["a mistyped command", ["backup", "chekc"], {}, 2, 'did you mean "kith backup check"'],
    ["a folder that is not there, by a bare word", ["backup", "elsewhere"], {}, 2, 'write "./elsewhere"'],
    ["nothing to list", ["backup", "list", "./nothing"], {}, 78, "There is no backup in"],
    ["a bucket without its key", ["backup", "s3://bucket"], {}, 1, "KITH_BACKUP_S3_ACCESS_KEY_ID"],
  ];
  test.each(refusals)("%s is refused", async (_title, args, env, code, says) => {
    const ran = await place.run(args, { folder: stage.server.folder, env });
    expect([ran.code, ran.err]).toEqual([code, expect.stringContaining(says)]);
    expect(ran.err).not.toContain(env.KITH_BACKUP_KEY ?? "no such text");
  });

  test("a folder of somebody else's is refused, and left as it is", async () => {
    const folder = join(place.path, "theirs");
    mkdirSync(folder);
    writeFileSync(join(folder, "letter.txt"), "hello");
    const ran = await place.run(["backup", folder], { folder: stage.server.folder });
    expect([ran.code, ran.err]).toEqual([1, expect.stringContaining("is no backup of kith")]);
    expect(readdirSync(folder)).toEqual(["letter.txt"]);
  });

  test("a destination that was there and is empty now is a disk that is not mounted; --new begins another", async () => {
    const { folder } = stage.server;
    renameSync(place.where, `${place.where}.away`);
    const ran = await place.run(["backup"], { folder });
    expect([ran.code, ran.err]).toEqual([1, expect.stringContaining("Is the disk mounted")]);
    expect((await place.run(["backup", "--new"], { folder })).code).toBe(0);
    await place.assertWhole();
    rmSync(place.where, { recursive: true });
    renameSync(`${place.where}.away`, place.where);
  });

  test("the folder at rest is backed up as well, and a folder that is none is refused", async () => {
    const { folder } = stage.server;
    await stage.server.stop();
    const ran = await place.run(["backup"], { folder });
    expect([ran.code, ran.err]).toEqual([0, ran.err]);
    expect(ran.out).toContain("Accounts   8");
    const none = await place.run(["backup"], { folder: join(place.path, "none") });
    expect([none.code, none.err]).toEqual([1, expect.stringContaining("There is no data folder")]);
    await stage.server.start();
    await place.assertWhole();
  });

  test("the destination of another server is refused", async () => {
    const env = { PDS_HOSTNAME: "other.example", PDS_DEV_MODE: "false" };
    await stage.server.stop();
    const ran = await place.run(["backup"], { folder: stage.server.folder, env });
    expect([ran.code, ran.err]).toEqual([78, expect.stringContaining('it is the backup of "localhost"')]);
    await stage.server.start();
  });
});

describe("shipping of the event log", () => {
  test("new events, accounts, imports and blobs are there within seconds, also after kill -9", async () => {
    using place = new BackupPlace();
    const env = place.env({ KITH_BACKUP_LOG_SHIP_SECONDS: "1" });
    await using stage = await Stage.open({ env });
    expect((await place.run(["backup"], { folder: stage.server.folder })).code).toBe(0);
    const account = await stage.account("newcomer");
    const { cid } = await keepBlob(stage, account, randomBytes(50_000));
    const shipped = async () => {
      const repository = await place.open();
      const all = new Map<string, string>();
      for (const { name } of await repository.increments()) {
        const { files } = await repository.increment(name);
        for (const [path, file] of await filesOf(repository, files))
          all.set(path, await place.extract(repository, file));
      }
      return all;
    };
    const repoPath = await waitFor("the account's file, its blob, and its rows", async () => {
      const files = await shipped();
      const repo = [...files.entries()].find(
        ([path]) => path.includes(account.did.replaceAll(":", "_")) && path.startsWith("repos/"),
      );
      const hasBlob = [...files.keys()].some((path) => path.endsWith(cid));
      const hasRows = [...files].some(
        ([path, copy]) => path.startsWith("rows/") && readFileSync(copy, "utf8").includes(account.did),
      );
      return repo && hasBlob && hasRows && repo[1];
    });
    await judgeFile(repoPath, account);
    const written = await createRecord(stage.url, account, { record: post("the last one") });
    const seqs = () => stage.firehose.events.map(({ seq }) => seq);
    await waitFor("every event", async () => {
      const there = await place.seqs();
      return seqs().every((seq) => there.includes(seq));
    });
    // Kept, and the server gone before it can be shipped.
    const late = await keepBlob(stage, account, randomBytes(40_000));
    await stage.server.kill();
    await stage.server.start();
    await waitFor("the blob of before", async () =>
      [...(await shipped()).keys()].some((path) => path.endsWith(late.cid)),
    );
    const last = await createRecord(stage.url, account, { record: post(`after ${written.uri}`) });
    using firehose = await Firehose.connect(stage.url, { cursor: 0 });
    const isLast = ({ path }: { path: string }) => last.uri.endsWith(path);
    await firehose.find("the last", (event) => event.type === "#commit" && opsOf(event).some(isLast));
    await waitFor("what came after the crash", async () => {
      const there = await place.seqs();
      return firehose.events.every(({ seq }) => there.includes(seq));
    });
    await place.assertWhole();
  }, 120_000);
});

describe("a bucket for backups", () => {
  let s3: S3Server;
  let bucket: FaultyS3;
  let place: BackupPlace;
  let stage: Stage;

  beforeAll(async () => {
    s3 = await S3Server.start();
    bucket = await FaultyS3.start(s3);
    place = new BackupPlace({
      where: `s3://${S3_BUCKET}/kith/one`,
      s3: {
        KITH_BACKUP_S3_ENDPOINT: bucket.url,
        KITH_BACKUP_S3_ACCESS_KEY_ID: S3_KEY,
        KITH_BACKUP_S3_SECRET_ACCESS_KEY: S3_SECRET,
      },
    });
    stage = await Stage.open({ env: place.env({ KITH_BACKUP_LOG_SHIP_SECONDS: "1" }) });
    await keepBlob(stage, stage.alice, randomBytes(2_500_000));
  });
  afterAll(async () => {
    await stage?.[Symbol.asyncDispose]();
    await bucket?.[Symbol.asyncDispose]();
    await s3?.[Symbol.asyncDispose]();
    place?.[Symbol.dispose]();
  });

  test("holds a backup as a folder does, below its prefix", async () => {
    const ran = await place.run(["backup"], { folder: stage.server.folder });
    expect([ran.code, ran.err]).toEqual([0, ran.err]);
    expect(ran.out).toContain(`Backed up to s3://${S3_BUCKET}/kith/one`);
    expect(s3.keys().every((key) => key.startsWith("kith/one/"))).toBe(true);
    await place.assertWhole();
    const list = await place.run(["backup", "list"], { folder: stage.server.folder });
    expect(list.out).toContain("Event log");
  });

  test.each(["500", "closes", "garbage"] as const)(
    "PUT %s: the backup fails with its reason, the log waits, and all of it is there afterwards",
    async (fault) => {
      const { folder } = stage.server;
      const before = (await (await place.open()).snapshots()).length;
      await keepBlob(stage, stage.alice, randomBytes(1_200_000));
      bucket.faults = { PUT: fault };
      const ran = await place.run(["backup"], { folder });
      expect([ran.code, ran.err]).toEqual([1, expect.stringContaining(`s3://${S3_BUCKET}/kith/one`)]);
      expect(ran.err).not.toContain(S3_SECRET === S3_KEY ? "X-Amz-Signature" : S3_SECRET);
      for (let n = 0; n < 5; n++)
        await createRecord(stage.url, stage.alice, { record: post(`${fault} ${n}`) });
      bucket.faults = {};
      await stage.eventsDuring(async () => undefined);
      await waitFor("the log to be shipped again", async () => {
        const there = await place.seqs();
        return stage.firehose.events.every(({ seq }) => there.includes(seq));
      });
      expect((await (await place.open()).snapshots()).length).toBe(before);
      expect((await place.run(["backup"], { folder })).code).toBe(0);
      await place.assertWhole();
    },
    120_000,
  );
});

test("a server whose bucket for backups does not answer any more stops nevertheless, and ships the rest when it is back", async () => {
  await using s3 = await S3Server.start();
  await using bucket = await FaultyS3.start(s3);
  using place = new BackupPlace({
    where: `s3://${S3_BUCKET}`,
    s3: {
      KITH_BACKUP_S3_ENDPOINT: bucket.url,
      KITH_BACKUP_S3_ACCESS_KEY_ID: S3_KEY,
      KITH_BACKUP_S3_SECRET_ACCESS_KEY: S3_SECRET,
    },
  });
  await using stage = await Stage.open({ env: place.env({ KITH_BACKUP_LOG_SHIP_SECONDS: "1" }) });
  await waitFor("the first events", async () => (await place.seqs()).length > 0);
  bucket.faults = { PUT: "stalls" };
  const { uri } = await createRecord(stage.url, stage.alice, { record: post("while it stalls") });
  await waitFor("a request that stalls", () => bucket.failed.length > 0);
  expect(await stage.server.stop()).toBe(0);
  bucket.faults = {};
  await stage.server.start();
  using firehose = await Firehose.connect(stage.url, { cursor: 0 });
  const isIt = ({ path }: { path: string }) => uri.endsWith(path);
  const { seq } = await firehose.find(
    "the event",
    (event) => event.type === "#commit" && opsOf(event).some(isIt),
  );
  await waitFor("it in the bucket", async () => (await place.seqs()).includes(seq));
  await place.assertWhole();
}, 120_000);

describe("blobs that the server keeps in a bucket", () => {
  test("are in the backup too, also those that are taken down, and can be left out", async () => {
    await using s3 = await S3Server.start();
    using place = new BackupPlace();
    await using stage = await Stage.open({ env: { ...s3Env(s3.url), ...place.env() } });
    const env = s3Env(s3.url);
    const [kept, down] = [
      await keepBlob(stage, stage.alice, randomBytes(1_500_000)),
      await keepBlob(stage, stage.alice, randomBytes(500)),
    ];
    const subject = {
      $type: "com.atproto.admin.defs#repoBlobRef",
      did: stage.alice.did,
      cid: down.cid,
    };
    const takedown = await xrpc(stage.url, "com.atproto.admin.updateSubjectStatus", {
      body: { subject, takedown: { applied: true, ref: "test" } },
      headers: { authorization: `Basic ${btoa(`admin:${ADMIN_PASSWORD}`)}` },
    });
    expect(takedown.status).toBe(200);
    const ran = await place.run(["backup"], { folder: stage.server.folder, env });
    expect([ran.code, ran.err]).toEqual([0, ran.err]);
    const { repository, files } = await place.newest();
    const blobs = [...files.values()].filter(({ kind }) => kind === "blob");
    expect(blobs.map(({ cid, quarantined = false }) => [cid, quarantined])).toEqual([
      [kept.cid, false],
      [down.cid, true],
    ]);
    for (const blob of blobs) await place.extract(repository, blob);
    await stage.server.stop();
    const without = await place.run(["backup"], {
      folder: stage.server.folder,
      env: { ...env, KITH_BACKUP_BLOBS: "false" },
    });
    expect([without.code, without.out]).toEqual([0, expect.stringContaining("left out")]);
    await place.assertWhole();
  });
});

describe("the schedule", () => {
  test("takes a snapshot at the first start, and none at the next while it is not due", async () => {
    using place = new BackupPlace();
    await using stage = await Stage.open({ env: place.env({ KITH_BACKUP_INTERVAL_HOURS: "1" }) });
    const count = async () => (await (await place.open()).snapshots()).length;
    const list = () => place.run(["backup", "list"], { folder: stage.server.folder });
    // One whose end is cut off is not counted as taken.
    await waitFor("the first snapshot", async () => (await list()).out.includes("Last backup"));
    expect(await count()).toBe(1);
    await stage.server.stop();
    await stage.server.start();
    await createRecord(stage.url, stage.alice, { record: post("still running") });
    expect(await count()).toBe(1);
  });
});
