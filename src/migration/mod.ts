/** Moving an account from one server to another, over XRPC alone. */
export * from "./account_at_host.ts";
export * from "./find_account.ts";
export type { HostSurroundings, SourceHost, TargetHost } from "./hosts.ts";
export * from "./move.ts";
export * from "./move_by_key.ts";
export * from "./move_file.ts";
export * from "./people.ts";
export * from "./run_move.ts";
