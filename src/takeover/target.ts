/** kith's own data folder while accounts are put into it: opened for nobody else, and marked until it is whole. */
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { KithError } from "../errors.ts";
import type { RootLogger } from "../logger.ts";
import {
  AccountStore,
  AdoptionStore,
  BlobLooks,
  type BlobStore,
  DataFolder,
  DiskBlobStore,
  EventLog,
  Hub,
  Keyring,
  Maintenance,
  markFinished,
  OPENING_NAMES,
  RepoFiles,
  ReservedKeyStore,
  S3BlobStore,
  type S3Options,
  unfinishedBy,
} from "../storage/mod.ts";
import type { ReferencePaths } from "./locate.ts";

/** What makes a folder ours to begin anew in. */
const COMMAND = "kith import-reference";
/** What an empty folder may hold: a disk's own, and what is left of a run that had hardly begun, or of whoever looked. */
const NOT_CONTENT = new Set(["lost+found", ".gitkeep", ...OPENING_NAMES]);
/** What an interrupted takeover has left, in the order in which it is removed; blobs are kept, for they are looked at anew. */
const LEFTOVERS = ["accounts.sqlite", "events.sqlite", "lexicons.sqlite"];

export interface TargetOptions {
  readonly folder: string;
  readonly blobFolder: string;
  readonly blobBucket: Omit<S3Options, "logger"> | undefined;
  readonly log: RootLogger;
}

/** Throws KithError data_folder_refused where a folder is not empty, or lies in that of the reference or around it. */
export function checkTarget(folder: string, referenceFolder: string): void {
  const path = resolve(folder);
  const refuse = (why: string, hint: string): KithError =>
    new KithError("data_folder_refused", `Could not take accounts over into "${path}": ${why}`, { hint });
  const own = "Give a folder of kith's own, which is empty or not there yet: --data FOLDER.";
  if (isWithin(path, referenceFolder) || isWithin(referenceFolder, path)) {
    throw refuse(`it and the folder of the reference PDS, "${referenceFolder}", lie in one another`, own);
  }
  if (!existsSync(path)) return;
  const by = unfinishedBy(path);
  if (by === COMMAND) return;
  if (by !== undefined) throw refuse(`it is half-made by "${by}"`, own);
  const names = namesIn(path).filter((name) => !NOT_CONTENT.has(name));
  if (names.length === 0) return;
  throw refuse(`it is not empty: it holds "${names.slice(0, 3).join('", "')}"`, own);
}

/**
 * Throws KithError data_folder_refused where kith would put blobs among those of the reference: its folder would not be left as it was,
 * and the blobs would go with it.
 */
export function checkBlobTarget(blobFolder: string, { folder, blobs }: ReferencePaths): void {
  const path = resolve(blobFolder);
  const isOfReference = (place: string): boolean => isWithin(path, place) || isWithin(place, path);
  if (![folder, blobs?.stored].some((place) => place !== undefined && isOfReference(place))) return;
  throw new KithError(
    "data_folder_refused",
    `Could not take blobs over into "${path}", which PDS_BLOBSTORE_DISK_LOCATION of the environment names: the reference PDS has its own there`,
    {
      hint: "Set PDS_BLOBSTORE_DISK_LOCATION to nothing, and they go into the new data folder, or to a folder of kith's own. Where the reference has its blobs belongs in its environment file: --env-file.",
    },
  );
}

export class Target implements AsyncDisposable {
  readonly folder: DataFolder;
  readonly blobs: BlobStore;
  readonly files: RepoFiles;
  readonly eventLog: EventLog;
  readonly accounts: AccountStore;
  readonly adoption: AdoptionStore;
  readonly reservedKeys: ReservedKeyStore;
  readonly blobLooks: BlobLooks;
  /** Those of the stores, and the folder's lock. */
  readonly #stores: AsyncDisposableStack;
  readonly #lock: AsyncDisposableStack;

