/** The blobs of one account: each file is read to its end and held against its CID on the way. */
import { type Cid, CODEC_RAW, cidEquals } from "../atproto/mod.ts";
import { forEach } from "../for_each.ts";
import type { BlobRow, BlobStore, ReferenceBlob, StoredBlob } from "../storage/mod.ts";
import type { BlobSource } from "./blob_source.ts";
import { cidOf } from "./scan_repo.ts";

/** Files under way at a time. */
const COPIES_AT_ONCE = 4;

export interface TakenBlob extends BlobRow {
  readonly takedownRef: string | null;
}

export interface CopiedBlobs {
  readonly taken: readonly TakenBlob[];
  readonly bytes: number;
  /** CIDs of which there is no file, and of which the file is another. */
  readonly missing: readonly string[];
  readonly damaged: readonly string[];
}

export interface CopyOptions {
  readonly did: string;
  readonly source: BlobSource;
  /** Absent where they are only looked at. */
  readonly target?: BlobStore | undefined;
  /** For those that no record refers to: they are as old as the takeover. Unix milliseconds. */
  readonly now: number;
}

/** Throws KithError storage_full, and of a bucket upstream_failure and timeout; what has been copied is not copied again. */
export async function copyBlobs(blobs: readonly ReferenceBlob[], options: CopyOptions): Promise<CopiedBlobs> {
  const taken: TakenBlob[] = [];
  const missing: string[] = [];
  const damaged: string[] = [];
  await forEach(blobs, { atOnce: COPIES_AT_ONCE }, async (blob) => {
    const id = cidOf(blob.cid);
    const result = id?.codec === CODEC_RAW ? await copyOne({ ...blob, id }, options) : "damaged";
    if (result === "missing") missing.push(blob.cid);
    else if (result === "damaged") damaged.push(blob.cid);
    else taken.push(result);
  });
  return { taken, missing, damaged, bytes: taken.reduce((sum, { size }) => sum + size, 0) };
}

async function copyOne(
  blob: ReferenceBlob & { readonly id: Cid },
  { did, source, target, now }: CopyOptions,
): Promise<TakenBlob | "missing" | "damaged"> {
  const { id, mimeType, takedownRef } = blob;
  const row = (size: number): TakenBlob => {
    const createdAt = blob.tempKey === null ? (blob.createdAt ?? now) : now;
    return { cid: id, mimeType, size, createdAt, takedownRef };
  };
  const found = await source.open(did, blob);
  const here = target && (await wholeIn(target, did, id));
  if (!found && !here) return "missing";
  if (!here && found) {
    const isInPlace = source.isShared && blob.tempKey === null;
    const isWhole = target && !isInPlace ? await put(found, { did, id, target }) : await hashesTo(found, id);
    if (!isWhole) return "damaged";
  }
  if (takedownRef !== null) await target?.quarantine(did, id);
  return row(here?.size ?? found?.size ?? 0);
}

/** A copy that an interrupted takeover has left, if it is whole. */
async function wholeIn(target: BlobStore, did: string, cid: Cid): Promise<StoredBlob | undefined> {
  for (const quarantined of [false, true]) {
    const found = await target.open(did, cid, { quarantined });
    if (found && (await hashesTo(found, cid))) return found;
  }
  return undefined;
}

/** Whether the bytes are those of the CID. */
export async function hashesTo(blob: StoredBlob, cid: Cid): Promise<boolean> {
  const hash = new Bun.CryptoHasher("sha256");
  for await (const chunk of await blob.stream()) hash.update(chunk);
  return Buffer.compare(hash.digest(), cid.bytes.subarray(-hash.byteLength)) === 0;
}

async function put(
  blob: StoredBlob,
  { did, id, target }: { did: string; id: Cid; target: BlobStore },
): Promise<boolean> {
  const upload = await target.begin(did);
  try {
    for await (const chunk of await blob.stream()) await upload.write(chunk);
    const { cid } = await upload.finish();
    if (!cidEquals(cid, id)) return false;
    await target.keep(upload, { did, cid });
    return true;
  } finally {
    await upload.discard();
  }
}
