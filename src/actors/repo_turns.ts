/** The turns of a repo: each one transaction, without an await. What it throws is the caller's refusal. */
import {
  buildCommit,
  type Cid,
  commitEvent,
  type EventBody,
  identityEvent,
  type Signer,
  signCommit,
} from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import type { PendingEvent, RepoState, RepoStore } from "../storage/mod.ts";
import type { HeldTree } from "./held_tree.ts";
import { pendingOf, standingEvent } from "./pending_events.ts";
import { planWrites } from "./plan_writes.ts";
import type {
  BlobRow,
  BlobSweep,
  ModerationChange,
  PreferencesChange,
  WriteOutcome,
  WriteRequest,
} from "./repo_types.ts";

/** What a turn leaves to be done once it is durable. */
export interface Turn<Answer> {
  readonly answer: Answer;
  readonly events: readonly PendingEvent[];
  /** Blobs without a row: to be removed from the blob store. */
  readonly unreferenced?: readonly Cid[];
}

/** What a turn needs of its actor. */
export interface TurnContext {
  readonly did: string;
  now(): number;
  nextTid(state: Pick<RepoState, "lastTid">): string;
  signingKey(): Signer;
  handle(): string | undefined;
  readonly tree: HeldTree;
  /** The key up to which pending rows may go with the next transaction. */
  forgettable(): string | undefined;
  /** The file was older, in this run, than what was published. */
  isOlder(): boolean;
}

/** Applies the writes as one commit; none where they change nothing. */
export function writeTurn(store: RepoStore, request: WriteRequest, context: TurnContext): Turn<WriteOutcome> {
  const { did } = context;
  const state = store.state();
  const head = state.head;
  if (!head) throw new KithError("storage_damaged", `The repo "${did}" has no commit`);
  const plan = planWrites(store, { request, head });
  if (plan.writes.length === 0) return { answer: { results: plan.results }, events: [] };
  const rev = context.nextTid(state);
  const tree = context.tree.take(head.data, store);
  const draft = buildCommit({ did, head, writes: plan.writes, rev, blocks: store, tree });
  const signed = signCommit(draft, context.signingKey());
  const now = context.now();
  const events = [pendingOf(rev, commitEvent(signed, { time: new Date(now).toISOString() }))];
  const { unreferenced } = store.commit({
    head: signed.head,
    lastTid: rev,
    newBlocks: [...signed.newBlocks, signed.commit],
    removed: signed.removed,
    replaced: signed.replaced,
    puts: plan.puts,
    deletes: plan.deletes,
    events,
    forgetPendingUpTo: context.forgettable(),
    now,
  });
  context.tree.keep(tree);
  const commit = { cid: signed.commit.cid, rev };
  return { answer: { commit, results: plan.results }, events, unreferenced };
}

/** Remembers a blob; the answer is the type that it has. */
export function putBlobTurn(store: RepoStore, row: BlobRow, context: TurnContext): Turn<string> {
  const mimeType = store.putBlob({ ...row, forgetPendingUpTo: context.forgettable() });
  return { answer: mimeType, events: [] };
}

/**
 * Drops the rows of blobs older than that to which no record refers. None of a repo whose file is older than what was published: records that
 * it has lost may refer to them, and come back with the right file.
 */
export function sweepBlobsTurn(
  store: RepoStore,
  { olderThan, limit }: { olderThan: number; limit: number },
  context: TurnContext,
): Turn<BlobSweep> {
  if (context.isOlder()) return { answer: { removed: 0, oldestLeft: context.now() }, events: [] };
  const forgetPendingUpTo = context.forgettable();
  const unreferenced = store.deleteBlobs(store.temporaryBlobs(olderThan, { limit }), { forgetPendingUpTo });
  const answer = { removed: unreferenced.length, oldestLeft: store.oldestTemporaryBlob() };
  return { answer, events: [], unreferenced };
}

/** An #identity event, with the handle as it is. */
export function announceIdentityTurn(store: RepoStore, context: TurnContext): Turn<void> {
  const { did } = context;
  return announce(store, context, (time) => identityEvent({ did, handle: context.handle(), time }));
}

/** Takes a record or blob down, or gives it back; or tells the network again how the account stands. */
export function moderateTurn(store: RepoStore, change: ModerationChange, context: TurnContext): Turn<void> {
  if (change.kind === "announce") return announce(store, context, (time) => standingEvent(store, time));
  store.takedowns.apply(change);
  return { answer: undefined, events: [] };
}

function announce(store: RepoStore, context: TurnContext, eventAt: (time: string) => EventBody): Turn<void> {
  const key = context.nextTid(store.state());
  const events = [pendingOf(key, eventAt(new Date(context.now()).toISOString()))];
  store.appendEvents({ lastTid: key, events, forgetPendingUpTo: context.forgettable() });
  return { answer: undefined, events };
}

export function putPreferencesTurn(
  store: RepoStore,
  change: PreferencesChange,
  context: TurnContext,
): Turn<void> {
  store.putPreferences({ ...change, forgetPendingUpTo: context.forgettable() });
  return { answer: undefined, events: [] };
}
