/** What a server which ended before has kept and may not have shipped. */
import { statSync } from "node:fs";
import { join } from "node:path";
import { cidToString } from "../atproto/mod.ts";
import { type AccountFiles, AccountFilesReader, eachBlob, repoFilePath } from "../storage/mod.ts";
import { isBackupDamage } from "./backup_error.ts";
import type { Repository } from "./repository.ts";
import type { ShippedBlob } from "./ship_increment.ts";
import type { BackupSource } from "./snapshot_source.ts";

/** An upload may have begun so long before it was kept. */
const UPLOAD_MS = 3_600_000;
/** What is beyond is in the next snapshot. */
const BLOBS_MAX = 20_000;

export interface Missed {
  readonly blobs: ShippedBlob[];
  readonly accounts: string[];
  /** Those of them whose repos, too, may have changed without an event. */
  readonly repos: string[];
}

/** Nothing where there is no snapshot: the first one will have all of it. */
export async function findMissed(
  repository: Repository,
  { source, now }: { source: BackupSource; now: number },
): Promise<Missed> {
  const since = await newestSince(repository, now);
  if (since === undefined) return { blobs: [], accounts: [], repos: [] };
  const written = missedAccounts(since, source);
  return {
    blobs: await missedBlobs(since - UPLOAD_MS, source),
    accounts: written.map(({ did }) => did),
    repos: written.filter(({ state }) => state === "deactivated").map(({ did }) => did),
  };
}

/**
 * When the newest snapshot was begun, by the clock that files have their times from: not by its name, which is later where a clock was ahead
 * once. One from the future says nothing, so that the one before it counts; without any everything may be missed.
 */
async function newestSince(repository: Repository, now: number): Promise<number | undefined> {
  const names = await repository.snapshots();
  for (const { name } of names.toReversed()) {
    try {
      const at = Date.parse((await repository.snapshot(name)).startedAt);
      if (at <= now) return at;
    } catch (error) {
      if (!isBackupDamage(error)) throw error;
    }
  }
  return names.length === 0 ? undefined : 0;
}

/** Blobs that are newer, shipped already or not. None of a bucket, which a lost disk does not take along. */
async function missedBlobs(since: number, source: BackupSource): Promise<ShippedBlob[]> {
  const { blobs, blobStore, paths } = source;
  if (!blobs || blobStore === "bucket") return [];
  const accounts = new AccountFilesReader(paths.accounts);
  const dids = accounts.all().map(({ did }) => did);
  accounts.close();
  const found: ShippedBlob[] = [];
  for (const did of dids) {
    for await (const { cid, storedAt } of eachBlob(blobs, { did })) {
      if (found.length === BLOBS_MAX) return found;
      if (storedAt >= since) found.push({ did, cid: cidToString(cid) });
    }
  }
  return found;
}

/**
 * Accounts whose files were written since then: what no event tells of them is shipped once more. The accounts store itself is shipped
 * whole by every server that starts.
 */
function missedAccounts(since: number, { paths }: BackupSource): AccountFiles[] {
  const accounts = new AccountFilesReader(paths.accounts);
  const all = accounts.all();
  accounts.close();
  const isNews = (path: string) => {
    const times = [path, `${path}-wal`].map(
      (each) => statSync(each, { throwIfNoEntry: false })?.mtimeMs ?? 0,
    );
    return Math.max(...times) >= since;
  };
  return all.filter(({ did, generation }) => isNews(join(paths.repos, repoFilePath(did, generation))));
}
