import type { Cid, Signer } from "../atproto/mod.ts";
import type { Logger } from "../logger.ts";
import type { RepoStore, Standing } from "../storage/mod.ts";
import type { Sequencer } from "./sequencer.ts";

/** What a repo actor needs of its surroundings. */
export interface RepoActorDeps {
  readonly sequencer: Sequencer;
  /** Unix milliseconds. */
  readonly now: () => number;
  /** 0 to 1023; tells apart the TIDs of processes. */
  readonly clockId: number;
  readonly logger: Logger;
  /** Opens the account's file; its connection serves reads from then on. */
  open(): Promise<RepoStore>;
  /** Makes the open row durable: before the first write after an open. */
  markOpen(): Promise<void>;
  /** Repeats the file's status in the accounts store. */
  projectStatus(standing: Standing): Promise<void>;
  /** The account's signing key, unsealed: the one that its file names, where it does. */
  signer(didKey: string | undefined): Signer;
  /** The account's handle, for #identity. */
  handle(): string | undefined;
  /** Unlinks blobs whose last reference is gone; their rows are durably gone already. */
  removeBlobs(cids: readonly Cid[]): Promise<void>;
  /** Called after each step and when events have been published: it may be idle now. */
  rested(): void;
  /** Decides the account's death in the accounts store, durably, and sequences its tombstone. */
  bury(key: string): Promise<{ sequenced: Promise<void> }>;
  /** After the tombstone is durable in the log: removes the account's files. */
  removeFiles(): Promise<void>;
}
