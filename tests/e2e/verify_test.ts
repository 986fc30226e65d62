/** `kith verify`: faults in a folder that the real server has filled, found, named, and mended where that can be. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  closeSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { newBackupKey } from "../../src/backup/backup_key.ts";
import { Keyring } from "../../src/storage/mod.ts";
import { createAccount, createRecord, post, xrpc } from "../client.ts";
import { Firehose } from "../firehose.ts";
import { ADMIN_PASSWORD, kithCommand, serverEnv, TestServer } from "../harness.ts";
import { PlcDirectory } from "../plc_directory.ts";
import { S3Server, s3Env } from "../s3_server.ts";
import { keyLookup } from "../stage.ts";
import { type DamagedFolder, FILE, FilledFolder, kithVerify, type Verified } from "../verifier.ts";
import { waitFor } from "../wait.ts";

const LIMIT_MS = 120_000;
/** Whom tests/as_nobody.ts becomes. */
const NOBODY_UID = 65_534;

let filled: FilledFolder;
beforeAll(async () => {
  filled = await FilledFolder.fill();
}, LIMIT_MS);
afterAll(async () => {
  await filled[Symbol.asyncDispose]();
});

const anyRecord = "(SELECT min(rkey) FROM record WHERE collection = 'app.bsky.feed.post')";
const newestEvent = (did: string) => `(SELECT max(seq) FROM event WHERE did = '${did}')`;

interface Fault {
  readonly title: string;
  cause(folder: DamagedFolder): void;
  /** Problems and notes that are found, sorted. */
  readonly found: readonly string[];
  readonly notes?: readonly string[];
  /** What is left after a repair; absent: nothing. */
  readonly left?: { readonly problems: readonly string[]; readonly notes?: readonly string[] };
  /** Blobs of alice that are lost, by index. */
  readonly lost?: readonly number[];
  /** The repaired folder, before a server starts on it. */
  check?(folder: DamagedFolder): void;
  /** False: no server serves everything from this. */
  readonly isServed?: boolean;
}

/** A blob of alice's, whole, which bob's file knows nothing of. */
function copyToBob(folder: DamagedFolder): string {
  const to = folder.blob(filled.blobs[0] as string, filled.bob);
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(folder.blob(filled.blobs[0] as string), to);
  return to;
}

