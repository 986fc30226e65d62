/** `kith restore`: puts a data folder together from a backup, rolled forward to the last event that was shipped. */
import { backupPlace } from "../config/mod.ts";
import { isKithError } from "../errors.ts";
import { RestoreDisplay } from "./_restore_display.ts";
import { textOf, UsageError } from "./admin_command.ts";
import {
  type Arguments,
  type Command,
  DATA_OPTION,
  ENV_FILE_OPTION,
  EXIT_CONFIG,
  EXIT_FAILED,
  EXIT_OK,
  EXIT_USAGE,
  type Io,
} from "./command.ts";
import { loadOrExplain } from "./load_or_explain.ts";
import { printableLines } from "./table.ts";

/** EX_IOERR of sysexits.h. */
const EXIT_DISK_FAILED = 74;

export const restoreCommand: Command = {
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
      name: "no-roll-forward",
      value: undefined,
      help: "leave repos as the snapshot has them; deletions and takedowns after it are carried out all the same",
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
    { name: "json", value: undefined, help: "print JSON, one object a line, for scripts" },
    DATA_OPTION,
    ENV_FILE_OPTION,
  ],
  run: async (given, { io }) => {
    const loaded = loadOrExplain({ options: given.options, io });
    if (loaded === undefined) return EXIT_CONFIG;
    const { config } = loaded;
    const { options } = given;
    const display = new RestoreDisplay(io, { json: options.json === true });
    try {
      const { restore } = await import("../restore_features.ts");
      const report = await restore(config, {
        source: sourceOf(given, { io, configured: config.backup.destination }),
        key: keyOf(config.backup.key),
        at: textOf(given, "at"),
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
      return explain(error, io);
    }
  },
};

/** What is damaged may be so in the newest snapshot alone. */
const WAYS_ROUND_DAMAGE =
  'An older snapshot may be whole: "kith backup list" shows them, and --at SNAPSHOT restores one. Where none is, --partial goes on without what is damaged.\n';

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

function explain(error: unknown, io: Io): number {
  const isUsage = error instanceof UsageError;
  if (!isUsage && !isKithError(error)) throw error;
  const hint = isUsage ? '"kith help restore" shows how it is used.' : error.hint;
  io.err(printableLines(`kith restore: ${error.message}\n${hint === undefined ? "" : `${hint}\n`}`));
  if (isKithError(error, "storage_damaged")) io.err(WAYS_ROUND_DAMAGE);
  if (isUsage) return EXIT_USAGE;
  return isKithError(error, "config_invalid") ? EXIT_CONFIG : EXIT_FAILED;
}
