/** What happened between the snapshot and the loss: deletions, takedowns, moves, blobs; and bad sources, wrong places, cut-off restores. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { newBackupKey } from "../../src/backup/backup_key.ts";
import type { RestoreReport } from "../../src/backup/restore_report.ts";
import { type Account, createRecord, PASSWORD, post, postFile, xrpc } from "../client.ts";
import { describeEvent } from "../firehose.ts";
import { ADMIN_PASSWORD, type TestServer } from "../harness.ts";
import { judgeRepo } from "../judges.ts";
import { type Ran, runKith, spawnKith } from "../kith_command.ts";
import { RestoredStage } from "../restored_stage.ts";
import { leadTo } from "../scripted_host.ts";
import { waitFor } from "../wait.ts";

const ADMIN = { authorization: `Basic ${btoa(`admin:${ADMIN_PASSWORD}`)}` };
const ROTATION_KEY = "7d".repeat(32);
const ELSEWHERE = "https://pds.elsewhere.test";
const TIMEOUT_MS = 300_000;
const NAMES = ["alice", "bob", "carol", "dan", "erin", "frank", "gina"] as const;

let stage: RestoredStage;
const accounts = {} as Record<(typeof NAMES)[number], Account>;
/** A record with a blob of before the snapshot, which is deleted after it, and one of after it. */
let [blobBefore, blobAfter] = ["", ""];
let posted = "";

async function afterwards(): Promise<void> {
  const { alice, bob, carol, dan, erin, frank } = accounts;
  blobAfter = await postFile(stage.url, alice, { rkey: "after", content: "the blob of after" });
  await stage.call(
    "com.atproto.repo.deleteRecord",
    { repo: alice.did, collection: "dev.kith.test.file", rkey: "before" },
    alice,
  );
  posted = (await createRecord(stage.url, alice, { record: post("after the snapshot") })).uri;
  await stage.call("com.atproto.admin.deleteAccount", { did: bob.did }, "admin");
  const subject = { $type: "com.atproto.admin.defs#repoRef", did: carol.did };
  const takedown = { applied: true, ref: "case 7" };
  await stage.call("com.atproto.admin.updateSubjectStatus", { subject, takedown }, "admin");
  await stage.call("com.atproto.server.deactivateAccount", {}, dan);
  await stage.call("com.atproto.identity.updateHandle", { handle: "renamed.test" }, erin);
  await leadTo(ELSEWHERE, { did: frank.did, plc: stage.plc, rotationKeyHex: ROTATION_KEY });
}

beforeAll(async () => {
  stage = await RestoredStage.open({ env: { PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX: ROTATION_KEY } });
  for (const name of NAMES) {
    accounts[name] = await stage.account(name);
    for (let n = 0; n < 5; n += 1)
      await createRecord(stage.url, accounts[name], { record: post(`${name} ${n}`) });
  }
  blobBefore = await postFile(stage.url, accounts.alice, { rkey: "before", content: "the blob of before" });
  await stage.backUp();
  await afterwards();
  await stage.settle();
  // A server that stops ships what it has.
  expect(await stage.server.stop()).toBe(0);
  stage.lose();
}, TIMEOUT_MS);

afterAll(async () => {
  await stage?.[Symbol.asyncDispose]();
});

/** Restores into a folder of its own. */
async function restoreInto(
  folder: string,
  {
    args = [],
    env = {},
    source = stage.destination,
  }: {
    args?: readonly string[];
    env?: Readonly<Record<string, string | undefined>>;
    source?: string;
  } = {},
): Promise<{ ran: Ran; report: RestoreReport | undefined; data: string }> {
  const data = join(stage.path, folder);
  const ran = await runKith(["restore", source, ...args], {
    env: { ...stage.env, PDS_DATA_DIRECTORY: data, ...env },
  });
  const path = join(data, "restored.json");
  const report = existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as RestoreReport) : undefined;
  return { ran, report, data };
}

/** Runs a server on a restored folder, at the address that the accounts' DIDs name. It backs up to nowhere, as each of them is another. */
async function serve<T>(data: string, use: (server: TestServer) => Promise<T>): Promise<T> {
  const before = stage.server;
  before.set("PDS_DATA_DIRECTORY", data);
  before.set("KITH_BACKUP_DESTINATION", undefined);
  await before.start();
  try {
    return await use(before);
  } finally {
    await before.stop();
  }
}

