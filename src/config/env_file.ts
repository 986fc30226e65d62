/** The files that operators have: KEY=VALUE lines as systemd, Docker and the shell read them. */

export interface EnvFileEntry {
  readonly name: string;
  readonly value: string;
  /** From 1. */
  readonly line: number;
}

export interface EnvFile {
  readonly entries: readonly EnvFileEntry[];
  /** One sentence a line that is not understood. Values are not quoted: they may be secret. */
  readonly problems: readonly string[];
}

export const ENV_FILE_BYTES_MAX = 1_000_000;
const ASSIGNMENT = /^(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)$/s;
const ESCAPES: Readonly<Record<string, string>> = {
  n: "\n",
  r: "\r",
  t: "\t",
  '"': '"',
  "\\": "\\",
  $: "$",
  "`": "`",
};

/**
 * Parses an environment file: `KEY=VALUE`, an optional `export`, `#` comments, values bare, in 'single' quotes (taken
 * as they are) or in "double" quotes (with \n \t \" \\ \$). No variable is expanded. The last of equal names holds.
 */
export function parseEnvFile(text: string): EnvFile {
  const entries = new Map<string, EnvFileEntry>();
  const problems: string[] = [];
  text
    .replace(/^\uFEFF/, "")
    .split(/\r?\n/)
    .forEach((raw, index) => {
      const line = raw.trim();
      if (line === "" || line.startsWith("#")) return;
      const [, name, rest] = ASSIGNMENT.exec(line) ?? [];
      const value = rest === undefined ? undefined : parseValue(rest);
      if (name === undefined) problems.push(`line ${index + 1} is not of the form NAME=VALUE`);
      else if (value === undefined)
        problems.push(`line ${index + 1} (${name}) has a quote that does not end`);
      else entries.set(name, { name, value, line: index + 1 });
    });
  return { entries: [...entries.values()], problems };
}

function parseValue(rest: string): string | undefined {
  const quote = rest[0];
  if (quote !== '"' && quote !== "'") return rest.replace(/(^|\s)#.*$/, "").trim();
  const pattern = quote === '"' ? /^"((?:[^"\\]|\\.)*)"\s*(?:#.*)?$/ : /^'([^']*)'\s*(?:#.*)?$/;
  const inside = pattern.exec(rest)?.[1];
  if (inside === undefined || quote === "'") return inside;
  return inside.replace(/\\(.)/g, (whole, escaped: string) => ESCAPES[escaped] ?? whole);
}
