/** Which repo a call is about, and whether it may be seen: what com.atproto.repo and com.atproto.sync share. */
import type { Cid, Head } from "../../atproto/mod.ts";
import type { Principal } from "../../auth/mod.ts";
import { KithError } from "../../errors.ts";

/** An account as these methods see it. */
export interface AccountView {
  readonly did: string;
  readonly handle: string;
  readonly state: "creating" | "active" | "deactivated" | "takendown" | "suspended" | "deleting" | "deleted";
}

type Awaitable<T> = T | Promise<T>;

export interface Accounts {
  /** By DID, or by handle in lower case. */
  byIdentifier(identifier: string): Awaitable<AccountView | undefined>;
}

/** A record of a page, its CID in binary. */
export interface RecordRow {
  readonly rkey: string;
  readonly cid: Uint8Array;
  readonly bytes: Uint8Array;
}

/** One open repo, as read inside `Repos.read`. */
export interface RepoView {
  state(): { readonly head: Head | null };
  get(cid: Cid): Uint8Array | undefined;
  /** Undefined also for one that is taken down. */
  shownRecord(
    collection: string,
    rkey: string,
  ): { readonly cid: Cid; readonly bytes: Uint8Array } | undefined;
  /** What moderators have taken down: hidden from everybody, in whole exports alone it is left in the signed tree. */
  readonly takedowns: {
    record(collection: string, rkey: string): unknown;
    blob(cid: Cid): string | undefined;
    hidesBlock(cid: Cid): boolean;
  };
  /** Newest rkey first, unless reversed; only those past the cursor, and not taken down. */
  listRecords(page: {
    collection: string;
    limit: number;
    cursor?: string;
    reverse?: boolean;
  }): readonly RecordRow[];
  collections(): string[];
  blob(cid: Cid): { readonly mimeType: string; readonly size: number } | undefined;
  blobIsReferenced(cid: Cid): boolean;
  /** Those that are taken down only where they are asked for. */
  listBlobs(page: { since?: string; limit: number; cursor?: string; takenDownToo?: boolean }): Cid[];
  /** Blobs that records refer to and that are not here, each with the path of one such record. */
  listMissingBlobs(page: { limit: number; cursor?: string }): { readonly cid: Cid; readonly path: string }[];
}

/** Reads of open repos; the callbacks are synchronous. */
export interface RepoReads {
  read<T>(did: string, read: (repo: RepoView) => T): Promise<T>;
  /** Resolves once what was read is durable: for everything that relays see. */
  readDurable<T>(did: string, read: (repo: RepoView) => T): Promise<T>;
}

/** The account that a `repo` or `did` parameter names; undefined where none that exists here does. */
export async function findAccount(accounts: Accounts, identifier: string): Promise<AccountView | undefined> {
  const key = identifier.startsWith("did:") ? identifier : identifier.toLowerCase();
  const account = await accounts.byIdentifier(key);
  return account && account.state !== "creating" ? account : undefined;
}

/**
 * The account whose repo may be served: an active one, or any for its owner and for the admin.
 * KithErrors repo_not_found, repo_takendown, repo_suspended, repo_deactivated.
 */
export async function servedAccount(
  accounts: Accounts,
  { identifier, principal = null }: { identifier: string; principal?: Principal | null },
): Promise<AccountView> {
  return served(await findAccount(accounts, identifier), { identifier, principal });
}

/** As `servedAccount`, of what `findAccount` has found. */
export function served(
  account: AccountView | undefined,
  { identifier, principal = null }: { identifier: string; principal?: Principal | null },
): AccountView {
  if (!account || account.state === "deleted" || account.state === "deleting") {
    throw new KithError("repo_not_found", `Could not find the repo of "${identifier}"`);
  }
  if (account.state === "active" || isPrivileged(principal, account.did)) return account;
  throw refusal(account);
}

/** True for the owner of an account and for the admin, who may see what is hidden of it. */
export function isPrivileged(principal: Principal | null, did: string): boolean {
  return principal?.kind === "admin" || principal?.did === did;
}

function refusal({ did, state }: AccountView): KithError {
  switch (state) {
    case "takendown":
      return new KithError("repo_takendown", `Could not serve the repo of "${did}": it has been taken down`);
    case "suspended":
      return new KithError("repo_suspended", `Could not serve the repo of "${did}": it is suspended`);
    default:
      return new KithError("repo_deactivated", `Could not serve the repo of "${did}": it is deactivated`);
  }
}
