/** What `kith import-reference` refuses, what it tells of and gets along with, and what is left when it is cut off. */
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createUpdate, encodeCbor, signerFromPrivateKey } from "../../src/atproto/mod.ts";
import { locateReference, Reference } from "../../src/takeover/mod.ts";
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
import { kithCommand, runToExit, TestServer } from "../harness.ts";
import { judgeRepo } from "../judges.ts";
import { PlcDirectory } from "../plc_directory.ts";
import { REFERENCE_ROTATION_KEY, ReferencePds } from "../reference.ts";
import {
  asOwner,
  fingerprint,
  importReference,
  postPicture,
  type Ran,
  startImport,
  writeEnvFile,
} from "../takeover.ts";
import { waitFor } from "../wait.ts";

setDefaultTimeout(120_000);

const NAMES = ["ann", "ben", "cat", "dan"] as const;
type Name = (typeof NAMES)[number];
const ELSEWHERE = "https://elsewhere.example.com";
const LARGE_BYTES = 1_900_000;
/** In the blocks of 1024 bytes that `ulimit -f` counts. */
const FILE_BLOCKS_MAX = 1_000;

/** A copy of the folder of the reference, for one case. */
interface Copy {
  readonly folder: string;
  readonly target: string;
  readonly envFile: string;
  run(...args: string[]): Promise<Ran>;
  /** The store of an account, or its key. */
  store(name: Name): string;
  key(name: Name): string;
  did(name: Name): string;
  sql(path: string, ...statements: string[]): void;
}

