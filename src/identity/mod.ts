/** The network side of identity: DIDs, handles, lexicons, the PLC directory, and the one safe way to fetch what strangers name. */
export * from "./did_resolver.ts";
export * from "./embedded_plc.ts";
export * from "./handle_resolver.ts";
export * from "./lexicon_cache.ts";
export * from "./lexicon_resolver.ts";
export * from "./plc_directory.ts";
export * from "./record_lexicons.ts";
export * from "./safe_fetch.ts";
export * from "./safe_stream.ts";
export * from "./xrpc_host.ts";
