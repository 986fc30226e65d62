/** For tests of this folder: an empty destination in a folder, with a key. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BackupKey, newBackupKey } from "./backup_key.ts";
import { FolderDestination } from "./folder_destination.ts";
import { Repository } from "./repository.ts";

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
