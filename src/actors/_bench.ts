/**
 * For tests of this folder: the real stores in a temporary folder, with the actors above them. The test holds the disks in
 * its hand, may keep any step of a store from happening, and starts anew on what a crash would leave at any moment.
 */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BlobRef, type Cid, cidOfCbor, decodeFrame, encodeCbor } from "../atproto/mod.ts";
import { isKithError } from "../errors.ts";
import type { Logger } from "../logger.ts";
import {
  AccountStore,
  BlobLooks,
  type BlobUpload,
  DiskBlobStore,
  EventLog,
  Hub,
  IdentityChangeStore,
  Keyring,
  Maintenance,
  RepoFiles,
  type RepoStore,
} from "../storage/mod.ts";
import { QUIET, until } from "./_fake_log.ts";
import { RepoRegistry } from "./repo_registry.ts";
import type { BlobRow, RecordWrite, WriteOutcome } from "./repo_types.ts";
import { Sequencer } from "./sequencer.ts";
import { recoverRepos, reserveFirstSeq } from "./start_up.ts";

export const COLLECTION = "app.bsky.feed.post";
export const START_MS = 1_800_000_000_000;
const CLOCK_ID = 7;
const OPEN_REPOS_MAX = 8;

/** Stands in for fdatasync: answers at once, or, while it is held, when it is let go. */
export class HeldDisk {
  readonly #waiting: (() => void)[] = [];
  #held = false;

