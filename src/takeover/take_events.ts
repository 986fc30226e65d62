/**
 * The reference's event log, as far back as a cursor may reach. It is copied, seqs and bytes, rather than told anew alone: a relay goes on with the
 * cursor it has, misses nothing that happened while it was away, also not the end of an account that is not here any more, and need not
 * fetch a single repo again. Older cursors are told that they are outdated, and read on from what there is; the first start then tells how
 * every account stands. Seqs of kith begin at the clock's microseconds, far above any seq of the reference's.
 */
import {
  decodeFrame,
  type EventKind,
  fromBytes,
  loggedEvent,
  nextTid,
  readCar,
  sealFrame,
  type toBytes,
} from "../atproto/mod.ts";
import type { EventLog, EventRow, ReferenceEvent, ReferenceEvents } from "../storage/mod.ts";

const PAGE_ROWS = 500;
const KINDS: Readonly<Record<string, EventKind>> = {
  append: "commit",
  sync: "sync",
  identity: "identity",
  account: "account",
};

export interface TakenEvents {
  readonly events: number;
  /** Rows that are no event, and were left out. */
  readonly damaged: number;
  /** The highest seq that the reference has given. */
  readonly lastSeq: number;
}

/** `since`: the age of the oldest event that is of use, in Unix milliseconds. Without a log they are only looked at. */
export async function takeEvents(
  source: ReferenceEvents,
  { log, since }: { log: EventLog | undefined; since: number },
): Promise<TakenEvents> {
  const lastSeq = source.highWater();
  let after = source.before(since);
  if (log && source.hasUpTo(after)) log.beginAfter(after);
  let [events, damaged] = [0, 0];
  for (;;) {
    const page = source.page({ after, limit: PAGE_ROWS });
    const last = page.at(-1);
    if (last === undefined) break;
    const rows = page.flatMap((event) => rowOf(event) ?? []);
    // The network has been told of all of them.
    log?.append(rows, rows.at(-1)?.seq);
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

function rowOf({ seq, did, eventType, event, time, at }: ReferenceEvent): EventRow | undefined {
  const kind = KINDS[eventType];
  if (kind === undefined) return undefined;
  try {
    const frame = sealFrame(loggedEvent(kind, { payload: event, time }), seq);
    if (!isReadable(frame, { did, kind })) return undefined;
    // Rising with the seq, and below the key of any event that is made here.
    return { seq, did, key: nextTid(null, seq, 0), kind, at, frame };
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
