/** The command line: one file a command. */
import { nearestName } from "../config/mod.ts";
import { writeQuietly } from "../logger.ts";
import { accountCommands } from "./account.ts";
import { parseArguments } from "./arguments.ts";
import { backupCommands } from "./backup.ts";
import {
  type Command,
  type CommandGroup,
  EXIT_FAILED,
  EXIT_OK,
  EXIT_USAGE,
  type Io,
  type LoadServer,
} from "./command.ts";
import { communityCommands } from "./community.ts";
import { configCommand } from "./config.ts";
import { helpCommand, helpOf, subgroupOf } from "./help.ts";
import { inviteCommands } from "./invite.ts";
import { mailCommand } from "./mail.ts";
import { migrateCommand } from "./migrate.ts";
import { reapCommand } from "./reap.ts";
import { requestCrawlCommand } from "./request_crawl.ts";
import { serveCommand } from "./serve.ts";
import { printableLines } from "./table.ts";
import { versionCommand } from "./version.ts";

export type { CreateServer, Io, LoadServer, RunningServer } from "./command.ts";

const OWN: readonly (Command | CommandGroup)[] = [
  serveCommand,
  configCommand,
  accountCommands,
  inviteCommands,
  communityCommands,
  reapCommand,
  requestCrawlCommand,
  backupCommands,
  migrateCommand,
  mailCommand,
  versionCommand,
];
const COMMANDS: readonly (Command | CommandGroup)[] = [...OWN, helpCommand(OWN, unknownCommand)];
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
  const isHelp = others.includes("--help") || others.includes("-h") || isGroupHelp(first, others);
  const found = findCommand([FLAGS[first] ?? first, ...others]);
  if (found === undefined || (!("run" in found.command) && !isHelp && found.rest.length > 0)) {
    io.err(`${unknownCommand(found === undefined ? [first] : [first, ...others])}\n`);
    return EXIT_USAGE;
  }
  const { command, rest } = found;
  if (isHelp || !("run" in command)) {
    (isHelp ? io.out : io.err)(helpOf(command));
    return isHelp ? EXIT_OK : EXIT_USAGE;
  }
  const given = parseArguments(command, rest);
  if (typeof given === "string") {
    io.err(`kith ${command.name}: ${given}\n"kith help ${command.name}" shows how it is used.\n`);
    return EXIT_USAGE;
  }
  try {
    return await command.run(given, { io, loadServer });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    io.err(printableLines(`kith ${command.name}: ${message}\n`));
    return EXIT_FAILED;
  }
}

/** `kith account help`, as many type it. */
function isGroupHelp(first: string, [second, third]: readonly string[]): boolean {
  const group = COMMANDS.find(({ name }) => name === first);
  if (group === undefined || !("commands" in group)) return false;
  return second === "help" || (third === "help" && subgroupOf(group, second) !== undefined);
}

/** The command that the words begin with, or the group where they name none of its commands; and the words after it. */
function findCommand(
  words: readonly string[],
): { command: Command | CommandGroup; rest: readonly string[] } | undefined {
  const found = COMMANDS.find(({ name }) => name === words[0]);
  if (found === undefined) return undefined;
  const inGroup = "commands" in found ? found.commands : [];
  for (const command of [...inGroup, subgroupOf(found, words[1]), found]) {
    const count = command?.name.split(" ").length ?? 0;
    if (command && command.name === words.slice(0, count).join(" "))
      return { command, rest: words.slice(count) };
  }
  return undefined;
}

function unknownCommand([first = "", ...others]: readonly string[]): string {
  const group = COMMANDS.find(({ name }) => name === first);
  const within = (group && subgroupOf(group, others[0])) ?? group;
  const inGroup = others.length > 0 && within && "commands" in within ? within : undefined;
  const prefix = inGroup === undefined ? "" : `${inGroup.name} `;
  const depth = prefix.split(" ").length - 2;
  const asked = inGroup === undefined ? first : (others[depth] ?? "");
  const names = (inGroup?.commands ?? COMMANDS).map(({ name }) => name.slice(prefix.length));
  const near = nearestName(asked, names);
  const help = inGroup === undefined ? "kith help" : `kith help ${inGroup.name}`;
  return `kith${inGroup === undefined ? "" : ` ${inGroup.name}`}: unknown command "${asked}"${near === undefined ? "" : `: did you mean "${near}"?`}\n"${help}" lists the commands.`;
}

/** Writes synchronously, so that nothing is lost at exit, and survives a reader that went away. */
function processIo(): Io {
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
  const isSeated = process.stdin.isTTY === true && process.stderr.isTTY === true;
  return {
    env: process.env,
    cwd: process.cwd(),
    isTerminal: process.stderr.isTTY === true,
    out: (text) => writeQuietly(1, text),
    err: (text) => writeQuietly(2, text),
    ...(isSeated ? { ask: askAtTerminal } : {}),
    readInput: () => Bun.stdin.text(),
  };
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
