/** What was published of an account and is not in its file: from its commits in the event log. */
import {
  blobsInRecord,
  type Cid,
  cidKey,
  cidToString,
  decodeCbor,
  decodeFrame,
  fromBytes,
  fromCidLink,
  readCar,
  type toBytes,
} from "../atproto/mod.ts";
import type { LogRead, LogReads } from "../storage/mod.ts";

/** Paths that a sentence names. */
const EXAMPLES_MAX = 3;

/** Commits above a rev that are in the log before a seq. */
export interface LostRange {
  readonly after: string;
  readonly before: number;
}

export interface LostWrites {
  readonly commits: number;
  /** Paths of records that were there after the last of the commits, and had been written by one of them. */
  readonly records: readonly string[];
  /** Records that were deleted, and are back. */
  readonly deletions: number;
  /** What those records refer to. */
  readonly blobs: ReadonlySet<string>;
}

interface Op {
  readonly action: string;
  readonly path: string;
  readonly cid: Parameters<typeof fromCidLink>[0] | null;
}

/** Reads the account's events; those that cannot be read are left out, as they are told elsewhere. */
export function lostWrites(log: LogReads, did: string, ranges: readonly LostRange[]): LostWrites {
  const records = new Map<string, readonly string[]>();
  const deleted = new Set<string>();
  let commits = 0;
  for (const event of log.eventsOf(did)) {
    const ops = opsOf(event, ranges);
    if (!ops) continue;
    commits += 1;
    for (const { path, blobs } of ops) {
      if (blobs) {
        records.set(path, blobs);
        deleted.delete(path);
      } else if (!records.delete(path)) deleted.add(path);
    }
  }
  const blobs = new Set([...records.values()].flat());
  return { commits, records: [...records.keys()], deletions: deleted.size, blobs };
}

/** In words, for an operator. */
export function lostInWords(lost: LostWrites | undefined): string {
  if (!lost) return 'look at it alone to see what is lost: "kith verify DID"';
  const { commits, records, deletions } = lost;
  if (commits === 0) return "the log has none of its commits any more";
  const parts = [`${commits} ${commits === 1 ? "commit is" : "commits are"} lost`];
  if (records.length > 0) {
    const more = records.length > EXAMPLES_MAX ? ", ..." : "";
    const named = records.slice(0, EXAMPLES_MAX).map((path) => `"${path}"`);
    parts.push(`records written (${records.length}): ${named.join(", ")}${more}`);
  }
  if (deletions > 0) parts.push(`records deleted that are back (${deletions})`);
  return parts.join("; ");
}

/** What a commit within the ranges has done, with the blobs of what it has written. */
function opsOf(
  { seq, kind, frame }: LogRead,
  ranges: readonly LostRange[],
): { path: string; blobs: readonly string[] | undefined }[] | undefined {
  if (kind !== "commit") return undefined;
  try {
    const { payload } = decodeFrame(frame);
    const rev = String(payload.rev);
    if (!ranges.some(({ after, before }) => rev > after && seq < before)) return undefined;
    const { blocks } = readCar(fromBytes(payload.blocks as ReturnType<typeof toBytes>));
    const bytesOf = new Map(blocks.map(({ cid, bytes }) => [cidKey(cid), bytes]));
    return (payload.ops as Op[]).map(({ path, cid }) => ({
      path,
      blobs: cid === null ? undefined : blobsOf(bytesOf.get(cidKey(fromCidLink(cid) as Cid))),
    }));
  } catch {
    return undefined;
  }
}

function blobsOf(bytes: Uint8Array | undefined): string[] {
  return bytes ? blobsInRecord(decodeCbor(bytes)).map(({ cid }) => cidToString(cid)) : [];
}