const MENDED: readonly Fault[] = [
  {
    title: "a row of the index is gone",
    cause: (folder) => folder.change(folder.repo(), `DELETE FROM record WHERE rkey = ${anyRecord}`),
    found: ["index_differs"],
  },
  {
    title: "the whole index is gone, and the references with it",
    cause: (folder) => folder.change(folder.repo(), "DELETE FROM record", "DELETE FROM record_blob"),
    found: ["index_differs", "references_differ"],
    notes: [],
  },
  {
    title: "the index has another record at a path",
    cause: (folder) =>
      folder.change(
        folder.repo(),
        `UPDATE record SET cid = (SELECT cid FROM record WHERE collection = 'app.bsky.feed.like' LIMIT 1) WHERE rkey = ${anyRecord}`,
      ),
    found: ["index_differs"],
  },
  {
    title: "the index has a record that the tree has not",
    cause: (folder) =>
      folder.change(
        folder.repo(),
        "INSERT INTO record (collection, rkey, cid, rev, subject, block) SELECT collection, 'zzz', cid, rev, subject, block FROM record LIMIT 1",
      ),
    found: ["index_differs"],
  },
  {
    title: "a row names another block",
    cause: (folder) => folder.change(folder.repo(), `UPDATE record SET block = 1 WHERE rkey = ${anyRecord}`),
    found: ["index_differs"],
  },
  {
    title: "a row has a rev of the future",
    cause: (folder) =>
      folder.change(folder.repo(), `UPDATE record SET rev = '7zzzzzzzzzzzz' WHERE rkey = ${anyRecord}`),
    found: ["index_differs"],
  },
  {
    title: "a like has another subject",
    cause: (folder) =>
      folder.change(
        folder.repo(),
        "UPDATE record SET subject = 'at://x' WHERE collection = 'app.bsky.feed.like'",
      ),
    found: ["index_differs"],
  },
  {
    title: "a block of the tree counts as removed",
    cause: (folder) =>
      folder.change(folder.repo(), "UPDATE block SET removed = 3 WHERE cid = (SELECT data FROM meta)"),
    found: ["index_differs"],
  },
  {
    title: "a reference that no record has",
    cause: (folder) =>
      folder.change(
        folder.repo(),
        `INSERT INTO record_blob (collection, rkey, cid) SELECT 'app.bsky.feed.post', ${anyRecord}, cid FROM blob LIMIT 1`,
      ),
    found: ["references_differ"],
  },
  {
    title: "a stray block",
    cause: (folder) =>
      folder.change(folder.repo(), [
        "INSERT INTO block (cid, rev, bytes) SELECT ?, rev, ? FROM meta",
        Buffer.concat([Buffer.from([1, 0x71, 0x12, 0x20]), Buffer.alloc(32, 7)]),
        Buffer.from("stray"),
      ]),
    found: ["stray_blocks"],
  },
  {
    title: "the room for blobs is counted wrongly",
    cause: (folder) => folder.change(folder.repo(), "UPDATE meta SET blob_bytes = 5"),
    found: ["blob_bytes_differ"],
  },
  {
    title: "the file says another rev and root than its commit",
    cause: (folder) => folder.change(folder.repo(), "UPDATE meta SET rev = '3jzfcijpj2z2a', data = head"),
    found: ["head_differs"],
  },
  {
    title: "the file of a blob is gone",
    cause: (folder) => rmSync(folder.blob(filled.blobs[0] as string)),
    found: ["blob_missing"],
    left: { problems: [], notes: ["blob_awaited"] },
    lost: [0],
  },
  {
    title: "the file of a blob is altered",
    cause: (folder) => alter(folder.blob(filled.blobs[0] as string), 100),
    found: ["blob_damaged"],
    left: { problems: [], notes: ["blob_awaited"] },
    lost: [0],
    check: (folder) => expect(keptFiles(folder)).toContain(String(filled.blobs[0])),
  },
  {
    title: "the file of a blob is cut off",
    cause: (folder) => truncateSync(folder.blob(filled.blobs[1] as string), 1_000),
    found: ["blob_damaged"],
    left: { problems: [], notes: ["blob_awaited"] },
    lost: [1],
  },
  {
    title: "the files of two blobs have each other's names",
    cause: (folder) => {
      const [one, two] = [folder.blob(filled.blobs[0] as string), folder.blob(filled.blobs[1] as string)];
      renameSync(one, `${one}.x`);
      renameSync(two, one);
      renameSync(`${one}.x`, two);
    },
    found: ["blob_misnamed"],
    check: (folder) => expect(keptFiles(folder)).toContain(String(filled.blobs[0])),
  },
  {
    title: "the file of a blob has the name of another, whose own is gone",
    cause: (folder) =>
      renameSync(folder.blob(filled.blobs[0] as string), folder.blob(filled.blobs[1] as string)),
    found: ["blob_damaged", "blob_misnamed"],
    left: { problems: [], notes: ["blob_awaited"] },
    lost: [1],
  },
  {
    title: "the row of a blob is gone",
    cause: (folder) =>
      folder.change(
        folder.repo(),
        "DELETE FROM blob WHERE cid = (SELECT min(cid) FROM record_blob WHERE rkey = 'one')",
      ),
    found: ["blob_row_missing"],
  },
  {
    title: "the row of a blob has another size",
    cause: (folder) =>
      folder.change(
        folder.repo(),
        "UPDATE blob SET size = 7 WHERE cid = (SELECT min(cid) FROM record_blob WHERE rkey = 'one')",
      ),
    found: ["blob_bytes_differ", "blob_size_differs"],
  },
  {
    title: "a blob that is taken down lies where it would be served",
    cause: (folder) => {
      const name = filled.blobs[2] as string;
      const { did } = filled.alice;
      renameSync(join(folder.path, "blobs/quarantine", did.replaceAll(":", "_"), name), folder.blob(name));
    },
    found: ["blob_misplaced"],
  },
  {
    title: "a file that is no blob among the blobs",
    cause: (folder) => writeFileSync(folder.blob("notes.txt"), "mine"),
    found: ["blob_stray"],
    check: (folder) => expect(keptFiles(folder)).toContain("notes.txt"),
  },
  {
    title: "half of a blob without a row",
    cause: (folder) => {
      const to = copyToBob(folder);
      truncateSync(to, Math.floor(statSync(to).size / 2));
    },
    found: ["blob_stray"],
    check: (folder) => expect(keptFiles(folder)).toContain(String(filled.blobs[0])),
  },
  {
    title: "a folder of blobs of nobody",
    cause: (folder) => {
      mkdirSync(join(folder.path, "blobs/did_plc_nobody"));
      writeFileSync(join(folder.path, "blobs/did_plc_nobody/x"), "x");
    },
    found: ["blob_folder_unowned"],
  },
  {
    title: "the files of two repos are swapped",
    cause: (folder) => {
      const [alice, bob] = [folder.repo(filled.alice), folder.repo(filled.bob)];
      renameSync(alice, `${alice}.x`);
      renameSync(bob, alice);
      renameSync(`${alice}.x`, bob);
    },
    found: ["repo_misplaced", "repo_misplaced"],
  },
  {
    title: "the file of a repo has another name",
    cause: (folder) => renameSync(folder.repo(), folder.repo().replace(/\.(\d+)\.sqlite$/, ".9$1.sqlite")),
    found: ["repo_misplaced"],
  },
  {
    title: "a copy of a repo's file beside it",
    cause: (folder) => copyFileSync(folder.repo(), folder.repo().replace(/\.(\d+)\.sqlite$/, ".9$1.sqlite")),
    found: ["repo_unowned"],
  },
  {
    title: "a file that is no repo among the repos",
    cause: (folder) => writeFileSync(join(folder.path, "repos/read.me"), "mine"),
    found: ["repo_unowned"],
    check: (folder) => expect(keptFiles(folder)).toContain("read.me"),
  },
  {
    title: "the high-water mark of the log is lowered",
    cause: (folder) => folder.change(folder.events, "UPDATE high_water SET seq = 5, published_up_to = 5"),
    found: ["high_water_low"],
  },
  {
    title: "what was published is a mark of nonsense",
    cause: (folder) => folder.change(folder.events, `UPDATE high_water SET published_up_to = ${2 ** 52}`),
    found: ["published_high"],
  },
  {
    title: "what was pruned is above what is there",
    cause: (folder) =>
      folder.change(folder.events, "UPDATE high_water SET pruned_up_to = (SELECT max(seq) FROM event)"),
    found: ["pruned_high"],
  },
  {
    title: "the newest event of an account is gone",
    cause: (folder) =>
      folder.change(folder.events, `DELETE FROM event WHERE seq = ${newestEvent(filled.alice.did)}`),
    found: ["events_missing"],
  },
  {
    title: "every event of an account is gone",
    cause: (folder) =>
      folder.change(
        folder.events,
        `DELETE FROM event WHERE did = '${filled.bob.did}'`,
        `DELETE FROM last_key WHERE did = '${filled.bob.did}'`,
      ),
    found: ["events_missing"],
  },
  {
    title: "the newest key of an account is lowered",
    cause: (folder) =>
      folder.change(folder.events, `UPDATE last_key SET key = '2' WHERE did = '${filled.alice.did}'`),
    found: ["last_key_low"],
  },
  {
    title: "an event cannot be read",
    cause: (folder) =>
      folder.change(
        folder.events,
        `UPDATE event SET frame = substr(frame, 1, 300) WHERE seq = ${newestEvent(filled.bob.did)}`,
      ),
    found: ["event_damaged"],
  },
  {
    title: "the accounts say another status",
    cause: (folder) =>
      folder.change(
        folder.accounts,
        `UPDATE account SET state = 'takendown' WHERE did = '${filled.alice.did}'`,
      ),
    found: ["status_differs"],
  },
  {
    title: "the accounts say another handle",
    cause: (folder) =>
      folder.change(
        folder.accounts,
        `UPDATE account SET handle = 'other.test' WHERE did = '${filled.alice.did}'`,
      ),
    found: ["handle_differs"],
  },
  {
    title: "an index of a repo's file is empty",
    cause: (folder) => emptyIndex(folder, folder.repo(), "record_rev"),
    found: ["repo_index_damaged"],
  },
  {
    title: "an index of the accounts is empty",
    cause: (folder) => emptyIndex(folder, folder.accounts, "account_by_age"),
    found: ["accounts_index_damaged"],
  },
  {
    title: "many faults at once",
    cause: (folder) => {
      folder.change(folder.repo(), "DELETE FROM record", "UPDATE meta SET blob_bytes = 1");
      rmSync(folder.blob(filled.blobs[1] as string));
      folder.change(folder.events, `DELETE FROM event WHERE seq = ${newestEvent(filled.bob.did)}`);
      writeFileSync(join(folder.path, "repos/read.me"), "mine");
    },
    found: ["blob_bytes_differ", "blob_missing", "events_missing", "index_differs", "repo_unowned"],
    left: { problems: [], notes: ["blob_awaited"] },
    lost: [1],
  },
];

