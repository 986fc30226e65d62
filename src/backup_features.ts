/** Wires backups: the service beside the server, and the engine alone where none runs. */
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { BackupService } from "./backup/backup_service.ts";
import { BackupState } from "./backup/backup_state.ts";
import { BackupWorker } from "./backup/backup_worker.ts";
import { DrillService, noteOf } from "./backup/drill_service.ts";
import { DrillWorker } from "./backup/drill_worker.ts";
import type {
  BackupProgress,
  BackupSetup,
  DrillAnswer,
  DrillRequest,
  DrillSetup,
  RestoreProgress,
  RunRequest,
  SnapshotAnswer,
} from "./backup/mod.ts";
import { type Config, SECRETS_FILE, VERSION } from "./config/mod.ts";
import type { Actors, StartContext, Stores } from "./engine.ts";
import { KithError } from "./errors.ts";
import { DataFolder } from "./storage/mod.ts";

/** What of the data folder a backup reads, and how it is made. */
export function backupSetupOf(config: Config): BackupSetup {
  const { dataFolder, blobFolder, blobBucket, backup } = config;
  const inFolder = (name: string) => join(dataFolder, name);
  return {
    folder: dataFolder,
    paths: {
      accounts: inFolder("accounts.sqlite"),
      events: inFolder("events.sqlite"),
      repos: inFolder("repos"),
      tmp: inFolder("tmp"),
      directory: inFolder("plc.sqlite"),
      secrets: [inFolder("master.key"), inFolder(SECRETS_FILE)],
    },
    blobs: { folder: blobFolder, bucket: blobBucket, copied: backup.blobs },
    maker: { kith: VERSION, hostname: config.hostname, serviceDid: config.serviceDid },
    access: backup.bucket,
    keep: backup.keep,
    host: hostname(),
  };
}

/** A backup waits so long at the most for events that the log does not take. */
const SETTLE_MS_MAX = 1_000;

/** The backups of a server that runs. What is given to `onStopped` is to be called once no actor writes any more. */
export function startBackups(
  { log, onClose }: StartContext,
  {
    config,
    stores,
    actors,
    onStopped,
  }: { config: Config; stores: Stores; actors: Actors; onStopped: (close: () => unknown) => void },
): { backups: BackupService; drills: DrillService } {
  const { backup } = config;
  for (const secret of [backup.key, backup.bucket.secretAccessKey])
    if (secret !== undefined) log.hide(secret);
  const state = BackupState.open(config.dataFolder);
  const service = new BackupService({
    worker: new BackupWorker(() => backupSetupOf(config)),
    settings: backup,
    state,
    hold: async () => {
      const release = actors.blobHold.begin();
      await actors.sequencer.settled(SETTLE_MS_MAX);
      return release;
    },
    publishedSeq: () => actors.sequencer.publishedSeq,
    now: actors.now,
    logger: log,
  });
  actors.retention.holdFor(() => service.shippedUpTo);
  actors.blobHold.onKept((did, cid) => service.noteBlob(did, cid));
  stores.changes.listen(({ did }) => service.noteChange(did));
  actors.registry.untold.onQuiet((did) => service.noteChange(did));
  actors.registry.untold.onRepo((did) => service.noteRepo(did));
  onClose(() => service.rest());
  onStopped(() => service.stop());
  const drills = new DrillService({
    worker: new DrillWorker(() => new Worker(new URL("./_drill_worker.ts", import.meta.url), { ref: false })),
    settings: { ...backup, ...drillPlaceOf(config), intervalMs: backup.drill.intervalMs },
    state,
    isBusy: () => service.status().running,
    now: actors.now,
    logger: log,
  });
  onClose(() => drills.stop());
  return { backups: service, drills };
}

function drillPlaceOf({ backup, dataFolder }: Config): Omit<DrillSetup, "where" | "key"> {
  const { folder = join(dataFolder, "tmp"), blobBytes } = backup.drill;
  return { access: backup.bucket, folder, blobBytes };
}

/** A drill without a server. It uses a folder of its own, and notes what came of it in the data folder, where there is one. */
export async function drillAlone(
  config: Config,
  {
    request: { destination: where, key },
    onProgress,
    onFatal,
  }: {
    request: Required<DrillRequest>;
    onProgress: (progress: RestoreProgress) => void;
    onFatal: (error: unknown) => void;
  },
): Promise<DrillAnswer> {
  if (where === undefined || key === undefined) throw new TypeError("A drill needs a destination and a key");
  const hasData = await Bun.file(join(config.dataFolder, "accounts.sqlite")).exists();
  const place = drillPlaceOf(config);
  const folder = hasData || config.backup.drill.folder !== undefined ? place.folder : tmpdir();
  const setup = { ...place, folder, where, key };
  const { runDrill } = await import("./backup/mod.ts");
  const { folderCheck } = await import("./folder_check.ts");
  const answer = await runDrill({ setup, check: folderCheck(), now: Date.now, onFatal, onProgress });
  if (hasData) await BackupState.open(config.dataFolder).update(noteOf(answer));
  return answer;
}

/**
 * A backup of a data folder that no server uses. Throws KithError data_folder_refused where one does, or where there is none.
 */
export async function backUpAlone(
  config: Config,
  { request, onProgress }: { request: RunRequest; onProgress: (progress: BackupProgress) => void },
): Promise<SnapshotAnswer> {
  const where = request.destination ?? config.backup.destination;
  const key = request.key ?? config.backup.key;
  if (where === undefined || key === undefined) throw new TypeError("A backup needs a destination and a key");
  if (!(await Bun.file(join(config.dataFolder, "accounts.sqlite")).exists())) {
    throw new KithError("data_folder_refused", `"${config.dataFolder}" is no data folder of kith`, {
      hint: "Name it with --data DIR, or the server's settings with --env-file FILE or the environment.",
    });
  }
  const { BackupEngine } = await import("./backup/mod.ts");
  const folder = DataFolder.open(config.dataFolder);
  const engine = new BackupEngine({ setup: backupSetupOf(config), now: Date.now });
  try {
    const state = BackupState.open(config.dataFolder);
    const knownId = request.anew ? undefined : state.values.destinations[where];
    const startedAt = Date.now();
    const answer = await engine.snapshot(
      { where, key, knownId, takesOver: request.takeOver },
      { onProgress },
    );
    const { manifest, repositoryId } = answer;
    const { counts, problems } = manifest;
    await state.update({
      destinations: { ...state.values.destinations, [where]: repositoryId },
      lastFailure: undefined,
      lastBackup: {
        at: manifest.startedAt,
        snapshot: manifest.name,
        destination: where,
        seconds: Math.round((Date.now() - startedAt) / 1000),
        bytes: counts.bytes,
        writtenBytes: counts.writtenBytes,
        problems: problems.length,
      },
    });
    return answer;
  } finally {
    await engine.stop();
    folder.close();
  }
}
