/** Verifies a data folder by its path: for whoever holds its lock and has none of its stores open, a command as well as a drill. */
import { isKithError } from "../errors.ts";
import {
  AccountReads,
  type DataFolder,
  isAbsent,
  Keyring,
  LogReads,
  StillBlobFolder,
  StillRepos,
} from "../storage/mod.ts";
import type { VerifyBlobs, VerifyOptions, VerifyReport, VerifySources } from "./sources.ts";
import { unreadable, verify } from "./verify.ts";

export interface VerifyFolderOptions extends Omit<VerifyOptions, "sources"> {
  readonly folder: Pick<DataFolder, "path" | "accounts" | "events" | "repos" | "tmp" | "masterKey">;
  /** Undefined: they are elsewhere, and not looked at. */
  readonly blobs: Pick<VerifyBlobs, "open" | "list" | "quarantined"> | undefined;
  /** Where blobs are files: their folder, in which nothing else may be. */
  readonly blobFolder?: string | undefined;
}

/** Throws KithError data_folder_refused where a database of the server is of another version, and what `verify` throws. */
export async function verifyFolder({
  folder,
  blobs,
  blobFolder,
  ...options
}: VerifyFolderOptions): Promise<VerifyReport> {
  await using opened = new AsyncDisposableStack();
  let sources: VerifySources;
  try {
    const accounts = AccountReads.open(folder.accounts, Keyring.open(folder.masterKey));
    opened.defer(() => accounts.close());
    const log = openLog(folder.events);
    if (!("problem" in log)) opened.defer(() => log.close());
    const repos = new StillRepos({ folder: folder.repos, tmp: folder.tmp, onFatal: fail });
    opened.defer(() => repos.close());
    const looked = blobs && (await withFolder(blobs, blobFolder));
    sources = { folder: folder.path, accounts, log, repos, blobs: looked };
  } catch (error) {
    // Of the others each may be damaged, and is only a finding.
    if (!isKithError(error, "storage_damaged")) throw error;
    return unreadable(error.message);
  }
  return await verify({ ...options, sources });
}

function openLog(path: string): VerifySources["log"] {
  if (isAbsent(path)) return { problem: "it is not there, or empty", isMissing: true };
  try {
    return LogReads.open(path);
  } catch (error) {
    if (!isKithError(error, "storage_damaged")) throw error;
    return { problem: error.message, isMissing: false };
  }
}

async function withFolder(
  blobs: NonNullable<VerifyFolderOptions["blobs"]>,
  folder: string | undefined,
): Promise<VerifyBlobs> {
  const files = folder === undefined ? undefined : new StillBlobFolder(folder);
  return {
    open: (did, cid, which) => blobs.open(did, cid, which),
    list: (did, page) => blobs.list(did, page),
    quarantined: (did) => blobs.quarantined(did),
    ...(files
      ? {
          emptyFolder: (await files.isEmpty()) ? folder : undefined,
          unowned: (isOwned) => files.unowned(isOwned),
          nameless: (did) => files.nameless(did),
        }
      : {}),
  };
}

function fail(error: unknown): never {
  throw error;
}
