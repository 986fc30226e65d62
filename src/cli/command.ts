import type { Config } from "../config/mod.ts";
import type { RootLogger } from "../logger.ts";

/** What a command needs of the process; tests hand in their own. */
export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Whether a person reads standard error, where the log goes. */
  readonly isTerminal: boolean;
  out(text: string): void;
  err(text: string): void;
  /** Asks the person at the terminal, and resolves to the line typed; absent where there is none. */
  ask?(question: string): Promise<string>;
  /** All of standard input. */
  readInput?(): Promise<string>;
}

/** A server that listens. */
export interface RunningServer {
  /** Where it answers on this machine, without a slash at its end. */
  readonly url: string;
  /** What was made for this first start, in words: "PDS_JWT_SECRET in secrets.json", "the accounts database". */
  readonly made?: readonly string[];
  /** Ends what is in flight, closes every file. Resolves when nothing is open. */
  stop(): Promise<void>;
}

/** Makes a server that listens. It tells `log` of the secrets that it makes or reads itself, so that none is logged. */
export type CreateServer = (config: Config, options: { log: RootLogger }) => Promise<RunningServer>;

/** Loads the server only for the command that serves: the others start at once. */
export type LoadServer = () => Promise<{ readonly createServer: CreateServer }>;

export interface CommandContext {
  readonly io: Io;
  readonly loadServer: LoadServer;
}

export interface CommandOption {
  readonly name: string;
  /** The word for its value in the help, or undefined for a switch. */
  readonly value: string | undefined;
  readonly help: string;
}

export interface Arguments {
  readonly options: Readonly<Record<string, string | true>>;
  readonly rest: readonly string[];
}

export interface Command {
  /** All its words: "serve", "account list". */
  readonly name: string;
  readonly summary: string;
  readonly options: readonly CommandOption[];
  /** Words for what may follow the command: `[command]`. Empty for nothing. The last may be repeated where it ends in `...`. */
  readonly operands: readonly string[];
  /** Resolves to the exit code. */
  run(given: Arguments, context: CommandContext): Promise<number>;
}

/** Commands that share their first word. */
export interface CommandGroup {
  readonly name: string;
  readonly summary: string;
  readonly commands: readonly Command[];
}

export const EXIT_OK = 0;
export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;
/** EX_CONFIG of sysexits.h: a supervisor should not try again. */
export const EXIT_CONFIG = 78;

export const ENV_FILE_OPTION: CommandOption = {
  name: "env-file",
  value: "FILE",
  help: "read settings from FILE (NAME=VALUE lines); the environment wins over it",
};

export const DATA_OPTION: CommandOption = {
  name: "data",
  value: "DIR",
  help: "the data folder (PDS_DATA_DIRECTORY)",
};
