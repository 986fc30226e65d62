/**
 * Takes one snapshot. The order is that of docs/storage_rules.md, 22: event log, repos, accounts, blobs; meanwhile the caller holds the
 * removal of blobs and accounts. What was written is read back before the snapshot is made visible.
 */
import { AccountFilesReader, EventLogReader, type LoggedEvent } from "../storage/mod.ts";
import { isBackupDamage } from "./backup_error.ts";
import { copyBlobs } from "./copy_blobs.ts";
import { FileCopier } from "./copy_files.ts";
import { needsOf } from "./event_needs.ts";
import { FileTableWriter, PreviousFiles } from "./file_table.ts";
import { keptUpTo } from "./kept_up_to.ts";
import type { LogRange, SnapshotManifest } from "./manifest.ts";
import { ObjectWriter } from "./object_writer.ts";
import { proveWritten } from "./prove_written.ts";
import { manifestName, type Repository, SNAPSHOTS_FOLDER } from "./repository.ts";
import { shipIncrement } from "./ship_increment.ts";
import { shipLog, shippedUpTo } from "./ship_log.ts";
import type { BackupMaker, BackupProgress, BackupSource } from "./snapshot_source.ts";

/** Of one snapshot so many problems are kept in words. */
const PROBLEMS_MAX = 100;

export interface SnapshotOptions {
  readonly repository: Repository;
  readonly source: BackupSource;
  readonly maker: BackupMaker;
  /** The newest event that was published; absent where no server runs: all that their repos have. */
  readonly upTo?: number | undefined;
  readonly now: () => number;
  readonly onProgress?: (progress: BackupProgress) => void;
  /** Everything has been read: nothing has to be held any more. */
  readonly onCopied?: () => void;
  /** Runs what must not run beside the shipping of the log. */
  readonly alone?: <T>(run: () => Promise<T>) => Promise<T>;
  readonly signal?: AbortSignal | undefined;
}

export async function takeSnapshot(options: SnapshotOptions): Promise<SnapshotManifest> {
  return await new SnapshotRun(options).run();
}

class SnapshotRun {
  readonly #options: SnapshotOptions;
  readonly #startedAt: number;
  readonly #problems: string[] = [];
  #unsaid = 0;
  #writer!: ObjectWriter;
  #copier!: FileCopier;

  constructor(options: SnapshotOptions) {
    this.#options = options;
    this.#startedAt = options.now();
  }

