/**
 * A drill: the newest snapshot is restored into a folder of its own, rolled forward and looked over like any restore, and removed again.
 * The network hears nothing of it. Blobs are looked for, all of them, and some are read: what there is of them may be far more than there is room.
 */
import { randomInt } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { TID_CLOCK_IDS } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import { databaseUser, syncPath } from "../storage/mod.ts";
import { BackupError } from "./backup_error.ts";
import { BackupKey } from "./backup_key.ts";
import type { FolderCheck, FolderCheckReport } from "./folder_check.ts";
import type { FileEntry } from "./manifest.ts";
import { type BackupBucketAccess, openDestination } from "./open_destination.ts";
import { objectName, Repository } from "./repository.ts";
import { RestoreFolder } from "./restore_folder.ts";
import type { AccountTrouble, RestoreProgress, RestoreReport } from "./restore_report.ts";
import { runRestore } from "./run_restore.ts";

/** The name of the folder that a drill makes and removes, in the one that it is given. */
const FOLDER = "drill";

export interface DrillSetup {
  /** As openDestination takes it. */
  readonly where: string;
  /** The key, as text. */
  readonly key: string;
  readonly access: BackupBucketAccess;
  /** Where there is room for all databases. */
  readonly folder: string;
  /** Of blobs so much is read, chosen at random. */
  readonly blobBytes: number;
}

export interface DrillAnswer {
  readonly where: string;
  readonly snapshot: string;
  readonly at: string;
  readonly seconds: number;
  readonly accounts: number;
  readonly commits: number;
  readonly blobs: number;
  readonly blobsRead: number;
  readonly log: RestoreReport["log"];
  /** Accounts of which something would be lost. */
  readonly lost: readonly AccountTrouble[];
  /** What a look over all of the restored folder has found. */
  readonly check: FolderCheckReport;
  readonly notes: readonly string[];
}

export interface DrillOptions {
  readonly setup: DrillSetup;
  /** Looks over everything that was restored. */
  readonly check: FolderCheck;
  readonly now: () => number;
  /** Told of a failed disk; must not return. */
  readonly onFatal: (error: unknown) => void;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (progress: RestoreProgress) => void;
}

/** Whether all of the backup would be there after a restore, and sound. */
export function isProven({ lost, check }: Pick<DrillAnswer, "lost" | "check">): boolean {
  return lost.length === 0 && check.harms === 0;
}

/** Throws what a restore throws: then the backup could not be restored. The folder is removed in any case. */
export async function runDrill({ setup, now, ...rest }: DrillOptions): Promise<DrillAnswer> {
  const { where, key, access, folder, blobBytes } = setup;
  const startedMs = performance.now();
  const dataFolder = join(folder, FOLDER);
  refuseUsed(dataFolder);
  await remove(dataFolder);
  try {
    const repository = await Repository.open(openDestination(where, access), BackupKey.parse(key));
    const blobs = await BlobSample.open(repository, blobBytes);
    const report = await runRestore({
      ...rest,
      ...{ repository, dataFolder, now },
      ...{ isRolledForward: true, isPartial: false, network: undefined, publicUrl: "" },
      hostname: repository.identity.hostname,
      openBlobs: () => undefined,
      readsBlob: (entry) => blobs.reads(entry),
      clockId: randomInt(TID_CLOCK_IDS),
    });
    return {
      where: repository.destination.where,
      snapshot: report.snapshot,
      at: report.endedAt,
      seconds: Math.round((performance.now() - startedMs) / 1000),
      accounts: report.accounts,
      commits: report.commits,
      blobs: report.blobs,
      blobsRead: blobs.read,
      log: report.log,
      check: report.check,
      lost: report.troubles.filter(({ isLoss }) => isLoss),
      notes: report.notes,
    };
  } finally {
    await remove(dataFolder);
  }
}

/** What another process is at work on must not be taken away from it, nor be written into by two. */
function refuseUsed(dataFolder: string): void {
  const { beside, inside } = RestoreFolder.placesOf(dataFolder);
  const used = [beside, inside].find((place) => databaseUser(join(place, "kith.lock")) !== undefined);
  if (used === undefined) return;
  throw new KithError("busy", `Could not begin a drill in "${used}": another one is at work there`, {
    hint: "Wait until it has ended, or give each a folder of its own with KITH_BACKUP_DRILL_FOLDER.",
  });
}

async function remove(dataFolder: string): Promise<void> {
  const { beside, inside } = RestoreFolder.placesOf(dataFolder);
  for (const place of [beside, inside]) await rm(place, { recursive: true, force: true });
  await syncPath(join(dataFolder, "..")).catch(() => {});
}

/** Looks for the pieces of every blob, and says which blobs are read. */
class BlobSample {
  /** Every object of the destination by its id, with the bytes that it takes there. */
  readonly #there: ReadonlyMap<string, number>;
  readonly #share: number;
  read = 0;

  private constructor(there: ReadonlyMap<string, number>, share: number) {
    this.#there = there;
    this.#share = share;
  }

  static async open(repository: Repository, bytesMax: number): Promise<BlobSample> {
    const there = new Map<string, number>();
    for await (const { id, size } of repository.objects()) there.set(id, size);
    const newest = (await repository.snapshots()).at(-1);
    const { counts } = newest ? await repository.snapshot(newest.name) : { counts: { bytes: 0 } };
    return new BlobSample(there, counts.bytes === 0 ? 1 : bytesMax / counts.bytes);
  }

  reads({ chunks, path }: FileEntry): boolean {
    for (const { id, stored } of chunks) {
      const size = this.#there.get(id);
      if (size === stored) continue;
      // One that was written after the listing is found when it is read.
      if (size === undefined) return true;
      const name = objectName(id);
      const message = `Could not read "${path}" of the backup: "${name}" has ${size} bytes instead of ${stored}`;
      throw new BackupError(size < stored ? "truncated" : "altered", message);
    }
    if (Math.random() >= this.#share) return false;
    this.read += 1;
    return true;
  }
}
