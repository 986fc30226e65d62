/** A data folder that the real server has filled and left, copies of it to be damaged, and `kith verify` over them. */
import { Database, type SQLQueryBindings } from "bun:sqlite";
import { expect } from "bun:test";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Account, createAccount, createRecord, post, repoCar, xrpc } from "./client.ts";
import { ADMIN_PASSWORD, kithCommand, serverEnv, TestServer } from "./harness.ts";
import { judgeRepo } from "./judges.ts";
import { PlcDirectory } from "./plc_directory.ts";

const ADMIN = { authorization: `Basic ${Buffer.from(`admin:${ADMIN_PASSWORD}`).toString("base64")}` };
export const FILE = "dev.kith.test.file";
const POSTS = 40;
const LIKES = 9;
const DELETED = 5;

export interface Told {
  readonly type: string;
  readonly level?: string;
  readonly code?: string;
  readonly did?: string;
  readonly file?: string;
  readonly detail?: string;
  readonly count?: number;
  readonly problems?: number;
  readonly [name: string]: unknown;
}

export interface Verified {
  readonly exit: number;
  readonly err: string;
  readonly lines: readonly Told[];
  /** Of problems, sorted. */
  readonly problems: readonly string[];
  readonly notes: readonly string[];
}

/** Runs `kith verify --json`. */
export async function kithVerify(
  folder: string,
  { args = [], env }: { args?: readonly string[]; env: Readonly<Record<string, string | undefined>> },
): Promise<Verified> {
  const child = Bun.spawn(kithCommand("verify", "--json", "--data", folder, ...args), {
    cwd: tmpdir(),
    env: serverEnv(env),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  const lines = out
    .trim()
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Told);
  // Of a repair, the verification after it counts.
  const last = lines.findLastIndex(({ type }) => type === "repair");
  const found = lines.slice(last + 1).filter(({ type }) => type === "finding");
  const codes = (level: string) =>
    found.flatMap((each) => (each.level === level ? (each.code ?? []) : [])).sort();
  // On a busy machine it tells how far it is.
  const said = err.replace(/^(Databases|Events|Accounts|Files)\b.* read\n/gm, "");
  return { exit: await child.exited, err: said, lines, problems: codes("problem"), notes: codes("note") };
}

/** What a folder holds of accounts, as the server that filled it has said. */
export class FilledFolder implements AsyncDisposable {
  readonly plc: PlcDirectory;
  readonly folder: string;
  readonly port: number;
  readonly alice: Account;
  readonly bob: Account;
  readonly carol: Account;
  /** CIDs of alice's blobs: three that records refer to, of which the last is taken down, and one that none does. */
  readonly blobs: readonly string[];
  readonly #records = new Map<string, ReadonlyMap<string, string>>();

  private constructor(
    parts: Pick<FilledFolder, "plc" | "folder" | "port" | "alice" | "bob" | "carol" | "blobs">,
  ) {
    ({
      plc: this.plc,
      folder: this.folder,
      port: this.port,
      alice: this.alice,
      bob: this.bob,
      carol: this.carol,
      blobs: this.blobs,
    } = parts);
  }

  static async fill(): Promise<FilledFolder> {
    await using opened = new AsyncDisposableStack();
    const plc = opened.use(await PlcDirectory.start());
    const folder = mkdtempSync(join(tmpdir(), "kith-filled-"));
    opened.defer(() => rmSync(folder, { recursive: true, force: true }));
    await using server = await TestServer.start({ env: { PDS_DID_PLC_URL: plc.url }, folder });
    const { url } = server;
    const [alice, bob, carol] = [
      await createAccount(url, "alice", plc),
      await createAccount(url, "bob", plc),
      await createAccount(url, "carol", plc),
    ];
    const blobs = await fillAlice(url, alice);
    await createRecord(url, bob, { record: post("by bob") });
    await createRecord(url, carol, { record: post("by carol") });
    await xrpc(url, "com.atproto.server.deactivateAccount", { token: carol.accessJwt, body: {} });
    const dave = await createAccount(url, "dave", plc);
    await xrpc(url, "com.atproto.admin.deleteAccount", { headers: ADMIN, body: { did: dave.did } });
    const filled = new FilledFolder({ plc, folder, port: server.port, alice, bob, carol, blobs });
    for (const account of [alice, bob]) filled.#records.set(account.did, await filled.judge(url, account));
    await server.stop();
    opened.move();
    return filled;
  }

  get env(): Record<string, string> {
    return { PDS_DID_PLC_URL: this.plc.url, PDS_PORT: String(this.port) };
  }

  copy(): DamagedFolder {
    const path = mkdtempSync(join(tmpdir(), "kith-damaged-"));
    cpSync(this.folder, path, { recursive: true, preserveTimestamps: true });
    return new DamagedFolder(this, path);
  }

  /** The records of an account, after a judge that shares no code with the server has seen its whole repo. */
  async judge(url: string, account: Account): Promise<ReadonlyMap<string, string>> {
    return (await judgeRepo(await repoCar(url, account.did), account.did, account.didKey)).records;
  }

  /** Starts the server on a folder: every repo is whole, is as it was, and can be written. */
  async assertServed(path: string, { without = [] }: { without?: readonly string[] } = {}): Promise<void> {
    await using server = new TestServer({ env: this.env, folder: path });
    await server.start();
    for (const account of [this.alice, this.bob]) {
      const records = await this.judge(server.url, account);
      expect([...records].sort()).toEqual([...(this.#records.get(account.did) ?? [])].sort());
      await this.#assertListed(server.url, account, records);
      await createRecord(server.url, account, { record: post("after") });
      await this.judge(server.url, account);
    }
    for (const cid of this.blobs.slice(0, 2)) {
      const params = { did: this.alice.did, cid };
      const { status } = await xrpc(server.url, "com.atproto.sync.getBlob", { params });
      expect({ cid, status }).toEqual({ cid, status: without.includes(cid) ? 400 : 200 });
    }
    await server.stop();
  }

  /** The index, by which records are listed, has what the tree has. */
  async #assertListed(url: string, { did }: Account, records: ReadonlyMap<string, string>): Promise<void> {
    const listed = new Map<string, string>();
    const collections = new Set([...records.keys()].map((path) => path.split("/")[0] ?? ""));
    for (const collection of collections) {
      const params = { repo: did, collection, limit: 100 };
      const { json } = await xrpc(url, "com.atproto.repo.listRecords", { params });
      for (const { uri, cid } of json.records as { uri: string; cid: string }[])
        listed.set(uri.slice(`at://${did}/`.length), cid);
    }
    expect([...listed].sort()).toEqual([...records].sort());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    rmSync(this.folder, { recursive: true, force: true });
    await this.plc[Symbol.asyncDispose]();
  }
}

async function fillAlice(url: string, alice: Account): Promise<string[]> {
  const rkeys: string[] = [];
  for (let n = 0; n < POSTS; n += 1) {
    const { uri } = await createRecord(url, alice, { record: post(`number ${n}`) });
    rkeys.push(uri.split("/").at(-1) ?? "");
  }
  for (let n = 0; n < LIKES; n += 1) {
    const subject = {
      uri: `at://did:plc:ewvi7nxzyoun6zhxrhs64oiz/app.bsky.feed.post/3jzfcijpj2z${n}a`,
      cid: "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a",
    };
    const record = { $type: "app.bsky.feed.like", subject, createdAt: new Date().toISOString() };
    await createRecord(url, alice, { collection: "app.bsky.feed.like", record });
  }
  for (const rkey of rkeys.slice(0, DELETED)) {
    const body = { repo: alice.did, collection: "app.bsky.feed.post", rkey };
    await xrpc(url, "com.atproto.repo.deleteRecord", { token: alice.accessJwt, body });
  }
  const blobs: string[] = [];
  for (const name of ["one", "two", "three", "unused"]) {
    const body = new TextEncoder().encode(`a file, ${name}: ${"x".repeat(3_000)}`);
    const headers = { "content-type": "text/plain" };
    const { json } = await xrpc(url, "com.atproto.repo.uploadBlob", {
      token: alice.accessJwt,
      body,
      headers,
    });
    const blob = json.blob as { ref: { $link: string } };
    blobs.push(blob.ref.$link);
    if (name === "unused") continue;
    await createRecord(url, alice, { collection: FILE, rkey: name, record: { $type: FILE, blob } });
  }
  const subject = { $type: "com.atproto.admin.defs#repoBlobRef", did: alice.did, cid: blobs[2] };
  const taken = await xrpc(url, "com.atproto.admin.updateSubjectStatus", {
    headers: ADMIN,
    body: { subject, takedown: { applied: true, ref: "a test" } },
  });
  expect(taken.status).toBe(200);
  return blobs;
}

export class DamagedFolder implements Disposable {
  readonly filled: FilledFolder;
  readonly path: string;

  constructor(filled: FilledFolder, path: string) {
    this.filled = filled;
    this.path = path;
  }

  get accounts(): string {
    return join(this.path, "accounts.sqlite");
  }

  get events(): string {
    return join(this.path, "events.sqlite");
  }

  /** The file of an account. */
  repo({ did }: { did: string } = this.filled.alice): string {
    const names = readdirSync(join(this.path, "repos"), { recursive: true, encoding: "utf8" });
    const name = names.find((each) => each.includes(did.replaceAll(":", "_")) && each.endsWith(".sqlite"));
    if (name === undefined) throw new Error(`There is no file of "${did}"`);
    return join(this.path, "repos", name);
  }

  blob(cid: string, { did }: { did: string } = this.filled.alice): string {
    return join(this.path, "blobs", did.replaceAll(":", "_"), cid);
  }

  /** Changes a database as no server would. */
  change(path: string, ...statements: (string | [string, ...SQLQueryBindings[]])[]): void {
    const db = new Database(path, { readwrite: true, create: false });
    for (const statement of statements) {
      const [sql, ...params] = [statement].flat() as [string, ...SQLQueryBindings[]];
      db.run(sql, params);
    }
    db.run("PRAGMA wal_checkpoint(TRUNCATE)");
    db.close();
  }

  read<Row>(path: string, sql: string): Row | null {
    const db = new Database(path, { readonly: true });
    try {
      return db.query<Row, []>(sql).get();
    } finally {
      db.close();
    }
  }

  verify(...args: string[]): Promise<Verified> {
    return kithVerify(this.path, { args, env: this.filled.env });
  }

  /** A hash of each file that holds data. */
  hashes(): Map<string, string> {
    const names = readdirSync(this.path, { recursive: true, withFileTypes: true });
    const files = names.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
    const data = files.filter(
      (file) => !/^(kith\.lock|repaired\/|tmp\/)/.test(file.slice(this.path.length + 1)),
    );
    return new Map(data.sort().map((file) => [file, Bun.hash(readFileSync(file)).toString(16)]));
  }

  exists(path: string): boolean {
    return existsSync(join(this.path, path));
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
