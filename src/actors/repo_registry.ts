/**
 * Every open repo's actor, and never two for one DID. Spawns on demand, and closes the least recently used where a
 * bound on open files asks for it: only when nothing of it is in flight, pending or in use.
 */
import { accountEvent, type Cid } from "../atproto/mod.ts";
import { isKithError, KithError } from "../errors.ts";
import type { Account, RepoStore } from "../storage/mod.ts";
import { openBirth } from "./birth.ts";
import { BlobQuarantine } from "./blob_quarantine.ts";
import { type IdentityChange, identityTask } from "./change_identity.ts";
import { CarExports } from "./export.ts";
import { type ImportSource, importTask } from "./import_repo.ts";
import { OpenSlots } from "./open_slots.ts";
import { pendingOf } from "./pending_events.ts";
import { RepoActor, TASK_TIMEOUT_MS } from "./repo_actor.ts";
import type { RepoActorDeps } from "./repo_actor_deps.ts";
import { type RegistryBlobs, RepoBlobs } from "./repo_blobs.ts";
import type { Entry } from "./repo_entry.ts";
import type { RegistryOptions } from "./repo_registry_options.ts";
import type {
  BlobRow,
  BlobSweep,
  ImportTask,
  ModerationChange,
  PreferencesChange,
  RepoId,
  RepoStatus,
  WriteOutcome,
  WriteRequest,
} from "./repo_types.ts";
import type { StatusOptions } from "./standing.ts";
import { UntoldChanges } from "./untold_changes.ts";

/** A repo unused for so long is closed, and looked for so often. */
export const IDLE_CLOSE_MS = 5 * 60_000;
const IDLE_LOOK_MS = 30_000;
/** How long a stop waits for repos to come to rest, and how often it looks. */
const STOP_TIMEOUT_MS = 20_000;
const STOP_LOOK_MS = 5;
/** An import gives up so long before its caller would be told that it may still happen. */
const IMPORT_MARGIN_MS = 30_000;
/** How long a stop lets exports run on; a reader that stands still must not hold it up. */
const STOP_EXPORTS_MS = 200;

export class RepoRegistry<Upload = unknown> {
  readonly #options: RegistryOptions<Upload>;
  /** In the order of use, the least recent first. */
  readonly #entries = new Map<RepoId, Entry>();
  readonly #births = new Map<RepoId, Promise<void>>();
  /** Of accounts that are no more: what is left of their blobs is being removed. */
  readonly #removals = new Map<RepoId, Promise<void>>();
  readonly #slots: OpenSlots;
  readonly #timer: ReturnType<typeof setInterval>;
  /** Repos that are being closed: each of them makes room for one waiter. */
  #closing = 0;
  #stopping = false;
  readonly #exports = new CarExports();
  readonly #quarantine: BlobQuarantine;
  readonly untold: UntoldChanges;

