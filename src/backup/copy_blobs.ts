/** Copies the blobs of accounts. A blob's name is its hash, so what is in the snapshot before has not changed. */
import { cidToString } from "../atproto/mod.ts";
import { isKithError } from "../errors.ts";
import { eachBlob, errorCodeOf, type ListedBlob, safeDidName } from "../storage/mod.ts";
import type { FileCopier } from "./copy_files.ts";
import { orderOf } from "./file_table.ts";
import type { BackupBlobs, BackupSource } from "./snapshot_source.ts";

/** In a CID, before the hash. */
const CID_HEAD_BYTES = 4;

export interface BlobCopyOptions {
  readonly source: BackupSource;
  readonly copier: FileCopier;
  readonly onProblem: (problem: string) => void;
  readonly signal?: AbortSignal | undefined;
}

interface Found {
  readonly did: string;
  readonly blob: Pick<ListedBlob, "cid">;
  readonly quarantined: boolean;
}

/** Blobs of these accounts; how many. Nothing where the source has none. */
export async function copyBlobs(
  dids: readonly string[],
  options: BlobCopyOptions & { onDone?: (done: number) => void },
): Promise<number> {
  const { blobs } = options.source;
  if (!blobs) return 0;
  const folder = (did: string) => orderOf({ kind: "blob", path: `blobs/${safeDidName(did)}/` });
  const sorted = [...dids].sort((a, b) => (folder(a) < folder(b) ? -1 : 1));
  let count = 0;
  for (const [at, did] of sorted.entries()) {
    options.signal?.throwIfAborted();
    for await (const found of blobsOf(did, blobs)) if (await copyBlob(found, options)) count += 1;
    options.onDone?.(at + 1);
  }
  return count;
}

/**
 * Every blob of an account: in its place, in the quarantine, and in its place once more, since a takedown or its end moves it from one to the
 * other meanwhile.
 */
async function* blobsOf(did: string, blobs: BackupBlobs): AsyncIterable<Found> {
  const seen = new Set<string>();
  for (const quarantined of [false, true, false]) {
    for await (const blob of eachBlob(blobs, { did, quarantined })) {
      if (seen.has(blob.name)) continue;
      seen.add(blob.name);
      yield { did, blob, quarantined };
    }
  }
}

/** One blob; false where it is gone. */
export async function copyBlob(found: Found, options: BlobCopyOptions): Promise<boolean> {
  const { source, copier, onProblem } = options;
  const { did, blob, quarantined } = found;
  const cid = cidToString(blob.cid);
  if (await copier.unchanged(headOf(found))) return true;
  try {
    // In the first place once more: it may have been moved there while it was looked for in the other.
    for (const place of [quarantined, !quarantined, quarantined]) {
      const sha256 = await copyFrom({ ...found, quarantined: place }, options);
      if (sha256 === undefined) continue;
      const named = Buffer.from(blob.cid.bytes.subarray(CID_HEAD_BYTES)).toString("hex");
      if (sha256 !== named) onProblem(`The blob ${cid} of "${did}" is damaged: its bytes have another hash`);
      return true;
    }
    return false;
  } catch (error) {
    // A bucket that fails does so for all of them; of a folder one file may lie on a bad place of the disk.
    if (source.blobStore === "bucket" || !isUnreadable(error)) throw error;
    onProblem(`The blob ${cid} of "${did}" could not be read: ${(error as Error).message}`);
    return false;
  }
}

/** Its hash, in hex; undefined where it is not in that place, or was moved away before its bytes came. */
async function copyFrom(
  found: Found,
  { source, copier }: Pick<BlobCopyOptions, "source" | "copier">,
): Promise<string | undefined> {
  const { did, blob, quarantined } = found;
  try {
    const stored = await source.blobs?.open(did, blob.cid, { quarantined });
    return stored && (await copier.bytesAs(headOf(found), await stored.stream()));
  } catch (error) {
    if (isKithError(error, "blob_not_found")) return undefined;
    throw error;
  }
}

function isUnreadable(error: unknown): boolean {
  return ["EIO", "EACCES", "EPERM", "EISDIR"].includes(errorCodeOf(error));
}

function headOf({ did, blob, quarantined }: Found) {
  const cid = cidToString(blob.cid);
  const folder = quarantined ? "blobs/quarantine" : "blobs";
  return {
    path: `${folder}/${safeDidName(did)}/${cid}`,
    kind: "blob" as const,
    did,
    cid,
    ...(quarantined ? { quarantined } : {}),
  };
}
