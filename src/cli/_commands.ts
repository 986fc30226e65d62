/** Every command, and which of them the words of a command line name. `kith serve` is started without this. */
import { nearestName } from "../config/mod.ts";
import { accountCommands } from "./account.ts";
import { backupCommands } from "./backup.ts";
import { drillCommand } from "./backup_drill.ts";
import type { Command, CommandGroup } from "./command.ts";
import { communityCommands } from "./community.ts";
import { configCommand } from "./config.ts";
import { healthCommand } from "./health.ts";
import { type Chapter, helpCommand, subgroupOf } from "./help.ts";
import { importReferenceCommand } from "./import_reference.ts";
import { inviteCommands } from "./invite.ts";
import { mailCommand } from "./mail.ts";
import { migrateCommand } from "./migrate.ts";
import { reapCommand } from "./reap.ts";
import { requestCrawlCommand } from "./request_crawl.ts";
import { restoreCommand } from "./restore.ts";
import { serveCommand } from "./serve.ts";
import { verifyCommand } from "./verify.ts";
import { versionCommand } from "./version.ts";

const CHAPTERS: readonly Chapter[] = [
  {
    title: "The server",
    commands: [serveCommand, configCommand, healthCommand, mailCommand, requestCrawlCommand],
  },
  {
    title: "Nothing lost",
    commands: [
      { ...backupCommands, commands: [drillCommand, ...backupCommands.commands] },
      restoreCommand,
      verifyCommand,
    ],
  },
  {
    title: "Accounts",
    commands: [accountCommands, inviteCommands, migrateCommand, importReferenceCommand],
  },
  { title: "Communities", commands: [communityCommands, reapCommand] },
  { title: "This program", commands: [versionCommand] },
];
const COMMANDS: readonly (Command | CommandGroup)[] = [
  ...CHAPTERS.flatMap(({ commands }) => commands),
  helpCommand(CHAPTERS, unknownCommand),
];
/** Flags that stand for a command. */
export const FLAGS: Readonly<Record<string, string>> = {
  "--help": "help",
  "-h": "help",
  "--version": "version",
  "-v": "version",
};

/** `kith account help`, as many type it. */
export function isGroupHelp(first: string, [second, third]: readonly string[]): boolean {
  const group = COMMANDS.find(({ name }) => name === first);
  if (group === undefined || !("commands" in group)) return false;
  return second === "help" || (third === "help" && subgroupOf(group, second) !== undefined);
}

/**
 * The command that the words begin with, or the group where they name none of its commands; and the words after it.
 * `among`: the group whose name a command has.
 */
export function findCommand(
  words: readonly string[],
): { command: Command | CommandGroup; among?: CommandGroup; rest: readonly string[] } | undefined {
  const found = COMMANDS.find(({ name }) => name === words[0]);
  if (found === undefined) return undefined;
  const inGroup = "commands" in found ? found.commands : [];
  for (const command of [...inGroup, subgroupOf(found, words[1]), found]) {
    const count = command?.name.split(" ").length ?? 0;
    if (command && command.name === words.slice(0, count).join(" ")) {
      const hasOthers = "commands" in found && "run" in command && command.name === found.name;
      return { command, ...(hasOthers ? { among: found } : {}), rest: words.slice(count) };
    }
  }
  return undefined;
}

/** What is told to somebody who names a command that there is not. */
export function unknownCommand([first = "", ...others]: readonly string[]): string {
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