test.each(MENDED.map((fault) => [fault.title, fault] as const))(
  "kith verify --repair mends: %s",
  async (_, { cause, found, notes = [], left = { problems: [] }, lost = [], check }) => {
    using folder = filled.copy();
    cause(folder);
    const before = folder.hashes();
    const verified = await folder.verify();
    expect(verified).toMatchObject({ exit: 1, err: "", problems: found, notes });
    const refused = await folder.verify("--repair");
    expect({ ...refused, lines: [] }).toMatchObject({
      exit: 1,
      err: "Nothing was done: confirm with --yes.\n",
    });
    expect(refused.lines.at(-1)).toMatchObject({ type: "plan" });
    expect(folder.hashes()).toEqual(before);
    const repaired = await folder.verify("--repair", "--yes");
    expect(repaired).toMatchObject({ err: "", problems: left.problems, notes: left.notes ?? [], exit: 0 });
    check?.(folder);
    await filled.assertServed(folder.path, { without: lost.map((at) => filled.blobs[at] as string) });
    expect(await folder.verify()).toMatchObject({ exit: 0, problems: [] });
  },
  LIMIT_MS,
);

const TOLD: readonly Fault[] = [
  {
    title: "a byte of a record's block is flipped",
    cause: (folder) => {
      const cid = `(SELECT cid FROM record WHERE rkey = ${anyRecord})`;
      folder.change(folder.repo(), `UPDATE block SET bytes = ${flipped} WHERE cid = ${cid}`);
    },
    found: ["record_damaged"],
  },
  {
    title: "a record's block is gone",
    cause: (folder) =>
      folder.change(
        folder.repo(),
        `DELETE FROM block WHERE cid = (SELECT cid FROM record WHERE rkey = ${anyRecord})`,
      ),
    found: ["record_damaged"],
  },
  {
    title: "a byte of a node is flipped",
    cause: (folder) =>
      folder.change(folder.repo(), `UPDATE block SET bytes = ${flipped} WHERE cid = (SELECT data FROM meta)`),
    found: ["tree_damaged"],
  },
  {
    title: "a node is gone",
    cause: (folder) => folder.change(folder.repo(), "DELETE FROM block WHERE cid = (SELECT data FROM meta)"),
    found: ["tree_damaged"],
  },
  {
    title: "the newest commit is gone",
    cause: (folder) => folder.change(folder.repo(), "DELETE FROM block WHERE cid = (SELECT head FROM meta)"),
    found: ["head_damaged"],
  },
  {
    title: "the newest commit is another's",
    cause: (folder) => {
      const bob = folder.read<{ cid: Uint8Array; bytes: Uint8Array }>(
        folder.repo(filled.bob),
        "SELECT cid, bytes FROM block WHERE cid = (SELECT head FROM meta)",
      );
      folder.change(folder.repo(), [
        "INSERT INTO block (cid, rev, bytes) SELECT ?, rev, ? FROM meta",
        bob?.cid ?? null,
        bob?.bytes ?? null,
      ]);
      folder.change(folder.repo(), ["UPDATE meta SET head = ?", bob?.cid ?? null]);
    },
    found: ["head_damaged"],
  },
  {
    title: "the signature is bad",
    cause: (folder) => forgeSignature(folder),
    found: ["signature_wrong"],
  },
  {
    title: "a repo's file is gone",
    cause: (folder) => rmSync(folder.repo()),
    found: ["repo_missing"],
  },
  {
    title: "a page of a repo's file is damaged",
    cause: (folder) => alterPages(folder.repo(), 3),
    found: ["repo_damaged"],
  },
  {
    title: "a repo's file is cut off",
    cause: (folder) => truncateSync(folder.repo(), Math.floor(statSync(folder.repo()).size / 2)),
    found: ["repo_damaged"],
  },
  {
    title: "a repo's file is empty",
    cause: (folder) => truncateSync(folder.repo(), 0),
    found: ["repo_damaged"],
  },
  {
    title: "a repo's file is no database",
    cause: (folder) =>
      writeFileSync(folder.repo(), "not a database, and long enough to look like something".repeat(100)),
    found: ["repo_damaged"],
  },
  {
    // However few blobs there are: the settings name another folder, or a disk is not mounted.
    title: "the folder of the blobs is gone",
    cause: (folder) => rmSync(join(folder.path, "blobs"), { recursive: true }),
    found: ["blob_missing", "blobs_gone"],
  },
  {
    title: "the master key is another's",
    cause: (folder) => {
      rmSync(join(folder.path, "master.key"));
      Keyring.open(join(folder.path, "master.key"));
    },
    found: ["master_key_wrong"],
  },
  {
    title: "the key of one account is another's",
    cause: (folder) =>
      folder.change(
        folder.accounts,
        `UPDATE account SET signing_key = (SELECT signing_key FROM account WHERE did = '${filled.bob.did}') WHERE did = '${filled.alice.did}'`,
      ),
    found: ["key_unsealed"],
  },
  {
    title: "the event log is no database",
    cause: (folder) => writeFileSync(folder.events, "nothing of this is a database".repeat(200)),
    found: ["log_damaged"],
  },
  {
    title: "the event log is gone",
    cause: (folder) => rmSync(folder.events),
    found: ["log_missing"],
  },
  {
    title: "the secrets are gone",
    cause: (folder) => rmSync(join(folder.path, "secrets.json")),
    found: ["secrets_lost"],
  },
  {
    title: "the secrets are no JSON",
    cause: (folder) => writeFileSync(join(folder.path, "secrets.json"), "{", { mode: 0o600 }),
    found: ["secrets_damaged"],
  },
  {
    title: "others may read the keys",
    cause: (folder) => {
      for (const name of ["secrets.json", "master.key"]) chmodSync(join(folder.path, name), 0o644);
    },
    found: ["secrets_open", "secrets_open"],
  },
  {
    title: "pipes in place of the secrets and a repo's file",
    cause: (folder) => {
      const paths = [join(folder.path, "secrets.json"), folder.repo(filled.bob)];
      for (const path of paths) rmSync(path);
      Bun.spawnSync(["mkfifo", ...paths]);
    },
    found: ["repo_damaged", "secrets_damaged"],
  },
  {
    title: "the accounts have lost one",
    cause: (folder) =>
      folder.change(folder.accounts, `DELETE FROM account WHERE did = '${filled.alice.did}'`),
    found: ["account_lost"],
  },
  {
    title: "the accounts are no database",
    cause: (folder) => writeFileSync(folder.accounts, "nothing of this is a database".repeat(200)),
    found: ["accounts_damaged"],
  },
  {
    title: "pages of the accounts are damaged",
    cause: (folder) => alterPages(folder.accounts, 2),
    found: ["accounts_damaged"],
  },
  {
    title: "pages of the event log are damaged",
    cause: (folder) => alterPages(folder.events, 5),
    found: ["log_damaged"],
  },
  {
    title: "the event log is cut off",
    cause: (folder) => truncateSync(folder.events, 3 * 4096),
    found: ["log_damaged"],
  },
  {
    title: "the log is newer than the repo",
    cause: (folder) =>
      folder.change(
        folder.events,
        `UPDATE last_key SET key = '7zzzzzzzzzzzz' WHERE did = '${filled.alice.did}'`,
      ),
    found: ["log_ahead"],
  },
];

