/** What a restore tells of itself, while it runs and when it has ended. */
import type { FolderCheckReport } from "./folder_check.ts";

export interface RestoreProgress {
  readonly phase: "look" | "files" | "log" | "relays" | "repos" | "verify" | "finish";
  /** Bytes in "files", segments in "log", accounts in "repos" and "verify". */
  readonly done: number;
  readonly total: number;
}

/** An account that is not as its owner left it. */
export interface AccountTrouble {
  readonly did: string;
  readonly handle: string;
  readonly what: string;
  /** Something of it that the server had is not in the backup, or is damaged there. */
  readonly isLoss: boolean;
}

export interface RelayAnswer {
  readonly relay: string;
  /** The newest seq that it has of this server; undefined where it knows none. */
  readonly seq?: number | undefined;
  /** Why it is not known. */
  readonly problem?: string | undefined;
}

export interface RestoreReport {
  readonly snapshot: string;
  readonly snapshotAt: string;
  readonly hostname: string;
  readonly endedAt: string;
  /** The newest event that was in the backup, and when it was told; undefined where it has none. */
  readonly log: { readonly lastSeq: number; readonly at: string } | undefined;
  /** False where repos were left as the snapshot has them. */
  readonly isRolledForward: boolean;
  readonly accounts: number;
  readonly repos: number;
  /** Made from the events of the log, or empty: their files were in no snapshot. */
  readonly reposMade: number;
  readonly commits: number;
  readonly blobs: number;
  readonly bytes: number;
  readonly fetchedBytes: number;
  /** Accounts that were deleted after the snapshot. */
  readonly deleted: readonly string[];
  readonly relays: readonly RelayAnswer[];
  /** No seq below it is given from now on. */
  readonly nextSeq: number;
  readonly troubles: readonly AccountTrouble[];
  /** The look over all of it at the end. */
  readonly check: FolderCheckReport;
  /** What else the operator should know. */
  readonly notes: readonly string[];
}
