/** What the registry of repos is made from. */
import type { Signer } from "../atproto/mod.ts";
import type { Logger } from "../logger.ts";
import type { Account, PendingEvent, RepoStore, Standing } from "../storage/mod.ts";
import type { Identities } from "./change_identity.ts";
import type { RegistryBlobs } from "./repo_blobs.ts";
import type { Sequencer } from "./sequencer.ts";

/** The accounts store as the registry uses it. */
export interface RegistryAccounts {
  account(did: string): Account | undefined;
  signer(did: string): Signer;
  markOpen(did: string): Promise<void>;
  unmarkOpen(did: string): Promise<void>;
  projectState(did: string, standing: Standing, options: { now: number }): Promise<void>;
  beginDeletion(did: string, tombstone: PendingEvent): Promise<void>;
  finishDeletion(did: string): Promise<void>;
}

/** The repo files as the registry uses them. */
export interface RegistryFiles {
  create(did: string, generation: number): Promise<void>;
  open(did: string, generation: number): Promise<RepoStore>;
  remove(did: string, generation: number): Promise<void>;
}

/** Which accounts may have blobs that no record refers to. */
export interface RegistryBlobLooks {
  /** Runs `change`, which may leave such a blob, with the account noted for a look. */
  around<T>(did: string, lookAt: number, change: () => Promise<T>): Promise<T>;
}

export interface RegistryOptions<Upload> {
  readonly accounts: RegistryAccounts;
  readonly identities: Identities;
  readonly files: RegistryFiles;
  readonly blobs: RegistryBlobs<Upload>;
  readonly blobLooks: RegistryBlobLooks;
  readonly sequencer: Sequencer;
  readonly logger: Logger;
  readonly now: () => number;
  /** 0 to 1023. */
  readonly clockId: number;
  /** Open repos at the most; each costs about four descriptors. */
  readonly openReposMax: number;
}
