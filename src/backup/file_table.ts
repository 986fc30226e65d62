/** Writes the list of a snapshot's files, and looks into that of the snapshot before. Both are in the same order. */
import type { ChunkRef, FileEntry, FileKind, FileTable } from "./manifest.ts";
import { writeEntry } from "./manifest.ts";
import type { ObjectWriter } from "./object_writer.ts";
import type { Repository } from "./repository.ts";

/** An object of a table ends where a line says so, between these sizes: what does not change is the same object the next time. */
const PART_BYTES_MIN = 64 * 1024;
const PART_BYTES_MAX = 512 * 1024;
const CUT_EVERY_LINES = 256;

const RANK: Readonly<Record<FileKind, number>> = {
  event_keys: 0,
  repo: 1,
  accounts: 2,
  directory: 3,
  secret: 4,
  blob: 5,
  rows: 6,
};

type Named = Pick<FileEntry, "kind" | "path" | "did" | "quarantined">;

/** Files stand in the order of these: by kind, blobs by account, and those in the quarantine after the account's others. */
export function orderOf({ kind, path, quarantined }: Named): string {
  const name =
    kind === "blob"
      ? path
          .split("/")
          .slice(-2)
          .join(quarantined ? "/~" : "/")
      : path;
  return `${RANK[kind]} ${name}`;
}

export class FileTableWriter {
  readonly #writer: ObjectWriter;
  readonly #parts: Promise<ChunkRef>[] = [];
  #lines: Uint8Array[] = [];
  #bytes = 0;
  #count = 0;

  constructor(writer: ObjectWriter) {
    this.#writer = writer;
  }

  async add(entry: FileEntry): Promise<void> {
    const line = Buffer.from(`${writeEntry(entry)}\n`);
    this.#lines.push(line);
    this.#bytes += line.length;
    this.#count += 1;
    const isCut = this.#bytes >= PART_BYTES_MIN && Bun.hash.xxHash32(line) % CUT_EVERY_LINES === 0;
    if (isCut || this.#bytes >= PART_BYTES_MAX) await this.#flush();
  }

  async end(): Promise<FileTable> {
    if (this.#lines.length > 0) await this.#flush();
    return { chunks: await Promise.all(this.#parts), count: this.#count };
  }

  async #flush(): Promise<void> {
    const part = Buffer.concat(this.#lines);
    [this.#lines, this.#bytes] = [[], 0];
    this.#parts.push((await this.#writer.put(part)).stored);
  }
}

/** The files of a snapshot, asked for in their order. */
export class PreviousFiles {
  readonly #entries: AsyncIterator<FileEntry> | undefined;
  #current: FileEntry | undefined;
  #isOver: boolean;

  /** Without a snapshot nothing is found. */
  constructor(repository: Repository, table: FileTable | undefined) {
    this.#entries = table && repository.files(table)[Symbol.asyncIterator]();
    this.#isOver = table === undefined;
  }

  /** The entry of the same file; later ones may be asked for afterwards, earlier ones not. */
  async find(file: Named): Promise<FileEntry | undefined> {
    const wanted = orderOf(file);
    while (!this.#isOver) {
      this.#current ??= await this.#next();
      if (!this.#current) break;
      const order = orderOf(this.#current);
      if (order === wanted && this.#current.path === file.path) return this.#current;
      if (order > wanted) return undefined;
      this.#current = undefined;
    }
    return undefined;
  }

  async #next(): Promise<FileEntry | undefined> {
    const next = await this.#entries?.next();
    if (!next || next.done) this.#isOver = true;
    return next?.done === false ? next.value : undefined;
  }
}