test.each(TOLD.map((fault) => [fault.title, fault] as const))(
  "kith verify tells, and --repair leaves alone: %s",
  async (_, { cause, found }) => {
    using folder = filled.copy();
    cause(folder);
    const before = folder.hashes();
    expect(await folder.verify()).toMatchObject({ exit: 1, err: "", problems: found });
    const repaired = await folder.verify("--repair", "--yes");
    expect(repaired).toMatchObject({ exit: 1, err: "", problems: found });
    expect(repaired.lines.at(-1)).toMatchObject({ type: "plan", steps: [] });
    expect(folder.hashes()).toEqual(before);
    expect(folder.exists("repaired")).toBe(false);
  },
  LIMIT_MS,
);

test(
  "a repair that has uncovered more says that it is to be run again, and then mends that",
  async () => {
    using folder = filled.copy();
    const [alice, bob] = [folder.repo(filled.alice), folder.repo(filled.bob)];
    renameSync(alice, `${alice}.x`);
    renameSync(bob, alice);
    renameSync(`${alice}.x`, bob);
    rmSync(folder.blob(filled.blobs[0] as string));
    const first = await folder.verify("--repair", "--yes");
    expect(first).toMatchObject({ exit: 1, problems: ["blob_missing"] });
    expect(first.lines.at(-1)).toEqual({ type: "again" });
    const second = await folder.verify("--repair", "--yes");
    expect(second).toMatchObject({ exit: 0, problems: [] });
    expect(second.lines.at(-1)).toMatchObject({ type: "report" });
  },
  LIMIT_MS,
);

test("a damaged account is told, and another is mended beside it", async () => {
  using folder = filled.copy();
  folder.change(folder.repo(filled.bob), "DELETE FROM block WHERE cid = (SELECT data FROM meta)");
  folder.change(folder.repo(filled.alice), "DELETE FROM record");
  expect(await folder.verify()).toMatchObject({ exit: 1, problems: ["index_differs", "tree_damaged"] });
  const bob = readFileSync(folder.repo(filled.bob));
  expect(await folder.verify("--repair", "--yes")).toMatchObject({ exit: 1, problems: ["tree_damaged"] });
  expect(readFileSync(folder.repo(filled.bob))).toEqual(bob);
  expect(await folder.verify(filled.alice.did)).toMatchObject({ exit: 0 });
  expect(await folder.verify("alice.test", "bob.test")).toMatchObject({
    exit: 1,
    problems: ["tree_damaged"],
  });
});

