import { nearestName } from "../config/mod.ts";
import type { Arguments, Command } from "./command.ts";

/** The arguments of a command, or a sentence on what is wrong with them. Options: `--name value`, `--name=value`. */
export function parseArguments(command: Command, argv: readonly string[]): Arguments | string {
  const options: Record<string, string | true> = {};
  const rest: string[] = [];
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at] ?? "";
    if (!word.startsWith("--") || word === "--") {
      // A lone dash stands for standard input.
      if (word.startsWith("-") && word !== "-") return `unknown option "${word}"${hint(word, command)}`;
      rest.push(word);
      continue;
    }
    const [name = "", inline] = splitOnce(word.slice(2));
    const option = command.options.find((candidate) => candidate.name === name);
    if (option === undefined) return `unknown option "--${name}"${hint(name, command)}`;
    if (option.value === undefined) {
      if (inline !== undefined) return `"--${name}" takes no value`;
      options[name] = true;
      continue;
    }
    const value = inline ?? argv[++at];
    if (value === undefined || value === "") return `"--${name}" needs a value: --${name} ${option.value}`;
    options[name] = value;
  }
  const isOpen = command.operands.at(-1)?.endsWith("...") ?? false;
  const extra = isOpen ? undefined : rest[command.operands.length];
  return extra === undefined ? { options, rest } : `unexpected argument "${extra}"`;
}

function splitOnce(text: string): [string, string | undefined] {
  const at = text.indexOf("=");
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

function hint(name: string, command: Command): string {
  const near = nearestName(
    name.replace(/^-+/, ""),
    command.options.map((option) => option.name),
  );
  return near === undefined ? "" : `: did you mean "--${near}"?`;
}
