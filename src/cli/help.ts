import { VERSION } from "../config/mod.ts";
import { type Command, type CommandGroup, EXIT_OK, EXIT_USAGE } from "./command.ts";

/** `kith help [command]`, over the commands that there are (itself not among them). */
export function helpCommand(
  others: readonly (Command | CommandGroup)[],
  unknown: (words: readonly string[]) => string,
): Command {
  const self: Command = {
    name: "help",
    summary: "explain kith, or one command",
    options: [],
    operands: ["[command]..."],
    run: async ({ rest }, { io }) => {
      const all = [...others, self];
      const [first, second] = rest;
      const found = all.find((command) => command.name === first);
      if (found && !("commands" in found) && second !== undefined) {
        io.err(`kith help: unexpected argument "${second}"\n`);
        return EXIT_USAGE;
      }
      const named = rest.join(" ");
      const inGroup = found && "commands" in found ? [...found.commands, subgroupOf(found, second)] : [];
      const shown = [found, ...inGroup].find((command) => command?.name === named);
      if (first !== undefined && shown === undefined) {
        io.err(`${unknown(rest)}\n`);
        return EXIT_USAGE;
      }
      io.out(shown === undefined ? helpOfAll(all) : helpOf(shown));
      return EXIT_OK;
    },
  };
  return self;
}

/** The commands of a group that share their second word too, where there are any: "community invite". */
export function subgroupOf(
  group: Command | CommandGroup,
  second: string | undefined,
): CommandGroup | undefined {
  if (!("commands" in group) || second === undefined) return undefined;
  const name = `${group.name} ${second}`;
  const commands = group.commands.filter((command) => command.name.startsWith(`${name} `));
  return commands.length === 0 ? undefined : { name, summary: group.summary, commands };
}

function helpOfAll(commands: readonly (Command | CommandGroup)[]): string {
  return `kith ${VERSION}: a Personal Data Server for the AT Protocol

Usage: kith COMMAND [options]

${listOf(commands.flatMap((command) => ("commands" in command ? command.commands : [command])))}
"kith serve" works in an empty folder without any setting. "kith config --example" explains every setting.
`;
}

/** How one command is used, or those of a group. */
export function helpOf(command: Command | CommandGroup): string {
  if ("commands" in command) return helpOfGroup(command);
  const { name, summary, options, operands } = command;
  const shown = options.map((option) => [
    `--${option.name}${option.value ? ` ${option.value}` : ""}`,
    option.help,
  ]);
  const width = Math.max(0, ...shown.map(([usage = ""]) => usage.length));
  const lines = shown.map(([usage = "", help = ""]) => `  ${usage.padEnd(width)}  ${help}\n`);
  const words = [name, ...(options.length > 0 ? ["[options]"] : []), ...operands];
  return `kith ${name}: ${summary}\n\nUsage: kith ${words.join(" ")}\n${lines.length > 0 ? "\n" : ""}${lines.join("")}`;
}

function helpOfGroup({ name, summary, commands }: CommandGroup): string {
  return `kith ${name}: ${summary}

Usage: kith ${name} COMMAND [options]

${listOf(commands)}
"kith ${name} COMMAND --help" explains one of them.
`;
}

function listOf(commands: readonly Command[]): string {
  const shown = commands.map(({ name, operands, summary }) => [[name, ...operands].join(" "), summary]);
  const width = Math.max(...shown.map(([usage = ""]) => usage.length));
  return shown.map(([usage = "", summary = ""]) => `  ${usage.padEnd(width)}  ${summary}\n`).join("");
}
