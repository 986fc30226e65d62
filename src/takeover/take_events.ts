/**
 * The reference's event log, as far back as a cursor may reach. It is copied, seqs and bytes, rather than told anew alone: a relay goes on with the
 * cursor it has, misses nothing that happened while it was away, also not the end of an account that is not here any more, and need not
 * fetch a single repo again. Older cursors are told that they are outdated, and read on from what there is; the first start then tells how
 * every account stands. Seqs of kith begin at the clock's microseconds, or after those of the reference's where these are higher.
 */
import {
  decodeFrame,
  type EventKind,
  fromBytes,
  loggedEvent,
  readCar,
  sealFrame,
  type toBytes,
} from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import type { EventLog, EventRow, ReferenceEvent, ReferenceEvents } from "../storage/mod.ts";

const PAGE_ROWS = 500;
/** Seqs are whole numbers of JSON, and there must be some left. */
const SEQ_MAX = Number.MAX_SAFE_INTEGER - 1e12;
const KINDS: Readonly<Record<string, EventKind>> = {
  append: "commit",
  sync: "sync",
  identity: "identity",
  account: "account",
};

export type EventSource = Pick<ReferenceEvents, "highWater" | "before" | "hasUpTo" | "page">;

export interface TakenEvents {
  readonly events: number;
  /** Rows that are no event, or that of another account than they name, and were left out. */
  readonly damaged: number;
  /** The highest seq that the reference has given. */
  readonly lastSeq: number;
}

/**
 * `since`: the age of the oldest event that is of use, in Unix milliseconds. Without a log they are only looked at. Throws KithError
 * invalid_request where so high a seq was given that hardly any is left.
 */
export async function takeEvents(
  source: EventSource,
  { log, since }: { log: EventLog | undefined; since: number },
): Promise<TakenEvents> {
  const lastSeq = source.highWater();
  if (lastSeq > SEQ_MAX) throw usedUp(lastSeq);
  let after = source.before(since);
  if (log && source.hasUpTo(after)) log.beginAfter(after);
  let [events, damaged] = [0, 0];
  for (;;) {
    const page = source.page({ after, limit: PAGE_ROWS });
    const last = page.at(-1);
    if (last === undefined) break;
    const rows = page.flatMap((event) => rowOf(event) ?? []);
    // The network has been told of all of them.
    log?.appendWithoutKeys(rows, rows.at(-1)?.seq);
    const due = log?.checkpointDue();
    if (due) await log?.checkpoint(due);
    events += rows.length;
    damaged += page.length - rows.length;
    after = last.seq;
  }
  if (log) {
    log.raiseHighWater(lastSeq);
    await log.durable();
  }
  return { events, damaged, lastSeq };
}

function usedUp(seq: number): KithError {
  return new KithError(
    "invalid_request",
    `Could not take the events over: the reference PDS has counted them up to ${seq}, which leaves no room for further ones`,
    {
      hint: "Relays know that number, and take nothing below it. The accounts can move one by one, as between any two servers under another host name: kith migrate.",
    },
  );
}

function rowOf({ seq, did, eventType, event, time, at }: ReferenceEvent): Omit<EventRow, "key"> | undefined {
  const kind = KINDS[eventType];
  if (kind === undefined) return undefined;
  try {
    const frame = sealFrame(loggedEvent(kind, { payload: event, time }), seq);
    if (!isReadable(frame, { did, kind })) return undefined;
    return { seq, did, kind, at, frame };
  } catch {
    return undefined;
  }
}

/** Whether subscribers can do anything with it. Throws as well where they cannot. */
function isReadable(frame: Uint8Array, { did, kind }: { did: string; kind: EventKind }): boolean {
  const { payload } = decodeFrame(frame);
  if ((kind === "commit" ? payload.repo : payload.did) !== did) return false;
  if (kind === "commit" || kind === "sync") readCar(fromBytes(payload.blocks as ReturnType<typeof toBytes>));
  return true;
}
