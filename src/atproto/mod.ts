/**
 * The AT Protocol, pure: no network, no database, no clock. Keys, times and nonces are arguments.
 * https://atproto.com/specs/atp
 */
export * from "./block.ts";
export * from "./cid.ts";
export * from "./signer.ts";
