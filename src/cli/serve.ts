import type { LoadedConfig } from "../config/mod.ts";
import { atPort } from "../config/mod.ts";
import { createLogger, type RootLogger } from "../logger.ts";
import { listenForStop } from "./_stop_signal.ts";
import {
  type Command,
  type CommandContext,
  ENV_FILE_OPTION,
  EXIT_CONFIG,
  EXIT_FAILED,
  EXIT_OK,
  type Io,
  type RunningServer,
} from "./command.ts";
import { loadOrExplain } from "./load_or_explain.ts";
import { explainStartFailure } from "./start_failure.ts";
import { shellWord, welcome } from "./welcome.ts";

/** `kith serve`: runs until SIGTERM or SIGINT. */
export const serveCommand: Command = {
  name: "serve",
  summary: "run the server",
  options: [
    ENV_FILE_OPTION,
    { name: "port", value: "N", help: "listen on port N (PDS_PORT)" },
    { name: "data", value: "DIR", help: "keep everything in DIR (PDS_DATA_DIRECTORY)" },
  ],
  operands: [],
  run: async ({ options }, context) => {
    const loaded = loadOrExplain({ options, io: context.io });
    return loaded === undefined ? EXIT_CONFIG : await serve(loaded, context);
  },
};

async function serve(loaded: LoadedConfig, { io, loadServer }: CommandContext): Promise<number> {
  const { config } = loaded;
  const log = loggerFor(loaded, io);
  for (const warning of loaded.warnings) log.warn(warning);
  const signal = listenForStop(log);
  try {
    const { createServer } = await loadServer();
    let server: RunningServer;
    try {
      server = await createServer(config, { log });
    } catch (error) {
      return explain(error, { loaded, io, log });
    }
    setNormalJit();
    announce(server, { loaded, io, log });
    const name = await signal.received;
    log.info("Stopping", { signal: name });
    return await stop(server, log);
  } finally {
    signal.release();
  }
}

/** Ends what tools/build.ts has the executable begin with: that hardly anything is compiled to machine code. */
export function setNormalJit(): void {
  Bun.unsafe.setJITPolicy(1);
}

function loggerFor({ config }: LoadedConfig, io: Io): RootLogger {
  const format = config.logFormat === "auto" ? (io.isTerminal ? "text" : "json") : config.logFormat;
  const log = createLogger({ enabled: config.logEnabled, level: config.logLevel, format, write: io.err });
  if (config.blobBucket) log.hide(config.blobBucket.secretAccessKey);
  for (const secret of Object.values(config.secrets)) if (secret !== undefined) log.hide(secret);
  return log;
}

function announce(
  server: RunningServer,
  { loaded, io, log }: { loaded: LoadedConfig; io: Io; log: RootLogger },
): void {
  const port = Number(new URL(server.url).port);
  const config = loaded.config.port === 0 ? atPort(loaded.config, port) : loaded.config;
  const devModeSet = loaded.sources.has("PDS_DEV_MODE");
  const { url, made = [] } = server;
  io.out(welcome({ config, url, made, devModeSet, program: programWords() }));
  log.info("Listening", { url: server.url, publicUrl: config.publicUrl, mode: config.mode });
}

/** How a shell in any folder runs this very program: the executable, or Bun with the script. */
function programWords(): string {
  const [, script = ""] = process.argv;
  const isExecutable = script.includes("$bunfs") || script === "";
  return [process.execPath, ...(isExecutable ? [] : [script])].map(shellWord).join(" ");
}

function explain(
  error: unknown,
  { loaded, io, log }: { loaded: LoadedConfig; io: Io; log: RootLogger },
): number {
  const { message, hint, exitCode } = explainStartFailure(error, loaded.config);
  io.err(`kith: ${message}\n`);
  if (hint !== undefined) io.err(`${hint}\n`);
  log.debug("The start failed", { error });
  return exitCode;
}

async function stop(server: RunningServer, log: RootLogger): Promise<number> {
  try {
    await server.stop();
  } catch (error) {
    log.error("Not everything could be closed; the next start mends it", { error });
    return EXIT_FAILED;
  }
  log.info("Stopped");
  return EXIT_OK;
}
