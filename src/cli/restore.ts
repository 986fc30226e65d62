/** `kith restore`: puts a data folder together from a backup, rolled forward to the last event that was shipped. */
import { backupPlace } from "../config/mod.ts";
import { isKithError, KithError } from "../errors.ts";
import { backupCommand } from "./_backup_command.ts";
import { untilInterrupted } from "./_interruption.ts";
import { RestoreDisplay } from "./_restore_display.ts";
import { textOf, UsageError } from "./admin_command.ts";
import { type Arguments, EXIT_FAILED, EXIT_OK, type Io } from "./command.ts";
import { printableLines } from "./table.ts";

const HALF_RESTORED =
  "What was put together so far is kept: run the same command again to go on from there. Until it has ended no server starts on the folder.";
/** EX_IOERR of sysexits.h. */
const EXIT_DISK_FAILED = 74;

export const restoreCommand = backupCommand(
  {
    name: "restore",
    summary:
      "put the data folder together from the backup at SRC or KITH_BACKUP_DESTINATION; the folder must be empty, and no server run on it",
    operands: ["[SRC]"],
    options: [
      {
        name: "at",
        value: "SNAPSHOT",
        help: 'begin from this snapshot, not from the newest ("kith backup list" shows them)',
      },
      {
        name: "ignore-newer",
        value: undefined,
        help: "with --at: take nothing from snapshots that are newer, where what these have is bad",
      },
      {
        name: "no-roll-forward",
        value: undefined,
        help: "leave repos as the snapshot has them; deletions and takedowns after it are carried out all the same, and how accounts sign in is as it was last",
      },
      {
        name: "partial",
        value: undefined,
        help: "go on where files of the backup are damaged, without them: the last resort",
      },
      {
        name: "skip-relays",
        value: undefined,
        help: "do not ask the relays of PDS_CRAWLERS how far they are",
      },
    ],
  },
  async ({ given, io, config, isJson }) => {
    const { options } = given;
    const display = new RestoreDisplay(io, { json: isJson });
    using _ = untilInterrupted({ name: "restore", io, left: HALF_RESTORED });
    try {
      const { restore } = await import("../restore_features.ts");
      const report = await restore(config, {
        source: sourceOf(given, { io, configured: config.backup.destination }),
        key: keyOf(config.backup.key),
        at: textOf(given, "at"),
        ignoresNewer: options["ignore-newer"] === true,
        isRolledForward: options["no-roll-forward"] !== true,
        isPartial: options.partial === true,
        skipsRelays: options["skip-relays"] === true,
        onFatal: (error) => endAtOnce(error, io),
        onProgress: (progress) => display.progress(progress),
      });
      display.result(report, config.dataFolder);
      return report.troubles.length > 0 || report.check.harms > 0 ? EXIT_FAILED : EXIT_OK;
    } catch (error) {
      display.clear();
      throw withWaysRound(error);
    }
  },
);

/** What is damaged may be so in the newest snapshot alone. */
const WAYS_ROUND_DAMAGE =
  'An older snapshot may be whole: "kith backup list" shows them, and --at SNAPSHOT restores one. Where none is, --partial goes on without what is damaged.';

function sourceOf(
  { rest: [named] }: Arguments,
  { io, configured }: { io: Io; configured: string | undefined },
): string {
  if (named !== undefined) return backupPlace(named, io.cwd);
  if (configured !== undefined) return configured;
  throw new UsageError("from where? Name a folder or s3://BUCKET/PREFIX, or set KITH_BACKUP_DESTINATION");
}

function keyOf(key: string | undefined): string {
  if (key !== undefined) return key;
  throw new UsageError(
    "there is no key: set KITH_BACKUP_KEY or KITH_BACKUP_KEY_FILE to the one that the backup was made with",
  );
}

function endAtOnce(error: unknown, io: Io): never {
  io.err(printableLines(`kith restore: the disk failed: ${String(error)}\n`));
  process.exit(EXIT_DISK_FAILED);
}

function withWaysRound(error: unknown): unknown {
  if (!isKithError(error, "storage_damaged")) return error;
  const hint = [error.hint, WAYS_ROUND_DAMAGE].filter((each) => each !== undefined).join("\n");
  return new KithError(error.code, error.message, { cause: error, hint });
}
