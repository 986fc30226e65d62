/** For tests: a data folder with the real schemas, small repos and blobs, and destinations that fail. */
import { Database } from "bun:sqlite";
import { randomBytes } from "node:crypto";
import { mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import {
  buildCommit,
  cidOfCbor,
  cidOfRaw,
  cidToString,
  commitEvent,
  encodeCbor,
  MemoryBlocks,
  nextTid,
  parseCid,
  sealFrame,
  signCommit,
  signerFromPrivateKey,
  toCidLink,
} from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import { DiskBlobStore, EventLog, Hub, Maintenance, repoFilePath, safeDidName } from "../storage/mod.ts";
import { BackupFixture } from "./_fixture.ts";
import type { Destination, StoredFile } from "./destination.ts";
import type { Repository } from "./repository.ts";
import { type RunOptions, type RunResult, runBackup } from "./run_backup.ts";
import type { BackupSource } from "./snapshot_source.ts";

const LONG_AGO_S = 1_700_000_000;

export class DataFolderFixture extends BackupFixture {
  readonly data = join(this.path, "data");
  #keys = 0;
  #generation = 0;

  /** An event log and an accounts store as a server makes them. */
  async make(): Promise<this> {
    for (const folder of ["repos", "blobs", "tmp"]) mkdirSync(join(this.data, folder), { recursive: true });
    for (const name of ["master.key", "secrets.json"])
      writeFileSync(join(this.data, name), `{"of":"${name}"}`);
    const onFatal = (error: unknown) => {
      throw error;
    };
    const maintenance = Maintenance.start({ onFatal });
    await (await Hub.open(join(this.data, "accounts.sqlite"), { maintenance, onFatal })).close();
    await (await EventLog.open(join(this.data, "events.sqlite"), { maintenance, onFatal })).close();
    await maintenance.stop();
    return this;
  }

  get source(): BackupSource {
    const at = (name: string) => join(this.data, name);
    return {
      paths: {
        accounts: at("accounts.sqlite"),
        events: at("events.sqlite"),
        repos: at("repos"),
        tmp: at("tmp"),
        directory: at("plc.sqlite"),
        secrets: [at("master.key"), at("secrets.json")],
      },
      blobStore: "folder",
      blobs: new DiskBlobStore({ folder: at("blobs"), tmpFolder: at("blobs/temp") }),
    };
  }

  /** An account with a file of so many rows, which counts as unchanged for long. */
  account(did: string, rows = 100): void {
    this.#generation += 1;
    this.#on("accounts.sqlite", (db) =>
      db.run(
        `INSERT INTO account (did, handle, password_hash, state, generation, key_type, created_at)
         VALUES (?1, ?1, '', 'active', ?2, 'k256', 0)`,
        [did, this.#generation],
      ),
    );
    const path = this.repoPath(did);
    mkdirSync(dirname(path), { recursive: true });
    this.#write(path, (db) => {
      db.run("CREATE TABLE block (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL)");
      db.run("CREATE TABLE meta (last_tid TEXT)");
      db.run("INSERT INTO meta VALUES (NULL)");
      const insert = db.prepare("INSERT INTO block (bytes) VALUES (?)");
      db.transaction(() => {
        for (let i = 0; i < rows; i++) insert.run(randomBytes(300));
      })();
      insert.finalize();
    });
    utimesSync(path, LONG_AGO_S, LONG_AGO_S);
  }

  deactivate(did: string): void {
    this.#on("accounts.sqlite", (db) =>
      db.run("UPDATE account SET state = 'deactivated', deactivated_at = 1 WHERE did = ?", [did]),
    );
  }

  /** As dev mode has it. */
  directory(): void {
    this.#write(join(this.data, "plc.sqlite"), (db) => db.run("CREATE TABLE operation (did TEXT)"));
  }

  repoPath(did: string): string {
    return join(this.data, "repos", repoFilePath(did, this.generation(did)));
  }

  generation(did: string): number {
    return this.#on(
      "accounts.sqlite",
      (db) =>
        db.query<{ n: number }, [string]>("SELECT generation n FROM account WHERE did = ?").get(did)?.n ?? 0,
    );
  }

  /** What the file of an account knows as its last TID: the key of an event that it has. */
  lastTid(did: string, tid: string): void {
    this.#write(this.repoPath(did), (db) => db.run("UPDATE meta SET last_tid = ?", [tid]));
  }

  /** Writes into the file of an account. */
  change(did: string): void {
    this.#write(this.repoPath(did), (db) => {
      db.run("INSERT INTO block (bytes) VALUES (?)", [randomBytes(300)]);
    });
  }

  blob(did: string, bytes: Uint8Array, quarantined = false): string {
    const cid = cidToString(cidOfRaw(bytes));
    const path = this.blobPath(did, cid, quarantined);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, bytes);
    return cid;
  }

  blobPath(did: string, cid: string, quarantined = false): string {
    return join(this.data, quarantined ? "blobs/quarantine" : "blobs", safeDidName(did), cid);
  }

  /** Without a frame one that nobody can read. */
  event(
    seq: number,
    did = "did:plc:alice",
    { published = true, frame = randomBytes(50) }: { published?: boolean; frame?: Uint8Array } = {},
  ): void {
    this.#keys += 1;
    this.#on("events.sqlite", (db) => {
      const key = `key${this.#keys}`;
      db.run("INSERT INTO event (seq, did, key, kind, at, frame) VALUES (?1, ?2, ?3, 'commit', ?1, ?4)", [
        ...[seq, did, key, frame],
      ]);
      db.run("INSERT OR REPLACE INTO last_key VALUES (?, ?)", [did, key]);
      db.run(
        "UPDATE high_water SET seq = ?1, published_up_to = CASE WHEN ?2 THEN ?1 ELSE published_up_to END",
        [...[seq, published ? 1 : 0]],
      );
    });
  }

  /** An event of a commit whose one record refers to these blobs. */
  eventWith(seq: number, did: string, cids: readonly string[]): void {
    const refs = cids.map((cid) => ({
      $type: "blob",
      ref: toCidLink(parseCid(cid)),
      mimeType: "image/png",
      size: 1,
    }));
    const bytes = encodeCbor({ $type: "test.record", refs });
    const signer = signerFromPrivateKey("k256", randomBytes(32));
    const signed = signCommit(
      buildCommit({
        ...{ did, head: null, rev: nextTid(null, seq, 0), blocks: new MemoryBlocks([]) },
        writes: [{ action: "create", path: "test.record/a", record: { cid: cidOfCbor(bytes), bytes } }],
      }),
      signer,
    );
    const time = new Date(seq).toISOString();
    this.event(seq, did, { frame: sealFrame(commitEvent(signed, { time }), seq) });
  }

  /** One run, whose clock is ahead, so that files of a moment ago can be known again. */
  run(repository: Repository, more: Partial<RunOptions> = {}): Promise<RunResult> {
    return runBackup({
      repository,
      source: this.source,
      maker: { kith: "0.0.0", hostname: "pds.test", serviceDid: "did:web:pds.test" },
      keep: { days: 7, weeks: 4, months: 6, logDays: 30 },
      host: "here",
      now: () => Date.now() + 10_000,
      ...more,
    });
  }

  #on<T>(name: string, use: (db: Database) => T): T {
    return this.#write(join(this.data, name), use);
  }

  #write<T>(path: string, use: (db: Database) => T): T {
    const db = new Database(path, { create: true });
    try {
      return use(db);
    } finally {
      db.close();
    }
  }
}

