/** Backups: what is in a destination, how it is written while the server runs, and how it is read again. docs/backup_format.md */
export * from "./backup_error.ts";
export * from "./backup_key.ts";
export * from "./destination.ts";
export * from "./folder_destination.ts";
export * from "./log_segments.ts";
export * from "./manifest.ts";
export * from "./repository.ts";
