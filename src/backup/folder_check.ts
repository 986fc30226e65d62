/**
 * The look over a whole data folder that has been put together, as a restore asks for it: databases, every account, blobs, the event log. Who
 * looks is handed in: `verify` is a neighbour of this folder.
 */
import type { BlobStore, DataFolder, StoredBlob } from "../storage/mod.ts";

/** Findings that a report keeps; more are counted. */
export const CHECK_FINDINGS_MAX = 500;

/** With a hash (in hex) where that of its bytes is known: then they need not be read. */
export interface CheckedBlob extends StoredBlob {
  readonly sha256?: string;
}

export interface CheckedBlobs extends Pick<BlobStore, "list" | "quarantined"> {
  open(...args: Parameters<BlobStore["open"]>): Promise<CheckedBlob | undefined>;
}

export interface FolderCheckRequest {
  /** Its lock is held, and none of its stores is open. */
  readonly folder: DataFolder;
  /** Undefined: they are elsewhere. */
  readonly blobs: CheckedBlobs | undefined;
  readonly now: () => number;
  readonly signal?: AbortSignal | undefined;
  /** Accounts. */
  readonly onProgress: (done: number, total: number) => void;
}

/** What is not as it must be. */
export interface CheckFinding {
  readonly code: string;
  readonly did?: string;
  readonly handle?: string;
  /** From the data folder. */
  readonly file?: string;
  readonly detail: string;
  /** What it means. */
  readonly means: string;
  /** What `kith verify --repair` does about it. */
  readonly mends?: string;
  readonly advice?: string;
  /** False where nothing is lost by it, and nobody served wrongly. */
  readonly isHarm: boolean;
}

export interface FolderCheckReport {
  /** Problems, those that do harm first; CHECK_FINDINGS_MAX at the most. */
  readonly findings: readonly CheckFinding[];
  readonly problems: number;
  readonly harms: number;
  /** Of the harms, those that `kith verify --repair` mends. */
  readonly mendable: number;
  readonly accounts: number;
  readonly repos: number;
  readonly records: number;
  readonly blobs: number;
  readonly events: number;
}

/** Throws what keeps it from looking, such as storage_full; what is wrong with the folder is in the report. */
export type FolderCheck = (request: FolderCheckRequest) => Promise<FolderCheckReport>;
