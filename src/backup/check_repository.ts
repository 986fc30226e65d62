/** Whether all of a backup can be read, on demand and beside a server that goes on backing up to it. */
import { forEach } from "../for_each.ts";
import { BackupError, isBackupDamage } from "./backup_error.ts";
import { REQUESTS_AT_ONCE } from "./destination.ts";
import type { ChunkRef, LogRange } from "./manifest.ts";
import { objectName, type Repository } from "./repository.ts";

export interface CheckReport {
  snapshots: number;
  increments: number;
  segments: number;
  objects: number;
  bytes: number;
  /** Events of the log that are in no segment and that the newest snapshot does not need, as seqs: after, before. */
  gaps: (readonly [after: number, before: number])[];
  /** What is wrong, in words. */
  problems: string[];
  /** What is there and cannot be used, by name. */
  damaged: string[];
}

export interface CheckOptions {
  /** Reads and authenticates everything; else objects are only looked for. */
  readonly all: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onDone?: (done: number, total: number) => void;
}

/** Looks at every snapshot, increment and segment, and at every object that they need. Throws only where the destination fails. */
export function checkRepository(repository: Repository, options: CheckOptions): Promise<CheckReport> {
  return new Check(repository, options).run();
}

/** Adds the objects of a file table, and of the files that it lists. Parts that were read before are passed over. */
export async function collectObjects(
  repository: Repository,
  table: readonly ChunkRef[],
  needed: Map<string, ChunkRef>,
): Promise<void> {
  for (const part of table) {
    if (needed.has(part.id)) continue;
    for (const { chunks } of await repository.tablePart(part)) {
      for (const chunk of chunks) needed.set(chunk.id, chunk);
    }
    // Last: a part that could not be read must not pass for one that was.
    needed.set(part.id, part);
  }
}

type ManifestKind = "snapshot" | "increment";

