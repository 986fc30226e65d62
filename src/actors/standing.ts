import { KithError } from "../errors.ts";
import type { OwnerStatus, RepoStatus, RepoStore, Standing } from "../storage/mod.ts";

/** What a change of status may say beside the status. */
export interface StatusOptions {
  /** Only a repo of one of these statuses, as its turn finds it, is changed. */
  readonly from?: readonly RepoStatus[];
  /** Of a takedown: why. The one before stays where it is absent. */
  readonly takedownRef?: string;
  /** Of what is taken down: what holds when that is lifted. */
  readonly ownerStatus?: OwnerStatus;
  /** The status is to be the one that the owner has made of it: KithError busy where it is another meanwhile. */
  readonly lifts?: boolean;
}

/** A takedown keeps what the owner has made of the account; everything else is the owner's to say, and ends a takedown. */
export function nextStanding(
  before: Standing,
  change: Pick<StatusOptions, "takedownRef" | "ownerStatus" | "lifts"> & { readonly status: RepoStatus },
): Standing {
  const { status, ownerStatus = before.ownerStatus, takedownRef = before.takedownRef } = change;
  if (status === "takendown" || status === "suspended") return { status, ownerStatus, takedownRef };
  if (change.lifts && status !== before.ownerStatus) {
    throw new KithError("busy", `Could not lift the takedown: the account is "${before.ownerStatus}" by now`);
  }
  return { status, ownerStatus: status, takedownRef: null };
}

/** What the file says after a change that failed: another one may have been acted upon since. */
export function statusNow(store: RepoStore, { status }: { status: RepoStatus }): RepoStatus {
  try {
    return store.state().status;
  } catch {
    return status;
  }
}
