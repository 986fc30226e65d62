/** How a restore is shown: what it does on a line of the terminal that is drawn anew, and in the end what came of it. */
import type { RestoreProgress, RestoreReport } from "../backup/mod.ts";
import { nameOf } from "./_backup_display.ts";
import { checkFindings, checkSummary } from "./_check_display.ts";
import { ProgressLine } from "./_progress_line.ts";
import { sizeOf } from "./_sizes.ts";
import type { Io } from "./command.ts";
import { facts, printableLines } from "./table.ts";

const WORDS: Readonly<Record<RestoreProgress["phase"], string>> = {
  look: "Looking at what is in the backup",
  files: "Fetching",
  log: "Event log",
  relays: "Asking the relays how far they are",
  repos: "Rolling repos forward",
  verify: "Verifying everything",
  finish: "Putting it into its place",
};
/** As JSON, so often at most. */
const TELL_EVERY_MS = 100;
/** Of the accounts that are not as they were, and of the deleted ones, so many are shown. */
const SHOWN_MAX = 50;
const ANOTHER =
  'What cannot be mended may be whole in another snapshot: "kith backup list" shows them, and "kith restore --at SNAPSHOT" takes one.';

export class RestoreDisplay {
  readonly #io: Io;
  readonly #isJson: boolean;
  readonly #line: ProgressLine;
  #phase: string | undefined;
  #toldMs = Number.NEGATIVE_INFINITY;

  constructor(io: Io, { json }: { json: boolean }) {
    this.#io = io;
    this.#isJson = json;
    this.#line = new ProgressLine(io);
  }

  progress(progress: RestoreProgress): void {
    const { phase, done, total } = progress;
    const isNews = phase !== this.#phase;
    this.#phase = phase;
    if (this.#isJson) {
      if (!isNews && performance.now() - this.#toldMs < TELL_EVERY_MS) return;
      this.#toldMs = performance.now();
      return void this.#io.out(`${JSON.stringify({ type: "progress", ...progress })}\n`);
    }
    if (isNews && !this.#io.isTerminal) this.#io.err(`${WORDS[phase]}\n`);
    const say = phase === "files" ? sizeOf : String;
    const count = () => (total > 0 ? ` ${say(done)} of ${say(total)}` : "");
    this.#line.show(() => `${WORDS[phase]}${count()}`, { isNews });
  }

  clear(): void {
    this.#line.clear();
  }

  result(report: RestoreReport, dataFolder: string): void {
    this.clear();
    if (this.#isJson) return void this.#io.out(`${JSON.stringify({ type: "result", ...report })}\n`);
    const { out, err } = this.#io;
    out(
      printableLines(
        `Restored ${report.hostname} into ${dataFolder}. Every repo and signature was checked.\n\n`,
      ),
    );
    out(facts(factsOf(report)));
    const { troubles, notes, deleted, check } = report;
    for (const note of notes) err(printableLines(`${note}\n`));
    for (const { handle, did, what } of troubles.slice(0, SHOWN_MAX))
      err(printableLines(`${handle} (${did}): ${what}\n`));
    for (const did of deleted.slice(0, SHOWN_MAX))
      err(printableLines(`${did}: was deleted after the snapshot; it is deleted again\n`));
    const unsaid = Math.max(0, troubles.length - SHOWN_MAX) + Math.max(0, deleted.length - SHOWN_MAX);
    err(printableLines(checkFindings(check, ANOTHER)));
    if (unsaid > 0) err(`and ${unsaid} more, in restored.json of the data folder\n`);
    out(
      '\nStart the server now: it tells the network of every repo anew. "kith backup" soon makes a snapshot of what there is.\n',
    );
  }
}

function factsOf(report: RestoreReport): [string, string | undefined][] {
  const { snapshot, snapshotAt, log, isRolledForward, troubles, deleted, relays } = report;
  const to = log ? `the event ${log.lastSeq} of ${log.at}` : "nothing: no event was shipped after it";
  return [
    ["Snapshot", `${nameOf(snapshot)}, begun ${snapshotAt}`],
    ["Rolled forward", isRolledForward ? `to ${to}, by ${report.commits} commits` : "no, as you wished"],
    ["Accounts", `${report.accounts}, ${report.repos} repos${madeOf(report)}`],
    ["Deleted again", deleted.length === 0 ? undefined : String(deleted.length)],
    ["Not as they were", troubles.length === 0 ? undefined : `${troubles.length} accounts, see below`],
    ["Blobs", String(report.blobs)],
    ["Verified", checkSummary(report.check)],
    ["Size", `${sizeOf(report.bytes)}, of which ${sizeOf(report.fetchedBytes)} were fetched`],
    ...relays.map(({ relay, seq, problem }): [string, string] => [
      "Relay",
      `${relay}: ${problem ?? (seq === undefined ? "does not know this server" : `is at ${seq}`)}`,
    ]),
    ["Next seq", `${report.nextSeq} or higher`],
  ];
}

function madeOf({ reposMade }: RestoreReport): string {
  return reposMade === 0 ? "" : `, ${reposMade} of them from events alone`;
}