/** The file of that name below a folder. */
function findFile(folder: string, name: string): string {
  const found = readdirSync(folder, { recursive: true, encoding: "utf8" }).find((path) =>
    path.endsWith(name),
  );
  if (found === undefined) throw new Error(`There is no "${name}" in "${folder}"`);
  return join(folder, found);
}

async function statusOf(url: string, did: string): Promise<string> {
  const { json } = await xrpc(url, "com.atproto.sync.getRepoStatus", { params: { did } });
  return json.active === true ? "active" : String(json.status ?? json.error);
}

test(
  "everything after the snapshot is carried out again, and the network is told of every repo",
  async () => {
    stage.relay.seq = 4_000_000_000_000_000;
    const { ran, report, data } = await restoreInto("first");
    const { alice, bob, carol, dan, erin, frank, gina } = accounts;
    expect({ out: ran.err, troubles: report?.troubles.map(({ did }) => did) }).toEqual({
      out: expect.stringContaining(ELSEWHERE),
      troubles: [frank.did],
    });
    expect(ran.code).toBe(1);
    expect(report?.deleted).toEqual([bob.did]);
    expect(report?.relays).toEqual([{ relay: stage.relay.url, seq: 4_000_000_000_000_000 }]);
    expect(report?.nextSeq).toBeGreaterThan(4_000_000_000_000_000);
    expect(existsSync(`${data}.restoring`)).toBe(false);
    const seen = stage.events.length;
    await serve(data, async ({ url }) => {
      await stage.follow();
      const statuses: Record<string, string> = {};
      for (const [name, { did }] of Object.entries(accounts)) statuses[name] = await statusOf(url, did);
      expect(statuses).toEqual({
        ...{ alice: "active", bob: "deleted", carol: "takendown", dan: "deactivated" },
        ...{ erin: "active", frank: "deactivated", gina: "active" },
      });
      const subject = await xrpc(url, "com.atproto.admin.getSubjectStatus", {
        params: { did: carol.did },
        headers: ADMIN,
      });
      expect(subject.json.takedown).toEqual({ applied: true, ref: "case 7" });
      const handle = await xrpc(url, "com.atproto.identity.resolveHandle", {
        params: { handle: "renamed.test" },
      });
      expect(handle.json).toEqual({ did: erin.did });
      const repo = await stage.repo(alice.did);
      expect([...repo.records.keys()].filter((path) => path.includes("test.file"))).toEqual([
        "dev.kith.test.file/after",
      ]);
      expect([...repo.records.keys()]).toContain(posted.split("/").slice(3).join("/"));
      const blob = (cid: string) =>
        xrpc(url, "com.atproto.sync.getBlob", { params: { did: alice.did, cid } });
      expect(new TextDecoder().decode((await blob(blobAfter)).bytes)).toBe("the blob of after");
      expect((await blob(blobBefore)).status).toBe(400);
      const session = await xrpc(url, "com.atproto.server.createSession", {
        body: { identifier: gina.handle, password: PASSWORD },
      });
      expect(session.status).toBe(200);
      const told = (did: string) =>
        stage.events
          .slice(seen)
          .filter((event) => event.did === did)
          .map(describeEvent);
      for (const { did } of [alice, carol, dan, erin, frank, gina]) {
        await waitFor("the news", () => told(did).some((news) => news.startsWith("#account")));
      }
      await stage.settle();
      expect(told(alice.did)).toEqual(["#identity", "#account active", "#sync"]);
      // Told once more, unless the accounts store was shipped after its end.
      expect(["", "#account deleted"]).toContain(told(bob.did).join());
      expect(told(carol.did)).toEqual(["#identity", "#account takendown"]);
      expect(told(dan.did)).toEqual(["#identity", "#account deactivated"]);
      expect(told(frank.did)).toEqual(["#identity", "#account deactivated"]);
      expect(stage.events[seen]?.seq).toBeGreaterThan(4_000_000_000_000_000);
      stage.firehose.assertClean();
    });
  },
  TIMEOUT_MS,
);

test(
  "--no-roll-forward leaves repos as the snapshot has them, and carries out deletions and takedowns all the same",
  async () => {
    const { report, data } = await restoreInto("as-it-was", { args: ["--no-roll-forward"] });
    expect([report?.commits, report?.deleted]).toEqual([0, [accounts.bob.did]]);
    await serve(data, async ({ url }) => {
      expect(await statusOf(url, accounts.carol.did)).toBe("takendown");
      const { did, didKey } = accounts.alice;
      const car = await xrpc(url, "com.atproto.sync.getRepo", { params: { did } });
      const repo = await judgeRepo(car.bytes, did, didKey);
      expect([...repo.records.keys()].filter((path) => path.includes("test.file"))).toEqual([
        "dev.kith.test.file/before",
      ]);
    });
  },
  TIMEOUT_MS,
);

