/** The files that a server has one of, which it keeps open for as long as it runs. */
import type { Config } from "./config/mod.ts";
import type { RootLogger } from "./logger.ts";
import type { DataFolder } from "./storage/data_folder.ts";
import { EventLog } from "./storage/event_log.ts";
import { Hub } from "./storage/hub.ts";
import { Keyring } from "./storage/keyring.ts";
import { LexiconStore } from "./storage/lexicon_store.ts";
import { isWorkerDeath, Maintenance } from "./storage/maintenance.ts";

/** What the parts of a server are started with. */
export interface FilesContext {
  readonly log: RootLogger;
  /** Told of a failed disk; must not return. */
  readonly onFatal: (error: unknown) => void;
  /** What is registered last is closed first. */
  onClose(close: () => unknown): void;
}

export interface ServerContext extends FilesContext {
  readonly config: Config;
  /** False: nothing listens. */
  readonly listens: boolean;
  closeAll(): Promise<void>;
}

export interface ServerFiles {
  readonly maintenance: Maintenance;
  readonly onFatal: (error: unknown) => void;
  readonly keyring: Keyring;
  readonly hub: Hub;
  readonly eventLog: EventLog;
  readonly lexicons: LexiconStore;
}

export type StartedMaintenance = Pick<ServerFiles, "maintenance" | "onFatal">;

/** Starts the worker that they are recovered by. It takes as long to come up as much of the rest. */
export function startMaintenance({ log, onFatal: stop, onClose }: FilesContext): StartedMaintenance {
  const onFatal = (error: unknown): void => {
    const message = isWorkerDeath(error)
      ? "The maintenance worker died; stopping at once, the next start makes the files sound"
      : "The disk failed; stopping at once, because what is on it is unknown";
    log.error(message, { error });
    stop(error);
  };
  const maintenance = Maintenance.start({ onFatal });
  onClose(() => maintenance.stop());
  return { maintenance, onFatal };
}

/**
 * Recovers and opens them, each by itself. Most of it happens in the maintenance worker, while this thread loads the rest of the
 * server.
 */
export async function openServerFiles(
  context: FilesContext,
  { folder, maintenance: started }: { folder: DataFolder; maintenance?: StartedMaintenance },
): Promise<ServerFiles> {
  const { maintenance, onFatal } = started ?? startMaintenance(context);
  const keyring = Keyring.open(folder.masterKey);
  const opened = [
    Hub.open(folder.accounts, { maintenance, onFatal }),
    EventLog.open(folder.events, { maintenance, onFatal }),
    LexiconStore.open(folder.lexicons, { maintenance, onFatal }),
  ] as const;
  for (const opening of opened) {
    // Also where another one could not be opened: then what is still being opened is closed, too.
    context.onClose(async () => (await opening.catch(() => undefined))?.close());
  }
  const [hub, eventLog, lexicons] = await Promise.all(opened);
  return { maintenance, onFatal, keyring, hub, eventLog, lexicons };
}
