import { VERSION } from "../config/mod.ts";
import { type Command, EXIT_OK, EXIT_USAGE } from "./command.ts";

/** `kith help [command]`, over the commands that there are (itself not among them). */
export function helpCommand(others: readonly Command[], unknown: (name: string) => string): Command {
  const self: Command = {
    name: "help",
    summary: "explain kith, or one command",
    options: [],
    operands: ["[command]"],
    run: async ({ rest: [name] }, { io }) => {
      const found = [...others, self].find((command) => command.name === name);
      if (name !== undefined && found === undefined) {
        io.err(`${unknown(name)}\n`);
        return EXIT_USAGE;
      }
      io.out(found === undefined ? helpOfAll([...others, self]) : helpOf(found));
      return EXIT_OK;
    },
  };
  return self;
}

function helpOfAll(commands: readonly Command[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  const lines = commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`);
  return `kith ${VERSION}: a Personal Data Server for the AT Protocol

Usage: kith COMMAND [options]

${lines.join("\n")}

"kith serve" works in an empty folder without any setting. "kith config --example" explains every setting.
`;
}

/** How one command is used. */
export function helpOf({ name, summary, options, operands }: Command): string {
  const shown = options.map((option) => [
    `--${option.name}${option.value ? ` ${option.value}` : ""}`,
    option.help,
  ]);
  const width = Math.max(0, ...shown.map(([usage = ""]) => usage.length));
  const lines = shown.map(([usage = "", help = ""]) => `  ${usage.padEnd(width)}  ${help}\n`);
  const words = [name, ...(options.length > 0 ? ["[options]"] : []), ...operands];
  return `kith ${name}: ${summary}\n\nUsage: kith ${words.join(" ")}\n${lines.length > 0 ? "\n" : ""}${lines.join("")}`;
}
