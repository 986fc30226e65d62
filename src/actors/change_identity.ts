/**
 * A change of what the network knows an account by: its handle, or the key that signs its commits. It has the repo to
 * itself, is decided in the account's file together with its events, and is repeated in the accounts before anybody is
 * told: who hears of a new handle asks this server whose it is.
 *
 * A new key brings a new commit over the same tree: the head would not verify any more. It is told as #sync, which also
 * mends what relays refused where commits of the old key met the new DID document.
 */
import { buildCommit, identityEvent, nextTid, type Signer, signCommit, syncEvent } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import type { RepoStore } from "../storage/mod.ts";
import { pendingOf } from "./pending_events.ts";
import type { IdentityFacts, ImportTask } from "./repo_types.ts";

/** What of an account's identity changes. */
export interface IdentityChange extends IdentityFacts {
  /** Runs first, while every write waits; where it throws nothing changes. */
  readonly before?: (() => Promise<void>) | undefined;
}

/** The store of identity changes, as far as a change needs it. */
export interface Identities {
  /** The account's key; with `didKey` that one, also while the change to it is under way. */
  signer(did: string, didKey?: string): Signer;
  /** Repeats in the accounts what the file says; durable when it resolves. */
  project(did: string, facts: IdentityFacts): Promise<void>;
}

export interface IdentityTaskOptions {
  readonly identities: Identities;
  /** The account's handle now. */
  readonly handle: () => string | undefined;
  /** Unix milliseconds. */
  readonly now: () => number;
  readonly clockId: number;
}

/** The task that changes. Where it throws after the file has changed, the next start, or whoever repeats it, projects. */
export function identityTask(change: IdentityChange, options: IdentityTaskOptions): ImportTask {
  const { handle, signingKey } = change;
  return async (store) => {
    await change.before?.();
    const commit = signingKey === undefined ? commitHandle : commitKey;
    commit(store, { handle, signingKey }, options);
    await store.durable();
    await options.identities.project(store.did, { handle, signingKey });
  };
}

function commitHandle(store: RepoStore, facts: IdentityFacts, options: IdentityTaskOptions): void {
  const { now, clockId } = options;
  const key = nextTid(store.state().lastTid, now() * 1000, clockId);
  const time = new Date(now()).toISOString();
  const handle = facts.handle ?? options.handle();
  const events = [pendingOf(key, identityEvent({ did: store.did, handle, time }))];
  store.appendEvents({ lastTid: key, events, identity: facts });
}

function commitKey(store: RepoStore, facts: IdentityFacts, options: IdentityTaskOptions): void {
  const { did } = store;
  const { now, clockId, identities } = options;
  const { head, lastTid, status } = store.state();
  if (!head) throw new KithError("storage_damaged", `The repo "${did}" has no commit`);
  const next = (last: string | null) => nextTid(last, now() * 1000, clockId);
  const identityKey = next(lastTid);
  const rev = next(identityKey);
  const syncKey = next(rev);
  const draft = buildCommit({ did, head, writes: [], rev, blocks: store });
  const signed = signCommit(draft, identities.signer(did, facts.signingKey));
  const time = new Date(now()).toISOString();
  const handle = facts.handle ?? options.handle();
  const events = [pendingOf(identityKey, identityEvent({ did, handle, time }))];
  // Of an inactive account it is told when it is activated.
  if (status === "active") {
    events.push(pendingOf(syncKey, syncEvent({ did, rev, commit: signed.commit, time })));
  }
  store.commit({
    head: signed.head,
    lastTid: syncKey,
    newBlocks: [...signed.newBlocks, signed.commit],
    removed: signed.removed,
    replaced: signed.replaced,
    puts: [],
    deletes: [],
    events,
    identity: facts,
    now: now(),
  });
}
