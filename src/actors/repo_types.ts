/** What is asked of a repo and what comes back: the vocabulary between the XRPC methods and the repo actor. */
import type { BlobRef, Block, Cid } from "../atproto/mod.ts";
import type { RepoStore, TakedownChange } from "../storage/mod.ts";

export type { BlobRow, RepoStatus } from "../storage/mod.ts";

/** What a sweep of blobs that no record refers to has done. */
export interface BlobSweep {
  readonly removed: number;
  /** When the oldest one came that is left, in milliseconds. */
  readonly oldestLeft: number | undefined;
}

/** A repo's key in every store: today always a DID. */
export type RepoId = string;

/** What every change of a record carries. */
interface RecordPath {
  readonly collection: string;
  readonly rkey: string;
}
interface RecordContent extends RecordPath {
  /** The record as DRISL. */
  readonly record: Block;
  /** The blobs it references; each must have been uploaded, with this type and size. */
  readonly blobs: readonly BlobRef[];
  /** What a like, repost, follow or block points at. */
  readonly subject?: string;
}

/**
 * One change of one record, still to be decided against the repo as its turn finds it. `put` creates or updates, and
 * does nothing where the very same record is there already. `swapRecord` is the CID that must be there now, null for
 * "no record"; `replacesSubject` also deletes the earlier record of the collection with the same subject.
 */
export type RecordWrite =
  | (RecordContent & { readonly action: "create"; readonly replacesSubject?: boolean })
  | (RecordContent & { readonly action: "update" })
  | (RecordContent & { readonly action: "put"; readonly swapRecord?: Cid | null })
  | (RecordPath & { readonly action: "delete"; readonly swapRecord?: Cid; readonly ifExists?: boolean });

export interface WriteRequest {
  /** Applied as one commit, in this order. */
  readonly writes: readonly RecordWrite[];
  /** The commit that must be the head now. */
  readonly swapCommit?: Cid;
}

export interface WriteResult {
  readonly action: "create" | "update" | "delete" | "none";
  readonly uri: string;
  /** Absent for a delete. */
  readonly cid?: Cid;
}

export interface WriteOutcome {
  /** Absent where nothing changed. */
  readonly commit?: { readonly cid: Cid; readonly rev: string };
  /** One a write, in the order of the request. */
  readonly results: readonly WriteResult[];
}

/** All preferences of a namespace, but those of the kept names, are replaced by these. */
export interface PreferencesChange {
  readonly namespace: string;
  readonly kept: readonly string[];
  /** By the $type of the value, which is JSON. */
  readonly preferences: readonly { readonly name: string; readonly value: string }[];
}

/** What a moderator does to what an account holds, or tells the network of it anew: in any status. */
export type ModerationChange = TakedownChange | { readonly kind: "announce" };
export type { IdentityFacts } from "../storage/mod.ts";

/** Work that has the repo to itself while it runs: no other change begins before it has ended. */
export type ImportTask = (repo: RepoStore) => Promise<void>;