  private constructor(
    parts: { folder: DataFolder; hub: Hub; eventLog: EventLog; files: RepoFiles },
    rest: {
      keyring: Keyring;
      blobs: BlobStore;
      stores: AsyncDisposableStack;
      lock: AsyncDisposableStack;
    },
  ) {
    const { hub } = parts;
    this.folder = parts.folder;
    this.files = parts.files;
    this.eventLog = parts.eventLog;
    this.blobs = rest.blobs;
    this.accounts = new AccountStore(hub, rest.keyring);
    this.adoption = new AdoptionStore(hub, rest.keyring);
    this.reservedKeys = new ReservedKeyStore(hub, rest.keyring);
    this.blobLooks = new BlobLooks(hub);
    this.#stores = rest.stores;
    this.#lock = rest.lock;
  }

  /** Empties what an interrupted takeover has left, but for blobs. Throws KithError data_folder_refused, storage_full. */
  static async open({ folder: path, blobFolder, blobBucket, log }: TargetOptions): Promise<Target> {
    await using lock = new AsyncDisposableStack();
    await using opened = new AsyncDisposableStack();
    const folder = DataFolder.open(path, { madeBy: COMMAND });
    lock.defer(() => folder.close());
    removeLeftovers(folder);
    const onFatal = (error: unknown): void => {
      log.error("The disk failed; nothing that was made can be used: run the same command again", { error });
      process.exit(EXIT_DISK_FAILED);
    };
    const maintenance = Maintenance.start({ onFatal });
    opened.defer(() => maintenance.stop());
    const keyring = Keyring.open(folder.masterKey);
    const hub = await Hub.open(folder.accounts, { maintenance, onFatal });
    opened.defer(() => hub.close());
    const eventLog = await EventLog.open(folder.events, { maintenance, onFatal });
    opened.defer(() => eventLog.close());
    const files = new RepoFiles({ folder: folder.repos, tmp: folder.tmp, maintenance, onFatal });
    const blobs = await openBlobs({ blobFolder, blobBucket, log });
    const closing = { stores: opened.move(), lock: lock.move() };
    return new Target({ folder, hub, eventLog, files }, { keyring, blobs, ...closing });
  }

  /** Everything but the folder's lock and the blobs: so that what is on the disk can be verified. */
  async closeStores(): Promise<void> {
    await this.#stores.disposeAsync();
  }

  /** Everything is there: servers may open the folder once this is disposed. Under the lock, or it might be another run's by now. */
  async finish(): Promise<void> {
    await this.closeStores();
    markFinished(this.folder.path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stores.disposeAsync();
    await this.#lock.disposeAsync();
  }
}

/** EX_IOERR of sysexits.h. */
const EXIT_DISK_FAILED = 74;

async function openBlobs({
  blobFolder,
  blobBucket,
  log,
}: Pick<TargetOptions, "blobFolder" | "blobBucket" | "log">): Promise<BlobStore> {
  const tmpFolder = join(blobFolder, "temp");
  if (!blobBucket) return new DiskBlobStore({ folder: blobFolder, tmpFolder });
  const store = new S3BlobStore({ ...blobBucket, tmpFolder, logger: log });
  await store.check();
  return store;
}

/** The master key goes last: a folder with accounts and without it is refused. */
function removeLeftovers(folder: DataFolder): void {
  for (const name of LEFTOVERS) {
    for (const suffix of ["", "-wal", "-shm"]) rmSync(join(folder.path, `${name}${suffix}`), { force: true });
  }
  for (const name of namesIn(folder.repos))
    rmSync(join(folder.repos, name), { recursive: true, force: true });
  for (const name of ["secrets.json", "master.key"]) rmSync(join(folder.path, name), { force: true });
}

function namesIn(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (cause) {
    const { code } = cause as { code?: string };
    throw new KithError(
      "data_folder_refused",
      `Could not look into "${path}": ${code === "ENOTDIR" ? "it is a file" : code}`,
      {
        cause,
      },
    );
  }
}

/** Whether `path` is `folder` or lies below it. */
function isWithin(path: string, folder: string): boolean {
  const way = relative(resolve(folder), resolve(path));
  return way === "" || (!way.startsWith("..") && resolve(way) !== way);
}
