/** The socket in the data folder on which the server takes commands of its own machine: who may open it is the admin. */
import { chmodSync, lstatSync, rmSync } from "node:fs";
import { socketPathProblem } from "./config/mod.ts";
import { type Handlers, type Listener, serveOn } from "./listen.ts";
import type { Logger } from "./logger.ts";

const OWNER_ONLY = 0o600;
const MASK_OTHERS = 0o077;

export interface AdminSocketOptions {
  readonly path: string;
  readonly handlers: Handlers;
  readonly logger: Logger;
}

/**
 * Listens on a unix socket that only the server's own user can open. The caller holds the folder's lock: a socket that is
 * there was left by a process that is gone. A server without this socket is a whole one to everybody but the command
 * line, so a failure is a warning; then undefined.
 */
export function listenOnAdminSocket({ path, handlers, logger }: AdminSocketOptions): Listener | undefined {
  const without = (error: string, hint: string): undefined => {
    logger.warn("Could not open the admin socket: kith account and its like will not work", {
      path,
      error,
      hint,
    });
    return undefined;
  };
  const problem = socketPathProblem(path);
  if (problem) return without(problem.message, problem.hint);
  try {
    removeStale(path);
    const server = bindPrivately(path, handlers);
    return {
      refuse: () => server.refuse(),
      close: async () => {
        await server.close();
        removeStale(path);
      },
    };
  } catch (error) {
    return without(String(error), "The data folder must be on a file system that has unix sockets.");
  }
}

/** Without this the socket would be open to others between its making and a chmod. Nothing else runs in between. */
function bindPrivately(path: string, handlers: Handlers): Listener {
  const before = process.umask(MASK_OTHERS);
  try {
    const server = serveOn({ unix: path }, handlers);
    chmodSync(path, OWNER_ONLY);
    return server;
  } finally {
    process.umask(before);
  }
}

/** Throws where something else than a socket has the name: it is not ours to remove. */
function removeStale(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw new Error(`"${path}" is there and is no socket`);
  rmSync(path, { force: true });
}