/** A destination that does as told at its n-th write, counted from 1. */
export class FaultyDestination implements Destination {
  readonly where = "there";
  readonly #inner: Destination;
  /** What happens to a write; "kept" where nothing does. */
  fault: (write: number, name: string) => "kept" | "full" | "lost" | "altered" | "down" = () => "kept";
  writes = 0;

  constructor(inner: Destination) {
    this.#inner = inner;
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    this.writes += 1;
    const fault = this.fault(this.writes, name);
    if (fault === "full") throw new KithError("storage_full", `Could not write "${name}": the disk is full`);
    if (fault === "down") throw new KithError("upstream_failure", `Could not write "${name}"`);
    if (fault === "lost") return;
    const altered = Uint8Array.from(bytes, (byte, at) => (at === bytes.length - 20 ? byte ^ 1 : byte));
    await this.#inner.put(name, fault === "altered" ? altered : bytes);
  }

  get(name: string): Promise<Uint8Array | undefined> {
    return this.#inner.get(name);
  }
  size(name: string): Promise<number | undefined> {
    return this.#inner.size(name);
  }
  list(folder: string): AsyncIterable<StoredFile> {
    return this.#inner.list(folder);
  }
  remove(name: string): Promise<void> {
    return this.#inner.remove(name);
  }
  sweep(): Promise<void> {
    return this.#inner.sweep();
  }
}
