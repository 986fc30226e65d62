/** `bun run bench [rows...] [--quick] [--smoke] [--rounds N] [--json FILE] [--svg FILE]`, pure. */

/** What was typed cannot be done: its message says so, with the usage. */
export class UsageError extends Error {}

export interface BenchArguments {
  /** Only the usage and the ids of all rows are asked for. */
  readonly help: boolean;
  /** Ids of rows, or beginnings of ids; all rows where there is none. */
  readonly filters: readonly string[];
  readonly quick: boolean;
  /** kith alone and a few rows: whether the bench itself runs. */
  readonly smoke: boolean;
  readonly rounds: number | undefined;
  readonly json: string | undefined;
  readonly svg: string | undefined;
  /** An executable to measure in place of one built from this tree. */
  readonly binary: string | undefined;
  /** kith alone, run by Bun with its profiler, whose files go there: for looking, not for figures. */
  readonly profile: string | undefined;
}

export const USAGE =
  "bun run bench [rows...] [--quick] [--smoke] [--rounds N] [--json FILE] [--svg FILE] [--binary FILE] [--profile FOLDER]";

const FLAGS = new Set(["--quick", "--smoke", "--help"]);
const OPTIONS = new Set(["--rounds", "--json", "--svg", "--binary", "--profile"]);

/** Throws UsageError on what it does not know. */
export function parseArguments(words: readonly string[]): BenchArguments {
  const filters: string[] = [];
  const flags = new Set<string>();
  const options = new Map<string, string>();
  for (let at = 0; at < words.length; at++) {
    const [name = "", inline] = (words[at] ?? "").split("=", 2);
    if (FLAGS.has(name) && inline === undefined) flags.add(name);
    else if (OPTIONS.has(name)) {
      const value = inline ?? words[++at];
      if (!value) throw new UsageError(`"${name}" needs a value\n${USAGE}`);
      options.set(name, value);
    } else if (name.startsWith("-")) throw new UsageError(`"${words[at]}" is not known\n${USAGE}`);
    else filters.push(words[at] ?? "");
  }
  const rounds = options.get("--rounds");
  if (rounds !== undefined && !/^[1-9]\d?$/.test(rounds)) {
    throw new UsageError(`"--rounds" is "${rounds}": it must be a number from 1 to 99\n${USAGE}`);
  }
  return {
    help: flags.has("--help"),
    filters,
    quick: flags.has("--quick"),
    smoke: flags.has("--smoke"),
    rounds: rounds === undefined ? undefined : Number(rounds),
    json: options.get("--json"),
    svg: options.get("--svg"),
    binary: options.get("--binary"),
    profile: options.get("--profile"),
  };
}
