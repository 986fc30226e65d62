/**
 * The one place that wires everything: stores and actors (engine.ts), features, and the edge over them. `kith serve` listens with it; a
 * host application can mount `fetch` and `websocket` in a server of its own.
 */
import { dirname } from "node:path";
import { listenOnAdminSocket } from "./admin_socket.ts";
import { startBackups } from "./backup_features.ts";
import { adminSocketPath, atPort, type Config, ensureSecrets } from "./config/mod.ts";
import { adminEdgeOf, edgeOf } from "./edge.ts";
import { openStores, type StartContext, startActors } from "./engine.ts";
import { directoryOf, startFeatures } from "./features.ts";
import { type Handlers, type Listener, type Listeners, listen } from "./listen.ts";
import { createLogger, type RootLogger } from "./logger.ts";
import type { AuthorizationRequests } from "./oauth/mod.ts";
import { RequestGate } from "./request_gate.ts";
import { DataFolder, refuseForeign } from "./storage/mod.ts";
import { createHttp, type Method } from "./xrpc/mod.ts";

/** How long requests that are under way may take to end at a stop. */
const DRAIN_TIMEOUT_MS = 10_000;
const DRAIN_LOOK_MS = 5;
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

interface ServerContext extends StartContext {
  /** False: nothing listens. */
  readonly listens: boolean;
  closeAll(): Promise<void>;
}

async function start(context: ServerContext): Promise<KithServer> {
  const { log } = context;
  // An environment file of the reference names its own blob folder, inside its data folder.
  refuseForeign(dirname(context.config.blobFolder));
  const folder = DataFolder.open(context.config.dataFolder);
  context.onClose(() => folder.close());
  const made = folder.hasAccounts() ? [] : ["the accounts database", "the event log"];
  const { secrets, made: madeSecrets, path } = await ensureSecrets(context.config);
  for (const secret of Object.values(secrets)) log.hide(secret);

  // The sockets come before the stores: with port 0 the public URL, and so the DIDs made here, hang on the real port.
  const gate = new RequestGate();
  const listeners = context.listens ? openPort(context, gate) : undefined;
  const adminSocket = context.listens ? openAdminSocket(context, { folder, gate }) : undefined;
  const config = listeners ? atPort(context.config, listeners.port) : context.config;
  const stores = await openStores(context, { config, folder });
  const actors = await startActors(context, { config, stores });
  const plc = directoryOf(context, { config, folder });
  const features = await startFeatures(context, { config, secrets, stores, actors, plc });
  const backups = startBackups(context, { config, actors });
  const parts = { config, log, stores, actors, features, gate, secrets, backups };
  const edge = edgeOf(parts);
  gate.open({ http: createHttp(edge), admin: createHttp(adminEdgeOf(edge, parts)), aside: plc.fetch });

  let stopped: Promise<void> | undefined;
  return {
    url: `http://localhost:${config.port}`,
    made: madeSecrets.length > 0 ? [...made, `${madeSecrets.join(", ")} (in ${path})`] : made,
    config,
    authorizations: features.oauth.requests,
    methods: edge.methods,
    fetch: gate.fetch,
    error: gate.error,
    websocket: gate.websocket,
    stop: () => {
      stopped ??= stop({ context, gate, listeners: [listeners, adminSocket] });
      return stopped;
    },
  };
}

async function stop(running: {
  context: ServerContext;
  gate: RequestGate;
  listeners: readonly (Listener | undefined)[];
}): Promise<void> {
  const { context, gate, listeners } = running;
  gate.drain();
  for (const listener of listeners) listener?.refuse();
  const deadline = performance.now() + DRAIN_TIMEOUT_MS;
  while (gate.underWay > 0 && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, DRAIN_LOOK_MS));
  }
  await context.closeAll();
}

function openPort({ config, log, onClose }: StartContext, gate: RequestGate): Listeners {
  const listeners = listen({ addresses: config.listen, port: config.port, handlers: gate, logger: log });
  onClose(() => listeners.close());
  return listeners;
}

function openAdminSocket(
  { log, onClose }: StartContext,
  { folder, gate }: { folder: DataFolder; gate: RequestGate },
): Listener | undefined {
  const path = adminSocketPath(folder.path);
  const listener = listenOnAdminSocket({ path, handlers: gate.admin, logger: log });
  onClose(() => listener?.close());
  return listener;
}
