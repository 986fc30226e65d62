/** The data folder as a backup reads it. */
import type { Cid } from "../atproto/mod.ts";
import type { BlobPage, ListedBlob, OpenBlob, StoredBlob } from "../storage/mod.ts";

/** Where everything is; absolute paths. */
export interface BackupPaths {
  readonly accounts: string;
  readonly events: string;
  readonly repos: string;
  /** For copies of databases: on a disk with room for the largest. */
  readonly tmp: string;
  /** plc.sqlite of dev mode. */
  readonly directory: string;
  /** Files that are copied as they are. */
  readonly secrets: readonly string[];
}

export interface BackupBlobs {
  list(did: string, page: BlobPage): Promise<readonly ListedBlob[]>;
  open(did: string, cid: Cid, which?: OpenBlob): Promise<StoredBlob | undefined>;
}

export interface BackupSource {
  readonly paths: BackupPaths;
  /** Where the server keeps its blobs. */
  readonly blobStore: "folder" | "bucket";
  /** Undefined: blobs are left out. */
  readonly blobs: BackupBlobs | undefined;
}

/** Who makes a backup. */
export interface BackupMaker {
  readonly kith: string;
  readonly hostname: string;
  readonly serviceDid: string;
}

export interface BackupProgress {
  readonly phase: "look" | "log" | "repos" | "accounts" | "blobs" | "verify" | "prune";
  /** Accounts in "repos" and "blobs", objects in "verify". */
  readonly done: number;
  readonly total: number;
  /** Read so far, and written into the destination. */
  readonly bytes: number;
  readonly writtenBytes: number;
}
