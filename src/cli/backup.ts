/** `kith backup`: takes a snapshot, lists what there is, checks it, and makes keys. */
import type { BackupProgress, Destination, Repository, SnapshotAnswer } from "../backup/mod.ts";
import { DevKithAdminCreateBackup } from "../lexicons/mod.ts";
import { type BackupContext, backupCommand, keyOf, placeOf, resultOf } from "./_backup_command.ts";
import { BackupDisplay, nameOf } from "./_backup_display.ts";
import { ageOf } from "./_duration.ts";
import { untilInterrupted } from "./_interruption.ts";
import { ProgressLine } from "./_progress_line.ts";
import { sizeOf } from "./_sizes.ts";
import { AdminClient, AdminError } from "./admin_client.ts";
import { UsageError } from "./admin_command.ts";
import { type Command, type CommandGroup, EXIT_FAILED, EXIT_OK } from "./command.ts";
import { facts, printableLines, Table } from "./table.ts";

const HALF_BACKED_UP =
  "Where a server runs, it goes on with the backup by itself. Otherwise run the same command again: what was written is not written again.";

const takeCommand = backupCommand(
  {
    name: "backup",
    summary:
      "take a snapshot of everything, encrypted, to DEST or KITH_BACKUP_DESTINATION, also while the server runs",
    operands: ["[DEST]"],
    options: [
      {
        name: "new",
        value: undefined,
        help: "begin a new backup where this server has backed up before and now nothing is",
      },
      {
        name: "take-over",
        value: undefined,
        help: "go on with a backup that another data folder of this server writes to, which is refused from then on",
      },
    ],
  },
  async (context) => {
    const { given, io, config, isJson } = context;
    const destination = placeOf(context);
    const { new: anew, "take-over": takeOver } = given.options;
    const request = { destination, key: keyOf(context), anew: anew === true, takeOver: takeOver === true };
    const display = new BackupDisplay(io, { json: isJson });
    const onProgress = (progress: BackupProgress) => display.progress(progress);
    using _ = untilInterrupted({ name: "backup", io, left: HALF_BACKED_UP });
    try {
      const answer =
        (await byServer(config.dataFolder, { request, onProgress })) ??
        (await (await import("../backup_features.ts")).backUpAlone(config, { request, onProgress }));
      display.result(answer);
      const { manifest, pruneProblem } = answer;
      return manifest.problems.length > 0 || pruneProblem !== undefined ? EXIT_FAILED : EXIT_OK;
    } finally {
      display.clear();
    }
  },
);

/** What the running server answers; undefined where none runs. */
async function byServer(
  dataFolder: string,
  { request, onProgress }: { request: object; onProgress: (progress: BackupProgress) => void },
): Promise<SnapshotAnswer | undefined> {
  const lines = new AdminClient(dataFolder).lines(DevKithAdminCreateBackup.mainSchema, request);
  return await resultOf<BackupProgress, SnapshotAnswer>(lines, {
    onProgress,
    cutOff: new AdminError("The server ended before the backup did", {
      hint: "Begin again: what was written is not written again.",
    }),
  });
}

async function openBackup(
  context: BackupContext,
): Promise<{ destination: Destination; repository: Repository }> {
  const { BackupKey, openDestination, Repository } = await import("../backup/mod.ts");
  const destination = openDestination(placeOf(context), context.config.backup.bucket);
  const repository = await Repository.open(destination, BackupKey.parse(keyOf(context)));
  return { destination, repository };
}

