/** The file of an increment that has what no event tells of single accounts: lines of JSON, one an account. */
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { isKithError } from "../errors.ts";
import {
  type AccountRows,
  AccountRowsReader,
  decodeAccountRows,
  encodeAccountRows,
  readQuietRows,
  repoFilePath,
  type TableRows,
} from "../storage/mod.ts";
import { BackupError } from "./backup_error.ts";
import type { FileEntry } from "./manifest.ts";
import type { Repository } from "./repository.ts";
import type { BackupPaths } from "./snapshot_source.ts";

/** Of no other increment. */
export function rowsFileHead(): { path: string; kind: "rows" } {
  return { path: `rows/${randomBytes(8).toString("hex")}`, kind: "rows" };
}

/** The accounts as they are when they are asked for, one after another. */
export async function* rowsOf(dids: readonly string[], paths: BackupPaths): AsyncIterable<Uint8Array> {
  const reader = new AccountRowsReader(paths.accounts);
  try {
    for (const did of dids) {
      const { store, generation } = reader.read(did);
      const quiet =
        generation === undefined ? undefined : quietOf(join(paths.repos, repoFilePath(did, generation)));
      yield Buffer.from(`${encodeAccountRows({ did, store, quiet })}\n`);
    }
  } finally {
    reader.close();
  }
}

function quietOf(path: string): TableRows | undefined {
  if (!existsSync(path)) return undefined;
  try {
    return readQuietRows(path);
  } catch (error) {
    // Damaged, the next snapshot tells of it; deleted meanwhile, an event.
    if (isKithError(error, "storage_damaged") || !existsSync(path)) return undefined;
    throw error;
  }
}

/** Throws BackupError missing, truncated, altered. */
export async function readRowsFile(repository: Repository, entry: FileEntry): Promise<AccountRows[]> {
  const parts: Uint8Array[] = [];
  for await (const bytes of repository.content(entry)) parts.push(bytes);
  const lines = Buffer.concat(parts).toString().split("\n");
  return lines
    .filter((text) => text !== "")
    .map((text) => {
      const rows = decodeAccountRows(text);
      if (rows) return rows;
      throw new BackupError("altered", `Could not read "${entry.path}" of the backup: a line is no account`);
    });
}
