/**
 * The effects of the repo machine, for one open repo: the turn that writes, the disk it awaits, the events it hands to
 * the sequencer. A turn runs to its end without an await: plan, build, sign, one transaction. Its event goes to the sequencer
 * at once, first in first out, which publishes it only when the disk has answered; then the caller is answered, too.
 */
import { type ActorRefFrom, createActor } from "xstate";
import { type Cid, nextTid, type Signer } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import type { PendingEvent, RepoState, RepoStore, Standing } from "../storage/mod.ts";
import { AskPort } from "./ask.ts";
import { HeldTree } from "./held_tree.ts";
import { statusEvents } from "./pending_events.ts";
import type { RepoActorDeps } from "./repo_actor_deps.ts";
import type { Mutation, RepoEffects, RepoEvent, repoMachine } from "./repo_machine.ts";
import {
  announceIdentityTurn,
  moderateTurn,
  putBlobTurn,
  putPreferencesTurn,
  sweepBlobsTurn,
  type Turn,
  type TurnContext,
  writeTurn,
} from "./repo_turns.ts";
import type {
  BlobRow,
  BlobSweep,
  ImportTask,
  ModerationChange,
  PreferencesChange,
  RepoStatus,
  WriteOutcome,
  WriteRequest,
} from "./repo_types.ts";
import { nextStanding, type StatusOptions, statusNow } from "./standing.ts";

/** A change is given up, its outcome unknown to the caller, after so long. */
export const CHANGE_TIMEOUT_MS = 30_000;
/** Deletion and import may take longer: they touch every file of the account. */
export const TASK_TIMEOUT_MS = 10 * 60_000;
/** The WAL is measured after so many transactions, or so many bytes written into it. */
const MEASURE_WAL_EVERY = 32;
const MEASURE_WAL_BYTES = 512 * 1024;

export type RepoMachineActor = ActorRefFrom<typeof repoMachine>;

/** Put together with the first repo that is opened: a start does without it. */
function machine(): typeof repoMachine {
  return (require("./repo_machine.ts") as typeof import("./repo_machine.ts")).repoMachine;
}

export interface RepoActorOptions {
  readonly did: string;
  readonly deps: RepoActorDeps;
  /** The file, where the account's birth has opened and armed it already. */
  readonly opened?: RepoStore;
}

export class RepoActor {
  readonly did: string;
  readonly #deps: RepoActorDeps;
  readonly #turn: TurnContext;
  readonly #actor: RepoMachineActor;
  readonly #port: AskPort<RepoEvent>;
  readonly #opened = Promise.withResolvers<RepoStore>();
  readonly #ended = Promise.withResolvers<void>();
  #store: RepoStore | undefined;
  #signer: Signer | undefined;
  /** Since the WAL was measured last. */
  #transactions = 0;
  #unmeasuredBytes = 0;
  /** Keys of events: handed to the sequencer, durable in the log, and deleted from the file, up to these. */
  #handedKey = "";
  #publishedKey = "";
  #forgottenKey = "";
  #unprojected = 0;

