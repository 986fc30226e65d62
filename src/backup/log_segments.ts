/**
 * The event log in a destination: segments, each a run of events in order of seq. A segment's name says what it covers: every
 * event after the first seq of the name, up to the second. Where one's first is another's second nothing lies between.
 */
import { z } from "zod";
import type { EventKind } from "../atproto/mod.ts";
import type { LoggedEvent } from "../storage/mod.ts";
import { BackupError } from "./backup_error.ts";

export const LOG_FOLDER = "log/";
/** 2^53 has so many. */
const SEQ_DIGITS = 16;
const LENGTH_BYTES = 4;

/** A segment as its name tells it. */
export interface SegmentName {
  readonly name: string;
  /** It has every event with after < seq <= last. */
  readonly after: number;
  readonly last: number;
  /** Bytes in the destination. */
  readonly stored: number;
  /** Unix milliseconds of its writing, by the clock of the destination. */
  readonly at: number;
}

export interface Segment {
  readonly after: number;
  readonly last: number;
  /** When it was shipped: ISO 8601. */
  readonly shippedAt: string;
  readonly events: readonly LoggedEvent[];
}

export function segmentName({ after, last }: { after: number; last: number }): string {
  const digits = (seq: number) => String(seq).padStart(SEQ_DIGITS, "0");
  return `${LOG_FOLDER}${digits(after)}-${digits(last)}`;
}

/** Undefined for what is no segment's name. */
export function parseSegmentName(file: { name: string; size: number; at: number }): SegmentName | undefined {
  const found = /^log\/(\d{16})-(\d{16})$/.exec(file.name);
  if (!found) return undefined;
  return {
    name: file.name,
    after: Number(found[1]),
    last: Number(found[2]),
    stored: file.size,
    at: file.at,
  };
}

const whole = z.number().int().min(0);
const head = z.object({
  after: whole,
  last: whole,
  shippedAt: z.string(),
  /** seq, DID, kind, time, bytes of the frame. */
  events: z.array(z.tuple([whole, z.string(), z.string(), whole, whole])),
});

/** Length of the head (4 bytes, big endian), head as JSON, frames one after another. */
export function encodeSegment({ events, ...rest }: Segment): Uint8Array {
  const rows = events.map(({ seq, did, kind, at, frame }) => [seq, did, kind, at, frame.length]);
  const text = Buffer.from(JSON.stringify({ ...rest, events: rows }));
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32BE(text.length);
  return Buffer.concat([length, text, ...events.map(({ frame }) => frame)]);
}

/** Throws BackupError altered where it is not what its name says. */
export function decodeSegment(
  bytes: Uint8Array,
  { name, after, last }: Pick<SegmentName, "name" | "after" | "last">,
): Segment {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const altered = () =>
    new BackupError("altered", `Could not read "${name}" of the backup: it is no segment`);
  const headBytes = buffer.length < LENGTH_BYTES ? Number.POSITIVE_INFINITY : buffer.readUInt32BE(0);
  if (LENGTH_BYTES + headBytes > buffer.length) throw altered();
  const parsed = head.safeParse(
    JSON.parse(buffer.subarray(LENGTH_BYTES, LENGTH_BYTES + headBytes).toString()),
  );
  if (!parsed.success || parsed.data.after !== after || parsed.data.last !== last) throw altered();
  let at = LENGTH_BYTES + headBytes;
  let before = after;
  const events = parsed.data.events.map(([seq, did, kind, time, length]): LoggedEvent => {
    const frame = buffer.subarray(at, at + length);
    at += length;
    if (frame.length !== length || seq <= before || seq > last) throw altered();
    before = seq;
    return { seq, did, kind: kind as EventKind, at: time, frame };
  });
  if (at !== buffer.length) throw altered();
  return { after, last, shippedAt: parsed.data.shippedAt, events };
}
