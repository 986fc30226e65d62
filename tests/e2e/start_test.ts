/** Starting: with nothing, with half a configuration, on a folder that cannot be; and a directory that fails. */
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createAccount, createRecord, PASSWORD, post, xrpc } from "../client.ts";
import { describeEvent, Firehose } from "../firehose.ts";
import { type Exit, KEY_TYPES, kithCommand, runToExit, serverEnv, TestServer } from "../harness.ts";
import { FaultyPlc, PlcDirectory, type PlcFault } from "../plc_directory.ts";
import { takePort } from "../ports.ts";
import { Stage } from "../stage.ts";
import { waitFor } from "../wait.ts";

class Folder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "kith-start-"));
  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** A refusal says what and what to do, and shows no stack. */
function expectRefusal(exit: Exit, words: RegExp): void {
  expect(exit.code).not.toBe(0);
  expect(exit.code).not.toBeNull();
  expect(exit.output).toMatch(words);
  expect(exit.output).not.toMatch(/^\s+at \S+/m);
}

test("with no setting in an empty folder: dev mode on loopback, and it says where to look", async () => {
  using folder = new Folder();
  const env = { ...serverEnv(), PDS_PORT: "0" };
  for (const name of ["PDS_DEV_MODE", "PDS_ADMIN_PASSWORD", "PDS_JWT_SECRET"])
    delete (env as Record<string, string>)[name];
  const child = Bun.spawn(kithCommand("serve"), {
    cwd: folder.path,
    env,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  try {
    let text = "";
    const decoder = new TextDecoder();
    for await (const chunk of child.stdout) {
      text += decoder.decode(chunk, { stream: true });
      if (/http:\/\/localhost:\d+\D/.test(text) && text.split("\n").length > 5) break;
    }
    const url = /http:\/\/localhost:\d+/.exec(text)?.[0] ?? "";
    const alice = await createAccount(url, "alice");
    expect(alice.did).toStartWith("did:plc:");
    expect(text).toMatch(/\d+\.\d+\.\d+/);
    expect(readdirSync(folder.path).length).toBeGreaterThan(0);
  } finally {
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
  }
});

test("keys and secrets that it makes are for its owner alone", async () => {
  await using server = await TestServer.start({
    env: { PDS_JWT_SECRET: undefined, PDS_ADMIN_PASSWORD: undefined },
  });
  await createAccount(server.url, "alice");
  const open = readdirSync(server.folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /key|secret|password/i.test(entry.name))
    .filter((entry) => (statSync(join(entry.parentPath, entry.name)).mode & 0o077) !== 0);
  expect(open.map((entry) => entry.name)).toEqual([]);
});

test("a data folder that cannot be written is refused with a clear error", async () => {
  using folder = new Folder();
  writeFileSync(join(folder.path, "file"), "not a folder");
  for (const path of [join(folder.path, "file"), join(folder.path, "file", "below"), "/proc/kith-data"])
    expectRefusal(
      await runToExit({ folder: folder.path, env: { PDS_DATA_DIRECTORY: path } }),
      new RegExp(path),
    );
});

test("a folder whose accounts were lost, or whose master key is another's, is refused, and served once it is mended", async () => {
  await using server = await TestServer.start();
  const alice = await createAccount(server.url, "alice");
  await server.stop();
  const at = (name: string) => join(server.folder, name);
  const accounts = readFileSync(at("accounts.sqlite"));
  const db = new Database(at("accounts.sqlite"), { readwrite: true, create: false });
  db.run("DELETE FROM account");
  db.close();
  expectRefusal(await runToExit({ folder: server.folder }), /"accounts.sqlite" has no account/);
  writeFileSync(at("accounts.sqlite"), accounts);
  for (const suffix of ["-wal", "-shm"]) rmSync(at(`accounts.sqlite${suffix}`), { force: true });
  const masterKey = readFileSync(at("master.key"));
  await using other = await TestServer.start();
  await other.stop();
  writeFileSync(at("master.key"), readFileSync(join(other.folder, "master.key")));
  expectRefusal(await runToExit({ folder: server.folder }), /none of its signing keys .* "master.key"/);
  writeFileSync(at("master.key"), masterKey);
  await server.start();
  await createRecord(server.url, alice, { record: post("all is well") });
});

test.each(["kith.lock", "plc.sqlite"])("a damaged %s is refused by its name", async (name) => {
  await using server = await TestServer.start();
  await server.stop();
  for (const suffix of ["-wal", "-shm"]) rmSync(join(server.folder, name + suffix), { force: true });
  writeFileSync(join(server.folder, name), "nothing of this is a database".repeat(200));
  expectRefusal(await runToExit({ folder: server.folder }), new RegExp(name));
});

test("a port in use is refused with a clear error", async () => {
  const other = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
  try {
    const exit = await runToExit({ env: { PDS_PORT: String(other.port) } });
    expectRefusal(exit, new RegExp(String(other.port)));
  } finally {
    await other.stop(true);
  }
});

test.each([["account.sqlite"], ["sequencer.sqlite"], ["actors/"]])(
  "the data folder of the reference (%s) is refused, untouched",
  async (entry) => {
    using folder = new Folder();
    if (entry.endsWith("/")) mkdirSync(join(folder.path, entry));
    else writeFileSync(join(folder.path, entry), "SQLite format 3\0");
    const before = readdirSync(folder.path);
    expectRefusal(await runToExit({ folder: folder.path }), new RegExp(entry.replace("/", "")));
    expect(readdirSync(folder.path)).toEqual(before);
  },
);

test("a second process on one folder is refused, and the first goes on", async () => {
  await using server = await TestServer.start();
  expectRefusal(await runToExit({ folder: server.folder }), new RegExp(server.folder));
  await createAccount(server.url, "alice");
});

test("a folder that a killed process left behind is taken over", async () => {
  await using server = await TestServer.start();
  await server.kill();
  await server.start();
  await createAccount(server.url, "alice");
});

test("with PDS_HOSTNAME it does not start half-configured, and says what is missing", async () => {
  const env = {
    PDS_DEV_MODE: undefined,
    PDS_HOSTNAME: "pds.example.com",
    PDS_JWT_SECRET: "short",
    PDS_DID_PLC_URL: "not a url",
  };
  expectRefusal(await runToExit({ env }), /PDS_/);
});

test("a setting of the reference that is not honoured stops the start with its name", async () => {
  const exit = await runToExit({ env: { PDS_BLOBSTORE_S3_BUCKET: "bucket" } });
  expectRefusal(exit, /PDS_BLOBSTORE_S3_BUCKET/);
});

test("an unknown PDS_ name is a warning with the nearest name", async () => {
  await using server = await TestServer.start({ env: { PDS_HOSTNAM: "x" } });
  await waitFor("the warning", () => /PDS_HOSTNAM\b[\s\S]*PDS_HOSTNAME/.test(server.output));
});

test("--env-file reads an existing pds.env", async () => {
  using folder = new Folder();
  writeFileSync(
    join(folder.path, "pds.env"),
    '# settings\nPDS_INVITE_REQUIRED=true\nPDS_ADMIN_PASSWORD="quoted"\n',
  );
  const child = Bun.spawn(kithCommand("serve", "--env-file", join(folder.path, "pds.env")), {
    cwd: folder.path,
    env: { ...serverEnv({ PDS_ADMIN_PASSWORD: undefined }), PDS_DATA_DIRECTORY: join(folder.path, "data") },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  try {
    let text = "";
    const decoder = new TextDecoder();
    let url: string | undefined;
    for await (const chunk of child.stdout) {
      text += decoder.decode(chunk, { stream: true });
      url = /http:\/\/localhost:\d+(?=\D)/.exec(text)?.[0];
      if (url) break;
    }
    const description = await xrpc(url ?? "", "com.atproto.server.describeServer");
    expect(description.json.inviteCodeRequired).toBe(true);
  } finally {
    child.kill("SIGTERM");
    await child.exited;
  }
});

const faults: [PlcFault, string][] = [
  ["fails", "a directory that answers 500"],
  ["refuses", "a directory that refuses the operation"],
  ["loses-answer", "a directory whose answer is lost"],
];

test.each(faults)("createAccount leaves nothing half-made: %s, %s", async (fault) => {
  for (const keyType of KEY_TYPES) {
    await using plc = await PlcDirectory.start();
    await using faulty = new FaultyPlc(plc);
    await using server = await TestServer.start({
      env: { PDS_DID_PLC_URL: faulty.url, PDS_ACCOUNT_KEY_TYPE: keyType },
    });
    using firehose = await Firehose.connect(server.url);
    faulty.fault = fault;
    const body = { handle: "alice.test", email: "alice@example.com", password: PASSWORD };
    const failed = await xrpc(server.url, "com.atproto.server.createAccount", { body });
    if (failed.status !== 200) {
      expect([400, 502, 503, 504]).toContain(failed.status);
      expect(typeof failed.error).toBe("string");
    }
    faulty.fault = "none";
    const login = () =>
      xrpc(server.url, "com.atproto.server.createSession", {
        body: { identifier: "alice.test", password: PASSWORD },
      });
    const isThere = (await login()).status === 200;
    expect(isThere).toBe(failed.status === 200);
    if (!isThere)
      expect((await xrpc(server.url, "com.atproto.server.createAccount", { body })).status).toBe(200);
    const bob = await createAccount(server.url, "bobby", plc);
    await firehose.find("the sync of bob", (event) => event.did === bob.did && event.type === "#sync");
    expect(firehose.events.filter((event) => event.did !== bob.did).map(describeEvent)).toEqual([
      "#identity",
      "#account active",
      "#commit",
      "#sync",
    ]);
    const repos = await xrpc(server.url, "com.atproto.sync.listRepos");
    expect((repos.json.repos as unknown[]).length).toBe(2);
  }
});

test("createAccount with no directory to be reached: a clear error, nothing half-made, also after a restart", async () => {
  await using stage = await Stage.open();
  // One that was let go may be another test's directory by now.
  const unreachable = `http://localhost:${takePort()}`;
  await stage.server.stop();
  stage.server.set("PDS_DID_PLC_URL", unreachable);
  await stage.server.start();
  const body = { handle: "carl.test", email: "carl@example.com", password: PASSWORD };
  const failed = await xrpc(stage.url, "com.atproto.server.createAccount", { body });
  expect([502, 503, 504]).toContain(failed.status);
  expect(typeof failed.error).toBe("string");
  const session = await xrpc(stage.url, "com.atproto.server.createSession", {
    body: { identifier: stage.alice.handle, password: PASSWORD },
  });
  expect(session.status).toBe(200);
  await stage.server.stop();
  stage.server.set("PDS_DID_PLC_URL", stage.plc.url);
  await stage.server.start();
  expect((await xrpc(stage.url, "com.atproto.server.createAccount", { body })).status).toBe(200);
  const repos = await xrpc(stage.url, "com.atproto.sync.listRepos");
  expect((repos.json.repos as unknown[]).length).toBe(3);
});
