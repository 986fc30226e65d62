/** Where a reference PDS has its blobs: files of its own layout, or a bucket whose layout kith shares. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { type Cid, cidToString } from "../atproto/mod.ts";
import type { ReferenceBlob, S3BlobStore, StoredBlob } from "../storage/mod.ts";
import type { ReferencePaths } from "./locate.ts";

export interface BlobSource {
  /** True where kith goes on with the same bucket: what is there stays, and only uploads are put into their places. */
  readonly isShared: boolean;
  /** Undefined where no file is there. */
  open(did: string, blob: ReferenceBlob & { readonly id: Cid }): Promise<StoredBlob | undefined>;
}

/** Names of uploads: anything else could lead out of their folder. */
const UPLOAD_NAME = /^[A-Za-z0-9_-]+$/;

export function folderSource(paths: NonNullable<ReferencePaths["blobs"]>): BlobSource {
  return {
    isShared: false,
    open: async (did, { id, tempKey, takedownRef }) => {
      const name = cidToString(id);
      const upload =
        tempKey !== null && UPLOAD_NAME.test(tempKey) ? [join(paths.temporary, did, tempKey)] : [];
      const places = [join(paths.stored, did, name), join(paths.quarantine, did, name)];
      if (takedownRef !== null) places.reverse();
      for (const path of [...upload, ...places]) {
        const found = await stat(path).catch(() => undefined);
        if (!found?.isFile()) continue;
        return { size: found.size, stream: async () => Bun.file(path).stream() };
      }
      return undefined;
    },
  };
}

export function bucketSource(bucket: Pick<S3BlobStore, "open" | "openUpload">): BlobSource {
  return {
    isShared: true,
    open: async (did, { id, tempKey, takedownRef }) => {
      const upload =
        tempKey !== null && UPLOAD_NAME.test(tempKey) ? await bucket.openUpload(did, tempKey) : undefined;
      if (upload) return upload;
      const quarantined = takedownRef !== null;
      return (
        (await bucket.open(did, id, { quarantined })) ?? bucket.open(did, id, { quarantined: !quarantined })
      );
    },
  };
}
