/** What belongs to events and is not in them: it must be in a backup before they are, for the place may be lost at any moment. */
import {
  type Bytes,
  blobsInRecord,
  cidToString,
  decodeCbor,
  decodeFrame,
  fromBytes,
  readCar,
} from "../atproto/mod.ts";
import type { LoggedEvent } from "../storage/mod.ts";
import type { ShippedBlob } from "./ship_increment.ts";

export interface EventNeeds {
  /** Accounts: a new one, or a new key, is of no use without what the accounts store has of it. */
  readonly rows: readonly string[];
  /** Accounts: a #sync stands for a whole repo, of which the event has the commit alone. */
  readonly repos: readonly string[];
  /** What the records of commits refer to. */
  readonly blobs: readonly ShippedBlob[];
}

/** In every reference to a blob, also in the old form; few commits have it, so few are decoded. */
const BLOB_MARK = Buffer.from("mimeType");

export function needsOf(events: readonly LoggedEvent[]): EventNeeds {
  const didsOf = (...kinds: string[]) => [
    ...new Set(events.filter(({ kind }) => kinds.includes(kind)).map(({ did }) => did)),
  ];
  const blobs = new Map<string, ShippedBlob>();
  for (const { did, kind, frame } of events) {
    if (kind !== "commit" || !mentionsBlobs(frame)) continue;
    for (const cid of blobsIn(frame)) blobs.set(`${did} ${cid}`, { did, cid });
  }
  return { rows: didsOf("account", "identity"), repos: didsOf("sync"), blobs: [...blobs.values()] };
}

function mentionsBlobs(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).includes(BLOB_MARK);
}

/** None of a frame that cannot be read, which no restore can apply either. */
function blobsIn(frame: Uint8Array): string[] {
  try {
    const { payload } = decodeFrame(frame);
    const { blocks } = readCar(fromBytes(payload.blocks as Bytes));
    const records = blocks.filter(({ bytes }) => mentionsBlobs(bytes));
    return records.flatMap(({ bytes }) =>
      blobsInRecord(decodeCbor(bytes)).map(({ cid }) => cidToString(cid)),
    );
  } catch {
    return [];
  }
}
