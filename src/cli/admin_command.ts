/** What the commands share that ask the running server. */
import { AdminClient, AdminError } from "./admin_client.ts";
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

/** A sentence on what was typed wrongly. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

export interface AdminContext {
  readonly given: Arguments;
  readonly io: Io;
  readonly client: AdminClient;
  /** Whether the output is for scripts: one JSON object a line. */
  readonly isJson: boolean;
}

export interface AdminCommandSpec extends Pick<Command, "name" | "summary" | "operands"> {
  readonly options?: readonly CommandOption[];
  /** Resolves to the exit code. Throws UsageError, AdminError. */
  run(context: AdminContext): Promise<number>;
}

export const YES_OPTION: CommandOption = {
  name: "yes",
  value: undefined,
  help: "do not ask for confirmation",
};
const JSON_OPTION: CommandOption = {
  name: "json",
  value: undefined,
  help: "print JSON, one object a line, for scripts",
};

/** A command that asks the running server, and says what to do where none runs. */
export function adminCommand({ name, summary, operands, options = [], run }: AdminCommandSpec): Command {
  const needed = operands.filter((operand) => !operand.startsWith("["));
  return {
    name,
    summary,
    operands,
    options: [...options, JSON_OPTION, DATA_OPTION, ENV_FILE_OPTION],
    run: async (given, { io }) => {
      const fail = (message: string, { hint, code }: { hint?: string | undefined; code: number }): number => {
        io.err(printableLines(`kith ${name}: ${message}\n${hint === undefined ? "" : `${hint}\n`}`));
        return code;
      };
      const missing = needed[given.rest.length];
      const hint = `"kith help ${name}" shows how it is used.`;
      if (missing !== undefined) return fail(`${missing} is missing`, { hint, code: EXIT_USAGE });
      const loaded = loadOrExplain({ options: given.options, io });
      if (loaded === undefined) return EXIT_CONFIG;
      const client = new AdminClient(loaded.config.dataFolder);
      try {
        return await run({ given, io, client, isJson: given.options.json === true });
      } catch (error) {
        if (error instanceof UsageError) return fail(error.message, { hint, code: EXIT_USAGE });
        if (error instanceof AdminError) return fail(error.message, { hint: error.hint, code: EXIT_FAILED });
        throw error;
      }
    },
  };
}

/** True where the person at the terminal, or `--yes`, says so. Throws UsageError where there is nobody to ask. */
export async function confirm(
  question: string,
  { given, io }: Pick<AdminContext, "given" | "io">,
): Promise<boolean> {
  if (given.options.yes === true) return true;
  if (io.ask === undefined) throw new UsageError("there is nobody to ask: confirm with --yes");
  const isSure = /^y(es)?$/i.test((await io.ask(`${question} [y/N] `)).trim());
  if (!isSure) io.err("Nothing was done.\n");
  return isSure;
}

/** An option that takes a text. */
export function textOf({ options }: Arguments, name: string): string | undefined {
  const value = options[name];
  return typeof value === "string" ? value : undefined;
}

/** An option that takes a whole number of 1 or more. Throws UsageError. */
export function countOf(given: Arguments, name: string, absent: number): number {
  const text = textOf(given, name);
  if (text === undefined) return absent;
  if (/^[1-9][0-9]{0,8}$/.test(text)) return Number(text);
  throw new UsageError(`"--${name}" must be a whole number of 1 or more, not "${text}"`);
}
