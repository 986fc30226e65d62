/** Rows that a check has found wrong, made right. Each change is one transaction, durable when its promise resolves. */
import type { Cid } from "../atproto/mod.ts";
import { SqliteFile, type SqliteFileOptions } from "./_sqlite_file.ts";
import type { BlobRow } from "./repo_changes.ts";
import type { RecordRead } from "./repo_reads.ts";

/** A row of one account's file as it has to be. */
export type RepoRowChange =
  | { readonly kind: "putRecord"; readonly row: Omit<RecordRead, "cid"> & { readonly cid: Cid } }
  | { readonly kind: "dropRecord"; readonly collection: string; readonly rkey: string }
  | {
      readonly kind: "addReference";
      readonly collection: string;
      readonly rkey: string;
      readonly cid: Uint8Array;
    }
  | {
      readonly kind: "dropReference";
      readonly collection: string;
      readonly rkey: string;
      readonly cid: Uint8Array;
    }
  | { readonly kind: "dropBlock"; readonly id: number }
  | { readonly kind: "showBlock"; readonly id: number }
  | { readonly kind: "putHead"; readonly rev: string; readonly data: Cid; readonly lastTid: string }
  | { readonly kind: "dropBlob"; readonly cid: Cid }
  | { readonly kind: "putBlob"; readonly row: BlobRow }
  | { readonly kind: "countBlobBytes" };

/** Opens a file that nobody else has open, ready for writes. */
async function openFile(path: string, options: SqliteFileOptions): Promise<SqliteFile> {
  const file = SqliteFile.open(path, options);
  await file.prepareWrites();
  return file;
}

/** Makes every index of a file anew. */
export async function reindexFile(path: string, options: SqliteFileOptions): Promise<void> {
  const file = await openFile(path, options);
  try {
    file.transaction(() => file.db.run("REINDEX"));
    await file.durable();
  } finally {
    await file.close();
  }
}

export class RepoRepairs {
  readonly #file: SqliteFile;

  private constructor(file: SqliteFile) {
    this.#file = file;
  }

  /** A file of this version without a tail. Throws KithError storage_damaged. */
  static async open(path: string, options: SqliteFileOptions): Promise<RepoRepairs> {
    return new RepoRepairs(await openFile(path, options));
  }

  async apply(changes: readonly RepoRowChange[]): Promise<void> {
    if (changes.length === 0) return;
    this.#file.transaction(() => {
      for (const change of changes) this.#change(change);
    });
    await this.#file.durable();
    const due = this.#file.checkpointDue();
    if (due) await this.#file.checkpoint(due);
  }

  #change(change: RepoRowChange): void {
    const run = (sql: string, ...params: (string | number | null | Uint8Array)[]) =>
      this.#file.statement(sql).run(...params);
    switch (change.kind) {
      case "putRecord": {
        const { collection, rkey, cid, rev, subject, block } = change.row;
        run(
          "INSERT OR REPLACE INTO record (collection, rkey, cid, rev, subject, block) VALUES (?, ?, ?, ?, ?, ?)",
          ...[collection, rkey, cid.bytes, rev, subject, block],
        );
        break;
      }
      case "dropRecord":
        run("DELETE FROM record WHERE collection = ? AND rkey = ?", change.collection, change.rkey);
        break;
      case "addReference":
        run(
          "INSERT OR IGNORE INTO record_blob (collection, rkey, cid) VALUES (?, ?, ?)",
          ...[change.collection, change.rkey, change.cid],
        );
        break;
      case "dropReference":
        run(
          "DELETE FROM record_blob WHERE collection = ? AND rkey = ? AND cid = ?",
          ...[change.collection, change.rkey, change.cid],
        );
        break;
      case "dropBlock":
        run("DELETE FROM block WHERE id = ?", change.id);
        break;
      case "showBlock":
        run("UPDATE block SET removed = 0 WHERE id = ?", change.id);
        break;
      case "putHead":
        run(
          "UPDATE meta SET rev = ?, data = ?, last_tid = max(coalesce(last_tid, ''), ?)",
          ...[change.rev, change.data.bytes, change.lastTid],
        );
        break;
      case "dropBlob":
        run("DELETE FROM blob WHERE cid = ?", change.cid.bytes);
        break;
      case "putBlob": {
        const { cid, mimeType, size, createdAt } = change.row;
        run(
          "INSERT INTO blob (cid, mime_type, size, created_at) VALUES (?, ?, ?, ?) ON CONFLICT (cid) DO UPDATE SET size = excluded.size",
          ...[cid.bytes, mimeType, size, createdAt],
        );
        break;
      }
      case "countBlobBytes":
        run("UPDATE meta SET blob_bytes = (SELECT coalesce(sum(size), 0) FROM blob)");
        break;
    }
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

/** A mark of the event log as it has to be. */
export type LogChange =
  | { readonly kind: "lastKey"; readonly did: string; readonly key: string }
  | { readonly kind: "dropEvent"; readonly seq: number }
  | { readonly kind: "highWater" | "publishedUpTo" | "prunedUpTo"; readonly seq: number };

const MARKS = {
  highWater: "UPDATE high_water SET seq = ?",
  publishedUpTo: "UPDATE high_water SET published_up_to = ?",
  prunedUpTo: "UPDATE high_water SET pruned_up_to = ?",
} as const;

/** Of an event log of this version that nobody has open. Throws KithError storage_damaged, storage_full. */
export async function repairEventLog(
  path: string,
  { changes, ...options }: SqliteFileOptions & { changes: readonly LogChange[] },
): Promise<void> {
  const file = await openFile(path, options);
  try {
    file.transaction(() => {
      for (const change of changes) {
        if (change.kind === "lastKey") {
          file
            .statement("INSERT OR REPLACE INTO last_key (did, key) VALUES (?, ?)")
            .run(change.did, change.key);
        } else if (change.kind === "dropEvent") {
          file.statement("DELETE FROM event WHERE seq = ?").run(change.seq);
        } else file.statement(MARKS[change.kind]).run(change.seq);
      }
    });
    await file.durable();
  } finally {
    await file.close();
  }
}
