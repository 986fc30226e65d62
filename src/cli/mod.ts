/** The command line: one file a command. */
import { fstatSync } from "node:fs";
import { writeQuietly } from "../logger.ts";
import { parseArguments } from "./arguments.ts";
import { type Command, EXIT_FAILED, EXIT_OK, EXIT_USAGE, type Io, type LoadServer } from "./command.ts";
import { helpOf } from "./help.ts";
import { serveCommand, setNormalJit } from "./serve.ts";
import { printableLines } from "./table.ts";

export type { CreateServer, Io, LoadServer, RunningServer } from "./command.ts";

type Tty = typeof import("node:tty");

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
  const asksForHelp = others.includes("--help") || others.includes("-h");
  // A server starts without the other commands.
  if (first === serveCommand.name && !asksForHelp) return run(serveCommand, others, { io, loadServer });
  setNormalJit();
  const { FLAGS, findCommand, isGroupHelp, unknownCommand } = await import("./_commands.ts");
  const isHelp = asksForHelp || isGroupHelp(first, others);
  const found = findCommand([FLAGS[first] ?? first, ...others]);
  if (found === undefined || (!("run" in found.command) && !isHelp && found.rest.length > 0)) {
    io.err(`${unknownCommand(found === undefined ? [first] : [first, ...others])}\n`);
    return EXIT_USAGE;
  }
  const { command, among, rest } = found;
  if (isHelp || !("run" in command)) {
    (isHelp ? io.out : io.err)(helpOf(among ?? command));
    return isHelp ? EXIT_OK : EXIT_USAGE;
  }
  return run(command, rest, { io, loadServer });
}

async function run(
  command: Command,
  words: readonly string[],
  context: { io: Io; loadServer: LoadServer },
): Promise<number> {
  const { io } = context;
  const given = parseArguments(command, words);
  if (typeof given === "string") {
    io.err(`kith ${command.name}: ${given}\n"kith help ${command.name}" shows how it is used.\n`);
    return EXIT_USAGE;
  }
  try {
    return await command.run(given, context);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    io.err(printableLines(`kith ${command.name}: ${message}\n`));
    return EXIT_FAILED;
  }
}

/** Writes synchronously, so that nothing is lost at exit, and survives a reader that went away. */
function processIo(): Io {
  return {
    env: process.env,
    cwd: process.cwd(),
    get isTerminal() {
      return isTerminal(2);
    },
    out: (text) => writeQuietly(1, text),
    err: (text) => writeQuietly(2, text),
    get ask() {
      return isTerminal(0) && isTerminal(2) ? askAtTerminal : undefined;
    },
    readInput: () => Bun.stdin.text(),
  };
}

/** Of a server's pipes and files nothing more than this is asked: node:tty takes a start some milliseconds. */
function isTerminal(descriptor: number): boolean {
  try {
    return fstatSync(descriptor).isCharacterDevice() && (require("node:tty") as Tty).isatty(descriptor);
  } catch {
    return false;
  }
}

async function askAtTerminal(question: string): Promise<string> {
  const { createInterface } = await import("node:readline/promises");
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  // The end of the input is an answer too: none.
  const ended = new Promise<string>((resolve) => terminal.once("close", () => resolve("")));
  try {
    return await Promise.race([terminal.question(question), ended]);
  } finally {
    terminal.close();
  }
}
