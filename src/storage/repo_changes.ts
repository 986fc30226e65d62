/** What goes into an account's file and comes out of it: the vocabulary of RepoStore. */
import type { Block, Cid, EventBody, Head } from "../atproto/mod.ts";

/** An event that waits for its place in the event log. `key` is a TID of the DID's own, never repeated. */
export interface PendingEvent extends EventBody {
  readonly key: string;
}

/** Whether and why a repo may be written and seen. `suspended` is kept for peers that use it. */
export type RepoStatus = "active" | "deactivated" | "takendown" | "suspended";

/** What an owner may make of an account. */
export type OwnerStatus = "active" | "deactivated";

/** Whether an account may be seen: what holds, what holds when a takedown is lifted, and the takedown's reference. */
export interface Standing {
  readonly status: RepoStatus;
  readonly ownerStatus: OwnerStatus;
  readonly takedownRef: string | null;
}

export interface RepoState extends Standing {
  readonly head: Head | null;
  readonly lastTid: string | null;
  /** Null where the file is from before it was kept here: the accounts store knows it then. */
  readonly handle: string | null;
  /** The did:key that commits are signed by; null as with the handle. */
  readonly signingKey: string | null;
}

/** How the network knows the account; what is absent stays as it is. */
export interface IdentityFacts {
  readonly handle?: string | undefined;
  /** A did:key. */
  readonly signingKey?: string | undefined;
}

/** A record to be stored beside its block. */
export interface RecordPut {
  readonly collection: string;
  readonly rkey: string;
  readonly cid: Cid;
  readonly blobs: readonly Cid[];
  readonly subject?: string;
  /** True where there is no record at the path. */
  readonly isNew?: boolean;
}

export interface RecordKey {
  readonly collection: string;
  readonly rkey: string;
}

export interface RepoCommit {
  readonly head: Head;
  readonly lastTid: string;
  /** The commit, the new MST nodes and the new records. */
  readonly newBlocks: readonly Block[];
  readonly removed: readonly Cid[];
  /** Those of `removed` that are replaced and deleted records, which another path may still hold. */
  readonly replaced: readonly Cid[];
  readonly puts: readonly RecordPut[];
  readonly deletes: readonly RecordKey[];
  /** A single one of a commit is its `commitEvent`, as it carries the new blocks. */
  readonly events: readonly PendingEvent[];
  /** Of an account's first commit: the status that it begins with; active where absent. */
  readonly status?: RepoStatus;
  readonly identity?: IdentityFacts;
  /** Pending events up to this key are in the event log, durably. */
  readonly forgetPendingUpTo?: string;
  /** Milliseconds. */
  readonly now: number;
}

export interface EventsChange {
  readonly lastTid: string;
  readonly events: readonly PendingEvent[];
  readonly identity?: IdentityFacts;
  readonly forgetPendingUpTo?: string;
}

export interface StatusChange extends EventsChange, Standing {}

/** The switch of an import: everything that the repo holds changes at once. */
export interface ImportSwitch extends EventsChange {
  readonly head: Head;
  /** The new commit, over the staged tree. */
  readonly commit: Block;
}

/** An uploaded blob as the repo remembers it. */
export interface BlobRow {
  readonly cid: Cid;
  readonly mimeType: string;
  readonly size: number;
  /** Milliseconds. */
  readonly createdAt: number;
}

/** A record with the rev of the commit that wrote it. */
export interface SinceRecord extends RecordKey {
  readonly cid: Cid;
  readonly rev: string;
  readonly bytes: Uint8Array;
}

export interface ListRecords {
  readonly collection: string;
  readonly limit: number;
  /** The rkey after which the page begins. */
  readonly cursor?: string;
  /** Oldest rkey first. */
  readonly reverse?: boolean;
}

/** A record of a page, as it is stored. */
export interface ListedRecord {
  readonly rkey: string;
  /** In binary. */
  readonly cid: Uint8Array;
  readonly bytes: Uint8Array;
}

/** Rows of one page of a listing, and the one more that tells whether another page follows. */
export const PAGE_ROWS_MAX = 1001;

/** Blobs that records refer to; those that are taken down only where they are asked for. */
export interface ListBlobs {
  readonly limit: number;
  readonly since?: string;
  readonly cursor?: string;
  readonly takenDownToo?: boolean;
}

export interface RepoCounts {
  readonly blocks: number;
  readonly records: number;
  readonly expectedBlobs: number;
  readonly importedBlobs: number;
}