  async run(): Promise<SnapshotManifest> {
    const { repository, source, maker, now, signal, onCopied } = this.#options;
    this.#tell("look", 0, 0);
    const previous = await this.#previous();
    const lastSeq = await this.#shipLog(previous !== undefined);
    // Afterwards: what belongs to the events is there then, and not written again.
    this.#writer = await ObjectWriter.open(repository);
    const after = await repository.newestAt();
    const onProblem = (problem: string) => this.#note(problem);
    const table = new FileTableWriter(this.#writer);
    this.#copier = new FileCopier({
      ...{ source, writer: this.#writer, table, now, onProblem, signal },
      previous: new PreviousFiles(repository, previous?.files),
      previousName: previous?.name,
    });
    const log = { ...(await this.#keys()), lastSeq };
    const accounts = await this.#databases();
    const dids = accounts.map(({ did }) => did);
    const onDone = (done: number) => this.#tell("blobs", done, dids.length);
    const blobs = await copyBlobs(dids, { source, copier: this.#copier, onProblem, signal, onDone });
    await this.#copier.end();
    onCopied?.();
    const files = await table.end();
    await proveWritten(repository, {
      writer: this.#writer,
      signal,
      onDone: (done, total) => this.#tell("verify", done, total),
    });
    const { objects: writtenObjects, bytes: writtenBytes } = this.#writer.written;
    const { bytes, repos } = this.#copier;
    const present = accounts.filter(({ state }) => state !== "creating" && state !== "deleting");
    const manifest: SnapshotManifest = {
      name: manifestName(SNAPSHOTS_FOLDER, this.#startedAt, after),
      startedAt: new Date(this.#startedAt).toISOString(),
      endedAt: new Date(now()).toISOString(),
      ...maker,
      log,
      files,
      counts: { accounts: present.length, repos, blobs, bytes, writtenBytes, writtenObjects },
      blobStore: source.blobStore,
      hasBlobs: source.blobs !== undefined,
      problems: this.#allProblems(),
    };
    await repository.putManifest(manifest);
    await repository.snapshot(manifest.name);
    return manifest;
  }

  /** The newest snapshot that can be read. */
  async #previous(): Promise<SnapshotManifest | undefined> {
    const { repository } = this.#options;
    const names = await repository.snapshots();
    for (const { name } of names.reverse()) {
      try {
        const manifest = await repository.snapshot(name);
        for (const chunk of manifest.files.chunks) await repository.tablePart(chunk);
        return manifest;
      } catch (error) {
        if (!isBackupDamage(error)) throw error;
        this.#note(`The snapshot "${name}" cannot be read any more: ${error.message}`);
      }
    }
    return undefined;
  }

  /** Ships the event log up to now; the newest seq that is there. Until there is a snapshot nothing can be rolled forward by it. */
  async #shipLog(isRolledForward: boolean): Promise<number> {
    const { repository, source, now, signal, alone = (run) => run() } = this.#options;
    this.#tell("log", 0, 0);
    const log = new EventLogReader(source.paths.events);
    try {
      const upTo = this.#options.upTo ?? keptUpTo(log, source.paths);
      return await alone(async () => {
        const { prunedUpTo, highWater } = log.marks();
        const { where } = repository.destination;
        const after = shippedUpTo(await repository.segments(), { where, highWater });
        const range = { prunedUpTo, highWater, lastSeq: upTo };
        const before = isRolledForward
          ? (events: readonly LoggedEvent[]) => this.#shipNeeds(events, range)
          : undefined;
        const shipped = await shipLog({
          ...{ repository, log, after, upTo, now, signal },
          ...(before ? { before } : {}),
        });
        return shipped.last;
      });
    } finally {
      log.close();
    }
  }

  /** Should this snapshot come to no end, the events are rolled forward over the one before. */
  async #shipNeeds(events: readonly LoggedEvent[], log: LogRange): Promise<void> {
    const { repository, source, maker, now } = this.#options;
    const needs = needsOf(events);
    if (needs.rows.length + needs.repos.length + needs.blobs.length === 0) return;
    await shipIncrement({
      ...{ repository, source, maker, log, now },
      writer: ObjectWriter.forFew(repository),
      needs: { accounts: false, ...needs },
      after: await repository.newestAt(),
    });
  }

  /** The last keys of the event log as they are now. */
  async #keys(): Promise<Pick<LogRange, "prunedUpTo" | "highWater">> {
    const log = new EventLogReader(this.#options.source.paths.events);
    try {
      const lines = [...log.lastKeys()].map((pair) => `${JSON.stringify(pair)}\n`);
      await this.#copier.bytesAs({ path: "events.keys", kind: "event_keys" }, bytesOf(lines));
      const { prunedUpTo, highWater } = log.marks();
      return { prunedUpTo, highWater };
    } finally {
      log.close();
    }
  }

  /** Repos, then the accounts store, then what stands beside them. The accounts are those of the copy. */
  async #databases() {
    const { source } = this.#options;
    const { paths } = source;
    const live = new AccountFilesReader(paths.accounts);
    const found = live.all();
    live.close();
    await this.#copier.repoFiles(found, (done) => this.#tell("repos", done, found.length));
    this.#tell("accounts", 0, 1);
    const head = { path: "accounts.sqlite", kind: "accounts" as const };
    const { copy, drop } = await this.#copier.sqliteCopy(head, paths.accounts);
    try {
      const copied = new AccountFilesReader(copy);
      const accounts = copied.all();
      copied.close();
      // Made meanwhile: now that the store knows them, their files are there.
      const seen = new Set(found.map(({ did, generation }) => `${did} ${generation}`));
      await this.#copier.repoFiles(
        accounts.filter(({ did, generation }) => !seen.has(`${did} ${generation}`)),
      );
      const directory = { path: "plc.sqlite", kind: "directory" as const };
      if (await Bun.file(paths.directory).exists()) await this.#copier.sqliteFile(directory, paths.directory);
      for (const path of paths.secrets) await this.#copier.plainFile("secret", path);
      return accounts;
    } finally {
      await drop();
    }
  }

  #note(problem: string): void {
    if (this.#problems.length < PROBLEMS_MAX) this.#problems.push(problem);
    else this.#unsaid += 1;
  }

  #allProblems(): string[] {
    return this.#unsaid === 0 ? this.#problems : [...this.#problems, `and ${this.#unsaid} more`];
  }

  #tell(phase: BackupProgress["phase"], done: number, total: number): void {
    const { bytes = 0 } = this.#copier ?? {};
    const writtenBytes = this.#writer?.written.bytes ?? 0;
    this.#options.onProgress?.({ phase, done, total, bytes, writtenBytes });
  }
}

async function* bytesOf(lines: readonly string[]): AsyncIterable<Uint8Array> {
  const AT_ONCE = 1_000;
  for (let at = 0; at < lines.length; at += AT_ONCE)
    yield Buffer.from(lines.slice(at, at + AT_ONCE).join(""));
}