/** A server may write to the destination meanwhile, and remove what is not kept any more: neither is a problem. */
class Check {
  readonly #repository: Repository;
  readonly #options: CheckOptions;
  readonly #report: CheckReport = {
    snapshots: 0,
    increments: 0,
    segments: 0,
    objects: 0,
    bytes: 0,
    gaps: [],
    problems: [],
    damaged: [],
  };
  /** Bytes of the objects that a listing has shown. */
  readonly #listed = new Map<string, number>();
  /** What those need that could be read, by name. */
  readonly #manifests = new Map<string, readonly ChunkRef[]>();
  readonly #missing = new Set<string>();
  /** Of the newest snapshot that can be read. */
  #log: LogRange | undefined;

  constructor(repository: Repository, options: CheckOptions) {
    this.#repository = repository;
    this.#options = options;
  }

  async run(): Promise<CheckReport> {
    for await (const { id, size } of this.#repository.objects()) this.#listed.set(id, size);
    await this.#checkObjects(await this.#readManifests());
    await this.#checkLog();
    return this.#report;
  }

  /** Every object that is needed, as far as it can be known. */
  async #readManifests(): Promise<Map<string, ChunkRef>> {
    const needed = new Map<string, ChunkRef>();
    const report = this.#report;
    const read = (name: string, kind: ManifestKind) =>
      this.#unlessRemoved(name, async () => {
        const { files, log } = await this.#repository[kind](name);
        if (kind === "snapshot") this.#log = log;
        await collectObjects(this.#repository, files.chunks, needed);
        this.#manifests.set(name, files.chunks);
      });
    for (const { name } of await this.#repository.snapshots())
      if (await read(name, "snapshot")) report.snapshots += 1;
    for (const { name } of await this.#repository.increments())
      if (await read(name, "increment")) report.increments += 1;
    return needed;
  }

  async #checkObjects(needed: ReadonlyMap<string, ChunkRef>): Promise<void> {
    const { signal, onDone } = this.#options;
    let done = 0;
    await forEach(needed.values(), { atOnce: REQUESTS_AT_ONCE, signal }, async (ref) => {
      await this.#checkObject(ref);
      onDone?.(++done, needed.size);
    });
    if (this.#missing.size === 0) return;
    const stillNeeded = await this.#stillNeeded();
    for (const id of this.#missing) {
      if (stillNeeded.has(id))
        this.#report.problems.push(`Could not read "${objectName(id)}" of the backup: it is not there`);
    }
  }

  async #checkObject(ref: ChunkRef): Promise<void> {
    const { id, stored } = ref;
    const name = objectName(id);
    this.#report.objects += 1;
    this.#report.bytes += stored;
    // One that was written after the listing is not in it.
    const size = this.#listed.get(id) ?? (await this.#repository.destination.size(name));
    if (size === undefined) return void this.#missing.add(id);
    try {
      if (size !== stored) {
        const message = `Could not read "${name}" of the backup: it has ${size} bytes instead of ${stored}`;
        throw new BackupError(size < stored ? "truncated" : "altered", message);
      }
      if (this.#options.all) await this.#repository.object(ref);
    } catch (error) {
      if (!isBackupDamage(error)) throw error;
      if (error.problem === "missing") this.#missing.add(id);
      else this.#note(name, error);
    }
  }

  /** What the manifests need that are still there. */
  async #stillNeeded(): Promise<Map<string, ChunkRef>> {
    const needed = new Map<string, ChunkRef>();
    for (const [name, table] of this.#manifests)
      await this.#unlessRemoved(name, () => this.#collectIfThere({ name, table, needed }));
    return needed;
  }

  async #collectIfThere({
    name,
    table,
    needed,
  }: {
    name: string;
    table: readonly ChunkRef[];
    needed: Map<string, ChunkRef>;
  }): Promise<void> {
    if ((await this.#repository.destination.size(name)) === undefined) return;
    await collectObjects(this.#repository, table, needed);
  }

  async #checkLog(): Promise<void> {
    const report = this.#report;
    const { prunedUpTo, lastSeq } = this.#log ?? { prunedUpTo: Number.POSITIVE_INFINITY, lastSeq: 0 };
    let last: number | undefined;
    for (const segment of await this.#repository.segments()) {
      this.#options.signal?.throwIfAborted();
      report.segments += 1;
      report.bytes += segment.stored;
      if (segment.after > Math.max(last ?? 0, prunedUpTo))
        this.#tellHole(Math.max(last ?? 0, prunedUpTo), segment.after);
      else if (last !== undefined && segment.after > last) report.gaps.push([last, segment.after]);
      last = Math.max(last ?? 0, segment.last);
      // One that is gone since it was listed was joined with others, which is done only with what can be read.
      if (this.#options.all) await this.#unlessRemoved(segment.name, () => this.#repository.segment(segment));
    }
    const end = Math.max(last ?? 0, prunedUpTo);
    if (lastSeq > end) this.#tellHole(end, lastSeq);
  }

  /** What the server's own log had when the newest snapshot was taken, and all after it, is never left out. */
  #tellHole(after: number, last: number): void {
    const isRolledOver = last > (this.#log?.lastSeq ?? 0);
    const what = isRolledOver
      ? 'a restore cannot go on from there; "kith backup" takes a snapshot that has what they did'
      : "after a restore, subscribers that are behind miss them";
    this.#report.problems.push(`Events after ${after} up to ${last} are not in the backup any more: ${what}`);
  }

  /** Notes what is wrong with a file that was listed; false where it was removed since. */
  async #unlessRemoved(name: string, read: () => Promise<unknown>): Promise<boolean> {
    try {
      await read();
    } catch (error) {
      const isGone = error instanceof BackupError && error.problem === "no_snapshot";
      if (!isGone && !isBackupDamage(error)) throw error;
      if ((await this.#repository.destination.size(name)) === undefined) return false;
      this.#note(name, error);
    }
    return true;
  }

  #note(name: string, error: BackupError): void {
    this.#report.problems.push(error.message);
    if (!this.#report.damaged.includes(name)) this.#report.damaged.push(name);
  }
}
