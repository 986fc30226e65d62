/** What can be wrong with a backup, told apart: each has another thing that the operator can do. */
import { type ErrorCode, KithError } from "../errors.ts";

export type BackupProblem =
  /** The place is not empty, and what is there was not made by kith. */
  | "foreign"
  /** Nothing is there yet. */
  | "empty"
  /** A later version of kith made it. */
  | "newer"
  | "wrong_key"
  /** It is another server's. */
  | "other_server"
  /** It is this server's, and another data folder of it writes there: a restored one, a copy, or the one of before. */
  | "other_writer"
  /** A file that it needs is not there. */
  | "missing"
  | "truncated"
  /** Its bytes are not those that were written there: altered, moved from elsewhere, or of another backup. */
  | "altered"
  /** Another run is using it. */
  | "locked"
  /** No snapshot has that name. */
  | "no_snapshot";

const CODES: Readonly<Record<BackupProblem, ErrorCode>> = {
  foreign: "config_invalid",
  empty: "config_invalid",
  newer: "config_invalid",
  wrong_key: "config_invalid",
  other_server: "config_invalid",
  other_writer: "config_invalid",
  missing: "storage_damaged",
  truncated: "storage_damaged",
  altered: "storage_damaged",
  locked: "busy",
  no_snapshot: "invalid_request",
};

const DAMAGE_HINT =
  '"kith backup check --all" lists every object that is damaged. The next backup writes what is missing anew; of a damaged object only another copy of the destination helps older snapshots.';

const HINTS: Partial<Record<BackupProblem, string>> = {
  foreign: "Name an empty folder or bucket prefix, or one that kith has made.",
  newer: "Use the version of kith that made it, or a later one.",
  wrong_key:
    "Set KITH_BACKUP_KEY (or KITH_BACKUP_KEY_FILE) to the key that this backup was begun with. Nothing can open it without that key.",
  other_writer:
    'Two histories must not be mixed in one backup. If the other one goes on (this data folder was restored elsewhere, or is a copy), stop this server, or give it another destination. If this one is to go on, stop the other, and run "kith backup --take-over" here. If this folder was begun anew, restore from the backup instead: "kith restore".',
  missing: DAMAGE_HINT,
  truncated: DAMAGE_HINT,
  altered: DAMAGE_HINT,
  no_snapshot: '"kith backup list" shows the snapshots that there are.',
};

export class BackupError extends KithError {
  readonly problem: BackupProblem;

  constructor(problem: BackupProblem, message: string, options: { hint?: string; cause?: unknown } = {}) {
    const hint = options.hint ?? HINTS[problem];
    super(CODES[problem], message, { ...options, ...(hint === undefined ? {} : { hint }) });
    this.problem = problem;
  }
}

/** True for what the bytes of a backup have suffered, as opposed to a destination that does not answer. */
export function isBackupDamage(error: unknown): error is BackupError {
  return error instanceof BackupError && CODES[error.problem] === "storage_damaged";
}
