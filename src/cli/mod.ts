/** The command line: one file a command. */
import { nearestName } from "../config/mod.ts";
import { writeQuietly } from "../logger.ts";
import { parseArguments } from "./arguments.ts";
import { type Command, EXIT_FAILED, EXIT_OK, EXIT_USAGE, type Io, type LoadServer } from "./command.ts";
import { configCommand } from "./config.ts";
import { helpCommand, helpOf } from "./help.ts";
import { mailCommand } from "./mail.ts";
import { migrateCommand } from "./migrate.ts";
import { serveCommand } from "./serve.ts";
import { versionCommand } from "./version.ts";

export type { CreateServer, Io, LoadServer, RunningServer } from "./command.ts";

const OWN: readonly Command[] = [serveCommand, migrateCommand, configCommand, mailCommand, versionCommand];
const COMMANDS: readonly Command[] = [...OWN, helpCommand(OWN, unknownCommand)];
const FLAGS: Readonly<Record<string, string>> = {
  "--help": "help",
  "-h": "help",
  "--version": "version",
  "-v": "version",
};

export interface MainOptions {
  readonly loadServer: LoadServer;
  readonly io?: Io;
}

/** Runs the command that `argv` (without program and script) names. Resolves to the exit code; never throws. */
export async function main(
  argv: readonly string[],
  { loadServer, io = processIo() }: MainOptions,
): Promise<number> {
  const [first = "help", ...others] = argv;
  const name = FLAGS[first] ?? first;
  const command = COMMANDS.find((candidate) => candidate.name === name);
  if (command === undefined) {
    io.err(`${unknownCommand(first)}\n`);
    return EXIT_USAGE;
  }
  if (others.includes("--help") || others.includes("-h")) {
    io.out(helpOf(command));
    return EXIT_OK;
  }
  const given = parseArguments(command, others);
  if (typeof given === "string") {
    io.err(`kith ${command.name}: ${given}\n"kith help ${command.name}" shows how it is used.\n`);
    return EXIT_USAGE;
  }
  try {
    return await command.run(given, { io, loadServer });
  } catch (error) {
    io.err(`kith ${command.name}: ${error instanceof Error ? error.message : String(error)}\n`);
    return EXIT_FAILED;
  }
}

function unknownCommand(name: string): string {
  const near = nearestName(
    name,
    COMMANDS.map((command) => command.name),
  );
  return `kith: unknown command "${name}"${near === undefined ? "" : `: did you mean "${near}"?`}\n"kith help" lists the commands.`;
}

/** Writes synchronously, so that nothing is lost at exit, and survives a reader that went away. */
function processIo(): Io {
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
  return {
    env: process.env,
    cwd: process.cwd(),
    isTerminal: process.stderr.isTTY === true,
    out: (text) => writeQuietly(1, text),
    err: (text) => writeQuietly(2, text),
  };
}
