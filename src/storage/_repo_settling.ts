/** When the tables of an account's file are brought up to its tail: before they are read, when it is long, and after a while. */
import { type Cid, cidKey } from "../atproto/mod.ts";
import { isKithError, KithError } from "../errors.ts";
import type { RepoExports, UnsettledBlocks } from "./_repo_export.ts";
import type { RepoTables } from "./_repo_tables.ts";
import { decodeTailCommit, encodeEffects, RepoTail, type TailCommit } from "./_repo_tail.ts";
import type { SqliteFile } from "./_sqlite_file.ts";
import type { PendingEvent, RecordKey, RepoCommit } from "./repo_changes.ts";

/** How long a commit stays in the tail while nothing else brings the tables up to it. */
const TAIL_AGE_MS = 250;
/** Where they could not be, on a full disk say, it is tried again after so long. */
const TAIL_RETRY_MS = 1_000;

export class RepoSettling {
  readonly tail = new RepoTail();
  readonly #file: SqliteFile;
  readonly #tables: RepoTables;
  readonly #exports: RepoExports;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Pending events up to this key go when the tables have what is in them. */
  #forgettable = "";

  constructor(file: SqliteFile, { tables, exports }: { tables: RepoTables; exports: RepoExports }) {
    this.#file = file;
    this.#tables = tables;
    this.#exports = exports;
  }

  /** To be called once the file is open: finds what a crash has left. */
  load(): void {
    const rows = this.#file
      .statement<PendingEvent & { effects: Uint8Array }>(
        `SELECT key, kind, before, after, effects FROM pending_event
         WHERE effects IS NOT NULL AND key > (SELECT settled FROM meta) ORDER BY id`,
      )
      .all();
    for (const row of rows) this.tail.add(decodeTailCommit(row));
  }

  /** Not where blobs may lose a reference, as their fate is part of the answer; nor while an export reads the tables. */
  takes({ head, events, status, identity, puts, deletes }: RepoCommit): boolean {
    const [event] = events;
    const isTold = events.length === 1 && event?.kind === "commit" && event.key === head.rev;
    if (!isTold || status || identity || this.#exports.areOpen) return false;
    const releases = (record: RecordKey) => this.tail.hasBlobs(record) || this.#tables.hasBlobs(record);
    return !deletes.some(releases) && !puts.some((put) => !put.isNew && releases(put));
  }

  /** Stores what the tail needs of a commit that it takes; within the transaction. KithError blob_not_found. */
  store(commit: TailCommit, { key, kind, before, after }: PendingEvent): void {
    for (const put of commit.puts) for (const blob of put.blobs) this.#tables.demandBlob(blob, put);
    this.#file
      .statement("INSERT INTO pending_event (key, kind, before, after, effects) VALUES (?, ?, ?, ?, ?)")
      .run(key, kind, before, after, encodeEffects(commit));
  }

  /** After the transaction: the commit is one of the tail's. */
  add(commit: TailCommit, { forgetPendingUpTo }: Pick<RepoCommit, "forgetPendingUpTo">): void {
    this.tail.add(commit);
    if (forgetPendingUpTo !== undefined) this.#forgettable = forgetPendingUpTo;
    if (!this.tail.isFull) this.#timer ??= this.#after(TAIL_AGE_MS);
    // While the disk is awaited there is time for it.
    else setImmediate(() => this.trySettle());
  }

  /** Brings the tables up to the tail, in one transaction. Throws KithError storage_full, busy; then all is as it was. */
  settle(): void {
    this.stop();
    if (this.tail.isEmpty) return;
    // Opened with a tail, it would have been made ready for writing.
    if (!this.#file.isPrimed) {
      throw new KithError(
        "storage_full",
        `Could not write to "${this.#file.path}": it found no room when it was opened`,
      );
    }
    try {
      // Nothing that the file did not say before: nobody awaits the disk for it.
      this.#file.transaction(() => this.#settleRows(), { isNews: false });
    } catch (error) {
      this.#timer = this.#after(TAIL_RETRY_MS);
      throw error;
    }
    this.tail.clear();
    this.#forgettable = "";
  }

  #settleRows(): void {
    this.#tables.applyTail(this.tail);
    this.#file.statement("UPDATE meta SET settled = ?").run(this.tail.commits.at(-1)?.rev ?? "");
    if (this.#forgettable !== "") this.#forget(this.#forgettable);
  }

  /** As settle(); what fails is tried again, and told to whoever reads or writes meanwhile. */
  trySettle(): void {
    if (this.#file.isClosed || !this.#file.isPrimed) return;
    try {
      this.settle();
    } catch (error) {
      if (!(error instanceof KithError)) throw error;
    }
  }

  /** Reads tables with the tail in them; on a full disk they have it for as long as `read` takes. */
  settled<T>(read: () => T): T {
    if (this.tail.isEmpty) return read();
    try {
      this.settle();
    } catch (error) {
      if (!isKithError(error, "storage_full")) throw error;
      return this.#file.undone(() => {
        this.#settleRows();
        return read();
      });
    }
    return read();
  }

  /** Settles for an export; on a full disk, what it needs to know of the tail instead, which is as little as the tail is short. */
  unsettled(): UnsettledBlocks | undefined {
    try {
      this.settle();
      return undefined;
    } catch (error) {
      if (!isKithError(error, "storage_full")) throw error;
    }
    const changed = this.tail.commits.flatMap(({ newBlocks, removed, replaced }) => [
      ...newBlocks.map(({ cid }) => cid),
      ...removed,
      ...replaced,
    ]);
    const cids = [...new Map(changed.map((cid) => [cidKey(cid), cid])).values()];
    const find = (cid: Cid) =>
      this.#file
        .statement<UnsettledBlocks["blocks"][number] & { id: number; removed: number }>(
          "SELECT id, cid, rev, removed, bytes FROM block WHERE cid = ?",
        )
        .get(cid.bytes) ?? [];
    const ids = new Set(cids.flatMap(find).map(({ id }) => id));
    const blocks = this.#file.undone(() => {
      this.#settleRows();
      return cids.flatMap(find).filter(({ removed }) => removed === 0);
    });
    return { ids, blocks };
  }

  /** Deletes pending events up to the key; where the tail is among them, once the tables have it. */
  forget(key: string | undefined): void {
    if (key === undefined) return;
    if (this.tail.isEmpty) this.#forget(key);
    else this.#forgettable = key;
  }

  #forget(key: string): void {
    this.#file.statement("DELETE FROM pending_event WHERE key <= ?").run(key);
  }

  #after(ms: number): ReturnType<typeof setTimeout> {
    return setTimeout(() => this.trySettle(), ms).unref();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
