import { VERSION } from "../config/mod.ts";
import { type Command, type CommandGroup, EXIT_OK, EXIT_USAGE } from "./command.ts";
import { type Described, described, wrapped } from "./table.ts";

/** Commands that stand together in the list of all. */
export interface Chapter {
  readonly title: string;
  readonly commands: readonly (Command | CommandGroup)[];
}

/** `kith help [command]`, over the commands that there are (itself not among them). */
export function helpCommand(
  chapters: readonly Chapter[],
  unknown: (words: readonly string[]) => string,
): Command {
  const others = chapters.flatMap(({ commands }) => commands);
  const self: Command = {
    name: "help",
    summary: "explain kith, or one command",
    options: [],
    operands: ["[command]..."],
    run: async ({ rest }, { io }) => {
      const all = [...others, self];
      const last = chapters.at(-1);
      const withSelf = last
        ? [...chapters.slice(0, -1), { ...last, commands: [...last.commands, self] }]
        : [];
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
      io.out(shown === undefined ? helpOfAll(withSelf) : helpOf(shown));
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

function helpOfAll(chapters: readonly Chapter[]): string {
  const all = chapters.map(({ title, commands }) => ({ title, rows: commands.flatMap(rowsOf) }));
  const allRows = all.flatMap(({ rows }) => rows);
  const lists = all.map(({ title, rows }) => `${title}\n${described(rows, allRows)}\n`);
  return `kith ${VERSION}: a Personal Data Server for the AT Protocol

Usage: kith COMMAND [options]

${lists.join("")}"kith serve" works in an empty folder without any setting.
"kith COMMAND --help" explains a command, "kith config --example" every setting.
`;
}

/** A group with several commands takes a line, and one more for a command that has its name. */
function rowsOf(command: Command | CommandGroup): Described[] {
  if (!("commands" in command)) return [rowOf(command)];
  const { name, summary, commands } = command;
  const within = commands.filter((each) => each.name !== name);
  const own = commands.filter((each) => each.name === name).map(rowOf);
  if (within.length === 1) return [...own, ...within.map(rowOf)];
  const words = new Set(within.map((each) => each.name.split(" ")[1]));
  return [...own, [`${name} COMMAND`, `${summary}: ${[...words].join(", ")}`]];
}

function rowOf({ name, operands, summary }: Command): Described {
  return [[name, ...operands].join(" "), summary];
}

/** How one command is used, or those of a group. */
export function helpOf(command: Command | CommandGroup): string {
  if ("commands" in command) return helpOfGroup(command);
  const { name, summary, options, operands } = command;
  const shown = options.map(
    (option): Described => [`--${option.name}${option.value ? ` ${option.value}` : ""}`, option.help],
  );
  const words = [name, ...(options.length > 0 ? ["[options]"] : []), ...operands];
  return `${wrapped(`kith ${name}: ${summary}`)}\n\nUsage: kith ${words.join(" ")}\n${shown.length > 0 ? "\n" : ""}${described(shown)}`;
}

function helpOfGroup({ name, summary, commands }: CommandGroup): string {
  const own = commands.find((command) => command.name === name);
  const others = described(commands.filter((command) => command !== own).map(rowOf));
  if (own) return `${helpOf(own)}\nSee also:\n${others}`;
  return `${wrapped(`kith ${name}: ${summary}`)}

Usage: kith ${name} COMMAND [options]

${others}
"kith ${name} COMMAND --help" explains one of them.
`;
}
