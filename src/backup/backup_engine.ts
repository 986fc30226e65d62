/** Runs backups and ships the log, one thing of each kind at a time; in a worker beside a server, or alone. */
import { join } from "node:path";
import { DiskBlobStore, S3BlobStore } from "../storage/mod.ts";
import { BackupKey } from "./backup_key.ts";
import { LogShipper, type ShipStep } from "./log_shipper.ts";
import { findMissed, type Missed } from "./missed.ts";
import { openDestination } from "./open_destination.ts";
import type { Repository } from "./repository.ts";
import { openWritable, runBackup } from "./run_backup.ts";
import type { BackupProgress, BackupSource } from "./snapshot_source.ts";
import type { BackupSetup, BlobPlace, ShipAnswer, SnapshotAnswer, Target } from "./worker_messages.ts";
import { KnownTurns, WriterClaim } from "./writer_claim.ts";

export interface EngineOptions {
  readonly setup: BackupSetup;
  readonly now: () => number;
}

export interface EngineRun {
  /** The newest event that was published; absent where no server runs: all that their repos have. */
  readonly upTo?: number | undefined;
  readonly onProgress?: (progress: BackupProgress) => void;
  readonly onCopied?: () => void;
}

export class BackupEngine {
  readonly #setup: BackupSetup;
  readonly #source: BackupSource;
  readonly #now: () => number;
  readonly #cancel = new AbortController();
  /** Ends snapshots alone. */
  readonly #cancelSnapshots = new AbortController();
  /** By the id of the backup: this engine's claim to write to it. */
  readonly #claims = new Map<string, WriterClaim>();
  #shipping: { readonly target: Target; readonly shipper: LogShipper; readonly id: string } | undefined;
  #alone: Promise<unknown> = Promise.resolve();
  /** Found once: from then on the server tells of each. */
  #missed: Missed | undefined;

  constructor({ setup, now }: EngineOptions) {
    this.#setup = setup;
    this.#now = now;
    this.#source = {
      paths: setup.paths,
      blobStore: setup.blobs.bucket ? "bucket" : "folder",
      blobs: setup.blobs.copied ? openBlobs(setup.blobs) : undefined,
    };
  }

  async snapshot(target: Target, run: EngineRun = {}): Promise<SnapshotAnswer> {
    const { maker, keep, host } = this.#setup;
    // Not beside the shipping, which may begin the same backup.
    const repository = await this.#runAlone(() => this.#open(target));
    const result = await runBackup({
      ...{ repository, source: this.#source, maker, keep, host, now: this.#now },
      ...run,
      // It ships the log too, and removes what the shipper may have taken for there: that one looks anew afterwards.
      alone: (step) =>
        this.#runAlone(async () => {
          this.#closeShipper();
          return await step();
        }),
      signal: AbortSignal.any([this.#cancel.signal, this.#cancelSnapshots.signal]),
    });
    const { where } = repository.destination;
    return { ...result, where, repositoryId: repository.identity.id };
  }

  async ship(target: Target, step: ShipStep): Promise<ShipAnswer> {
    return await this.#runAlone(async () => {
      try {
        this.#cancel.signal.throwIfAborted();
        const { shipper, id } = await this.#shipperFor(target);
        return { ...(await shipper.step(step)), repositoryId: id };
      } catch (error) {
        this.#closeShipper();
        throw error;
      }
    });
  }

  /** Ends snapshots that are under way; the log can be shipped still. */
  stopSnapshots(): void {
    this.#cancelSnapshots.abort(new Error("The backup was ended"));
  }

  /** Ends what is under way, as soon as it can. */
  async stop(): Promise<void> {
    this.#cancel.abort(new Error("The backup was ended"));
    await this.#alone.catch(() => {});
    this.#closeShipper();
  }

  /** The backup at the destination, claimed for this data folder. */
  async #open({ where, key, knownId, takesOver }: Target): Promise<Repository> {
    const { maker, access, host, folder } = this.#setup;
    const destination = openDestination(where, access);
    const repository = await openWritable(destination, BackupKey.parse(key), {
      hostname: maker.hostname,
      now: this.#now(),
      knownId,
    });
    const { id } = repository.identity;
    const before = takesOver ? undefined : this.#claims.get(id);
    const known = new KnownTurns(folder);
    // A claim that was lost may be lost to an older turn of its own, which is known.
    const claim =
      before && (await before.isHeld(repository))
        ? before
        : await WriterClaim.take(repository, { known, host, now: this.#now, takesOver });
    this.#claims.set(id, claim);
    repository.guardBy(() => claim.assertHeld(repository));
    return repository;
  }

  async #shipperFor(target: Target): Promise<{ shipper: LogShipper; id: string }> {
    const { where, key } = target;
    const open = this.#shipping;
    if (open && open.target.where === where && open.target.key === key) return open;
    this.#closeShipper();
    const repository = await this.#open(target);
    const { maker } = this.#setup;
    const source = this.#source;
    this.#missed ??= await findMissed(repository, { source, now: this.#now() });
    const shipper = await LogShipper.open({
      repository,
      source,
      maker,
      now: this.#now,
      missed: this.#missed,
    });
    this.#shipping = { target, shipper, id: repository.identity.id };
    return this.#shipping;
  }

  #closeShipper(): void {
    this.#shipping?.shipper.close();
    this.#shipping = undefined;
  }

  /** One after another: what removes objects must not run beside what relies on them. */
  #runAlone<T>(run: () => Promise<T>): Promise<T> {
    const turn = this.#alone.catch(() => {}).then(run);
    this.#alone = turn;
    turn.catch(() => {});
    return turn;
  }
}

function openBlobs({ folder, bucket }: BlobPlace): DiskBlobStore | S3BlobStore {
  const tmpFolder = join(folder, "temp");
  if (!bucket) return new DiskBlobStore({ folder, tmpFolder });
  const quiet = () => {};
  const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet, child: () => logger };
  return new S3BlobStore({ ...bucket, tmpFolder, logger });
}
