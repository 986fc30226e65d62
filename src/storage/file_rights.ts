/** A database file that this process may not read or write, though nothing is wrong with it. */
import { accessSync, constants, statSync } from "node:fs";
import { dirname } from "node:path";
import { isKithError, KithError } from "../errors.ts";
import { errorCodeOf } from "./sqlite.ts";

const { R_OK, W_OK, X_OK } = constants;
const HINT =
  "Nothing is wrong with what is in it. Give it, what is beside it and their folder to the user that runs kith (chown), and let that user read and write them (chmod u+rw; folders u+rwx).";

/**
 * What this user may not do with the file, with what SQLite keeps beside it or with their folder, in words, with owner and mode; undefined
 * where there is nothing. A disk that is mounted for reading is no matter of rights.
 */
export function missingRight(path: string): { readonly words: string; readonly cause: unknown } | undefined {
  const needs = [
    [dirname(path), X_OK | W_OK],
    [path, R_OK | W_OK],
    [`${path}-wal`, R_OK | W_OK],
    [`${path}-shm`, R_OK | W_OK],
  ] as const;
  for (const [needed, mode] of needs) {
    try {
      accessSync(needed, mode);
    } catch (error) {
      if (isOfRights(error)) return { words: inWords(needed), cause: error };
    }
  }
  return undefined;
}

/** For a file that could not be opened: throws KithError storage_damaged, with what to do, where a right to it is missing. */
export function refuseWithoutRight(path: string): void {
  const missing = missingRight(path);
  if (!missing) return;
  throw new KithError("storage_damaged", `Could not open "${path}": ${missing.words}`, {
    cause: missing.cause,
    hint: HINT,
  });
}

/** True of an error that only rights are the reason of. */
export function isWithoutRight(error: unknown): boolean {
  return isOfRights(isKithError(error) ? error.cause : error);
}

function isOfRights(error: unknown): boolean {
  const code = errorCodeOf(error);
  return code === "EACCES" || code === "EPERM";
}

function inWords(path: string): string {
  const user = process.getuid?.();
  const who = user === undefined ? "this user" : `this user (uid ${user})`;
  try {
    const { uid, mode } = statSync(path);
    const rights = (mode & 0o777).toString(8).padStart(4, "0");
    return `${who} may not read and write "${path}", which belongs to uid ${uid} with mode ${rights}`;
  } catch {
    return `${who} may not read and write "${path}", nor see whose it is`;
  }
}
