/** How an account stands after a restore, where its file, the shipped log and the accounts store may each know something else. */
import type { Account, OwnerStatus, Standing } from "../storage/mod.ts";
import type { Rolled } from "./roll_forward.ts";

/** The stricter first: where two sources differ and neither is known to be newer. */
const STRICTNESS = ["takendown", "suspended", "deactivated", "active"] as const;

export interface StandingSources {
  readonly account: Account;
  /** As the file had it. */
  readonly before: Standing;
  readonly told: Rolled["status"];
  /** The file was made by the restore, and knows nothing. */
  readonly isBlank: boolean;
  readonly toldOwner: Rolled["owner"];
  /** The file, and the accounts store, hold at least what events up to these seqs tell. */
  readonly fileUpTo: number;
  readonly accountsUpTo: number;
}

/** `doubt` says, in words, what differs where it had to be decided. */
export function restoredStanding(sources: StandingSources): { standing: Standing; doubt?: string } {
  const { account, before, told, toldOwner, fileUpTo, accountsUpTo } = sources;
  const fromAccounts = standingOf(account);
  const isTold = told !== undefined && told.status !== "deleted";
  const known = toldOwner ? { ...before, ownerStatus: toldOwner.status } : before;
  const fromFile = isTold ? toldStanding(known, told.status as Standing["status"], account) : before;
  // It was to become what its file says.
  if (fromAccounts === undefined) return { standing: fromFile };
  if (sources.isBlank && !isTold) return { standing: fromAccounts };
  if (fromFile.status === fromAccounts.status) {
    const takedownRef = fromFile.takedownRef ?? fromAccounts.takedownRef;
    return { standing: { ...fromFile, ownerStatus: ownerOf(fromFile, sources), takedownRef } };
  }
  if (Math.max(fileUpTo, told?.seq ?? 0) > accountsUpTo) return { standing: fromFile };
  const isStricter = STRICTNESS.indexOf(fromFile.status) < STRICTNESS.indexOf(fromAccounts.status);
  const standing = isStricter ? fromFile : fromAccounts;
  return {
    standing,
    doubt: `the backup has it as ${fromFile.status} and as ${fromAccounts.status}, from the same moments: it is ${standing.status} now`,
  };
}

/**
 * Of an account that both have with the same status. Of one that is down no event tells that its owner deactivates it, and the accounts store
 * alone may know; activated it cannot be meanwhile.
 */
function ownerOf(
  fromFile: Standing,
  { account, toldOwner, fileUpTo, accountsUpTo }: StandingSources,
): OwnerStatus {
  const isDown = fromFile.status === "takendown" || fromFile.status === "suspended";
  const isBehind = accountsUpTo < Math.max(fileUpTo, toldOwner?.seq ?? 0);
  if (!isDown || isBehind || account.deactivatedAt === null) return fromFile.ownerStatus;
  return "deactivated";
}

/** How the accounts store has it; undefined while it is being created. */
function standingOf({ state, deactivatedAt, takedownRef }: Account): Standing | undefined {
  if (state === "creating" || state === "deleting" || state === "deleted") return undefined;
  return { status: state, ownerStatus: deactivatedAt === null ? "active" : "deactivated", takedownRef };
}

function toldStanding(before: Standing, status: Standing["status"], account: Account): Standing {
  if (status === "active" || status === "deactivated")
    return { status, ownerStatus: status, takedownRef: null };
  const { ownerStatus } = before;
  return { status, ownerStatus, takedownRef: account.takedownRef ?? before.takedownRef };
}
