/** The HTTP edge: XRPC methods, the firehose, and the few plain routes. */
export * from "./error_table.ts";
export * from "./firehose_socket.ts";
export * from "./http.ts";
export * from "./method.ts";
export type { Log } from "./request_log.ts";
export type { Readiness, SiteOptions } from "./well_known.ts";
