/** The HTTP edge: XRPC methods, the firehose, and the few plain routes. */
export * from "./com_atproto/identity/handle_methods.ts";
export * from "./com_atproto/repo/read_methods.ts";
export * from "./com_atproto/repo/upload_blob.ts";
export * from "./com_atproto/repo/write_methods.ts";
export * from "./com_atproto/repo_access.ts";
export * from "./com_atproto/server/account_methods.ts";
export * from "./com_atproto/server/describe_methods.ts";
export * from "./com_atproto/server/invite_methods.ts";
export * from "./com_atproto/server/session_methods.ts";
export * from "./com_atproto/sync/blob_methods.ts";
export * from "./com_atproto/sync/repo_methods.ts";
export * from "./com_atproto/sync/repo_status_methods.ts";
export * from "./error_table.ts";
export * from "./firehose_socket.ts";
export * from "./http.ts";
export * from "./method.ts";
export type { Log } from "./request_log.ts";
export type { Readiness, SiteOptions } from "./well_known.ts";