test("a file older than what was published is told after a crash too, beside an event that nobody was told of", async () => {
  using folder = filled.copy();
  const server = await TestServer.start({ env: filled.env, folder: folder.path });
  for (const text of ["told", "told too", "in the log alone"])
    await createRecord(server.url, filled.alice, { record: post(text) });
  await server.stop();
  using older = filled.copy();
  copyFileSync(older.repo(), folder.repo());
  folder.change(
    folder.accounts,
    `INSERT OR IGNORE INTO open_repo (did, generation) SELECT did, generation FROM account WHERE did = '${filled.alice.did}'`,
  );
  folder.change(
    folder.events,
    `UPDATE high_water SET published_up_to = ${newestEvent(filled.alice.did)} - 1`,
  );
  expect(await folder.verify()).toMatchObject({ exit: 1, problems: ["log_ahead"] });
  await server.start();
  await waitFor("the log of it", () =>
    server.output.includes("A repo is older than what the network was told of it"),
  );
  await server.stop();
  expect(await folder.verify()).toMatchObject({ exit: 1, problems: ["log_ahead"] });
});

/** A folder in which an older file of alice's was put back after two writes, and what the second's blob is. */
async function withOlderFile(): Promise<{ folder: DamagedFolder; server: TestServer; blob: string }> {
  const folder = filled.copy();
  const server = await TestServer.start({ env: filled.env, folder: folder.path });
  await createRecord(server.url, filled.alice, { record: post("two") });
  const headers = { "content-type": "text/plain" };
  const { json } = await xrpc(server.url, "com.atproto.repo.uploadBlob", {
    token: filled.alice.accessJwt,
    body: new TextEncoder().encode("a file of a record that is lost"),
    headers,
  });
  const blob = json.blob as { ref: { $link: string } };
  const record = { $type: FILE, blob };
  await createRecord(server.url, filled.alice, { collection: FILE, rkey: "lost", record });
  await server.stop();
  using older = filled.copy();
  for (const suffix of ["-wal", "-shm"]) rmSync(`${folder.repo()}${suffix}`, { force: true });
  copyFileSync(older.repo(), folder.repo());
  return { folder, server, blob: blob.ref.$link };
}

const findingOf = ({ lines }: Verified, code: string) => lines.find((line) => line.code === code);

test(
  "a file older than what was published is told with what is lost, and again once it was written to; a repair tells the network",
  async () => {
    const { folder: copied, server, blob } = await withOlderFile();
    using folder = copied;
    const ahead = await folder.verify();
    expect(ahead).toMatchObject({ exit: 1, problems: ["log_ahead"], notes: ["blob_of_lost"] });
    expect(findingOf(ahead, "log_ahead")?.detail).toMatch(
      /: 2 commits are lost; records written \(2\): "app\.bsky\.feed\.post\/\w+", "dev\.kith\.test\.file\/lost"$/,
    );
    expect(findingOf(ahead, "blob_of_lost")?.detail).toContain(blob);

    await server.start();
    await createRecord(server.url, filled.alice, { record: post("over it") });
    await waitFor("the log of it", () =>
      server.output.includes("A repo is older than what the network was told of it"),
    );
    await server.stop();
    const branched = await folder.verify();
    expect(branched).toMatchObject({ exit: 1, problems: ["log_branched"], notes: ["blob_of_lost"] });
    expect(findingOf(branched, "log_branched")?.detail).toContain("2 commits are lost; records written (2)");

    const mended = await folder.verify("--repair", "--yes");
    expect(mended).toMatchObject({ exit: 0, problems: [] });
    await server.start();
    using firehose = await Firehose.connect(server.url, { cursor: 0 });
    await firehose.find(
      "the #sync",
      (event) => event.type === "#sync" && event.did === filled.alice.did && event.body.rev === revOf(folder),
    );
    await createRecord(server.url, filled.alice, { record: post("on") });
    await server.stop();
    expect(await folder.verify()).toMatchObject({
      exit: 0,
      problems: [],
      notes: ["blob_of_lost", "log_branch_told"],
    });
  },
  LIMIT_MS,
);

/** A folder in which bob was deleted and erin made since the files were copied that a test puts back. */
async function withLaterAccounts(): Promise<{ folder: DamagedFolder; erin: string }> {
  const folder = filled.copy();
  await using server = await TestServer.start({ env: filled.env, folder: folder.path });
  const { did: erin } = await createAccount(server.url, "erin", filled.plc);
  const deleted = await xrpc(server.url, "com.atproto.admin.deleteAccount", {
    headers: { authorization: `Basic ${Buffer.from(`admin:${ADMIN_PASSWORD}`).toString("base64")}` },
    body: { did: filled.bob.did },
  });
  expect(deleted.status).toBe(200);
  const name = filled.bob.did.replaceAll(":", "_");
  await waitFor(
    "the end of bob's files",
    () =>
      !readdirSync(join(folder.path, "repos"), { recursive: true }).some((each) =>
        String(each).includes(name),
      ),
  );
  await server.stop();
  for (const suffix of ["-wal", "-shm"]) rmSync(`${folder.accounts}${suffix}`, { force: true });
  copyFileSync(join(filled.folder, "accounts.sqlite"), folder.accounts);
  return { folder, erin };
}

