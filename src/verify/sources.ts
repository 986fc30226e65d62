/** What a verification reads, as it asks for it. `storage` has all of it; whoever verifies hands it in, nothing of it written meanwhile. */
import type { DidDocument } from "../atproto/mod.ts";
import type { AccountReads, BlobStore, LogReads, StillRepos, StoredBlob } from "../storage/mod.ts";
import type { Finding } from "./findings.ts";

export type VerifyRepos = Pick<
  StillRepos,
  "path" | "exists" | "missingRight" | "open" | "upToDate" | "files"
>;

/** With a hash (in hex) where that of its bytes is known: then they are not read. */
export interface VerifiedBlob extends StoredBlob {
  readonly sha256?: string;
}

export interface VerifyBlobs extends Pick<BlobStore, "list" | "quarantined"> {
  open(...args: Parameters<BlobStore["open"]>): Promise<VerifiedBlob | undefined>;
  /** Where blobs are files: their folder, where it is not there or holds nothing of any account. */
  readonly emptyFolder?: string | undefined;
  /** Where blobs are files: names in the folder of blobs, and of its quarantine, that are of no DID of these. */
  unowned?(isOwned: (folderName: string) => boolean): AsyncIterable<string>;
  /** Where blobs are files: what is in an account's folder and has no CID for a name, absolute. */
  nameless?(did: string): AsyncIterable<string>;
}

export interface VerifySources {
  /** The data folder: files are told from it. */
  readonly folder: string;
  readonly accounts: AccountReads;
  /** Where it could not be opened, why. */
  readonly log: LogReads | { readonly problem: string; readonly isMissing: boolean };
  readonly repos: VerifyRepos;
  /** Absent: they are elsewhere, and not looked at. */
  readonly blobs: VerifyBlobs | undefined;
}

export interface VerifyProgress {
  readonly phase: "databases" | "log" | "accounts" | "files";
  /** Accounts in "accounts", events in "log". */
  readonly done: number;
  readonly total: number;
  /** Read so far: blocks of repos and files of blobs. */
  readonly bytes: number;
}

export interface VerifyOptions {
  readonly sources: VerifySources;
  /** The DID document as the network has it now; absent: signatures are checked by the keys that are here alone. */
  readonly document?: ((did: string) => Promise<DidDocument>) | undefined;
  /** Where this server is, by which accounts that have moved away are known; absent: it is not compared. */
  readonly publicUrl?: string | undefined;
  /** What is wrong with the files of secrets, which whoever verifies has looked at. */
  readonly secrets?: readonly Pick<Finding, "code" | "file" | "detail">[] | undefined;
  /** Only these accounts, and nothing of the whole server. */
  readonly dids?: readonly string[] | undefined;
  /** False: blobs are looked for in their size, and not read. */
  readonly readsBlobs?: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: VerifyProgress) => void) | undefined;
  readonly now: () => number;
}

export interface VerifyReport {
  /** In the order in which they were found: of the server, then by account. */
  readonly findings: readonly Finding[];
  /** More than are kept: so many were counted and left out. */
  readonly leftOut: number;
  readonly problems: number;
  /** Of the problems, those by which something is lost or served wrongly. */
  readonly harms: number;
  readonly notes: number;
  readonly accounts: number;
  readonly repos: number;
  readonly records: number;
  readonly blobs: number;
  readonly events: number;
  readonly bytes: number;
  readonly ms: number;
}
