import { isKithError, KithError } from "../errors.ts";
import { accountKeyPlace } from "./_signing_keys.ts";
import type { DataFolder } from "./data_folder.ts";
import type { Hub } from "./hub.ts";
import type { Keyring } from "./keyring.ts";

/** By so many accounts' keys it is known whether the master key is the right one. */
const KEYS_TRIED = 20;

/**
 * For a start: throws KithError data_folder_refused where the accounts store has no account and there are files of accounts, as after a copy
 * without its -wal, and where none of the signing keys can be opened with the master key. Served as it is, such a folder would be one of
 * nobody, or one in which every write fails.
 */
export function refuseLostAccounts({
  folder,
  hub,
  keyring,
}: {
  folder: Pick<DataFolder, "path" | "hasRepos">;
  hub: Hub;
  keyring: Keyring;
}): void {
  // A deleted account leaves its row.
  if (hub.readOne("SELECT 1 FROM account LIMIT 1") === undefined && folder.hasRepos())
    throw refusal(
      folder.path,
      'there are files of accounts in "repos", and "accounts.sqlite" has no account',
      "Put accounts.sqlite back with its -wal, from a copy of the folder, or restore the server from a backup (kith restore). Do not remove what is there: it may have what the backup has not.",
    );
  const rows = hub.read<{ did: string; signing_key: Uint8Array }>(
    "SELECT did, signing_key FROM account WHERE signing_key IS NOT NULL LIMIT ?",
    KEYS_TRIED,
  );
  if (rows.length === 0 || rows.some((row) => isOpened(keyring, row))) return;
  throw refusal(
    folder.path,
    `none of its signing keys can be opened with its "master.key" (${rows.length} were tried)`,
    "Put back the master.key that belongs to this data folder, from a copy or a backup: with another one no account can write.",
  );
}

function isOpened(
  keyring: Keyring,
  { did, signing_key: sealed }: { did: string; signing_key: Uint8Array },
): boolean {
  try {
    keyring.unseal(sealed, accountKeyPlace(did));
    return true;
  } catch (error) {
    if (!isKithError(error, "storage_damaged")) throw error;
    return false;
  }
}

function refusal(path: string, why: string, hint: string): KithError {
  return new KithError("data_folder_refused", `Could not open the data folder "${path}": ${why}`, { hint });
}