describe("import-reference", () => {
  const work = mkdtempSync(join(tmpdir(), "kith-takeover-faults-"));
  const accounts = new Map<Name, Account>();
  let plc: PlcDirectory;
  let reference: ReferencePds;
  let picture: Awaited<ReturnType<typeof postPicture>>;
  let copies = 0;

  beforeAll(async () => {
    const folder = join(work, "pds");
    mkdirSync(folder);
    plc = await PlcDirectory.start();
    reference = await ReferencePds.start({ plc, folder });
    const { url } = reference;
    for (const name of NAMES) accounts.set(name, await createAccount(url, name, plc));
    for (const name of NAMES) await createRecord(url, named(name), { record: post(`of ${name}`) });
    picture = await postPicture(url, named("cat"), newPicture(LARGE_BYTES));
    await moveAway(named("dan"));
    await reference.stop();
    writeEnvFile(reference);
  }, 120_000);
  afterAll(async () => {
    await reference?.[Symbol.asyncDispose]();
    await plc?.[Symbol.asyncDispose]();
    rmSync(work, { recursive: true, force: true });
  });

  function named(name: Name): Account {
    const account = accounts.get(name);
    if (!account) throw new Error(`There is no account "${name}"`);
    return account;
  }

  /** Has the DID document of an account name another server. */
  async function moveAway({ did }: Account): Promise<void> {
    const [last] = (await plc.log(did)).slice(-1);
    const signer = signerFromPrivateKey("k256", Buffer.from(REFERENCE_ROTATION_KEY, "hex"));
    const services = { atproto_pds: { type: "AtprotoPersonalDataServer", endpoint: ELSEWHERE } };
    const operation = createUpdate(last as never, { signer, change: (state) => ({ ...state, services }) });
    const answer = await fetch(`${plc.url}/${did}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(operation),
    });
    if (!answer.ok) throw new Error(`The PLC directory answers ${answer.status} ${await answer.text()}`);
  }

  function copy(): Copy {
    const place = join(work, `case-${++copies}`);
    const [folder, target] = [join(place, "pds"), join(place, "kith")];
    cpSync(reference.folder, folder, { recursive: true, preserveTimestamps: true });
    const did = (name: Name) => named(name).did;
    const actor = (name: Name) => {
      const hash = new Bun.CryptoHasher("sha256").update(did(name)).digest("hex");
      return join(folder, "actors", hash.slice(0, 2), did(name));
    };
    return {
      ...{ folder, target, did, envFile: join(folder, "pds.env") },
      run: (...args) => importReference([folder, "--data", target, ...args]),
      store: (name) => join(actor(name), "store.sqlite"),
      key: (name) => join(actor(name), "key"),
      sql: (path, ...statements) => {
        const db = new Database(path, { readwrite: true, strict: true });
        for (const statement of statements) db.run(statement);
        db.run("PRAGMA wal_checkpoint(TRUNCATE)");
        db.close();
      },
    };
  }

  /** The settings of kith where the reference was. */
  function settings(): Record<string, string | undefined> {
    const { PDS_BLOBSTORE_DISK_LOCATION: _blobs, PDS_DATA_DIRECTORY: _data, ...env } = reference.env;
    return env;
  }

  interface Refusal {
    readonly title: string;
    /** Changes the folder before. */
    spoil?(copy: Copy): unknown;
    readonly args?: readonly string[] | ((copy: Copy) => readonly string[]);
    readonly env?: Readonly<Record<string, string>>;
    readonly err: RegExp;
    readonly code?: number;
  }

  const REFUSALS: readonly Refusal[] = [
    {
      title: "a folder that is not there",
      spoil: ({ folder }) => rmSync(folder, { recursive: true }),
      err: /from a reference PDS: it is not there/,
    },
    {
      title: "a folder without actors",
      spoil: ({ folder }) => rmSync(join(folder, "actors"), { recursive: true }),
      err: /actors" is not there/,
    },
    {
      title: "an accounts database of a newer schema",
      spoil: ({ folder, sql }) =>
        sql(join(folder, "account.sqlite"), "INSERT INTO kysely_migration VALUES ('008', '2027-01-01')"),
      err: /newer than this version of kith knows \(migration "008"\)/,
    },
    {
      title: "an accounts database of an old schema",
      spoil: ({ folder, sql }) =>
        sql(join(folder, "account.sqlite"), "DELETE FROM kysely_migration WHERE name > '002'"),
      err: /too old \(no migration "003"\)[\s\S]*Start the newest reference PDS/,
    },
    {
      title: "a database of something else",
      spoil: ({ folder, sql }) => sql(join(folder, "account.sqlite"), "DROP TABLE kysely_migration"),
      err: /no database of the reference PDS/,
    },
    {
      title: "an accounts database that is none",
      spoil: ({ folder }) =>
        writeFileSync(join(folder, "account.sqlite"), "not a database at all".repeat(1000)),
      err: /account\.sqlite": the file is not a database/,
    },
    {
      title: "a sequencer of an unknown schema",
      spoil: ({ folder, sql }) =>
        sql(join(folder, "sequencer.sqlite"), "INSERT INTO kysely_migration VALUES ('002', '2027-01-01')"),
      err: /sequencer\.sqlite": its schema is newer/,
    },
    {
      title: "another host name",
      env: { PDS_PORT: "1" },
      err: /no DID document names "http:\/\/localhost:1"/,
    },
    {
      title: "another rotation key",
      env: { PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX: "7b".repeat(32) },
      err: /rotation key that is set, "did:key:\w+", is none of any account's/,
    },
    {
      title: "settings without the rotation key",
      spoil: ({ folder }) =>
        writeEnvFile({ folder, env: reference.env }, ["PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX"]),
      err: /PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX is not set/,
    },
    {
      title: "an environment file that is not there",
      args: ["--env-file", "/nonexistent/pds.env"],
      err: /"\/nonexistent\/pds\.env" cannot be read/,
      code: 78,
    },
    {
      title: "a directory that does not answer",
      env: { PDS_DID_PLC_URL: "http://localhost:1" },
      err: /Could not look the DIDs of the accounts up[\s\S]*--offline/,
    },
    {
      title: "a target that is not empty",
      spoil: ({ target }) => {
        mkdirSync(target);
        writeFileSync(join(target, "diary.txt"), "mine");
      },
      err: /it is not empty: it holds "diary\.txt"/,
    },
    {
      title: "a target within the folder",
      args: ({ folder }) => ["--data", join(folder, "kith")],
      err: /lie in one another/,
    },
    {
      title: "the folder itself as the target",
      args: ({ folder }) => ["--data", folder],
      err: /lie in one another/,
    },
    {
      title: "a store that is not there",
      spoil: ({ store }) => rmSync(store("ben")),
      err: /PROBLEM {2}ben\.test \(did:plc:\w+\): .*is not there[\s\S]*--leave-out ben\.test/,
    },
    {
      title: "a store that is no database",
      spoil: ({ store }) => truncateSync(store("ben"), 5_000),
      err: /PROBLEM {2}ben\.test .*(malformed|damaged|not a database)/,
    },
    {
      title: "a store of an unknown schema",
      spoil: ({ store, sql }) =>
        sql(store("ben"), "INSERT INTO kysely_migration VALUES ('002', '2027-01-01')"),
      err: /PROBLEM {2}ben\.test .*newer than this version/,
    },
    {
      title: "an account without a repo",
      spoil: ({ store, sql }) => sql(store("ben"), "DELETE FROM repo_root"),
      err: /PROBLEM {2}ben\.test .*it has no repo/,
    },
    {
      title: "a block that is gone",
      spoil: ({ store, sql }) =>
        sql(store("ben"), "DELETE FROM repo_block WHERE cid = (SELECT cid FROM record LIMIT 1)"),
      err: /PROBLEM {2}ben\.test .*Could not read the block "\w+": it is missing/,
    },
    {
      title: "a block that was altered",
      spoil: ({ store, sql }) =>
        sql(
          store("ben"),
          "UPDATE repo_block SET content = CAST(content || x'00' AS BLOB) WHERE cid = (SELECT cid FROM record LIMIT 1)",
        ),
      err: /PROBLEM {2}ben\.test .*is not what its CID says/,
    },
    {
      title: "a repo of somebody else's",
      spoil: ({ store }) => cpSync(store("ann"), store("ben")),
      err: /PROBLEM {2}ben\.test .*its commit is of "did:plc:/,
    },
    {
      title: "an account without a key",
      spoil: ({ key }) => rmSync(key("ben")),
      err: /PROBLEM {2}ben\.test .*Could not read the key .*it is not there/,
    },
    {
      title: "a key that is cut off",
      spoil: ({ key }) => truncateSync(key("ben"), 31),
      err: /PROBLEM {2}ben\.test .*it has 31 bytes, not 32/,
    },
    {
      title: "a key that is none",
      spoil: ({ key }) => writeFileSync(key("ben"), new Uint8Array(32)),
      err: /PROBLEM {2}ben\.test .*it is no K-256 key/,
    },
  ];

  for (const { title, spoil, args = [], env = {}, err, code = 1 } of REFUSALS) {
    test(`refuses ${title}`, async () => {
      const each = copy();
      await spoil?.(each);
      const before = existsSync(each.folder) ? fingerprint(each.folder) : {};
      const more = typeof args === "function" ? args(each) : args;
      const ran = await importReference([each.folder, "--data", each.target, ...more], { env });
      expect([ran.code, ran.err]).toEqual([code, expect.stringMatching(err)]);
      expect(existsSync(each.folder) ? fingerprint(each.folder) : {}).toEqual(before);
      // Nothing that a server could take for whole.
      if (!existsSync(join(each.target, "unfinished"))) return;
      const served = await runToExit({
        folder: work,
        env: { ...settings(), PDS_DATA_DIRECTORY: each.target },
      });
      expect([served.code, served.output]).toEqual([1, expect.stringContaining("half-made by")]);
    });
  }

  test("refuses without a folder, and without saying where to", async () => {
    const none = await importReference([]);
    expect([none.code, none.err]).toEqual([2, expect.stringContaining("which folder?")]);
    const { folder } = copy();
    const where = await importReference([folder], { cwd: work });
    expect([where.code, where.err]).toEqual([2, expect.stringContaining("--data FOLDER")]);
  });

  test("refuses one that runs, and one that changes while it is read; a killed one is taken over with its logs", async () => {
    const { folder, target, run, envFile } = copy();
    const port = Number(new URL(reference.url).port);
    await using running = await ReferencePds.start({
      plc,
      folder,
      env: { PDS_PORT: String(port), PDS_SERVICE_DID: `did:web:localhost%3A${port}` },
    });
    const session = await xrpc(running.url, "com.atproto.server.createSession", {
      body: { identifier: named("ann").handle, password: "correct horse battery staple" },
    });
    const ann = { did: named("ann").did, accessJwt: session.json.accessJwt as string };
    const last = await createRecord(running.url, ann, { record: post("just before the end") });
    const refused = await run();
    expect([refused.code, refused.err]).toEqual([
      1,
      expect.stringMatching(new RegExp(`the process ${running.pid} has ".*account.sqlite" open`)),
    ]);
    expect(existsSync(target)).toBe(false);
    await running.kill();
    expect(existsSync(join(folder, "account.sqlite-wal"))).toBe(true);
    const before = fingerprint(folder);
    {
      await using opened = await Reference.open(locateReference(folder, {}));
      opened.checkUnchanged();
      const wal = join(folder, "sequencer.sqlite-wal");
      cpSync(wal, `${wal}.kept`, { preserveTimestamps: true });
      writeFileSync(wal, "changed");
      expect(() => opened.checkUnchanged()).toThrow("changed while it was read");
      cpSync(`${wal}.kept`, wal, { preserveTimestamps: true });
      rmSync(`${wal}.kept`);
    }
    const ran = await run();
    expect([ran.code, ran.out]).toEqual([0, expect.stringContaining("has left write-ahead logs")]);
    expect(Object.keys(fingerprint(folder))).toEqual(Object.keys(before));
    expect(existsSync(envFile)).toBe(true);
    await using kith = await TestServer.start({ folder: target, env: settings() });
    const { json } = await xrpc(kith.url, "com.atproto.sync.getLatestCommit", { params: { did: ann.did } });
    expect(json).toEqual(last.commit);
  });

  test("an account whose DID leads elsewhere is told of and comes deactivated; the network hears nothing of it", async () => {
    const { target, run, did } = copy();
    const ran = await run();
    expect([ran.code, ran.err]).toEqual([
      0,
      expect.stringMatching(/dan\.test, deactivated[\s\S]*names another server, "https:\/\/elsewhere/),
    ]);
    using db = new Database(join(target, "accounts.sqlite"), { readonly: true });
    const state = db.query("SELECT state FROM account WHERE did = ?").get(did("dan"));
    expect(state).toEqual({ state: "deactivated" });
    expect(pendingIn(target, did("dan"))).toEqual([]);
    expect(pendingIn(target, did("ann"))).toEqual(["identity", "account", "sync"]);
  });

  /** The kinds of the events that wait in an account's file. */
  function pendingIn(target: string, did: string): string[] {
    const repos = join(target, "repos");
    const name = did.replaceAll(":", "_");
    const file = readdirSync(repos, { recursive: true, encoding: "utf8" }).find(
      (path) => path.includes(`${name}.`) && path.endsWith(".sqlite"),
    );
    using db = new Database(join(repos, file ?? ""), { readonly: true });
    return db
      .query<{ kind: string }, []>("SELECT kind FROM pending_event ORDER BY id")
      .all()
      .map(({ kind }) => kind);
  }

  test("--leave-out takes over the others; --offline asks nobody", async () => {
    const each = copy();
    rmSync(each.store("ben"));
    const first = await each.run();
    expect(first.code).toBe(1);
    const second = await each.run("--leave-out", "Ben.test,bon.test", "--json");
    expect([second.code, second.err]).toEqual([0, expect.stringContaining("Verified: 3 accounts")]);
    expect(JSON.parse(second.out)).toMatchObject({
      leftOut: [each.did("ben")],
      refused: [],
      notes: expect.arrayContaining(['Nobody here is "bon.test", whom you wanted to leave out']),
    });
    const other = copy();
    rmSync(other.key("ann"));
    rmSync(other.store("ben"));
    const env = { PDS_DID_PLC_URL: "http://localhost:1" };
    const args = [other.folder, "--data", other.target, "--leave-out", "damaged", "--offline", "--json"];
    const third = await importReference(args, { env });
    expect([third.code, third.err]).toEqual([0, expect.stringContaining("Verified: 2 accounts")]);
    const report = JSON.parse(third.out);
    expect(report.refused.map(({ did }: { did: string }) => did)).toEqual([
      other.did("ann"),
      other.did("ben"),
    ]);
    // As their rows say.
    expect(report.accounts.map(({ status }: { status: string }) => status)).toEqual(["active", "active"]);
  });

  test("a folder for blobs that the environment names is kith's own, and never one of the reference's", async () => {
    const { folder, target } = copy();
    const before = fingerprint(folder);
    for (const place of [join(folder, "blobs"), join(folder, "blobs/below"), folder]) {
      const env = { PDS_BLOBSTORE_DISK_LOCATION: place };
      const ran = await importReference([folder, "--data", target], { env });
      expect([ran.code, ran.err]).toEqual([1, expect.stringMatching(/the reference PDS has its own there/)]);
    }
    expect(existsSync(target)).toBe(false);
    expect(fingerprint(folder)).toEqual(before);
    const apart = `${target}-blobs`;
    const env = { PDS_BLOBSTORE_DISK_LOCATION: apart };
    const ran = await importReference([folder, "--data", target], { env });
    expect([ran.code, ran.err]).toEqual([
      0,
      expect.stringContaining(`PDS_BLOBSTORE_DISK_LOCATION=${apart} kith serve`),
    ]);
    expect(readdirSync(apart).length).toBeGreaterThan(1);
  });

  test("blobs that are gone or altered are told of, and asked for again", async () => {
    for (const [spoil, words] of [
      [(path: string) => rmSync(path), "has no file of: 1"],
      [
        (path: string) => writeFileSync(path, "something else"),
        "are not what their CIDs say, left behind: 1",
      ],
    ] as const) {
      const { folder, target, run, did } = copy();
      spoil(join(folder, "blobs", did("cat"), picture.blob));
      const ran = await run();
      expect([ran.code, ran.err]).toEqual([0, expect.stringContaining(words)]);
      await using kith = await TestServer.start({ folder: target, env: settings() });
      const token = { accessJwt: named("cat").accessJwt };
      const missing = await asOwner(kith.url, token, { to: "com.atproto.repo.listMissingBlobs" });
      expect(missing.blobs).toEqual([{ cid: picture.blob, recordUri: picture.uri }]);
    }
  });

  test("what is double, absent or behind is mended and told of", async () => {
    const { folder, target, run, did, sql, store, key } = copy();
    sql(
      join(folder, "account.sqlite"),
      "DROP INDEX account_email_lower_idx",
      `UPDATE account SET email = 'ANN@example.com' WHERE did = '${did("ben")}'`,
      `UPDATE actor SET handle = NULL WHERE did = '${did("ben")}'`,
      `UPDATE actor SET handle = 'no handle!' WHERE did = '${did("ann")}'`,
      `UPDATE account SET passwordScrypt = 'nonsense' WHERE did = '${did("ann")}'`,
    );
    // The index of records is not what the tree says.
    sql(
      store("ann"),
      "DELETE FROM record",
      "INSERT INTO record VALUES ('at://x/y/z', 'cid', 'y', 'z', 'rev', 'now', NULL)",
    );
    // As after a move here: signed by another key.
    writeFileSync(key("cat"), new Uint8Array(32).fill(9));
    // An event of a commit that a crash has taken back.
    const later = "3zzzzzzzzzzz2";
    const event = Buffer.from(encodeCbor({ repo: did("ben"), rev: later }));
    sql(
      join(folder, "sequencer.sqlite"),
      `INSERT INTO repo_seq (did, eventType, event, sequencedAt) VALUES ('${did("ben")}', 'append', x'${event.toString("hex")}', '${new Date().toISOString()}')`,
      // One that its row says is ann's.
      `INSERT INTO repo_seq (did, eventType, event, sequencedAt) VALUES ('${did("ann")}', 'append', x'${event.toString("hex")}', '${new Date().toISOString()}')`,
      `INSERT INTO repo_seq (did, eventType, event, sequencedAt) VALUES ('${did("ben")}', 'append', x'ff', '${new Date().toISOString()}')`,
      "DELETE FROM repo_seq WHERE event = x'ff'",
    );
    const ran = await run("--offline");
    expect(ran.code).toBe(0);
    expect(ran.err).toMatch(
      /its e-mail address "ann@example\.com" is also that of did:plc:\w+, which keeps it/,
    );
    expect(ran.err).toContain("records of its tree that its index had not, or had otherwise: 1");
    expect(ran.err).toContain("records of its index that its tree does not have, left behind: 1");
    expect(ran.err).toContain("not of its own key");
    expect(ran.out).toContain("or are another account's than they say, left behind: 2");
    expect(ran.err).toContain('its handle "no handle!" is none that apps take: it comes without a handle');
    expect(ran.err).toContain("its password's hash is none that the reference PDS makes");
    await using kith = await TestServer.start({ folder: target, env: settings() });
    const ben = await judgeRepo(await repoCar(kith.url, did("ben")), did("ben"), named("ben").didKey);
    expect(ben.rev > later).toBe(true);
    const ann = await judgeRepo(await repoCar(kith.url, did("ann")), did("ann"), named("ann").didKey);
    expect(ann.rev < later).toBe(true);
    const { didKey } = signerFromPrivateKey("k256", new Uint8Array(32).fill(9));
    await judgeRepo(await repoCar(kith.url, did("cat")), did("cat"), didKey);
    const listed = await xrpc(kith.url, "com.atproto.repo.listRecords", {
      params: { repo: did("ann"), collection: "app.bsky.feed.post" },
    });
    expect(listed.json.records).toHaveLength(1);
    const described = await xrpc(kith.url, "com.atproto.repo.describeRepo", { params: { repo: did("ben") } });
    expect([described.status, described.json.handle]).toEqual([200, "handle.invalid"]);
    const answer = await xrpc(kith.url, "com.atproto.server.getSession", { token: named("ann").accessJwt });
    expect([answer.status, answer.json.handle]).toEqual([200, "handle.invalid"]);
    const body = { identifier: named("ann").did, password: PASSWORD };
    const signIn = await xrpc(kith.url, "com.atproto.server.createSession", { body });
    expect([signIn.status, signIn.error]).toEqual([401, "AuthenticationRequired"]);
  });

  test("cut off by kill -9 it begins anew; no server takes what it has left", async () => {
    const { folder, target } = copy();
    await waitFor("one to be cut off, and not to have ended before", async () => {
      rmSync(target, { recursive: true, force: true });
      const child = startImport([folder, "--data", target]);
      let err = "";
      for await (const bytes of child.stderr) {
        err += new TextDecoder().decode(bytes);
        if (err.includes("1/4")) break;
      }
      child.kill("SIGKILL");
      await child.exited;
      return existsSync(join(target, "unfinished"));
    });
    const served = await runToExit({ folder: work, env: { ...settings(), PDS_DATA_DIRECTORY: target } });
    expect([served.code, served.output]).toEqual([
      1,
      expect.stringContaining('half-made by "kith import-reference"'),
    ]);
    const again = await importReference([folder, "--data", target]);
    expect([again.code, again.err]).toEqual([0, expect.stringContaining("Verified: 4 accounts")]);
    expect(existsSync(join(target, "unfinished"))).toBe(false);
    const third = await importReference([folder, "--data", target]);
    expect([third.code, third.err]).toEqual([1, expect.stringContaining("it is not empty")]);
    await using kith = await TestServer.start({ folder: target, env: settings() });
    expect((await fetch(`${kith.url}/xrpc/_health`)).ok).toBe(true);
  });

  test("of two at once into one folder one takes over, and the other leaves it alone", async () => {
    const { folder, target } = copy();
    const both = [0, 1].map(() => importReference([folder, "--data", target]));
    const [done, refused] = (await Promise.all(both)).sort((a, b) => Number(a.code) - Number(b.code));
    expect([done?.code, done?.err]).toEqual([0, expect.stringContaining("Verified: 4 accounts")]);
    const words = /is using it|is whole|it is not empty/;
    expect([refused?.code, refused?.err]).toEqual([1, expect.stringMatching(words)]);
    await using kith = await TestServer.start({ folder: target, env: settings() });
    const answer = await xrpc(kith.url, "com.atproto.server.getSession", { token: named("ann").accessJwt });
    expect(answer.status).toBe(200);
  });

  test("a disk without room is a clean refusal, and the next run goes on", async () => {
    const { folder, target, run } = copy();
    const words = kithCommand("import-reference", folder, "--data", target).map((word) => `'${word}'`);
    // Files of more than a megabyte cannot be written.
    const script = `trap '' XFSZ; ulimit -f ${FILE_BLOCKS_MAX}; exec ${words.join(" ")}`;
    const child = Bun.spawn(["bash", "-c", script], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    const err = await new Response(child.stderr).text();
    expect([await child.exited, err]).toEqual([
      1,
      expect.stringMatching(/Could not write .*may not be so large/),
    ]);
    const again = await run();
    expect([again.code, again.err]).toEqual([0, expect.stringContaining("Verified: 4 accounts")]);
  });
});
