import { ConfigError, type LoadedConfig, loadConfig } from "../config/mod.ts";
import type { Arguments, Io } from "./command.ts";

/** Which options of a command stand for which settings. */
const OVERRIDES: Readonly<Record<string, string>> = { port: "PDS_PORT", data: "PDS_DATA_DIRECTORY" };

/** The configuration, or undefined after every problem with it has been printed. */
export function loadOrExplain({
  options,
  io,
}: {
  options: Arguments["options"];
  io: Io;
}): LoadedConfig | undefined {
  const overrides: Record<string, readonly [string, string]> = {};
  for (const [option, name] of Object.entries(OVERRIDES)) {
    const value = options[option];
    if (typeof value === "string") overrides[name] = [value, `--${option}`];
  }
  const file = options["env-file"];
  try {
    const envFile = typeof file === "string" ? file : undefined;
    return loadConfig({ env: io.env, cwd: io.cwd, envFile, overrides });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    io.err("kith cannot use this configuration:\n");
    for (const problem of error.problems) io.err(`  ${problem}\n`);
    io.err('"kith config --example" prints every setting with its explanation.\n');
    return undefined;
  }
}
