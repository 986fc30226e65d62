/** Blobs that a server which ended before has kept and may not have shipped. */
import { cidToString } from "../atproto/mod.ts";
import { AccountFilesReader } from "../storage/mod.ts";
import type { Repository } from "./repository.ts";
import type { ShippedBlob } from "./ship_increment.ts";
import type { BackupSource } from "./snapshot_source.ts";

/** An upload may have begun so long before it was kept. */
const UPLOAD_MS = 3_600_000;
const PAGE_BLOBS = 500;
/** What is beyond is in the next snapshot. */
const BLOBS_MAX = 20_000;

/**
 * Blobs that are newer than the newest snapshot, shipped already or not. None where there is no snapshot, which will have all of them; and none
 * of a bucket, which a lost disk does not take along.
 */
export async function missedBlobs(repository: Repository, source: BackupSource): Promise<ShippedBlob[]> {
  const { blobs, blobStore, paths } = source;
  const newest = (await repository.snapshots()).at(-1);
  if (!newest || !blobs || blobStore === "bucket") return [];
  const since = newest.at - UPLOAD_MS;
  const accounts = new AccountFilesReader(paths.accounts);
  const dids = accounts.all().map(({ did }) => did);
  accounts.close();
  const found: ShippedBlob[] = [];
  for (const did of dids) {
    for (let after: string | undefined; found.length < BLOBS_MAX; ) {
      const page = await blobs.list(did, { limit: PAGE_BLOBS, ...(after === undefined ? {} : { after }) });
      for (const { cid, storedAt } of page) if (storedAt >= since) found.push({ did, cid: cidToString(cid) });
      after = page.at(-1)?.name;
      if (page.length < PAGE_BLOBS) break;
    }
  }
  return found.slice(0, BLOBS_MAX);
}
