/** Everything that a verification may find, what it means, and what can be done about it. */

/** How bad it is: a problem is not as it must be; a note is worth knowing and makes no folder unsound. */
export type Level = "problem" | "note";

export interface FindingKind {
  readonly level: Level;
  /** A problem by which nothing is lost, and nobody served wrongly. */
  readonly isMinor?: true;
  /** What it means for the account, or the server. */
  readonly means: string;
  /** What `--repair` does; absent where it can do nothing. */
  readonly mends?: string;
  /** What the operator can do instead. */
  readonly advice?: string;
}

const RESTORE_ACCOUNT =
  'Restore this account from a backup: "kith restore --data FOLDER --skip-relays" into another folder, and put its file of there in the place of this one.';
const FROM_ELSEWHERE = "Its file looks as if it was put back by hand.";
const RESTORE_BLOBS =
  'They cannot be made again here. If there is a backup, put the files back first: "kith restore --data FOLDER --skip-relays" brings them into another folder.';

function problem(means: string, rest: Pick<FindingKind, "mends" | "advice"> = {}): FindingKind {
  return { level: "problem", means, ...rest };
}

function minor(means: string, rest: Pick<FindingKind, "mends" | "advice"> = {}): FindingKind {
  return { level: "problem", isMinor: true, means, ...rest };
}

function note(means: string, rest: Pick<FindingKind, "mends" | "advice"> = {}): FindingKind {
  return { level: "note", means, ...rest };
}

