/** What a repair writes with, handed in by whoever has opened the data folder. */
import type {
  AccountStore,
  BlobStore,
  IdentityChangeStore,
  LogChange,
  RepoFiles,
  RepoReads,
  RepoRepairs,
} from "../storage/mod.ts";
import type { KeptFiles } from "./kept_files.ts";

/** The data folder as a repair writes it; nobody else does meanwhile. */
export interface RepairStores {
  /** Absolute paths. */
  readonly paths: { readonly accounts: string; readonly events: string };
  readonly files: Pick<RepoFiles, "path" | "recover" | "open">;
  readonly blobs: Pick<
    BlobStore,
    "begin" | "keep" | "open" | "remove" | "quarantine" | "release" | "removeQuarantined"
  >;
  /** Opened when it is first needed: after its indexes are sound. */
  accounts(): Promise<RepairAccounts>;
  /** Of the log before anything is done; "" where there is none. */
  lastKey(did: string): string;
  read(path: string): RepoReads;
  openRepo(path: string): Promise<RepoRepairs>;
  repairLog(changes: readonly LogChange[]): Promise<void>;
  reindex(path: string): Promise<void>;
  /** Brings all that is in its write-ahead log into a database, which is one file then. */
  fold(path: string): Promise<void>;
  now(): number;
  readonly clockId: number;
}

export interface RepairAccounts {
  readonly accounts: Pick<AccountStore, "account" | "markOpen" | "projectState" | "beginDeletion">;
  readonly identities: Pick<IdentityChangeStore, "project">;
}

export interface RepairOptions {
  readonly stores: RepairStores;
  readonly kept: KeptFiles;
  readonly onStep?: (done: number, total: number) => void;
}

/** With a copy of the accounts database kept. */
export async function openAccounts({
  stores,
  kept,
}: Pick<RepairOptions, "stores" | "kept">): Promise<RepairAccounts> {
  await kept.keep(stores.paths.accounts);
  return await stores.accounts();
}
