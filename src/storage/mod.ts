/** SQLite and files: the only place that knows SQL. The rules that everything here keeps: docs/storage_rules.md */
export * from "./account_store.ts";
export * from "./blob_store.ts";
export * from "./data_folder.ts";
export * from "./descriptors.ts";
export * from "./event_log.ts";
export * from "./hub.ts";
export * from "./invite_store.ts";
export * from "./keyring.ts";
export * from "./maintenance.ts";
export * from "./migrations.ts";
export * from "./plc_store.ts";
export * from "./repo_files.ts";
export * from "./repo_store.ts";
export * from "./reserved_key_store.ts";
export * from "./session_store.ts";
export * from "./sqlite.ts";
export * from "./wal_sync.ts";