  readonly sync = async (): Promise<void> => {
    if (this.#held) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  };
  hold(): void {
    this.#held = true;
  }
  release(): void {
    this.#held = false;
    for (const answer of this.#waiting.splice(0)) answer();
  }
  /** Resolves once a sync has begun that is held. */
  reached(): Promise<void> {
    return until(() => this.#waiting.length > 0);
  }
}

/** Which files are open, and whether one ever was twice at a time. */
export class OpenFiles {
  readonly now = new Map<string, number>();
  /** The DIDs in the order of opening. */
  readonly order: string[] = [];
  most = 0;
  mostOfOne = 0;

  add(store: RepoStore): RepoStore {
    const { did } = store;
    const count = (this.now.get(did) ?? 0) + 1;
    this.now.set(did, count);
    this.order.push(did);
    this.mostOfOne = Math.max(this.mostOfOne, count);
    this.most = Math.max(this.most, this.count);
    const close = store.close.bind(store);
    store.close = async () => {
      await close();
      const left = (this.now.get(did) ?? 1) - 1;
      if (left > 0) this.now.set(did, left);
      else this.now.delete(did);
    };
    return store;
  }
  get count(): number {
    return [...this.now.values()].reduce((sum, count) => sum + count, 0);
  }
}

/** A step that waits for the test. */
export interface Gate {
  /** Resolves once the step is asked for. */
  readonly reached: Promise<void>;
  open(): void;
}

/** Lets a test keep the methods of stores from running, by their name. */
class Gates {
  readonly #shut = new Map<string, { reach(): void; opened: Promise<void>; open(): void }>();

  shut(method: string): Gate {
    const reached = Promise.withResolvers<void>();
    const opened = Promise.withResolvers<void>();
    const open = (): void => {
      this.#shut.delete(method);
      opened.resolve();
    };
    this.#shut.set(method, { reach: reached.resolve, opened: opened.promise, open });
    return { reached: reached.promise, open };
  }
  openAll(): void {
    for (const gate of [...this.#shut.values()]) gate.open();
  }
  /** `target` with its methods behind the gates. */
  around<T extends object>(target: T): T {
    return new Proxy(target, {
      get: (object, name) => {
        const member: unknown = Reflect.get(object, name, object);
        if (typeof member !== "function") return member;
        return (...values: unknown[]): unknown => {
          const gate = this.#shut.get(String(name));
          if (!gate) return Reflect.apply(member, object, values);
          gate.reach();
          return gate.opened.then(() => Reflect.apply(member, object, values));
        };
      },
    });
  }
}

/** An event as a subscriber sees it. */
export interface SeenEvent {
  readonly seq: number;
  readonly type: string | undefined;
  readonly did: unknown;
  readonly payload: Record<string, unknown>;
}

export interface BenchOptions {
  readonly openReposMax?: number;
  /** What an earlier run has left; it is removed at the end. */
  readonly folder?: string;
  readonly nowMs?: number;
}

/** No other process looks at these files, so the locks that a copy drops protect nothing. */
const COPIED = { recursive: true, filter: (path: string) => !path.endsWith("-shm") };

type Stores = Awaited<ReturnType<typeof openStores>>;

async function openStores(folder: string) {
  const fatal: unknown[] = [];
  const onFatal = (error: unknown): void => void fatal.push(error);
  const maintenance = Maintenance.start({ onFatal });
  const disks = { repo: new HeldDisk(), log: new HeldDisk(), hub: new HeldDisk() };
  const options = (disk: HeldDisk) => ({ maintenance, onFatal, sync: disk.sync });
  const repos = join(folder, "repos");
  const blobFolder = join(folder, "blobs");
  for (const path of [repos, blobFolder]) mkdirSync(path, { recursive: true });
  const hub = await Hub.open(join(folder, "accounts.sqlite"), options(disks.hub));
  const eventLog = await EventLog.open(join(folder, "events.sqlite"), options(disks.log));
  const keyring = Keyring.open(join(folder, "master.key"));
  const accounts = new AccountStore(hub, keyring);
  const identities = new IdentityChangeStore(hub, keyring);
  const files = new RepoFiles({ folder: repos, ...options(disks.repo) });
  const blobs = new DiskBlobStore({ folder: blobFolder, tmpFolder: join(blobFolder, "temp") });
  return { fatal, maintenance, disks, hub, eventLog, accounts, identities, files, blobs };
}

export class Bench implements AsyncDisposable {
  readonly folder: string;
  readonly accounts: AccountStore;
  readonly identities: IdentityChangeStore;
  readonly files: RepoFiles;
  readonly blobs: DiskBlobStore;
  readonly blobLooks: BlobLooks;
  readonly eventLog: EventLog;
  readonly disks: Stores["disks"];
  readonly sequencer: Sequencer;
  readonly registry: RepoRegistry<BlobUpload>;
  readonly firstSeq: number;
  readonly openFiles = new OpenFiles();
  /** What was published in this run. */
  readonly events: SeenEvent[] = [];
  /** What was logged as an error. */
  readonly errors: string[] = [];
  nowMs: number;
  readonly #stores: Stores;
  readonly #gates = new Gates();

  private constructor(folder: string, stores: Stores, started: BenchOptions & { firstSeq: number }) {
    this.folder = folder;
    this.#stores = stores;
    this.nowMs = started.nowMs ?? START_MS;
    this.firstSeq = started.firstSeq;
    this.eventLog = stores.eventLog;
    this.disks = stores.disks;
    this.accounts = this.#gates.around(stores.accounts);
    this.identities = this.#gates.around(stores.identities);
    this.files = this.#gates.around(stores.files);
    this.blobs = this.#gates.around(stores.blobs);
    this.blobLooks = new BlobLooks(stores.hub);
    const open = stores.files.open.bind(stores.files);
    stores.files.open = async (...id) => this.openFiles.add(await open(...id));
    const { now } = this;
    this.sequencer = new Sequencer({
      log: stores.eventLog,
      firstSeq: this.firstSeq,
      now,
      logger: this.logger,
    });
    this.sequencer.onPublished((frames) => this.events.push(...frames.map(({ frame }) => seen(frame))));
    this.registry = new RepoRegistry<BlobUpload>({
      accounts: this.accounts,
      identities: this.identities,
      files: this.files,
      blobs: this.blobs,
      blobLooks: this.blobLooks,
      sequencer: this.sequencer,
      logger: this.logger,
      now,
      clockId: CLOCK_ID,
      openReposMax: started.openReposMax ?? OPEN_REPOS_MAX,
    });
  }

  /** A server as far as its actors, before `recover()`. */
  static async start(options: BenchOptions = {}): Promise<Bench> {
    const folder = options.folder ?? mkdtempSync(join(tmpdir(), "kith-actors-"));
    const stores = await openStores(folder);
    const { accounts, eventLog } = stores;
    const now = (): number => options.nowMs ?? START_MS;
    const firstSeq = await reserveFirstSeq({ accounts, log: eventLog, now });
    return new Bench(folder, stores, { ...options, firstSeq });
  }

  /** The repo files as they are now, for crash(); the caller removes the folder. */
  async copyRepos(): Promise<string> {
    const copy = mkdtempSync(join(tmpdir(), "kith-actors-"));
    await this.#copy(join(this.folder, "repos"), copy);
    return copy;
  }

  /**
   * The same folder as `kill -9` would leave it now, started anew; or, with an earlier copy of the repo files, as a power
   * cut would that came before their disk had more. This one goes on with its own.
   */
  async crash({ repos, ...options }: BenchOptions & { repos?: string } = {}): Promise<Bench> {
    const folder = mkdtempSync(join(tmpdir(), "kith-actors-"));
    await this.#copy(this.folder, folder);
    if (repos) {
      rmSync(join(folder, "repos"), { recursive: true });
      cpSync(repos, join(folder, "repos"), COPIED);
    }
    return Bench.start({ nowMs: this.nowMs, ...options, folder });
  }

  /** As of one moment: this thread writes nothing meanwhile, and the worker, which would empty and remove a WAL, has nothing to do. */
  async #copy(from: string, to: string): Promise<void> {
    const { maintenance } = this.#stores;
    while (maintenance.waiting > 0) await until(() => maintenance.waiting === 0);
    cpSync(from, to, COPIED);
  }

  /** What a start does before it serves. */
  recover(): Promise<{ recovered: number; deleted: number }> {
    const { accounts, identities, files, blobs, sequencer, logger, now } = this;
    return recoverRepos({ accounts, identities, files, blobs, sequencer, logger, now });
  }

  readonly now = (): number => this.nowMs;

  get logger(): Logger {
    return { ...QUIET, error: (message: string) => void this.errors.push(message) };
  }

  /** Keeps a method of the accounts, the files or the blobs from running. */
  stopBefore(
    method: keyof AccountStore | keyof IdentityChangeStore | keyof RepoFiles | keyof DiskBlobStore,
  ): Gate {
    return this.#gates.shut(method);
  }

  /** A `creating` account without its repo; `movesIn`: with a DID from elsewhere, which may have been here before. */
  async beginAccount(did: string, { movesIn = false } = {}): Promise<void> {
    await this.accounts.beginAccount({
      did,
      handle: handleOf(did),
      email: `${handleOf(did)}@mail.test`,
      passwordHash: "hash",
      signingKey: { type: "k256", privateKey: new Uint8Array(32).fill(1) },
      genesisOperation: movesIn ? null : new Uint8Array(),
      now: this.nowMs,
    });
  }

  /** Active accounts with their first commits, their events published. */
  async createAccounts(...dids: string[]): Promise<void> {
    for (const did of dids) {
      await this.beginAccount(did);
      await this.registry.createRepo(did);
      await this.accounts.finishCreation(did, "active");
    }
    await until(() => dids.every((did) => this.typesOf(did).includes("#sync")));
  }

  write(did: string, ...writes: RecordWrite[]): Promise<WriteOutcome> {
    return this.registry.write(did, { writes });
  }

  /** A finished upload, in no place yet. */
  async upload(did: string, content: string): Promise<{ upload: BlobUpload; row: BlobRow; ref: BlobRef }> {
    const upload = await this.blobs.begin(did);
    await upload.write(Buffer.from(content));
    const { cid, size } = await upload.finish();
    const ref = { cid, mimeType: "text/plain", size };
    return { upload, ref, row: { ...ref, createdAt: this.nowMs } };
  }

  /** Whether the blob's file is there, and what its row says. */
  async blob(did: string, cid: Cid): Promise<{ file: boolean; row: boolean }> {
    const file = (await this.blobs.open(did, cid)) !== undefined;
    return { file, row: await this.registry.read(did, (repo) => repo.blob(cid) !== undefined) };
  }

  eventsOf(did: string): SeenEvent[] {
    return this.events.filter((event) => event.did === did);
  }

  typesOf(did: string): (string | undefined)[] {
    return this.eventsOf(did).map(({ type }) => type);
  }

  /** Every event of the DID in the log, of all runs. */
  logged(did: string): SeenEvent[] {
    const rows = this.eventLog.read({
      after: 0,
      upTo: this.eventLog.lastSeq(),
      rowsMax: 10_000,
      bytesMax: 1e9,
    });
    return rows.map(({ frame }) => seen(frame)).filter((event) => event.did === did);
  }

  openRows(): string[] {
    return this.accounts.openRepos().map(({ did }) => did);
  }

  /** Names of the account's files below repos/. */
  repoFilesOf(did: string): string[] {
    const name = did.replaceAll(":", "_");
    return readdirSync(join(this.folder, "repos"), { recursive: true })
      .map(String)
      .filter((path) => path.includes(name));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { disks, maintenance, hub, eventLog, fatal } = this.#stores;
    this.#gates.openAll();
    for (const disk of Object.values(disks)) disk.release();
    await this.registry.stop();
    await this.sequencer.stop();
    await eventLog.close();
    await hub.close();
    await maintenance.stop();
    rmSync(this.folder, { recursive: true, force: true });
    if (fatal.length > 0) throw new Error("The disk failed", { cause: fatal[0] });
  }
}

function seen(frame: Uint8Array): SeenEvent {
  const { t: type, payload } = decodeFrame(frame);
  return { seq: Number(payload.seq), type, did: payload.did ?? payload.repo, payload };
}

/** A DID of its own for every name of letters. */
export function didOf(name: string): string {
  return `did:plc:${name.padEnd(24, "a")}`;
}

export function handleOf(did: string): string {
  return `${did.slice("did:plc:".length)}.test`;
}

/** Creates a post. */
export function post(
  rkey: string,
  text = rkey,
  blobs: readonly BlobRef[] = [],
): RecordWrite & { action: "create" } {
  const bytes = encodeCbor({ $type: COLLECTION, text });
  const record = { cid: cidOfCbor(bytes), bytes };
  return { action: "create", collection: COLLECTION, rkey, record, blobs };
}

export function unpost(rkey: string): RecordWrite {
  return { action: "delete", collection: COLLECTION, rkey };
}

/** "done", or the code of the refusal; anything else is thrown. */
export function outcomeOf(answer: Promise<unknown>): Promise<string> {
  return answer.then(
    () => "done",
    (error: unknown) => {
      if (isKithError(error)) return error.code;
      throw error;
    },
  );
}

/** True once `answer` has come, whatever it is. */
export function watch(answer: Promise<unknown>): { answered: boolean } {
  const state = { answered: false };
  const end = (): void => {
    state.answered = true;
  };
  answer.then(end, end);
  return state;
}

/** Leaves the file no page to grow by; the returned function gives it room again. */
export function fill(store: RepoStore | EventLog): () => void {
  const { db } = store.fileForTests;
  const pages = db.query<{ page_count: number }, []>("PRAGMA page_count").get()?.page_count;
  db.run(`PRAGMA max_page_count = ${pages}`);
  return () => db.run("PRAGMA max_page_count = 1000000");
}
