/**
 * The AT Protocol, pure: no network, no database, no clock. Keys, times and nonces are arguments.
 * https://atproto.com/specs/atp
 */
export * from "./block.ts";
export * from "./car.ts";
export * from "./cbor.ts";
export * from "./cid.ts";
export * from "./commit.ts";
export * from "./data_model.ts";
export * from "./did_doc.ts";
export * from "./events.ts";
export * from "./inversion.ts";
export * from "./json_writer.ts";
export * from "./keys/mod.ts";
export * from "./lexicon.ts";
export * from "./lexicon_doc.ts";
export * from "./memory_blocks.ts";
export * from "./mst/mod.ts";
export * from "./plc.ts";
export * from "./record_scan.ts";
export * from "./record_subject.ts";
export * from "./repo_car.ts";
export * from "./scopes/mod.ts";
export * from "./service_jwt.ts";
export * from "./signer.ts";
export * from "./syntax.ts";
export * from "./tid.ts";
