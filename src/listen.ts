/** The listening sockets: one a configured address, all on one port, all with the same handlers. */
import type { Logger } from "./logger.ts";
import type { FirehoseSocket, HttpServer } from "./xrpc/mod.ts";

/** Bun refuses a larger body by itself, without a word: so this lies above every bound of ours. */
const REQUEST_BODY_BYTES_MAX = Number.MAX_SAFE_INTEGER;
/** A connection without a byte for so long is closed: an export to a slow reader still moves. */
const IDLE_TIMEOUT_S = 120;

export interface Handlers {
  fetch(request: Request, server: HttpServer): Promise<Response | undefined>;
  /** The answer where sending one failed after `fetch` gave it. */
  error(error: unknown): Response;
  readonly websocket: Bun.WebSocketHandler<FirehoseSocket>;
}

export interface ListenOptions {
  /** IP addresses; "::" takes IPv4 connections too. */
  readonly addresses: readonly string[];
  /** 0 takes any free port, the same on every address. */
  readonly port: number;
  readonly handlers: Handlers;
  readonly logger: Logger;
}

export interface Listener {
  /** Refuses new connections, and closes those that are idle. */
  refuse(): void;
  /** Closes every connection. */
  close(): Promise<void>;
}

export interface Listeners extends Listener {
  readonly port: number;
}

/**
 * Listens on every address that this machine has. Throws Bun's error (EADDRINUSE, EACCES, EADDRNOTAVAIL) where the
 * port is taken, or where no address can be had.
 */
export function listen({ addresses, port, handlers, logger }: ListenOptions): Listeners {
  const servers: Bun.Server<FirehoseSocket>[] = [];
  const problems: unknown[] = [];
  for (const hostname of addresses) {
    try {
      servers.push(serve({ hostname, port: servers[0]?.port ?? port, reusePort: false }, handlers));
    } catch (error) {
      if (isTaken(error)) {
        for (const server of servers) void server.stop(true);
        throw error;
      }
      problems.push(error);
      logger.warn("Could not listen on an address", { address: hostname, error: String(error) });
    }
  }
  const bound = servers[0]?.port;
  if (bound === undefined) throw problems[0] ?? new Error("There is no address to listen on");
  return {
    port: bound,
    refuse: () => {
      for (const server of servers) void server.stop(false);
    },
    close: async () => {
      await Promise.all(servers.map((server) => server.stop(true)));
    },
  };
}

/** Listens on one address, or on a unix socket. Throws Bun's error. */
export function serveOn(where: Where, handlers: Handlers): Listener {
  const server = serve(where, handlers);
  return { refuse: () => void server.stop(false), close: () => server.stop(true) };
}

type Where =
  | { readonly unix: string }
  | { readonly hostname: string; readonly port: number; readonly reusePort: false };

function serve(where: Where, handlers: Handlers) {
  // Bun's types know no idleTimeout of a unix socket; it has one, of 10 seconds unless set.
  return Bun.serve<FirehoseSocket>({
    ...(where as { hostname: string; port: number }),
    maxRequestBodySize: REQUEST_BODY_BYTES_MAX,
    idleTimeout: IDLE_TIMEOUT_S,
    fetch: (request, server) => handlers.fetch(request, server),
    error: (error) => handlers.error(error),
    websocket: handlers.websocket,
  });
}

function isTaken(error: unknown): boolean {
  return (error as { code?: unknown }).code === "EADDRINUSE";
}
