/**
 * How far a log that no server writes may be shipped. An event may be in the log before its commit is on the disk of the repo; what a
 * crash has left there alone was never published, and the next start drops it (docs/storage_rules.md, 11).
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { isKithError } from "../errors.ts";
import { AccountFilesReader, type EventLogReader, readLastTid, repoFilePath } from "../storage/mod.ts";
import type { BackupPaths } from "./snapshot_source.ts";

/** Above every key. */
const GONE = "~";

/** The newest seq before the first event that its repo does not have. */
export function keptUpTo(log: Pick<EventLogReader, "unproven" | "marks">, paths: BackupPaths): number {
  const tids = new Map<string, string>();
  const accounts = new AccountFilesReader(paths.accounts);
  try {
    for (const { seq, did, key } of log.unproven()) {
      const tid = tids.get(did) ?? lastTidOf(did, { accounts, repos: paths.repos });
      tids.set(did, tid);
      if (key > tid) return seq - 1;
    }
    return log.marks().lastSeq;
  } finally {
    accounts.close();
  }
}

/** Of an account that is no more or is on its way out, above all: its last event was durable before its file went. */
function lastTidOf(
  did: string,
  { accounts, repos }: { accounts: AccountFilesReader; repos: string },
): string {
  const account = accounts.account(did);
  if (account === undefined || account.state === "deleting") return GONE;
  const path = join(repos, repoFilePath(did, account.generation));
  if (!existsSync(path)) return "";
  try {
    return readLastTid(path);
  } catch (error) {
    if (!isKithError(error, "storage_damaged")) throw error;
    return "";
  }
}
