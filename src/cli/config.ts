import { exampleEnv, printConfig } from "../config/mod.ts";
import { type Command, ENV_FILE_OPTION, EXIT_CONFIG, EXIT_OK } from "./command.ts";
import { loadOrExplain } from "./load_or_explain.ts";

/** `kith config`: what holds, and where it comes from. */
export const configCommand: Command = {
  name: "config",
  summary: "print the effective settings and where each comes from; secrets are hidden",
  options: [
    ENV_FILE_OPTION,
    { name: "example", value: undefined, help: "print an environment file with every setting explained" },
  ],
  operands: [],
  run: async ({ options }, { io }) => {
    if (options.example === true) {
      io.out(exampleEnv());
      return EXIT_OK;
    }
    const loaded = loadOrExplain({ options, io });
    if (loaded === undefined) return EXIT_CONFIG;
    io.out(printConfig(loaded));
    for (const warning of loaded.warnings) io.err(`warning: ${warning}\n`);
    return EXIT_OK;
  },
};