test(
  "a restore that is killed again and again goes on, and no server starts meanwhile",
  async () => {
    const data = join(stage.path, "killed");
    const env = { ...stage.env, PDS_DATA_DIRECTORY: data };
    // As where it is killed with the accounts fetched and the key still on its way: several files are fetched at a time.
    mkdirSync(`${data}.restoring`);
    writeFileSync(join(`${data}.restoring`, "accounts.sqlite"), "");
    let kills = 0;
    for (let after = 80; ; after = after * 1.1) {
      const child = spawnKith(["restore", stage.destination], { env });
      const err = new Response(child.stderr).text();
      const ended = await Promise.race([child.exited, Bun.sleep(after).then(() => undefined)]);
      if (ended !== undefined) {
        expect({ err: await err, isThere: existsSync(data) }).toEqual({
          err: expect.any(String),
          isThere: true,
        });
        break;
      }
      child.kill("SIGKILL");
      await child.exited;
      if (existsSync(data)) break;
      kills += 1;
      if (!existsSync(`${data}.restoring`)) continue;
      const refused = await runKith(["serve"], { env });
      expect(refused.code).toBe(1);
      expect(refused.err).toContain("a restore into it has not ended");
    }
    expect(kills).toBeGreaterThan(3);
    const report = JSON.parse(readFileSync(join(data, "restored.json"), "utf8")) as RestoreReport;
    expect(report.deleted).toEqual([accounts.bob.did]);
    await serve(data, async ({ url }) => {
      for (const { did, didKey } of [accounts.alice, accounts.erin, accounts.gina]) {
        const car = await xrpc(url, "com.atproto.sync.getRepo", { params: { did } });
        expect((await judgeRepo(car.bytes, did, didKey)).records.size).toBeGreaterThan(4);
      }
    });
  },
  TIMEOUT_MS,
);