const deletions = (folder: DamagedFolder) =>
  folder.read<{ n: number }>(
    folder.events,
    `SELECT count(*) AS n FROM event WHERE did = '${filled.bob.did}' AND kind = 'account'`,
  )?.n;

test(
  "accounts and repos of an earlier day: who is lost is told, and who was deleted since",
  async () => {
    const { folder: copied, erin } = await withLaterAccounts();
    using folder = copied;
    rmSync(join(folder.path, "repos"), { recursive: true });
    cpSync(join(filled.folder, "repos"), join(folder.path, "repos"), { recursive: true });
    const verified = await folder.verify();
    expect(verified).toMatchObject({ exit: 1, problems: ["account_back", "account_lost"] });
    expect(findingOf(verified, "account_lost")).toMatchObject({ did: erin, handle: "erin.test" });
    const back = findingOf(verified, "account_back");
    expect([back?.did, back?.detail]).toEqual([
      filled.bob.did,
      expect.stringMatching(/^the event log has its deletion, of \d{4}-/),
    ]);
    expect(await folder.verify("--repair", "--yes")).toMatchObject({
      exit: 1,
      problems: ["account_back", "account_lost"],
    });
  },
  LIMIT_MS,
);

test(
  "accounts of an earlier day: a repair finishes what was deleted since, and nobody is told twice",
  async () => {
    const { folder: copied } = await withLaterAccounts();
    using folder = copied;
    const told = deletions(folder);
    expect(await folder.verify()).toMatchObject({ exit: 1, problems: ["account_deleted", "account_lost"] });
    const repaired = await folder.verify("--repair", "--yes");
    expect(repaired).toMatchObject({ problems: ["account_lost"], notes: ["account_unfinished"] });
    await using server = await TestServer.start({ env: filled.env, folder: folder.path });
    const status = await xrpc(server.url, "com.atproto.sync.getRepoStatus", {
      params: { did: filled.bob.did },
    });
    expect(status.json).not.toMatchObject({ active: true });
    await server.stop();
    expect(await folder.verify()).toMatchObject({ problems: ["account_lost"], notes: [] });
    expect(deletions(folder)).toBe(told as number);
  },
  LIMIT_MS,
);

test("files that this user may not read or write are told as such, and not as damaged", async () => {
  using folder = filled.copy();
  const isRoot = process.getuid?.() === 0;
  if (isRoot) {
    const names = readdirSync(folder.path, { recursive: true, encoding: "utf8" });
    for (const name of ["", ...names]) chownSync(join(folder.path, name), NOBODY_UID, 0);
    chownSync(folder.repo(), 0, 0);
  } else chmodSync(folder.repo(), 0);
  const parent = dirname(folder.repo(filled.bob));
  chmodSync(folder.repo(filled.bob), 0o444);
  chmodSync(parent, 0o555);
  try {
    const script = join(import.meta.dir, "../as_nobody.ts");
    const args = ["verify", "--json", "--offline", "--data", folder.path];
    const child = Bun.spawn([process.execPath, script, ...args], {
      ...{ cwd: tmpdir(), env: serverEnv(filled.env), stdout: "pipe", stderr: "pipe" },
    });
    const out = await new Response(child.stdout).text();
    const lines = out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const found = lines.filter(({ type, level }) => type === "finding" && level === "problem");
    expect(new Set(found.map(({ code }) => code))).toEqual(new Set(["repo_unreadable"]));
    // Another's file may be in the folder that is closed.
    const dids = found.map(({ did }) => did);
    expect(dids).toEqual(expect.arrayContaining([filled.alice.did, filled.bob.did]));
    for (const { detail, advice } of found) {
      expect(detail).toMatch(/may not read and write ".*", which belongs to uid \d+ with mode 0[0-7]{3}$/);
      expect(advice).not.toContain("Restore");
    }
  } finally {
    chmodSync(parent, 0o755);
  }
});

test("a log whose rows were all in a -wal that is lost is told as one that is not there", async () => {
  using folder = filled.copy();
  folder.change(
    folder.events,
    "DELETE FROM event",
    "DELETE FROM last_key",
    "UPDATE high_water SET seq = 0, published_up_to = 0, pruned_up_to = 0",
  );
  const { problems } = await folder.verify();
  expect(problems).toContain("log_missing");
});

test("an upload that a crash or a restore has left without a row is no fault", async () => {
  using folder = filled.copy();
  copyToBob(folder);
  expect(await folder.verify()).toMatchObject({ exit: 0, problems: [], notes: ["blob_left_over"] });
});

