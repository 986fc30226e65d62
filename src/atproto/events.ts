/**
 * Firehose frames. A body is encoded once, without its seq, and stored; sealing it splices the seq in.
 * https://atproto.com/specs/sync and https://atproto.com/specs/event-stream
 */
import { isBytes } from "@atcute/cbor";
import type { Block } from "./block.ts";
import { encodeCar } from "./car.ts";
import {
  cborBytesHead,
  decodeCbor,
  decodeFirstCbor,
  encodeCbor,
  fromBytes,
  toBytes,
  toCidLink,
} from "./cbor.ts";
import { carSlice, type RepoOp, type SignedCommit } from "./commit.ts";

export type EventKind = "commit" | "sync" | "identity" | "account";

/** A frame without its seq. */
export interface EventBody {
  readonly kind: EventKind;
  /** The header and the payload up to and including the key "seq". */
  readonly before: Uint8Array;
  /** The payload after the value of "seq". */
  readonly after: Uint8Array;
}

/** Why an account is not active. */
export type InactiveStatus = "takendown" | "suspended" | "deleted" | "deactivated";

/** The #commit event of a signed commit; `time` is ISO 8601. */
export function commitEvent(signed: SignedCommit, { time }: { time: string }): EventBody {
  return eventBody("commit", {
    repo: signed.did,
    time,
    rev: signed.rev,
    since: signed.since,
    commit: toCidLink(signed.commit.cid),
    blocks: toBytes(carSlice(signed)),
    ops: signed.ops.map(opOnWire),
    blobs: [],
    tooBig: false,
    rebase: false,
    prevData: signed.prevData ? toCidLink(signed.prevData) : undefined,
  });
}

function opOnWire({ action, path, cid, prev }: RepoOp): Record<string, unknown> {
  const op = { action, path, cid: cid ? toCidLink(cid) : null };
  return prev ? { ...op, prev: toCidLink(prev) } : op;
}

/** The #sync event: this commit is the state of the repo, whatever was told before. */
export function syncEvent(event: { did: string; rev: string; commit: Block; time: string }): EventBody {
  const { did, rev, commit, time } = event;
  return eventBody("sync", { did, rev, time, blocks: toBytes(encodeCar([commit.cid], [commit])) });
}

/** The #identity event: the DID document or the handle may have changed. */
export function identityEvent(event: { did: string; handle?: string; time: string }): EventBody {
  const { did, handle, time } = event;
  return eventBody("identity", { did, handle, time });
}

/** The #account event: whether this server serves the account, and if not, why. */
export function accountEvent(event: {
  did: string;
  active: boolean;
  status?: InactiveStatus;
  time: string;
}): EventBody {
  const { did, active, status, time } = event;
  return eventBody("account", { did, active, status, time });
}

/**
 * An event of another server's log, as it has told it: its payload with its time, without its seq.
 * Throws RangeError where the payload is no CBOR map.
 */
export function loggedEvent(
  kind: EventKind,
  { payload, time }: { payload: Uint8Array; time: string },
): EventBody {
  const fields = decodeCbor(payload);
  if (typeof fields !== "object" || fields === null || Array.isArray(fields)) {
    throw new RangeError("not the payload of an event");
  }
  return eventBody(kind, { ...fields, time });
}

/** Encodes a payload around its seq; a field that is undefined is left out. */
function eventBody(kind: EventKind, payload: Readonly<Record<string, unknown>>): EventBody {
  const fields = Object.entries(payload).filter(([, value]) => value !== undefined);
  const keys = [...fields.map(([key]) => key), "seq"].sort((a, b) => a.length - b.length || (a < b ? -1 : 1));
  const before: Uint8Array[] = [encodeCbor({ op: 1, t: `#${kind}` }), Uint8Array.of(0xa0 | keys.length)];
  const after: Uint8Array[] = [];
  let side = before;
  for (const key of keys) {
    side.push(encodeCbor(key));
    const value = payload[key];
    if (key === "seq") side = after;
    else if (isBytes(value)) side.push(cborBytesHead(fromBytes(value).length), fromBytes(value));
    else side.push(encodeCbor(value));
  }
  return { kind, before: concat(before), after: concat(after) };
}

/** The finished frame of a body. `seq` is 1 to 2^53-1. */
export function sealFrame(body: Pick<EventBody, "before" | "after">, seq: number): Uint8Array {
  if (!Number.isSafeInteger(seq) || seq < 1) throw new RangeError(`seq ${seq} is not from 1 to 2^53-1`);
  return concat([body.before, encodeCbor(seq), body.after]);
}

/** A frame that tells about the stream itself, such as `OutdatedCursor`. It has no seq. */
export function infoFrame(name: string, message?: string): Uint8Array {
  return concat([
    encodeCbor({ op: 1, t: "#info" }),
    encodeCbor(message === undefined ? { name } : { name, message }),
  ]);
}

/** The frame before an error closes the stream, such as `FutureCursor`. */
export function errorFrame(error: string, message?: string): Uint8Array {
  return concat([encodeCbor({ op: -1 }), encodeCbor(message === undefined ? { error } : { error, message })]);
}

/** A frame as read: `t` is "#commit" and so on, undefined on an error. Links and bytes are @atcute/cbor's. */
export interface DecodedFrame {
  readonly op: number;
  readonly t: string | undefined;
  readonly payload: Record<string, unknown>;
}

/** Decodes a frame. Throws RangeError where it is not a header and a payload. */
export function decodeFrame(bytes: Uint8Array): DecodedFrame {
  const [header, end] = decodeFirstCbor(bytes);
  const payload = decodeCbor(bytes.subarray(end));
  const { op, t } = (header ?? {}) as { op?: unknown; t?: unknown };
  if (typeof op !== "number" || (t !== undefined && typeof t !== "string")) {
    throw new RangeError("not a frame of an event stream");
  }
  return { op, t, payload: payload as Record<string, unknown> };
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  let size = 0;
  for (const part of parts) size += part.length;
  const out = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
