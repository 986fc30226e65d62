/**
 * The one place that wires everything: stores and actors (engine.ts), features, and the edge over them.
 */
import { listenOnAdminSocket } from "./admin_socket.ts";
import { startBackups } from "./backup_features.ts";
import { adminSocketPath, atPort, type Secrets } from "./config/mod.ts";
import { adminEdgeOf, edgeOf } from "./edge.ts";
import { openStores, startActors } from "./engine.ts";
import { directoryOf, startFeatures } from "./features.ts";
import { IdleMemory } from "./idle_memory.ts";
import { type Listener, type Listeners, listen } from "./listen.ts";
import { RequestGate } from "./request_gate.ts";
import type { ServerContext, ServerFiles } from "./server_files.ts";
import type { DataFolder } from "./storage/mod.ts";
import { startWatch } from "./watch_features.ts";
import { createHttp } from "./xrpc/mod.ts";

/** How long requests that are under way may take to end at a stop. */
const DRAIN_TIMEOUT_MS = 10_000;
const DRAIN_LOOK_MS = 5;

/** Resolves once requests are answered. */
export async function run(
  context: ServerContext,
  parts: { folder: DataFolder; files: Promise<ServerFiles>; secrets: Secrets },
) {
  const { log } = context;
  const { folder, files, secrets } = parts;
  // With port 0 the public URL, and so the DIDs made here, hang on the real port.
  const gate = new RequestGate();
  const listeners = context.listens ? openPort(context, gate) : undefined;
  const adminSocket = context.listens ? openAdminSocket(context, { folder, gate }) : undefined;
  const config = listeners ? atPort(context.config, listeners.port) : context.config;
  const opened = await files;
  const stores = await openStores(context, { config, folder, files: opened });
  // Registered before the actors, and so closed after them: what they tell to the last is there by then.
  const afterActors: (() => unknown)[] = [];
  context.onClose(async () => {
    for (const close of afterActors) await close();
  });
  const actors = await startActors(context, { config, stores });
  const plc = directoryOf(context, { config, folder });
  const features = await startFeatures(context, { config, secrets, stores, actors, plc });
  const { backups, drills } = startBackups(context, {
    config,
    stores,
    actors,
    onStopped: (close) => void afterActors.push(close),
  });
  const watch = startWatch(context, { config, stores, actors, features, files: opened, backups, gate });
  const edgeParts = { config, log, stores, actors, features, gate, secrets, backups, drills, watch };
  const edge = edgeOf(edgeParts);
  gate.open({ http: createHttp(edge), admin: createHttp(adminEdgeOf(edge, edgeParts)), aside: plc.fetch });

  let stopped: Promise<void> | undefined;
  const memory = new IdleMemory({ requests: gate });
  context.onClose(() => memory.stop());
  return {
    url: `http://localhost:${config.port}`,
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

function openPort({ config, log, onClose }: ServerContext, gate: RequestGate): Listeners {
  const listeners = listen({ addresses: config.listen, port: config.port, handlers: gate, logger: log });
  onClose(() => listeners.close());
  return listeners;
}

function openAdminSocket(
  { log, onClose }: ServerContext,
  { folder, gate }: { folder: DataFolder; gate: RequestGate },
): Listener | undefined {
  const path = adminSocketPath(folder.path);
  const listener = listenOnAdminSocket({ path, handlers: gate.admin, logger: log });
  onClose(() => listener?.close());
  return listener;
}
