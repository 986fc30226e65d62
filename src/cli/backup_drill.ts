/** `kith backup drill`: proves that the newest backup can be restored. */
import type { DrillAnswer, RestoreProgress } from "../backup/mod.ts";
import { DevKithAdminDrillBackup } from "../lexicons/mod.ts";
import { backupCommand, keyOf, placeOf, resultOf } from "./_backup_command.ts";
import { nameOf } from "./_backup_display.ts";
import { checkFindings, checkSummary } from "./_check_display.ts";
import { untilInterrupted } from "./_interruption.ts";
import { RestoreDisplay } from "./_restore_display.ts";
import { AdminClient, AdminError } from "./admin_client.ts";
import { EXIT_FAILED, EXIT_OK, type Io } from "./command.ts";
import { facts, printableLines } from "./table.ts";

/** EX_IOERR of sysexits.h. */
const EXIT_DISK_FAILED = 74;
/** Of the accounts that would lose something so many are shown. */
const SHOWN_MAX = 50;
const HALF_DRILLED =
  "Where a server runs, it goes on with the drill by itself. Otherwise nothing is proven, and the next drill removes the folder that this one has used.";
const OF_THE_SERVER =
  'A backup has faults that the server itself has: stop the server and run "kith verify", which says so. "kith backup check --all" looks at the backup itself.';

export const drillCommand = backupCommand(
  {
    name: "backup drill",
    summary: "restore the newest backup at DEST into a folder of its own, verify it, and remove it again",
    operands: ["[DEST]"],
  },
  async (context) => {
    const { io, config, isJson } = context;
    const request = { destination: placeOf(context), key: keyOf(context) };
    const display = new RestoreDisplay(io, { json: isJson });
    const onProgress = (progress: RestoreProgress) => display.progress(progress);
    using _ = untilInterrupted({ name: "backup drill", io, left: HALF_DRILLED });
    try {
      const lines = new AdminClient(config.dataFolder).lines(DevKithAdminDrillBackup.mainSchema, request);
      const answer =
        (await resultOf<RestoreProgress, DrillAnswer>(lines, {
          onProgress,
          cutOff: new AdminError("The server ended before the drill did", { hint: "Begin again." }),
        })) ??
        (await (
          await import("../backup_features.ts")
        ).drillAlone(config, {
          ...{ request, onProgress },
          onFatal: (error) => endAtOnce(error, io),
        }));
      display.clear();
      if (isJson) io.out(`${JSON.stringify({ type: "result", ...answer })}\n`);
      else show(answer, io);
      const { isProven } = await import("../backup/mod.ts");
      return isProven(answer) ? EXIT_OK : EXIT_FAILED;
    } finally {
      display.clear();
    }
  },
);

function show(answer: DrillAnswer, { out, err }: Io): void {
  const { where, snapshot, commits, blobs, blobsRead, seconds, log, lost, notes, check } = answer;
  const verdict =
    lost.length > 0
      ? `would lose something of ${lost.length} accounts`
      : check.harms > 0
        ? `can be restored, and what comes of it has ${check.harms} faults`
        : "can be restored, all of it";
  out(printableLines(`The backup at ${where} ${verdict}.\n\n`));
  out(
    facts([
      ["Snapshot", nameOf(snapshot)],
      ["Verified", checkSummary(check)],
      ["Rolled forward", log ? `to the event ${log.lastSeq} of ${log.at}, by ${commits} commits` : undefined],
      ["Blobs", `${blobs} are there, ${blobsRead} of them were read`],
      ["Took", `${seconds} s`],
    ]),
  );
  for (const note of notes) err(printableLines(`${note}\n`));
  for (const { handle, did, what } of lost.slice(0, SHOWN_MAX))
    err(printableLines(`${handle} (${did}): ${what}\n`));
  err(printableLines(checkFindings(check, OF_THE_SERVER)));
}

function endAtOnce(error: unknown, io: Io): never {
  io.err(printableLines(`kith backup drill: the disk failed: ${String(error)}\n`));
  process.exit(EXIT_DISK_FAILED);
}
