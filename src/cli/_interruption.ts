/** Ctrl-C, and the other signals that end a command: it says what is left of its work before it ends. */
import type { Io } from "./command.ts";
import { printableLines } from "./table.ts";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
/** What a shell makes of a process that a signal has ended. */
const EXIT_BY_SIGNAL = 128;

export interface Interruption {
  /** The command's words: "backup drill". */
  readonly name: string;
  readonly io: Pick<Io, "err">;
  /** What is left, and how to go on. Not in the middle of anything that a kill would harm. */
  readonly left: string;
  /** Before it is said, as for a lock that is to be given back. */
  readonly close?: () => unknown;
}

/** Until it is disposed of, a signal ends the process with that sentence, and 128 more than the signal's number; a second one at once. */
export function untilInterrupted({ name, io, left, close }: Interruption): Disposable {
  let isStopping = false;
  const stop = async (_signal: string, number: number) => {
    if (isStopping) process.exit(EXIT_BY_SIGNAL + number);
    isStopping = true;
    await close?.();
    io.err(printableLines(`\nkith ${name}: Stopped\n${left}\n`));
    process.exit(EXIT_BY_SIGNAL + number);
  };
  for (const signal of SIGNALS) process.on(signal, stop);
  return {
    [Symbol.dispose]: () => {
      for (const signal of SIGNALS) process.off(signal, stop);
    },
  };
}
