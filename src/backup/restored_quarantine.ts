/** Where the files of blobs are after a restore: as the takedowns of the restored repo say. */
import { settleQuarantine } from "../actors/mod.ts";
import { type Cid, cidToString } from "../atproto/mod.ts";
import { eachBlob, type RepoStore, type RestoreState, safeDidName } from "../storage/mod.ts";
import type { RestoredBlobs } from "./restored_stores.ts";

export interface BlobPlace {
  readonly did: string;
  readonly cid: Cid;
  readonly quarantined: boolean;
}

/** What a backup calls its file. */
export function blobPath({ did, cid, quarantined }: BlobPlace): string {
  const folder = quarantined ? "blobs/quarantine" : "blobs";
  return `${folder}/${safeDidName(did)}/${cidToString(cid)}`;
}

/** Whether this restore has put the blob there. */
export function isFetched(state: RestoreState, place: BlobPlace): boolean {
  return state.fetched(blobPath(place)) !== undefined;
}

/**
 * Puts away, or back, what was taken down or given back after the backup had copied it. Asked for by name: a bucket says nothing to a start.
 * Only what this restore has put there: the place may be that of a server which goes on, where one account is restored aside. `ownsBlobs`:
 * it is of restores alone, and what another one has left, or one that was killed, is put away and back as well.
 */
export async function settleFetched(
  store: RepoStore,
  {
    state,
    blobs,
    ownsBlobs,
  }: { state: RestoreState; blobs: Omit<RestoredBlobs, "removeAll">; ownsBlobs: boolean },
): Promise<void> {
  const isOwn = (place: BlobPlace) => ownsBlobs || isFetched(state, place);
  const quarantined = async (did: string): Promise<Cid[]> => {
    const found: Cid[] = [];
    for await (const { cid } of eachBlob(blobs, { did, quarantined: true }))
      if (isOwn({ did, cid, quarantined: true })) found.push(cid);
    return found;
  };
  await settleQuarantine(
    {
      quarantined,
      quarantine: async (did, cid) => {
        if (isOwn({ did, cid, quarantined: false })) await blobs.quarantine(did, cid);
      },
      release: (did, cid) => blobs.release(did, cid),
      removeQuarantined: (did, cid) => blobs.removeQuarantined(did, cid),
    },
    store,
  );
}
