/** Backups: what is in a destination, how it is written while the server runs, and how it is read again. docs/backup_format.md */
export { BackupEngine } from "./backup_engine.ts";
export * from "./backup_error.ts";
export * from "./backup_key.ts";
export * from "./backup_service.ts";
export * from "./backup_state.ts";
export { BackupWorker } from "./backup_worker.ts";
export * from "./destination.ts";
export * from "./folder_destination.ts";
export * from "./log_segments.ts";
export * from "./manifest.ts";
export * from "./open_destination.ts";
export * from "./repository.ts";
export type { KeepRules } from "./retention.ts";
export type { BackupProgress } from "./snapshot_source.ts";
export { type CheckReport, checkRepository } from "./verify.ts";
export type { BackupSetup, SnapshotAnswer } from "./worker_messages.ts";
