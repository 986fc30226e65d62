import { statSync } from "node:fs";

/**
 * Bytes of a file; 0 where there is none. In one look: between two, SQLite may remove a -wal, which the last connection to a file
 * does when it closes, also one of another thread.
 */
export function fileBytes(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