export const FINDING_KINDS = {
  // the accounts database
  accounts_damaged: problem("The accounts database cannot be trusted.", {
    advice: "Restore the server from a backup.",
  }),
  accounts_index_damaged: problem("Accounts may not be found by their handle or e-mail address.", {
    mends: "make the indexes of accounts.sqlite again",
  }),
  accounts_dangling: minor("Rows of the accounts database refer to others that are not there.", {
    advice: "Nothing is served wrongly because of it; report it.",
  }),
  master_key_wrong: problem("No account can write, as no signing key can be opened.", {
    advice: "Put back the master.key that belongs to this data folder, from a backup.",
  }),
  key_unsealed: problem("The account cannot write, as its signing key cannot be opened.", {
    advice: "Restore accounts.sqlite, or master.key, from a backup.",
  }),
  key_differs: problem("The account's file was signed with another key than the one that is here.", {
    advice: RESTORE_ACCOUNT,
  }),
  status_differs: problem(
    "The accounts database says something else of the account's status than its file.",
    {
      mends: "repeat in the accounts database what the account's file says",
    },
  ),
  handle_differs: problem("The accounts database has another handle for the account than its file.", {
    mends: "repeat in the accounts database what the account's file says",
  }),
  handle_taken: problem("The handle that the account's file says belongs to another account here.", {
    advice: "Give one of the two another handle (kith account update).",
  }),
  account_lost: problem("Nobody can use the account: accounts.sqlite has lost it.", {
    advice:
      "accounts.sqlite is older than the account, or was damaged: put the right one back, or restore the server from a backup.",
  }),
  account_deleted: problem("The account was deleted, and accounts.sqlite is from before that.", {
    mends: "have the next start finish the deletion, with what is left of its blobs",
    advice: "If accounts.sqlite is a copy of an earlier day, put the right one back.",
  }),
  account_back: problem(
    "The account was deleted, and is here again: accounts.sqlite and its file are from before that.",
    {
      advice:
        "If these are copies of an earlier day, put the right ones back. Else start the server, and delete it again (kith account delete), unless it is meant to be back.",
    },
  ),
  account_unfinished: note("The account is being made or deleted; the next start finishes it."),
  // its secrets
  secrets_lost: problem(
    "The server does not start: the PLC rotation key is lost, without which no account can change its handle, or leave.",
    {
      advice:
        "Put secrets.json back from a copy or a backup, or set PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX to the key that the server had.",
    },
  ),
  secrets_anew: problem(
    "The next start makes secrets anew: everybody is signed out, or the admin has another password.",
    { advice: "Put secrets.json back from a copy or a backup, if there is one." },
  ),
  secrets_damaged: problem("The server does not start: its secrets cannot be read.", {
    advice:
      "Put secrets.json back from a copy or a backup. Do not delete it: the PLC rotation key in it may still be readable.",
  }),
  secrets_open: minor("Others who have an account on this machine may read the server's keys.", {
    advice: "Take that right from them (chmod 600), and ask who could have used it.",
  }),
  // what the network says
  document_key_differs: problem("The network refuses the account's commits: its DID names another key.", {
    advice: "Change the account's key in its DID document to the one that is here, or restore the right key.",
  }),
  document_gone: problem("The network does not know the account: its DID cannot be resolved any more.", {
    advice: "Nobody can find the account. Deactivate it, if its owner has given the DID up.",
  }),
  document_elsewhere: note("The account lives on another server by now."),
  document_other_port: note("The account's DID document names this server by a port that it had.", {
    advice: "Start the server with that port again (PDS_PORT), so that DID documents lead to it.",
  }),
  document_unread: problem("Whether the network takes the account's signatures could not be looked up.", {
    advice: "Verify again when the directory answers, or with --offline.",
  }),
  // files of repos
  repo_missing: problem("The account cannot be used: its file is not there.", { advice: RESTORE_ACCOUNT }),
  repo_unreadable: problem(
    "The account cannot be used: this user may not read and write its file. Nothing is known to be wrong with what is in it.",
    {
      advice:
        "Give the file, what is beside it and their folder to the user that runs kith (chown), let that user read and write them (chmod u+rw; folders u+rwx), and verify again. Nothing is to be restored.",
    },
  ),
  repo_damaged: problem("The account cannot be used, or not in part: its file is damaged.", {
    advice: RESTORE_ACCOUNT,
  }),
  repo_newer: problem("The account's file was written by a newer kith.", {
    advice: "Verify with the kith that wrote it.",
  }),
  repo_index_damaged: problem("Records may not be found: an index of the account's file is damaged.", {
    mends: "make the indexes of the file again",
  }),
  repo_of_another: problem("The account cannot be used: another's file is in its place.", {
    advice: RESTORE_ACCOUNT,
  }),
  repo_misplaced: problem("The account cannot be used: its file has another's name.", {
    mends: "give the file its own name",
  }),
  repo_unowned: minor("It takes room, and is of no account that is here.", { mends: "move it aside" }),
  // the repo itself
  no_commit: problem("The repo has no commit: nothing of it can be read.", { advice: RESTORE_ACCOUNT }),
  head_differs: problem("The account's file says something else of its newest commit than the commit does.", {
    mends: "repeat what the signed commit says",
  }),
  head_damaged: problem("The repo cannot be read: its newest commit is damaged.", {
    advice: RESTORE_ACCOUNT,
  }),
  signature_wrong: problem(
    "The network refuses the repo: its newest commit is not signed by the account's key.",
    {
      advice: RESTORE_ACCOUNT,
    },
  ),
  tree_damaged: problem("Records are lost, and the repo cannot be exported: its tree is damaged.", {
    advice: RESTORE_ACCOUNT,
  }),
  record_damaged: problem("Records are lost: their bytes are not what the tree says.", {
    advice: RESTORE_ACCOUNT,
  }),
  index_differs: problem("Records are not listed, or listed wrongly: the index is not what the tree says.", {
    mends: "make the differing rows of the index again from the tree",
  }),
  references_differ: problem(
    "Blobs may be removed too early, or never: the references are not what records say.",
    {
      mends: "make the differing references again from the records",
    },
  ),
  stray_blocks: minor("Blocks that the tree does not have take room.", { mends: "remove them" }),
  blob_bytes_differ: minor("The account's room for blobs is counted wrongly.", { mends: "count it again" }),
  // blobs
  blob_missing: problem("Images or films of the account are lost: their files are not there.", {
    mends:
      "forget their rows, so that com.atproto.repo.listMissingBlobs lists those that records refer to, and apps can upload them again",
    advice: RESTORE_BLOBS,
  }),
  blob_damaged: problem(
    "Images or films of the account are damaged: their bytes are not what was uploaded.",
    {
      mends:
        "move the files aside and forget their rows, so that com.atproto.repo.listMissingBlobs lists them",
      advice: RESTORE_BLOBS,
    },
  ),
  blob_misnamed: problem(
    "Images or films of the account are served with another's bytes, or not at all: their files have wrong names.",
    { mends: "give the bytes their right names, as their hashes say" },
  ),
  blobs_gone: problem("None of the blobs that should be here is.", {
    advice:
      "Is the disk or bucket of the blobs the right one, and mounted? Nothing is repaired before it is.",
  }),
  blob_row_missing: problem(
    "Blobs that records refer to are here and not served, as their rows are missing.",
    {
      mends: "make the rows again from the files and the records",
    },
  ),
  blob_size_differs: problem("A blob's row has another size than its file, whose bytes are right.", {
    mends: "write the size of the file into the row",
  }),
  blob_misplaced: minor("A blob's file is not where its takedown, or the lack of one, wants it.", {
    mends: "move it there",
  }),
  blob_stray: minor("Files of blobs that nothing refers to take room.", { mends: "move them aside" }),
  blob_left_over: note("Uploads that nothing came of; the server removes them by itself."),
  blob_of_lost: note(
    "Blobs of records that were published and that the account's file has lost: they are served again once the right file is back.",
    { advice: "Put the right file back before the server removes them as uploads that nothing came of." },
  ),
  blob_folder_unowned: minor("Files of blobs of no account that is here take room.", {
    mends: "move them aside",
  }),
  blob_awaited: note(
    "Records refer to blobs that were never uploaded here: com.atproto.repo.listMissingBlobs lists them.",
  ),
  // events
  pending_damaged: problem("An event of the account that waits for the event log cannot be read.", {
    advice: RESTORE_ACCOUNT,
  }),
  pending_forgotten: problem(
    "Events of the account wait, and the network is not told before its next write.",
    {
      mends: "note the account, so that the next start hands them on",
    },
  ),
  events_missing: problem("The network was not told of the account's newest commit.", {
    mends: "tell it of the repo as it is (#sync), by the next start",
  }),
  log_ahead: problem("The account's file is older than what the network was told: writes are lost.", {
    advice: `Put the right file back, if it is still there, before more is written. ${RESTORE_ACCOUNT} ${FROM_ELSEWHERE}`,
  }),
  log_branched: problem(
    "Writes that were published are lost: the account went on from a file that was older. The network may still show what is lost here, and refuses what was written since until it has fetched the repo again.",
    {
      mends: "tell it of the repo as it is (#sync), by the next start; what is lost stays lost",
      advice: `If what is lost is worth more than what was written since, first: ${RESTORE_ACCOUNT} ${FROM_ELSEWHERE}`,
    },
  ),
  log_branch_told: note(
    "Writes that were published are lost: the account went on from a file that was older. The network has been told of the repo as it is, or is told when the account is activated.",
    { advice: `If they are missed: ${RESTORE_ACCOUNT}` },
  ),
  log_missing: problem(
    "Events that subscribers have not fetched yet are lost to them. The next start makes an empty log, and goes on with higher seqs.",
    {
      advice:
        "Put events.sqlite back, if it is the one that this server had last. Else start the server, and verify again afterwards: --repair tells the network of every repo as it is.",
    },
  ),
  log_damaged: problem("The event log cannot be trusted.", {
    advice: "Restore the server from a backup, which gives seqs above all that were told.",
  }),
  log_index_damaged: problem("Events may not be found: an index of the event log is damaged.", {
    mends: "make the indexes of events.sqlite again",
  }),
  event_damaged: problem(
    "Subscribers that catch up get an event that they cannot read, or that is another's.",
    {
      mends: "remove it, and tell the network of the repo as it is (#sync), by the next start",
    },
  ),
  event_order: problem("Events of an account are in the log twice, or in the wrong order.", {
    advice: "Subscribers that catch up may see them so. It ends when they are older than the log's window.",
  }),
  last_key_low: problem("Events that are in the log would be told again.", {
    mends: "write the newest key of the account's events",
  }),
  high_water_low: problem("Seqs that were given could be given again.", {
    mends: "raise the mark to the newest event",
  }),
  published_high: problem("The log says that events were published which are not there.", {
    mends: "lower the mark to the newest event",
  }),
  pruned_high: problem("The log says that events were removed which are there.", {
    mends: "lower the mark to the oldest event",
  }),
} as const satisfies Readonly<Record<string, FindingKind>>;

export type FindingCode = keyof typeof FINDING_KINDS;

export interface Finding {
  readonly code: FindingCode;
  /** Whose; absent for what is of the whole server. */
  readonly did?: string;
  readonly handle?: string;
  /** The file it is about, from the data folder. */
  readonly file?: string;
  /** What is wrong, with values. */
  readonly detail: string;
  /** How many of the same it stands for. */
  readonly count: number;
  /** What a repair needs to know: CIDs of blobs, seqs of events, the path that a file should have. */
  readonly items?: readonly string[];
}

export function kindOf({ code }: Pick<Finding, "code">): FindingKind {
  return FINDING_KINDS[code];
}

export function isProblem(finding: Pick<Finding, "code">): boolean {
  return kindOf(finding).level === "problem";
}

/** Whether something is lost by it, or served wrongly. */
export function isHarm(finding: Pick<Finding, "code">): boolean {
  return isProblem(finding) && kindOf(finding).isMinor === undefined;
}

export function isMendable(finding: Pick<Finding, "code">): boolean {
  return kindOf(finding).mends !== undefined;
}
