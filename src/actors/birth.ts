import {
  accountEvent,
  buildCommit,
  commitEvent,
  identityEvent,
  nextTid,
  type Signer,
  signCommit,
  syncEvent,
} from "../atproto/mod.ts";
import type { RepoStore } from "../storage/mod.ts";
import { pendingOf } from "./pending_events.ts";

export interface BirthOptions {
  readonly handle: string;
  readonly signer: Signer;
  readonly now: () => number;
  readonly clockId: number;
  /** The DID has a repo elsewhere: this one begins deactivated, and nobody is told of it before it is activated. */
  readonly movesIn: boolean;
}

/**
 * Writes the genesis of a repo into its new, empty file: the first commit and the events that tell of the account, in one
 * transaction. Does nothing where the file has a commit already. Resolves once it is durable.
 */
export async function openBirth(store: RepoStore, options: BirthOptions): Promise<void> {
  await store.prepareWrites();
  if (!store.state().head) writeGenesis(store, options);
  await store.durable();
}

function writeGenesis(store: RepoStore, { handle, signer, now, clockId, movesIn }: BirthOptions): void {
  const { did } = store;
  const time = new Date(now()).toISOString();
  const tids: string[] = [];
  for (let last = store.state().lastTid; tids.length < 4; tids.push(last)) {
    last = nextTid(last, now() * 1000, clockId);
  }
  const [identityKey = "", accountKey = "", rev = "", syncKey = ""] = tids;
  const signed = signCommit(buildCommit({ did, head: null, writes: [], rev, blocks: store }), signer);
  const events = [
    pendingOf(identityKey, identityEvent({ did, handle, time })),
    pendingOf(accountKey, accountEvent({ did, active: true, time })),
    pendingOf(rev, commitEvent(signed, { time })),
    pendingOf(syncKey, syncEvent({ did, rev, commit: signed.commit, time })),
  ];
  store.commit({
    head: signed.head,
    lastTid: syncKey,
    newBlocks: [...signed.newBlocks, signed.commit],
    removed: [],
    replaced: [],
    puts: [],
    deletes: [],
    events: movesIn ? [] : events,
    status: movesIn ? "deactivated" : "active",
    identity: { handle, signingKey: signer.didKey },
    now: now(),
  });
}
