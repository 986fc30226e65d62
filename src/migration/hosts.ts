/** The two servers of a move, as its steps see them: plain XRPC calls, which any stock PDS answers. */
import type { SafeStream, Upload } from "../identity/mod.ts";
import type { Tokens } from "./move.ts";

export interface SignedIn {
  readonly did: string;
  readonly email: string | undefined;
  readonly tokens: Tokens;
}

/** com.atproto.server.checkAccountStatus */
export interface AccountFigures {
  readonly activated: boolean;
  readonly validDid: boolean;
  readonly repoRev: string;
  readonly repoBlocks: number;
  readonly indexedRecords: number;
  readonly expectedBlobs: number;
  readonly importedBlobs: number;
}

/** What a DID says, as an operation for the directory has it. */
export interface Credentials {
  readonly rotationKeys?: readonly string[];
  readonly alsoKnownAs?: readonly string[];
  readonly verificationMethods?: Readonly<Record<string, string>>;
  readonly services?: Readonly<Record<string, { readonly type: string; readonly endpoint: string }>>;
}

/** com.atproto.identity.getRecommendedDidCredentials */
export interface RecommendedCredentials extends Credentials {
  /** The one of the rotation keys that is the member's own; told by a kith. */
  readonly recoveryKey?: string;
}

/** com.atproto.server.describeServer */
export interface ServerDescription {
  readonly did: string;
  readonly domains: readonly string[];
  readonly inviteRequired: boolean;
  readonly phoneRequired: boolean;
}

interface EitherHost {
  readonly url: string;
  signIn(given: { did: string; password: string; factorCode?: string }): Promise<SignedIn>;
  signOut(): Promise<void>;
  describe(): Promise<ServerDescription>;
  figures(): Promise<AccountFigures>;
  recommended(): Promise<RecommendedCredentials>;
  /** Undefined where the server keeps none. */
  preferences(): Promise<readonly unknown[] | undefined>;
}

/** Where the account is. */
export interface SourceHost extends EitherHost {
  serviceToken(about: { aud: string; lxm: string }): Promise<string>;
  repo(did: string): Promise<ReadableStream<Uint8Array>>;
  /** A blob as it can be uploaded. HostError BlobNotFound where it is gone. */
  blob(did: string, cid: string): Promise<Upload>;
  requestCode(): Promise<void>;
  /** The signed operation. */
  sign(given: Required<Credentials> & { token: string }): Promise<unknown>;
  deactivate(): Promise<void>;
}

/** Where it goes. */
export interface TargetHost extends EitherHost {
  /** Whether there is a repo of that DID, active or not. */
  hasAccount(did: string): Promise<boolean>;
  createAccount(given: {
    serviceToken: string;
    did: string;
    handle: string;
    email: string;
    password: string;
    inviteCode?: string;
  }): Promise<SignedIn>;
  importRepo(upload: () => Promise<Upload>): Promise<void>;
  missingBlobs(cursor?: string): Promise<{ blobs: { cid: string; recordUri: string }[]; cursor?: string }>;
  /** The CID that the target found. */
  uploadBlob(upload: () => Promise<Upload>): Promise<string>;
  putPreferences(preferences: readonly unknown[]): Promise<void>;
  submit(operation: unknown): Promise<void>;
  activate(): Promise<void>;
  /** Asks for the deletion of the account at once, where the server has it: a time for a deactivated account to end. */
  endAt(at: Date): Promise<void>;
  requestDelete(): Promise<void>;
  delete(given: { did: string; password: string; token: string }): Promise<void>;
}

/** What every host needs of its surroundings. */
export interface HostSurroundings {
  readonly stream: SafeStream;
  readonly sleep: (ms: number) => Promise<unknown>;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly onWait?: (text: string) => void;
}
