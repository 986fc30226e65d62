/** Copies the files of a data folder into a destination, those that have not changed by name alone. */
import { existsSync, readdirSync, rmSync } from "node:fs";
import { rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { isKithError } from "../errors.ts";
import { type AccountFiles, copySqlite, evidenceOf, repoFilePath } from "../storage/mod.ts";
import { type Cut, cutByLength, cutByPages, fileBytes, putStream } from "./cut_file.ts";
import { type FileTableWriter, orderOf, type PreviousFiles } from "./file_table.ts";
import type { FileEntry, FileKind } from "./manifest.ts";
import type { ObjectWriter } from "./object_writer.ts";
import type { BackupSource } from "./snapshot_source.ts";

/** Files whose last pieces are on their way at a time. */
const FILES_UNDER_WAY_MAX = 64;
/** What the names of copies in the folder of temporary files begin with. */
const COPY_PREFIX = `backup-${process.pid}-`;

export interface CopyParts {
  readonly source: BackupSource;
  readonly writer: ObjectWriter;
  readonly table: FileTableWriter;
  readonly previous: PreviousFiles;
  /** The name of the snapshot that `previous` is of. */
  readonly previousName: string | undefined;
  readonly now: () => number;
  /** Called with what could not be copied as it should be. */
  readonly onProblem: (problem: string) => void;
  readonly signal?: AbortSignal | undefined;
}

type EntryHead = Pick<FileEntry, "path" | "kind" | "did" | "generation" | "cid" | "quarantined">;

/** Removes the copies of a worker that died: for the one that comes after it, which is alone again. */
export function removeLeftCopies(tmp: string): void {
  for (const name of readdirSync(tmp))
    if (name.startsWith(COPY_PREFIX)) rmSync(join(tmp, name), { force: true });
}

export class FileCopier {
  readonly #parts: CopyParts;
  /** Entries in their order, each once its file is in the destination. */
  readonly #underWay: Promise<FileEntry>[] = [];
  #copies = 0;
  #bytes = 0;
  #repos = 0;

  constructor(parts: CopyParts) {
    this.#parts = parts;
  }

  /** Of all files so far, whether they were read or had not changed. */
  get bytes(): number {
    return this.#bytes;
  }

  get repos(): number {
    return this.#repos;
  }

  /** The files of these accounts, in the order in which they are to be asked for. */
  async repoFiles(
    accounts: readonly AccountFiles[],
    onDone: (done: number) => void = () => {},
  ): Promise<void> {
    const heads = accounts.map(({ did, generation, state }) => ({
      state,
      head: { path: `repos/${repoFilePath(did, generation)}`, kind: "repo" as const, did, generation },
    }));
    heads.sort((a, b) => (orderOf(a.head) < orderOf(b.head) ? -1 : 1));
    for (const [done, { head, state }] of heads.entries()) {
      this.#parts.signal?.throwIfAborted();
      await this.repoFile(head, state);
      onDone(done + 1);
    }
  }

  /** One repo's file. Damaged or gone, it is taken from the snapshot before, and told as a problem. */
  async repoFile(
    head: EntryHead & { did: string; generation: number },
    state: AccountFiles["state"],
  ): Promise<void> {
    const { source, onProblem } = this.#parts;
    const path = join(source.paths.repos, repoFilePath(head.did, head.generation));
    // Being born, it has none yet; dying, none any more, perhaps since a moment ago.
    const isGone = () => (state === "creating" || state === "deleting") && !existsSync(path);
    if (isGone()) return;
    try {
      if (existsSync(path)) {
        this.#repos += 1;
        return await this.sqliteFile(head, path);
      }
      onProblem(`The repo file of "${head.did}" is not there`);
    } catch (error) {
      if (!isKithError(error, "storage_damaged")) throw error;
      if (isGone()) return;
      onProblem(`The repo file of "${head.did}" is damaged: ${error.message}`);
    }
    await this.#stale(head);
  }

  /** The file as the snapshot before has it, where that can be used. */
  async #stale(head: EntryHead): Promise<void> {
    const { previous, previousName, writer } = this.#parts;
    const before = await previous.find(head);
    if (!before || !writer.reuse(before.chunks)) return;
    const staleFrom = before.staleFrom ?? previousName ?? "";
    await this.#push({ ...before, evidence: undefined, staleFrom });
  }

  /** A database: copied first, so that the read transaction does not last as long as the upload. */
  async sqliteFile(head: EntryHead, path: string): Promise<void> {
    const { writer, previous, now } = this.#parts;
    const before = await previous.find(head);
    const evidence = evidenceOf(path, now());
    if (evidence !== undefined && before?.evidence === evidence && writer.reuse(before.chunks)) {
      return await this.#push(before);
    }
    const copy = this.#copyPath();
    try {
      copySqlite(path, copy);
      await this.#put(fileBytes(copy), { head: { ...head, evidence }, cut: cutByPages });
    } finally {
      await rm(copy, { force: true });
    }
  }

  /** A copy of a database that stays until `drop`. */
  async sqliteCopy(
    head: EntryHead,
    path: string,
  ): Promise<{ copy: string; sha256: string; drop: () => Promise<void> }> {
    const copy = this.#copyPath();
    const drop = () => rm(copy, { force: true });
    try {
      copySqlite(path, copy);
      const sha256 = await this.#put(fileBytes(copy), { head, cut: cutByPages });
      return { copy, sha256, drop };
    } catch (error) {
      await drop();
      throw error;
    }
  }

  #copyPath(): string {
    this.#copies += 1;
    return join(this.#parts.source.paths.tmp, `${COPY_PREFIX}${this.#copies}-${Date.now()}.sqlite`);
  }

  /** A small file as it is; nothing where it is not there. */
  async plainFile(kind: FileKind, path: string): Promise<void> {
    if (existsSync(path))
      await this.#put(fileBytes(path), { head: { kind, path: basename(path) }, cut: cutByLength });
  }

  async bytesAs(head: EntryHead, bytes: AsyncIterable<Uint8Array>): Promise<string> {
    return await this.#put(bytes, { head, cut: cutByLength });
  }

  /** True where the snapshot before has the file, and all its pieces are there: then it counts for this one too. */
  async unchanged(head: EntryHead): Promise<boolean> {
    const before = await this.#parts.previous.find(head);
    if (!before || !this.#parts.writer.reuse(before.chunks)) return false;
    await this.#push(before);
    return true;
  }

  /** Waits until every file is in the destination and in the list. */
  async end(): Promise<void> {
    while (this.#underWay.length > 0) await this.#shift();
  }

  async #put(
    bytes: AsyncIterable<Uint8Array>,
    { head, cut }: { head: EntryHead & { evidence?: string | undefined }; cut: Cut },
  ): Promise<string> {
    const { size, sha256, stored } = await putStream(bytes, { writer: this.#parts.writer, cut });
    await this.#push(
      stored.then((chunks) => ({ ...head, size, sha256, chunks })),
      size,
    );
    return sha256;
  }

  async #push(entry: FileEntry | Promise<FileEntry>, size = 0): Promise<void> {
    this.#bytes += entry instanceof Promise ? size : entry.size;
    const settled = Promise.resolve(entry);
    settled.catch(() => {});
    this.#underWay.push(settled);
    while (this.#underWay.length > FILES_UNDER_WAY_MAX) await this.#shift();
  }

  async #shift(): Promise<void> {
    const entry = await this.#underWay.shift();
    if (entry) await this.#parts.table.add(entry);
  }
}
