/** How a verification is shown: progress on standard error, what was found on standard output. */
import {
  type Finding,
  isMendable,
  isProblem,
  kindOf,
  type RepairStep,
  type VerifyProgress,
  type VerifyReport,
} from "../verify/mod.ts";
import { ProgressLine } from "./_progress_line.ts";
import { sizeOf } from "./_sizes.ts";
import type { Io } from "./command.ts";
import { printableLines } from "./table.ts";

/** Where no person looks, a line is written so often. */
const TELL_EVERY_MS = 10_000;

export class VerifyDisplay {
  readonly #io: Io;
  readonly #isJson: boolean;
  readonly #line: ProgressLine;

  constructor(io: Io, { json }: { json: boolean }) {
    this.#io = io;
    this.#isJson = json;
    this.#line = new ProgressLine(io, { tellEveryMs: TELL_EVERY_MS });
  }

  progress({ phase, done, total, bytes }: VerifyProgress): void {
    const of = total > 0 ? ` ${done} of ${total}` : "";
    this.#line.show(() => `${PHASES[phase]}${of}, ${sizeOf(bytes)} read`);
  }

  clear(): void {
    this.#line.clear();
  }

  report(report: VerifyReport): void {
    this.clear();
    const { findings, ...totals } = report;
    if (this.#isJson) {
      for (const finding of findings) {
        const { level, means, mends, advice } = kindOf(finding);
        const { items: _, ...rest } = finding;
        this.#tell({ type: "finding", level, ...rest, means, mends, advice });
      }
      this.#tell({ type: "report", ...totals });
      return;
    }
    for (const finding of findings) this.#io.out(printableLines(`${textOf(finding)}\n\n`));
    if (report.leftOut > 0) this.#io.out(`... and ${report.leftOut} more, which are not shown.\n\n`);
    this.#io.out(`${summaryOf(report)}\n`);
  }

  plan(steps: readonly RepairStep[]): void {
    if (this.#isJson) {
      const told = steps.map(({ finding: { code, did, file, count }, what }) => ({
        code,
        did,
        file,
        count,
        what,
      }));
      this.#tell({ type: "plan", steps: told });
      return;
    }
    const lines = steps.map(({ finding, what }, at) => `  ${at + 1}. ${whereOf(finding)}: ${what}`);
    const text = `\nThe repair would, with a copy of each file kept before it is changed:\n${lines.join("\n")}\n`;
    this.#io.out(printableLines(text));
  }

  /** Of a repair. */
  step(done: number, total: number): void {
    this.#line.show(() => `${done} of ${total} mended`);
  }

  /** Something else for whoever reads the output. */
  say(text: string, entry: object): void {
    if (this.#isJson) this.#tell(entry);
    else this.#io.out(printableLines(`${text}\n`));
  }

  #tell(entry: object): void {
    this.#io.out(`${JSON.stringify(entry)}\n`);
  }
}

const PHASES: Readonly<Record<VerifyProgress["phase"], string>> = {
  databases: "Databases",
  log: "Events",
  accounts: "Accounts",
  files: "Files",
};

function whereOf({ did, handle, file }: Finding): string {
  const who = did === undefined ? undefined : handle === undefined ? did : `${handle} (${did})`;
  const where = [who, file].filter((part) => part !== undefined).join(", ");
  return where === "" ? "the server" : where;
}

/** Where it is, what is wrong, what that means, what can be done. */
function textOf(finding: Finding): string {
  const { means, mends, advice } = kindOf(finding);
  const { code, detail } = finding;
  const lines = [
    `${isProblem(finding) ? "PROBLEM" : "note"}: ${whereOf(finding)} [${code}]`,
    `  ${detail}`,
    `  ${means}`,
  ];
  if (mends !== undefined) lines.push(`  --repair can ${mends}.`);
  if (advice !== undefined) lines.push(`  ${advice}`);
  return lines.join("\n");
}

function summaryOf({ problems, notes, findings, ...report }: VerifyReport): string {
  const { accounts, repos, records, blobs, events, bytes, ms } = report;
  const mendable = findings.filter((finding) => isProblem(finding) && isMendable(finding)).length;
  const verdict =
    problems === 0
      ? "no problem was found"
      : `${problems} ${problems === 1 ? "problem" : "problems"}, of which --repair can mend ${mendable}`;
  const also = notes === 0 ? "" : `; ${notes} ${notes === 1 ? "note" : "notes"}`;
  return `${accounts} accounts with ${repos} repos, ${records} records and ${blobs} blobs, and ${events} events: ${sizeOf(bytes)} verified in ${(ms / 1_000).toFixed(1)} s: ${verdict}${also}.`;
}