describe("kith restore: refused, with the target untouched", () => {
  interface Bad {
    readonly title: string;
    readonly says: string;
    readonly code?: number;
    readonly args?: readonly string[];
    readonly env?: Readonly<Record<string, string | undefined>>;
    /** Changes a copy of the destination. */
    readonly spoil?: (destination: string) => void;
    readonly prepare?: (data: string) => void;
  }
  const objectsOf = (destination: string) =>
    readdirSync(join(destination, "objects")).flatMap((folder) =>
      readdirSync(join(destination, "objects", folder)).map((name) =>
        join(destination, "objects", folder, name),
      ),
    );
  const flip = (path: string) => {
    const bytes = readFileSync(path);
    bytes[bytes.length - 20] = (bytes[bytes.length - 20] ?? 0) ^ 1;
    writeFileSync(path, bytes);
  };
  const rows: readonly Bad[] = [
    {
      title: "a wrong key",
      says: "the key is not the one that it was made with",
      env: { KITH_BACKUP_KEY: newBackupKey() },
      code: 78,
    },
    {
      title: "no key",
      says: "there is no key",
      env: { KITH_BACKUP_KEY: undefined, KITH_BACKUP_DESTINATION: undefined },
      code: 2,
    },
    {
      title: "a folder that is no backup",
      says: "is no backup of kith",
      spoil: (destination) => {
        rmSync(destination, { recursive: true });
        mkdirSync(destination);
        writeFileSync(join(destination, "photos.zip"), "PK");
      },
      code: 78,
    },
    {
      title: "an empty folder",
      says: "There is no backup in",
      spoil: (destination) => rmSync(destination, { recursive: true }),
      code: 78,
    },
    {
      title: "objects that were altered",
      says: "of the backup",
      spoil: (destination) => objectsOf(destination).forEach(flip),
    },
    {
      title: "objects that were cut off",
      says: "of the backup",
      spoil: (destination) => {
        for (const path of objectsOf(destination)) truncateSync(path, 40);
      },
    },
    {
      title: "objects that are gone",
      says: "it is not there",
      spoil: (destination) => rmSync(join(destination, "objects"), { recursive: true }),
    },
    {
      title: "a first backup that was cut off",
      says: "has no complete snapshot",
      spoil: (destination) => rmSync(join(destination, "snapshots"), { recursive: true }),
    },
    {
      title: "a segment of the log that was altered",
      says: '"log/',
      spoil: (destination) => {
        for (const name of readdirSync(join(destination, "log"))) flip(join(destination, "log", name));
      },
    },
    {
      title: "a snapshot that there is none of",
      says: 'has no snapshot "20200101T000000.000Z-00000000"',
      args: ["--at", "20200101T000000.000Z-00000000"],
    },
    {
      title: "the backup of another host name",
      says: 'it is the backup of "localhost", and this server is set up as "pds.other.test"',
      env: {
        ...{ PDS_DEV_MODE: undefined, PDS_HOSTNAME: "pds.other.test" },
        ...{ PDS_DID_PLC_URL: undefined, PDS_CRAWLERS: undefined },
      },
      code: 78,
    },
    {
      title: "a folder that is not empty",
      says: 'it is not empty, there is "diary.txt"',
      prepare: (data) => {
        mkdirSync(data);
        writeFileSync(join(data, "diary.txt"), "dear");
      },
    },
  ];

  test.each(rows)("$title", async ({ title, says, code = 1, args = [], env = {}, spoil, prepare }) => {
    const name = title.replaceAll(/\W+/g, "-");
    const source = join(stage.path, `source-${name}`);
    cpSync(stage.destination, source, { recursive: true });
    spoil?.(source);
    const data = join(stage.path, `data-${name}`);
    prepare?.(data);
    const before = existsSync(data) ? readdirSync(data) : undefined;
    const { ran } = await restoreInto(`data-${name}`, { args, env, source });
    expect({ code: ran.code, err: ran.err }).toEqual({ code, err: expect.stringContaining(says) });
    expect(existsSync(data) ? readdirSync(data) : undefined).toEqual(before);
    // What to do stands on a line of its own.
    expect(ran.err.trim().split("\n").length).toBeGreaterThan(1);
  });

  test("a folder that a server uses", async () => {
    const { data } = await restoreInto("served");
    await serve(data, async () => {
      const { ran } = await restoreInto("served");
      expect([ran.code, ran.err]).toEqual([1, expect.stringContaining("a server is using it")]);
    });
  });

  test("damaged blobs are left out with --partial, and named", async () => {
    const source = join(stage.path, "source-partial");
    cpSync(stage.destination, source, { recursive: true });
    // A blob is an object of its own, the smallest there are.
    const sizes = objectsOf(source).map((path) => [readFileSync(path).length, path] as const);
    const smallest = sizes.sort(([a], [b]) => a - b)[0]?.[1] ?? "";
    flip(smallest);
    const refused = await restoreInto("partial", { source });
    const words = /altered[\s\S]*--at SNAPSHOT restores one/;
    expect([refused.ran.code, refused.ran.err]).toEqual([1, expect.stringMatching(words)]);
    const { report } = await restoreInto("partial", { source, args: ["--partial"] });
    expect(report?.notes.join(" ")).toContain("is left out");
  });

  test("a relay that does not answer is told, and can be left out", async () => {
    stage.relay.isDown = true;
    const told = await restoreInto("relay-down");
    expect(told.report?.relays[0]?.problem).toContain("503");
    const left = await restoreInto("relay-left", { args: ["--skip-relays"] });
    expect(left.report?.relays).toEqual([]);
    stage.relay.isDown = false;
  });

  test("Ctrl-C says what is left, and the same command goes on", async () => {
    const held = Promise.withResolvers<void>();
    stage.relay.hold = held.promise;
    const data = join(stage.path, "interrupted");
    const child = spawnKith(["restore", stage.destination], {
      env: { ...stage.env, PDS_DATA_DIRECTORY: data },
    });
    let said = "";
    for await (const bytes of child.stderr) {
      const isAsking = said.includes("Asking the relays");
      said += new TextDecoder().decode(bytes);
      if (!isAsking && said.includes("Asking the relays")) child.kill("SIGINT");
    }
    held.resolve();
    expect([await child.exited, said]).toEqual([130, expect.stringContaining("run the same command again")]);
    expect([existsSync(data), existsSync(`${data}.restoring`)]).toEqual([false, true]);
    const { report } = await restoreInto("interrupted");
    expect(report?.deleted).toEqual([accounts.bob.did]);
  });

  test("what was begun inside the folder, as on a disk of its own, is ended there", async () => {
    const parent = join(stage.path, "locked");
    mkdirSync(join(parent, "data"), { recursive: true });
    mkdirSync(join(parent, "data", ".restoring"));
    const { ran, report, data } = await restoreInto("locked/data");
    expect({ code: ran.code, hasReport: report !== undefined }).toEqual({ code: 1, hasReport: true });
    expect(readdirSync(data)).not.toContain(".restoring");
    await serve(data, async ({ url }) => {
      expect(await statusOf(url, accounts.alice.did)).toBe("active");
    });
  });
});

