/** SQLite and files: the only place that knows SQL. The rules that everything here keeps: docs/storage_rules.md */

export * from "./blob_store.ts";
export * from "./data_folder.ts";
export * from "./keyring.ts";
export * from "./maintenance.ts";
export * from "./migrations.ts";
export * from "./repo_files.ts";
export * from "./repo_store.ts";
export * from "./sqlite.ts";
export * from "./wal_sync.ts";
