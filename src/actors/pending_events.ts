import { accountEvent, type EventBody, identityEvent, syncEvent } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import type { PendingEvent, RepoStore } from "../storage/mod.ts";
import type { RepoStatus } from "./repo_types.ts";

/** An event under its key. */
export function pendingOf(key: string, body: EventBody): PendingEvent {
  return { key, kind: body.kind, before: body.before, after: body.after };
}

/** How the account is, told anew. */
export function standingEvent(store: RepoStore, time: string): EventBody {
  const { status } = store.state();
  const active = status === "active";
  return accountEvent({ did: store.did, active, status: active ? undefined : status, time });
}

export interface StatusEventsOptions {
  readonly status: RepoStatus;
  readonly handle: string | undefined;
  /** Unix milliseconds. */
  readonly nowMs: number;
  nextTid(last: string | null): string;
}

/**
 * What a change of status tells: #account, and on activation also #identity and #sync, since a reader may have dropped what it knew.
 * Throws KithError storage_damaged where the repo lacks its newest commit.
 */
export function statusEvents(
  store: RepoStore,
  { status, handle, nowMs, nextTid }: StatusEventsOptions,
): { events: PendingEvent[]; lastTid: string } {
  const { did } = store;
  const time = new Date(nowMs).toISOString();
  const active = status === "active";
  const bodies: EventBody[] = [accountEvent({ did, active, status: active ? undefined : status, time })];
  const { head, lastTid: last } = store.state();
  if (active && head) {
    const bytes = store.get(head.commit);
    if (!bytes) throw new KithError("storage_damaged", `The repo "${did}" lacks its newest commit`);
    bodies.push(identityEvent({ did, handle, time }));
    bodies.push(syncEvent({ did, rev: head.rev, commit: { cid: head.commit, bytes }, time }));
  }
  let lastTid = last;
  const events = bodies.map((body) => {
    lastTid = nextTid(lastTid);
    return pendingOf(lastTid, body);
  });
  return { events, lastTid: lastTid ?? "" };
}