describe("what the network says", () => {
  const documents = new Map<string, (document: Record<string, unknown>) => Response>();
  let stand: Bun.Server<undefined>;
  beforeAll(() => {
    stand = Bun.serve({
      port: 0,
      hostname: "localhost",
      fetch: async (request) => {
        const did = decodeURIComponent(new URL(request.url).pathname.slice(1));
        const document = (await filled.plc.document(did)) ?? {};
        return documents.get(did)?.(document) ?? Response.json(document);
      },
    });
  });
  afterAll(() => stand.stop(true));

  const methods = (document: Record<string, unknown>) =>
    document.verificationMethod as { publicKeyMultibase: string }[];
  const rows: readonly (readonly [
    title: string,
    answer: (document: Record<string, unknown>) => Response,
    problems: readonly string[],
    notes: readonly string[],
  ])[] = [
    [
      "another key",
      (document) => {
        const other = filled.bob.didKey.slice("did:key:".length);
        const [method] = methods(document);
        return Response.json({ ...document, verificationMethod: [{ ...method, publicKeyMultibase: other }] });
      },
      ["document_key_differs"],
      [],
    ],
    [
      "no key",
      (document) => Response.json({ ...document, verificationMethod: [] }),
      ["document_key_differs"],
      [],
    ],
    [
      "another server",
      (document) => {
        const [service] = document.service as object[];
        return Response.json({
          ...document,
          service: [{ ...service, serviceEndpoint: "https://pds.example.com" }],
        });
      },
      [],
      ["document_elsewhere"],
    ],
    [
      "another port of this machine",
      (document) => {
        const [service] = document.service as object[];
        return Response.json({
          ...document,
          service: [{ ...service, serviceEndpoint: "http://localhost:1" }],
        });
      },
      [],
      ["document_other_port"],
    ],
    [
      "nothing",
      () => Response.json({ message: "DID not registered" }, { status: 404 }),
      ["document_gone"],
      [],
    ],
    ["a failure", () => new Response("down", { status: 503 }), ["document_unread"], []],
  ];

  test.each(rows)("kith verify is told of %s", async (_, answer, problems, notes) => {
    using folder = filled.copy();
    documents.set(filled.alice.did, answer);
    const env = { ...filled.env, PDS_DID_PLC_URL: `http://localhost:${stand.port}` };
    const verified = await kithVerify(folder.path, { env });
    expect(verified).toMatchObject({ exit: problems.length > 0 ? 1 : 0, problems, notes });
    expect(await kithVerify(folder.path, { env, args: ["--offline"] })).toMatchObject({
      exit: 0,
      problems: [],
    });
    documents.clear();
  });
});

test(
  "kith verify finds a folder clean as a kill -9 has left it, and again after a start",
  async () => {
    await using server = await TestServer.start({ env: filled.env, folder: filled.copy().path });
    try {
      const { folder, url } = server;
      let writes = 0;
      const write = async (token: typeof filled.alice) => {
        for (;;) {
          await createRecord(url, token, { record: post(`busy ${writes}`) });
          writes += 1;
        }
      };
      const busy = [filled.alice, filled.alice, filled.bob].map((account) => write(account).catch(() => {}));
      const upload = async () => {
        for (let n = 0; ; n += 1) {
          const call = {
            token: filled.alice.accessJwt,
            body: `upload ${n}`,
            headers: { "content-type": "text/plain" },
          };
          await xrpc(url, "com.atproto.repo.uploadBlob", call);
        }
      };
      busy.push(upload().catch(() => {}));
      while (writes < 200) await Bun.sleep(5);
      await server.kill();
      await Promise.all(busy);
      const left = await kithVerify(folder, { env: filled.env });
      expect(left).toMatchObject({ exit: 0, problems: [] });
      await server.start();
      await server.stop();
      expect(await kithVerify(folder, { env: filled.env })).toMatchObject({ exit: 0, problems: [] });
    } finally {
      rmSync(server.folder, { recursive: true, force: true });
    }
  },
  LIMIT_MS,
);

test("an event that was missing reaches those who follow, and nothing comes twice", async () => {
  using folder = filled.copy();
  folder.change(folder.events, `DELETE FROM event WHERE seq = ${newestEvent(filled.alice.did)}`);
  expect(await folder.verify("--repair", "--yes")).toMatchObject({ exit: 0 });
  await using server = await TestServer.start({ env: filled.env, folder: folder.path });
  using firehose = await Firehose.connect(server.url, { cursor: 0 });
  const sync = await firehose.find(
    "the #sync",
    (event) => event.type === "#sync" && event.did === filled.alice.did && event.body.rev === revOf(folder),
  );
  expect(sync.seq).toBeGreaterThan(0);
  firehose.assertClean();
  await keyLookup(filled.plc)(filled.alice.did);
});

const revOf = (folder: DamagedFolder) =>
  folder.read<{ rev: string }>(folder.repo(), "SELECT rev FROM meta")?.rev;

describe("what keeps kith verify from running", () => {
  test("a server runs on the folder", async () => {
    using folder = filled.copy();
    await using server = await TestServer.start({ env: filled.env, folder: folder.path });
    const verified = await folder.verify();
    expect(verified.exit).toBe(2);
    expect(verified.err).toMatch(
      /^kith verify: Could not verify .*: the process \d+ is using it\n.*stop the server, run this .* set up backups/,
    );
    expect((await folder.verify("--repair", "--yes")).err).toContain("What is repaired must be still: stop");
    const backups = { KITH_BACKUP_DESTINATION: "/nowhere", KITH_BACKUP_KEY: newBackupKey() };
    const drilled = await kithVerify(folder.path, { env: { ...filled.env, ...backups } });
    expect(drilled.err).toMatch(
      /changes\. "kith backup drill" restores .* To verify the folder itself, stop/,
    );
    expect(await server.stop()).toBe(0);
    expect(await folder.verify()).toMatchObject({ exit: 0 });
  });

  const rows: readonly (readonly [string, (folder: DamagedFolder) => void, string[], RegExp])[] = [
    [
      "there is no data",
      ({ path }) => rmSync(path, { recursive: true }),
      [],
      /there is no "accounts.sqlite" in it/,
    ],
    ["there is no master key", ({ path }) => rmSync(join(path, "master.key")), [], /no "master.key"/],
    ["an account is not here", () => {}, ["nobody.test"], /There is no account "nobody.test"/],
    ["--yes is given alone", () => {}, ["--yes"], /"--yes" goes with "--repair"/],
    [
      "the accounts are of a newer version",
      (folder) => folder.change(folder.accounts, "PRAGMA user_version = 999"),
      [],
      /its schema is version 999/,
    ],
  ];
  test.each(rows)("%s", async (_, cause, args, words) => {
    using folder = filled.copy();
    cause(folder);
    const { exit, err, lines } = await folder.verify(...args);
    expect({ exit, lines }).toEqual({ exit: 2, lines: [] });
    expect(err).toMatch(words);
  });
});

