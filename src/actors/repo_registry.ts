/**
 * Every open repo's actor, and never two for one DID. Spawns on demand, and closes the least recently used where a
 * bound on open files asks for it: only when nothing of it is in flight, pending or in use.
 */
import { accountEvent, type Cid, cidKey, type Signer } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import type { Logger } from "../logger.ts";
import type { Account, PendingEvent, RepoStore } from "../storage/mod.ts";
import { openBirth } from "./birth.ts";
import { carStream } from "./export.ts";
import { pendingOf, RepoActor, type RepoActorDeps } from "./repo_actor.ts";
import type {
  BlobRow,
  ImportTask,
  PreferencesChange,
  RepoId,
  RepoStatus,
  WriteOutcome,
  WriteRequest,
} from "./repo_types.ts";
import type { Sequencer } from "./sequencer.ts";

/** Requests that may wait for an open repo to make room. */
export const SLOT_WAITERS_MAX = 1_000;
/** A request that waits so long for room is refused as busy. */
export const SLOT_TIMEOUT_MS = 15_000;
/** A repo unused for so long is closed, and looked for so often. */
export const IDLE_CLOSE_MS = 5 * 60_000;
const IDLE_LOOK_MS = 30_000;
/** How long a stop waits for repos to come to rest, and how often it looks. */
const STOP_TIMEOUT_MS = 20_000;
const STOP_LOOK_MS = 5;

/** The accounts store as the registry uses it. */
export interface RegistryAccounts {
  account(did: string): Account | undefined;
  signer(did: string): Signer;
  markOpen(did: string): Promise<void>;
  unmarkOpen(did: string): Promise<void>;
  projectState(did: string, state: RepoStatus, options: { now: number }): Promise<void>;
  beginDeletion(did: string, tombstone: PendingEvent): Promise<void>;
  finishDeletion(did: string): Promise<void>;
}

/** The repo files as the registry uses them. */
export interface RegistryFiles {
  create(did: string, generation: number): Promise<void>;
  open(did: string, generation: number): Promise<RepoStore>;
  remove(did: string, generation: number): Promise<void>;
}

/** The blob files as the registry uses them. */
export interface RegistryBlobs<Upload> {
  keep(upload: Upload, target: { did: string; cid: Cid }): Promise<void>;
  remove(did: string, cid: Cid): Promise<void>;
  removeAll(did: string): Promise<void>;
}

export interface RegistryOptions<Upload> {
  readonly accounts: RegistryAccounts;
  readonly files: RegistryFiles;
  readonly blobs: RegistryBlobs<Upload>;
  readonly sequencer: Sequencer;
  readonly logger: Logger;
  readonly now: () => number;
  /** 0 to 1023. */
  readonly clockId: number;
  /** Open repos at the most; each costs about four descriptors. */
  readonly openReposMax: number;
}

interface Entry {
  readonly actor: RepoActor;
  /** Uses that must not lose the file: exports, uploads. */
  pins: number;
  closing: boolean;
  /** Resolves when it has left the registry: its file is closed, its open row taken back. */
  readonly gone: PromiseWithResolvers<void>;
  marked: boolean;
  usedAt: number;
  /** Uploads whose file is in place and whose row is not yet durable, by CID. */
  readonly uploads: Map<string, number>;
  /** Blobs whose row is gone and whose file is being removed, by CID. */
  readonly dying: Map<string, Promise<void>>;
}

export class RepoRegistry<Upload = unknown> {
  readonly #options: RegistryOptions<Upload>;
  /** In the order of use, the least recent first. */
  readonly #entries = new Map<RepoId, Entry>();
  readonly #births = new Map<RepoId, Promise<void>>();
  readonly #slotWaiters = new Set<() => void>();
  readonly #timer: ReturnType<typeof setInterval>;
  /** Slots given to callers whose actor does not run yet. */
  #reserved = 0;
  #stopping = false;

  constructor(options: RegistryOptions<Upload>) {
    this.#options = options;
    this.#timer = setInterval(() => this.#closeIdle(), IDLE_LOOK_MS);
    this.#timer.unref?.();
  }

