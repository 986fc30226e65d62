/** What the server's thread and the backup worker say to each other. */
import type { ErrorCode } from "../errors.ts";
import type { S3Options } from "../storage/mod.ts";
import type { BackupProblem } from "./backup_error.ts";
import type { ShipReport, ShipStep } from "./log_shipper.ts";
import type { BackupBucketAccess } from "./open_destination.ts";
import type { KeepRules } from "./retention.ts";
import type { RunResult } from "./run_backup.ts";
import type { BackupMaker, BackupPaths, BackupProgress } from "./snapshot_source.ts";

/** Where a server keeps its blobs. */
export interface BlobPlace {
  readonly folder: string;
  readonly bucket: S3Options | undefined;
  /** False: they are left out of backups. */
  readonly copied: boolean;
}

/** What does not change while the server runs. */
export interface BackupSetup {
  /** The data folder. */
  readonly folder: string;
  readonly paths: BackupPaths;
  readonly blobs: BlobPlace;
  readonly maker: BackupMaker;
  readonly access: BackupBucketAccess;
  readonly keep: KeepRules;
  /** The name of this machine. */
  readonly host: string;
}

export interface Target {
  /** As openDestination takes it. */
  readonly where: string;
  /** The key, as text. */
  readonly key: string;
  /** The id of the backup that was there the last time. */
  readonly knownId: string | undefined;
  /** Takes the destination from another data folder that writes to it. */
  readonly takesOver?: boolean | undefined;
}

export type WorkerRequest =
  | { readonly op: "setup"; readonly setup: BackupSetup }
  | { readonly op: "snapshot"; readonly target: Target; readonly upTo: number | undefined }
  | {
      readonly op: "ship";
      readonly target: Target;
      readonly step: ShipStep;
    }
  /** Ends snapshots that are under way, or all. */
  | { readonly op: "cancelSnapshots" | "cancel" };

export interface SnapshotAnswer extends RunResult {
  /** The id of the backup. */
  readonly repositoryId: string;
  /** The destination as it calls itself. */
  readonly where: string;
}

export interface ShipAnswer extends ShipReport {
  readonly repositoryId: string;
}

export interface WorkerFailure {
  readonly message: string;
  readonly code: ErrorCode | undefined;
  readonly problem: BackupProblem | undefined;
  readonly hint: string | undefined;
  readonly stack: string | undefined;
}

export type WorkerReply =
  | { readonly id: number; readonly progress: BackupProgress }
  /** Everything has been read. */
  | { readonly id: number; readonly copied: true }
  | { readonly id: number; readonly result: SnapshotAnswer | ShipAnswer | undefined }
  | { readonly id: number; readonly failure: WorkerFailure };
