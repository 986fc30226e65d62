import { readFileSync } from "node:fs";

/** Descriptors of a repo that is written to: database, -wal, -shm, and the -wal once more for its sync. */
export const DESCRIPTORS_PER_REPO = 4;
/** Descriptors for everything else: sockets, uploads, the other databases. */
export const DESCRIPTORS_RESERVED = 512;

/** How many files this process may have open; undefined where the system does not tell by /proc. */
export function descriptorLimit(limits = readLimits()): number | undefined {
  const soft = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
  return soft === undefined ? undefined : Number(soft);
}

/** As many open repos as were asked for, or as fit under the limit on descriptors; one at least. */
export function boundOpenRepos(wanted: number, limit = descriptorLimit()): number {
  if (limit === undefined) return wanted;
  return Math.max(1, Math.min(wanted, Math.floor((limit - DESCRIPTORS_RESERVED) / DESCRIPTORS_PER_REPO)));
}

function readLimits(): string {
  try {
    return readFileSync("/proc/self/limits", "utf8");
  } catch {
    return "";
  }
}
