/** The HTTP edge: XRPC methods, the firehose, and the few plain routes. */
export * from "./error_table.ts";
export * from "./method.ts";