  /** How many repos are open, those being closed included. */
  get openCount(): number {
    return this.#entries.size;
  }

  /** Applies writes as one commit. Resolves once it is durable. */
  async write(did: RepoId, request: WriteRequest): Promise<WriteOutcome> {
    return (await this.#acquire(did)).actor.write(request);
  }

  /** Runs `read`, which must be synchronous, on the open repo. May see what reaches the disk a moment later. */
  async read<T>(did: RepoId, read: (repo: RepoStore) => T): Promise<T> {
    const { actor } = await this.#acquire(did);
    return read(actor.store ?? (await actor.opened));
  }

  /** As `read`, but resolves only once what was read is durable: for everything that relays see. */
  async readDurable<T>(did: RepoId, read: (repo: RepoStore) => T): Promise<T> {
    const { actor } = await this.#acquire(did);
    const store = actor.store ?? (await actor.opened);
    const result = read(store);
    if (!store.isDurable()) await store.durable();
    return result;
  }

  /** The repo as a CAR: all of it, or the blocks newer than the rev `since`. Durable, and flat in memory. */
  async exportRepo(did: RepoId, options: { since?: string } = {}): Promise<ReadableStream<Uint8Array>> {
    const entry = await this.#acquire(did);
    entry.pins++;
    const unpin = (): void => {
      entry.pins--;
      this.#makeRoom();
    };
    try {
      const store = await entry.actor.opened;
      if (!store.isDurable()) await store.durable();
      return carStream(store.openExport(options), unpin);
    } catch (error) {
      unpin();
      throw error;
    }
  }

  /** Puts an uploaded blob in its place and remembers it. Resolves once both are durable. */
  async keepBlob(did: RepoId, { upload, row }: { upload: Upload; row: BlobRow }): Promise<void> {
    const entry = await this.#acquire(did);
    const key = cidKey(row.cid);
    entry.pins++;
    try {
      await entry.dying.get(key);
      entry.uploads.set(key, (entry.uploads.get(key) ?? 0) + 1);
      await this.#options.blobs.keep(upload, { did, cid: row.cid });
      await entry.actor.putBlob(row);
    } finally {
      const left = (entry.uploads.get(key) ?? 1) - 1;
      if (left > 0) entry.uploads.set(key, left);
      else entry.uploads.delete(key);
      entry.pins--;
      this.#makeRoom();
    }
  }

  /** Resolves once the preferences are durable. */
  async putPreferences(did: RepoId, change: PreferencesChange): Promise<void> {
    await (await this.#acquire(did)).actor.putPreferences(change);
  }

  /** Resolves once the status is durable and repeated in the accounts store. */
  async setStatus(did: RepoId, status: RepoStatus): Promise<void> {
    await (await this.#acquire(did)).actor.setStatus(status);
  }

  /** Runs `task` with the repo to itself. */
  async importRepo(did: RepoId, task: ImportTask): Promise<void> {
    await (await this.#acquire(did)).actor.import(task);
  }

  /** Resolves once the deletion is decided; files and blobs go afterwards. */
  async deleteRepo(did: RepoId): Promise<void> {
    await (await this.#acquire(did)).actor.delete();
  }

  /**
   * The birth of a repo whose account is `creating`: its file with the genesis commit and #identity, #account, #commit
   * and #sync, durable, which is the decision. May be repeated; whatever the file holds already stays. Resolves once it is
   * durable and handed to the sequencer.
   */
  createRepo(did: RepoId): Promise<void> {
    const running = this.#births.get(did);
    if (running) return running;
    const birth = this.#create(did).finally(() => this.#births.delete(did));
    this.#births.set(did, birth);
    return birth;
  }

  async #create(did: RepoId): Promise<void> {
    const { accounts, files, now, clockId } = this.#options;
    const entry = this.#entries.get(did);
    if (entry && !entry.closing) return void (await entry.actor.opened);
    const account = accounts.account(did);
    if (account?.state !== "creating") {
      throw new KithError(
        "internal",
        `Could not create the repo "${did}": its account is ${account?.state ?? "unknown"}`,
      );
    }
    await this.#takeSlot(did);
    try {
      await files.create(did, account.generation);
      const store = await files.open(did, account.generation);
      await openBirth(store, { handle: account.handle, signer: accounts.signer(did), now, clockId });
      // The open row was made durable with the `creating` row.
      const born = this.#spawn(account, store);
      born.marked = true;
      await born.actor.opened;
    } finally {
      this.#releaseSlot();
    }
  }

  /** Lets what is under way end, closes every file, refuses everything from now on. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearInterval(this.#timer);
    // Those who wait for a slot get one, look, and are refused.
    for (const give of this.#slotWaiters) {
      this.#reserved++;
      give();
    }
    this.#slotWaiters.clear();
    await Promise.allSettled(this.#births.values());
    const deadline = performance.now() + STOP_TIMEOUT_MS;
    while (this.#entries.size > 0 && performance.now() < deadline) {
      for (const [did, entry] of this.#entries) this.#tryClose(did, entry);
      await new Promise((resolve) => setTimeout(resolve, STOP_LOOK_MS));
    }
    if (this.#entries.size > 0) {
      this.#options.logger.warn("Repos were still in use at the stop; the next start recovers them", {
        repos: this.#entries.size,
      });
    }
  }

  /** The entry of an open repo, spawned where there is none. */
  async #acquire(did: RepoId): Promise<Entry> {
    for (;;) {
      if (this.#stopping) throw stopping(did);
      const entry = this.#entries.get(did);
      if (entry && !entry.closing && !entry.actor.hasEnded) return this.#touch(did, entry);
      if (entry) {
        await entry.gone.promise;
        continue;
      }
      this.#accountOf(did);
      await this.#takeSlot(did);
      try {
        // While this waited, another may have opened it, or the account may be gone.
        if (!this.#stopping && !this.#entries.has(did)) return this.#spawn(this.#accountOf(did));
      } finally {
        this.#releaseSlot();
      }
    }
  }

  #accountOf(did: RepoId): Account {
    const account = this.#options.accounts.account(did);
    const state = account?.state;
    if (!account || state === "creating" || state === "deleting" || state === "deleted") {
      throw new KithError("repo_not_found", `There is no repo "${did}" here`);
    }
    return account;
  }

  #touch(did: RepoId, entry: Entry): Entry {
    entry.usedAt = this.#options.now();
    this.#entries.delete(did);
    this.#entries.set(did, entry);
    return entry;
  }

  #spawn(account: Account, opened?: RepoStore): Entry {
    const { did } = account;
    if (this.#entries.has(did)) throw new KithError("internal", `The repo "${did}" is open already`);
    const entry: Entry = {
      actor: new RepoActor({ did, deps: this.#depsOf(account, () => entry), opened }),
      pins: 0,
      closing: false,
      gone: Promise.withResolvers(),
      marked: false,
      usedAt: this.#options.now(),
      uploads: new Map(),
      dying: new Map(),
    };
    this.#entries.set(did, entry);
    void entry.actor.ended.then(() => this.#ended(did, entry));
    return entry;
  }

  async #ended(did: RepoId, entry: Entry): Promise<void> {
    if (entry.marked && entry.closing) {
      await this.#options.accounts.unmarkOpen(did).catch((error: unknown) => {
        this.#options.logger.warn("Could not take back the open row of a repo", { did, error });
      });
    }
    this.#entries.delete(did);
    entry.gone.resolve();
    this.#giveSlots();
  }

  #depsOf(account: Account, entry: () => Entry): RepoActorDeps {
    const { accounts, blobs, files, sequencer, now, clockId, logger } = this.#options;
    const { did, generation } = account;
    return {
      sequencer,
      now,
      clockId,
      logger,
      open: () => files.open(did, generation),
      markOpen: async () => {
        if (entry().marked) return;
        await accounts.markOpen(did);
        entry().marked = true;
      },
      projectStatus: (status) => accounts.projectState(did, status, { now: now() }),
      signer: () => accounts.signer(did),
      handle: () => accounts.account(did)?.handle,
      rested: () => this.#makeRoom(),
      removeBlobs: (cids) => this.#removeBlobs(did, entry(), cids),
      bury: (key) => this.#bury(did, key),
      removeFiles: async () => {
        await blobs.removeAll(did);
        await files.remove(did, generation);
        await accounts.finishDeletion(did);
      },
    };
  }

  async #bury(did: RepoId, key: string): Promise<{ sequenced: Promise<void> }> {
    const { accounts, sequencer, now } = this.#options;
    const time = new Date(now()).toISOString();
    const tombstone = pendingOf(key, accountEvent({ did, active: false, status: "deleted", time }));
    await accounts.beginDeletion(did, tombstone);
    return { sequenced: sequencer.hand(did, [tombstone]) };
  }

  /** Unlinks blobs whose row is durably gone, unless an upload has brought them back meanwhile. */
  async #removeBlobs(did: RepoId, entry: Entry, cids: readonly Cid[]): Promise<void> {
    entry.pins++;
    try {
      for (const cid of cids) {
        const key = cidKey(cid);
        if (entry.uploads.has(key) || entry.actor.store?.blob(cid)) continue;
        const removal = this.#options.blobs.remove(did, cid).finally(() => entry.dying.delete(key));
        entry.dying.set(key, removal);
        await removal;
      }
    } finally {
      entry.pins--;
      this.#makeRoom();
    }
  }