describe("kith backup drill", () => {
  const drill = (data: string, args: readonly string[] = []) =>
    runKith(["backup", "drill", ...args], { env: { ...stage.env, PDS_DATA_DIRECTORY: data } });
  const list = (data: string) =>
    runKith(["backup", "list"], { env: { ...stage.env, PDS_DATA_DIRECTORY: data } });

  test(
    "proves the newest backup, with the server or without it, and leaves nothing behind",
    async () => {
      const { data } = await restoreInto("drilled");
      expect((await list(data)).out).not.toContain("proven");
      await serve(data, async () => {
        const ran = await drill(data);
        expect({ code: ran.code, out: ran.out, err: ran.err }).toEqual({
          ...{ code: 0, out: expect.stringContaining("can be restored, all of it") },
          err: expect.stringContaining("Verifying everything"),
        });
        await waitFor("the log of it", () => stage.server.output.includes("The backup is proven restorable"));
        await waitFor("nothing to be left", () => readdirSync(join(data, "tmp")).length === 0);
      });
      expect((await list(data)).out).toContain("Last proven restorable");
      const alone = await drill(data, ["--json"]);
      const result = JSON.parse(alone.out.trim().split("\n").at(-1) ?? "");
      expect([alone.code, result.type, result.lost]).toEqual([0, "result", []]);
      expect(result.accounts).toBeGreaterThan(5);
      expect(result.commits).toBeGreaterThan(2);
      expect(result.check).toMatchObject({ problems: 0, harms: 0, findings: [], repos: 6 });
    },
    TIMEOUT_MS,
  );

  test(
    "tells of what the server itself has lost, as a restore does, and both end with 1",
    async () => {
      const { data } = await restoreInto("faulty");
      const [did, cid] = [accounts.alice.did, blobAfter];
      const file = findFile(join(data, "blobs"), cid);
      writeFileSync(file, readFileSync(file).fill("x"));
      const source = join(stage.path, "source-faulty");
      const env = { ...stage.env, PDS_DATA_DIRECTORY: data, KITH_BACKUP_DESTINATION: source };
      await runKith(["backup"], { env });
      const ran = await runKith(["backup", "drill"], { env });
      expect([ran.code, ran.out, ran.err]).toEqual([
        1,
        expect.stringContaining("1 faults"),
        expect.stringContaining("blob_damaged"),
      ]);
      expect(ran.err).toContain(did);
      const listed = await runKith(["backup", "list"], { env });
      expect(listed.out).toContain("blob_damaged");
      expect(listed.out).not.toContain("proven");
      const restored = await restoreInto("faulty-again", { source });
      expect([restored.ran.code, restored.ran.err]).toEqual([1, expect.stringContaining("--repair")]);
      expect(restored.report?.check).toMatchObject({
        harms: 1,
        findings: [{ code: "blob_damaged", did, isHarm: true }],
      });
    },
    TIMEOUT_MS,
  );

  test(
    "says so where the backup could not be restored, and keeps what was proven before",
    async () => {
      const { data } = await restoreInto("drilled-too");
      await drill(data);
      const source = join(stage.path, "source-drilled");
      cpSync(stage.destination, source, { recursive: true });
      for (const name of readdirSync(join(source, "log"))) rmSync(join(source, "log", name));
      const without = await drill(data, [source]);
      expect([without.code, without.out]).toEqual([0, expect.stringContaining("all of it")]);
      rmSync(join(source, "objects"), { recursive: true });
      await serve(data, async () => {
        const ran = await drill(data, [source]);
        expect([ran.code, ran.err]).toEqual([1, expect.stringContaining("it is not there")]);
        await waitFor("the log of it", () =>
          stage.server.output.includes("could not be restored by a drill"),
        );
      });
      const listed = (await list(data)).out;
      expect(listed).toContain("Last drill failed");
      expect(listed).toContain("Last proven restorable");
    },
    TIMEOUT_MS,
  );
});
