/** For tests of this folder: an empty destination in a folder, with a key. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BackupKey, newBackupKey } from "./backup_key.ts";
import { FolderDestination } from "./folder_destination.ts";
import type { FileTable, LogRange, SnapshotManifest } from "./manifest.ts";
import { manifestName, Repository, SNAPSHOTS_FOLDER } from "./repository.ts";

export class BackupFixture implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "kith-backup-"));
  readonly keyText = newBackupKey();
  readonly key = BackupKey.parse(this.keyText);
  readonly destination = new FolderDestination(join(this.path, "destination"));

  file(name: string): string {
    return join(this.path, "destination", name);
  }

  create(): Promise<Repository> {
    return Repository.create(this.destination, this.key, { hostname: "pds.test", now: Date.now() });
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

/** A snapshot of these files, and of nothing else. */
export function emptySnapshot(
  startedAt: number,
  files: FileTable,
  log: Partial<LogRange> = {},
): SnapshotManifest {
  return {
    name: manifestName(SNAPSHOTS_FOLDER, startedAt),
    startedAt: new Date(startedAt).toISOString(),
    endedAt: new Date(startedAt).toISOString(),
    kith: "0.0.0",
    hostname: "pds.test",
    serviceDid: "did:web:pds.test",
    log: { prunedUpTo: 0, lastSeq: 0, highWater: 0, ...log },
    files,
    counts: { accounts: 0, repos: 0, blobs: 0, bytes: 0, writtenBytes: 0, writtenObjects: 0 },
    blobStore: "folder",
    hasBlobs: true,
    problems: [],
  };
}