/** The bytes of a block with one bit of its last byte another. */
const flipped =
  "unhex(substr(hex(bytes), 1, length(hex(bytes)) - 1) || CASE WHEN substr(hex(bytes), -1) = '0' THEN '1' ELSE '0' END)";

function alter(path: string, at: number): void {
  const file = openSync(path, "r+");
  writeSync(file, Buffer.from([0]), 0, 1, at);
  closeSync(file);
}

/** Overwrites the start of every page from one on. */
function alterPages(path: string, from: number): void {
  const file = openSync(path, "r+");
  for (let at = from * 4096; at < statSync(path).size; at += 4096)
    writeSync(file, Buffer.alloc(200, 0xee), 0, 200, at);
  closeSync(file);
}

/** Takes the rows out of an index, and leaves those of the table. */
function emptyIndex(folder: DamagedFolder, path: string, name: string): void {
  const found = folder.read<{ rootpage: number }>(
    path,
    `SELECT rootpage FROM sqlite_schema WHERE name = '${name}'`,
  );
  const file = openSync(path, "r+");
  // A leaf of an index without a cell.
  const page = Buffer.alloc(8);
  page[0] = 10;
  page.writeUInt16BE(4096, 5);
  writeSync(file, page, 0, 8, ((found?.rootpage ?? 0) - 1) * 4096);
  closeSync(file);
}

/** Puts a commit in the place of the newest that says the same and is signed wrongly. */
function forgeSignature(folder: DamagedFolder): void {
  const row = folder.read<{ bytes: Uint8Array }>(
    folder.repo(),
    "SELECT bytes FROM block WHERE cid = (SELECT head FROM meta)",
  );
  const bytes = Buffer.from(row?.bytes ?? []);
  const at = bytes.indexOf(Buffer.from("csig", "latin1")) + 4 + 2 + 20;
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  const digest = new Bun.CryptoHasher("sha256").update(bytes).digest();
  const cid = Buffer.concat([Buffer.from([1, 0x71, 0x12, 0x20]), digest]);
  folder.change(
    folder.repo(),
    ["UPDATE block SET cid = ?, bytes = ? WHERE cid = (SELECT head FROM meta)", cid, bytes],
    ["UPDATE meta SET head = ?", cid],
  );
}

/** Names of what a repair has kept. */
function keptFiles(folder: DamagedFolder): string[] {
  const path = join(folder.path, "repaired");
  if (!existsSync(path)) return [];
  return readdirSync(path, { recursive: true, encoding: "utf8" }).map((name) => name.split("/").at(-1) ?? "");
}

test("kith verify says in words what it found, what it would do, and what it did", async () => {
  using folder = filled.copy();
  folder.change(folder.repo(), `DELETE FROM record WHERE rkey = ${anyRecord}`);
  const run = async (...args: string[]) => {
    const child = Bun.spawn(kithCommand("verify", "--data", folder.path, ...args), {
      env: serverEnv(filled.env),
      stdout: "pipe",
    });
    const out = await new Response(child.stdout).text();
    return { exit: await child.exited, out };
  };
  const found = await run();
  expect(found.exit).toBe(1);
  expect(found.out).toMatch(
    /^PROBLEM: alice\.test \(did:plc:[a-z2-7]+\), repos\/.*\.sqlite \[index_differs\]\n {2}records differ from the index \(1\)/,
  );
  expect(found.out).toContain("--repair can make the differing rows of the index again from the tree.");
  expect(found.out).toMatch(
    /\n3 accounts with 3 repos, 49 records .*: 1 problem, of which --repair can mend 1\.\n$/,
  );
  const repaired = await run("--repair", "--yes");
  expect(repaired.exit).toBe(0);
  expect(repaired.out).toMatch(
    /\n {2}1\. alice\.test .*: make the differing rows of the index again from the tree\n/,
  );
  expect(repaired.out).toMatch(/\n1 of 1 were mended\. .*\/repaired\//);
  expect(repaired.out).toMatch(/no problem was found\.\n$/);
});

test("kith verify leaves what it does not know, and copies with which it looked are gone", async () => {
  using folder = filled.copy();
  appendFileSync(join(folder.path, "my-notes.txt"), "mine");
  expect(await folder.verify("--repair", "--yes")).toMatchObject({ exit: 0 });
  expect(folder.exists("my-notes.txt")).toBe(true);
  expect(readdirSync(join(folder.path, "tmp"))).toEqual([]);
});

test(
  "kith verify reads blobs from a bucket",
  async () => {
    await using s3 = await S3Server.start();
    await using plc = await PlcDirectory.start();
    const env = s3Env(s3.url, { PDS_DID_PLC_URL: plc.url });
    await using server = await TestServer.start({ env });
    const alice = await createAccount(server.url, "alice", plc);
    const headers = { "content-type": "text/plain" };
    for (const body of ["one", "two"]) {
      const { json } = await xrpc(server.url, "com.atproto.repo.uploadBlob", {
        ...{ token: alice.accessJwt, body, headers },
      });
      await createRecord(server.url, alice, { collection: FILE, record: { $type: FILE, blob: json.blob } });
    }
    await server.stop();
    const verify = (...args: string[]) =>
      kithVerify(server.folder, { args, env: { ...env, PDS_PORT: String(server.port) } });
    expect(await verify()).toMatchObject({ exit: 0, problems: [], notes: [] });
    s3.remove(s3.keys()[0] as string);
    expect(await verify()).toMatchObject({ exit: 1, problems: ["blob_missing"] });
    expect(await verify("--repair", "--yes")).toMatchObject({
      exit: 0,
      problems: [],
      notes: ["blob_awaited"],
    });
    await s3.stop();
    expect(await verify()).toMatchObject({ exit: 2 });
  },
  LIMIT_MS,
);
