/** The stores of a folder that is being put together. */
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import {
  AccountStore,
  type BlobStore,
  type DataFolder,
  EventLog,
  Hub,
  IdentityChangeStore,
  Keyring,
  Maintenance,
  RepoFiles,
} from "../storage/mod.ts";

/** Blobs as a restore uses them. */
export type RestoredBlobs = Pick<
  BlobStore,
  "open" | "list" | "remove" | "removeAll" | "quarantine" | "release" | "removeQuarantined"
>;

export interface OpenStores {
  readonly accounts: AccountStore;
  readonly identities: IdentityChangeStore;
  readonly log: EventLog;
  readonly files: RepoFiles;
  readonly blobs: RestoredBlobs;
  close(): Promise<void>;
}

export interface OpenOptions {
  readonly blobs: OpenStores["blobs"];
  /** Told of a failed disk; must not return. */
  readonly onFatal: (error: unknown) => void;
}

export async function openRestored(folder: DataFolder, { blobs, onFatal }: OpenOptions): Promise<OpenStores> {
  const closing: (() => Promise<void>)[] = [];
  const close = async () => {
    for (const each of closing.splice(0).reverse()) await each();
  };
  try {
    const maintenance = Maintenance.start({ onFatal });
    closing.push(() => maintenance.stop());
    const keyring = Keyring.open(folder.masterKey);
    const hub = await Hub.open(folder.accounts, { maintenance, onFatal });
    closing.push(() => hub.close());
    const log = await openLog(folder.events, { maintenance, onFatal });
    closing.push(() => log.close());
    const files = new RepoFiles({ folder: folder.repos, tmp: folder.tmp, maintenance, onFatal });
    const accounts = new AccountStore(hub, keyring);
    const identities = new IdentityChangeStore(hub, keyring);
    return { accounts, identities, log, files, blobs, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** One that an attempt has ended already is begun again: nothing could be added below the seq that it has jumped to. */
async function openLog(
  path: string,
  parts: { maintenance: Maintenance; onFatal: (error: unknown) => void },
): Promise<EventLog> {
  if (existsSync(path)) {
    const log = await EventLog.open(path, parts);
    if (log.highWater() === log.lastSeq()) return log;
    await log.close();
    for (const suffix of ["", "-wal", "-shm"]) await rm(`${path}${suffix}`, { force: true });
  }
  return await EventLog.open(path, parts);
}