  constructor(options: RegistryOptions<Upload>) {
    this.#options = options;
    this.#quarantine = new BlobQuarantine(options.blobs);
    this.untold = new UntoldChanges((did) => options.accounts.account(did)?.state === "active");
    this.#slots = new OpenSlots({
      max: options.openReposMax,
      used: () => this.#entries.size,
      makeRoom: () => this.#evictOne(),
    });
    this.#timer = setInterval(() => this.#closeIdle(), IDLE_LOOK_MS);
    this.#timer.unref?.();
  }

  /** How many repos are open, those being closed included. */
  get openCount(): number {
    return this.#entries.size;
  }

  /** Applies writes as one commit. Resolves once it is durable. */
  write(did: RepoId, request: WriteRequest): Promise<WriteOutcome> {
    return this.#use(did, ({ actor }) => actor.write(request));
  }

  /** Runs `read`, which must be synchronous, on the open repo. May see what reaches the disk a moment later. */
  read<T>(did: RepoId, read: (repo: RepoStore) => T): Promise<T> {
    return this.#use(did, async ({ actor }) => read(actor.store ?? (await actor.opened)));
  }

  /** As `read`, but resolves only once what was read is durable: for everything that relays see. */
  readDurable<T>(did: RepoId, read: (repo: RepoStore) => T): Promise<T> {
    return this.#use(did, async ({ actor }) => {
      const store = actor.store ?? (await actor.opened);
      const result = read(store);
      if (!store.isDurable()) await store.durable();
      return result;
    });
  }

  /** The repo as a CAR: all of it, or the blocks newer than the rev `since`. Durable, and flat in memory. */
  exportRepo(did: RepoId, options: { since?: string } = {}): Promise<ReadableStream<Uint8Array>> {
    return this.#use(did, (entry) => this.#export(did, entry, options));
  }

  async #export(did: RepoId, entry: Entry, options: { since?: string }): Promise<ReadableStream<Uint8Array>> {
    entry.pins++;
    try {
      const store = await entry.actor.opened;
      if (!store.isDurable()) await store.durable();
      return this.#exports.open(store.openExport(options), () => this.#unpin(did, entry));
    } catch (error) {
      this.#unpin(did, entry);
      throw error;
    }
  }

  #unpin(did: RepoId, entry: Entry): void {
    entry.pins--;
    this.#offerRoom(did);
  }

  /**
   * Puts an uploaded blob in its place and remembers it. Resolves once both are durable, with the type that the blob has:
   * another than the row's where records know it by another. KithError invalid_request where it is taken down.
   */
  keepBlob(did: RepoId, blob: { upload: Upload; row: BlobRow }): Promise<string> {
    return this.#use(did, (entry) => this.#keepBlob(did, entry, blob));
  }

  async #keepBlob(
    did: RepoId,
    entry: Entry,
    { upload, row }: { upload: Upload; row: BlobRow },
  ): Promise<string> {
    entry.pins++;
    try {
      const repo = await entry.actor.opened;
      const assertAlive = (): void => {
        // Not into the folder of an account whose death has been decided meanwhile.
        this.#accountOf(did);
        repo.takedowns.refuseBlob(row.cid);
      };
      const putRow = (): Promise<string> =>
        entry.actor.putBlob(row).catch(async (error: unknown) => {
          // Taken down while it came in.
          if (isKithError(error, "invalid_request")) await this.#quarantine.settle(repo, row.cid);
          throw error;
        });
      const kept = await this.#options.blobLooks.around(did, row.createdAt, () =>
        entry.blobs.keep({ upload, cid: row.cid }, { assertAlive, putRow }),
      );
      this.untold.tellRepo(did);
      return kept;
    } finally {
      this.#unpin(did, entry);
    }
  }

  /** Removes blobs older than that to which no record refers: `limit` at most, their rows durably. */
  sweepBlobs(did: RepoId, sweep: { olderThan: number; limit: number }): Promise<BlobSweep> {
    return this.#use(did, ({ actor }) => actor.sweepBlobs(sweep));
  }

  /** Removes those of the blob files that have no row, and that no record waits for either, nor one that is lost. Returns how many. */
  removeStrays(did: RepoId, cids: readonly Cid[]): Promise<number> {
    return this.#use(did, (entry) => this.#removeStrays(did, entry, cids));
  }

  async #removeStrays(did: RepoId, entry: Entry, cids: readonly Cid[]): Promise<number> {
    entry.pins++;
    try {
      const store = await entry.actor.opened;
      if (this.#options.sequencer.isOlder(did)) return 0;
      const strays = cids.filter((cid) => !store.blob(cid) && !store.blobIsReferenced(cid));
      // A row that went a moment ago must be gone for good first.
      if (!store.isDurable()) await store.durable();
      return await entry.blobs.remove(strays, (cid) => store.blob(cid) !== undefined);
    } finally {
      this.#unpin(did, entry);
    }
  }

  /**
   * Runs `remove`, which removes all blobs of an account that is no more, while nobody moves in under its DID. False where it was not
   * run: somebody has, or a backup holds the blobs, and whoever waited for that might meet those of the next owner.
   */
  async removeRemains(did: RepoId, remove: () => Promise<void>): Promise<boolean> {
    const { accounts, blobs } = this.#options;
    const state = accounts.account(did)?.state;
    if (blobs.isHeld?.() || (state !== undefined && state !== "deleted")) return false;
    const removal = remove().finally(() => this.#removals.delete(did));
    this.#removals.set(did, removal);
    await removal;
    return true;
  }

  /** Resolves once the preferences are durable. */
  async putPreferences(did: RepoId, change: PreferencesChange): Promise<void> {
    await this.#use(did, ({ actor }) => actor.putPreferences(change));
    this.untold.tellQuiet(did);
  }

  /**
   * Resolves once the status is durable and repeated in the accounts store. With `from` only a repo of one of these
   * statuses, as its turn finds it, is changed; KithErrors account_takendown, account_deactivated, ... for another.
   */
  setStatus(did: RepoId, status: RepoStatus, options: StatusOptions = {}): Promise<void> {
    return this.#use(did, ({ actor }) => actor.setStatus(status, options));
  }

  /** Resolves once the change is durable, and a blob's file is where it says. */
  moderate(did: RepoId, change: ModerationChange): Promise<void> {
    return this.#use(did, async (entry) => {
      entry.pins++;
      try {
        await entry.actor.moderate(change);
        this.untold.tellQuiet(did);
        if (change.kind === "blob") await this.#quarantine.settle(await entry.actor.opened, change.cid);
      } finally {
        this.#unpin(did, entry);
      }
    });
  }

  /** Tells the network to look at the DID document anew. Resolves once that is durable. */
  announceIdentity(did: RepoId): Promise<void> {
    return this.#use(did, ({ actor }) => actor.announceIdentity());
  }

  /** Puts a whole repo in the place of the present one. Resolves once it is durable; else nothing has changed. */
  async importRepo(did: RepoId, source: ImportSource): Promise<void> {
    const { identities, blobLooks, now, clockId, logger } = this.#options;
    const deadlineMs = performance.now() + TASK_TIMEOUT_MS - IMPORT_MARGIN_MS;
    const onLeftover = (error: unknown) =>
      logger.warn("Could not remove what an import has left", { did, error });
    const task: ImportTask = (store) => {
      // Asked for in its turn: a change of the key may be under way.
      const signer = identities.signer(did, store.state().signingKey ?? undefined);
      return importTask({ ...source, signer, now, clockId, deadlineMs, onLeftover })(store);
    };
    // Its records may not refer to the blobs any more that the ones before did.
    await blobLooks.around(did, now(), () => this.#use(did, ({ actor }) => actor.import(task)));
    this.untold.tellRepo(did);
  }

  /** Gives the account another handle or signing key. Resolves once that is durable, and repeated in the accounts. */
  async changeIdentity(did: RepoId, change: IdentityChange): Promise<void> {
    const { accounts, identities, now, clockId } = this.#options;
    const options = { identities, now, clockId, handle: () => accounts.account(did)?.handle };
    await this.#use(did, ({ actor }) => actor.changeIdentity(identityTask(change, options)));
    // A new key brings a commit.
    this.untold.tellRepo(did);
  }

  /** Resolves once the deletion is decided; files and blobs go afterwards. `from` as in `setStatus`. */
  deleteRepo(did: RepoId, options: { from?: readonly RepoStatus[] } = {}): Promise<void> {
    return this.#use(did, ({ actor }) => actor.delete(options));
  }

  /**
   * The birth of a repo whose account is `creating`: its file with the genesis commit and #identity, #account, #commit
   * and #sync, durable, which is the decision. May be repeated; whatever the file holds already stays. Resolves once it is
   * durable and handed to the sequencer.
   */
  createRepo(did: RepoId): Promise<void> {
    const running = this.#births.get(did);
    if (running) return running;
    const birth = this.#create(did).finally(() => {
      this.#births.delete(did);
      this.#offerRoom(did);
    });
    this.#births.set(did, birth);
    return birth;
  }

  async #create(did: RepoId): Promise<void> {
    const { accounts } = this.#options;
    // Its blobs would go with those of who had the DID before.
    await this.#removals.get(did)?.catch(() => {});
    for (let entry = this.#entries.get(did); entry; entry = this.#entries.get(did)) {
      if (!entry.closing && !entry.actor.hasEnded) return void (await entry.actor.opened);
      await entry.gone.promise;
    }
    if (this.#stopping) throw stopping(did);
    const account = accounts.account(did);
    if (account?.state !== "creating") {
      throw new KithError(
        "internal",
        `Could not create the repo "${did}": its account is ${account?.state ?? "unknown"}`,
      );
    }
    await this.#slots.take(did);
    try {
      if (this.#stopping) throw stopping(did);
      const born = this.#spawn(account, await this.#openBorn(account));
      // The open row was made durable with the `creating` row, and is kept as long as that is.
      born.marked = true;
      await born.actor.opened;
      if (account.movesIn) this.untold.tellRepo(did);
    } finally {
      this.#slots.release();
    }
  }

  async #openBorn({ did, generation, handle, movesIn }: Account): Promise<RepoStore> {
    const { accounts, files, now, clockId } = this.#options;
    await files.create(did, generation);
    const store = await files.open(did, generation);
    try {
      await openBirth(store, { handle, movesIn, signer: accounts.signer(did), now, clockId });
      return store;
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  /** Lets what is under way end, closes every file, refuses everything from now on. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearInterval(this.#timer);
    // Those who wait for a slot get one, look, and are refused.
    this.#slots.giveAll();
    await Promise.allSettled(this.#births.values());
    const startedMs = performance.now();
    while (this.#entries.size > 0 && performance.now() - startedMs < STOP_TIMEOUT_MS) {
      if (performance.now() - startedMs > STOP_EXPORTS_MS) {
        this.#exports.cutAll("The server stops before the export has been read");
      }
      for (const [did, entry] of this.#entries) this.#tryClose(did, entry);
      await new Promise((resolve) => setTimeout(resolve, STOP_LOOK_MS));
    }
    if (this.#entries.size > 0) {
      this.#options.logger.warn("Repos were still in use at the stop; the next start recovers them", {
        repos: this.#entries.size,
      });
    }
  }

  /**
   * Runs `use` on the entry of the open repo, spawned where there is none: in the very turn that found it, so that it is
   * not closed in between. What `use` begins in that turn (a question, a pin) keeps it open.
   */
  async #use<T>(did: RepoId, use: (entry: Entry) => Promise<T>): Promise<T> {
    for (;;) {
      if (this.#stopping) throw stopping(did);
      const entry = this.#entries.get(did);
      if (entry && !entry.closing && !entry.actor.hasEnded) return use(this.#touch(did, entry));
      if (entry) {
        await entry.gone.promise;
        continue;
      }
      this.#accountOf(did);
      await this.#slots.take(did);
      try {
        // While this waited, another may have opened it, or the account may be gone.
        if (!this.#stopping && !this.#entries.has(did)) return use(this.#spawn(this.#accountOf(did)));
      } finally {
        this.#slots.release();
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
      blobs: new RepoBlobs<unknown>(did, this.#options.blobs as RegistryBlobs<unknown>),
    };
    this.#entries.set(did, entry);
    void entry.actor.ended.then(() => this.#ended(did, entry));
    return entry;
  }

  async #ended(did: RepoId, entry: Entry): Promise<void> {
    const { accounts } = this.#options;
    // Until an account is complete its birth may be repeated, which relies on the row.
    if (entry.marked && entry.closing && accounts.account(did)?.state !== "creating") {
      await accounts.unmarkOpen(did).catch((error: unknown) => {
        this.#options.logger.warn("Could not take back the open row of a repo", { did, error });
      });
    }
    this.#entries.delete(did);
    if (entry.closing) this.#closing--;
    entry.gone.resolve();
    this.#slots.give();
  }

  #depsOf(account: Account, entry: () => Entry): RepoActorDeps {
    const { accounts, identities, files, sequencer, now, clockId, logger } = this.#options;
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
      projectStatus: (standing) => accounts.projectState(did, standing, { now: now() }),
      signer: (didKey) => identities.signer(did, didKey),
      handle: () => accounts.account(did)?.handle,
      rested: () => this.#offerRoom(did),
      removeBlobs: (cids) => this.#removeBlobs(did, entry(), cids),
      bury: (key) => this.#bury(did, key),
      removeFiles: async () => {
        await entry().blobs.removeAll();
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

  async #removeBlobs(did: RepoId, entry: Entry, cids: readonly Cid[]): Promise<void> {
    entry.pins++;
    try {
      await entry.blobs.remove(cids, (cid) => entry.actor.store?.blob(cid) !== undefined);
    } finally {
      this.#unpin(did, entry);
    }
  }

  #tryClose(did: RepoId, entry: Entry): boolean {
    if (entry.closing || entry.pins > 0 || this.#births.has(did)) return false;
    entry.closing = entry.actor.close();
    if (entry.closing) this.#closing++;
    return entry.closing;
  }

  /** True where somebody waits for room that no repo being closed will give. */
  get #lacksRoom(): boolean {
    return this.#slots.waiting > this.#closing;
  }

  /** Begins to close the least recently used repo that is idle; where none is, an export that nobody reads gives way. */
  #evictOne(): void {
    if (!this.#lacksRoom) return;
    for (const [did, entry] of this.#entries) {
      if (this.#tryClose(did, entry)) return;
    }
    this.#exports.cutStalled();
  }

  /**
   * To be called whenever the repo may have become idle: a request that found all of them in use waits for just that. It is
   * closed only after the turn that has let it rest, whose caller goes first.
   */
  #offerRoom(did: RepoId): void {
    if (!this.#lacksRoom) return;
    queueMicrotask(() => {
      const entry = this.#entries.get(did);
      if (entry && this.#lacksRoom) this.#tryClose(did, entry);
    });
  }

  #closeIdle(): void {
    const before = this.#options.now() - IDLE_CLOSE_MS;
    for (const [did, entry] of this.#entries) {
      if (entry.usedAt < before) this.#tryClose(did, entry);
    }
  }
}

function stopping(did: RepoId): KithError {
  return new KithError("shutting_down", `Could not open the repo "${did}": the server is stopping`);
}
