import type { Logger } from "../logger.ts";
import { EXIT_FAILED } from "./command.ts";

export interface StopSignal {
  /** Resolves with the name of the first SIGTERM or SIGINT. A second one ends the process at once. */
  readonly received: Promise<string>;
  /** Puts the process back to the way it was. */
  release(): void;
}

/** Listens for the signals that end a server. SIGHUP does nothing: a closed terminal is no reason to stop. */
export function listenForStop(log: Logger): StopSignal {
  const { promise, resolve } = Promise.withResolvers<string>();
  let count = 0;
  const stop = (signal: string) => {
    if (++count === 1) return resolve(signal);
    log.warn("Ending at once: a second signal came before everything was closed", { signal });
    process.exit(EXIT_FAILED);
  };
  const ignore = () => log.info("SIGHUP has no effect: settings are read at start only");
  const failed = (error: unknown) => log.error("A promise was rejected and nobody handled it", { error });
  const crashed = (error: unknown) => {
    log.error("An error was not handled: the process ends", { error });
    process.exit(EXIT_FAILED);
  };
  const handlers = [
    ["SIGTERM", stop],
    ["SIGINT", stop],
    ["SIGHUP", ignore],
    ["unhandledRejection", failed],
    ["uncaughtException", crashed],
  ] as const;
  for (const [event, handler] of handlers) process.on(event, handler as () => void);
  return {
    received: promise,
    release: () => {
      for (const [event, handler] of handlers) process.off(event, handler as () => void);
    },
  };
}
