/** How a move is shown: a line a step, and for what takes long a bar on a terminal; or one JSON object a line. */
import type { Reporter, Step } from "../migration/mod.ts";
import { ProgressLine } from "./_progress_line.ts";
import { sizeOf } from "./_sizes.ts";
import type { Io } from "./command.ts";
import { printableLines } from "./table.ts";

/** What people are told of a step. */
export const STEP_WORDS: Readonly<Record<Step, string>> = {
  signIn: "Sign in at the old server",
  createAccount: "Make the account at the new server",
  signInThere: "Sign in at the new server",
  copyRepo: "Copy the records",
  copyBlobs: "Copy images and films",
  copyPreferences: "Copy the preferences",
  compare: "Compare both",
  confirm: "Last question",
  requestCode: "Ask the old server for the identity code",
  sign: "Have the identity change signed",
  submit: "Change the identity",
  awaitDocument: "Wait for the DID document",
  activate: "Activate the account at the new server",
  deactivate: "Deactivate the account at the old server",
  finish: "Sign out",
};

const BAR_WIDTH = 24;

export interface Display extends Reporter {
  /** Lines that are not part of a step. */
  say(text: string): void;
}

export function createDisplay(io: Io, { json }: { json: boolean }): Display {
  return json ? jsonDisplay(io) : textDisplay(io);
}

function textDisplay(io: Io): Display {
  const line = new ProgressLine(io);
  let last = "";
  const say = (text: string) => {
    line.clear();
    io.out(`${printableLines(text)}\n`);
  };
  return {
    say,
    step: (step) => {
      if (step !== last) say(`* ${STEP_WORDS[step]}`);
      last = step;
    },
    note: (text) => say(`    ${text}`),
    progress: (progress) =>
      line.show(() => `    ${barOf(progress)}`, { isNews: progress.done === progress.total }),
  };
}

function jsonDisplay(io: Io): Display {
  const tell = (entry: object) => io.out(`${JSON.stringify(entry)}\n`);
  return {
    say: (text) => tell({ type: "text", text }),
    step: (step) => tell({ type: "step", step }),
    note: (text) => tell({ type: "note", text }),
    progress: (progress) => tell({ type: "progress", ...progress }),
  };
}

/** A bar where the end is known, else a counter. */
export function barOf({ what, done, total, bytes }: Parameters<Reporter["progress"]>[0]): string {
  const size = sizeOf(bytes);
  if (total === undefined) return size;
  const filled = total === 0 ? BAR_WIDTH : Math.round((done / total) * BAR_WIDTH);
  const bar = `[${"#".repeat(filled)}${".".repeat(BAR_WIDTH - filled)}]`;
  return what === "blobs" ? `${bar} ${done} of ${total}, ${size}` : `${bar} ${size} of ${sizeOf(total)}`;
}