  #tryClose(did: RepoId, entry: Entry): boolean {
    if (entry.closing || entry.pins > 0 || this.#births.has(did)) return false;
    entry.closing = entry.actor.close();
    return entry.closing;
  }

  /** Begins to close the least recently used repo that is idle. */
  #evictOne(): boolean {
    for (const [did, entry] of this.#entries) {
      if (this.#tryClose(did, entry)) return true;
    }
    return false;
  }

  #makeRoom(): void {
    if (this.#slotWaiters.size > 0) this.#evictOne();
  }

  #closeIdle(): void {
    const before = this.#options.now() - IDLE_CLOSE_MS;
    for (const [did, entry] of this.#entries) {
      if (entry.usedAt < before) this.#tryClose(did, entry);
    }
  }

  /** Gives the slots that are free to those who wait for one, first come first served. */
  #giveSlots(): void {
    for (const give of this.#slotWaiters) {
      if (this.#entries.size + this.#reserved >= this.#options.openReposMax) return;
      this.#slotWaiters.delete(give);
      this.#reserved++;
      give();
    }
  }

  /** To be called after the actor has been spawned, or where it will not be. */
  #releaseSlot(): void {
    this.#reserved--;
    this.#giveSlots();
  }

  /** Resolves when a slot is reserved for the caller. Throws "busy" past the bound or the time, or "shutting_down". */
  async #takeSlot(did: RepoId): Promise<void> {
    if (this.#slotWaiters.size >= SLOT_WAITERS_MAX) {
      throw new KithError(
        "busy",
        `Could not open the repo "${did}": ${SLOT_WAITERS_MAX} requests wait already`,
      );
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      this.#slotWaiters.delete(resolve);
      const message = `Could not open the repo "${did}": all ${this.#options.openReposMax} open ones are in use`;
      const hint = "Raise KITH_OPEN_REPOS_MAX, and the limit on open files with it";
      reject(new KithError("busy", message, { hint }));
    }, SLOT_TIMEOUT_MS);
    this.#slotWaiters.add(resolve);
    this.#giveSlots();
    if (this.#slotWaiters.has(resolve)) this.#evictOne();
    try {
      await promise;
    } finally {
      clearTimeout(timer);
    }
  }
}

function stopping(did: RepoId): KithError {
  return new KithError("shutting_down", `Could not open the repo "${did}": the server is stopping`);
}
