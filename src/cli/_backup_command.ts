/** What the commands over a backup have in common: settings, the place and the key, what is printed of an error, what a running server answers. */
import { existsSync } from "node:fs";
import { backupPlace, type LoadedConfig, nearestName } from "../config/mod.ts";
import { isKithError } from "../errors.ts";
import { AdminError } from "./admin_client.ts";
import { UsageError } from "./admin_command.ts";
import {
  type Arguments,
  type Command,
  type CommandOption,
  DATA_OPTION,
  ENV_FILE_OPTION,
  EXIT_CONFIG,
  EXIT_FAILED,
  EXIT_USAGE,
  type Io,
} from "./command.ts";
import { loadOrExplain } from "./load_or_explain.ts";
import { printableLines } from "./table.ts";

const JSON_OPTION: CommandOption = {
  name: "json",
  value: undefined,
  help: "print JSON, one object a line, for scripts",
};
const KEY_NEEDED =
  'set KITH_BACKUP_KEY_FILE to a file with what "kith backup new-key" prints (or KITH_BACKUP_KEY to that itself), or name the settings with --env-file';
const VERBS = ["list", "check", "drill", "new-key"];

export interface BackupContext {
  readonly given: Arguments;
  readonly io: Io;
  readonly config: LoadedConfig["config"];
  readonly isJson: boolean;
}

/** A command with the settings; what is thrown is printed with what can be done about it. */
export function backupCommand(
  spec: Pick<Command, "name" | "summary" | "operands"> & { readonly options?: readonly CommandOption[] },
  run: (context: BackupContext) => Promise<number>,
): Command {
  return {
    ...spec,
    options: [...(spec.options ?? []), JSON_OPTION, DATA_OPTION, ENV_FILE_OPTION],
    run: async (given, { io }) => {
      const loaded = loadOrExplain({ options: given.options, io });
      if (loaded === undefined) return EXIT_CONFIG;
      try {
        return await run({ given, io, config: loaded.config, isJson: given.options.json === true });
      } catch (error) {
        return explain(spec.name, error, io);
      }
    },
  };
}

function explain(name: string, error: unknown, io: Io): number {
  const isUsage = error instanceof UsageError;
  if (!isUsage && !isKithError(error) && !(error instanceof AdminError)) throw error;
  const hint = isUsage ? `"kith help ${name}" shows how it is used.` : error.hint;
  io.err(printableLines(`kith ${name}: ${error.message}\n${hint === undefined ? "" : `${hint}\n`}`));
  if (isUsage) return EXIT_USAGE;
  return isKithError(error, "config_invalid") ? EXIT_CONFIG : EXIT_FAILED;
}

/** The place that is named, else that of the settings. Throws UsageError. */
export function placeOf({ given, config, io }: BackupContext): string {
  const [named] = given.rest;
  const { destination, key } = config.backup;
  if (named === undefined) {
    if (destination !== undefined) return destination;
    const also = key === undefined ? `; and ${KEY_NEEDED}` : "";
    throw new UsageError(`where? Name a folder or s3://BUCKET/PREFIX, or set KITH_BACKUP_DESTINATION${also}`);
  }
  if (named.includes("/") || existsSync(backupPlace(named, io.cwd))) return backupPlace(named, io.cwd);
  const near = nearestName(named, VERBS);
  throw new UsageError(
    near === undefined
      ? `there is no folder "${named}" here; to make one, write "./${named}"`
      : `"${named}" is no folder here: did you mean "kith backup ${near}"?`,
  );
}

/** Throws UsageError where no key is set. */
export function keyOf({ config }: BackupContext): string {
  if (config.backup.key !== undefined) return config.backup.key;
  throw new UsageError(`there is no key: ${KEY_NEEDED}`);
}

/** The result among lines of progress; undefined where no server runs. Throws AdminError as the server says it, or `cutOff`. */
export async function resultOf<Progress, Answer>(
  lines: AsyncIterable<unknown>,
  { onProgress, cutOff }: { onProgress: (progress: Progress) => void; cutOff: AdminError },
): Promise<Answer | undefined> {
  type Line =
    | ({ type: "progress"; phase?: string } & Progress)
    | ({ type: "result" } & Answer)
    | { type: "error"; message: string; hint?: string };
  try {
    for await (const line of lines) {
      const said = line as Line;
      if (said.type === "result") return said;
      if (said.type === "error")
        throw new AdminError(said.message, said.hint === undefined ? {} : { hint: said.hint });
      if (said.phase !== undefined) onProgress(said);
    }
  } catch (error) {
    if (error instanceof AdminError && error.isAlone) return undefined;
    throw error;
  }
  throw cutOff;
}
