/** How a takeover is shown: a line an account while it runs, and at the end what there is, or one JSON object. */
import type { FolderCheckReport } from "../backup/mod.ts";
import type { RefusedAccount, TakenAccount, TakeoverProgress, TakeoverReport } from "../takeover/mod.ts";
import { checkFindings } from "./_check_display.ts";
import { ProgressLine } from "./_progress_line.ts";
import { sizeOf } from "./_sizes.ts";
import type { Io } from "./command.ts";
import { facts, printableLines } from "./table.ts";

/** While it verifies, where no person looks. */
const TELL_EVERY_MS = 10_000;

export interface TakeoverDisplay {
  readonly progress: TakeoverProgress<FolderCheckReport>;
  say(text: string): void;
  /** What was done, or would be. */
  report(report: TakeoverReport, done: { readonly isDry: boolean; readonly seconds: number }): void;
}

export function createTakeoverDisplay(io: Io, { json }: { json: boolean }): TakeoverDisplay {
  const line = new ProgressLine(io, { tellEveryMs: TELL_EVERY_MS });
  const say = (text: string): void => {
    line.clear();
    io.err(`${printableLines(text)}\n`);
  };
  return {
    say,
    progress: {
      account: (account, { done, all }) => say(lineOf(account, `${done}/${all}`)),
      verified: ({ done, all }) => line.show(() => `Verifying: ${done} of ${all} accounts`),
      checked: (check) => {
        line.clear();
        io.err(printableLines(checkFindings(check, "")));
        const found = check.harms === 0 ? "" : `, ${check.harms} faults`;
        say(`Verified: ${check.accounts} accounts${found}`);
      },
    },
    report: (report, done) => {
      if (json) io.out(`${JSON.stringify(objectOf(report, done))}\n`);
      else io.out(textOf(report, done));
    },
  };
}

function lineOf(account: TakenAccount | RefusedAccount, place: string): string {
  const name = account.handle ?? account.did;
  if ("why" in account) return `PROBLEM  ${name} (${account.did}): ${account.why}`;
  const { status, records, blobs, blobBytes, notes } = account;
  const state = status === "active" ? "" : `, ${status}`;
  const line = `${place}  ${name}${state}: ${records} records, ${blobs} blobs (${sizeOf(blobBytes)})`;
  return [line, ...notes.map((note) => `      note: ${note}`)].join("\n");
}

function textOf(report: TakeoverReport, { isDry, seconds }: { isDry: boolean; seconds: number }): string {
  const { accounts, refused, leftOut, events } = report;
  const sum = (pick: (account: TakenAccount) => number) => accounts.reduce((all, one) => all + pick(one), 0);
  const by = (status: string) => accounts.filter((account) => account.status === status).length;
  const others = ["deactivated", "takendown"].filter((status) => by(status) > 0);
  const states = others.map((status) => `${by(status)} ${status}`).join(", ");
  const table = facts([
    ["accounts", `${accounts.length}${states === "" ? "" : ` (${states})`}`],
    ["records", String(sum(({ records }) => records))],
    ["blobs", `${sum(({ blobs }) => blobs)} (${sizeOf(sum(({ blobBytes }) => blobBytes))})`],
    ["invite codes", String(report.invites)],
    ["reserved keys", String(report.reservedKeys)],
    ["events", `${events.events} that cursors may reach back to, the last one ${events.lastSeq}`],
    ["notes", String(accounts.reduce((all, { notes }) => all + notes.length, 0))],
    ["problems", refused.length === 0 ? undefined : String(refused.length)],
    ["left out", leftOut.length === 0 ? undefined : leftOut.join(", ")],
  ]);
  const notes = report.notes.map((note) => `note: ${note}\n`).join("");
  const verified = report.check?.harms === 0 ? "Taken over and verified" : "Taken over, with faults";
  const words = isDry ? "Nothing was written: this was a dry run" : verified;
  return printableLines(`${table}${notes}${words} (${seconds.toFixed(1)} s).\n`);
}

function objectOf(report: TakeoverReport, { isDry, seconds }: { isDry: boolean; seconds: number }): object {
  return { dryRun: isDry, seconds: Number(seconds.toFixed(3)), ...report };
}
