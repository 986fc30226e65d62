import type { Config } from "../config/mod.ts";
import { isKithError } from "../errors.ts";
import { EXIT_CONFIG, EXIT_FAILED } from "./command.ts";

export interface StartFailure {
  readonly message: string;
  readonly hint: string | undefined;
  readonly exitCode: number;
}

const PRIVILEGED_PORT_MAX = 1023;

/** An error that ended the start, in words for the operator. */
export function explainStartFailure(error: unknown, config: Config): StartFailure {
  if (isKithError(error)) {
    const exitCode = error.code === "config_invalid" ? EXIT_CONFIG : EXIT_FAILED;
    return { message: error.message, hint: error.hint, exitCode };
  }
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  const fail = (sentence: string, hint?: string) => ({ message: sentence, hint, exitCode: EXIT_FAILED });
  switch (code) {
    case "EADDRINUSE":
      return fail(
        `Could not listen on port ${config.port}: another program uses it`,
        "Stop that program, or take another port with --port or PDS_PORT.",
      );
    case "EADDRNOTAVAIL":
      return fail(
        `Could not listen on "${config.listen.join(", ")}": this machine does not have that address`,
        "Set KITH_LISTEN to an address of this machine.",
      );
    case "EACCES":
      if (config.port <= PRIVILEGED_PORT_MAX)
        return fail(
          `Could not listen on port ${config.port}: permission denied`,
          "Take a port above 1023 with --port or PDS_PORT, and put a proxy in front of it.",
        );
  }
  const reason = typeof message === "string" ? message : String(error);
  return fail(`Could not start: ${reason}`, "With LOG_LEVEL=debug the log has the details.");
}
