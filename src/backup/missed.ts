/** What a server which ended before has kept and may not have shipped. */
import { statSync } from "node:fs";
import { join } from "node:path";
import { cidToString } from "../atproto/mod.ts";
import { AccountFilesReader, repoFilePath } from "../storage/mod.ts";
import type { ManifestName, Repository } from "./repository.ts";
import type { ShippedBlob } from "./ship_increment.ts";
import type { BackupSource } from "./snapshot_source.ts";

/** An upload may have begun so long before it was kept. */
const UPLOAD_MS = 3_600_000;
const PAGE_BLOBS = 500;
/** What is beyond is in the next snapshot. */
const BLOBS_MAX = 20_000;

export interface Missed {
  readonly blobs: ShippedBlob[];
  readonly accounts: string[];
}

export async function findMissed(repository: Repository, source: BackupSource): Promise<Missed> {
  const newest = (await repository.snapshots()).at(-1);
  return { blobs: await missedBlobs(newest, source), accounts: missedAccounts(newest, source) };
}

/**
 * Blobs that are newer than the newest snapshot, shipped already or not. None where there is no snapshot, which will have all of them; and none
 * of a bucket, which a lost disk does not take along.
 */
async function missedBlobs(newest: ManifestName | undefined, source: BackupSource): Promise<ShippedBlob[]> {
  const { blobs, blobStore, paths } = source;
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

/**
 * Accounts whose files were written since the newest snapshot: what no event tells of them is shipped once more. The accounts store itself is shipped
 * whole by every server that starts.
 */
function missedAccounts(newest: ManifestName | undefined, { paths }: BackupSource): string[] {
  if (!newest) return [];
  const accounts = new AccountFilesReader(paths.accounts);
  const all = accounts.all();
  accounts.close();
  const isNews = (path: string) => {
    const times = [path, `${path}-wal`].map(
      (each) => statSync(each, { throwIfNoEntry: false })?.mtimeMs ?? 0,
    );
    return Math.max(...times) >= (newest?.at ?? 0);
  };
  const written = all.filter(({ did, generation }) =>
    isNews(join(paths.repos, repoFilePath(did, generation))),
  );
  return written.map(({ did }) => did);
}
