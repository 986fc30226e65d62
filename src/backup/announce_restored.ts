/**
 * What the network is told of a repo after a restore, in one transaction with a commit whose rev is above all that it has seen: whatever
 * it holds of the repo is replaced by the #sync. docs/storage_rules.md, 23.
 */

import { pendingOf, standingEvent } from "../actors/mod.ts";
import {
  accountEvent,
  buildCommit,
  identityEvent,
  nextTid,
  type Signer,
  signCommit,
  syncEvent,
} from "../atproto/mod.ts";
import type { PendingEvent, RepoStore } from "../storage/mod.ts";

export interface AnnounceOptions {
  readonly handle: string;
  readonly signer: Signer;
  /** The newest key that the event log has of the account. */
  readonly lastKey: string | undefined;
  /** Unix milliseconds; not before anything that was told. */
  readonly now: number;
  readonly clockId: number;
}

/** Drops what the file has pending: that is of before. A repo without a commit gets its first, which is told as #sync alone. */
export function announceRestored(store: RepoStore, options: AnnounceOptions): void {
  const { handle, signer, lastKey, now, clockId } = options;
  const { did } = store;
  const { head, lastTid, status } = store.state();
  const known = [lastTid, lastKey ?? null].reduce((a, b) => ((a ?? "") > (b ?? "") ? a : b));
  const tids: string[] = [];
  for (let last = known; tids.length < 4; tids.push(last)) last = nextTid(last, now * 1000, clockId);
  const [identityKey = "", accountKey = "", rev = "", syncKey = ""] = tids;
  const signed = signCommit(buildCommit({ did, head, writes: [], rev, blocks: store }), signer);
  const time = new Date(now).toISOString();
  const events = [
    pendingOf(identityKey, identityEvent({ did, handle, time })),
    pendingOf(accountKey, standingEvent(store, time)),
  ];
  if (status === "active")
    events.push(pendingOf(syncKey, syncEvent({ did, rev, commit: signed.commit, time })));
  store.commit({
    head: signed.head,
    lastTid: syncKey,
    newBlocks: [...signed.newBlocks, signed.commit],
    removed: signed.removed,
    replaced: signed.replaced,
    puts: [],
    deletes: [],
    events,
    identity: { handle, signingKey: signer.didKey },
    forgetPendingUpTo: known ?? "",
    now,
  });
}

/** The same of a repo that cannot be signed or is not whole: its commit stays, and its account is told as it stands. */
export function announceStanding(store: RepoStore, options: Omit<AnnounceOptions, "signer">): void {
  const { handle, lastKey, now, clockId } = options;
  const { did } = store;
  const { lastTid } = store.state();
  const known = [lastTid, lastKey ?? null].reduce((a, b) => ((a ?? "") > (b ?? "") ? a : b));
  const identityKey = nextTid(known, now * 1000, clockId);
  const accountKey = nextTid(identityKey, now * 1000, clockId);
  const time = new Date(now).toISOString();
  store.appendEvents({
    lastTid: accountKey,
    events: [
      pendingOf(identityKey, identityEvent({ did, handle, time })),
      pendingOf(accountKey, standingEvent(store, time)),
    ],
    identity: { handle },
    forgetPendingUpTo: known ?? "",
  });
}

/** That of an account that was deleted after the snapshot: told once more, as its files go once more. */
export function tombstoneOf(
  did: string,
  { lastKey, now, clockId }: Pick<AnnounceOptions, "lastKey" | "now" | "clockId">,
): PendingEvent {
  const key = nextTid(lastKey ?? null, now * 1000, clockId);
  const time = new Date(now).toISOString();
  return pendingOf(key, accountEvent({ did, active: false, status: "deleted", time }));
}
