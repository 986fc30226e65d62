/** Where each value comes from: the command line, the environment, an environment file, or a file that holds one secret. */
import { readFileSync, statSync } from "node:fs";
import { ENV_FILE_BYTES_MAX, parseEnvFile } from "./env_file.ts";
import { WAITING_SECRETS } from "./reference_settings.ts";
import { SETTING_NAMES, settingOf } from "./settings.ts";

export interface Raw {
  readonly text: string;
  /** For the operator: "environment", "FILE line 3", ... */
  readonly from: string;
}

export interface Gathered {
  readonly raw: ReadonlyMap<string, Raw>;
  readonly problems: readonly string[];
}

export interface SourceOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly envFile?: string;
  /** Settings by command line options: name -> [value, option]. */
  readonly overrides?: Readonly<Record<string, readonly [string, string]>>;
}

const SECRET_FILE_BYTES_MAX = 65_536;
const OURS = /^(PDS|KITH|LOG)_/;

/** Names that may be given as NAME_FILE: the path of a file that holds the value. */
export const SECRET_NAMES: ReadonlySet<string> = new Set([
  ...SETTING_NAMES.filter((name) => settingOf(name).secret),
  ...WAITING_SECRETS,
]);

/** Collects what is set. The command line wins over the environment, and that over the environment file. */
export function gather({ env, envFile, overrides = {} }: SourceOptions): Gathered {
  const raw = new Map<string, Raw>();
  const problems: string[] = [];
  if (envFile !== undefined) readEnvFile(envFile, { raw, problems });
  for (const [name, text] of Object.entries(env)) {
    if (text !== undefined && OURS.test(name)) raw.set(name, { text, from: "environment" });
  }
  for (const [name, [text, option]] of Object.entries(overrides)) raw.set(name, { text, from: option });
  for (const name of SECRET_NAMES) readSecretFile(name, { raw, problems });
  return { raw, problems };
}

interface Into {
  readonly raw: Map<string, Raw>;
  readonly problems: string[];
}

function readEnvFile(path: string, { raw, problems }: Into): void {
  const text = readBounded(path, ENV_FILE_BYTES_MAX);
  if (text instanceof Error)
    return void problems.push(`The environment file "${path}" cannot be read: ${text.message}`);
  const parsed = parseEnvFile(text);
  for (const problem of parsed.problems) problems.push(`The environment file "${path}": ${problem}`);
  for (const { name, value, line } of parsed.entries) {
    if (OURS.test(name)) raw.set(name, { text: value, from: `${path} line ${line}` });
  }
}

function readSecretFile(name: string, { raw, problems }: Into): void {
  const path = raw.get(`${name}_FILE`)?.text;
  raw.delete(`${name}_FILE`);
  if (path === undefined || path === "") return;
  if ((raw.get(name)?.text ?? "") !== "")
    return void problems.push(`${name} and ${name}_FILE are both set: keep one`);
  const text = readBounded(path, SECRET_FILE_BYTES_MAX);
  if (text instanceof Error)
    return void problems.push(`${name}_FILE is "${path}", which cannot be read: ${text.message}`);
  const value = text.replace(/\r?\n$/, "");
  if (value === "") return void problems.push(`${name}_FILE is "${path}", which is empty`);
  raw.set(name, { text: value, from: `${path} (${name}_FILE)` });
}

function readBounded(path: string, bytesMax: number): string | Error {
  try {
    if (statSync(path).size > bytesMax) return new Error(`it is larger than ${bytesMax} bytes`);
    return readFileSync(path, "utf8");
  } catch (error) {
    const { code } = error as { code?: string };
    const words = { ENOENT: "it does not exist", EACCES: "permission denied", EISDIR: "it is a folder" };
    return new Error(words[code as keyof typeof words] ?? String(code ?? error));
  }
}