  constructor({ did, deps, opened }: RepoActorOptions) {
    this.did = did;
    this.#deps = deps;
    this.#turn = {
      did,
      now: deps.now,
      handle: deps.handle,
      nextTid: (state) => this.#nextTid(state),
      signingKey: () => this.#signingKey(),
      tree: new HeldTree(),
      forgettable: () => this.#forgettable(),
      isOlder: () => deps.sequencer.isOlder(did),
    };
    this.#opened.promise.catch(() => {});
    const effects = this.#effects(opened);
    this.#actor = createActor(machine(), { input: { did, armed: opened !== undefined, effects } });
    this.#port = new AskPort<RepoEvent>(this.#actor);
    this.#actor.subscribe({
      next: () => deps.rested(),
      complete: () => this.#ended.resolve(),
      error: (error) => {
        deps.logger.error("A repo actor has died", { did, error });
        this.#ended.resolve();
      },
    });
    this.#actor.start();
  }

  /** Resolves with the open file, for reading. */
  get opened(): Promise<RepoStore> {
    return this.#opened.promise;
  }

  /** The open file, or undefined while it is being opened. */
  get store(): RepoStore | undefined {
    return this.#store;
  }

  /** Resolves when the actor has ended, its file closed. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  get hasEnded(): boolean {
    return this.#actor.getSnapshot().status !== "active";
  }

  /** Applies the writes as one commit. */
  write(request: WriteRequest): Promise<WriteOutcome> {
    this.#deps.sequencer.assertRoom();
    return this.#ask<WriteOutcome>((reply) => ({ type: "write", request, reply }), "write to");
  }

  /** Resolves once the status is durable in the file and repeated in the accounts store. */
  setStatus(status: RepoStatus, options: StatusOptions = {}): Promise<void> {
    return this.#ask<void>((reply) => ({ type: "setStatus", status, ...options, reply }), `make "${status}"`);
  }

  /** Resolves once the change, or the event, is durable. */
  moderate(change: ModerationChange): Promise<void> {
    return this.#ask<void>((reply) => ({ type: "moderate", change, reply }), "moderate");
  }

  /** Resolves with the type that the blob has, once its row is durable. */
  putBlob(row: BlobRow): Promise<string> {
    return this.#ask<string>((reply) => ({ type: "putBlob", row, reply }), "remember a blob of");
  }

  /** Removes blobs older than that to which no record refers. Resolves once their rows are durably gone; the files follow. */
  sweepBlobs(sweep: { olderThan: number; limit: number }): Promise<BlobSweep> {
    return this.#ask<BlobSweep>((reply) => ({ type: "sweepBlobs", ...sweep, reply }), "sweep the blobs of");
  }

  /** Resolves once the #identity event is durable. */
  announceIdentity(): Promise<void> {
    return this.#ask<void>((reply) => ({ type: "announceIdentity", reply }), "announce the identity of");
  }

  /** Resolves once the preferences are durable. */
  putPreferences(change: PreferencesChange): Promise<void> {
    return this.#ask<void>((reply) => ({ type: "putPreferences", change, reply }), "put preferences into");
  }

  /** Runs `task` with the repo to itself. */
  import(task: ImportTask): Promise<void> {
    return this.#ask<void>((reply) => ({ type: "import", task, reply }), "import into", TASK_TIMEOUT_MS);
  }

  /** Runs `task`, which may change the handle or the signing key, with the repo to itself. */
  changeIdentity(task: ImportTask): Promise<void> {
    const purpose = "change the identity of";
    return this.#ask<void>((reply) => ({ type: "changeIdentity", task, reply }), purpose, TASK_TIMEOUT_MS);
  }

  /** Resolves once the deletion is decided, durably; the files go afterwards. */
  delete({ from }: { from?: readonly RepoStatus[] } = {}): Promise<void> {
    return this.#ask<void>((reply) => ({ type: "delete", from, reply }), "delete", TASK_TIMEOUT_MS);
  }

  /** True where it may be closed: nothing under way, nothing pending, nothing unprojected. */
  get isIdle(): boolean {
    return (
      this.#actor.getSnapshot().can({ type: "close" }) &&
      this.#publishedKey === this.#handedKey &&
      this.#unprojected === 0
    );
  }

  /** Asks it to close; false where it is not idle. Await `ended` for the end. */
  close(): boolean {
    if (!this.isIdle) return false;
    this.#actor.send({ type: "close" });
    return true;
  }

  #ask<Answer>(
    message: (reply: { resolve(answer: Answer): void; reject(error: unknown): void }) => RepoEvent,
    verb: string,
    timeoutMs = CHANGE_TIMEOUT_MS,
  ): Promise<Answer> {
    return this.#port.ask(message, { timeoutMs, purpose: `${verb} the repo "${this.did}"` });
  }

  #effects(opened: RepoStore | undefined): RepoEffects {
    return {
      open: () => this.#open(opened),
      import: (change) => this.#import(change),
      remove: (change) => this.#remove(change),
      close: () => this.#close(),
      act: (event) => this.#act(event),
      arm: () => void this.#arm(),
      checkpoint: (mode) => void this.#checkpoint(mode),
    };
  }

  async #open(opened: RepoStore | undefined): Promise<RepoStatus> {
    try {
      const store = opened ?? (await this.#deps.open());
      this.#store = store;
      this.#deps.sequencer.compare(this.did, store.state());
      const pending = store.pendingEvents();
      this.#forgottenKey = pending.length === 0 ? (store.state().lastTid ?? "") : "";
      this.#handedKey = this.#publishedKey = this.#forgottenKey;
      if (pending.length > 0) this.#hand(pending);
      this.#opened.resolve(store);
      return store.state().status;
    } catch (error) {
      this.#deps.logger.error("Could not open a repo", { did: this.did, error });
      this.#opened.reject(error);
      throw error;
    }
  }

  async #arm(): Promise<void> {
    try {
      await this.#deps.markOpen();
      await this.#openStore().prepareWrites();
      this.#actor.send({ type: "armed" });
    } catch (error) {
      this.#actor.send({ type: "armFailed", error });
    }
  }

  #openStore(): RepoStore {
    if (!this.#store) throw new KithError("internal", `The repo "${this.did}" is not open`);
    return this.#store;
  }

  /** One turn. Whatever goes wrong in it is an answer, never an exception of the machine. */
  #act(event: RepoEvent): void {
    const context = this.#turn;
    if (event.type === "write") this.#settle(event, (store) => writeTurn(store, event.request, context));
    else if (event.type === "putBlob") this.#settle(event, (store) => putBlobTurn(store, event.row, context));
    else if (event.type === "sweepBlobs")
      this.#settle(event, (store) => sweepBlobsTurn(store, event, context));
    else if (event.type === "announceIdentity")
      this.#settle(event, (store) => announceIdentityTurn(store, context));
    else if (event.type === "putPreferences")
      this.#settle(event, (store) => putPreferencesTurn(store, event.change, context));
    else if (event.type === "moderate")
      this.#settle(event, (store) => moderateTurn(store, event.change, context));
    else if (event.type === "setStatus") this.#setStatus(event);
    else throw new Error(`There is no turn for "${event.type}"`);
  }

  /** Runs a turn, hands over, awaits the disk, answers: in this order. */
  #settle<Answer>(
    mutation: { readonly reply: { resolve(answer: Answer): void; reject(error: unknown): void } },
    turn: (store: RepoStore) => Turn<Answer>,
  ): void {
    const store = this.#openStore();
    let done: Turn<Answer>;
    try {
      done = turn(store);
    } catch (error) {
      mutation.reply.reject(error);
      queueMicrotask(() => this.#actor.send({ type: "settled" }));
      return;
    }
    this.#measureWal(store, done.events);
    const disk = store.durable();
    void this.#awaitDisk(disk, { ...done, published: this.#hand(done.events, disk) }, mutation.reply);
  }

  async #awaitDisk<Answer>(
    disk: Promise<void>,
    done: Turn<Answer> & { published: Promise<void> | undefined },
    reply: { resolve(answer: Answer): void },
  ): Promise<void> {
    try {
      await disk;
      if (done.published) await this.#deps.sequencer.answerTime(done.published);
      reply.resolve(done.answer);
      if (done.unreferenced?.length) void this.#removeBlobs(done.unreferenced);
    } catch (error) {
      this.#deps.logger.error("A change is durable, but not all that follows from it was done", {
        did: this.did,
        error,
      });
    } finally {
      this.#actor.send({ type: "settled" });
    }
  }

  async #removeBlobs(cids: readonly Cid[]): Promise<void> {
    try {
      await this.#deps.removeBlobs(cids);
    } catch (error) {
      this.#deps.logger.warn("Could not remove blobs that nothing references", { did: this.did, error });
    }
  }

  #setStatus(mutation: Extract<Mutation, { type: "setStatus" }>): void {
    const store = this.#openStore();
    let events: PendingEvent[];
    let standing: Standing;
    try {
      standing = nextStanding(store.state(), mutation);
      const made = statusEvents(store, {
        status: mutation.status,
        handle: this.#deps.handle(),
        nowMs: this.#deps.now(),
        nextTid: (lastTid) => this.#nextTid({ lastTid }),
      });
      events = made.events;
      store.setStatus({
        ...standing,
        lastTid: made.lastTid,
        events,
        forgetPendingUpTo: this.#forgettable(),
      });
    } catch (error) {
      mutation.reply.reject(error);
      queueMicrotask(() => this.#actor.send({ type: "statusFailed", previous: statusNow(store, mutation) }));
      return;
    }
    this.#measureWal(store, events);
    this.#unprojected++;
    const disk = store.durable();
    this.#hand(events, disk);
    void this.#projectStatus(disk, { mutation, standing });
  }

  async #projectStatus(
    disk: Promise<void>,
    done: { mutation: Mutation & { type: "setStatus" }; standing: Standing },
  ): Promise<void> {
    const { mutation, standing } = done;
    await disk;
    try {
      await this.#deps.projectStatus(standing);
      mutation.reply.resolve();
    } catch (error) {
      mutation.reply.reject(error);
    }
    this.#unprojected--;
    this.#actor.send({ type: "settled" });
  }

  async #import(mutation: Mutation | undefined): Promise<RepoStatus> {
    const store = this.#openStore();
    if (mutation?.type !== "import" && mutation?.type !== "changeIdentity") return store.state().status;
    const run = async (): Promise<void> => mutation.task(store);
    const failure = await run().then(
      () => undefined,
      (error: unknown) => ({ error }),
    );
    this.#signer = undefined;
    // Also what a task has committed before it failed: handed after a later event, it would be taken for told.
    await store.durable();
    if (failure) mutation.reply.reject(failure.error);
    else mutation.reply.resolve();
    this.#hand(store.pendingEvents().filter((event) => event.key > this.#handedKey));
    return store.state().status;
  }

  async #remove(mutation: Mutation | undefined): Promise<void> {
    const store = this.#openStore();
    const reply = mutation?.type === "delete" ? mutation.reply : undefined;
    try {
      const { sequenced } = await this.#deps.bury(this.#nextTid(store.state()));
      reply?.resolve();
      await sequenced;
      await store.close();
      await this.#deps.removeFiles();
    } catch (error) {
      reply?.reject(error);
      throw error;
    } finally {
      // Refused, it is opened anew by whoever needs it next.
      await store.close();
    }
  }

  async #close(): Promise<void> {
    const store = this.#openStore();
    try {
      // Events that an earlier actor left are found in a file that is only read, too; the next write forgets those.
      const isArmed = this.#actor.getSnapshot().context.disk !== "reading";
      if (isArmed && this.#publishedKey > this.#forgottenKey) store.forgetPending(this.#publishedKey);
    } catch (error) {
      this.#deps.logger.warn("Events that the log has stay in their repo until its next write", {
        did: this.did,
        error,
      });
    } finally {
      await store.close();
    }
  }

  #nextTid(state: Pick<RepoState, "lastTid">): string {
    return nextTid(state.lastTid, this.#deps.now() * 1000, this.#deps.clockId);
  }

  #signingKey(): Signer {
    this.#signer ??= this.#deps.signer(this.#openStore().state().signingKey ?? undefined);
    return this.#signer;
  }

  /**
   * Hands events to the sequencer, which `disk` makes durable where they are not; their rows may be deleted once they are
   * durable in the event log. To be called in the turn that has committed them: the log takes keys in their order only.
   */
  #hand(events: readonly PendingEvent[], disk?: Promise<void>): Promise<void> | undefined {
    const last = events.at(-1);
    if (!last) return undefined;
    this.#handedKey = last.key;
    const published = this.#deps.sequencer.hand(this.did, events, disk);
    published.then(
      () => {
        this.#publishedKey = last.key;
        this.#deps.rested();
      },
      (error) =>
        this.#deps.logger.warn("Events wait for the next start to be sequenced", { did: this.did, error }),
    );
    return published;
  }

  /** The key up to which pending rows may go with the next transaction. */
  #forgettable(): string | undefined {
    if (this.#publishedKey <= this.#forgottenKey) return undefined;
    this.#forgottenKey = this.#publishedKey;
    return this.#forgottenKey;
  }

  /** To be called after each transaction: a WAL that has grown is told to the machine. */
  #measureWal(store: RepoStore, events: readonly PendingEvent[]): void {
    this.#transactions++;
    // An event holds the new blocks, so its size tells of the whole transaction's.
    for (const { before, after } of events) this.#unmeasuredBytes += 2 * (before.length + after.length);
    if (this.#transactions < MEASURE_WAL_EVERY && this.#unmeasuredBytes < MEASURE_WAL_BYTES) return;
    this.#transactions = 0;
    this.#unmeasuredBytes = 0;
    this.#actor.send({ type: "walGrown", bytes: store.walBytes() });
  }

  async #checkpoint(mode: "passive" | "restart"): Promise<void> {
    try {
      const complete = await this.#openStore().checkpoint(mode);
      if (mode === "passive") this.#actor.send({ type: "passiveDone" });
      else this.#actor.send({ type: complete ? "checkpointed" : "checkpointFailed" });
    } catch (error) {
      this.#deps.logger.warn("Could not checkpoint a repo; trying again later", {
        did: this.did,
        mode,
        error,
      });
      this.#actor.send({ type: "checkpointFailed" });
    }
  }
}