const listCommand = backupCommand(
  { name: "backup list", summary: "show the snapshots at DEST, and how backups went", operands: ["[DEST]"] },
  async (context) => {
    const { io, isJson, config } = context;
    const { destination, repository } = await openBackup(context);
    const { BackupState, isBackupDamage } = await import("../backup/mod.ts");
    const table = new Table(["SNAPSHOT", "AGE", "ACCOUNTS", "BLOBS", "SIZE", "NEW", "KITH"], io.out);
    let isWhole = true;
    const snapshots = await repository.snapshots();
    if (snapshots.length === 0 && !isJson)
      io.out("No snapshot is there: nothing can be restored from it yet.\n");
    for (const { name } of snapshots) {
      try {
        const manifest = await repository.snapshot(name);
        const { counts, startedAt } = manifest;
        if (isJson)
          io.out(`${JSON.stringify({ type: "snapshot", ...manifest, files: manifest.files.count })}\n`);
        else
          table.add([
            [
              nameOf(name),
              ageOf(Math.max(0, (Date.now() - Date.parse(startedAt)) / 1_000)),
              String(counts.accounts),
              String(counts.blobs),
              sizeOf(counts.bytes),
              sizeOf(counts.writtenBytes),
              manifest.kith,
            ],
          ]);
      } catch (error) {
        if (!isBackupDamage(error)) throw error;
        isWhole = false;
        io.err(printableLines(`${error.message}\n`));
      }
    }
    const segments = await repository.segments();
    const last = segments.at(-1);
    const { destinations: _, ...state } = BackupState.open(config.dataFolder).values;
    const { lastBackup, lastFailure, lastProven, lastDrill } = state;
    const log = last && { upTo: last.last, writtenAt: new Date(last.at).toISOString() };
    if (isJson) io.out(`${JSON.stringify({ type: "state", where: destination.where, log, ...state })}\n`);
    else
      io.out(
        `\n${facts([
          ["Backup of", repository.identity.hostname],
          ["At", destination.where],
          ["Event log", log ? `up to ${log.upTo}, ${log.writtenAt}` : "empty"],
          ["Last backup", lastBackup && `${lastBackup.at} to ${lastBackup.destination}`],
          ["Last failure", lastFailure && `${lastFailure.at}: ${lastFailure.message}`],
          ["Last proven restorable", lastProven && `${lastProven.at}, ${nameOf(lastProven.snapshot)}`],
          ["Last drill failed", lastDrill?.problem && `${lastDrill.at}: ${lastDrill.problem}`],
        ])}`,
      );
    return isWhole ? EXIT_OK : EXIT_FAILED;
  },
);

const checkCommand = backupCommand(
  {
    name: "backup check",
    summary: "look whether everything is there that the snapshots at DEST need",
    operands: ["[DEST]"],
    options: [
      { name: "all", value: undefined, help: "read and authenticate every byte" },
      {
        name: "remove-damaged",
        value: undefined,
        help: "with --all: remove objects that are damaged, so that the next backup writes anew what it still has of them",
      },
    ],
  },
  async (context) => {
    const { given, io, isJson } = context;
    const isAll = given.options.all === true;
    const removes = given.options["remove-damaged"] === true;
    if (removes && !isAll) throw new UsageError('"--remove-damaged" goes with "--all"');
    const { destination, repository } = await openBackup(context);
    const { checkRepository } = await import("../backup/mod.ts");
    const line = new ProgressLine(io);
    const onDone = (done: number, total: number): void => {
      if (!isJson) line.show(() => `${done} of ${total} objects`);
    };
    const report = await checkRepository(repository, { all: isAll, onDone }).finally(() => line.clear());
    const damaged = report.damaged.filter((name) => name.startsWith("objects/"));
    if (removes) for (const name of damaged) await destination.remove(name);
    if (isJson) io.out(`${JSON.stringify(report)}\n`);
    else {
      const { snapshots, increments, segments, objects, bytes, gaps, problems } = report;
      for (const problem of problems) io.err(printableLines(`${problem}\n`));
      for (const [after, before] of gaps)
        io.err(
          `Events between ${after} and ${before} were removed by the server before they could be shipped\n`,
        );
      io.out(
        `${snapshots} snapshots, ${increments} increments and ${segments} segments of the event log: ${objects} objects, ${sizeOf(bytes)}. ${verdictOf(report, isAll)}\n`,
      );
      if (removes && damaged.length > 0)
        io.out(`${damaged.length} damaged objects were removed; run "kith backup" now.\n`);
    }
    return report.problems.length === 0 ? EXIT_OK : EXIT_FAILED;
  },
);

function verdictOf({ problems }: { problems: readonly string[] }, isAll: boolean): string {
  if (problems.length > 0) return `${problems.length} of them are missing or damaged.`;
  return isAll ? "All of it was read and is as it was written." : "All of it is there; --all also reads it.";
}

const newKeyCommand: Command = {
  name: "backup new-key",
  summary: "print a new key for backups",
  operands: [],
  options: [],
  run: async (_given, { io }) => {
    const { newBackupKey } = await import("../backup/mod.ts");
    io.out(`${newBackupKey()}\n`);
    io.err(
      "Keep it in a file that only the server's user can read, name that in KITH_BACKUP_KEY_FILE, and keep a copy away\nfrom this machine and from the backups: without it nobody can open a backup.\n",
    );
    return EXIT_OK;
  },
};

/** The one that takes a snapshot comes last: its name is the beginning of the others'. */
export const backupCommands: CommandGroup = {
  name: "backup",
  summary: "the backups of this server",
  commands: [listCommand, checkCommand, newKeyCommand, takeCommand],
};
