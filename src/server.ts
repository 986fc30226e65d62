/**
 * A server: its folder is locked, and its files are being recovered by the worker, while the rest of it is loaded and wired
 * (running.ts). `kith serve` listens with it; a host application can mount `fetch` and `websocket` in a server of its own.
 */
import { dirname } from "node:path";
import { type Config, ensureSecrets } from "./config/mod.ts";
import type { Handlers } from "./listen.ts";
import { createLogger, type RootLogger } from "./logger.ts";
import type { AuthorizationRequests } from "./oauth/mod.ts";
import { openServerFiles, type ServerContext, startMaintenance } from "./server_files.ts";
import { DataFolder, refuseForeign } from "./storage/data_folder.ts";
import type { Method } from "./xrpc/mod.ts";

/** EX_IOERR of sysexits.h: the disk failed, and only a start can tell what is on it. */
const EXIT_DISK_FAILED = 74;

export interface ServerOptions {
  readonly log?: RootLogger;
  /** False: nothing listens, not on the admin socket either; the caller mounts `fetch` and `websocket`. */
  readonly listen?: boolean;
  /** What a failed disk leads to; default: the process ends at once, answering nothing more. */
  readonly onFatal?: (error: unknown) => void;
}

export interface KithServer extends Handlers {
  /** Where it answers on this machine, without a slash at its end. */
  readonly url: string;
  /** What this first start made, in words. */
  readonly made: readonly string[];
  readonly config: Config;
  /** What apps have asked for, to be opened and decided: for sign-in pages of a host application's own. */
  readonly authorizations: Pick<AuthorizationRequests, "open" | "approve" | "deny">;
  /** What it answers itself; all else goes on to other services. */
  readonly methods: readonly Pick<Method, "nsid" | "kind" | "auth" | "oauth" | "limit">[];
  /** Ends what is under way, closes every file. May be called again. */
  stop(): Promise<void>;
}

/**
 * Starts a server. Throws KithError config_invalid (the port is taken, ...) or data_folder_refused, with nothing left open.
 */
export async function createServer(config: Config, options: ServerOptions = {}): Promise<KithServer> {
  const log = options.log ?? createLogger({ enabled: config.logEnabled, level: config.logLevel });
  const closing: (() => unknown)[] = [];
  const onClose = (close: () => unknown): void => void closing.unshift(close);
  const closeAll = async (): Promise<void> => {
    const failures: unknown[] = [];
    for (const close of closing.splice(0)) {
      try {
        await close();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, "Could not close everything");
  };
  try {
    const onFatal = options.onFatal ?? (() => process.exit(EXIT_DISK_FAILED));
    return await start({ config, listens: options.listen !== false, log, onFatal, onClose, closeAll });
  } catch (error) {
    await closeAll().catch((cause: unknown) => log.warn("Could not close everything", { error: cause }));
    throw error;
  }
}

async function start(context: ServerContext): Promise<KithServer> {
  const { config, log } = context;
  // An environment file of the reference names its own blob folder, inside its data folder.
  refuseForeign(dirname(config.blobFolder));
  const folder = DataFolder.open(config.dataFolder);
  context.onClose(() => folder.close());
  const made = folder.hasAccounts() ? [] : ["the accounts database", "the event log"];
  const maintenance = startMaintenance(context);
  const {
    secrets,
    made: madeSecrets,
    path,
  } = await ensureSecrets(config, { hasAccounts: folder.hasRepos() });
  for (const secret of Object.values(secrets)) log.hide(secret);
  const files = openServerFiles(context, { folder, maintenance });
  // A failure is told of where this is awaited: in run().
  files.catch(() => undefined);
  const { run } = await import("./running.ts");
  const running = await run(context, { folder, files, secrets });
  if (madeSecrets.length > 0) made.push(`${madeSecrets.join(", ")} (in ${path})`);
  return { ...running, made };
}
