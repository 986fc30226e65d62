/** SQLite and files: the only place that knows SQL. The rules that everything here keeps: docs/storage_rules.md */
export {
  type AccountRows,
  AccountRowsReader,
  applyAccountRows,
  decodeAccountRows,
  encodeAccountRows,
  readQuietRows,
  type TableRows,
} from "./account_rows.ts";
export * from "./account_store.ts";
export * from "./adoption_store.ts";
export * from "./app_password_store.ts";
export * from "./attempt_archive.ts";
export * from "./attempt_store.ts";
export * from "./backup_reads.ts";
export * from "./blob_looks.ts";
export * from "./blob_store.ts";
export * from "./community_audit.ts";
export * from "./community_invite_store.ts";
export * from "./community_member_store.ts";
export * from "./community_oauth_store.ts";
export * from "./community_store.ts";
export * from "./credential_store.ts";
export * from "./data_folder.ts";
export * from "./descriptors.ts";
export * from "./device_store.ts";
export * from "./email_token_store.ts";
export * from "./event_log.ts";
export * from "./file_locks.ts";
export * from "./file_rights.ts";
export * from "./hub.ts";
export * from "./identity_change_store.ts";
export * from "./invite_store.ts";
export * from "./keyring.ts";
export * from "./language_store.ts";
export * from "./lexicon_store.ts";
export * from "./mail_queue_store.ts";
export * from "./maintenance.ts";
export * from "./migrations.ts";
export * from "./oauth_store.ts";
export * from "./plc_store.ts";
export * from "./reference_accounts.ts";
export * from "./reference_database.ts";
export * from "./reference_events.ts";
export * from "./reference_hashes.ts";
export * from "./reference_repo.ts";
export * from "./refuse_lost_accounts.ts";
export * from "./repairs.ts";
export * from "./repo_changes.ts";
export * from "./repo_files.ts";
export * from "./repo_reads.ts";
export * from "./repo_store.ts";
export * from "./reserved_handle_store.ts";
export * from "./reserved_key_store.ts";
export * from "./restore_state.ts";
export { keepSignInsOf } from "./restored_sign_ins.ts";
export * from "./s3_blob_store.ts";
export * from "./s3_objects.ts";
export * from "./second_factor_store.ts";
export * from "./server_reads.ts";
export * from "./session_store.ts";
export * from "./sqlite.ts";
export * from "./sqlite_image.ts";
export * from "./still_file.ts";
export * from "./still_folders.ts";
export * from "./wal_sync.ts";
