/** `kith verify`: whether a data folder is sound, and `--repair` for what can be made so. */
import { isKithError } from "../errors.ts";
import type { Finding, RepairStep, VerifyReport } from "../verify/mod.ts";
import type { StillFolder } from "../verify_features.ts";
import { untilInterrupted } from "./_interruption.ts";
import { VerifyDisplay } from "./_verify_display.ts";
import { YES_OPTION } from "./admin_command.ts";
import {
  type Command,
  DATA_OPTION,
  ENV_FILE_OPTION,
  EXIT_FAILED,
  EXIT_OK,
  EXIT_USAGE,
  type Io,
} from "./command.ts";
import { loadOrExplain } from "./load_or_explain.ts";
import { printableLines } from "./table.ts";

/** It was not verified at all; what a script must not take for a folder with problems, nor for one without. */
const EXIT_NOT_RUN = EXIT_USAGE;

const HALF_MENDED =
  "What was mended so far stays so, and what it was before is kept: run the same command again for the rest.";

export const verifyCommand: Command = {
  name: "verify",
  summary:
    "look whether a stopped server's data is sound: all of it, or these accounts; exits with 1 where it is not",
  operands: ["[ACCOUNT]..."],
  options: [
    { name: "repair", value: undefined, help: "mend what can be mended; shows what it would do, and asks" },
    YES_OPTION,
    { name: "offline", value: undefined, help: "do not ask the network for the accounts' DID documents" },
    {
      name: "no-blob-contents",
      value: undefined,
      help: "look for blobs in their size, and do not read them",
    },
    { name: "json", value: undefined, help: "print JSON, one object a line, for scripts" },
    DATA_OPTION,
    ENV_FILE_OPTION,
  ],
  run: async (given, { io }) => {
    const fail = (message: string, hint?: string): number => {
      io.err(printableLines(`kith verify: ${message}\n${hint === undefined ? "" : `${hint}\n`}`));
      return EXIT_NOT_RUN;
    };
    const { repair: repairs, yes, json, offline, "no-blob-contents": noContents } = given.options;
    if (yes === true && repairs !== true) return fail('"--yes" goes with "--repair"');
    const loaded = loadOrExplain({ options: given.options, io });
    if (loaded === undefined) return EXIT_NOT_RUN;
    const display = new VerifyDisplay(io, { json: json === true });
    let folder: StillFolder | undefined;
    try {
      const { StillFolder } = await import("../verify_features.ts");
      folder = StillFolder.open(loaded.config, { repairs: repairs === true });
      const run = {
        offline: offline === true,
        readsBlobs: noContents !== true,
        dids: given.rest.length > 0 ? folder.didsOf(given.rest) : undefined,
        onProgress: display.progress.bind(display),
      };
      const context = { io, display, folder, verify: () => (folder as StillFolder).verify(run) };
      return await (repairs === true ? verifyAndRepair(context, yes === true) : verifyOnly(context));
    } catch (error) {
      display.clear();
      if (isKithError(error)) return fail(error.message, error.hint);
      return fail(error instanceof Error ? error.message : String(error));
    } finally {
      folder?.close();
    }
  },
};

interface Context {
  readonly io: Io;
  readonly display: VerifyDisplay;
  readonly folder: StillFolder;
  verify(): Promise<VerifyReport>;
}

async function verifyOnly({ display, verify }: Context): Promise<number> {
  const report = await verify();
  display.report(report);
  return report.problems === 0 ? EXIT_OK : EXIT_FAILED;
}

async function verifyAndRepair(context: Context, isConfirmed: boolean): Promise<number> {
  const { io, display, folder } = context;
  const { isProblem, repairPlan } = await import("../verify/mod.ts");
  const report = await context.verify();
  display.report(report);
  const steps = repairPlan(report);
  const asItIs = report.problems === 0 ? EXIT_OK : EXIT_FAILED;
  if (steps.length === 0) {
    display.say("There is nothing that a repair could mend.", { type: "plan", steps: [] });
    return asItIs;
  }
  display.plan(steps);
  if (!(await isWanted(io, steps, isConfirmed))) return asItIs;
  using _ = untilInterrupted({ name: "verify --repair", io, left: HALF_MENDED });
  const { mended, failed, kept } = await folder.repair(steps, { onStep: display.step.bind(display) });
  display.clear();
  for (const { finding, why } of failed)
    display.say(`Could not mend ${finding.code} of ${finding.did ?? finding.file ?? "the server"}: ${why}`, {
      type: "failure",
      code: finding.code,
      did: finding.did,
      file: finding.file,
      why,
    });
  display.say(
    `${mended} of ${steps.length} were mended. What they were before is kept in ${kept}. Verifying again:\n`,
    { type: "repair", mended, failed: failed.length, kept },
  );
  const left = await context.verify();
  display.report(left);
  // What was hidden by what is mended; what could not be mended before is no news.
  const tried = new Set(failed.map(({ finding }) => nameOf(finding)));
  const isMore = repairPlan(left).some(({ finding }) => isProblem(finding) && !tried.has(nameOf(finding)));
  if (isMore)
    display.say("\nSome of this was hidden by what is mended now: run this again to mend it, too.", {
      type: "again",
    });
  return left.problems === 0 ? EXIT_OK : EXIT_FAILED;
}

function nameOf({ code, did = "", file = "" }: Finding): string {
  return `${code} ${did} ${file}`;
}

async function isWanted(io: Io, steps: readonly RepairStep[], isConfirmed: boolean): Promise<boolean> {
  if (isConfirmed) return true;
  if (io.ask === undefined) {
    io.err("Nothing was done: confirm with --yes.\n");
    return false;
  }
  const question = steps.length === 1 ? "Do this?" : `Do these ${steps.length}?`;
  const isSure = /^y(es)?$/i.test((await io.ask(`${question} [y/N] `)).trim());
  if (!isSure) io.err("Nothing was done.\n");
  return isSure;
}
