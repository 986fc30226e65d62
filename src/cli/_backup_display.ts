/** How a backup is shown: what it does on a line of the terminal that is drawn anew, and in the end what is inside. */
import type { BackupProgress, SnapshotAnswer } from "../backup/mod.ts";
import { ProgressLine } from "./_progress_line.ts";
import { sizeOf } from "./_sizes.ts";
import type { Io } from "./command.ts";
import { facts, printableLines } from "./table.ts";

const WORDS: Readonly<Record<BackupProgress["phase"], string>> = {
  look: "Looking at what is there",
  log: "Event log",
  repos: "Repos",
  accounts: "Accounts",
  blobs: "Blobs",
  verify: "Reading back what was written",
  prune: "Removing what is not kept any more",
};

export class BackupDisplay {
  readonly #io: Io;
  readonly #isJson: boolean;
  readonly #line: ProgressLine;
  #phase: string | undefined;

  constructor(io: Io, { json }: { json: boolean }) {
    this.#io = io;
    this.#isJson = json;
    this.#line = new ProgressLine(io);
  }

  progress(progress: BackupProgress): void {
    if (this.#isJson) return void this.#io.out(`${JSON.stringify({ type: "progress", ...progress })}\n`);
    const { phase, done, total, bytes, writtenBytes } = progress;
    const isNews = phase !== this.#phase;
    this.#phase = phase;
    if (isNews && !this.#io.isTerminal) this.#io.err(`${WORDS[phase]}\n`);
    const count = total > 0 ? ` ${done} of ${total}` : "";
    const sizes = () => `${sizeOf(bytes)} read, ${sizeOf(writtenBytes)} written`;
    this.#line.show(() => `${WORDS[phase]}${count}  ${sizes()}`, { isNews });
  }

  clear(): void {
    this.#line.clear();
  }

  result(answer: SnapshotAnswer): void {
    this.clear();
    if (this.#isJson) return void this.#io.out(`${JSON.stringify({ type: "result", ...answer })}\n`);
    const { manifest, pruned, pruneProblem, where } = answer;
    const { counts, log, problems } = manifest;
    this.#io.out(printableLines(`Backed up to ${where}, and read back what was written.\n\n`));
    this.#io.out(
      facts([
        ["Snapshot", nameOf(manifest.name)],
        ["Accounts", `${counts.accounts}, with their sealed signing keys, passwords' hashes and settings`],
        ["Repos", String(counts.repos)],
        ["Blobs", manifest.hasBlobs ? String(counts.blobs) : "left out (KITH_BACKUP_BLOBS)"],
        ["Event log", log.lastSeq === 0 ? "empty" : `up to ${log.lastSeq}`],
        ["Secrets", "master.key and secrets.json; what is set by the environment is not inside"],
        ["Size", `${sizeOf(counts.bytes)}, of which ${sizeOf(counts.writtenBytes)} were new, packed`],
        ["Removed", removedOf(pruned)],
      ]),
    );
    for (const problem of problems) this.#io.err(printableLines(`Not as it should be: ${problem}\n`));
    if (pruneProblem !== undefined)
      this.#io.err(printableLines(`Old snapshots could not be removed: ${pruneProblem}\n`));
  }
}

/** A snapshot's name as people give it. */
export function nameOf(name: string): string {
  return name.replace(/^snapshots\//, "");
}

function removedOf(pruned: SnapshotAnswer["pruned"]): string | undefined {
  if (!pruned || pruned.snapshots + pruned.objects === 0) return undefined;
  return `${pruned.snapshots} old snapshots, ${pruned.objects} objects that none needs`;
}
